//! Builds of the conformance handlers' crate.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// Builds the crate for a platform as anybody builds theirs; `policy` is one of those beside its manifest.
pub(crate) fn handlers(root: &Path, target: &str, policy: &str, out: &Path) -> anyhow::Result<()> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["run", "--quiet", "--package", "selvedge", "--", "build", "--target", target, "--policy"])
        .arg(root.join("tests/conformance/handlers").join(policy))
        .arg("--out")
        .arg(out)
        .current_dir(root)
        .stdout(Stdio::null())
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "`selvedge build --target {target}` failed");
    Ok(())
}
