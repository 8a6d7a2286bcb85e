//! A store of responses in a folder, for bodies that are too long for memory.
//!
//! An entry is a head file and, for a response, a body file. A body file never changes once it has its name, and
//! that name is used once; the head file says which body is its own and is replaced by renaming. So an entry is
//! whole at every moment, whenever the process ends: a body without its head, or a head without its body, is no
//! entry and goes when the folder is next opened.
//!
//! Nothing is synced to the device. When the machine itself goes down, entries may be lost, and the removal of
//! one may be undone; what is left of a file that was not written out does not have its checksums, so that no
//! wrong byte is ever served.
//!
//! What is purged is written down beside the entries. A folder that cannot say what was purged is emptied when it is opened.
//!
//! Every call here but [`contains`](DiskStore::contains), [`touch`](DiskStore::touch) and
//! [`size`](DiskStore::size) reads or writes files and belongs on a thread that may block.

mod files;
mod folder;
mod format;
mod index;
mod purges;
mod reader;
mod scan;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use selvedge_core::body::Body;
use selvedge_core::cache::purge::{Ledger, Manner, Purge};
use selvedge_core::cache::stored::StoredResponse;
use selvedge_core::effect::{CacheEntry, Variants};
use selvedge_core::time::Timestamp;
use selvedge_core::wire::encode_entry;

use folder::Folder;
use format::{HeadFile, digest};
use purges::PurgeLog;

pub use format::BodyId;
pub use reader::StoredBody;
pub use writer::BodyWriter;

/// Responses in a folder by key, bounded by their bytes; clones share it.
///
/// What expires goes at the next write, and what was not used for longest goes when there is no room. The order of
/// use outlives the process as the times of the files. A file counts for whole blocks of 4 KiB. One response takes
/// at most half of the store. What was purged takes a few MiB at most, which do not count.
///
/// # Examples
/// ```
/// use selvedge_core::time::Timestamp;
/// use selvedge_emulator::store::disk::DiskStore;
///
/// let folder = tempfile::tempdir()?;
/// let now = Timestamp::from_millis(1_000);
/// let store = DiskStore::open(folder.path(), 1 << 30, now)?;
/// assert!(store.get("https://shop.example/film", now).is_none());
/// assert!(DiskStore::open(folder.path(), 1 << 30, now).is_err(), "it is in use");
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DiskStore {
    folder: Arc<Folder>,
    purges: Arc<Mutex<PurgeLog>>,
}

/// What the folder holds under one key.
#[derive(Debug)]
pub enum DiskEntry {
    /// A response, and its body, of which nothing is read yet.
    Response(Arc<StoredResponse>, Box<StoredBody>),
    /// The request headers by which responses for this key differ.
    Variants {
        /// Their names.
        variants: Variants,
        /// How much longer they are kept.
        keep: Duration,
    },
}

impl DiskStore {
    /// Opens a folder, makes it when it is not there, and removes what is expired, unfinished, cut off or damaged.
    ///
    /// Reads every head and no body. A body's damage is found when it is read. Files that are not the store's stay.
    ///
    /// # Errors
    /// When another store has the folder open for longer than a second, in this process or another, or when the folder cannot be made, locked or read.
    pub fn open(dir: &Path, max_bytes: u64, now: Timestamp) -> anyhow::Result<Self> {
        let context = || format!("cannot use the cache folder {}", dir.display());
        fs::create_dir_all(dir).with_context(context)?;
        let dir = dir.canonicalize().with_context(context)?;
        let lock = File::options().create(true).truncate(false).write(true).open(dir.join(files::LOCK));
        let lock = lock.with_context(context)?;
        match try_lock(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("the cache folder {} is in use by another edge, and each needs its own", dir.display())
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(context),
        }
        let index = scan::scan(&dir, max_bytes, now).with_context(context)?;
        let folder = Arc::new(Folder::new(dir, index, lock));
        folder.make_room(0).with_context(context)?;
        let is_empty = folder.index().size().1 == 0;
        let purged = PurgeLog::read(folder.dir()).filter(|_| !is_empty);
        let is_unknown = purged.is_none() && !is_empty;
        let log = PurgeLog::create(folder.dir(), purged.unwrap_or_default()).with_context(context)?;
        let store = Self { folder, purges: Arc::new(Mutex::new(log)) };
        if is_unknown {
            tracing::warn!("the cache folder does not say what was purged, so all of it goes");
            store.clear();
        }
        Ok(store)
    }

