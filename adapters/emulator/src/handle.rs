//! The engine in use, which can be exchanged while requests run.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use selvedge_core::engine::Engine;

/// The engine that answers requests; clones share it.
///
/// A request keeps the engine with which it began.
#[derive(Clone)]
pub struct EngineHandle {
    current: Arc<ArcSwap<Current>>,
}

/// What the status page says about the policy in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyInfo {
    /// Name of the policy.
    pub name: String,
    /// A digest of the policy's text, in the form that its reader chose.
    pub hash: String,
}

struct Current {
    engine: Arc<Engine>,
    info: Arc<PolicyInfo>,
}

impl EngineHandle {
    /// Makes a handle of the first engine.
    #[must_use]
    pub fn new(engine: Arc<Engine>, info: PolicyInfo) -> Self {
        Self { current: Arc::new(ArcSwap::from_pointee(Current { engine, info: Arc::new(info) })) }
    }

    /// Lets another engine answer from the next request on.
    pub fn replace(&self, engine: Arc<Engine>, info: PolicyInfo) {
        self.current.store(Arc::new(Current { engine, info: Arc::new(info) }));
    }

    /// Returns the engine in use.
    #[must_use]
    pub fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.current.load().engine)
    }

    /// Returns what is known about the policy in use.
    #[must_use]
    pub fn info(&self) -> Arc<PolicyInfo> {
        Arc::clone(&self.current.load().info)
    }
}

impl fmt::Debug for EngineHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineHandle").field("info", &self.info()).finish_non_exhaustive()
    }
}
