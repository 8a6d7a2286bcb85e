//! A body that is stored while it streams to the client.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use selvedge_native::backend_body::{BackendBody, BackendBodyError};

use crate::spill::Spill;
use crate::store::memory::{BufferFull, Reserved};
use crate::store::{DiskPut, MAX_MEMORY_BODY_BYTES, Store};
use crate::turns::TurnGuard;

/// A backend's body on its way to the client and into the store.
///
/// It is stored when its last byte is there, before the client gets that byte.
/// A body that breaks off, that is longer or shorter than announced, or that
/// takes more room than there is, streams on but is never stored; nor is one whose
/// client goes away, with whom the backend's body ends too.
///
/// What is to be stored on disk comes from the backend as fast as the disk takes it.
pub(crate) struct Tee {
    body: BackendBody,
    announced: Option<u64>,
    length: u64,
    stage: Stage,
    /// Others wait for the body; the turn ends when it is stored, or is not going to be.
    turn: Option<TurnGuard>,
}

/// Where a body goes.
pub(crate) struct Storing {
    /// Whose bounds hold while it is gathered.
    pub(crate) store: Arc<Store>,
    /// Takes a whole body that was gathered in memory.
    pub(crate) put: Box<dyn FnOnce(Bytes) + Send>,
    /// What a longer body becomes on disk, if it may.
    pub(crate) disk: Option<DiskPut>,
    /// What ends with it.
    pub(crate) turn: Option<TurnGuard>,
}

enum Stage {
    Gathering(Gathering),
    Spilling(Spill),
    /// The body is whole and becomes an entry; its last frame waits for that.
    Storing(Pin<Box<dyn Future<Output = io::Result<()>> + Send>>, Option<Frame<Bytes>>),
    /// It is stored, or is not to be.
    Passing,
}

struct Gathering {
    storing: Storing,
    chunks: Vec<Bytes>,
    reserved: Reserved,
}

impl Tee {
    pub(crate) fn new(body: BackendBody, mut storing: Storing) -> Self {
        let turn = storing.turn.take();
        let announced = body.size_hint().exact();
        let gathering = Gathering { storing, chunks: Vec::new(), reserved: Reserved::default() };
        let mut tee = Self { body, announced, length: 0, stage: Stage::Gathering(gathering), turn };
        if announced.is_some_and(|announced| announced > MAX_MEMORY_BODY_BYTES as u64) {
            tee.spill();
        }
        tee
    }

    fn gather(&mut self, frame: &Frame<Bytes>) {
        let Some(chunk) = frame.data_ref() else { return };
        self.length += chunk.len() as u64;
        if self.length > MAX_MEMORY_BODY_BYTES as u64 {
            self.spill();
        }
        match &mut self.stage {
            Stage::Gathering(gathering) => {
                if gathering.add(chunk).is_err() {
                    self.give_up();
                }
            }
            Stage::Spilling(spill) => spill.push(chunk),
            Stage::Storing(..) | Stage::Passing => {}
        }
    }

    /// Goes on to write to the disk what was gathered in memory, if the body may be there.
    fn spill(&mut self) {
        let Stage::Gathering(gathering) = &mut self.stage else { return };
        let Some(put) = gathering.storing.disk.take() else { return };
        let max_bytes = gathering.storing.store.disk().map_or(0, |disk| disk.max_entry_bytes());
        if self.announced.is_some_and(|announced| announced > max_bytes) {
            return self.give_up();
        }
        let mut spill = Spill::new(Arc::clone(&gathering.storing.store), put);
        gathering.chunks.iter().for_each(|chunk| spill.push(chunk));
        self.stage = Stage::Spilling(spill);
    }

    fn give_up(&mut self) {
        self.stage = Stage::Passing;
        self.turn = None;
    }

    fn poll_stored(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        let Stage::Storing(storing, last) = &mut self.stage else { return Poll::Ready(None) };
        if let Err(error) = ready!(storing.as_mut().poll(cx)) {
            log(&error);
        }
        let last = last.take();
        self.give_up();
        Poll::Ready(last)
    }

    /// Stores the body, and keeps its last frame until that is done.
    fn end(&mut self, last: Option<Frame<Bytes>>) -> Option<Frame<Bytes>> {
        let stage = std::mem::replace(&mut self.stage, Stage::Passing);
        let is_whole = self.announced.is_none_or(|announced| announced == self.length);
        match stage {
            Stage::Gathering(gathering) if is_whole => gathering.store(),
            Stage::Spilling(spill) if is_whole => {
                self.stage = Stage::Storing(spill.finish(), last);
                return None;
            }
            Stage::Gathering(_) | Stage::Spilling(_) | Stage::Storing(..) | Stage::Passing => {}
        }
        self.turn = None;
        last
    }
}

impl HttpBody for Tee {
    type Data = Bytes;
    type Error = BackendBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BackendBodyError>>> {
        let this = self.get_mut();
        if let Stage::Spilling(spill) = &mut this.stage
            && let Err(error) = ready!(spill.poll_room(cx))
        {
            this.give_up();
            log(&error);
        }
        if !matches!(this.stage, Stage::Storing(..)) {
            let frame = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    this.gather(&frame);
                    let is_last = this.body.is_end_stream();
                    if is_last { this.end(Some(frame)) } else { Some(frame) }
                }
                Some(Err(error)) => {
                    this.give_up();
                    return Poll::Ready(Some(Err(error)));
                }
                None => this.end(None),
            };
            if !matches!(this.stage, Stage::Storing(..)) {
                return Poll::Ready(frame.map(Ok));
            }
        }
        this.poll_stored(cx).map(|last| last.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.stage, Stage::Passing) && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.stage {
            Stage::Storing(_, Some(last)) => {
                SizeHint::with_exact(last.data_ref().map_or(0, |chunk| chunk.len() as u64))
            }
            Stage::Gathering(_) | Stage::Spilling(_) | Stage::Storing(_, None) | Stage::Passing => {
                self.body.size_hint()
            }
        }
    }
}

impl fmt::Debug for Tee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tee").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Gathering {
    fn add(&mut self, chunk: &Bytes) -> Result<(), BufferFull> {
        self.storing.store.memory.reserve(&mut self.reserved, chunk.len() as u64)?;
        self.chunks.push(chunk.clone());
        Ok(())
    }

    fn store(mut self) {
        let put = std::mem::replace(&mut self.storing.put, Box::new(drop));
        put(join(&self.chunks));
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        self.storing.store.memory.release(&mut self.reserved);
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

fn log(error: &io::Error) {
    tracing::warn!(%error, "a body cannot be stored in the cache folder");
}
