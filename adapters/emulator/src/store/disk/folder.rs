//! The folder and its index, which change together.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use selvedge_core::time::Timestamp;

use super::files::{self, Unfinished};
use super::format::{BodyId, Digest, HeadFile, digest};
use super::index::{Index, Slot, space};

/// The folder, locked for as long as this lives.
///
/// A head file is renamed and removed only under the index's lock, as its name is used again and again. Body files
/// are removed outside of it: their names are never used again, and freeing a long file takes its time.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    index: Mutex<Index>,
    _lock: File,
}

/// Space that is kept free for a file that is being written.
#[derive(Debug)]
pub(super) struct Room {
    folder: Arc<Folder>,
    bytes: u64,
}

impl Folder {
    pub(super) fn new(dir: PathBuf, index: Index, lock: File) -> Self {
        Self { dir, index: Mutex::new(index), _lock: lock }
    }

    pub(super) fn dir(&self) -> &std::path::Path {
        &self.dir
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a head and puts it in place, if `when` agrees with what is there by then. A body that it refers to
    /// must have its name; the body of the entry before it goes.
    pub(super) fn publish(
        self: &Arc<Self>,
        head: &HeadFile,
        when: impl FnOnce(Option<Slot>) -> bool,
    ) -> io::Result<bool> {
        let content = head.encode().ok_or(io::ErrorKind::FileTooLarge)?;
        let head_space = space(content.len() as u64);
        let _room = Room::of(self, head_space)?;
        let (mut unfinished, mut file) = Unfinished::create(&self.dir)?;
        file.write_all(&content)?;
        drop(file);
        let digest = digest(&head.key);
        let mut index = self.index();
        if !when(index.get(&digest)) {
            return Ok(false);
        }
        unfinished.rename(files::head_path(&self.dir, &digest))?;
        unfinished.keep();
        let body_space = head.body.and_then(|body| body.file_bytes()).map_or(0, space);
        let replaced = index.insert(digest, head.keep_until, head.body, head_space + body_space);
        drop(index);
        let old = replaced.and_then(|slot| slot.body).filter(|old| Some(*old) != head.body);
        if let Some(old) = old {
            files::remove(&files::body_path(&self.dir, &digest, old.id));
        }
        Ok(true)
    }

    pub(super) fn remove(&self, digest: &Digest) {
        let mut index = self.index();
        let body = self.take_out(&mut index, digest);
        drop(index);
        body.iter().for_each(|path| files::remove(path));
    }

    /// Removes an entry unless it has been replaced, and returns whether it was still there.
    pub(super) fn remove_generation(&self, digest: &Digest, generation: u64) -> bool {
        self.remove_if(digest, |slot| slot.generation == generation)
    }

    /// Removes the entry of a body.
    pub(super) fn remove_body(&self, digest: &Digest, id: BodyId) {
        self.remove_if(digest, |slot| slot.body.is_some_and(|body| body.id == id));
    }

    pub(super) fn drop_expired(&self, now: Timestamp) {
        let mut bodies = Vec::new();
        let mut index = self.index();
        while let Some(digest) = index.expired(now) {
            bodies.extend(self.take_out(&mut index, &digest));
        }
        drop(index);
        bodies.iter().for_each(|path| files::remove(path));
    }

    /// Removes what was not used for longest until there is room, and keeps the room free.
    pub(super) fn make_room(&self, bytes: u64) -> io::Result<()> {
        let mut bodies = Vec::new();
        let mut index = self.index();
        if !index.can_fit(bytes) {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        while !index.fits(bytes)
            && let Some(digest) = index.least_recently_used()
        {
            bodies.extend(self.take_out(&mut index, &digest));
        }
        index.reserve(bytes);
        drop(index);
        bodies.iter().for_each(|path| files::remove(path));
        Ok(())
    }

    fn remove_if(&self, digest: &Digest, is_meant: impl FnOnce(Slot) -> bool) -> bool {
        let mut index = self.index();
        if !index.get(digest).is_some_and(is_meant) {
            return false;
        }
        let body = self.take_out(&mut index, digest);
        drop(index);
        body.iter().for_each(|path| files::remove(path));
        true
    }

    /// Removes an entry but for its body's file, whose path it returns.
    fn take_out(&self, index: &mut Index, digest: &Digest) -> Option<PathBuf> {
        let slot = index.remove(digest)?;
        files::remove(&files::head_path(&self.dir, digest));
        slot.body.map(|body| files::body_path(&self.dir, digest, body.id))
    }
}

impl Room {
    pub(super) fn of(folder: &Arc<Folder>, bytes: u64) -> io::Result<Self> {
        folder.make_room(bytes)?;
        Ok(Self { folder: Arc::clone(folder), bytes })
    }

    /// Makes it `bytes` in all, if it is less.
    pub(super) fn grow_to(&mut self, bytes: u64) -> io::Result<()> {
        if bytes > self.bytes {
            self.folder.make_room(bytes - self.bytes)?;
            self.bytes = bytes;
        }
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.folder.index().release(self.bytes);
    }
}
