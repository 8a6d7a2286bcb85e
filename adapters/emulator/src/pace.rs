//! How the bodies of one HTTP/2 connection get on.
//!
//! Such a client may let a body wait without letting its connection wait: it gives the body no window, and still answers whatever the
//! connection asks. So the time for which it may take nothing is that since the last move of any of its bodies.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

/// The bodies of a connection.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Bodies that go on when the client takes more.
    waiting: Cell<usize>,
    moved: Cell<Instant>,
    is_used: Cell<bool>,
}

/// One of the bodies, until it is dropped.
#[derive(Debug)]
pub(crate) struct Flow {
    pace: Rc<Pace>,
    state: FlowState,
}

/// Whom a body waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FlowState {
    Client,
    Source,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { waiting: Cell::new(0), moved: Cell::new(Instant::now()), is_used: Cell::new(false) }
    }

    /// Whether the connection has had a body that counts; most have none, and need no clock.
    pub(crate) fn is_used(&self) -> bool {
        self.is_used.get()
    }

    /// Ends when bodies have waited for the client, and none has moved, for so long.
    pub(crate) async fn stalled(&self, limit: Duration) {
        loop {
            let begun = if self.waiting.get() == 0 { Instant::now() } else { self.moved.get() };
            if begun.elapsed() >= limit {
                return;
            }
            tokio::time::sleep_until(begun + limit).await;
        }
    }
}

impl Flow {
    /// Begins with a body that the client has taken nothing of.
    pub(crate) fn begin(pace: Rc<Pace>) -> Self {
        pace.is_used.set(true);
        pace.moved.set(Instant::now());
        pace.waiting.set(pace.waiting.get() + 1);
        Self { pace, state: FlowState::Client }
    }

    /// Takes note that there was room for more of the body, and of whether there was more.
    pub(crate) fn on_room(&mut self, has_more: bool) {
        let state = if has_more { FlowState::Client } else { FlowState::Source };
        self.pace.moved.set(Instant::now());
        self.turn_to(state);
    }

    fn turn_to(&mut self, state: FlowState) {
        let waiting = &self.pace.waiting;
        match (self.state, state) {
            (FlowState::Client, FlowState::Source) => waiting.set(waiting.get() - 1),
            (FlowState::Source, FlowState::Client) => waiting.set(waiting.get() + 1),
            (FlowState::Client, FlowState::Client) | (FlowState::Source, FlowState::Source) => {}
        }
        self.state = state;
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.turn_to(FlowState::Source);
        self.pace.moved.set(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// Seconds until the connection counts as stalled, if it does within an hour.
    async fn stalls_after(pace: &Pace) -> Option<u64> {
        let began = Instant::now();
        tokio::time::timeout(Duration::from_secs(3_600), pace.stalled(LIMIT)).await.ok()?;
        Some(began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_body_that_waits_for_its_client_stalls_a_connection() {
        let pace = Rc::new(Pace::new());
        assert_eq!(stalls_after(&pace).await, None, "it has none");
        let mut flow = Flow::begin(Rc::clone(&pace));
        assert_eq!(stalls_after(&pace).await, Some(10), "there was never room for it");
        flow.on_room(false);
        assert_eq!(stalls_after(&pace).await, None, "it waits for what it comes from");
        flow.on_room(true);
        assert_eq!(stalls_after(&pace).await, Some(10), "the client takes no more");
        drop(flow);
        assert_eq!(stalls_after(&pace).await, None, "it is over");
    }

    #[tokio::test(start_paused = true)]
    async fn one_body_that_moves_is_enough() {
        let pace = Rc::new(Pace::new());
        let _held = Flow::begin(Rc::clone(&pace));
        let mut moving = Flow::begin(Rc::clone(&pace));
        let moves = async {
            for _ in 0..5 {
                tokio::time::sleep(LIMIT / 2).await;
                moving.on_room(true);
            }
        };
        let (after, ()) = tokio::join!(stalls_after(&pace), moves);
        assert_eq!(after, Some(35), "five moves, and then none");
    }
}
