use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{HeaderMap, StatusCode};
use proptest::prelude::*;
use selvedge_core::cache::lifetime::{LifetimeSource, Lifetimes};
use selvedge_core::cache::stored::{Arrival, StoredResponse};
use selvedge_core::effect::Variants;
use selvedge_core::time::Timestamp;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_768_478_400_000);

/// A store in memory that counts, and that refuses what it is told to.
#[derive(Default)]
struct Map {
    values: RefCell<BTreeMap<String, Vec<u8>>>,
    reads: Cell<usize>,
    writes: Cell<usize>,
    /// What becomes of the next writes: bit by bit, from the lowest, whether they are refused.
    refuse: Cell<u64>,
    /// Whether nothing works at all.
    is_down: Cell<bool>,
}

impl Values for Map {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.reads.set(self.reads.get() + 1);
        if self.is_down.get() { Err(StoreError) } else { Ok(self.values.borrow().get(key).cloned()) }
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.writes.set(self.writes.get() + 1);
        let refuse = self.refuse.get();
        self.refuse.set(refuse >> 1);
        if self.is_down.get() || refuse & 1 == 1 {
            return Err(StoreError);
        }
        self.values.borrow_mut().insert(key.to_owned(), value.to_vec());
        Ok(())
    }
}

impl Map {
    /// Every byte that the platform keeps of responses.
    fn bytes(&self) -> u64 {
        self.values.borrow().iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }

    fn take_counts(&self) -> (usize, usize) {
        (self.reads.take(), self.writes.take())
    }
}

fn store(max_bytes: u64) -> Store<Map> {
    Store::new(max_bytes, Map::default())
}

/// The futures of the map are never pending.
fn now_or_never<F: Future>(future: F) -> F::Output {
    future.now_or_never().expect("it waits for nothing")
}

fn response() -> CacheEntry {
    let lifetimes = Lifetimes::without_stale(Duration::from_secs(60), LifetimeSource::CacheControl);
    let stored = StoredResponse::new(Arrival {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        request: &HeaderMap::new(),
        lifetimes,
        tags: Vec::new(),
        keeps_cookies: false,
        request_time: NOW,
        response_time: NOW,
    });
    CacheEntry::Response(Arc::new(stored), Body::Empty)
}

fn put(store: &Store<Map>, key: &str, body: &[u8], now: Timestamp, generation: u8) {
    let put = CachePut {
        key: key.to_owned(),
        entry: response(),
        keep: Duration::from_secs(60),
        ends_turn: None,
        is_body_kept: false,
    };
    now_or_never(store.put(put, Bytes::copy_from_slice(body), now, [generation; 16]));
}

fn get(store: &Store<Map>, key: &str) -> Option<Bytes> {
    match now_or_never(store.get(key))? {
        CacheEntry::Response(_, Body::Bytes(bytes)) => Some(bytes),
        CacheEntry::Response(_, Body::Empty) => Some(Bytes::new()),
        other @ (CacheEntry::Response(_, Body::Host(_)) | CacheEntry::Variants(_)) => {
            panic!("nobody stored this: {other:?}")
        }
    }
}

/// A body that no other key and no other version has.
fn body(key: u8, version: u8, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| key ^ version.rotate_left(4) ^ at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect()
}

#[test]
fn bodies_of_every_length_come_back() {
    let store = store(64 << 20);
    for (at, bytes) in
        [0, 1, 15_000, 17_000, 128 << 10, (128 << 10) + 1, 3 << 20, 8 << 20].into_iter().enumerate()
    {
        let key = format!("/{bytes}");
        let body = body(1, u8::try_from(at).expect("a few"), bytes);
        put(&store, &key, &body, NOW, 1);
        assert!(get(&store, &key).is_some_and(|got| got == body), "{bytes}");
    }
    put(&store, "/long", &body(1, 1, (8 << 20) + 1), NOW, 1);
    assert_eq!(get(&store, "/long"), None, "no body takes more than an eighth");
}

#[test]
fn a_key_is_compared_whole_and_variants_are_kept_too() {
    let store = store(1 << 20);
    put(&store, "/a", b"a", NOW, 1);
    assert_eq!(get(&store, "/b"), None);
    let variants = CacheEntry::Variants(Variants {
        names: [http::header::ACCEPT_LANGUAGE].into(),
        since: Timestamp::from_millis(7),
    });
    let put = CachePut {
        key: "/v".to_owned(),
        entry: variants,
        keep: Duration::from_secs(60),
        ends_turn: None,
        is_body_kept: false,
    };
    now_or_never(store.put(put, Bytes::new(), NOW, [2; 16]));
    let found = now_or_never(store.get("/v"));
    assert!(
        matches!(found, Some(CacheEntry::Variants(found)) if *found.names == [http::header::ACCEPT_LANGUAGE])
    );
}

#[test]
fn the_work_of_one_request_is_bounded() {
    let store = store(64 << 20);
    for n in 0..3000_u32 {
        put(&store, &format!("/{n}"), b"short", NOW + Duration::from_millis(n.into()), 1);
        let (reads, writes) = store.values.take_counts();
        assert!(reads <= 2 && writes == 1, "{reads} reads and {writes} writes");
        assert_eq!(get(&store, "/none"), None);
        assert_eq!(store.values.take_counts(), (2, 0), "a miss");
    }
    put(&store, "/large", &body(1, 1, 8 << 20), NOW, 1);
    assert_eq!(store.values.take_counts(), (2, 17), "sixteen parts and a head");
    assert!(get(&store, "/large").is_some());
    assert!(store.values.take_counts().0 <= 18);
}

