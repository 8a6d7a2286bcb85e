//! Which cores a process runs on.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::load;
use crate::command::Cmd;

/// This process, and what it starts from here on, on one core; on all that it had when dropped.
pub(in crate::bench) struct Cores {
    had: String,
}

/// Says what is to be installed to load a server from a core of its own, if anything is.
pub(in crate::bench) fn missing() -> Option<String> {
    if !load::is_installed() {
        return Some(load::how_to_install());
    }
    let tried = Command::new("taskset").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let advice = "`taskset` is not installed: `apt-get install util-linux` on Debian brings it";
    tried.is_err().then(|| advice.to_owned())
}

/// Begins a command line that runs on one core.
pub(in crate::bench) fn on_core(core: &str) -> Cmd {
    Cmd::new("taskset").args(["-c", core])
}

impl Cores {
    /// Moves this process to the first of its cores, with all of its threads.
    pub(in crate::bench) fn first() -> Result<Self> {
        let printed = taskset(&["-c", "-p"], None)?;
        let had = list(&printed).with_context(|| format!("taskset told no cores: {printed}"))?.to_owned();
        move_all(&both(&had).0)?;
        Ok(Self { had })
    }

    /// Moves all of its threads, but nothing of what it has started, to the second one, where it has two.
    pub(in crate::bench) fn move_all_to_second(&self) -> Result<()> {
        move_all(&both(&self.had).1)
    }

    /// Moves the main thread, and what it starts from here on, to the second one, and all other threads to the first.
    pub(in crate::bench) fn move_main_to_second(&self) -> Result<()> {
        let (first, second) = both(&self.had);
        move_all(&first)?;
        taskset(&["-c", "-p"], Some(&second)).map(drop)
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        // What follows is slower at worst.
        let _ = move_all(&self.had);
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

fn move_all(cores: &str) -> Result<()> {
    taskset(&["-a", "-c", "-p"], Some(cores)).map(drop)
}

/// Asks for, or says, the cores of this process.
fn taskset(options: &[&str], cores: Option<&str>) -> Result<String> {
    Cmd::new("taskset").args(options).args(cores).arg(std::process::id().to_string()).read()
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
