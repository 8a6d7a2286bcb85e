use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use proptest::prelude::*;
use selvedge_core::cache::lifetime::{LifetimeSource, Lifetimes};
use selvedge_core::cache::stored::Arrival;

use super::files::{body_path, head_path};
use super::format::{BLOCK_BYTES, SUM_BYTES, block_offset};
use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const LARGE: u64 = 1 << 30;

/// A store in a folder of its own.
struct Open {
    folder: tempfile::TempDir,
    store: DiskStore,
}

impl Open {
    fn new(max_bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = DiskStore::open(folder.path(), max_bytes, NOW).unwrap();
        Self { folder, store }
    }

    fn again(self, now: Timestamp) -> Self {
        let Self { folder, store } = self;
        let max_bytes = store.max_bytes();
        drop(store);
        let store = DiskStore::open(folder.path(), max_bytes, now).unwrap();
        Self { folder, store }
    }

    fn put(&self, key: &str, content: &[u8]) {
        self.put_with(key, content, "first");
    }

    fn put_with(&self, key: &str, content: &[u8], etag: &str) {
        let mut writer = self.store.writer(key, NOW).unwrap();
        writer.write(content).unwrap();
        writer.commit(head(etag), HOUR, NOW).unwrap();
    }

    fn response(&self, key: &str) -> Option<(Arc<StoredResponse>, Box<StoredBody>)> {
        match self.store.get(key, NOW)? {
            DiskEntry::Response(head, body) => Some((head, body)),
            DiskEntry::Variants { .. } => panic!("{key} is a response"),
        }
    }

    fn content(&self, key: &str) -> Option<Vec<u8>> {
        self.response(key).map(|(_, body)| read(*body).unwrap())
    }

    fn head_file(&self, key: &str) -> PathBuf {
        head_path(self.folder.path(), &digest(key))
    }

    fn body_file(&self, key: &str) -> PathBuf {
        let (_, body) = self.response(key).unwrap();
        body_path(self.folder.path(), &digest(key), body.id())
    }

    fn head_of_a(&self) -> PathBuf {
        self.head_file("a")
    }

    fn body_of_a(&self) -> PathBuf {
        self.body_file("a")
    }

    /// How many files there are beside those that the store itself needs.
    fn files(&self) -> usize {
        self.lengths().count()
    }

    /// Space of these, as the store counts it.
    fn space(&self) -> u64 {
        self.lengths().map(index::space).sum()
    }

    fn lengths(&self) -> impl Iterator<Item = u64> {
        let files = fs::read_dir(self.folder.path()).unwrap().map(Result::unwrap);
        let others = files.filter(|file| file.file_name() != files::LOCK && file.file_name() != purges::NAME);
        others.map(|file| file.metadata().unwrap().len())
    }
}

fn head(etag: &str) -> Arc<StoredResponse> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ETAG, HeaderValue::from_str(etag).unwrap());
    Arc::new(StoredResponse::new(Arrival {
        status: StatusCode::OK,
        headers,
        request: &HeaderMap::new(),
        lifetimes: Lifetimes::without_stale(HOUR, LifetimeSource::Rule),
        tags: Vec::new(),
        keeps_cookies: false,
        request_time: NOW,
        response_time: NOW,
    }))
}

fn etag(head: &StoredResponse) -> String {
    head.headers()[header::ETAG].to_str().unwrap().to_owned()
}

/// Content in which no two blocks are alike.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / BLOCK_BYTES * 31 + at % 251) as u8).collect()
}

fn read(mut body: StoredBody) -> io::Result<Vec<u8>> {
    let mut whole = Vec::new();
    while let Some(part) = body.next_part()? {
        assert!(!part.is_empty() && part.len() <= BLOCK_BYTES);
        whole.extend_from_slice(&part);
    }
    Ok(whole)
}

