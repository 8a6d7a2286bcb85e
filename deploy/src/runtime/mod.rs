//! `selvedge dev --runtime`: another platform's runtime behind the local point of presence.

mod cloudflare;
mod lambda;

use selvedge_core::policy::Policy;
use selvedge_emulator::runtime::RuntimeHandle;

use crate::build::Project;
use crate::cli::Target;

/// A runtime with the policy in use.
pub(crate) enum Runtime {
    Cloudflare(cloudflare::Workers),
    Lambda(lambda::Functions),
}

impl Runtime {
    /// Builds for a platform and starts its runtime.
    pub(crate) fn start(target: Target, project: &Project) -> anyhow::Result<Self> {
        Ok(match target {
            Target::Cloudflare => Self::Cloudflare(cloudflare::Workers::start(project)?),
            Target::Lambda => Self::Lambda(lambda::Functions::start(project)?),
        })
    }

    pub(crate) fn handle(&self) -> RuntimeHandle {
        match self {
            Self::Cloudflare(workers) => workers.handle(),
            Self::Lambda(functions) => functions.handle(),
        }
    }

    /// Lets another policy answer from the next request on; nothing is compiled.
    pub(crate) fn reload(&mut self, policy: &Policy) -> anyhow::Result<()> {
        match self {
            Self::Cloudflare(workers) => workers.reload(policy),
            Self::Lambda(functions) => functions.reload(policy),
        }
    }
}
