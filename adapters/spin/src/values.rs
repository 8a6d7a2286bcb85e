//! Spin's key-value store.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use selvedge_core::effect::StoreError;
use selvedge_core::time::Timestamp;
use spin_sdk::key_value::{Error, Store};

use crate::component::now;
use crate::store::Values;

/// The only store that Akamai has.
const LABEL: &str = "default";

/// How often a failing store is told of in the log.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Spin's store of the label `default`, opened when it is first needed.
pub(crate) struct SpinValues {
    store: RefCell<Option<Rc<Store>>>,
    logged: Cell<Option<Timestamp>>,
}

impl SpinValues {
    pub(crate) fn new() -> Self {
        Self { store: RefCell::new(None), logged: Cell::new(None) }
    }

    async fn open(&self) -> Result<Rc<Store>, Error> {
        if let Some(store) = self.store.borrow().clone() {
            return Ok(store);
        }
        let store = Rc::new(Store::open(LABEL).await?);
        Ok(Rc::clone(self.store.borrow_mut().insert(store)))
    }

    /// Tells of a failure, at most once a minute; neither keys nor values are shown.
    fn log(&self, what: &str, error: &Error) -> StoreError {
        let now = now();
        let is_due = self.logged.get().is_none_or(|logged| now.saturating_since(logged) >= LOG_EVERY);
        if is_due {
            self.logged.set(Some(now));
            selvedge_log::write_log(
                "WARN",
                &format!("Spin's key-value store `{LABEL}` does not {what}: {error}"),
            );
        }
        StoreError
    }
}

impl Values for SpinValues {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let got = match self.open().await {
            Ok(store) => store.get(key).await,
            Err(error) => Err(error),
        };
        got.map_err(|error| self.log("answer", &error))
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let set = match self.open().await {
            Ok(store) => store.set(key, value).await,
            Err(error) => Err(error),
        };
        set.map_err(|error| self.log("take a value", &error))
    }
}
