//! The bodies of one exchange, by the handles that the core knows.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use selvedge_core::body::{Body, BodyHandle};
use selvedge_core::effect::ReadBodyError;

use crate::client_body::ClientBody;
use crate::replay::Replay;
use crate::tee::{Storing, Tee};
use crate::tunnel::Ends;

/// Every body of one exchange that is still with the host; each can be taken once.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    slots: RefCell<Vec<Option<HostBody>>>,
    /// The connections themselves, should they change their protocol.
    pub(crate) ends: Ends,
}

/// A body that streams from the client or from a backend.
#[derive(Debug)]
pub(crate) enum HostBody {
    /// From the client.
    Client(ClientBody),
    /// From a backend.
    Backend(Incoming),
    /// From a backend, and stored on its way.
    Stored(Box<Tee>),
    /// From the client, with a beginning that was read before.
    Again(Box<Replay>),
}

impl Bodies {
    /// Keeps a request's body and returns what the core gets to see of it.
    pub(crate) fn keep_request(&self, body: Incoming) -> Body {
        if body.is_end_stream() { Body::Empty } else { self.keep(HostBody::Client(ClientBody::new(body))) }
    }

    /// Keeps a response's body and returns what the core gets to see of it.
    pub(crate) fn keep_response(&self, body: Incoming) -> Body {
        if body.is_end_stream() { Body::Empty } else { self.keep(HostBody::Backend(body)) }
    }

    /// Keeps a body and returns what stands for it.
    pub(crate) fn keep(&self, body: HostBody) -> Body {
        let mut slots = self.slots.borrow_mut();
        let handle = u32::try_from(slots.len()).expect("an exchange has a handful of bodies");
        slots.push(Some(body));
        Body::Host(BodyHandle(handle))
    }

    /// Hands a body out; `None` when it was handed out before.
    pub(crate) fn take(&self, handle: BodyHandle) -> Option<HostBody> {
        self.slots.borrow_mut().get_mut(handle.0 as usize)?.take()
    }

    /// Lets a body be stored by whoever reads it.
    pub(crate) fn store(&self, handle: BodyHandle, storing: Storing) {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(handle.0 as usize) else { return };
        *slot = match slot.take() {
            Some(HostBody::Backend(body)) => Some(HostBody::Stored(Box::new(Tee::new(body, storing)))),
            other @ (Some(HostBody::Client(_) | HostBody::Stored(_) | HostBody::Again(_)) | None) => other,
        };
    }

    /// Reads to the end what is to be stored though no client reads it.
    pub(crate) async fn read_unread_stores(&self) {
        let slots = std::mem::take(&mut *self.slots.borrow_mut());
        for body in slots.into_iter().flatten() {
            match body {
                HostBody::Client(_) | HostBody::Backend(_) | HostBody::Again(_) => {}
                HostBody::Stored(mut tee) => while let Some(Ok(_)) = tee.frame().await {},
            }
        }
    }
}

impl HostBody {
    /// Reads the whole body into memory.
    pub(crate) async fn read(mut self, limit: usize) -> Result<Bytes, ReadBodyError> {
        let mut whole = BytesMut::new();
        while let Some(frame) = self.frame().await {
            let Ok(chunk) = frame.map_err(|_| ReadBodyError::Broken)?.into_data() else { continue };
            if chunk.len() > limit - whole.len() {
                return Err(ReadBodyError::TooLarge);
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }
}

impl HttpBody for HostBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Client(body) => Pin::new(body).poll_frame(cx),
            Self::Backend(body) => Pin::new(body).poll_frame(cx),
            Self::Stored(tee) => Pin::new(tee).poll_frame(cx),
            Self::Again(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Client(body) => body.is_end_stream(),
            Self::Backend(body) => body.is_end_stream(),
            Self::Stored(tee) => tee.is_end_stream(),
            Self::Again(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Client(body) => body.size_hint(),
            Self::Backend(body) => body.size_hint(),
            Self::Stored(tee) => tee.size_hint(),
            Self::Again(body) => body.size_hint(),
        }
    }
}
