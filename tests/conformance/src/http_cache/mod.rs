//! The public HTTP cache test suite, `http-cache-tests`, as a judge of our caches.
//!
//! [`suite::Suite`] runs the suite's own client on an [`edge::Edge`], with the suite's own server behind it;
//! [`verdict`] reads results as the suite's display does, [`known`] holds what is known to fail, and [`report`]
//! writes them down. The policy of every edge is `http-cache/edge.toml`, beside the suite's `package.json`.
//!
//! ```sh
//! cargo test -p selvedge-conformance --test http_cache emulator                           # is judged against http-cache/known
//! cargo run -p selvedge-conformance --bin http-cache -- emulator                          # every test and what came of it
//! cargo run -p selvedge-conformance --bin http-cache -- emulator freshness-max-age        # one test, with its log
//! cargo run -p selvedge-conformance --bin http-cache -- report                            # what `cargo xtask cache-report` writes
//! ```

pub mod edge;
pub mod known;
pub mod report;
pub mod suite;
pub mod verdict;
