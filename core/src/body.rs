//! Message bodies: the core passes them on and seldom looks inside.

use bytes::Bytes;

/// A body of a request or response as the core sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// No content.
    #[default]
    Empty,
    /// Content held in memory, such as a page from the policy.
    Bytes(Bytes),
    /// Content that stays with the host and streams through untouched.
    Host(BodyHandle),
}

impl Body {
    /// Returns the length in bytes, or `None` when only the host can know it.
    #[must_use]
    pub fn len(&self) -> Option<usize> {
        match self {
            Self::Empty => Some(0),
            Self::Bytes(bytes) => Some(bytes.len()),
            Self::Host(_) => None,
        }
    }

    /// Returns whether the body is known to have no content.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::from(Bytes::from_static(text.as_bytes()))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Bytes(bytes) }
    }
}

/// Names a body that the host keeps; only the host that made it can read it.
///
/// A handle is valid within one exchange. Giving the same handle to the
/// response and to the cache asks the host to stream the content to both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BodyHandle(pub u32);
