//! Which cores a process runs on.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::command::Cmd;

/// This process, and what it starts from here on, on one core; on all that it had when dropped.
pub(super) struct OneCore {
    had: String,
}

/// Says what is to be installed to choose cores, if anything is.
pub(super) fn missing() -> Option<String> {
    let tried = Command::new("taskset").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let advice = "`taskset` is not installed: `apt-get install util-linux` on Debian brings it";
    tried.is_err().then(|| advice.to_owned())
}

/// Begins a command line that runs on one core.
pub(super) fn on_core(core: &str) -> Cmd {
    Cmd::new("taskset").args(["-c", core])
}

impl OneCore {
    /// Moves this process to its first core.
    pub(super) fn take() -> Result<Self> {
        let printed = taskset().read()?;
        let had = list(&printed).with_context(|| format!("taskset told no cores: {printed}"))?.to_owned();
        let first = had.split([',', '-']).next().unwrap_or_default().to_owned();
        move_to(&first)?;
        Ok(Self { had })
    }
}

impl Drop for OneCore {
    fn drop(&mut self) {
        // What follows is slower at worst.
        let _ = move_to(&self.had);
    }
}

fn move_to(cores: &str) -> Result<()> {
    Cmd::new("taskset").args(["-a", "-c", "-p", cores]).arg(std::process::id().to_string()).read().map(drop)
}

fn taskset() -> Cmd {
    Cmd::new("taskset").args(["-c", "-p"]).arg(std::process::id().to_string())
}

/// Finds the list of cores in what `taskset` prints of a process.
fn list(printed: &str) -> Option<&str> {
    printed.trim().rsplit_once(": ").map(|(_, list)| list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cores_are_what_stands_behind_the_colon() {
        assert_eq!(list("pid 7's current affinity list: 0,2-5\n"), Some("0,2-5"));
        assert_eq!(list(""), None);
    }
}
