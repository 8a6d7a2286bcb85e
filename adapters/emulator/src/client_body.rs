//! A request's body, which is read to its end even when nobody wants it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;

/// Most bytes that are read for nobody.
const MAX_DISCARDED_BYTES: usize = 4 * 1024 * 1024;
/// Longest time to read for nobody.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// A body on its way from the client.
///
/// What is unread when it is dropped is read and thrown away, within bounds:
/// closing a connection with unread bytes resets it, and a reset can overtake the response,
/// [RFC 9112 section 9.6](https://www.rfc-editor.org/rfc/rfc9112#section-9.6).
#[derive(Debug)]
pub(crate) struct ClientBody {
    body: Option<Incoming>,
}

impl ClientBody {
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body: Some(body) }
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        let unread = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(body), Ok(runtime)) = (unread, Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(DISCARD_TIMEOUT, discard(body)));
        }
    }
}

async fn discard(mut body: Incoming) {
    let mut left = MAX_DISCARDED_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

impl HttpBody for ClientBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), HttpBody::size_hint)
    }
}
