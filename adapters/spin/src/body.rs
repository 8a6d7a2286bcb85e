//! The bodies of one exchange, by the handles that the core knows, and how they are read and written.

use std::cell::RefCell;
use std::future::IntoFuture;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use selvedge_core::body::{Body, BodyHandle};
use selvedge_core::effect::{CachePut, ReadBodyError, Watch};
use selvedge_core::health::BodyEnd;
use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response, Trailers};
use spin_sdk::wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamWriter};
use spin_sdk::wasip3::{wit_future, wit_stream};

use crate::component::{Component, now};
use crate::fetch::{Progress, within};
use crate::store::Reserved;

/// Most bytes that are read or written at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// How a body ends: with trailers or without, or because something broke off.
pub(crate) type End = Result<Option<Trailers>, ErrorCode>;

/// Every body of one exchange that is still with the host; each can be taken once.
#[derive(Default)]
pub(crate) struct Bodies {
    slots: RefCell<Vec<Option<HostBody>>>,
}

/// A body that stays with the host.
pub(crate) enum HostBody {
    /// From the client, unread.
    Request(Request),
    /// From a backend, unread.
    Response(Response),
    /// Read to some point.
    Begun(Reader),
    /// From a backend, to be stored by whoever reads it.
    Stored(Box<(Reader, CachePut)>),
}

/// A body that is read.
pub(crate) struct Reader {
    first: Option<Vec<u8>>,
    stream: StreamReader<u8>,
    end: FutureReader<End>,
    watched: Option<Box<Watched>>,
}

/// A backend's body of which the core wants to know how it ends, and that may have to be whole by some time.
pub(crate) struct Watched {
    watch: Watch,
    status: StatusCode,
    /// How many bytes are to come, where that is known.
    left: Option<u64>,
    /// When its fetch began, on the monotonic clock.
    started: u64,
    /// How much of the time was spent on waiting for the backend.
    waited: u64,
    /// How the request's own body went.
    upload: Rc<Progress>,
    stage: Stage,
}

/// How far a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Unread,
    Begun,
    /// The core knows how it ended.
    Told,
    /// Its time is over.
    Over,
}

/// A body that is written.
pub(crate) struct Writer {
    stream: StreamWriter<u8>,
    end: FutureWriter<End>,
}

/// Nobody reads a body any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unwanted;

impl Bodies {
    /// Keeps a body and returns what the core gets to see of it.
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

    /// Lets a backend's body be stored by whoever reads it.
    pub(crate) fn store(&self, handle: BodyHandle, put: CachePut) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(handle.0 as usize) {
            *slot = slot.take().map(|body| match body {
                HostBody::Response(_) | HostBody::Begun(_) => HostBody::Stored(Box::new((body.read(), put))),
                HostBody::Request(_) | HostBody::Stored(_) => body,
            });
        }
    }

    /// Whether there is something to be stored that no client reads.
    pub(crate) fn has_unread_stores(&self) -> bool {
        self.slots.borrow().iter().any(|slot| matches!(slot, Some(HostBody::Stored(_))))
    }

    /// Reads to the end what is to be stored though no client reads it.
    pub(crate) async fn read_unread_stores(&self, component: &Component) {
        for body in self.slots.take().into_iter().flatten() {
            match body {
                HostBody::Stored(stored) => {
                    let (mut reader, put) = *stored;
                    let mut gathered = Gathered::new(component);
                    while let Some(chunk) = reader.chunk().await {
                        gathered.add(&chunk);
                    }
                    if reader.end().await.is_ok() {
                        gathered.store(put).await;
                    }
                }
                HostBody::Request(_) | HostBody::Response(_) | HostBody::Begun(_) => {}
            }
        }
    }
}

