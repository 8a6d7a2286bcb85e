//! The list of crawlers that bots are classified by.

use std::path::Path;

use anyhow::{Result, bail};

/// Refreshes the list below `root`.
pub(crate) fn update(root: &Path) -> Result<()> {
    bail!("no crawler list below {} yet", root.display())
}
