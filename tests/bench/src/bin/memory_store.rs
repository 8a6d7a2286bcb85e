//! Fills the emulator's memory store and tells what its entries and lookups cost: `memory-store COUNT`.
//!
//! It prints three numbers: bytes of memory for each entry beside its body; nanoseconds for the lookup of one of a thousand keys that are
//! asked for all the time; and nanoseconds for that of any key.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use selvedge_bench::stored_head;
use selvedge_core::body::Body;
use selvedge_core::effect::{CacheEntry, CachePut};
use selvedge_emulator::store::memory::MemoryStore;

/// That of `selvedge`.
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Room for every entry.
const MAX_BYTES: u64 = 16 << 30;
const BODY_BYTES: usize = 64;
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// Keys that are asked for all the time.
const IN_USE: usize = 1_000;
/// Lookups of a round; of the rounds the quickest counts, which the machine's other work has met least.
const LOOKUPS: usize = 1 << 17;
const ROUNDS: usize = 25;

fn main() -> anyhow::Result<()> {
    let count: usize =
        std::env::args().nth(1).context("the number of entries is the first argument")?.parse()?;
    let any: Vec<_> = shuffled(LOOKUPS, count).into_iter().map(key).collect();
    let in_use: Vec<_> = (0..IN_USE).map(|number| key(number * (count / IN_USE))).collect();
    let before = resident_bytes()?;
    let store = MemoryStore::new(MAX_BYTES);
    (0..count).for_each(|number| store.put(put(number)));
    (0..count).try_for_each(|number| store.get(&key(number)).map(drop).context("it is in the store"))?;
    let bytes = (resident_bytes()? - before) / count - BODY_BYTES;
    let of_any = look_up(&store, &any, &(0..LOOKUPS).collect::<Vec<_>>());
    let of_used = look_up(&store, &in_use, &shuffled(LOOKUPS, IN_USE));
    anstream::println!("{bytes} {of_used} {of_any}");
    Ok(())
}

fn put(number: usize) -> CachePut {
    let body = Body::from(Bytes::from(vec![7; BODY_BYTES]));
    let entry = CacheEntry::Response(Arc::new(stored_head()), body);
    CachePut { key: key(number), entry, keep: KEEP, ends_turn: None, is_body_kept: false }
}

fn key(number: usize) -> String {
    format!("https://shop.example.com/products/{number:08}/pictures/front.webp")
}

/// Numbers below `count`, each time the same and in no order.
fn shuffled(length: usize, count: usize) -> Vec<usize> {
    let mut state = 1_usize;
    let mut next = || {
        // A linear congruential generator; its high bits are the random ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % count
    };
    (0..length).map(|_| next()).collect()
}

/// Nanoseconds for each lookup of keys by their numbers in `order`.
fn look_up(store: &MemoryStore, keys: &[String], order: &[usize]) -> u128 {
    let round = |_| {
        let began = Instant::now();
        order.iter().for_each(|number| drop(black_box(store.get(&keys[*number]))));
        began.elapsed().as_nanos() / order.len() as u128
    };
    (0..ROUNDS).map(round).min().unwrap_or_default()
}

fn resident_bytes() -> anyhow::Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the system tells it")?;
    let kibibytes: usize = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024)
}
