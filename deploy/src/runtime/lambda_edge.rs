//! CloudFront, as the emulator plays it, in front of functions on a real Node.js.

use std::path::PathBuf;

use selvedge_cloudfront::policy::distribution::Distribution;
use selvedge_core::policy::Policy;
use selvedge_emulator::runtime::Platform;
use selvedge_emulator::runtime::cloudfront::{CloudFront, Node, program};

use crate::build::{Project, lambda_edge};
use crate::cli::DIM;
use crate::tools;

use super::Retired;

/// A Node.js with the functions of the policy in use, and the CloudFront before it.
pub(crate) struct Functions {
    program: PathBuf,
    folder: PathBuf,
    project: Project,
    front: CloudFront,
    running: Node,
    retired: Retired<Node>,
}

impl Functions {
    /// Builds the bundle and starts Node.js on it.
    pub(super) fn start(mut project: Project) -> anyhow::Result<Self> {
        let program = program(&tools::folder()?)?;
        anstream::eprintln!("{DIM}building the functions{DIM:#}");
        project.policy = named(&project.policy);
        let folder = project.folder.join("dist/dev-lambda-edge");
        lambda_edge::build_local(&project, &folder)?;
        let running = Node::start(&program, &folder)?;
        let front = CloudFront::new(distribution(&project), running.address());
        Ok(Self { program, folder, project, front, running, retired: Retired::default() })
    }

    pub(super) fn platform(&self) -> Platform {
        Platform::CloudFront(self.front.clone())
    }

    /// Lets another policy answer from the next request on, in a process of its own.
    pub(super) fn reload(&mut self, policy: &Policy) -> anyhow::Result<()> {
        self.project.policy = named(policy);
        lambda_edge::rebuild_local(&self.project, &self.folder)?;
        let next = Node::start(&self.program, &self.folder)?;
        self.front.replace(distribution(&self.project), next.address());
        self.retired.push(std::mem::replace(&mut self.running, next));
        Ok(())
    }
}

/// The distribution of a policy, with viewers that the local edge serves without TLS.
fn distribution(project: &Project) -> Distribution {
    Distribution::of(&project.policy, lambda_edge::geography(&project.policy)).with_http()
}

/// The policy with a name for this machine where it has its address, as CloudFront takes no address for an origin.
fn named(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    for url in policy.backends.iter_mut().flat_map(|backend| &mut backend.urls) {
        for address in ["://127.0.0.1:", "://[::1]:"] {
            *url = url.replacen(address, "://localhost:", 1);
        }
    }
    policy
}

#[cfg(test)]
mod tests {
    use selvedge_core::policy::read::read;

    use super::*;

    #[test]
    fn backends_on_this_machine_have_its_name() {
        for (url, expected) in [
            ("http://127.0.0.1:8788", "http://localhost:8788"),
            ("http://[::1]:8788/a", "http://localhost:8788/a"),
            ("http://192.0.2.1:80", "http://192.0.2.1:80"),
        ] {
            let policy = read(&format!("[backends.a]\nurl = {url:?}\n")).expect("the policy has no errors");
            assert_eq!(named(&policy).backends[0].urls, [expected], "{url}");
        }
    }
}
