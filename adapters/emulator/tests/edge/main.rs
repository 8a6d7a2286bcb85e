//! The emulator over real sockets, between real clients and real backends.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cache;
mod clients;
mod cloudfront;
mod fetch;
mod lifecycle;
mod own_pages;
mod protocol;
mod support;
mod upgrade;
