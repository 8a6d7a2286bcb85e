//! What the view knows, and what becomes of it: by what is seen of the edge, by what is told, and by keys.

mod rates;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use selvedge_emulator::{BackendSnapshot, Fault, PurgeRequest, SeenRequest, Snapshot};

use super::board::Told;
use super::keys::Action;
use crate::visible::visible;
use rates::{FailureRates, RequestRates};

/// How many of the latest requests are kept.
pub(super) const MAX_REQUESTS: usize = 500;
/// How many lines of the log are kept.
const MAX_LOG_LINES: usize = 200;
/// Most characters of what is typed in.
const MAX_TYPED: usize = 200;
/// How slow a backend is made, and how much slower each further time.
const DELAYS: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(10)];

/// What does not change while the edge runs.
#[derive(Clone, Debug)]
pub(crate) struct About {
    /// Where the policy comes from.
    pub(crate) source: String,
    /// Where the edge listens.
    pub(crate) edge: SocketAddr,
    /// Where the reference origin listens, if it was started.
    pub(crate) origin: Option<SocketAddr>,
    /// Requests worth trying.
    pub(crate) tries: Vec<String>,
}

/// What the view knows.
#[derive(Debug)]
pub(crate) struct State {
    pub(super) about: About,
    pub(super) snapshot: Snapshot,
    /// The latest requests, the latest one first.
    pub(super) requests: VecDeque<Arc<SeenRequest>>,
    /// Those that came while the list was paused; `None` when it is not.
    pub(super) held_back: Option<VecDeque<Arc<SeenRequest>>>,
    /// Requests that came too fast to be listed.
    pub(super) lost: u64,
    pub(super) rates: RequestRates,
    pub(super) failures: FailureRates,
    /// The latest lines of the log, the latest one last.
    pub(super) log: VecDeque<String>,
    /// Why the policy's last edit was not taken.
    pub(super) refusal: Option<String>,
    /// The chosen backend's place in the snapshot.
    selected: usize,
    pub(super) mode: Mode,
    /// What came of the last key.
    pub(super) notice: Option<String>,
}

/// What keys are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// Each has its own meaning.
    #[default]
    Watching,
    /// Any of them ends the help.
    Help,
    /// They say whether everything is purged.
    ConfirmingPurge,
    /// They write what is purged.
    NamingPurge(String),
}

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// End the edge.
    End,
    /// Give a backend a fault, or none.
    SetFault(String, Option<Fault>),
    /// Purge.
    Purge(PurgeRequest),
    /// Read the policy again.
    Reload,
}

impl State {
    pub(crate) fn new(about: About, snapshot: Snapshot) -> Self {
        let mut state = Self {
            about,
            requests: VecDeque::new(),
            held_back: None,
            lost: 0,
            rates: RequestRates::new(&snapshot),
            failures: FailureRates::default(),
            log: VecDeque::new(),
            refusal: None,
            selected: 0,
            mode: Mode::default(),
            notice: None,
            snapshot,
        };
        state.failures.note(&state.snapshot);
        state
    }

    /// Takes note of how the edge fares.
    pub(super) fn on_snapshot(&mut self, snapshot: Snapshot) {
        self.rates.note(&snapshot);
        self.failures.note(&snapshot);
        self.snapshot = snapshot;
    }

    /// Takes note of a request.
    pub(super) fn on_request(&mut self, request: Arc<SeenRequest>) {
        let list = self.held_back.as_mut().unwrap_or(&mut self.requests);
        list.push_front(request);
        list.truncate(MAX_REQUESTS);
    }

    /// Takes note of what is told.
    pub(super) fn on_told(&mut self, told: Told) {
        match &told {
            Told::Reloaded(_) => self.refusal = None,
            Told::Refused(text) => self.refusal = Some(text.clone()),
            Told::Line(_) => {}
        }
        for line in told.text().lines() {
            if self.log.len() == MAX_LOG_LINES {
                self.log.pop_front();
            }
            self.log.push_back(visible(line).into_owned());
        }
    }