#[test]
fn a_body_of_any_length_comes_back_with_its_head_also_after_a_restart() {
    let lengths = [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 5];
    let mut open = Open::new(LARGE);
    for length in lengths {
        let mut writer = open.store.writer(&length.to_string(), NOW).unwrap();
        content(length).chunks(1000).for_each(|chunk| writer.write(chunk).unwrap());
        assert_eq!(writer.length(), length as u64);
        writer.commit(head("a"), HOUR, NOW).unwrap();
    }
    for _ in 0..2 {
        for length in lengths {
            let (stored, body) = open.response(&length.to_string()).unwrap();
            assert_eq!((stored, body.length()), (head("a"), length as u64));
            assert!(read(*body).unwrap() == content(length), "{length} bytes");
        }
        let size = open.store.size();
        assert_eq!(size, (open.space(), lengths.len() as u64));
        open = open.again(NOW);
        assert_eq!(open.store.size(), size, "the same after a restart");
    }
}

#[test]
fn a_range_is_read_from_any_byte_to_any_byte() {
    let open = Open::new(LARGE);
    let length = 2 * BLOCK_BYTES + 100;
    open.put("a", &content(length));
    let borders = [
        0,
        1,
        BLOCK_BYTES - 1,
        BLOCK_BYTES,
        BLOCK_BYTES + 1,
        2 * BLOCK_BYTES,
        length - 1,
        length,
        length + 1,
    ];
    for start in borders {
        for end in borders.into_iter().filter(|end| *end >= start) {
            let (_, body) = open.response("a").unwrap();
            let part = body.range(start as u64, (end - start) as u64);
            let expected = &content(length)[start.min(length)..end.min(length)];
            assert_eq!(part.remaining(), expected.len() as u64);
            assert!(read(part).unwrap() == expected, "{start}..{end}");
        }
    }
    let (_, body) = open.response("a").unwrap();
    assert!(read(body.range(5, u64::MAX)).unwrap() == content(length)[5..]);
}

#[test]
fn a_range_needs_only_its_own_blocks_to_be_whole() {
    let open = Open::new(LARGE);
    open.put("a", &content(3 * BLOCK_BYTES));
    change(&open.body_file("a"), |file| file[block_offset(1) as usize] ^= 1);
    let (_, body) = open.response("a").unwrap();
    assert!(read(body.range(2 * BLOCK_BYTES as u64, 10)).is_ok());
    let (_, body) = open.response("a").unwrap();
    assert!(read(body.range(BLOCK_BYTES as u64 + 99, 1)).is_err());
}

fn change(path: &Path, with: impl FnOnce(&mut Vec<u8>)) {
    let mut file = fs::read(path).unwrap();
    with(&mut file);
    fs::write(path, file).unwrap();
}

/// One way to damage an entry.
struct Damage {
    what: &'static str,
    of: fn(&Open) -> PathBuf,
    how: fn(&mut Vec<u8>),
    /// How many blocks can be read before the damage is met; `None` when the entry is not found at all.
    whole_blocks: Option<usize>,
    /// Whether opening the folder finds it.
    is_seen_by_scan: bool,
}

