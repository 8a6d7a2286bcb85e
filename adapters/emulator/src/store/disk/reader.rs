//! Entries on their way out of the folder.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use selvedge_core::body::Body;
use selvedge_core::effect::CacheEntry;
use selvedge_core::time::Timestamp;
use selvedge_core::wire::decode_entry;

use super::DiskEntry;
use super::files::body_path;
use super::folder::Folder;
use super::format::{
    BLOCK_BYTES, BODY_HEADER_BYTES, BodyId, BodyRef, Digest, SUM_BYTES, block_offset, block_sum, body_header,
    digest,
};
use super::scan::use_head;

/// How often an entry may be replaced between two looks at it until it counts as not there.
const ATTEMPTS: usize = 3;

/// A stored body, or a part of it, which can be read to its end whatever becomes of its entry.
#[derive(Debug)]
pub struct StoredBody {
    /// Which another process may have by the time that this is read.
    folder: Weak<Folder>,
    digest: Digest,
    body: BodyRef,
    file: File,
    /// What is still to be read.
    rest: Range<u64>,
    /// The block that the file's position is at.
    position: Option<u64>,
}

pub(super) fn get(folder: &Arc<Folder>, key: &str, now: Timestamp) -> Option<DiskEntry> {
    let digest = digest(key);
    for _ in 0..ATTEMPTS {
        let slot = folder.index().get(&digest)?;
        if slot.keep_until > now {
            match read(folder, digest, key, now) {
                Ok(entry) => {
                    folder.index().touch(&digest);
                    return Some(entry);
                }
                Err(error) if is_damage(&error) => {}
                Err(_) => return None,
            }
        }
        if folder.remove_generation(&digest, slot.generation) {
            return None;
        }
    }
    None
}

fn read(folder: &Arc<Folder>, digest: Digest, key: &str, now: Timestamp) -> io::Result<DiskEntry> {
    let head = use_head(folder.dir(), &digest)?;
    let entry = decode_entry(&head.entry, Body::Empty).filter(|_| head.key == key);
    match (entry, head.body) {
        (Some(CacheEntry::Response(stored, _)), Some(body)) => {
            let body = StoredBody::open(folder, digest, body)?;
            Ok(DiskEntry::Response(stored, Box::new(body)))
        }
        (Some(CacheEntry::Variants(variants)), None) => {
            Ok(DiskEntry::Variants { variants, keep: head.keep_until.saturating_since(now) })
        }
        (Some(CacheEntry::Response(..)), None) | (Some(CacheEntry::Variants(_)), Some(_)) | (None, _) => {
            Err(io::ErrorKind::InvalidData.into())
        }
    }
}

/// Whether an entry is not what it should be, rather than out of reach for want of handles or rights.
fn is_damage(error: &io::Error) -> bool {
    [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof, io::ErrorKind::NotFound]
        .contains(&error.kind())
}

impl StoredBody {
    fn open(folder: &Arc<Folder>, digest: Digest, body: BodyRef) -> io::Result<Self> {
        let mut file = File::open(body_path(folder.dir(), &digest, body.id))?;
        let mut header = [0; BODY_HEADER_BYTES];
        file.read_exact(&mut header)?;
        if header != body_header(body.id) || Some(file.metadata()?.len()) != body.file_bytes() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self {
            folder: Arc::downgrade(folder),
            digest,
            body,
            file,
            rest: 0..body.length,
            position: Some(0),
        })
    }

    /// Returns what tells this body from others of its key.
    #[must_use]
    pub const fn id(&self) -> BodyId {
        self.body.id
    }

    /// Returns the length of the whole body.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.body.length
    }

    /// Returns how much is still to be read.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.rest.end - self.rest.start
    }

    /// Leaves `length` bytes from `start` on to be read, or as many as there are.
    #[must_use]
    pub fn range(mut self, start: u64, length: u64) -> Self {
        let start = start.min(self.body.length);
        self.rest = start..start.saturating_add(length).min(self.body.length);
        self
    }

    /// Reads on: at most 64 KiB, never none; `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged here. The entry is removed then.
    pub fn next_part(&mut self) -> io::Result<Option<Bytes>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let part = self.read_part();
        if part.is_err() {
            self.rest.start = self.rest.end;
            if let Some(folder) = self.folder.upgrade() {
                folder.remove_body(&self.digest, self.body.id);
            }
        }
        part.map(Some)
    }

    fn read_part(&mut self) -> io::Result<Bytes> {
        let index = self.rest.start / BLOCK_BYTES as u64;
        let block_start = index * BLOCK_BYTES as u64;
        let block = self.read_block(index, (self.body.length - block_start).min(BLOCK_BYTES as u64))?;
        let from = self.rest.start - block_start;
        let to = (self.rest.end - block_start).min(block.len() as u64);
        self.rest.start = block_start + to;
        Ok(block.slice(from as usize..to as usize))
    }

    fn read_block(&mut self, index: u64, length: u64) -> io::Result<Bytes> {
        if self.position != Some(index) {
            self.file.seek(SeekFrom::Start(block_offset(index)))?;
        }
        self.position = None;
        let mut block = vec![0; length as usize + SUM_BYTES];
        self.file.read_exact(&mut block)?;
        let sum = block.split_off(length as usize);
        if sum != block_sum(self.body.id, index, &block) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a block does not have its checksum"));
        }
        self.position = Some(index + 1);
        Ok(block.into())
    }
}