    /// Returns what was purged, also before this start.
    #[must_use]
    pub fn purged(&self) -> Ledger {
        self.purges().ledger().clone()
    }

    /// Writes purges down for the next start. The entries stay; [`purged`](Self::purged) is to be asked about each of them.
    ///
    /// # Errors
    /// When they cannot be written; then the folder loses all entries at the next start, unless a later purge can be written.
    pub fn purge(&self, purges: &[Purge], manner: Manner, at: Timestamp) -> io::Result<()> {
        self.purges().write(purges, manner, at)
    }

    /// Looks a key up. What is expired or damaged is removed and not found.
    #[must_use]
    pub fn get(&self, key: &str, now: Timestamp) -> Option<DiskEntry> {
        reader::get(&self.folder, key, now)
    }

    /// Returns whether a key may have an entry; does not look at the files.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.folder.index().get(&digest(key)).is_some()
    }

    /// Notes that an entry was used though it was not read.
    pub fn touch(&self, key: &str) {
        self.folder.index().touch(&digest(key));
    }

    /// Begins to write a response's body. Until it is [committed](BodyWriter::commit) nothing can be read,
    /// and an earlier entry stays.
    ///
    /// # Errors
    /// When no file can be made.
    pub fn writer(&self, key: &str, now: Timestamp) -> io::Result<BodyWriter> {
        self.folder.drop_expired(now);
        BodyWriter::create(Arc::clone(&self.folder), key)
    }

    /// Stores the names of the request headers by which responses for a key differ, in the place of what it has.
    ///
    /// # Errors
    /// When there is no room or a file cannot be written.
    pub fn put_variants(
        &self,
        key: &str,
        variants: Variants,
        keep: Duration,
        now: Timestamp,
    ) -> io::Result<()> {
        self.folder.drop_expired(now);
        let entry = encode_entry(&CacheEntry::Variants(variants));
        let head = HeadFile { key: key.to_owned(), entry, keep_until: now + keep, body: None };
        self.folder.publish(&head, |_| true).map(drop)
    }

    /// Replaces the head of a stored response and the time to keep it; the body stays.
    ///
    /// Returns whether it did so: not when the key's body is another than `body` by now, to which this head does not belong.
    ///
    /// # Errors
    /// When there is no room or the file cannot be written; the entry is as it was, unless it had to make room.
    pub fn replace_head(
        &self,
        key: &str,
        body: BodyId,
        head: Arc<StoredResponse>,
        keep: Duration,
        now: Timestamp,
    ) -> io::Result<bool> {
        let is_meant = |slot: Option<index::Slot>| slot?.body.filter(|stored| stored.id == body);
        let Some(stored) = is_meant(self.folder.index().get(&digest(key))) else { return Ok(false) };
        let entry = encode_entry(&CacheEntry::Response(head, Body::Empty));
        let head = HeadFile { key: key.to_owned(), entry, keep_until: now + keep, body: Some(stored) };
        self.folder.publish(&head, |slot| is_meant(slot).is_some())
    }

    /// Removes an entry; a body that is being read can be read to its end.
    pub fn remove(&self, key: &str) {
        self.folder.remove(&digest(key));
    }

    /// Removes every entry that is there when this is called.
    pub fn clear(&self) {
        let all: Vec<_> = self.folder.index().digests().copied().collect();
        all.iter().for_each(|digest| self.folder.remove(digest));
    }

    fn purges(&self) -> MutexGuard<'_, PurgeLog> {
        self.purges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the bytes and the number of the entries; bodies on their way count as bytes.
    #[must_use]
    pub fn size(&self) -> (u64, u64) {
        self.folder.index().size()
    }

    /// Returns the most bytes of all files.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.folder.index().max_bytes()
    }

    /// Returns the most bytes of one response.
    #[must_use]
    pub fn max_entry_bytes(&self) -> u64 {
        self.max_bytes() / 2
    }
}

/// Locks a file. An edge that is about to end may hold it a little longer, and so may a program that one is about to start.
fn try_lock(file: &File) -> Result<(), TryLockError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(LOCK_PAUSE),
            result => return result,
        }
    }
}

/// How long to wait for the lock, and for how long between two looks.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_PAUSE: Duration = Duration::from_millis(20);
