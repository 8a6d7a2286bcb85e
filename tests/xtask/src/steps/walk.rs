//! The files of the repository.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Folders that hold what others wrote or what was built.
const FOREIGN: [&str; 4] = ["target", "node_modules", "dist", "corpus"];

/// Returns every file below `root`, relative to it and sorted, but those that are built or foreign.
pub(crate) fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() && is_own(&entry.file_name().to_string_lossy()) {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path().strip_prefix(root)?.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_own(folder: &str) -> bool {
    !folder.starts_with('.') && !FOREIGN.contains(&folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_foreign_and_hidden_folders_are_left_out() {
        let root = tempfile::tempdir().expect("a temporary folder can be made");
        for file in ["core/a.rs", "target/b.rs", "x/node_modules/c.js", ".git/d.rs", "b.rs"] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("each has a folder")).expect("folders can be made");
            fs::write(path, "").expect("files can be written");
        }
        let found = files(root.path()).expect("the folder can be listed");
        assert_eq!(found, [Path::new("b.rs"), Path::new("core/a.rs")]);
    }
}
