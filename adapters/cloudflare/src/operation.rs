//! What a queue's object is asked to do: a line of words beside the message.

/// One request to a queue's object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `put QUEUE ID`: add the message that is the content.
    Put {
        /// Name of the queue, by which the policy knows it.
        queue: String,
        /// The message's id.
        id: String,
    },
    /// `take`: hand out the message that has been due for longest.
    Take,
    /// `done ID`: forget a message.
    Done {
        /// The message's id.
        id: String,
    },
    /// `retry ID SECONDS`: hand a message out again later.
    Retry {
        /// The message's id.
        id: String,
        /// How long to wait, in seconds.
        after: u32,
    },
}

impl Operation {
    /// Reads the line; `None` when it is anything else.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let words: Vec<_> = line.split(' ').collect();
        if words.iter().any(|word| word.is_empty()) {
            return None;
        }
        let owned = |word: &str| word.to_owned();
        match words[..] {
            ["put", queue, id] => Some(Self::Put { queue: owned(queue), id: owned(id) }),
            ["take"] => Some(Self::Take),
            ["done", id] => Some(Self::Done { id: owned(id) }),
            ["retry", id, after] => Some(Self::Retry { id: owned(id), after: after.parse().ok()? }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_read() {
        let rows = [
            ("put orders a-1", Operation::Put { queue: "orders".to_owned(), id: "a-1".to_owned() }),
            ("take", Operation::Take),
            ("done a-1", Operation::Done { id: "a-1".to_owned() }),
            ("retry a-1 90", Operation::Retry { id: "a-1".to_owned(), after: 90 }),
        ];
        for (line, operation) in rows {
            assert_eq!(Operation::parse(line), Some(operation), "{line}");
        }
    }

    #[test]
    fn what_is_no_operation_is_none() {
        for line in
            ["", "put orders", "put orders a b", "take a", "done", "done ", "retry a", "retry a -1", "drop a"]
        {
            assert_eq!(Operation::parse(line), None, "{line}");
        }
    }
}
