//! Another policy while the edge runs.

use std::sync::{Arc, Mutex, PoisonError};

use selvedge_emulator::{Change, EngineHandle, Watcher, Watching};

use super::{OriginAddress, info, local};
use crate::cli::{DIM, GREEN, error_label};
use crate::policy::{self, Refused, Source};
use crate::runtime::Runtime;
use crate::view::board::{Board, Told};

/// What takes another policy into use; the runtime that it has ends with it.
pub(super) struct Reloader {
    pub(super) source: Source,
    pub(super) handle: EngineHandle,
    pub(super) origin: OriginAddress,
    pub(super) runtime: Option<Runtime>,
    pub(super) board: Board,
}

/// What lets edits take effect until it is dropped.
pub(super) struct Reloading {
    reloader: Arc<Mutex<Reloader>>,
    /// There is none for a policy that cannot be edited.
    _watching: Option<Watching>,
}

impl Reloading {
    /// Begins with the text that is in use.
    pub(super) fn start(reloader: Reloader, text: String) -> anyhow::Result<Self> {
        let path = match &reloader.source {
            Source::File(path) => Some(path.clone()),
            Source::Storefront => None,
        };
        let reloader = Arc::new(Mutex::new(reloader));
        let watched = Arc::clone(&reloader);
        let on_change =
            move |change| watched.lock().unwrap_or_else(PoisonError::into_inner).on_change(change);
        let watching = path.map(|path| Watcher::new(path, text).spawn(on_change)).transpose()?;
        Ok(Self { reloader, _watching: watching })
    }

    /// Returns what reads the policy again, beside whoever calls it; not while that is under way already.
    pub(super) fn again(&self) -> impl Fn() + Send + 'static {
        let reloader = Arc::clone(&self.reloader);
        move || {
            let reloader = Arc::clone(&reloader);
            let reload = move || {
                if let Ok(mut reloader) = reloader.try_lock() {
                    reloader.read_again();
                }
            };
            // Without a thread it is not read, and the key can be pressed again.
            let _ = std::thread::Builder::new().name("reload".to_owned()).spawn(reload);
        }
    }
}

impl Reloader {
    fn read_again(&mut self) {
        match self.source.text() {
            Ok(text) => self.replace(&text),
            Err(error) => self.board.tell(Told::Refused(format!("{} {error:#}", error_label()))),
        }
    }

    fn on_change(&mut self, change: Change) {
        match change {
            Change::Edited(text) => self.replace(&text),
            Change::Unreadable(error) => {
                let told = format!("{} cannot read {}: {error}", error_label(), self.source.name());
                self.board.tell(Told::Refused(told));
            }
            Change::Unchanged => {}
        }
    }

    /// Takes a policy into use; an invalid one leaves the policy as it is and says why.
    fn replace(&mut self, text: &str) {
        let name = self.source.name();
        let told = match policy::compile_with(text, |policy| self.origin.redirect(policy)) {
            Ok(engine) => {
                let runtime = self.runtime.as_mut();
                match runtime.map(|runtime| runtime.reload(&local(engine.policy()))) {
                    Some(Err(error)) => Told::Refused(format!("{} {name}: {error:#}", error_label())),
                    Some(Ok(())) | None => {
                        let info = info(&engine, text);
                        let told = format!("{GREEN}reloaded{GREEN:#} {name} ({})", info.hash);
                        self.handle.replace(Arc::new(engine), info);
                        Told::Reloaded(told)
                    }
                }
            }
            Err(Refused::Policy(errors)) => Told::Refused(format!(
                "{}{DIM}the policy before this edit stays in use{DIM:#}",
                policy::render(&name, text, &errors)
            )),
            Err(Refused::Compile(message)) => Told::Refused(format!(
                "{} {name}: {message}; the policy before this edit stays in use",
                error_label()
            )),
        };
        self.board.tell(told);
    }
}
