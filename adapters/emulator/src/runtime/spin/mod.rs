//! Spin: what a component is told about clients, and a host that runs it.

mod facts;
#[cfg(feature = "spin")]
mod host;

pub use facts::{ADDRESS_HEADER, headers};
pub(super) use facts::{tell, tell_spin};
#[cfg(feature = "spin")]
pub use host::{KeyValueLimits, KeyValues, Reuse, SpinApp, SpinConfig};
