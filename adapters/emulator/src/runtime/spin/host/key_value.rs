//! [Key-value stores](https://spinframework.dev/v4/kv-store-api-guide), in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use wasmtime::component::{Accessor, FutureReader, HasData, Resource, ResourceTable, StreamReader};

use super::bindings::spin::key_value::key_value::{Error, Host, HostStore, HostStoreWithStore};
use super::instance::Guest;

/// Most stores that an instance has open at a time.
const MAX_OPEN: usize = 256;

/// The contents of an application's stores; clones share them.
#[derive(Clone, Debug)]
pub struct KeyValues(Arc<Shared>);

/// How much the stores of an application hold.
#[derive(Clone, Copy, Debug)]
pub struct KeyValueLimits {
    /// Most bytes of a key.
    pub key_bytes: usize,
    /// Most bytes of a value.
    pub value_bytes: usize,
    /// Most bytes of all keys and values.
    pub total_bytes: usize,
}

#[derive(Debug)]
struct Shared {
    limits: KeyValueLimits,
    contents: Mutex<Contents>,
    refuses_to_open: AtomicBool,
    refuses_writes: AtomicBool,
}

#[derive(Debug, Default)]
struct Contents {
    values: BTreeMap<(String, String), Bytes>,
    bytes: usize,
}

/// A store that an instance has open.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the bindings export it once more")]
pub struct OpenStore(String);

impl Default for KeyValueLimits {
    /// What [Akamai Functions](https://techdocs.akamai.com/akamai-functions/docs/quotas-and-limits) give, less in all.
    fn default() -> Self {
        Self { key_bytes: 8 * 1024, value_bytes: 1024 * 1024, total_bytes: 256 * 1024 * 1024 }
    }
}

impl Default for KeyValues {
    fn default() -> Self {
        Self::new(KeyValueLimits::default())
    }
}

impl KeyValues {
    /// Makes empty stores.
    #[must_use]
    pub fn new(limits: KeyValueLimits) -> Self {
        Self(Arc::new(Shared {
            limits,
            contents: Mutex::default(),
            refuses_to_open: AtomicBool::new(false),
            refuses_writes: AtomicBool::new(false),
        }))
    }

    /// Lets writes and deletions fail as they do beyond a quota, or work again.
    pub fn refuse_writes(&self, refuse: bool) {
        self.0.refuses_writes.store(refuse, Ordering::Release);
    }

    /// Lets stores fail to open, or work again; those that are open stay so.
    pub fn refuse_to_open(&self, refuse: bool) {
        self.0.refuses_to_open.store(refuse, Ordering::Release);
    }

    /// Empties all stores.
    pub fn clear(&self) {
        *self.contents() = Contents::default();
    }

    /// Returns how many bytes the stores hold.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.contents().bytes
    }

    /// Writes a value, as something else than the component may.
    ///
    /// # Errors
    /// When it is beyond the limits; the message says which.
    pub fn set(&self, store: &str, key: &str, value: Bytes) -> Result<(), String> {
        if self.0.refuses_writes.load(Ordering::Acquire) {
            return Err("the quota of writes is used up".to_owned());
        }
        let KeyValueLimits { key_bytes, value_bytes, total_bytes } = self.0.limits;
        let (key_length, value_length) = (key.len(), value.len());
        if key_length > key_bytes {
            return Err(format!("the key has {key_length} bytes and not at most {key_bytes}"));
        }
        if value_length > value_bytes {
            return Err(format!("the value has {value_length} bytes and not at most {value_bytes}"));
        }
        let mut contents = self.contents();
        let name = (store.to_owned(), key.to_owned());
        let before = contents.values.get(&name).map_or(0, |old| key_length + old.len());
        let bytes = contents.bytes - before + key_length + value_length;
        if bytes > total_bytes {
            return Err(format!("the stores would hold {bytes} bytes and not at most {total_bytes}"));
        }
        contents.bytes = bytes;
        contents.values.insert(name, value);
        Ok(())
    }

    /// Returns a value.
    #[must_use]
    pub fn get(&self, store: &str, key: &str) -> Option<Bytes> {
        self.contents().values.get(&(store.to_owned(), key.to_owned())).cloned()
    }

    fn delete(&self, store: &str, key: &str) -> Result<(), String> {
        if self.0.refuses_writes.load(Ordering::Acquire) {
            return Err("the quota of writes is used up".to_owned());
        }
        let mut contents = self.contents();
        if let Some(old) = contents.values.remove(&(store.to_owned(), key.to_owned())) {
            contents.bytes -= key.len() + old.len();
        }
        Ok(())
    }

    fn keys(&self, store: &str) -> Vec<String> {
        let contents = self.contents();
        let from = (store.to_owned(), String::new());
        let of_store = contents.values.range(from..).take_while(|((name, _), _)| name == store);
        of_store.map(|((_, key), _)| key.clone()).collect()
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an instance may open, and how many stores it has open.
#[derive(Debug)]
pub(super) struct OpenStores {
    pub(super) values: KeyValues,
    pub(super) labels: Arc<Vec<String>>,
    pub(super) count: usize,
}

impl OpenStores {
    /// As Spin does
    /// (<https://spinframework.dev/v4/kv-store-api-guide#granting-key-value-store-permissions-to-components>).
    fn open(&mut self, label: String) -> Result<OpenStore, Error> {
        if !self.labels.contains(&label) {
            return Err(Error::AccessDenied);
        }
        if self.values.0.refuses_to_open.load(Ordering::Acquire) {
            return Err(Error::NoSuchStore);
        }
        if self.count == MAX_OPEN {
            return Err(Error::StoreTableFull);
        }
        self.count += 1;
        Ok(OpenStore(label))
    }
}

/// The interface `spin:key-value`.
pub(super) struct SpinKeyValue;

impl HasData for SpinKeyValue {
    type Data<'a> = &'a mut Guest;
}

type Store = Resource<OpenStore>;
type Outcome<T> = wasmtime::Result<Result<T, Error>>;
type Keys = (StreamReader<String>, FutureReader<Result<(), Error>>);

impl Host for Guest {}

impl HostStore for Guest {
    fn drop(&mut self, store: Store) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        self.stores.count -= 1;
        Ok(())
    }
}

