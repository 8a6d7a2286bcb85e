//! A request's body on its way to a backend.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use selvedge_core::effect::FetchError;
use tokio::time::Instant;

/// A request's body, cut off once it is longer than allowed.
#[derive(Debug)]
pub enum Upload<B> {
    /// No content.
    Empty,
    /// Content in memory; `None` once it is sent.
    Bytes(Option<Bytes>),
    /// Content that streams.
    Stream {
        /// Where it comes from.
        body: B,
        /// How many more bytes may come.
        left: u64,
        /// Is told how far it is.
        progress: UploadProgress,
    },
}

/// How far an upload is that streams. The default is one that does not.
#[derive(Clone, Debug, Default)]
pub struct UploadProgress(Option<Arc<Mutex<Progress>>>);

#[derive(Debug, Default)]
struct Progress {
    has_failed: bool,
    /// How long whoever sends it was waited for.
    waited: Duration,
    /// Since when it is.
    waiting: Option<Instant>,
}

/// Why an upload broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadError {
    /// It is longer than allowed.
    TooLarge,
    /// The client broke off.
    Client,
}

impl<B: HttpBody> Upload<B> {
    /// Limits a body, and refuses it at once when its announced length is over the limit.
    ///
    /// # Errors
    /// When it is.
    pub fn stream(body: B, max_bytes: u64) -> Result<Self, UploadError> {
        if body.size_hint().lower() > max_bytes {
            return Err(UploadError::TooLarge);
        }
        Ok(Self::Stream { body, left: max_bytes, progress: UploadProgress::default() })
    }

    /// What is to be known of this one by whoever waits for the response.
    pub fn progress(&mut self) -> UploadProgress {
        match self {
            Self::Empty | Self::Bytes(_) => UploadProgress::default(),
            Self::Stream { progress, .. } => progress.share(),
        }
    }

    /// Takes content in memory.
    ///
    /// # Errors
    /// When it is over the limit.
    pub fn bytes(bytes: Bytes, max_bytes: u64) -> Result<Self, UploadError> {
        if bytes.len() as u64 > max_bytes { Err(UploadError::TooLarge) } else { Ok(Self::Bytes(Some(bytes))) }
    }
}

impl UploadProgress {
    /// Lets it be told to whoever has a clone.
    pub(crate) fn share(&mut self) -> Self {
        self.0.get_or_insert_default();
        self.clone()
    }

    /// Returns whether it broke off, which breaks off the response too.
    pub(crate) fn has_failed(&self) -> bool {
        self.progress().is_some_and(|progress| progress.has_failed)
    }

    /// Returns whether at least half of a time was spent on waiting for whoever sends it.
    pub(crate) fn has_taken_half_of(&self, time: Duration) -> bool {
        self.progress().is_some_and(|progress| {
            let now = progress.waiting.map(|since| since.elapsed()).unwrap_or_default();
            (progress.waited + now) * 2 >= time
        })
    }

    /// Says that it broke off.
    pub(crate) fn fail(&self) {
        self.progress().into_iter().for_each(|mut progress| progress.has_failed = true);
    }

    /// Takes note of whether it has to be waited for.
    fn on_poll(&self, is_pending: bool) {
        let Some(mut progress) = self.progress() else { return };
        match (is_pending, progress.waiting) {
            (true, None) => progress.waiting = Some(Instant::now()),
            (false, Some(since)) => {
                progress.waited += since.elapsed();
                progress.waiting = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Nothing panics under the lock.
    fn progress(&self) -> Option<MutexGuard<'_, Progress>> {
        Some(self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Upload<B> {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Bytes(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream { body, left, progress } => {
                let polled = Pin::new(body).poll_frame(cx);
                progress.on_poll(polled.is_pending());
                polled.map(|frame| {
                    let frame = frame.map(|frame| count(frame.map_err(|_| UploadError::Client)?, left));
                    if matches!(frame, Some(Err(_))) {
                        progress.fail();
                    }
                    frame
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty | Self::Bytes(None) => true,
            Self::Bytes(Some(bytes)) => bytes.is_empty(),
            Self::Stream { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty | Self::Bytes(None) => SizeHint::with_exact(0),
            Self::Bytes(Some(bytes)) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream { body, .. } => body.size_hint(),
        }
    }
}

fn count(frame: Frame<Bytes>, left: &mut u64) -> Result<Frame<Bytes>, UploadError> {
    let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
    *left = left.checked_sub(bytes).ok_or(UploadError::TooLarge)?;
    Ok(frame)
}

impl From<UploadError> for FetchError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::TooLarge => Self::BodyTooLarge,
            UploadError::Client => Self::ClientBody,
        }
    }
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the request body is longer than the policy allows",
            Self::Client => "the client's body broke off",
        })
    }
}

impl std::error::Error for UploadError {}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[test]
    fn a_body_may_be_as_long_as_the_limit_and_not_a_byte_longer() {
        let body = Bytes::from_static(b"12345");
        assert!(Upload::<Full<Bytes>>::bytes(body.clone(), 5).is_ok());
        assert_eq!(Upload::<Full<Bytes>>::bytes(body, 4).unwrap_err(), UploadError::TooLarge);
        let mut left = 5;
        assert!(count(Frame::data(Bytes::from_static(b"123")), &mut left).is_ok());
        assert!(count(Frame::data(Bytes::from_static(b"45")), &mut left).is_ok());
        let over = count(Frame::data(Bytes::from_static(b"6")), &mut left);
        assert_eq!(over.unwrap_err(), UploadError::TooLarge);
    }
}
