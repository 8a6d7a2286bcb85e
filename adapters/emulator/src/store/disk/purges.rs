//! What was purged, written beside the entries so that a restart brings none of it back.
//!
//! The file is the ledger as it was at one time, and behind it each purge since; when these have become long, it is
//! written anew, and so its length has a bound as a ledger has one. Each part is a record: length and CRC-32 of its
//! content, little-endian, and the content.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use selvedge_core::cache::purge::{Ledger, Manner, Purge};
use selvedge_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::files::Unfinished;

/// The file's name. Another form of the file takes another name.
pub(super) const NAME: &str = "purges.1";

/// Bytes of purges behind the ledger before the file is written anew.
const MAX_TAIL_BYTES: usize = 4 * 1024 * 1024;

/// Longest file that is read. A ledger has at most 512 prefixes, each of them a URL of at most 64 KiB.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes of a record before its content.
const PREFIX_BYTES: usize = 8;

/// Purges that were made together.
#[derive(Debug, Serialize, Deserialize)]
struct Made {
    purges: Vec<Purge>,
    manner: Manner,
    at: Timestamp,
}

/// The file and what it says.
#[derive(Debug)]
pub(super) struct PurgeLog {
    path: PathBuf,
    ledger: Ledger,
    /// Open behind the last record; `None` after a failure, until the file could be written anew.
    file: Option<File>,
    tail_bytes: usize,
}

impl PurgeLog {
    /// Reads the file of a folder; `None` where it is missing, damaged or cut off, so that it does not say what was purged.
    pub(super) fn read(dir: &Path) -> Option<Ledger> {
        let mut content = Vec::new();
        File::open(dir.join(NAME)).ok()?.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).ok()?;
        if content.len() as u64 > MAX_FILE_BYTES {
            return None;
        }
        let (ledger, mut rest) = record(&content)?;
        let mut ledger: Ledger = postcard::from_bytes(ledger).ok()?;
        while !rest.is_empty() {
            let (made, behind) = record(rest)?;
            let Made { purges, manner, at } = postcard::from_bytes(made).ok()?;
            purges.iter().for_each(|purge| ledger.purge(purge, manner, at));
            rest = behind;
        }
        Some(ledger)
    }

    /// Begins a file with what was purged so far, in the place of the one that is there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn create(dir: &Path, ledger: Ledger) -> io::Result<Self> {
        let mut log = Self { path: dir.join(NAME), ledger, file: None, tail_bytes: 0 };
        log.write_anew()?;
        Ok(log)
    }

    pub(super) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Writes purges down. Where that fails the file goes, and with it every entry at the next start.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(&mut self, purges: &[Purge], manner: Manner, at: Timestamp) -> io::Result<()> {
        purges.iter().for_each(|purge| self.ledger.purge(purge, manner, at));
        let written = self.append(&Made { purges: purges.to_vec(), manner, at });
        if written.is_err() {
            self.file = None;
            if let Err(error) = fs::remove_file(&self.path)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
        }
        written
    }

    fn append(&mut self, made: &Made) -> io::Result<()> {
        let Some(file) = self.file.as_mut().filter(|_| self.tail_bytes < MAX_TAIL_BYTES) else {
            return self.write_anew();
        };
        let record = recorded(made)?;
        file.write_all(&record)?;
        self.tail_bytes += record.len();
        Ok(())
    }

    fn write_anew(&mut self) -> io::Result<()> {
        let dir = self.path.parent().ok_or(io::ErrorKind::NotFound)?;
        let (mut unfinished, mut file) = Unfinished::create(dir)?;
        file.write_all(&recorded(&self.ledger)?)?;
        unfinished.rename(self.path.clone())?;
        unfinished.keep();
        self.file = Some(file);
        self.tail_bytes = 0;
        Ok(())
    }
}

fn recorded(content: &impl Serialize) -> io::Result<Vec<u8>> {
    let content = postcard::to_allocvec(content).map_err(io::Error::other)?;
    let length = u32::try_from(content.len()).map_err(io::Error::other)?;
    let mut record = Vec::with_capacity(PREFIX_BYTES + content.len());
    record.extend_from_slice(&length.to_le_bytes());
    record.extend_from_slice(&crc32fast::hash(&content).to_le_bytes());
    record.extend_from_slice(&content);
    Ok(record)
}