#[test]
fn no_damage_is_ever_served_and_what_is_damaged_goes() {
    let damages = [
        Damage {
            what: "head magic",
            of: Open::head_of_a,
            how: |file| file[0] ^= 1,
            whole_blocks: None,
            is_seen_by_scan: true,
        },
        Damage {
            what: "head",
            of: Open::head_of_a,
            how: |file| file[60] ^= 1,
            whole_blocks: None,
            is_seen_by_scan: true,
        },
        Damage {
            what: "head cut off",
            of: Open::head_of_a,
            how: |file| file.truncate(50),
            whole_blocks: None,
            is_seen_by_scan: true,
        },
        Damage {
            what: "head emptied",
            of: Open::head_of_a,
            how: Vec::clear,
            whole_blocks: None,
            is_seen_by_scan: true,
        },
        Damage {
            what: "head extended",
            of: Open::head_of_a,
            how: |file| file.push(0),
            whole_blocks: None,
            is_seen_by_scan: true,
        },
        Damage {
            what: "body magic",
            of: Open::body_of_a,
            how: |file| file[0] ^= 1,
            whole_blocks: None,
            is_seen_by_scan: false,
        },
        Damage {
            what: "body id",
            of: Open::body_of_a,
            how: |file| file[13] ^= 1,
            whole_blocks: None,
            is_seen_by_scan: false,
        },
        Damage {
            what: "first block",
            of: Open::body_of_a,
            how: |file| file[24] ^= 1,
            whole_blocks: Some(0),
            is_seen_by_scan: false,
        },
        Damage {
            what: "second block",
            of: Open::body_of_a,
            how: |file| file[block_offset(1) as usize + 5] ^= 0x80,
            whole_blocks: Some(1),
            is_seen_by_scan: false,
        },
        Damage {
            what: "second block's checksum",
            of: Open::body_of_a,
            how: |file| file[block_offset(2) as usize - SUM_BYTES] ^= 1,
            whole_blocks: Some(1),
            is_seen_by_scan: false,
        },
        Damage {
            what: "two blocks changed places",
            of: Open::body_of_a,
            how: |file| {
                let (one, two) = file.split_at_mut(block_offset(1) as usize);
                one[24..].swap_with_slice(&mut two[..BLOCK_BYTES + SUM_BYTES]);
            },
            whole_blocks: Some(0),
            is_seen_by_scan: false,
        },
        Damage {
            what: "last byte",
            of: Open::body_of_a,
            how: |file| *file.last_mut().unwrap() ^= 1,
            whole_blocks: Some(2),
            is_seen_by_scan: false,
        },
        Damage {
            what: "body of zeros, as after a power loss",
            of: Open::body_of_a,
            how: |file| file[24..].fill(0),
            whole_blocks: Some(0),
            is_seen_by_scan: false,
        },
        Damage {
            what: "body cut off",
            of: Open::body_of_a,
            how: |file| file.truncate(file.len() - 1),
            whole_blocks: None,
            is_seen_by_scan: true,
        },
        Damage {
            what: "body emptied",
            of: Open::body_of_a,
            how: Vec::clear,
            whole_blocks: None,
            is_seen_by_scan: true,
        },
        Damage {
            what: "body extended",
            of: Open::body_of_a,
            how: |file| file.push(0),
            whole_blocks: None,
            is_seen_by_scan: true,
        },
    ];
    for Damage { what, of, how, whole_blocks, is_seen_by_scan } in damages {
        for is_restarted in [false, true] {
            let mut open = Open::new(LARGE);
            let whole = content(2 * BLOCK_BYTES + 10);
            open.put("a", &whole);
            change(&of(&open), how);
            if is_restarted {
                open = open.again(NOW);
                assert_eq!(open.files() == 0, is_seen_by_scan, "{what}");
            }
            let served = open.response("a").map(|(_, mut body)| {
                let mut parts = Vec::new();
                while let Ok(part) = body.next_part() {
                    parts.extend_from_slice(&part.expect("the damage is met before the end"));
                }
                assert!(body.next_part().unwrap().is_none(), "{what}: nothing after the damage");
                parts
            });
            assert_eq!(served.as_ref().map(|parts| parts.len() / BLOCK_BYTES), whole_blocks, "{what}");
            assert!(whole.starts_with(&served.unwrap_or_default()), "{what}");
            assert_eq!((open.files(), open.store.size()), (0, (0, 0)), "{what}: it is gone");
        }
    }
}

#[test]
fn a_body_cut_off_while_it_is_read_breaks_off() {
    let open = Open::new(LARGE);
    open.put("a", &content(2 * BLOCK_BYTES));
    let (_, mut body) = open.response("a").unwrap();
    change(&open.body_file("a"), |file| file.truncate(BLOCK_BYTES + 100));
    assert!(body.next_part().unwrap().is_some());
    assert!(body.next_part().is_err());
    assert_eq!(open.files(), 0);
}

