//! What an invocation comes to.

use selvedge_core::host::Driver;

use crate::effects::EdgeHost;
use crate::stream::Stream;

/// What Lambda is told.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The result, in JSON.
    Result(Vec<u8>),
    /// A response that streams.
    Stream(Box<Stream>),
    /// The invocation failed.
    Failure {
        /// A name for logs and metrics.
        code: &'static str,
        /// What is wrong.
        message: String,
    },
}

/// An answer, and the work that goes on behind it.
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    /// What is done before the next event is asked for.
    pub(crate) after: Option<Driver<EdgeHost>>,
}

impl From<Answer> for Answered {
    fn from(answer: Answer) -> Self {
        Self { answer, after: None }
    }
}
