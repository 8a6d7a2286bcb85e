//! The process that runs a bundle's handler.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use serde_json::Value;

use crate::runtime::process::{self, Process};

/// Calls the handler; see the file itself.
const SERVE: &str = include_str!("../../../../lambda-edge/local/serve.mjs");

/// A Node.js that calls a bundle's handler; it ends when dropped.
#[derive(Debug)]
pub struct Node {
    process: Process,
}

impl Node {
    /// Starts the program in a folder with an `index.mjs` that exports `handler`, and waits until it listens.
    ///
    /// Lambda@Edge has no environment variables but Lambda's own, so the process does not get this one's.
    ///
    /// # Errors
    /// When it does not start; what it said is on the standard error.
    pub fn start(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(["--input-type=module", "--eval", SERVE]).current_dir(folder).env_clear();
        // Without it no program starts on Windows.
        command.envs(std::env::var_os("SystemRoot").map(|root| ("SystemRoot", root)));
        command.env("AWS_REGION", "us-east-1").stdin(Stdio::piped());
        Ok(Self { process: Process::start(command, port)? })
    }

    /// Returns the process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.process.address()
    }
}

/// Finds Node.js among the programs that `npm ci` installed in a folder.
///
/// # Errors
/// When it is not there; the message says what brings it.
pub fn program(folder: &Path) -> anyhow::Result<PathBuf> {
    let program = process::program(folder, "node")?;
    // The process gets no PATH and runs in another folder.
    program.canonicalize().with_context(|| format!("cannot find {}", program.display()))
}

fn port(line: &str) -> Option<u16> {
    let message: Value = serde_json::from_str(line).ok()?;
    message["port"].as_u64().filter(|_| message["event"] == "listen")?.try_into().ok()
}
