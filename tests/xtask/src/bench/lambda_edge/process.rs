//! A Node.js with one handler, which measures it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use super::scenario::Scenario;

/// Calls the handler; see the file itself.
const CODE: &str = "tests/xtask/src/bench/lambda_edge/measure.mjs";

/// What was measured of a number of events.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Times {
    /// Microseconds of an event.
    pub(super) median: f64,
    /// Microseconds that one event of a hundred exceeds.
    pub(super) p99: f64,
    /// What the first was answered with.
    pub(super) result: Value,
}

/// The process; it ends when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts it, with an environment as empty as that of Lambda@Edge.
    pub(super) fn start(root: &Path, handler: &Path) -> Result<Self> {
        let mut child = Command::new(root.join("deploy/node_modules/.bin/node"))
            .arg(root.join(CODE))
            .arg(handler)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start Node.js")?;
        let input = child.stdin.take().context("its input is piped")?;
        let output = BufReader::new(child.stdout.take().context("its output is piped")?);
        Ok(Self { child, input, output })
    }

    /// Sends so many events of a scenario, from a number on.
    pub(super) fn send(&mut self, scenario: &Scenario, number: usize, count: usize) -> Result<Times> {
        writeln!(self.input, "{}", scenario.told(number, count))?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        serde_json::from_str(&line)
            .with_context(|| format!("{}: the process ended; what it said is above", scenario.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has no state: a child that is gone already needs no ending.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
