//! What whoever watches the edge is told of each request.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use selvedge_core::time::Timestamp;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

/// How many requests wait for whoever listens; older ones are lost to it.
const MAX_WAITING: usize = 1024;

/// One request whose response has ended, or broken off.
///
/// What it holds of the client's is cut as in the access log, and its query is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRequest {
    /// When its head was there, by the machine's clock.
    pub time: Timestamp,
    /// Its method.
    pub method: String,
    /// The host that was asked for.
    pub host: Option<String>,
    /// Its path.
    pub path: String,
    /// The response's status; `None` when the client went away before there was one.
    pub status: Option<u16>,
    /// Code of the reason why the response is what it is.
    pub reason: Option<&'static str>,
    /// Code of the reason that says what the cache had to do with it.
    pub cache: Option<&'static str>,
    /// Name of the backend that answered, or failed last.
    pub backend: Option<String>,
    /// From the request's head to the end of its response.
    pub duration: Duration,
    /// Whether the response broke off.
    pub is_aborted: bool,
}

/// The requests of an edge in the order in which they end, from when this was made.
///
/// The edge never waits for whoever reads: of those that nobody took, the last 1,024 are there.
#[derive(Debug)]
pub struct Requests {
    receiver: broadcast::Receiver<Arc<SeenRequest>>,
    lost: u64,
}

/// Where requests are told. It costs next to nothing until somebody has listened.
#[derive(Debug, Default)]
pub(crate) struct Feed(OnceLock<broadcast::Sender<Arc<SeenRequest>>>);

impl Requests {
    /// Returns the next request, if one has ended.
    pub fn try_next(&mut self) -> Option<Arc<SeenRequest>> {
        loop {
            match self.receiver.try_recv() {
                Ok(request) => return Some(request),
                Err(TryRecvError::Lagged(lost)) => self.lost += lost,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }

    /// Returns how many were lost, as too many waited.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

/// Waits for the next request and ends with the edge.
///
/// # Panics
/// `next` panics in asynchronous code, which it would hold up.
impl Iterator for Requests {
    type Item = Arc<SeenRequest>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.receiver.blocking_recv() {
                Ok(request) => return Some(request),
                Err(RecvError::Lagged(lost)) => self.lost += lost,
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

impl Feed {
    pub(crate) fn listen(&self) -> Requests {
        let sender = self.0.get_or_init(|| broadcast::channel(MAX_WAITING).0);
        Requests { receiver: sender.subscribe(), lost: 0 }
    }

    pub(crate) fn has_listeners(&self) -> bool {
        self.0.get().is_some_and(|sender| sender.receiver_count() > 0)
    }

    pub(crate) fn tell(&self, request: SeenRequest) {
        if let Some(sender) = self.0.get() {
            // Whoever listened may be gone by now.
            let _ = sender.send(Arc::new(request));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(number: usize) -> SeenRequest {
        SeenRequest {
            time: Timestamp::from_millis(0),
            method: "GET".to_owned(),
            host: None,
            path: format!("/{number}"),
            status: Some(200),
            reason: None,
            cache: None,
            backend: None,
            duration: Duration::ZERO,
            is_aborted: false,
        }
    }

    #[test]
    fn who_is_too_slow_loses_the_oldest_and_nobody_waits() {
        let feed = Feed::default();
        assert!(!feed.has_listeners());
        feed.tell(request(0));
        let (mut slow, mut quick) = (feed.listen(), feed.listen());
        assert!(feed.has_listeners());
        for number in 1..=MAX_WAITING + 2 {
            feed.tell(request(number));
            assert_eq!(quick.try_next().map(|seen| seen.path.clone()), Some(format!("/{number}")));
        }
        assert_eq!(slow.try_next().map(|seen| seen.path.clone()), Some("/3".to_owned()));
        assert_eq!((slow.lost(), quick.lost()), (2, 0));
        assert!(quick.try_next().is_none(), "it has seen all");
        drop(quick);
        drop(feed);
        assert_eq!(slow.count(), MAX_WAITING - 1, "what waits is there after the edge's end");
    }
}
