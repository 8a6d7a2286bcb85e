//! A body that is stored while it streams to the client.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use crate::store::{Reserved, Store};

/// A backend's body on its way to the client and into the store.
///
/// It is stored when its last byte is there, before the client gets that byte.
/// A body that breaks off, that is longer or shorter than announced, or that
/// takes more memory than there is, streams on but is never stored.
pub(crate) struct Tee {
    body: Incoming,
    gathering: Option<Gathering>,
}

/// Where a gathered body goes.
pub(crate) struct Storing {
    /// Whose bounds hold while it is gathered.
    pub(crate) store: Arc<Store>,
    /// Takes the whole body.
    pub(crate) put: Box<dyn FnOnce(Bytes) + Send>,
}

struct Gathering {
    store: Arc<Store>,
    put: Option<Box<dyn FnOnce(Bytes) + Send>>,
    chunks: Vec<Bytes>,
    length: u64,
    announced: Option<u64>,
    reserved: Reserved,
}

impl Tee {
    pub(crate) fn new(body: Incoming, storing: Storing) -> Self {
        let announced = body.size_hint().exact();
        let gathering = Gathering {
            store: storing.store,
            put: Some(storing.put),
            chunks: Vec::new(),
            length: 0,
            announced,
            reserved: Reserved::default(),
        };
        Self { body, gathering: Some(gathering) }
    }

    fn gather(&mut self, frame: &Frame<Bytes>) {
        let Some(chunk) = frame.data_ref() else { return };
        if let Some(gathering) = &mut self.gathering
            && gathering.add(chunk).is_err()
        {
            self.gathering = None;
        }
    }

    fn store_when_ended(&mut self) {
        if self.body.is_end_stream()
            && let Some(gathering) = self.gathering.take()
        {
            gathering.store();
        }
    }
}

impl HttpBody for Tee {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                self.gather(frame);
                self.store_when_ended();
            }
            Some(Err(_)) => self.gathering = None,
            None => {
                if let Some(gathering) = self.gathering.take() {
                    gathering.store();
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.gathering.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for Tee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tee").field("gathers", &self.gathering.is_some()).finish_non_exhaustive()
    }
}

impl Gathering {
    fn add(&mut self, chunk: &Bytes) -> Result<(), crate::store::BufferFull> {
        let bytes = chunk.len() as u64;
        self.store.reserve(&mut self.reserved, bytes)?;
        self.length += bytes;
        self.chunks.push(chunk.clone());
        Ok(())
    }

    fn store(mut self) {
        if self.announced.is_some_and(|announced| announced != self.length) {
            return;
        }
        if let Some(put) = self.put.take() {
            put(join(&self.chunks));
        }
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        self.store.release(&mut self.reserved);
    }
}

/// Always copies: a chunk may keep a whole read buffer alive, which the store would not count.
fn join(chunks: &[Bytes]) -> Bytes {
    let mut whole = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
    for chunk in chunks {
        whole.extend_from_slice(chunk);
    }
    whole.freeze()
}