    /// Does what a key asks for, and returns what is to be done outside.
    pub(super) fn act(&mut self, action: Action) -> Option<Command> {
        self.notice = None;
        match action {
            Action::End => return Some(Command::End),
            Action::Help => self.mode = Mode::Help,
            Action::Previous => self.select(|at, count| (at + count - 1) % count),
            Action::Next => self.select(|at, count| (at + 1) % count),
            Action::Fail => return self.set_fault(|_| Some(Fault::Fail)),
            Action::Slow => return self.set_fault(slower),
            Action::Heal => return self.set_fault(|_| None),
            Action::AskPurge => self.mode = Mode::ConfirmingPurge,
            Action::NamePurge => self.mode = Mode::NamingPurge(String::new()),
            Action::Type(character) => self.write(character),
            Action::Erase => self.erase(),
            Action::Confirm => return self.confirm(),
            Action::Cancel => self.mode = Mode::Watching,
            Action::Reload => return Some(Command::Reload),
            Action::Clear => self.clear(),
            Action::Pause => self.pause(),
        }
        None
    }

    /// Returns the place of the chosen backend and the backend; `None` when the policy has none.
    pub(super) fn chosen(&self) -> Option<(usize, &BackendSnapshot)> {
        let last = self.snapshot.backends.len().checked_sub(1)?;
        let at = self.selected.min(last);
        Some((at, &self.snapshot.backends[at]))
    }

    fn select(&mut self, next: impl Fn(usize, usize) -> usize) {
        if let Some((at, _)) = self.chosen() {
            self.selected = next(at, self.snapshot.backends.len());
        }
    }

    fn set_fault(&mut self, next: impl Fn(Option<Fault>) -> Option<Fault>) -> Option<Command> {
        let Some((_, backend)) = self.chosen() else {
            self.notice = Some("the policy has no backends".to_owned());
            return None;
        };
        Some(Command::SetFault(backend.name.clone(), next(backend.fault)))
    }

    fn write(&mut self, character: char) {
        if let Mode::NamingPurge(typed) = &mut self.mode
            && typed.chars().count() < MAX_TYPED
        {
            typed.push(character);
        }
    }

    fn erase(&mut self) {
        if let Mode::NamingPurge(typed) = &mut self.mode {
            typed.pop();
        }
    }

    fn confirm(&mut self) -> Option<Command> {
        match std::mem::take(&mut self.mode) {
            Mode::ConfirmingPurge => {
                Some(Command::Purge(PurgeRequest { everything: true, ..PurgeRequest::default() }))
            }
            Mode::NamingPurge(typed) if !typed.trim().is_empty() => {
                Some(Command::Purge(self.named(typed.trim())))
            }
            Mode::NamingPurge(_) | Mode::Watching | Mode::Help => None,
        }
    }

    /// What begins as a URL or a path is a prefix, and anything else a tag.
    fn named(&self, typed: &str) -> PurgeRequest {
        let prefix = if typed.starts_with('/') {
            Some(format!("http://{}{typed}", self.about.edge))
        } else {
            typed.contains("://").then(|| typed.to_owned())
        };
        match prefix {
            Some(prefix) => PurgeRequest { prefixes: vec![prefix], ..PurgeRequest::default() },
            None => PurgeRequest { tags: vec![typed.to_owned()], ..PurgeRequest::default() },
        }
    }

    fn clear(&mut self) {
        self.requests.clear();
        self.held_back.iter_mut().for_each(VecDeque::clear);
        self.log.clear();
        self.refusal = None;
    }

    /// Holds the list, or lets it go on with what came meanwhile.
    fn pause(&mut self) {
        match self.held_back.take() {
            None => self.held_back = Some(VecDeque::new()),
            Some(mut held_back) => {
                held_back.append(&mut self.requests);
                held_back.truncate(MAX_REQUESTS);
                self.requests = held_back;
            }
        }
    }
}

/// The next of the delays, and none after the last.
fn slower(fault: Option<Fault>) -> Option<Fault> {
    let delay = match fault {
        None | Some(Fault::Fail) => Duration::ZERO,
        Some(Fault::Slow(delay)) => delay,
    };
    DELAYS.into_iter().find(|next| *next > delay).map(Fault::Slow)
}

#[cfg(test)]
pub(super) mod tests;
