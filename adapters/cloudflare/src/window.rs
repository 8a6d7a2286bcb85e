//! Fixed windows of time, aligned to the Unix epoch.

/// A time and the length of windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    now: u64,
    window: u64,
}

impl Moment {
    /// Reads `NOW WINDOW`, both in milliseconds; `None` when the text is anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (now, window) = text.split_once(' ')?;
        let (now, window) = (now.parse().ok()?, window.parse().ok()?);
        (window > 0).then_some(Self { now, window })
    }

    /// The number of the window, counted from the Unix epoch.
    #[must_use]
    pub fn number(self) -> u64 {
        self.now / self.window
    }

    /// How long it is until the window ends, in milliseconds.
    #[must_use]
    pub fn rest(self) -> u64 {
        self.window - self.now % self.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_aligned_to_the_epoch() {
        for (text, number, rest) in
            [("0 10", 0, 10), ("9 10", 0, 1), ("10 10", 1, 10), ("1768478400123 60000", 29_474_640, 59_877)]
        {
            let moment = Moment::parse(text).unwrap();
            assert_eq!((moment.number(), moment.rest()), (number, rest), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in ["", "1", "1 0", "1 -1", "a 1", "1 2 3", "1.5 2"] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }
}
