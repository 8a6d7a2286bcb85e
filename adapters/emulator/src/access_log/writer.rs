//! The thread that writes the access log.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;

use super::LogTarget;

/// How many lines may wait for the thread.
const MAX_WAITING: usize = 8192;
/// How much is gathered for one write.
const WRITE_BYTES: usize = 64 * 1024;
/// How long the last lines may take at the end.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Takes lines and writes them beside the requests; dropping it waits for the last ones.
#[derive(Debug)]
pub(crate) struct LogWriter {
    lines: Option<SyncSender<Vec<u8>>>,
    ended: Mutex<Receiver<()>>,
    losses: Arc<Losses>,
}

/// Lines that are not in the log.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    dropped: AtomicU64,
    unwritten: AtomicU64,
}

impl LogWriter {
    /// Opens the log.
    ///
    /// # Errors
    /// When the file cannot be opened, or there is no thread.
    pub(crate) fn open(target: &LogTarget) -> anyhow::Result<Self> {
        match target {
            LogTarget::Stdout => Self::start(io::stdout()),
            LogTarget::File(path) => {
                let file: io::Result<File> = OpenOptions::new().create(true).append(true).open(path);
                Self::start(file.with_context(|| format!("cannot write the access log {}", path.display()))?)
            }
        }
    }

    fn start(to: impl Write + Send + 'static) -> anyhow::Result<Self> {
        let (lines, waiting) = sync_channel(MAX_WAITING);
        let (end, ended) = channel();
        let losses = Arc::new(Losses::default());
        let counted = Arc::clone(&losses);
        let write = move || {
            write_all(&waiting, to, &counted);
            drop(end);
        };
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(write)
            .context("cannot start a thread")?;
        Ok(Self { lines: Some(lines), ended: Mutex::new(ended), losses })
    }

    /// Hands a line over, or drops it where too many wait.
    pub(crate) fn write(&self, line: Vec<u8>) {
        let is_taken = self.lines.as_ref().is_some_and(|lines| lines.try_send(line).is_ok());
        if !is_taken {
            self.losses.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns how many lines were dropped as too many waited.
    pub(crate) fn dropped(&self) -> u64 {
        self.losses.dropped.load(Ordering::Relaxed)
    }

    /// Returns how many lines could not be written.
    pub(crate) fn unwritten(&self) -> u64 {
        self.losses.unwritten.load(Ordering::Relaxed)
    }
}

/// A log that nobody reads, such as a pipe that is full, keeps the edge from ending for a moment only.
impl Drop for LogWriter {
    fn drop(&mut self) {
        self.lines = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(END_TIMEOUT) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the last lines of the access log are not written");
        }
    }
}

/// Writes what comes, as much at once as is there.
fn write_all(lines: &Receiver<Vec<u8>>, mut to: impl Write, losses: &Losses) {
    let mut is_failing = false;
    while let Ok(mut gathered) = lines.recv() {
        let mut count = 1;
        while gathered.len() < WRITE_BYTES {
            let Ok(line) = lines.try_recv() else { break };
            gathered.extend_from_slice(&line);
            count += 1;
        }
        let written = to.write_all(&gathered).and_then(|()| to.flush());
        match &written {
            Err(error) if !is_failing => tracing::error!(%error, "the access log cannot be written"),
            Ok(()) if is_failing => tracing::info!("the access log is written again"),
            Ok(()) | Err(_) => {}
        }
        is_failing = written.is_err();
        if is_failing {
            losses.unwritten.fetch_add(count, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes only when it is let, and fails when told to.
    struct Gated {
        gate: Receiver<io::Result<()>>,
        written: std::sync::mpsc::Sender<usize>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.gate.recv().unwrap_or(Ok(()))?;
            let _ = self.written.send(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted_and_nobody_waits() {
        let ((open, gate), (written, writes)) = (channel(), channel());
        let writer = LogWriter::start(Gated { gate, written }).unwrap();
        let line = vec![b'a'; WRITE_BYTES];
        writer.write(line.clone());
        for _ in 0..=MAX_WAITING {
            writer.write(Vec::new());
        }
        let dropped = writer.dropped();
        assert!(
            (1..=2).contains(&dropped),
            "the thread may have taken the first line, or not yet: {dropped}"
        );
        drop(open);
        drop(writer);
        assert_eq!(writes.iter().sum::<usize>(), line.len(), "what waited is written at the end");
    }

    #[test]
    fn lines_that_a_full_disk_refuses_are_counted_and_later_ones_are_written() {
        let ((open, gate), (written, writes)) = (channel(), channel());
        let writer = LogWriter::start(Gated { gate, written }).unwrap();
        open.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        open.send(Ok(())).unwrap();
        writer.write(b"lost\n".to_vec());
        while writer.unwritten() == 0 {
            std::thread::yield_now();
        }
        writer.write(b"kept!\n".to_vec());
        assert_eq!(writes.recv(), Ok(6));
        assert_eq!((writer.unwritten(), writer.dropped()), (1, 0));
    }
}
