//! What is stateful on Cloudflare Workers.
//!
//! The policy itself runs in the module of `selvedge-js`; see the README. This crate is a second module, which only
//! a policy that limits clients or has queues ships.

#[cfg(target_arch = "wasm32")]
#[expect(missing_docs, reason = "the bindings' macro adds methods without documentation")]
mod counter;
pub mod operation;
#[cfg(target_arch = "wasm32")]
#[expect(missing_docs, reason = "the bindings' macro adds methods without documentation")]
mod queue;
pub mod window;

#[cfg(target_arch = "wasm32")]
pub use counter::Counter;
#[cfg(target_arch = "wasm32")]
pub use queue::Queue;