impl HostBody {
    /// Begins to read.
    pub(crate) fn read(self) -> Reader {
        match self {
            Self::Request(request) => Reader::of_request(request),
            Self::Response(response) => {
                let (done, read) = wit_future::new(|| Ok(()));
                let (stream, end) = Response::consume_body(response, read);
                drop(done);
                Reader { first: None, stream, end, watched: None }
            }
            Self::Begun(reader) => reader,
            Self::Stored(stored) => stored.0,
        }
    }
}

impl Reader {
    pub(crate) fn of_request(request: Request) -> Self {
        let (done, read) = wit_future::new(|| Ok(()));
        let (stream, end) = Request::consume_body(request, read);
        drop(done);
        Self { first: None, stream, end, watched: None }
    }

    /// Lets the core know how the body ends, and the body break off when its time is over.
    pub(crate) fn watched(self, watched: Watched) -> Self {
        Self { watched: Some(Box::new(watched)), ..self }
    }

    /// Waits until it is clear whether there is any content.
    pub(crate) async fn peek(&mut self) -> bool {
        if self.first.is_none() {
            self.first = self.chunk().await;
        }
        self.first.is_some()
    }

    /// Returns the next bytes, or `None` at the end; [`end`](Self::end) says which end it is.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let read = self.stream.read(Vec::with_capacity(CHUNK_BYTES));
        let (_, chunk) = match &mut self.watched {
            Some(watched) => watched.wait(read).await?,
            None => read.await,
        };
        self.watched.iter_mut().for_each(|watched| watched.on_bytes(chunk.len()));
        Some(chunk).filter(|chunk| !chunk.is_empty())
    }

    /// Returns how the body ended, once there are no more bytes.
    pub(crate) async fn end(self) -> End {
        let Some(mut watched) = self.watched else { return self.end.await };
        let Some(end) = watched.wait(self.end).await else { return Err(ErrorCode::HttpResponseTimeout) };
        watched.tell(match end {
            Ok(_) => BodyEnd::Whole,
            Err(_) if watched.upload.has_failed() => BodyEnd::Left,
            Err(_) => BodyEnd::Broken,
        });
        end
    }

    /// Hands the body on as it is, when nothing of it was read and its end can stay unknown: its bytes never come in here then.
    pub(crate) fn untouched(self) -> Result<(StreamReader<u8>, FutureReader<End>), Self> {
        let is_seen_here = self.watched.as_ref().is_some_and(|watched| watched.is_to_end_here());
        if self.first.is_none() && !is_seen_here { Ok((self.stream, self.end)) } else { Err(self) }
    }

    /// Reads a whole body into memory.
    pub(crate) async fn whole(mut self, limit: usize) -> Result<Bytes, ReadBodyError> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk().await {
            if chunk.len() > limit - whole.len() {
                return Err(ReadBodyError::TooLarge);
            }
            whole.extend_from_slice(&chunk);
        }
        self.end().await.map_err(|_| ReadBodyError::Broken)?;
        Ok(whole.freeze())
    }
}

impl Watched {
    /// Watches the body of a response whose fetch began at a time of the monotonic clock.
    pub(crate) fn new(
        watch: Watch,
        status: StatusCode,
        left: Option<u64>,
        started: u64,
        upload: Rc<Progress>,
    ) -> Self {
        let waited = watch.total.map_or(0, |_| monotonic_clock::now().saturating_sub(started));
        Self { watch, status, left, started, waited, upload, stage: Stage::Unread }
    }

    /// Whether the body has to go through the component: a probe is to be judged, and a time is to be kept.
    ///
    /// DIFFERENCE: of other bodies that are passed on, the core does not hear how they end. Spin tells nothing of what it passes on by itself,
    /// and to copy them costs every proxied request; circuits are an instance's own, and live as long as its 128 requests.
    fn is_to_end_here(&self) -> bool {
        self.watch.total.is_some() || self.watch.report.probe().is_some()
    }

