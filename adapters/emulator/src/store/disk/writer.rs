//! A body on its way into the folder.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use selvedge_core::body::Body;
use selvedge_core::cache::stored::StoredResponse;
use selvedge_core::effect::CacheEntry;
use selvedge_core::time::Timestamp;
use selvedge_core::wire::encode_entry;

use super::files::{Unfinished, body_path};
use super::folder::{Folder, Room};
use super::format::{BLOCK_BYTES, BodyId, BodyRef, HeadFile, SUM_BYTES, block_sum, body_header, digest};
use super::index::space;

/// Writes a body block by block; dropped without [`commit`](Self::commit) it leaves nothing behind.
#[derive(Debug)]
pub struct BodyWriter {
    // Before the room, so that the file is gone when its room is given to another.
    unfinished: Unfinished,
    file: File,
    room: Room,
    folder: Arc<Folder>,
    key: String,
    body: BodyRef,
    blocks: u64,
    block: Vec<u8>,
}

impl BodyWriter {
    pub(super) fn create(folder: Arc<Folder>, key: &str) -> io::Result<Self> {
        let body = BodyRef { id: BodyId::random(), length: 0 };
        let room = Room::of(&folder, space(0))?;
        let (unfinished, mut file) = Unfinished::create(folder.dir())?;
        file.write_all(&body_header(body.id))?;
        let block = Vec::with_capacity(BLOCK_BYTES + SUM_BYTES);
        Ok(Self { unfinished, file, room, folder, key: key.to_owned(), body, blocks: 0, block })
    }

    /// Adds content. At most 64 KiB are held back until the next call.
    ///
    /// # Errors
    /// When there is no room, when the body takes more than half of the store, or when the file cannot be written;
    /// then the body cannot be stored.
    pub fn write(&mut self, mut content: &[u8]) -> io::Result<()> {
        while !content.is_empty() {
            let (now, later) = content.split_at(content.len().min(BLOCK_BYTES - self.block.len()));
            self.block.extend_from_slice(now);
            self.body.length += now.len() as u64;
            if self.block.len() == BLOCK_BYTES {
                self.write_block()?;
            }
            content = later;
        }
        Ok(())
    }

    /// Returns how much content was added.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.body.length
    }

    /// Makes what was written the entry of its key, at once and as a whole.
    ///
    /// # Errors
    /// When there is no room or a file cannot be written; then the key has the entry that it had, if it did not
    /// have to make room.
    pub fn commit(mut self, head: Arc<StoredResponse>, keep: Duration, now: Timestamp) -> io::Result<()> {
        if !self.block.is_empty() {
            self.write_block()?;
        }
        self.folder.drop_expired(now);
        self.unfinished.rename(body_path(self.folder.dir(), &digest(&self.key), self.body.id))?;
        let entry = encode_entry(&CacheEntry::Response(head, Body::Empty));
        let head = HeadFile { key: self.key, entry, keep_until: now + keep, body: Some(self.body) };
        self.folder.publish(&head, |_| true)?;
        self.unfinished.keep();
        Ok(())
    }

    fn write_block(&mut self) -> io::Result<()> {
        let bytes = space(self.body.file_bytes().ok_or(io::ErrorKind::FileTooLarge)?);
        if bytes > self.folder.index().max_bytes() / 2 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.room.grow_to(bytes)?;
        let sum = block_sum(self.body.id, self.blocks, &self.block);
        self.block.extend_from_slice(&sum);
        self.file.write_all(&self.block)?;
        self.block.clear();
        self.blocks += 1;
        Ok(())
    }
}
