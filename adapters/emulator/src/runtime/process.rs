//! A runtime's process, which tells on its standard output where it listens.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, bail};

/// A process that listens on this machine; it ends when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    /// Starts a command and reads its lines until `port` finds one that tells the port.
    ///
    /// # Errors
    /// When it does not start; what it said is on the standard error.
    pub(super) fn start(command: Command, port: fn(&str) -> Option<u16>) -> anyhow::Result<Self> {
        Self::start_with_output(command, port).map(|(process, _)| process)
    }

    /// The same for a command that goes on to write, which fails once nobody reads.
    pub(super) fn start_with_output(
        mut command: Command,
        port: fn(&str) -> Option<u16>,
    ) -> anyhow::Result<(Self, BufReader<ChildStdout>)> {
        let program = command.get_program().to_string_lossy().into_owned();
        let spawned = command.stdout(Stdio::piped()).spawn();
        let mut child = spawned.with_context(|| format!("cannot run {program}"))?;
        let output = child.stdout.take().context("the output is piped")?;
        let mut output = BufReader::new(output);
        let mut lines = output.by_ref().lines().map_while(Result::ok);
        let Some(port) = lines.find_map(|line| port(&line)) else {
            // An open input would keep a process that waits for its end; waiting closes it.
            bail!("{program} did not start ({}); what it said is above", child.wait()?);
        };
        let process = Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) };
        Ok((process, output))
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is not left behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Finds a program among those that `npm ci` installed in a folder.
pub(super) fn program(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let program = folder.join("node_modules/.bin").join(name);
    if program.is_file() {
        return Ok(program);
    }
    bail!("{} is not there; run `npm ci` in {}", program.display(), folder.display())
}
