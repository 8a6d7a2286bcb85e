//! What native hosts of [`selvedge_core`] share: connections to backends, bodies by handle, and randomness.
//!
//! A leaf crate with no platform of its own, as `adapters/js` is for JavaScript hosts. `B` is what a platform's
//! streaming bodies are.

pub mod backend;
pub mod backend_body;
pub mod body;
#[cfg(feature = "otlp")]
pub mod collector;
pub mod connector;
mod framing;
pub mod random;
pub mod upload;
