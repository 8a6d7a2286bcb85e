//! The bodies of one exchange, by the handles that the core knows.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use selvedge_core::body::{Body, BodyHandle};
use selvedge_native::backend_body::{BackendBody, BackendBodyError};
use selvedge_native::body as native;

use crate::client_body::ClientBody;
use crate::disk_body::DiskBody;
use crate::replay::Replay;
use crate::store::disk::BodyId;
use crate::tee::{Storing, Tee};
use crate::tunnel::Ends;

/// Every body of one exchange, and the connections themselves.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    kept: native::Bodies<HostBody>,
    /// The connections, should they change their protocol.
    pub(crate) ends: Ends,
}

/// A body that streams from the client, from a backend or from the disk.
#[derive(Debug)]
pub(crate) enum HostBody {
    /// From the client.
    Client(ClientBody),
    /// From a backend.
    Backend(BackendBody),
    /// From a backend, and stored on its way.
    Stored(Box<Tee>),
    /// From the client, with a beginning that was read before.
    Again(Box<Replay>),
    /// From the cache folder.
    Disk(DiskBody),
}

/// Why a body breaks off.
#[derive(Debug)]
pub(crate) enum StreamError {
    /// The client's connection.
    Connection(hyper::Error),
    /// What it comes from.
    Backend(BackendBodyError),
    /// The file that it is stored in.
    File(io::Error),
}

impl Bodies {
    /// Keeps a request's body and returns what the core gets to see of it.
    pub(crate) fn keep_request(&self, body: Incoming) -> Body {
        if body.is_end_stream() {
            Body::Empty
        } else {
            self.kept.keep(HostBody::Client(ClientBody::new(body)))
        }
    }

    /// Keeps a response's body and returns what the core gets to see of it.
    pub(crate) fn keep_response(&self, body: BackendBody) -> Body {
        self.keep(HostBody::Backend(body))
    }

    /// Keeps a body and returns what stands for it.
    pub(crate) fn keep(&self, body: HostBody) -> Body {
        self.kept.keep(body)
    }

    /// Hands a body out; `None` when it was handed out before.
    pub(crate) fn take(&self, handle: BodyHandle) -> Option<HostBody> {
        self.kept.take(handle)
    }

    /// Lets a body be stored by whoever reads it.
    pub(crate) fn store(&self, handle: BodyHandle, storing: Storing) {
        self.kept.replace(handle, |body| match body {
            HostBody::Backend(body) => HostBody::Stored(Box::new(Tee::new(body, storing))),
            other @ (HostBody::Client(_) | HostBody::Stored(_) | HostBody::Again(_) | HostBody::Disk(_)) => {
                other
            }
        });
    }

    /// Says which stored body a handle stands for, if it is one that is unread.
    pub(crate) fn stored(&self, handle: BodyHandle) -> Option<BodyId> {
        let mut id = None;
        self.kept.replace(handle, |body| {
            if let HostBody::Disk(body) = &body {
                id = body.id();
            }
            body
        });
        id
    }

    /// Reads to the end what is to be stored though no client reads it. A body that was handed to a client is
    /// stored only if that client reads it to its end.
    pub(crate) async fn read_unread_stores(&self) {
        for body in self.kept.take_rest() {
            match body {
                HostBody::Client(_) | HostBody::Backend(_) | HostBody::Again(_) | HostBody::Disk(_) => {}
                HostBody::Stored(mut tee) => while let Some(Ok(_)) = tee.frame().await {},
            }
        }
    }
}

impl HttpBody for HostBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match self.get_mut() {
            Self::Client(body) => poll(body, cx, StreamError::Connection),
            Self::Backend(body) => poll(body, cx, StreamError::Backend),
            Self::Stored(tee) => poll(&mut **tee, cx, StreamError::Backend),
            Self::Again(body) => Pin::new(body).poll_frame(cx),
            Self::Disk(body) => poll(body, cx, StreamError::File),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Client(body) => body.is_end_stream(),
            Self::Backend(body) => body.is_end_stream(),
            Self::Stored(tee) => tee.is_end_stream(),
            Self::Again(body) => body.is_end_stream(),
            Self::Disk(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Client(body) => body.size_hint(),
            Self::Backend(body) => body.size_hint(),
            Self::Stored(tee) => tee.size_hint(),
            Self::Again(body) => body.size_hint(),
            Self::Disk(body) => body.size_hint(),
        }
    }
}

fn poll<B: HttpBody<Data = Bytes> + Unpin>(
    body: &mut B,
    cx: &mut Context<'_>,
    error: impl FnOnce(B::Error) -> StreamError,
) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
    Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(error)))
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => write!(f, "the connection that it comes from broke: {error}"),
            Self::Backend(error) => write!(f, "{error}"),
            Self::File(error) => write!(f, "the file that it is stored in cannot be read: {error}"),
        }
    }
}

impl std::error::Error for StreamError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connection(error) => Some(error),
            Self::Backend(error) => Some(error),
            Self::File(error) => Some(error),
        }
    }
}
