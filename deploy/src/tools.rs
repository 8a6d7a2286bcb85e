//! Programs of other projects that commands run: pinned in package.json, installed by npm where they are first needed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::build::source::{cache, source};
use crate::cli::DIM;

/// Pins the programs.
const PACKAGE: &str = include_str!("../package.json");

/// Pins what they depend on.
const LOCK: &str = include_str!("../package-lock.json");

/// Returns the folder with the programs, after installing them where they are not there yet.
pub(crate) fn folder() -> anyhow::Result<PathBuf> {
    // A checkout has them where its tests put them.
    if let Some(folder) =
        source().ok().map(|source| source.join("deploy")).filter(|folder| is_installed(folder))
    {
        return Ok(folder);
    }
    let folder = cache().join(format!("tools-{}", crate::policy::fingerprint(LOCK)));
    if !is_installed(&folder) {
        install(&folder)?;
    }
    Ok(folder)
}

/// A command that runs one of the programs with the Node.js that they need.
pub(crate) fn command(folder: &Path, program: &str) -> anyhow::Result<Command> {
    let programs = folder.join("node_modules/.bin");
    let mut command = Command::new(programs.join(program));
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(programs).chain(std::env::split_paths(&paths));
    let paths: OsString = std::env::join_paths(paths).context("PATH holds a folder that it cannot name")?;
    command.env("PATH", paths).env("WRANGLER_SEND_METRICS", "false");
    Ok(command)
}

fn is_installed(folder: &Path) -> bool {
    ["workerd", "wrangler", "node"].iter().all(|name| folder.join("node_modules/.bin").join(name).exists())
}

fn install(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, text) in [("package.json", PACKAGE), ("package-lock.json", LOCK)] {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    anstream::eprintln!(
        "{DIM}installing wrangler, workerd and Node.js in {} (once){DIM:#}",
        folder.display()
    );
    let status = Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund"])
        .current_dir(folder)
        .status()
        .context("cannot run npm; install Node.js 20 or newer, from https://nodejs.org")?;
    if !status.success() {
        bail!("npm could not install the tools in {}", folder.display());
    }
    Ok(())
}