#[test]
fn a_file_under_another_keys_name_is_no_entry_of_that_key() {
    let mut open = Open::new(LARGE);
    open.put("a", &content(10));
    open.put("b", &content(20));
    fs::copy(open.head_file("a"), open.head_file("b")).unwrap();
    assert!(open.content("b").is_none());
    open.put("b", &content(20));
    fs::copy(open.head_file("a"), open.head_file("b")).unwrap();
    open = open.again(NOW);
    assert_eq!((open.content("b"), open.content("a")), (None, Some(content(10))));
}

#[test]
fn an_entry_that_is_replaced_or_removed_can_be_read_to_its_end() {
    let open = Open::new(LARGE);
    let ways: [fn(&Open); 3] =
        [|open| open.put("a", b"new"), |open| open.store.remove("a"), |open| open.store.clear()];
    for way in ways {
        open.put("a", &content(3 * BLOCK_BYTES));
        let (_, mut body) = open.response("a").unwrap();
        let first = body.next_part().unwrap().unwrap();
        way(&open);
        let rest = read(*body).unwrap();
        assert!([&first[..], &rest].concat() == content(3 * BLOCK_BYTES));
    }
    assert_eq!(open.files(), 0);
}

#[test]
fn damage_of_a_replaced_body_does_not_remove_the_new_one() {
    let open = Open::new(LARGE);
    open.put("a", &content(2 * BLOCK_BYTES));
    change(&open.body_file("a"), |file| file[30] ^= 1);
    let (_, mut body) = open.response("a").unwrap();
    open.put("a", b"new");
    assert!(body.next_part().is_err());
    assert_eq!(open.content("a").unwrap(), b"new");
}

#[test]
fn a_head_is_replaced_while_its_body_stays() {
    let mut open = Open::new(LARGE);
    open.put_with("a", &content(100), "first");
    let (_, body) = open.response("a").unwrap();
    let later = NOW + HOUR + HOUR;
    assert!(open.store.replace_head("a", body.id(), head("second"), 3 * HOUR, NOW).unwrap());
    for _ in 0..2 {
        let Some(DiskEntry::Response(stored, body)) = open.store.get("a", later) else {
            panic!("it is kept for longer")
        };
        assert_eq!((etag(&stored), read(*body).unwrap()), ("second".to_owned(), content(100)));
        assert_eq!(open.store.size(), (open.space(), 1));
        open = open.again(later);
    }
    assert_eq!(open.files(), 2);
}

#[test]
fn a_head_never_comes_to_another_body_than_its_own() {
    let open = Open::new(LARGE);
    open.put_with("a", b"old", "old");
    let (_, old) = open.response("a").unwrap();
    open.put_with("a", b"new", "new");
    assert!(!open.store.replace_head("a", old.id(), head("fresher old"), HOUR, NOW).unwrap());
    let (stored, body) = open.response("a").unwrap();
    assert_eq!((etag(&stored), read(*body).unwrap()), ("new".to_owned(), b"new".to_vec()));
    open.store.remove("a");
    assert!(!open.store.replace_head("a", old.id(), head("fresher old"), HOUR, NOW).unwrap());
    assert_eq!(open.files(), 0);
}

#[test]
fn variants_survive_a_restart_for_as_long_as_they_are_kept() {
    let mut open = Open::new(LARGE);
    let variants = Variants { names: [header::ACCEPT_LANGUAGE].into(), since: NOW };
    open.store.put_variants("a", variants.clone(), HOUR, NOW).unwrap();
    open = open.again(NOW + Duration::from_secs(600));
    let Some(DiskEntry::Variants { variants: found, keep }) =
        open.store.get("a", NOW + Duration::from_secs(600))
    else {
        panic!("they are there")
    };
    assert_eq!((found, keep), (variants, Duration::from_secs(3000)));
    assert!(open.store.get("a", NOW + HOUR).is_none());
    assert_eq!(open.files(), 0);
}

