//! Steps that are one cargo command.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::command::Cmd;
use crate::runner::Ran;
use crate::workspace::Workspace;

/// Where Debian keeps PostgreSQL's programs, a folder for each version.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";

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
    run(workspace, &["test", "--workspace", "--all-features", "--lib", "--bins", "--tests", "--examples"])?;
    // Tests of servers that are not there pass, and what they print of it is not shown.
    let skipped =
        skipped_servers(Path::new(POSTGRES_VERSIONS), &std::env::var_os("PATH").unwrap_or_default());
    Ok(skipped.map_or(Ran::Passed, Ran::PassedWithout))
}

/// Says which servers the reference origin could not be tested with.
fn skipped_servers(postgres_versions: &Path, path: &OsStr) -> Option<String> {
    let mut versions = fs::read_dir(postgres_versions).into_iter().flatten().flatten();
    let has_postgres = versions.any(|version| version.path().join("bin/initdb").exists());
    let on_path = |program| std::env::split_paths(path).any(|folder| folder.join(program).exists());
    let has_redis = on_path("redis-server") && on_path("redis-cli");
    let servers = [("PostgreSQL", "postgresql", has_postgres), ("Redis", "redis-server", has_redis)];
    let missing = servers.iter().filter(|(.., is_there)| !is_there);
    let (names, packages): (Vec<_>, Vec<_>) = missing.map(|(name, package, _)| (*name, *package)).unzip();
    (!names.is_empty()).then(|| {
        let (names, packages) = (names.join(" and "), packages.join(" "));
        format!("skipped what needs {names}: not installed; apt-get install {packages}")
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_are_not_installed_are_named_with_their_packages() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let (versions, programs) = (folder.path().join("postgresql"), folder.path().join("bin"));
        fs::create_dir_all(versions.join("15/bin")).expect("a folder");
        fs::create_dir_all(&programs).expect("a folder");
        let skipped = || skipped_servers(&versions, programs.as_os_str());
        let both =
            "skipped what needs PostgreSQL and Redis: not installed; apt-get install postgresql redis-server";
        assert_eq!(skipped().as_deref(), Some(both));
        fs::write(versions.join("15/bin/initdb"), "").expect("a file");
        fs::write(programs.join("redis-server"), "").expect("a file");
        let redis = "skipped what needs Redis: not installed; apt-get install redis-server";
        assert_eq!(skipped().as_deref(), Some(redis), "the tests ask with redis-cli");
        fs::write(programs.join("redis-cli"), "").expect("a file");
        assert_eq!(skipped(), None);
    }
}
