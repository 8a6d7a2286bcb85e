//! Edge decisions without IO.
//!
//! A [`Policy`](policy::Policy) says what an edge does: routing, geography, bots, experiments,
//! headers, caching. An [`Engine`](engine::Engine) is a compiled policy. It decides about requests in
//! four [phases](phase); an [`Exchange`](exchange::Exchange) strings them together as a state
//! machine that asks its host for [effects](effect) and never performs one itself. A Rust host fills in
//! [`Host`](host::Host) and calls [`drive`](host::drive).
//!
//! The core opens no socket, reads no clock, draws no random number and does
//! not know which platform it is on. The same inputs give the same outputs.
//!
//! # A request's life
//! ```text
//! client ──▶ on_viewer_request ──▶ cache ──miss──▶ on_origin_request ──▶ backend
//!                 │ answer           │ hit                                  │
//!                 ▼                  ▼                                      ▼
//! client ◀── on_viewer_response ◀────┴──────────── on_origin_response ◀─────┘
//! ```
//!
//! # Examples
//! ```
//! # #[cfg(feature = "policy-file")] {
//! use std::sync::Arc;
//! use selvedge_core::body::Body;
//! use selvedge_core::engine::Engine;
//! use selvedge_core::exchange::{Exchange, Input, Step};
//! use selvedge_core::facts::{CountryCode, Facts};
//! use selvedge_core::policy::read::read;
//! use selvedge_core::time::Timestamp;
//!
//! let policy = read(r#"
//!     [[geo.rules]]
//!     action = "block"
//!     countries = ["CN"]
//! "#).expect("the policy has no errors");
//! let engine = Arc::new(Engine::compile(policy).expect("the policy needs nothing"));
//!
//! let request = http::Request::get("https://shop.example/").body(Body::Empty).expect("a valid request");
//! let mut facts = Facts::default();
//! facts.country = CountryCode::new("CN");
//! let mut exchange = Exchange::new(engine, request, facts, [7; 16]);
//! match exchange.poll(Input::Begin, Timestamp::from_millis(0)) {
//!     Step::Respond(respond) => assert_eq!(respond.response.status(), 403),
//!     step => panic!("a blocked request needs no effect: {step:?}"),
//! }
//! # }
//! ```

pub mod backend;
pub mod body;
pub mod bot;
pub mod cache;
pub mod device;
pub mod effect;
pub mod engine;
pub mod exchange;
pub mod experiment;
pub mod facts;
pub mod fallback;
pub mod geo;
pub mod handler;
pub mod headers;
pub mod health;
pub mod hex;
pub mod host;
pub mod interest;
pub mod job;
pub mod limits;
pub mod log;
pub mod phase;
mod pipeline;
pub mod policy;
pub mod reason;
pub mod route;
pub mod spin;
pub mod stage;
pub mod target;
pub mod template;
pub mod time;
pub mod transaction;
mod values;
pub mod wire;
