//! The process that runs a bundle's handler.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Calls the handler; see the file itself.
const SERVE: &str = include_str!("../../../../lambda-edge/local/serve.mjs");

/// A Node.js that calls a bundle's handler; it ends when dropped.
#[derive(Debug)]
pub struct Node {
    child: Child,
    address: SocketAddr,
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
        let mut child = command
            .env("AWS_REGION", "us-east-1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let output = child.stdout.take().context("the output is piped")?;
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let Some(port) = lines.find_map(|line| port(&line)) else {
            // Its input is closed by waiting, which ends it.
            bail!("Node.js did not start the bundle ({}); what it said is above", child.wait()?);
        };
        Ok(Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) })
    }

    /// Returns the process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is not left behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Finds Node.js among the programs that `npm ci` installed in a folder.
///
/// # Errors
/// When it is not there; the message says what brings it.
pub fn program(folder: &Path) -> anyhow::Result<PathBuf> {
    let program = folder.join("node_modules/.bin/node");
    if program.is_file() {
        // The process gets no PATH and runs in another folder.
        return program.canonicalize().with_context(|| format!("cannot find {}", program.display()));
    }
    bail!("{} is not there; run `npm ci` in {}", program.display(), folder.display())
}

fn port(line: &str) -> Option<u16> {
    let message: Value = serde_json::from_str(line).ok()?;
    message["port"].as_u64().filter(|_| message["event"] == "listen")?.try_into().ok()
}
