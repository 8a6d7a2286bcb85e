//! The view's thread: what is seen, what is pressed, and what is drawn.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyEventKind};
use selvedge_emulator::{Console, Fault, Faults, PurgeRequest, Requests};
use tokio::sync::oneshot;

use super::board::Board;
use super::draw::draw;
use super::keys;
use super::screen::Screen;
use super::state::{About, Command, State};

/// How often the edge is looked at.
const TICK: Duration = Duration::from_millis(250);
/// How many keys are taken before it is drawn again.
const MAX_KEYS: usize = 64;

/// What the view sees the edge by, and what its keys work on.
pub(crate) struct Desk {
    pub(crate) console: Console,
    pub(crate) faults: Faults,
    pub(crate) board: Board,
    /// Reads the policy again, beside whoever asks.
    pub(crate) reload: Box<dyn Fn() + Send>,
}

/// A view that is shown until it is dropped, or until somebody at the keyboard ends it.
#[derive(Debug)]
pub(crate) struct View {
    closing: Arc<AtomicBool>,
    ended: oneshot::Receiver<io::Result<()>>,
    thread: Option<JoinHandle<()>>,
}

impl View {
    /// Takes the terminal and shows the view on it.
    ///
    /// # Errors
    /// When the terminal cannot be taken, or there is no thread.
    pub(crate) fn show(about: About, desk: Desk) -> io::Result<Self> {
        let requests = desk.console.requests();
        let state = State::new(about, desk.console.snapshot());
        let screen = Screen::enter(desk.board.clone())?;
        let closing = Arc::new(AtomicBool::new(false));
        let (end, ended) = oneshot::channel();
        let mut watch = Watch { state, requests, desk, screen, closing: Arc::clone(&closing) };
        let run = move || {
            let result = watch.run();
            drop(watch);
            // Whoever dropped the view does not ask how it ended.
            let _ = end.send(result);
        };
        let thread = std::thread::Builder::new().name("view".to_owned()).spawn(run)?;
        Ok(Self { closing, ended, thread: Some(thread) })
    }

    /// Waits until somebody at the keyboard ends it.
    ///
    /// # Errors
    /// When the terminal was lost.
    pub(crate) async fn ended(&mut self) -> io::Result<()> {
        (&mut self.ended).await.unwrap_or_else(|_| Err(io::Error::other("the view panicked")))
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic has reported itself.
            let _ = thread.join();
        }
    }
}

/// Whether the view goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Continue,
    End,
}

struct Watch {
    state: State,
    requests: Requests,
    desk: Desk,
    screen: Screen,
    closing: Arc<AtomicBool>,
}

impl Watch {
    fn run(&mut self) -> io::Result<()> {
        let mut flow = Flow::Continue;
        // A panic anywhere has given the terminal back, and closed the board.
        while flow == Flow::Continue && !self.is_closing() && self.desk.board.is_open() {
            self.look();
            self.screen.terminal.draw(|frame| draw(frame, &self.state))?;
            flow = self.wait()?;
        }
        end(flow, self.is_closing())
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Takes note of what happened.
    fn look(&mut self) {
        while let Some(request) = self.requests.try_next() {
            self.state.on_request(request);
        }
        self.state.lost = self.requests.lost();
        self.desk.board.take().into_iter().for_each(|told| self.state.on_told(told));
        self.state.on_snapshot(self.desk.console.snapshot());
    }

    /// Waits for a key, for as long as a tick.
    fn wait(&mut self) -> io::Result<Flow> {
        let next = Instant::now() + TICK;
        for _ in 0..MAX_KEYS {
            if !event::poll(next.saturating_duration_since(Instant::now()))? {
                break;
            }
            let happened = event::read()?;
            let key = happened.as_key_event().filter(|key| key.kind != KeyEventKind::Release);
            if let Some(action) = key.and_then(|key| keys::action(&self.state.mode, key)) {
                if let Some(command) = self.state.act(action)
                    && self.carry_out(command) == Flow::End
                {
                    return Ok(Flow::End);
                }
                break;
            }
            if matches!(happened, Event::Resize(..)) {
                break;
            }
        }
        Ok(Flow::Continue)
    }

    fn carry_out(&mut self, command: Command) -> Flow {
        let notice = match command {
            Command::End => return Flow::End,
            Command::SetFault(backend, fault) => {
                match fault {
                    Some(fault) => self.desk.faults.set(&backend, fault),
                    None => self.desk.faults.heal(&backend),
                }
                format!("{backend} {}", Condition(fault))
            }
            Command::Purge(request) => match self.desk.console.purge(&request) {
                Ok(()) => purged(&request),
                Err(refusal) => format!("nothing is purged: {refusal}"),
            },
            Command::Reload => {
                (self.desk.reload)();
                "the policy is read again".to_owned()
            }
        };
        self.state.notice = Some(notice);
        Flow::Continue
    }
}

/// Says what was purged: a path alone is one of the address that the edge listens on.
fn purged(request: &PurgeRequest) -> String {
    match (request.prefixes.as_slice(), request.tags.as_slice()) {
        ([prefix], _) => format!("purged what begins with {prefix}"),
        (_, [tag]) => format!("purged what has the tag {tag}"),
        _ => "everything is purged".to_owned(),
    }
}

/// How the view ended: by a key or from outside, else somebody panicked.
fn end(flow: Flow, is_closing: bool) -> io::Result<()> {
    match flow {
        Flow::Continue if !is_closing => Err(io::Error::other("something panicked")),
        Flow::Continue | Flow::End => Ok(()),
    }
}

/// What is wrong with a backend, in words.
struct Condition(Option<Fault>);

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("is well"),
            Some(Fault::Fail) => f.write_str("fails"),
            Some(Fault::Slow(delay)) => write!(f, "is slow by {} s", delay.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_that_nobody_ended_ended_by_a_panic() {
        for (flow, is_closing, is_well) in [
            (Flow::End, false, true),
            (Flow::Continue, true, true),
            (Flow::End, true, true),
            (Flow::Continue, false, false),
        ] {
            assert_eq!(end(flow, is_closing).is_ok(), is_well, "{flow:?} {is_closing}");
        }
    }

    #[test]
    fn a_notice_says_what_was_purged() {
        let of = |prefixes: &[&str], tags: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            purged(&PurgeRequest { prefixes: owned(prefixes), tags: owned(tags), ..PurgeRequest::default() })
        };
        assert_eq!(
            of(&["http://127.0.0.1:8787/static"], &[]),
            "purged what begins with http://127.0.0.1:8787/static"
        );
        assert_eq!(of(&[], &["shoes"]), "purged what has the tag shoes");
        assert_eq!(of(&[], &[]), "everything is purged");
    }
}
