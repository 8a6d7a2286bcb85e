//! Where things are: the repository's root, its packages and its build folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::command::Cmd;

/// The repository as cargo sees it.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    /// Folder of the workspace's Cargo.toml.
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    /// Folder that cargo builds in.
    pub(crate) target_directory: PathBuf,
    /// The workspace's own packages.
    pub(crate) packages: Vec<Package>,
}

/// A package of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
}

/// A dependency as a package's Cargo.toml asks for it.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal dependency, else `dev` or `build`.
    pub(crate) kind: Option<String>,
    pub(crate) optional: bool,
    /// Folder of a dependency that lies in the workspace.
    pub(crate) path: Option<PathBuf>,
}

impl Workspace {
    /// Asks cargo about the workspace that this program was built from.
    pub(crate) fn find() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let json = Cmd::new("cargo")
            .args(["metadata", "--format-version=1", "--no-deps", "--manifest-path"])
            .arg(manifest)
            .read()?;
        Self::from_json(&json)
    }

    /// Reads what `cargo metadata --no-deps` prints.
    pub(crate) fn from_json(json: &str) -> Result<Self> {
        serde_json::from_str(json).context("cannot read what `cargo metadata` printed")
    }
}
