//! Bodies that stay with the host.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use selvedge_native::backend_body::{BackendBody, BackendBodyError};

/// The bodies of one exchange.
pub(crate) type Bodies = selvedge_native::body::Bodies<HostBody>;

/// A body that stays with the host.
///
/// The client's is in memory, and the core is not told: it is sent once, as on platforms where it streams, so that the
/// same request gets the same answer.
#[derive(Debug)]
pub(crate) enum HostBody {
    /// From the client.
    Client(Full<Bytes>),
    /// From a backend.
    Backend(BackendBody),
}

impl HttpBody for HostBody {
    type Data = Bytes;
    type Error = BackendBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BackendBodyError>>> {
        match self.get_mut() {
            Self::Client(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never| match never {}))),
            Self::Backend(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Client(body) => body.is_end_stream(),
            Self::Backend(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Client(body) => body.size_hint(),
            Self::Backend(body) => body.size_hint(),
        }
    }
}
