//! A stored body on its way from the folder to the client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::store::disk::{BodyId, StoredBody};

/// A body that is read block by block on threads that may block.
///
/// Nothing is read before the first frame is asked for; from then on one block is read ahead. Damage breaks it off.
#[derive(Debug)]
pub(crate) struct DiskBody {
    left: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Unread(Box<StoredBody>),
    Reading(JoinHandle<Read>),
    Ended,
}

type Read = (Box<StoredBody>, io::Result<Option<Bytes>>);

impl DiskBody {
    pub(crate) fn new(body: Box<StoredBody>) -> Self {
        Self { left: body.remaining(), state: State::Unread(body) }
    }

    /// Says which body it is, while it is unread.
    pub(crate) fn id(&self) -> Option<BodyId> {
        match &self.state {
            State::Unread(body) => Some(body.id()),
            State::Reading(_) | State::Ended => None,
        }
    }

    /// Leaves only a part of the body; `None` once it is read.
    pub(crate) fn range(self, start: u64, length: u64) -> Option<Self> {
        match self.state {
            State::Unread(body) => Some(Self::new(Box::new(body.range(start, length)))),
            State::Reading(_) | State::Ended => None,
        }
    }
}

impl State {
    fn read(mut body: Box<StoredBody>) -> Self {
        Self::Reading(spawn_blocking(move || {
            let part = body.next_part();
            (body, part)
        }))
    }
}

impl HttpBody for DiskBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        loop {
            match std::mem::replace(&mut this.state, State::Ended) {
                State::Unread(body) => this.state = State::read(body),
                State::Reading(mut reading) => {
                    let Poll::Ready(read) = Pin::new(&mut reading).poll(cx) else {
                        this.state = State::Reading(reading);
                        return Poll::Pending;
                    };
                    let (body, part) = read.map_err(io::Error::other)?;
                    let Some(part) = part.inspect_err(log)? else { return Poll::Ready(None) };
                    this.left = body.remaining();
                    if this.left > 0 {
                        this.state = State::read(body);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(part))));
                }
                State::Ended => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

fn log(error: &io::Error) {
    tracing::warn!(%error, "a stored body cannot be read and breaks off");
}
