//! Which cores a process runs on.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::command::Cmd;

/// This process, and what it starts from here on, on one core; on all that it had when dropped.
pub(super) struct Cores {
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

impl Cores {
    /// Moves this process to the first of its cores.
    pub(super) fn first() -> Result<Self> {
        let printed = taskset().read()?;
        let had = list(&printed).with_context(|| format!("taskset told no cores: {printed}"))?.to_owned();
        move_to(&both(&had).0)?;
        Ok(Self { had })
    }

    /// Moves it with all of its threads, but without what it has started, to the second one, where it has two.
    pub(super) fn move_to_second(&self) -> Result<()> {
        move_to(&both(&self.had).1)
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        // What follows is slower at worst.
        let _ = move_to(&self.had);
    }
}

/// The first two cores of a list such as `0,2-5`; twice the same where it has one.
fn both(list: &str) -> (String, String) {
    let mut numbers = list.split(',').flat_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let [first, last] = [first, last].map(|number| number.parse::<u32>().unwrap_or_default());
        first..=last
    });
    let first = numbers.next().unwrap_or_default();
    (first.to_string(), numbers.next().unwrap_or(first).to_string())
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
    fn two_cores_are_taken_where_there_are_two() {
        for (list, first, second) in
            [("0,1", "0", "1"), ("2-5", "2", "3"), ("3", "3", "3"), ("1,4-6", "1", "4")]
        {
            assert_eq!(both(list), (first.to_owned(), second.to_owned()), "{list}");
        }
    }

    #[test]
    fn the_cores_are_what_stands_behind_the_colon() {
        assert_eq!(list("pid 7's current affinity list: 0,2-5\n"), Some("0,2-5"));
        assert_eq!(list(""), None);
    }
}
