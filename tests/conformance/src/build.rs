//! Builds of policies.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// Builds the handlers' crate for a platform; `file` is one of those beside its manifest.
pub(crate) fn handlers(root: &Path, target: &str, file: &str, out: &Path) -> anyhow::Result<()> {
    policy(root, target, &root.join("tests/conformance/handlers").join(file), out)
}

/// Builds a policy for a platform as anybody builds theirs.
pub(crate) fn policy(root: &Path, target: &str, file: &Path, out: &Path) -> anyhow::Result<()> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["run", "--quiet", "--package", "selvedge", "--", "build", "--target", target, "--policy"])
        .arg(file)
        .arg("--out")
        .arg(out)
        .current_dir(root)
        .stdout(Stdio::null())
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "`selvedge build --target {target}` failed");
    Ok(())
}
