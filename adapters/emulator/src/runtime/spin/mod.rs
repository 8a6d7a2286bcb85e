//! Spin: what a component is told about clients, a host that runs it, and `spin up`.

mod facts;
#[cfg(feature = "spin")]
mod host;
mod itself;

pub use facts::{ADDRESS_HEADER, SCHEME_HEADER, headers};
pub(super) use facts::{tell, tell_spin};
#[cfg(feature = "spin")]
pub use host::{KeyValueLimits, KeyValues, Reuse, SpinApp, SpinConfig};
pub use itself::SpinUp;
