//! The emulator's CloudFront, with functions on a real Node.js.

mod bodies;
mod cache;
mod headers;
mod origins;
mod results;
mod streams;
mod support;
mod triggers;
