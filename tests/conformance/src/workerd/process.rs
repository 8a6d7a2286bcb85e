//! A workerd, from its start to its end.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;
use tempfile::TempDir;

/// A workerd that listens.
pub(super) struct Process {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Process {
    /// Starts the program on a configuration with the socket `edge`, and waits until it says where that listens.
    pub(super) fn start(program: &Path, folder: TempDir, config: &str) -> anyhow::Result<Self> {
        let program = super::program(program)?;
        std::fs::write(folder.path().join("config.capnp"), config)?;
        let mut child = Command::new(&program)
            .args(["serve", "--control-fd=1", "config.capnp"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let output = child.stdout.take().context("the output is piped")?;
        let Some(port) = BufReader::new(output).lines().map_while(Result::ok).find_map(|line| port(&line))
        else {
            let status = child.wait()?;
            bail!("workerd did not start ({status}); what it said is above");
        };
        Ok(Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), _folder: folder })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The port in a message of workerd's control channel.
fn port(line: &str) -> Option<u16> {
    let message: Value = serde_json::from_str(line).ok()?;
    (message["event"] == "listen" && message["socket"] == "edge")
        .then(|| message["port"].as_u64())??
        .try_into()
        .ok()
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is not left behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
