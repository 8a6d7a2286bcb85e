//! Shared HTTP caching: what may be stored, for how long, and what may be served again.
//!
//! Nothing here stores anything. The host keeps bytes under a key; these are
//! the decisions around that, as [RFC 9111](https://www.rfc-editor.org/rfc/rfc9111)
//! makes them for a shared cache that acts for the origin's owner:
//!
//! 1. [`store::storability`]: may this response be stored, and with which lifetimes?
//! 2. [`stored::StoredResponse`]: what is kept, and how old it is.
//! 3. [`vary`]: which stored variant a request selects.
//! 4. [`reuse::reuse`] and [`reuse::serve`]: may it answer this request, and with which head?
//! 5. [`client::tell_client`] and [`status::CacheStatus`]: what the client is told.

pub mod client;
pub mod control;
mod directive;
pub mod key;
pub mod lifetime;
pub mod reuse;
pub mod rule;
pub mod status;
pub mod store;
pub mod stored;
pub mod targeted;
pub mod vary;

#[cfg(test)]
mod tests;
