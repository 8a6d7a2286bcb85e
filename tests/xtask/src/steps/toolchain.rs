//! What must be installed before anything else can run.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::command::{Cmd, how_to_install};
use crate::runner::Ran;
use crate::workspace::Workspace;

/// Target that the core's tests run on and that JavaScript hosts load.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// Target of Spin's components.
const WASI_TARGET: &str = "wasm32-wasip2";

const MIN_NODE_MAJOR: u32 = 20;

/// Installs missing parts of the Rust toolchain and checks Node.
///
/// rustup is asked only for what is missing, so a toolchain that came without
/// it will do as long as it is complete.
pub(crate) fn run(workspace: &Workspace) -> Result<Ran> {
    for component in ["rustfmt", "clippy"] {
        let subcommand = if component == "rustfmt" { "fmt" } else { component };
        if Cmd::cargo(workspace, [subcommand, "--version"]).read().is_err() {
            add(workspace, "component", component)?;
        }
    }
    for target in [WASM_TARGET, WASI_TARGET] {
        if !has_target(workspace, target)? {
            add(workspace, "target", target)?;
        }
    }
    let node = Cmd::new("node").arg("--version").read()?;
    require_node(node.trim())?;
    let npm = Cmd::new("npm").arg("--version").read()?;
    let rustc = Cmd::new("rustc").arg("--version").dir(&workspace.root).read()?;
    anstream::println!("{}, node {}, npm {}", rustc.trim(), node.trim(), npm.trim());
    Ok(Ran::Passed)
}

fn has_target(workspace: &Workspace, target: &str) -> Result<bool> {
    let args = ["--print", "target-libdir", "--target", target];
    let libdir = Cmd::new("rustc").args(args).dir(&workspace.root).read()?;
    Ok(Path::new(libdir.trim()).is_dir())
}

fn add(workspace: &Workspace, kind: &str, name: &str) -> Result<()> {
    Cmd::new("rustup").args([kind, "add", name]).dir(&workspace.root).run().with_context(|| {
        format!(
            "the Rust toolchain has no {kind} `{name}`; add it from where your Rust came from, or use rustup"
        )
    })
}

fn require_node(version: &str) -> Result<()> {
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < MIN_NODE_MAJOR) {
        bail!("node {version} is older than {MIN_NODE_MAJOR}: {}", how_to_install("node"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::require_node;

    #[test]
    fn node_20_and_later_will_do() {
        for good in ["v20.0.0", "v24.1.2"] {
            assert!(require_node(good).is_ok(), "{good} is new enough");
        }
        for bad in ["v18.20.1", "v9.0.0", "", "vfoo"] {
            let error = require_node(bad).expect_err(bad).to_string();
            assert!(error.contains("install Node.js 20"), "it says what to do: {error}");
        }
    }
}
