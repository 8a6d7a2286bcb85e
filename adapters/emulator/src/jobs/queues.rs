//! The queues' messages: a database in memory, or in a file where they outlive the emulator.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};
use selvedge_core::effect::StoreError;
use selvedge_core::job::{Job, JobSource, Settlement};
use selvedge_core::time::Timestamp;
use tokio::sync::Notify;

/// Most messages; a queue that is full refuses new ones.
const MAX_MESSAGES: i64 = 100_000;

/// How long a message that was handed out stays away when nobody says what became of it: longer than any delivery takes.
pub(crate) const LEASE: Duration = Duration::from_secs(15 * 60);

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS messages (
    queue TEXT NOT NULL,
    id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    due INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (queue, id)
);
CREATE INDEX IF NOT EXISTS due ON messages (due);";

/// Messages until they are done.
#[derive(Debug)]
pub(crate) struct Queues {
    database: Mutex<Connection>,
    changed: Notify,
}

impl Queues {
    /// Opens the file, or a database in memory.
    pub(crate) fn open(file: Option<&Path>) -> anyhow::Result<Self> {
        let database = match file {
            Some(file) => {
                Connection::open(file).with_context(|| format!("cannot open {}", file.display()))?
            }
            None => Connection::open_in_memory().context("cannot make a database")?,
        };
        database.pragma_update(None, "journal_mode", "WAL").context("cannot set up the queues")?;
        database.execute_batch(SCHEMA).context("cannot set up the queues")?;
        Ok(Self { database: Mutex::new(database), changed: Notify::new() })
    }

    /// Adds a message that is due at once; one that is there already stays as it is.
    pub(crate) fn put(&self, queue: &str, id: &str, body: &Bytes, now: Timestamp) -> Result<(), StoreError> {
        let put = || {
            let database = self.database();
            let count: i64 = database.query_row("SELECT COUNT(*) FROM messages", [], |row| row.get(0))?;
            if count >= MAX_MESSAGES {
                return Ok(false);
            }
            let sql = "INSERT OR IGNORE INTO messages (queue, id, attempt, due, body) VALUES (?, ?, 0, ?, ?)";
            database.execute(sql, params![queue, id, millis(now), &body[..]]).map(|_| true)
        };
        match put() {
            Ok(true) => {
                self.changed.notify_one();
                Ok(())
            }
            Ok(false) => {
                tracing::error!(queue, "the queues are full: {MAX_MESSAGES} messages wait");
                Err(StoreError)
            }
            Err(error) => Err(log(&error)),
        }
    }

