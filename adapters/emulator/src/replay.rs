//! A body of which the beginning was read and is read again.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::body::{HostBody, StreamError};

/// A body whose beginning is in memory.
#[derive(Debug)]
pub(crate) struct Replay {
    read: VecDeque<Bytes>,
    rest: HostBody,
}

/// The beginning of a body.
#[derive(Debug)]
pub(crate) struct Beginning {
    /// As many bytes as were asked for, or all.
    pub(crate) bytes: Bytes,
    /// The body with its beginning, when there is more to it.
    pub(crate) whole: Option<HostBody>,
}

impl HostBody {
    /// Reads the first `limit` bytes.
    pub(crate) async fn peek(mut self, limit: usize) -> Result<Beginning, StreamError> {
        let mut read = VecDeque::new();
        let mut length = 0;
        while length <= limit {
            let Some(frame) = self.frame().await else {
                return Ok(Beginning { bytes: join(&read, limit), whole: None });
            };
            if let Ok(chunk) = frame?.into_data() {
                length += chunk.len();
                read.push_back(chunk);
            }
        }
        let bytes = join(&read, limit);
        Ok(Beginning { bytes, whole: Some(Self::Again(Box::new(Replay { read, rest: self }))) })
    }
}

fn join(chunks: &VecDeque<Bytes>, limit: usize) -> Bytes {
    let mut whole = BytesMut::new();
    for chunk in chunks {
        whole.extend_from_slice(&chunk[..chunk.len().min(limit - whole.len())]);
    }
    whole.freeze()
}

impl HttpBody for Replay {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let this = self.get_mut();
        match this.read.pop_front() {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            None => Pin::new(&mut this.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let read: u64 = self.read.iter().map(|chunk| chunk.len() as u64).sum();
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + read);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + read);
        }
        hint
    }
}
