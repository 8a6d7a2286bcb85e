//! Shared HTTP caching: what may be stored, for how long, and what may be served again.
//!
//! [`how`] is the whole of it on one page, with every section of the RFCs and every deliberate difference.
//!
//! Nothing here stores anything. The host keeps bytes under a key; these are
//! the decisions around that, as [RFC 9111](https://www.rfc-editor.org/rfc/rfc9111)
//! makes them for a shared cache that acts for the origin's owner:
//!
//! 1. [`store::storability`]: may this response be stored, and with which lifetimes?
//! 2. [`stored::StoredResponse`]: what is kept, and how old it is.
//! 3. [`vary`]: which stored variant a request selects.
//! 4. [`reuse::reuse`] and [`reuse::serve`]: may it answer this request, and with which head?
//! 5. [`validation`]: how the origin is asked whether it still holds, and what its answer changes.
//! 6. [`range`]: which part of it a request wants.
//! 7. [`purge`]: what makes it invalid before its time.
//! 8. [`deception`] and [`poisoning`]: what must not be stored although its directives allow it.
//! 9. [`client::tell_client`] and [`status::CacheStatus`]: what the client is told.

#[doc = include_str!("how.md")]
pub mod how {}

pub mod client;
pub mod combine;
pub mod control;
pub mod deception;
mod directive;
mod fields;
pub mod key;
pub mod lifetime;
pub mod poisoning;
pub mod purge;
pub mod range;
pub mod reuse;
pub mod rule;
pub mod status;
pub mod store;
pub mod stored;
pub mod targeted;
pub mod validation;
pub mod vary;

#[cfg(test)]
mod tests;
