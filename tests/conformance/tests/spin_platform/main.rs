//! What cases in a file cannot say, on Spin's host with the component as it is deployed: many requests in one instance, streams, stores and
//! files that fail, and crashes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access_log;
mod app;
mod backend;
mod client;
mod crashes;
mod deployment;
mod fields;
mod interleaved;
mod store;
mod streams;