/// Splits off the first record's content.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, bytes) = bytes.split_first_chunk()?;
    let (sum, bytes) = bytes.split_first_chunk()?;
    let (content, behind) = bytes.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    (crc32fast::hash(content) == u32::from_le_bytes(*sum)).then_some((content, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_millis(1_000);

    fn url(number: usize) -> Purge {
        Purge::Url(format!("https://shop.example/{number}"))
    }

    /// A folder in which these were purged, one by one.
    fn folder(purges: &[Purge]) -> (tempfile::TempDir, PurgeLog) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = PurgeLog::create(dir.path(), Ledger::default()).unwrap();
        for purge in purges {
            log.write(std::slice::from_ref(purge), Manner::Hard, AT).unwrap();
        }
        (dir, log)
    }

    fn ledger(purges: &[Purge]) -> Ledger {
        let mut ledger = Ledger::default();
        purges.iter().for_each(|purge| ledger.purge(purge, Manner::Hard, AT));
        ledger
    }

    #[test]
    fn every_purge_comes_back_however_often_the_file_is_begun() {
        let group = Purge::Group { origin: "https://shop.example".to_owned(), name: "a".to_owned() };
        let purges =
            [url(1), Purge::Prefix("https://shop.example/a".to_owned()), Purge::Tag("t".to_owned()), group];
        let (dir, log) = folder(&purges);
        assert_eq!(log.ledger(), &ledger(&purges));
        assert_eq!(PurgeLog::read(dir.path()), Some(ledger(&purges)));
        let mut log = PurgeLog::create(dir.path(), PurgeLog::read(dir.path()).unwrap()).unwrap();
        assert_eq!(PurgeLog::read(dir.path()), Some(ledger(&purges)));
        log.write(&[Purge::Everything], Manner::Soft, AT).unwrap();
        let mut expected = ledger(&purges);
        expected.purge(&Purge::Everything, Manner::Soft, AT);
        assert_eq!(PurgeLog::read(dir.path()), Some(expected));
    }

    #[test]
    fn a_file_that_is_damaged_or_cut_off_says_nothing() {
        let (dir, _) = folder(&[url(1), url(2)]);
        let path = dir.path().join(NAME);
        let whole = fs::read(&path).unwrap();
        let first = recorded(&Ledger::default()).unwrap().len();
        let second = first + (whole.len() - first) / 2;
        for length in (0..whole.len()).filter(|length| ![first, second].contains(length)) {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(PurgeLog::read(dir.path()), None, "cut off at {length}");
        }
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, changed).unwrap();
            assert_eq!(PurgeLog::read(dir.path()), None, "bit {bit}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(PurgeLog::read(dir.path()), None, "missing");
    }

    #[test]
    fn the_file_is_written_anew_when_it_is_long() {
        let (dir, mut log) = folder(&[]);
        let purges: Vec<_> = (0..1_000).map(url).collect();
        let length = || fs::metadata(dir.path().join(NAME)).unwrap().len();
        let (mut longest, mut rounds) = (0, 0);
        while rounds < 3 {
            let before = length();
            log.write(&purges, Manner::Hard, AT).unwrap();
            rounds += u32::from(length() < before);
            longest = longest.max(length());
        }
        assert!(longest < 5 * 1024 * 1024, "{longest}");
        assert_eq!(PurgeLog::read(dir.path()), Some(ledger(&purges)));
    }

    #[test]
    fn after_a_failure_the_file_is_gone_until_it_can_be_written_anew() {
        let (dir, mut log) = folder(&[url(1)]);
        log.file = Some(File::open(dir.path().join(NAME)).unwrap());
        log.write(&[url(2)], Manner::Hard, AT).unwrap_err();
        assert!(!dir.path().join(NAME).exists());
        log.write(&[url(3)], Manner::Hard, AT).unwrap();
        assert_eq!(PurgeLog::read(dir.path()), Some(ledger(&[url(1), url(2), url(3)])));
    }
}