impl<T: Send> HostStoreWithStore<T> for SpinKeyValue {
    async fn open(accessor: &Accessor<T, Self>, label: String) -> Outcome<Store> {
        accessor.with(|mut access| {
            let guest = access.get();
            match guest.stores.open(label) {
                Ok(store) => Ok(Ok(guest.table.push(store)?)),
                Err(error) => Ok(Err(error)),
            }
        })
    }

    async fn get(accessor: &Accessor<T, Self>, store: Store, key: String) -> Outcome<Option<Vec<u8>>> {
        with(accessor, &store, |values, name| Ok(values.get(name, &key).map(Vec::from)))
    }

    async fn set(accessor: &Accessor<T, Self>, store: Store, key: String, value: Vec<u8>) -> Outcome<()> {
        with(accessor, &store, |values, name| values.set(name, &key, value.into()))
    }

    async fn delete(accessor: &Accessor<T, Self>, store: Store, key: String) -> Outcome<()> {
        with(accessor, &store, |values, name| values.delete(name, &key))
    }

    async fn exists(accessor: &Accessor<T, Self>, store: Store, key: String) -> Outcome<bool> {
        with(accessor, &store, |values, name| Ok(values.get(name, &key).is_some()))
    }

    async fn get_keys(accessor: &Accessor<T, Self>, store: Store) -> wasmtime::Result<Keys> {
        accessor.with(|mut access| {
            let guest = access.get();
            let keys = guest.stores.values.keys(&guest.table.get(&store)?.0);
            let keys = StreamReader::new(&mut access, keys)?;
            let result = FutureReader::new(&mut access, async { wasmtime::error::Ok(Ok(())) })?;
            Ok((keys, result))
        })
    }
}

fn with<T: Send, R>(
    accessor: &Accessor<T, SpinKeyValue>,
    store: &Store,
    act: impl FnOnce(&KeyValues, &str) -> Result<R, String>,
) -> Outcome<R> {
    accessor.with(|mut access| {
        let guest = access.get();
        let table: &ResourceTable = &guest.table;
        let name = &table.get(store)?.0;
        Ok(act(&guest.stores.values, name).map_err(Error::Other))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> KeyValues {
        KeyValues::new(KeyValueLimits { key_bytes: 4, value_bytes: 10, total_bytes: 20 })
    }

    #[test]
    fn stores_hold_no_more_than_they_may() {
        let values = small();
        let set = |key: &str, length: usize| values.set("default", key, vec![0; length].into()).is_ok();
        assert!(set("a", 10));
        assert!(!set("a", 11), "a value is too long");
        assert!(!set("abcde", 1), "a key is too long");
        assert!(set("b", 8));
        assert_eq!(values.bytes(), 20);
        assert!(!set("c", 0), "all are full");
        assert!(set("b", 7), "one takes the place of a longer one");
        values.delete("default", "a").expect("it may be deleted");
        assert_eq!(values.bytes(), 8);
        assert!(set("c", 10));
    }

    #[test]
    fn stores_do_not_see_each_others_keys() {
        let values = small();
        values.set("one", "a", Bytes::from_static(b"1")).unwrap();
        values.set("two", "b", Bytes::from_static(b"2")).unwrap();
        assert_eq!((values.keys("one"), values.keys("two")), (vec!["a".to_owned()], vec!["b".to_owned()]));
        assert_eq!(values.get("two", "a"), None);
    }

    #[test]
    fn a_quota_refuses_writes_and_deletions_but_no_reads() {
        let values = small();
        values.set("default", "a", Bytes::from_static(b"1")).unwrap();
        values.refuse_writes(true);
        assert!(values.set("default", "b", Bytes::new()).is_err());
        assert!(values.delete("default", "a").is_err());
        assert_eq!(values.get("default", "a").as_deref(), Some(&b"1"[..]));
        values.refuse_writes(false);
        assert!(values.set("default", "b", Bytes::new()).is_ok());
    }

    #[test]
    fn a_component_opens_its_own_stores_and_not_without_end() {
        let labels = Arc::new(vec!["default".to_owned()]);
        let mut stores = OpenStores { values: small(), labels, count: 0 };
        assert!(matches!(stores.open("other".to_owned()), Err(Error::AccessDenied)));
        stores.values.refuse_to_open(true);
        assert!(matches!(stores.open("default".to_owned()), Err(Error::NoSuchStore)));
        stores.values.refuse_to_open(false);
        for _ in 0..MAX_OPEN {
            stores.open("default".to_owned()).expect("there is room");
        }
        assert!(matches!(stores.open("default".to_owned()), Err(Error::StoreTableFull)));
    }
}
