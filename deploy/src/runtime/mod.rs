//! `selvedge dev --runtime`: another platform's runtime behind the local point of presence.

mod cloudflare;
mod lambda;
mod lambda_edge;
mod spin;

use std::collections::VecDeque;
use std::path::PathBuf;

use selvedge_core::policy::Policy;
use selvedge_emulator::runtime::Platform;

use crate::build::Project;
use crate::cli::Target;

/// How many runtimes that were taken over from may finish what they began.
const MAX_RETIRED: usize = 2;

/// A platform's runtime with the policy in use.
pub(crate) enum Runtime {
    Cloudflare(cloudflare::Worker),
    Lambda(lambda::Functions),
    LambdaEdge(Box<lambda_edge::Functions>),
    Spin(Box<spin::App>),
}

impl Runtime {
    /// Builds what the platform deploys, and starts its runtime on it.
    ///
    /// `spin` is the program of Spin, where that is to be used.
    pub(crate) fn start(target: Target, project: Project, spin: Option<PathBuf>) -> anyhow::Result<Self> {
        match target {
            Target::Cloudflare => cloudflare::Worker::start(&project).map(Self::Cloudflare),
            Target::Lambda => lambda::Functions::start(&project).map(Self::Lambda),
            Target::LambdaEdge => lambda_edge::Functions::start(project).map(Box::new).map(Self::LambdaEdge),
            Target::Spin => spin::App::start(project, spin).map(Box::new).map(Self::Spin),
        }
    }

    pub(crate) fn platform(&self) -> Platform {
        match self {
            Self::Cloudflare(worker) => worker.platform(),
            Self::Lambda(functions) => functions.platform(),
            Self::LambdaEdge(functions) => functions.platform(),
            Self::Spin(app) => app.platform(),
        }
    }

    /// Lets another policy answer from the next request on; nothing is compiled.
    pub(crate) fn reload(&mut self, policy: &Policy) -> anyhow::Result<()> {
        match self {
            Self::Cloudflare(worker) => worker.reload(policy),
            Self::Lambda(functions) => functions.reload(policy),
            Self::LambdaEdge(functions) => functions.reload(policy),
            Self::Spin(app) => app.reload(policy),
        }
    }
}

/// Processes that were taken over from.
struct Retired<P>(VecDeque<P>);

impl<P> Retired<P> {
    /// Keeps a process until some others have come after it.
    fn push(&mut self, process: P) {
        self.0.push_back(process);
        if self.0.len() > MAX_RETIRED {
            self.0.pop_front();
        }
    }
}

impl<P> Default for Retired<P> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_two_processes_finish_what_they_began() {
        let mut retired = Retired::default();
        (0..4).for_each(|process| retired.push(process));
        assert_eq!(retired.0, [2, 3]);
    }
}