    /// Waits for the backend; `None` when the time is over. The backend is late then if it was waited for through half of it; else whoever
    /// reads the body was slow.
    async fn wait<F: IntoFuture>(&mut self, future: F) -> Option<F::Output> {
        match self.stage {
            Stage::Over => return None,
            Stage::Unread => self.stage = Stage::Begun,
            Stage::Begun | Stage::Told => {}
        }
        let Some(total) = self.watch.total else { return Some(future.await) };
        let asked = monotonic_clock::now();
        let total = u64::try_from(total.as_nanos()).unwrap_or(u64::MAX);
        let left = self.started.saturating_add(total).saturating_sub(asked);
        let output = within(Duration::from_nanos(left), future.into_future()).await;
        self.waited = self.waited.saturating_add(monotonic_clock::now().saturating_sub(asked));
        if output.is_none() {
            self.tell(if self.waited >= total / 2 { BodyEnd::Late } else { BodyEnd::Left });
            self.stage = Stage::Over;
        }
        output
    }

    /// Whoever has the last byte of a known length does not wait for the end.
    fn on_bytes(&mut self, count: usize) {
        let Some(left) = &mut self.left else { return };
        *left = left.saturating_sub(count as u64);
        if *left == 0 {
            self.tell(BodyEnd::Whole);
        }
    }

    fn tell(&mut self, end: BodyEnd) {
        if matches!(self.stage, Stage::Unread | Stage::Begun) {
            self.stage = Stage::Told;
            self.watch.report.tell(self.status, end, now());
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.tell(if self.stage == Stage::Unread { BodyEnd::Unread } else { BodyEnd::Left });
    }
}

impl Writer {
    /// Makes a body; whoever reads it takes it for broken off when the writer is dropped before [`end`](Self::end).
    pub(crate) fn new() -> (Self, StreamReader<u8>, FutureReader<End>) {
        let (stream, contents) = wit_stream::new();
        let (end, ended) = wit_future::new(|| Err(ErrorCode::InternalError(None)));
        (Self { stream, end }, contents, ended)
    }

    /// Writes bytes as fast as they are read.
    pub(crate) async fn write(&mut self, chunk: Vec<u8>) -> Result<(), Unwanted> {
        if self.stream.write_all(chunk).await.is_empty() { Ok(()) } else { Err(Unwanted) }
    }

    /// Writes what is in memory, a piece at a time so that there is no second copy of the whole.
    pub(crate) async fn write_bytes(&mut self, mut bytes: Bytes) -> Result<(), Unwanted> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(CHUNK_BYTES));
            self.write(piece.to_vec()).await?;
        }
        Ok(())
    }

    /// Ends the body.
    pub(crate) async fn end(self, end: End) {
        drop(self.stream);
        // Whoever does not read the end has no use for it.
        let _ = self.end.write(end).await;
    }
}

/// Returns the end of a body without content.
pub(crate) fn no_trailers() -> FutureReader<End> {
    let (end, ended) = wit_future::new(|| Ok(None));
    drop(end);
    ended
}

/// A body on its way into the store, while it streams to somebody else.
pub(crate) struct Gathered<'a> {
    component: &'a Component,
    bytes: Vec<u8>,
    /// `None` once the body is too long, or all bodies together are.
    reserved: Option<Reserved>,
}

impl<'a> Gathered<'a> {
    pub(crate) fn new(component: &'a Component) -> Self {
        Self { component, bytes: Vec::new(), reserved: Some(component.store.reserve()) }
    }

    pub(crate) fn add(&mut self, chunk: &[u8]) {
        let Some(reserved) = &mut self.reserved else { return };
        if reserved.grow(chunk.len()) {
            self.bytes.extend_from_slice(chunk);
        } else {
            self.reserved = None;
            self.bytes = Vec::new();
        }
    }

    /// Stores a body that came whole.
    pub(crate) async fn store(self, put: CachePut) {
        if self.reserved.is_some() {
            let now = crate::component::now();
            self.component.store.put(put, self.bytes.into(), now, crate::component::seed()).await;
        }
    }
}
