//! Watching a policy file for edits.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;

/// How often a watched file is read.
const INTERVAL: Duration = Duration::from_millis(250);
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// One failed reading may be the moment between an editor's delete and its create.
const FAILURES_BEFORE_REPORT: u32 = 2;

/// Tells when the content of a file changes, however an editor saves it.
///
/// Goes by the content: a file that was replaced, or deleted and made again,
/// counts as changed when its text differs, and only then.
#[derive(Debug)]
pub struct Watcher {
    path: PathBuf,
    text: String,
    failures: u32,
}

/// What a look at a watched file found.
#[derive(Debug)]
pub enum Change {
    /// The text is what it was.
    Unchanged,
    /// The text is another one.
    Edited(String),
    /// The file cannot be read, twice in a row; told once until it can be read again.
    Unreadable(io::Error),
}

/// A thread that watches a file until this is dropped.
#[derive(Debug)]
pub struct Watching {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Starts from the text that is in use, which need not be what the file holds by now.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into(), failures: 0 }
    }

    /// Reads the file and says what changed since the last look.
    pub fn check_now(&mut self) -> Change {
        match read(&self.path) {
            Ok(text) => {
                self.failures = 0;
                self.compare(text)
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures == FAILURES_BEFORE_REPORT {
                    Change::Unreadable(error)
                } else {
                    Change::Unchanged
                }
            }
        }
    }

    /// Looks four times a second, on a thread of its own, and calls back with each change.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn spawn(mut self, mut on_change: impl FnMut(Change) + Send + 'static) -> anyhow::Result<Watching> {
        let (stop, stopped) = channel::<()>();
        let watch = move || {
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                match self.check_now() {
                    Change::Unchanged => {}
                    change @ (Change::Edited(_) | Change::Unreadable(_)) => on_change(change),
                }
            }
        };
        let thread = std::thread::Builder::new().name("policy-watcher".to_owned()).spawn(watch);
        let thread = thread.context("cannot start a thread to watch the policy")?;
        Ok(Watching { stop: Some(stop), thread: Some(thread) })
    }

    fn compare(&mut self, text: String) -> Change {
        if text == self.text {
            return Change::Unchanged;
        }
        self.text.clone_from(&text);
        Change::Edited(text)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A callback that panicked has reported itself; there is nothing to add here.
            let _ = thread.join();
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("longer than {MAX_FILE_BYTES} bytes"),
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn edited(change: Change) -> Option<String> {
        match change {
            Change::Edited(text) => Some(text),
            Change::Unchanged | Change::Unreadable(_) => None,
        }
    }

    #[test]
    fn saves_in_place_by_rename_and_by_delete_and_create_are_all_seen_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("edge.toml");
        fs::write(&path, "one").unwrap();
        let mut watcher = Watcher::new(&path, "one");
        assert_eq!(edited(watcher.check_now()), None, "nothing happened");

        fs::write(&path, "two").unwrap();
        assert_eq!(edited(watcher.check_now()).as_deref(), Some("two"), "written in place");
        assert_eq!(edited(watcher.check_now()), None, "an edit is told once");

        fs::write(directory.path().join("new"), "three").unwrap();
        fs::rename(directory.path().join("new"), &path).unwrap();
        assert_eq!(edited(watcher.check_now()).as_deref(), Some("three"), "renamed over");

        fs::remove_file(&path).unwrap();
        assert_eq!(edited(watcher.check_now()), None, "gone is not an edit");
        fs::write(&path, "three").unwrap();
        assert_eq!(edited(watcher.check_now()), None, "made again with the same text");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "four").unwrap();
        assert_eq!(edited(watcher.check_now()).as_deref(), Some("four"), "made again with another text");
    }

    #[test]
    fn a_missing_file_is_reported_at_the_second_look_and_only_once() {
        let directory = tempfile::tempdir().unwrap();
        let mut watcher = Watcher::new(directory.path().join("edge.toml"), "");
        let looks: Vec<Change> = (0..4).map(|_| watcher.check_now()).collect();
        let reported: Vec<bool> = looks.iter().map(|look| matches!(look, Change::Unreadable(_))).collect();
        assert_eq!(reported, [false, true, false, false]);
    }

    #[test]
    fn a_file_that_is_too_long_or_no_text_is_unreadable() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for content in [vec![b'a'; 4 * 1024 * 1024 + 1], vec![0xff]] {
            fs::write(file.path(), content).unwrap();
            let mut watcher = Watcher::new(file.path(), "");
            watcher.check_now();
            assert!(matches!(watcher.check_now(), Change::Unreadable(_)));
        }
    }

    #[test]
    fn a_spawned_watcher_calls_back_with_the_edit_and_ends_when_dropped() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "edited").unwrap();
        let (sender, receiver) = channel();
        let watcher = Watcher::new(file.path(), "before");
        let watching = watcher.spawn(move |change| drop(sender.send(edited(change)))).unwrap();
        assert_eq!(receiver.recv().unwrap().as_deref(), Some("edited"));
        drop(watching);
        assert!(receiver.recv().is_err(), "the callback is gone with its thread");
    }
}
