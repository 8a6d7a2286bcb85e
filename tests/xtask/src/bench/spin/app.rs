//! A Spin application on the emulator's host.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

/// Where applications lie, and what runs them.
#[derive(Debug)]
pub(super) struct Host {
    program: PathBuf,
    folder: PathBuf,
}

/// An application that listens; it ends when dropped.
#[derive(Debug)]
pub(super) struct App {
    /// Its folder, which is its name in messages too.
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    child: Child,
}

impl Host {
    /// Runs applications in a folder with a program.
    pub(super) fn new(program: PathBuf, folder: &Path) -> Self {
        Self { program, folder: folder.to_owned() }
    }

    /// Compiles an application and waits until it listens.
    ///
    /// # Errors
    /// When it does not; the program itself says why.
    pub(super) fn start(&self, name: &'static str, flags: &[&str]) -> Result<App> {
        let mut child = Command::new(&self.program)
            .arg(self.folder.join(name))
            .args(flags)
            .env_clear()
            // It ends when its input does.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let output = child.stdout.take().context("its output is piped")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().parse();
        let address = address.with_context(|| format!("{name} did not start; what it said is above"))?;
        Ok(App { name, address, child })
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // It has no state: a child that is gone already needs no ending.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