    /// Hands out the message that has been due for longest.
    pub(crate) fn take(&self, now: Timestamp) -> Option<Job> {
        let sql = "UPDATE messages SET attempt = attempt + 1, due = ?2 WHERE (queue, id) = (
                SELECT queue, id FROM messages WHERE due <= ?1 ORDER BY due LIMIT 1
            ) RETURNING queue, id, attempt, body";
        let job = self.database().query_row(sql, params![millis(now), millis(now + LEASE)], |row| {
            Ok(Job {
                source: JobSource::Queue(row.get(0)?),
                id: row.get(1)?,
                attempt: row.get(2)?,
                body: row.get::<_, Vec<u8>>(3)?.into(),
            })
        });
        job.optional().map_err(|error| log(&error)).ok().flatten()
    }

    /// Notes what became of a message.
    pub(crate) fn settle(&self, source: &JobSource, id: &str, settlement: Settlement, now: Timestamp) {
        let JobSource::Queue(queue) = source else { return };
        let done = match settlement {
            Settlement::Done | Settlement::Dropped => {
                self.database().execute("DELETE FROM messages WHERE queue = ? AND id = ?", params![queue, id])
            }
            Settlement::Retry { after } => self.database().execute(
                "UPDATE messages SET due = ? WHERE queue = ? AND id = ?",
                params![millis(now + after), queue, id],
            ),
        };
        if let Err(error) = done {
            log(&error);
        }
        self.changed.notify_one();
    }

    /// When the next message is due.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let sql = "SELECT MIN(due) FROM messages";
        let due = self.database().query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
        let millis = due.map_err(|error| log(&error)).ok().flatten()?;
        u64::try_from(millis).ok().map(Timestamp::from_millis)
    }

    /// How many messages wait or are under way, and how many of them are due.
    pub(crate) fn counts(&self, now: Timestamp) -> (i64, i64) {
        let sql = "SELECT COUNT(*), COUNT(*) FILTER (WHERE due <= ?) FROM messages";
        let counts = self.database().query_row(sql, [millis(now)], |row| Ok((row.get(0)?, row.get(1)?)));
        counts.unwrap_or_else(|error| {
            log(&error);
            (0, 0)
        })
    }

    /// Waits until a message was added or settled.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn database(&self) -> MutexGuard<'_, Connection> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn log(error: &rusqlite::Error) -> StoreError {
    tracing::error!(%error, "the queues' database failed");
    StoreError
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn taken(queues: &Queues, now: u64) -> Option<(String, u32)> {
        queues.take(at(now)).map(|job| (job.id, job.attempt))
    }

    fn source() -> JobSource {
        JobSource::Queue("q".to_owned())
    }

    #[test]
    fn a_message_comes_again_until_it_is_done() {
        let queues = Queues::open(None).unwrap();
        queues.put("q", "a", &Bytes::from_static(b"hello"), at(10)).unwrap();
        queues.put("q", "a", &Bytes::from_static(b"twice"), at(11)).unwrap();
        assert_eq!(queues.take(at(9)), None, "it is not due yet");
        let job = queues.take(at(10)).unwrap();
        assert_eq!((job.source, job.attempt, &job.body[..]), (source(), 1, &b"hello"[..]));
        assert_eq!(taken(&queues, 10), None, "it is under way");
        queues.settle(&source(), "a", Settlement::Retry { after: Duration::from_millis(5) }, at(20));
        assert_eq!((queues.next_due(), queues.counts(at(20))), (Some(at(25)), (1, 0)));
        assert_eq!(taken(&queues, 24), None);
        assert_eq!(taken(&queues, 25), Some(("a".to_owned(), 2)));
        queues.settle(&source(), "a", Settlement::Done, at(26));
        assert_eq!((queues.next_due(), queues.counts(at(26))), (None, (0, 0)));
    }

    #[test]
    fn a_message_whose_delivery_was_cut_off_comes_back() {
        let queues = Queues::open(None).unwrap();
        queues.put("q", "a", &Bytes::new(), at(0)).unwrap();
        assert_eq!(taken(&queues, 0), Some(("a".to_owned(), 1)));
        let lease = u64::try_from(LEASE.as_millis()).unwrap();
        assert_eq!(taken(&queues, lease - 1), None);
        assert_eq!(taken(&queues, lease), Some(("a".to_owned(), 2)));
    }

    #[test]
    fn messages_in_a_file_outlive_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("queues.sqlite");
        Queues::open(Some(&file)).unwrap().put("q", "a", &Bytes::new(), at(0)).unwrap();
        assert_eq!(taken(&Queues::open(Some(&file)).unwrap(), 0), Some(("a".to_owned(), 1)));
        assert!(Queues::open(Some(folder.path())).is_err(), "a folder is no file");
    }

    #[test]
    fn full_queues_refuse_messages() {
        let queues = Queues::open(None).unwrap();
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
            INSERT INTO messages SELECT 'q', i, 0, 0, x'' FROM n";
        queues.database().execute(sql, [MAX_MESSAGES - 1]).unwrap();
        assert_eq!(queues.put("q", "last", &Bytes::new(), at(0)), Ok(()));
        assert_eq!(queues.put("q", "more", &Bytes::new(), at(0)), Err(StoreError));
    }
}
