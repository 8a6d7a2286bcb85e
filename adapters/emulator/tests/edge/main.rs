//! The emulator over real sockets, between real clients and real backends.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access_log;
mod cache;
mod clients;
mod cloudfront;
mod console;
#[cfg(unix)]
mod crash;
mod dashboard;
mod disk;
mod failure;
mod faults;
mod fetch;
mod hostile;
mod lifecycle;
#[cfg(target_os = "linux")]
mod memory;
mod metrics;
mod misbehaving;
mod own_pages;
mod probes;
mod protocol;
mod purge;
mod spans;
#[cfg(target_os = "linux")]
mod storm;
mod support;
mod timing;
mod trace;
mod upgrade;
