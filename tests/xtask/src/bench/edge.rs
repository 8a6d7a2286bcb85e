//! A `selvedge dev` to measure.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::Workspace;

/// The storefront on ports of its own; ends when dropped.
#[derive(Debug)]
pub(crate) struct Edge {
    child: Child,
    pub(crate) edge: SocketAddr,
    pub(crate) origin: SocketAddr,
}

impl Edge {
    /// Starts the release build and waits until it answers.
    ///
    /// # Errors
    /// When it does not start or does not answer.
    pub(crate) fn start(workspace: &Workspace) -> Result<Self> {
        let program = workspace.target_directory.join("release/selvedge");
        let (edge, origin) = (free_address()?, free_address()?);
        let mut child = Command::new(&program)
            .args(["dev", "--quiet", "--policy", "examples/storefront/edge.toml"])
            .args(["--listen", &edge.to_string(), "--origin-listen", &origin.to_string()])
            .env("SELVEDGE_LOG", "warn")
            .current_dir(&workspace.root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let announced = child.stdout.take().context("its output is piped")?;
        let edge = Self { child, edge, origin };
        wait_for_announcement(announced)?;
        let (head, _) = get(edge.edge, "/static/site.css")?;
        ensure!(head.starts_with("HTTP/1.1 200"), "the edge answers {head}");
        Ok(edge)
    }

    /// Returns the resident memory, where the system tells it.
    pub(crate) fn resident_mebibytes(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        resident_kibibytes(&status).map(|kibibytes| kibibytes / 1024.0)
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // It has no state: a child that is gone already needs no ending.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for_announcement(output: impl std::io::Read) -> Result<()> {
    for line in BufReader::new(output).lines() {
        if line?.contains("Ctrl-C") {
            return Ok(());
        }
    }
    bail!("selvedge dev ended before it was ready")
}

/// Returns an address of this machine that nobody listens on.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Asks for a path and returns the head and the body.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<(String, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no head")?;
    Ok((head.to_owned(), body.to_owned()))
}

fn resident_kibibytes(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resident_memory_is_read_from_the_status() {
        let status = "Name:\tselvedge\nVmPeak:\t  999999 kB\nVmRSS:\t   20480 kB\nThreads:\t4\n";
        assert_eq!(resident_kibibytes(status), Some(20_480.0));
        assert_eq!(resident_kibibytes("Name:\tx\n"), None);
    }
}