#[test]
fn of_two_entries_in_the_places_of_a_new_one_the_older_goes() {
    // Two slots for heads: every key has one of them or the other in both choices.
    let store = store((16 * 1024 + layout::SLOT_OVERHEAD) * 2 * 8 / 3 + 8);
    let places = |key: &str| store.layout.heads(key).expect("there are places");
    let keys: Vec<String> =
        (0..).map(|n| format!("/{n}")).filter(|key| places(key)[0] != places(key)[1]).take(3).collect();
    for (at, key) in keys.iter().enumerate() {
        put(&store, key, b"x", NOW + Duration::from_secs(at as u64), 1);
    }
    let kept: Vec<bool> = keys.iter().map(|key| get(&store, key).is_some()).collect();
    assert_eq!(kept, [false, true, true]);
}

#[test]
fn an_entry_whose_time_is_over_goes_before_an_older_one() {
    let store = store((16 * 1024 + layout::SLOT_OVERHEAD) * 2 * 8 / 3 + 8);
    let places = |key: &str| store.layout.heads(key).expect("there are places");
    let keys: Vec<String> =
        (0..).map(|n| format!("/{n}")).filter(|key| places(key)[0] != places(key)[1]).take(3).collect();
    let lasting = CachePut {
        key: keys[0].clone(),
        entry: response(),
        keep: Duration::from_secs(3600),
        ends_turn: None,
        is_body_kept: false,
    };
    now_or_never(store.put(lasting, Bytes::from_static(b"x"), NOW, [1; 16]));
    put(&store, &keys[1], b"x", NOW + Duration::from_secs(1), 1);
    put(&store, &keys[2], b"x", NOW + Duration::from_secs(61), 1);
    let kept: Vec<bool> = keys.iter().map(|key| get(&store, key).is_some()).collect();
    assert_eq!(kept, [true, false, true]);
}

#[test]
fn a_store_that_fails_or_holds_what_it_should_not_has_nothing() {
    let store = store(1 << 20);
    put(&store, "/a", b"a", NOW, 1);
    store.values.is_down.set(true);
    assert_eq!(get(&store, "/a"), None);
    put(&store, "/b", b"b", NOW, 1);
    assert_eq!(now_or_never(store.value("k")), Err(StoreError));
    store.values.is_down.set(false);
    store.values.values.borrow_mut().values_mut().for_each(|value| *value = b"other".to_vec());
    assert_eq!(get(&store, "/a"), None);
    let none = Store::new(0, Map::default());
    put(&none, "/a", b"a", NOW, 1);
    assert_eq!((get(&none, "/a"), none.values.take_counts()), (None, (0, 0)), "there is no room at all");
}

#[test]
fn bodies_that_are_read_at_once_do_not_take_more_memory_than_there_is() {
    let store = store(256 << 20);
    put(&store, "/a", &body(1, 1, 8 << 20), NOW, 1);
    let mut held: Vec<_> = (0..4).map(|_| get(&store, "/a")).collect();
    assert!(held.iter().all(Option::is_some));
    assert_eq!(get(&store, "/a"), None, "32 MiB are taken");
    held.pop();
    assert!(get(&store, "/a").is_some(), "what was sent is given back");
}

#[test]
fn values_of_handlers_are_kept_apart() {
    let store = store(1 << 20);
    let key = "k".repeat(MAX_KEY_BYTES);
    assert_eq!(now_or_never(store.set_value(&key, Bytes::from_static(b"v"))), Ok(()));
    assert_eq!(now_or_never(store.value(&key)), Ok(Some(Bytes::from_static(b"v"))));
    assert_eq!(now_or_never(store.value("absent")), Ok(None));
    assert_eq!(now_or_never(store.set_value(&(key + "k"), Bytes::new())), Err(StoreError));
}

#[derive(Clone, Debug)]
struct Operation {
    key: u8,
    bytes: usize,
    refuse: u64,
    after_millis: u64,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    // Bodies of the same length are those that could be taken for one another.
    let bytes = prop_oneof![Just(100_usize), Just(17_000), Just(600_000)];
    let operation = (0_u8..12, bytes, prop_oneof![Just(0), 0_u64..8], 0_u64..40_000)
        .prop_map(|(key, bytes, refuse, after_millis)| Operation { key, bytes, refuse, after_millis });
    prop::collection::vec(operation, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is written over and whichever writes are refused: what a key gives is one of the bodies that were put under
    /// it, and whole, and there are never more bytes than the store may hold.
    #[test]
    fn no_body_is_wrong_or_mixed(operations in operations()) {
        // Room for the parts of a single long body.
        const MAX: u64 = 5 << 20;
        let store = store(MAX);
        let mut put_before: BTreeMap<u8, Vec<Vec<u8>>> = BTreeMap::new();
        let mut now = NOW;
        for (at, operation) in operations.into_iter().enumerate() {
            let version = u8::try_from(at).expect("a few operations");
            now = now + Duration::from_millis(operation.after_millis);
            let body = body(operation.key, version, operation.bytes);
            store.values.refuse.set(operation.refuse);
            put(&store, &format!("/{}", operation.key), &body, now, version);
            store.values.refuse.set(0);
            put_before.entry(operation.key).or_default().push(body);
            prop_assert!(store.values.bytes() <= MAX, "{} bytes", store.values.bytes());
            for (key, bodies) in &put_before {
                if let Some(got) = get(&store, &format!("/{key}")) {
                    let is_known = bodies.iter().any(|body| *body == got);
                    prop_assert!(is_known, "key {} gives {} bytes that nobody put there", key, got.len());
                }
            }
        }
    }
}
