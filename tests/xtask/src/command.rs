//! Programs that tasks start: shown before they run, named when they fail.

use std::ffi::OsString;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};

use anyhow::{Context, Result, bail};

use crate::runner::DIM;
use crate::workspace::Workspace;

/// A command line in the making. It reads no standard input.
#[derive(Clone, Debug)]
pub(crate) struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    envs: Vec<(&'static str, OsString)>,
    removed_envs: Vec<&'static str>,
    dir: Option<PathBuf>,
}

impl Cmd {
    /// Starts a command line with a program from the search path, or a path to one.
    pub(crate) fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into(), args: vec![], envs: vec![], removed_envs: vec![], dir: None }
    }

    /// Starts a `cargo` command line that runs in the workspace's root.
    pub(crate) fn cargo<A: Into<OsString>>(workspace: &Workspace, args: impl IntoIterator<Item = A>) -> Self {
        Self::new("cargo").args(args).dir(&workspace.root)
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub(crate) fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.envs.push((name, value.into()));
        self
    }

    /// Hides an environment variable of the caller.
    pub(crate) fn env_remove(mut self, name: &'static str) -> Self {
        self.removed_envs.push(name);
        self
    }

    /// Runs in a folder other than the current one.
    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_owned());
        self
    }

    /// Shows the command line, runs it and lets its output through.
    ///
    /// # Errors
    /// When the program is missing, with what to install, or when it fails.
    pub(crate) fn run(&self) -> Result<()> {
        anstream::println!("{DIM}$ {self}{DIM:#}");
        let status = self.command().status().map_err(|error| self.not_started(&error))?;
        self.require_success(status)
    }

    /// Runs without showing anything and returns what the program printed.
    ///
    /// # Errors
    /// As [`Cmd::run`]; what the program wrote as errors is part of the error.
    pub(crate) fn read(&self) -> Result<String> {
        let Output { status, stdout, stderr } =
            self.command().output().map_err(|error| self.not_started(&error))?;
        self.require_success(status)
            .with_context(|| String::from_utf8_lossy(&stderr).trim_end().to_owned())?;
        String::from_utf8(stdout).with_context(|| format!("`{self}` printed something that is not UTF-8"))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null()).envs(self.envs.iter().map(|(k, v)| (k, v)));
        self.removed_envs.iter().for_each(|name| _ = command.env_remove(name));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    fn require_success(&self, status: ExitStatus) -> Result<()> {
        if !status.success() {
            bail!("`{self}` failed ({status})");
        }
        Ok(())
    }

    fn not_started(&self, error: &std::io::Error) -> anyhow::Error {
        let program = self.program.to_string_lossy();
        if error.kind() != ErrorKind::NotFound {
            return anyhow::anyhow!("cannot start `{self}`: {error}");
        }
        anyhow::anyhow!("`{program}` is not installed: {}", how_to_install(&program))
    }
}

impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.envs {
            write!(f, "{name}={} ", quoted(&value.to_string_lossy()))?;
        }
        write!(f, "{}", self.program.to_string_lossy())?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", quoted(&arg.to_string_lossy())))
    }
}

/// Says where a program that is missing comes from.
pub(crate) fn how_to_install(program: &str) -> &'static str {
    match program {
        "cargo" | "rustc" | "rustup" => {
            "install Rust with rustup, from https://rustup.rs, then run this again"
        }
        "node" | "npm" => {
            "install Node.js 20 or later with npm, from https://nodejs.org or your system's packages, then run this again"
        }
        _ => "install it from your system's packages, then run this again",
    }
}

/// Writes an argument so that a shell reads it back as one word.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_a_shell_would_read_it() {
        let cmd = Cmd::new("cargo").args(["test", "--", "it's", ""]).env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(cmd.to_string(), r"RUSTDOCFLAGS='-D warnings' cargo test -- 'it'\''s' ''");
    }

    #[test]
    fn a_missing_program_is_named_with_where_to_get_it() {
        let error = Cmd::new("selvedge-no-such-program").run().expect_err("nothing has that name");
        assert_eq!(
            error.to_string(),
            "`selvedge-no-such-program` is not installed: install it from your system's packages, then run this again"
        );
    }

    #[test]
    fn a_failing_program_is_shown_with_its_arguments_and_its_errors() {
        let error =
            Cmd::new("cargo").args(["no-such-subcommand"]).read().expect_err("cargo has no such command");
        let message = format!("{error:#}");
        assert!(message.contains("`cargo no-such-subcommand` failed"), "the command is named: {message}");
        assert!(message.contains("no such command"), "cargo's own words are kept: {message}");
    }
}
