//! A body that is written to the folder while it streams.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::store::disk::BodyWriter;
use crate::store::{DiskPut, Store};

/// How much is gathered for one write.
const WRITE_BYTES: usize = 256 * 1024;

/// Writes a body piece by piece on threads that may block: one piece at most is being written while the next one is gathered.
pub(crate) struct Spill {
    store: Arc<Store>,
    put: DiskPut,
    gathered: BytesMut,
    state: State,
}

enum State {
    /// Nothing is being written; no file is there before the first write.
    Idle(Option<Box<BodyWriter>>),
    Writing(JoinHandle<io::Result<Box<BodyWriter>>>),
    Failed,
}

impl Spill {
    pub(crate) fn new(store: Arc<Store>, put: DiskPut) -> Self {
        Self { store, put, gathered: BytesMut::new(), state: State::Idle(None) }
    }

    /// Takes content; call it only once there [is room](Self::poll_room).
    pub(crate) fn push(&mut self, content: &[u8]) {
        self.gathered.extend_from_slice(content);
    }

    /// Ready when little enough is gathered for more to come; an error means that the body cannot be stored.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let State::Writing(writing) = &mut self.state
                && (self.gathered.len() >= WRITE_BYTES || writing.is_finished())
            {
                let written = ready!(Pin::new(writing).poll(cx));
                self.state = State::Failed;
                self.state = State::Idle(Some(written.map_err(io::Error::other)??));
            }
            if self.gathered.len() < WRITE_BYTES {
                return Poll::Ready(Ok(()));
            }
            let State::Idle(writer) = std::mem::replace(&mut self.state, State::Failed) else {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            };
            let (store, key) = (Arc::clone(&self.store), self.put.key.clone());
            let content = self.gathered.split().freeze();
            self.state = State::Writing(spawn_blocking(move || write(&store, &key, writer, &content)));
        }
    }

    /// Writes what is left and makes it an entry.
    pub(crate) fn finish(mut self) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send>> {
        let state = std::mem::replace(&mut self.state, State::Failed);
        let (store, put) = (Arc::clone(&self.store), self.put.clone());
        let content = self.gathered.split().freeze();
        Box::pin(async move {
            let writer = match state {
                State::Idle(writer) => writer,
                State::Writing(writing) => Some(writing.await.map_err(io::Error::other)??),
                State::Failed => return Err(io::ErrorKind::BrokenPipe.into()),
            };
            let commit = move || {
                let writer = write(&store, &put.key, writer, &content)?;
                store.commit(*writer, put)
            };
            spawn_blocking(commit).await.map_err(io::Error::other)?
        })
    }
}

fn write(
    store: &Store,
    key: &str,
    writer: Option<Box<BodyWriter>>,
    content: &Bytes,
) -> io::Result<Box<BodyWriter>> {
    let mut writer = match writer {
        Some(writer) => writer,
        None => Box::new(store.writer(key)?),
    };
    writer.write(content)?;
    Ok(writer)
}

/// A body that broke off: its file goes on a thread that may block, since a long one takes its time.
impl Drop for Spill {
    fn drop(&mut self) {
        if let (State::Idle(Some(writer)), Ok(runtime)) =
            (std::mem::replace(&mut self.state, State::Failed), Handle::try_current())
        {
            runtime.spawn_blocking(move || drop(writer));
        }
    }
}

impl fmt::Debug for Spill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spill").field("put", &self.put).finish_non_exhaustive()
    }
}
