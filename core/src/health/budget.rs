//! How many further attempts a place gets, so that retries do not bury one that is in trouble.

/// Thousandths of an attempt.
const ATTEMPT: u32 = 1000;

/// What is there for a quiet time.
const MOST: u32 = 10 * ATTEMPT;

/// Attempts that are left: each request brings a part of one.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    left: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: MOST }
    }
}

impl Budget {
    pub(super) fn on_request(&mut self, percent: u32) {
        self.left = (self.left + percent * (ATTEMPT / 100)).min(MOST);
    }

    /// Takes an attempt out, if there is one.
    pub(super) fn spend(&mut self) -> bool {
        let is_enough = self.left >= ATTEMPT;
        if is_enough {
            self.left -= ATTEMPT;
        }
        is_enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_requests_bring_as_many_attempts_as_the_rule_says() {
        let mut budget = Budget::default();
        let spend_all = |budget: &mut Budget| std::iter::from_fn(|| budget.spend().then_some(())).count();
        assert_eq!(spend_all(&mut budget), 10, "what is there at first");
        (0..100).for_each(|_| budget.on_request(7));
        assert_eq!(spend_all(&mut budget), 7);
        (0..10_000).for_each(|_| budget.on_request(7));
        assert_eq!(spend_all(&mut budget), 10, "it is bounded");
    }
}
