//! The emulator's CloudFront, with functions on a real Node.js.

mod support;
mod triggers;
