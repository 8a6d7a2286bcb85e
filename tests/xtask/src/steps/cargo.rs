//! Steps that are one cargo command.

use anyhow::Result;

use crate::command::Cmd;
use crate::runner::Ran;
use crate::workspace::Workspace;

/// Checks the format of every file.
pub(crate) fn fmt(workspace: &Workspace) -> Result<Ran> {
    run(workspace, &["fmt", "--all", "--check"])
}

/// Lints every target with every feature.
pub(crate) fn clippy(workspace: &Workspace) -> Result<Ran> {
    run(workspace, &["clippy", "--workspace", "--all-targets", "--all-features", "--", "-Dwarnings"])
}

/// Lints libraries and binaries.
pub(crate) fn clippy_quick(workspace: &Workspace) -> Result<Ran> {
    run(workspace, &["clippy", "--workspace", "--all-features", "--", "-Dwarnings"])
}

/// Runs every test but those in documentation.
pub(crate) fn test(workspace: &Workspace) -> Result<Ran> {
    run(workspace, &["test", "--workspace", "--all-features", "--lib", "--bins", "--tests", "--examples"])
}

/// Runs the unit tests of the two crates that a change of behaviour touches most.
pub(crate) fn unit(workspace: &Workspace) -> Result<Ran> {
    let packages = ["--package", "selvedge-core", "--package", "selvedge-emulator"];
    run(workspace, &[&["test", "--all-features", "--lib"], packages.as_slice()].concat())
}

/// Runs the conformance cases on the core: the target `core` of the conformance suite.
pub(crate) fn conformance(workspace: &Workspace) -> Result<Ran> {
    if !workspace.root.join("tests/conformance/tests/core.rs").exists() {
        return Ok(Ran::Skipped("there is no tests/conformance/tests/core.rs".to_owned()));
    }
    run(workspace, &["test", "--package", "selvedge-conformance", "--all-features", "--test", "core"])
}

/// Runs the examples in the documentation.
pub(crate) fn doctest(workspace: &Workspace) -> Result<Ran> {
    run(workspace, &["test", "--workspace", "--doc", "--all-features"])
}

/// Builds the documentation.
pub(crate) fn doc(workspace: &Workspace) -> Result<Ran> {
    Cmd::cargo(workspace, ["doc", "--workspace", "--no-deps", "--all-features"])
        .env("RUSTDOCFLAGS", "-Dwarnings")
        .run()?;
    Ok(Ran::Passed)
}

fn run(workspace: &Workspace, args: &[&str]) -> Result<Ran> {
    Cmd::cargo(workspace, args.iter().copied()).run()?;
    Ok(Ran::Passed)
}
