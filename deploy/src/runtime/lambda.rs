//! AWS Lambda: the function's processes behind the emulator's runtime API.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use selvedge_core::policy::{Policy, blob};
use selvedge_emulator::Clock;
use selvedge_emulator::runtime::lambda::{Function, FunctionConfig};
use selvedge_emulator::runtime::{Platform, RuntimeHandle};

use crate::build::Project;
use crate::build::lambda::{Tool, compile, timeout};
use crate::cli::DIM;

use super::Retired;

/// Longest wait of `selvedge dev` for an answer that the policy's own timeouts do not end.
const MIN_TIMEOUT: Duration = Duration::from_secs(30);

/// A function with the policy in use.
pub(crate) struct Functions {
    program: PathBuf,
    folder: PathBuf,
    handle: RuntimeHandle,
    running: Function,
    retired: Retired<Function>,
    reloads: u32,
}

impl Functions {
    /// Compiles the function and starts it.
    pub(super) fn start(project: &Project) -> anyhow::Result<Self> {
        anstream::eprintln!("{DIM}building the function{DIM:#}");
        let program = compile(project, Tool::Cargo)?;
        let folder = project.folder.join("dist/dev-lambda");
        let running = run(&program, folder.join("0"), &project.policy)?;
        let handle = RuntimeHandle::new(running.address());
        Ok(Self { program, folder, handle, running, retired: Retired::default(), reloads: 0 })
    }

    pub(super) fn platform(&self) -> Platform {
        Platform::Lambda(self.handle.clone())
    }

    /// Lets another policy answer from the next request on.
    pub(super) fn reload(&mut self, policy: &Policy) -> anyhow::Result<()> {
        self.reloads += 1;
        let next = run(&self.program, self.folder.join(self.reloads.to_string()), policy)?;
        self.handle.replace(next.address());
        self.retired.push(std::mem::replace(&mut self.running, next));
        Ok(())
    }
}

fn run(program: &std::path::Path, folder: PathBuf, policy: &Policy) -> anyhow::Result<Function> {
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join("policy.bin");
    std::fs::write(&path, blob::encode(policy))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Function::start(FunctionConfig {
        program: program.to_owned(),
        folder,
        environment: Vec::new(),
        queues: policy.queues.iter().map(|queue| queue.name.clone()).collect(),
        delivers: true,
        streams: true,
        environments: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        timeout: timeout(policy).max(MIN_TIMEOUT),
        clock: Clock::System,
        output: None,
    })
}
