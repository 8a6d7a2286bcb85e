//! What a store holds after its process was killed.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use selvedge_core::cache::lifetime::{LifetimeSource, Lifetimes};
use selvedge_core::cache::stored::{Arrival, StoredResponse};
use selvedge_core::time::Timestamp;
use selvedge_emulator::store::disk::{DiskEntry, DiskStore, StoredBody};

/// Tells this program that it is the process that is killed, and where it writes.
const DIR: &str = "SELVEDGE_TEST_CRASH_DIR";
const KILLS: usize = 200;
const KEYS: u64 = 12;
/// Less than all keys together take, so that some make room for others.
const MAX_BYTES: u64 = 1024 * 1024;
/// Most pieces that are written before a kill.
const MAX_PIECES: u64 = 150;
const PIECE_BYTES: usize = 8 * 1024;
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn whenever_a_process_is_killed_its_folder_holds_whole_entries_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random::new();
    let (mut cut_off, mut served) = (0, 0);
    for _ in 0..KILLS {
        kill_after(random.below(MAX_PIECES) + 1, dir.path());
        cut_off += usize::from(unfinished(dir.path()) > 0);
        let store = DiskStore::open(dir.path(), MAX_BYTES, now()).unwrap();
        assert_eq!(unfinished(dir.path()), 0, "opening removes what is unfinished");
        served += (0..KEYS).filter(|key| is_served(&store, *key)).count();
        assert!(files_bytes(dir.path()) <= MAX_BYTES);
    }
    println!("{cut_off} of {KILLS} kills cut a file off, {served} entries were whole");
    assert!(cut_off > KILLS / 4, "only {cut_off} kills have cut a file off");
    assert!(served > KILLS, "only {served} entries were there to be read");
}

/// Starts a process that writes, and kills it when it has written so many pieces.
fn kill_after(pieces: u64, dir: &Path) {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::the_process_that_is_killed", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut written = 0;
    while written < pieces {
        let line = lines.next().expect("it writes until it is killed").unwrap();
        written += u64::from(line == "piece");
    }
    process.kill().unwrap();
    process.wait().unwrap();
}

/// Returns whether a key has an entry, which must be one that was written.
fn is_served(store: &DiskStore, key: u64) -> bool {
    let Some(DiskEntry::Response(head, body)) = store.get(&name(key), now()) else { return false };
    let version = version(&head);
    let content = read(*body);
    assert!(content == content_of(key, version), "{} bytes of {key} in version {version}", content.len());
    true
}

fn read(mut body: StoredBody) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(part) = body.next_part().unwrap() {
        whole.extend_from_slice(&part);
    }
    whole
}

fn unfinished(dir: &Path) -> usize {
    let names = fs::read_dir(dir).unwrap().map(|file| file.unwrap().file_name());
    names.filter(|name| name.to_str().unwrap().ends_with(".unfinished")).count()
}

fn files_bytes(dir: &Path) -> u64 {
    fs::read_dir(dir).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

/// Does nothing unless the test above starts it.
#[test]
fn the_process_that_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let store = DiskStore::open(Path::new(&dir), MAX_BYTES, now()).unwrap();
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| work(&store));
        }
    });
}

fn work(store: &DiskStore) -> ! {
    let mut random = Random::new();
    loop {
        let key = random.below(KEYS);
        match random.below(10) {
            0 => store.remove(&name(key)),
            1..4 => refresh(store, key, random.next()),
            _ => put(store, key, random.next()),
        }
    }
}

fn put(store: &DiskStore, key: u64, version: u64) {
    let mut writer = store.writer(&name(key), now()).unwrap();
    for piece in content_of(key, version).chunks(PIECE_BYTES) {
        writer.write(piece).unwrap();
        // Not by `println`, which the test's harness would hold back.
        std::io::stdout().write_all(b"piece\n").unwrap();
    }
    writer.commit(head(version, 0), HOUR, now()).unwrap();
}

/// Gives a response another head.
fn refresh(store: &DiskStore, key: u64, mark: u64) {
    if let Some(DiskEntry::Response(stored, body)) = store.get(&name(key), now()) {
        store.replace_head(&name(key), body.id(), head(version(&stored), mark), HOUR, now()).unwrap();
    }
}

fn head(version: u64, mark: u64) -> Arc<StoredResponse> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ETAG, HeaderValue::from(version));
    headers.insert("mark", HeaderValue::from(mark));
    Arc::new(StoredResponse::new(Arrival {
        status: StatusCode::OK,
        headers,
        request: &HeaderMap::new(),
        lifetimes: Lifetimes::without_stale(HOUR, LifetimeSource::Rule),
        tags: Vec::new(),
        keeps_cookies: false,
        request_time: now(),
        response_time: now(),
    }))
}

fn version(head: &StoredResponse) -> u64 {
    head.headers()[header::ETAG].to_str().unwrap().parse().unwrap()
}

fn name(key: u64) -> String {
    format!("https://shop.example/{key}")
}

/// What belongs to a key in a version, up to 200 KB.
fn content_of(key: u64, version: u64) -> Vec<u8> {
    let mut random = Random(key.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ version | 1);
    let words = random.below(25_000);
    (0..words).flat_map(|_| random.next().to_le_bytes()).collect()
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_millis(since.as_millis() as u64)
}

/// Numbers that look random: xorshift64*.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let mut seed = [0; 8];
        fs::File::open("/dev/urandom").unwrap().read_exact(&mut seed).unwrap();
        Self(u64::from_le_bytes(seed) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
