//! What cases in a file cannot say, on Cloudflare's own runtime with the Worker as it is deployed: streams, connections
//! that break, protocols that change, and crashes under load.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access_log;
mod backend;
mod client;
mod crashes;
mod edge;
mod jobs;
mod leaving;
mod semantics;
mod streams;
mod uploads;
mod web_socket;
