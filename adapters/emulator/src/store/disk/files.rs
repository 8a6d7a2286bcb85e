//! The folder's files and their names, which hold nothing that a client chose.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use selvedge_core::hex;

use super::format::{BodyId, Digest};

/// The file whose lock says that the folder is in use.
pub(super) const LOCK: &str = "lock";

const HEAD: &str = ".head";
const BODY: &str = ".body";
const UNFINISHED: &str = ".unfinished";

/// A file by what its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Head(Digest),
    Body(Digest, BodyId),
    Unfinished,
    /// Not of this store, which leaves it alone.
    Foreign,
}

impl Named {
    pub(super) fn of(name: &str) -> Self {
        Self::parse(name).unwrap_or(Self::Foreign)
    }

    fn parse(name: &str) -> Option<Self> {
        if let Some(digest) = name.strip_suffix(HEAD) {
            Some(Self::Head(parse_digest(digest)?))
        } else if let Some(name) = name.strip_suffix(BODY) {
            let (digest, id) = name.split_once('-')?;
            Some(Self::Body(parse_digest(digest)?, parse_id(id)?))
        } else {
            parse_id(name.strip_suffix(UNFINISHED)?).map(|_| Self::Unfinished)
        }
    }
}

pub(super) fn head_path(dir: &Path, digest: &Digest) -> PathBuf {
    dir.join(format!("{}{HEAD}", hex::encode(digest)))
}

pub(super) fn body_path(dir: &Path, digest: &Digest, id: BodyId) -> PathBuf {
    dir.join(format!("{}-{:016x}{BODY}", hex::encode(digest), id.number()))
}

/// A file that is removed when this is dropped, unless it was published.
#[derive(Debug)]
pub(super) struct Unfinished {
    path: Option<PathBuf>,
}

impl Unfinished {
    /// Makes an empty file under a name that no other has.
    pub(super) fn create(dir: &Path) -> io::Result<(Self, File)> {
        let path = dir.join(format!("{:016x}{UNFINISHED}", BodyId::random().number()));
        let file = File::create_new(&path)?;
        Ok((Self { path: Some(path) }, file))
    }

    /// Gives the file its name, in the place of one that had it.
    pub(super) fn rename(&mut self, to: PathBuf) -> io::Result<()> {
        let from = self.path.as_deref().ok_or(io::ErrorKind::NotFound)?;
        fs::rename(from, &to)?;
        self.path = Some(to);
        Ok(())
    }

    /// Lets the file stay.
    pub(super) fn keep(mut self) {
        self.path = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            remove(path);
        }
    }
}

/// Removes a file; one that cannot be removed is found by the next scan.
pub(super) fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "a file of the cache cannot be removed");
        }
        Ok(()) | Err(_) => {}
    }
}

fn parse_digest(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    if text.len() != 2 * digest.len() || !is_lower_hex(text) {
        return None;
    }
    for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(digest)
}

fn parse_id(text: &str) -> Option<BodyId> {
    let is_id = text.len() == 16 && is_lower_hex(text);
    is_id.then(|| u64::from_str_radix(text, 16).ok()).flatten().and_then(BodyId::new)
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::format::digest;

    #[test]
    fn names_say_what_a_file_is_and_anything_else_is_foreign() {
        let (dir, digest, id) = (Path::new(""), digest("a"), BodyId::random());
        let name = |path: PathBuf| path.to_str().unwrap().to_owned();
        let (head, body) = (name(head_path(dir, &digest)), name(body_path(dir, &digest, id)));
        assert_eq!(Named::of(&head), Named::Head(digest));
        assert_eq!(Named::of(&body), Named::Body(digest, id));
        assert_eq!(Named::of("0123456789abcdef.unfinished"), Named::Unfinished);
        let foreign = [
            "lock",
            "a.head",
            "thesis.unfinished",
            "0123456789ABCDEF.unfinished",
            "+123456789abcdef.unfinished",
            &head.to_uppercase(),
            &head[1..],
            &body.replace('-', "_"),
            &format!("{body}~"),
            "é.head",
        ];
        for name in foreign {
            assert_eq!(Named::of(name), Named::Foreign, "{name}");
        }
    }

    #[test]
    fn an_unfinished_file_goes_and_a_published_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let names = || fs::read_dir(folder.path()).unwrap().count();
        let (unfinished, _) = Unfinished::create(folder.path()).unwrap();
        assert_eq!(names(), 1);
        drop(unfinished);
        assert_eq!(names(), 0);
        let (mut unfinished, _) = Unfinished::create(folder.path()).unwrap();
        unfinished.rename(folder.path().join("done")).unwrap();
        unfinished.keep();
        assert!(folder.path().join("done").exists());
    }
}
