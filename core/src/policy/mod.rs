//! The policy: `edge.toml` read, checked and ready to be compiled.
//!
//! Three stages: the raw file (feature `policy-file`), the checked [`Policy`]
//! of this module, and the compiled [`Engine`](crate::engine::Engine). Only a checked policy
//! reaches an engine, and a checked policy can be serialised: platforms deploy
//! it as a blob beside one and the same module.

pub mod blob;
#[cfg(feature = "policy-file")]
mod check;
#[cfg(feature = "policy-file")]
pub mod raw;
#[cfg(feature = "policy-file")]
pub mod read;
#[cfg(feature = "policy-file")]
mod report;
#[cfg(feature = "policy-file")]
pub mod schema;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::backend::{Backend, BackendId, HeaderSource};
use crate::bot::rules::BotPolicy;
use crate::experiment::{Experiment, ExperimentId};
use crate::fallback::{Fallback, Maintenance};
use crate::geo::rules::GeoPolicy;
use crate::headers::cors::Cors;
use crate::headers::rules::HeaderRules;
use crate::job::{JobTarget, Queue, Schedule};
use crate::limits::Limits;
use crate::log::Log;
use crate::route::{Action, Route, RouteId};
use crate::spin::Spin;

/// A checked policy: every name resolves and every value is in range.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Name of the policy.
    pub name: String,
    /// Whether `Server-Timing` tells clients what took how long.
    pub server_timing: bool,
    /// Backends, by name in order.
    pub backends: Vec<Backend>,
    /// Routes in the order of the file; at most 65,535.
    pub routes: Vec<Route>,
    /// Who may come in, by place.
    pub geo: GeoPolicy,
    /// What happens to bots.
    pub bots: BotPolicy,
    /// Experiments, by name in order.
    pub experiments: Vec<Experiment>,
    /// Header changes for every route.
    pub headers: HeaderRules,
    /// Cross-origin access for routes without their own.
    pub cors: Option<Cors>,
    /// What the edge refuses to take in.
    pub limits: Limits,
    /// What to answer when things go wrong.
    pub fallback: Fallback,
    /// The page that closes the site, when it is closed.
    pub maintenance: Option<Maintenance>,
    /// Hosts, lower case, that redirects may lead to beside the client's own and literal ones.
    pub redirect_hosts: Vec<String>,
    /// Queues, by name in order.
    pub queues: Vec<Queue>,
    /// Schedules, by name in order.
    pub schedules: Vec<Schedule>,
    /// What the access log may hold of clients.
    pub log: Log,
    /// What only Spin is told.
    pub spin: Spin,
}

impl Policy {
    /// Returns a backend.
    ///
    /// # Panics
    /// When the id comes from another policy.
    #[must_use]
    pub fn backend(&self, id: BackendId) -> &Backend {
        &self.backends[usize::from(id.0)]
    }

    /// Returns a route.
    ///
    /// # Panics
    /// When the id comes from another policy.
    #[must_use]
    pub fn route(&self, id: RouteId) -> &Route {
        &self.routes[usize::from(id.0)]
    }

    /// Returns the queue of a name.
    #[must_use]
    pub fn queue(&self, name: &str) -> Option<&Queue> {
        self.queues.iter().find(|queue| queue.name == name)
    }

    /// Returns the schedule of a name.
    #[must_use]
    pub fn schedule(&self, name: &str) -> Option<&Schedule> {
        self.schedules.iter().find(|schedule| schedule.name == name)
    }

    /// Returns the handlers that the policy names, each with the part that names it, such as ``route `home` ``.
    pub fn handlers(&self) -> impl Iterator<Item = (String, &str)> {
        let routes = self.routes.iter().filter_map(|route| match &route.action {
            Action::Handle(handler) => Some((format!("route `{}`", route.name), handler.as_str())),
            Action::Proxy { .. } | Action::Redirect(_) | Action::Respond(_) => None,
        });
        let queues = self.queues.iter().map(|queue| ("queue", &queue.name, &queue.target));
        let schedules = self.schedules.iter().map(|schedule| ("schedule", &schedule.name, &schedule.target));
        let jobs = queues.chain(schedules).filter_map(|(what, name, target)| match target {
            JobTarget::Handler(handler) => Some((format!("{what} `{name}`"), handler.as_str())),
            JobTarget::Backend { .. } => None,
        });
        routes.chain(jobs)
    }

    /// Returns the names by which backends' secret headers are read from the environment, in order.
    #[must_use]
    pub fn secrets(&self) -> BTreeSet<&str> {
        let headers = self.backends.iter().flat_map(|backend| &backend.request_headers);
        let names = headers.filter_map(|(_, source)| match source {
            HeaderSource::Env(name) => Some(name.as_str()),
            HeaderSource::Text(_) => None,
        });
        let mut secrets = BTreeSet::new();
        // To collect them would be to sort them first, with code of which a module for the edge has no other use.
        secrets.extend(names);
        secrets
    }

    /// Returns an experiment.
    ///
    /// # Panics
    /// When the id comes from another policy.
    #[must_use]
    pub fn experiment(&self, id: ExperimentId) -> &Experiment {
        &self.experiments[usize::from(id.0)]
    }
}
