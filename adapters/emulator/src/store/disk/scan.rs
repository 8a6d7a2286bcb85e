//! What a folder holds when it is opened.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::time::SystemTime;

use selvedge_core::time::Timestamp;

use super::files::{self, Named, body_path, head_path};
use super::format::{BodyId, Digest, HeadFile, MAX_HEAD_FILE_BYTES, digest};
use super::index::{Index, space};

/// An entry that is whole as far as its head and the length of its body tell.
struct Whole {
    last_use: SystemTime,
    digest: Digest,
    head: HeadFile,
    bytes: u64,
}

/// Makes the index of a folder and removes every file of the store that belongs to no entry.
pub(super) fn scan(dir: &Path, max_bytes: u64, now: Timestamp) -> io::Result<Index> {
    let (mut heads, mut bodies) = (Vec::new(), HashSet::new());
    for file in fs::read_dir(dir)? {
        let file = file?;
        match file.file_name().to_str().map_or(Named::Foreign, Named::of) {
            Named::Head(digest) => heads.push(digest),
            Named::Body(digest, id) => drop(bodies.insert((digest, id))),
            Named::Unfinished => files::remove(&file.path()),
            Named::Foreign => {}
        }
    }
    let mut entries = Vec::with_capacity(heads.len());
    for digest in heads {
        match whole(dir, digest, &mut bodies, now) {
            Some(entry) => entries.push(entry),
            None => files::remove(&head_path(dir, &digest)),
        }
    }
    for (digest, id) in bodies {
        files::remove(&body_path(dir, &digest, id));
    }
    entries.sort_by_key(|entry| entry.last_use);
    let mut index = Index::new(max_bytes);
    for Whole { digest, head, bytes, .. } in entries {
        index.insert(digest, head.keep_until, head.body, bytes);
    }
    Ok(index)
}

/// Reads an entry's head; its body is no longer among `bodies` when the entry is whole.
fn whole(dir: &Path, name: Digest, bodies: &mut HashSet<(Digest, BodyId)>, now: Timestamp) -> Option<Whole> {
    let (head, last_use, head_bytes) = read_head(dir, &name).ok()?;
    if digest(&head.key) != name || head.keep_until <= now {
        return None;
    }
    let mut bytes = space(head_bytes);
    if let Some(body) = head.body {
        let length = fs::metadata(body_path(dir, &name, body.id)).ok()?.len();
        if Some(length) != body.file_bytes() || !bodies.remove(&(name, body.id)) {
            return None;
        }
        bytes += space(length);
    }
    Some(Whole { last_use, digest: name, head, bytes })
}

/// Reads a head file, and says when its entry was last used and how long the file is.
fn read_head(dir: &Path, digest: &Digest) -> io::Result<(HeadFile, SystemTime, u64)> {
    let mut file = File::open(head_path(dir, digest))?;
    let metadata = file.metadata()?;
    let head = read(&mut file, metadata.len())?;
    Ok((head, metadata.modified()?, metadata.len()))
}

/// Reads a head file and notes that its entry was used.
pub(super) fn use_head(dir: &Path, digest: &Digest) -> io::Result<HeadFile> {
    let mut file = File::open(head_path(dir, digest))?;
    let head = read(&mut file, 0)?;
    // Without the time the entry may go too early after a restart, which is no reason to fail.
    let _ = file.set_modified(SystemTime::now());
    Ok(head)
}

fn read(file: &mut File, expected_bytes: u64) -> io::Result<HeadFile> {
    let mut content = Vec::with_capacity(expected_bytes.min(MAX_HEAD_FILE_BYTES) as usize);
    file.take(MAX_HEAD_FILE_BYTES + 1).read_to_end(&mut content)?;
    HeadFile::decode(&content).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