#[test]
fn a_body_that_is_not_committed_leaves_nothing() {
    let open = Open::new(LARGE);
    open.put("a", b"stays");
    let mut writer = open.store.writer("a", NOW).unwrap();
    writer.write(&content(5 * BLOCK_BYTES)).unwrap();
    assert_eq!((open.files(), open.space()), (3, open.store.size().0));
    assert_eq!(open.content("a").unwrap(), b"stays");
    drop(writer);
    assert_eq!((open.files(), open.space()), (2, open.store.size().0));
}

#[test]
fn opening_removes_what_belongs_to_no_entry_and_nothing_else() {
    let mut open = Open::new(LARGE);
    for key in ["kept", "headless", "bodyless"] {
        open.put(key, &content(100));
    }
    fs::remove_file(open.head_file("headless")).unwrap();
    fs::remove_file(open.body_file("bodyless")).unwrap();
    fs::write(open.folder.path().join("0123456789abcdef.unfinished"), "x").unwrap();
    fs::write(open.folder.path().join("thesis.txt"), "x").unwrap();
    open = open.again(NOW);
    assert_eq!(open.files(), 3, "one entry and the foreign file");
    assert_eq!(open.content("kept").unwrap(), content(100));
    assert!(open.folder.path().join("thesis.txt").exists());
}

#[test]
fn what_expires_is_not_found_and_goes_at_the_next_write_and_when_the_folder_is_opened() {
    let mut open = Open::new(LARGE);
    open.put("a", b"1");
    open.put("b", b"2");
    assert!(open.store.get("a", NOW + HOUR).is_none());
    assert_eq!(open.files(), 2, "what was looked for is removed");
    drop(open.store.writer("c", NOW + HOUR).unwrap());
    assert_eq!(open.files(), 0);
    open.put("a", b"1");
    open = open.again(NOW + HOUR);
    assert_eq!(open.files(), 0);
}

#[test]
fn the_least_recently_used_make_room_also_after_a_restart() {
    // Each entry takes a block for its head and two for its body.
    let mut open = Open::new(3 * 3 * 4096);
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    for (key, seconds) in [("a", 1), ("b", 2), ("c", 3)] {
        open.put(key, &content(5000));
        let file = fs::File::open(open.head_file(key)).unwrap();
        file.set_modified(long_ago + Duration::from_secs(seconds)).unwrap();
    }
    open = open.again(NOW);
    assert!(open.content("a").is_some(), "which makes it the last one used");
    open.put("d", &content(5000));
    let found = ["a", "b", "c", "d"].map(|key| open.store.contains(key));
    assert_eq!(found, [true, false, true, true]);
    assert_eq!(open.space(), 3 * 3 * 4096);
    open = open.again(NOW);
    open.put("e", &content(5000));
    assert!(open.store.contains("a") && !open.store.contains("c"), "the order of use has survived");
}

#[test]
fn a_folder_that_is_opened_with_less_room_is_brought_within_it() {
    let open = Open::new(LARGE);
    for key in ["a", "b", "c"] {
        open.put(key, &content(BLOCK_BYTES));
    }
    let Open { folder, store } = open;
    drop(store);
    let store = DiskStore::open(folder.path(), 200_000, NOW).unwrap();
    let open = Open { folder, store };
    assert!(open.space() <= 200_000, "{}", open.space());
    assert_eq!(open.store.size().1, 2);
}

