//! The four phases: plain functions of an engine and one request.
//!
//! | phase | sees | decides |
//! |---|---|---|
//! | [`Engine::on_viewer_request`] | the request as the client sent it | refuse, redirect, answer, or go on |
//! | [`Engine::on_origin_request`] | the request about to leave the edge | which backend, what is sent |
//! | [`Engine::on_origin_response`] | the backend's response | deliver, store, try again, fall back |
//! | [`Engine::on_viewer_response`] | the response about to reach the client | headers, cookies, `Cache-Status` |
//!
//! Hostile input never makes a phase fail: it makes an outcome with a
//! [`Reason`](crate::reason::Reason). Hosts that run a whole request use
//! [`Exchange`](crate::exchange::Exchange), which strings the phases together.
//!
//! [`Engine::on_viewer_request`]: crate::engine::Engine::on_viewer_request
//! [`Engine::on_origin_request`]: crate::engine::Engine::on_origin_request
//! [`Engine::on_origin_response`]: crate::engine::Engine::on_origin_response
//! [`Engine::on_viewer_response`]: crate::engine::Engine::on_viewer_response

mod caching;
mod experiments;
mod invalidation;
mod origin_request;
mod origin_response;
mod redirect;
mod viewer_request;
mod viewer_response;

use http::Response;

use crate::body::Body;
use crate::effect::{Fetch, FetchError};
use crate::health::Refused;

pub(crate) use caching::CachePlan;
pub use origin_response::Storing;
pub(crate) use origin_response::is_failure;

/// What `on_viewer_request` decides.
#[derive(Debug)]
#[must_use]
pub enum ViewerRequestOutcome {
    /// The request goes on to the cache, a handler or a backend.
    Continue,
    /// The edge answers.
    Respond(Response<Body>),
}

/// What `on_origin_request` decides.
#[derive(Debug)]
#[must_use]
pub enum OriginRequestOutcome {
    /// Send this to a backend.
    Fetch(Box<Fetch>),
    /// The edge answers after all.
    Respond(Response<Body>),
}

/// What `on_origin_response` decides.
#[derive(Debug)]
#[must_use]
pub enum OriginResponseOutcome {
    /// The response goes on to the client, and perhaps to the store.
    Deliver(Response<Body>, Storing),
    /// The request can be repeated: call `on_origin_request` again while the plan has a next attempt, else it failed.
    Retry(Failure),
    /// It cannot; the fallback decides.
    Fail(Failure),
}

/// How the last attempt failed.
#[derive(Debug)]
pub enum Failure {
    /// There was no response.
    Error(FetchError),
    /// There was one that says that the backend cannot answer.
    Response {
        /// The response.
        response: Box<Response<Body>>,
        /// Whether it goes to the store when nothing else answers.
        storing: Storing,
    },
    /// A handler gave no answer.
    Handler,
    /// No backend was asked.
    Refused(Refused),
}