#[test]
fn a_body_over_half_of_the_room_is_refused_and_takes_no_other_with_it() {
    let open = Open::new(1 << 20);
    open.put("a", &content(1000));
    let mut writer = open.store.writer("b", NOW).unwrap();
    let written = writer.write(&content(600_000));
    assert_eq!(written.unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    drop(writer);
    assert!(open.store.contains("a"));
    assert_eq!(open.space(), open.store.size().0);
}

#[test]
fn what_is_unfinished_counts_and_is_never_evicted() {
    let open = Open::new(1 << 20);
    open.put("a", &content(100_000));
    let mut writers: Vec<_> = (0..3).map(|_| open.store.writer("b", NOW).unwrap()).collect();
    let written: Vec<_> = writers.iter_mut().map(|writer| writer.write(&content(400_000)).is_ok()).collect();
    assert_eq!(written, [true, true, false], "there is no room for the third");
    assert!(!open.store.contains("a"), "an entry makes room");
    assert!(open.space() <= 1 << 20);
    writers.truncate(1);
    writers.remove(0).commit(head("b"), HOUR, NOW).unwrap();
    assert_eq!(open.content("b").unwrap(), content(400_000));
    assert_eq!(open.store.size(), (open.space(), 1));
}

#[test]
fn a_second_opener_is_refused_until_the_first_is_done() {
    let open = Open::new(LARGE);
    let error = DiskStore::open(open.folder.path(), LARGE, NOW).unwrap_err();
    assert!(error.to_string().contains("in use by another edge"), "{error}");
    open.put("a", b"1");
    let (_, body) = open.response("a").unwrap();
    assert_eq!(open.again(NOW).content("a").unwrap(), b"1");
    assert_eq!(read(*body).unwrap(), b"1", "one that still reads is in nobody's way");
}

#[test]
fn a_hostile_key_names_no_other_file() {
    let open = Open::new(LARGE);
    let keys = ["", "../../etc/passwd", "/", "a\0b", "lock", &"k".repeat(100_000), "☃\n"];
    for (at, key) in keys.iter().enumerate() {
        open.put(key, &content(at));
    }
    for (at, key) in keys.iter().enumerate() {
        assert_eq!(open.content(key).unwrap(), content(at), "{at}");
    }
    assert_eq!(open.files(), 2 * keys.len());
}

/// What is done to a store and to the model beside it.
#[derive(Clone, Debug)]
enum Op {
    Put { key: u8, length: usize },
    Abort { key: u8, length: usize },
    Variants { key: u8 },
    ReplaceHead { key: u8 },
    Read { key: u8, start: u64, length: u64 },
    Remove { key: u8 },
    Clear,
    Wait { minutes: u64 },
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 0..6_u8;
    let length = || prop_oneof![0..100_usize, 60_000..70_000_usize, 100_000..200_000_usize];
    prop_oneof![
        4 => (key(), length()).prop_map(|(key, length)| Op::Put { key, length }),
        1 => (key(), length()).prop_map(|(key, length)| Op::Abort { key, length }),
        1 => key().prop_map(|key| Op::Variants { key }),
        2 => key().prop_map(|key| Op::ReplaceHead { key }),
        4 => (key(), 0..210_000_u64, 0..210_000_u64)
            .prop_map(|(key, start, length)| Op::Read { key, start, length }),
        1 => key().prop_map(|key| Op::Remove { key }),
        1 => Just(Op::Clear),
        1 => (0..40_u64).prop_map(|minutes| Op::Wait { minutes }),
        1 => Just(Op::Reopen),
    ]
}

/// What the model has under a key.
#[derive(Clone, Debug)]
struct Expected {
    /// Etag and content of a response; `None` for variants.
    response: Option<(String, Vec<u8>)>,
    until: Timestamp,
}

/// A store beside its model.
struct Modelled {
    open: Open,
    model: HashMap<u8, Expected>,
    now: Timestamp,
    step: usize,
}

impl Modelled {
    fn apply(&mut self, op: Op) {
        self.step += 1;
        match op {
            Op::Put { key, length } => self.put(key, length),
            Op::Abort { key, length } => {
                let mut writer = self.open.store.writer(&name(key), self.now).unwrap();
                let _ = writer.write(&content(length));
            }
            Op::Variants { key } => {
                let variants = Variants { names: [header::ACCEPT].into(), since: NOW };
                self.open.store.put_variants(&name(key), variants, HOUR, self.now).unwrap();
                self.model.insert(key, Expected { response: None, until: self.now + HOUR });
            }
            Op::ReplaceHead { key } => self.replace_head(key),
            Op::Read { key, start, length } => self.read(key, start, length),
            Op::Remove { key } => {
                self.open.store.remove(&name(key));
                self.model.remove(&key);
            }
            Op::Clear => {
                self.open.store.clear();
                self.model.clear();
            }
            Op::Wait { minutes } => self.now = self.now + Duration::from_secs(60 * minutes),
            Op::Reopen => {
                let Open { folder, store } = std::mem::replace(&mut self.open, Open::new(LARGE));
                let max_bytes = store.max_bytes();
                drop(store);
                let store = DiskStore::open(folder.path(), max_bytes, self.now).unwrap();
                self.open = Open { folder, store };
            }
        }
        assert_eq!(self.open.store.size().0, self.open.space());
        assert!(self.open.space() <= self.open.store.max_bytes());
    }

    fn put(&mut self, key: u8, length: usize) {
        let etag = format!("{}", self.step);
        let mut whole = content(length);
        whole.iter_mut().for_each(|byte| *byte ^= self.step as u8);
        let mut writer = self.open.store.writer(&name(key), self.now).unwrap();
        let written = whole.chunks(7777).try_for_each(|chunk| writer.write(chunk));
        if written.and_then(|()| writer.commit(head(&etag), HOUR, self.now)).is_ok() {
            self.model.insert(key, Expected { response: Some((etag, whole)), until: self.now + HOUR });
        } else {
            assert!(self.open.store.max_bytes() < LARGE, "there is room for everything");
        }
    }

    fn replace_head(&mut self, key: u8) {
        let Some(DiskEntry::Response(_, body)) = self.open.store.get(&name(key), self.now) else { return };
        let fresher = format!("{}", self.step);
        let is_replaced =
            self.open.store.replace_head(&name(key), body.id(), head(&fresher), HOUR, self.now).unwrap();
        if let Some(expected) = self.model.get_mut(&key).filter(|_| is_replaced) {
            expected.until = self.now + HOUR;
            expected.response.as_mut().unwrap().0 = fresher;
        }
    }

    fn read(&mut self, key: u8, start: u64, length: u64) {
        let expected = self.model.get(&key).filter(|expected| expected.until > self.now);
        match (self.open.store.get(&name(key), self.now), expected) {
            (Some(DiskEntry::Response(stored, body)), Some(Expected { response: Some(response), .. })) => {
                let (expected_etag, whole) = response;
                assert_eq!((etag(&stored), body.length()), (expected_etag.clone(), whole.len() as u64));
                let from = whole.len().min(start as usize);
                let to = whole.len().min((start + length) as usize);
                assert!(read(body.range(start, length)).unwrap() == whole[from..to]);
            }
            (Some(DiskEntry::Variants { .. }), Some(Expected { response: None, .. })) | (None, None) => {}
            (None, Some(_)) => assert!(self.open.store.max_bytes() < LARGE, "nothing had to go"),
            (found, expected) => panic!("{found:?} in the place of {expected:?}"),
        }
    }
}

fn name(key: u8) -> String {
    format!("https://shop.example/{key}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_store_holds_what_a_map_would_or_less_when_room_is_short(
        ops in prop::collection::vec(op(), 1..40),
        max_bytes in prop_oneof![Just(LARGE), 450_000..700_000_u64],
    ) {
        let mut modelled = Modelled { open: Open::new(max_bytes), model: HashMap::new(), now: NOW, step: 0 };
        for op in ops {
            modelled.apply(op);
        }
    }
}
