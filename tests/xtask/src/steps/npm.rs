//! JavaScript packages that tests need.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Result;

use crate::command::Cmd;
use crate::runner::Ran;
use crate::steps::walk;
use crate::workspace::Workspace;

/// Runs `npm ci` in each folder with a package.json and a lock file beside it.
///
/// A folder whose modules are newer than both files is left as it is. A
/// package.json without a lock file is a template for somebody else's project.
pub(crate) fn run(workspace: &Workspace) -> Result<Ran> {
    let folders = locked_folders(&workspace.root)?;
    if folders.is_empty() {
        return Ok(Ran::Skipped("no folder has a package.json with a lock file".to_owned()));
    }
    for folder in folders {
        if is_current(&folder) {
            anstream::println!("{} is up to date", folder.display());
        } else {
            Cmd::new("npm").args(["ci", "--no-audit", "--no-fund"]).dir(&folder).run()?;
        }
    }
    Ok(Ran::Passed)
}

fn locked_folders(root: &Path) -> Result<Vec<PathBuf>> {
    let files = walk::files(root)?;
    let manifests = files.iter().filter(|path| path.ends_with("package.json"));
    let folders = manifests.filter_map(|path| path.parent()).map(|folder| root.join(folder));
    Ok(folders.filter(|folder| folder.join("package-lock.json").exists()).collect())
}

fn is_current(folder: &Path) -> bool {
    let installed = modified(&folder.join("node_modules/.package-lock.json"));
    let wanted = ["package.json", "package-lock.json"].map(|name| modified(&folder.join(name)));
    installed.is_some() && wanted.iter().all(|wanted| *wanted <= installed)
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_folders_with_a_lock_file_are_installed() {
        let root = tempfile::tempdir().expect("a temporary folder can be made");
        let files =
            ["a/package.json", "a/package-lock.json", "b/package.json", "a/node_modules/c/package.json"];
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("each has a folder")).expect("folders can be made");
            fs::write(path, "{}").expect("files can be written");
        }
        let folders = locked_folders(root.path()).expect("the folder can be read");
        assert_eq!(folders, [root.path().join("a")], "b is a template, node_modules belongs to a");
        assert!(!is_current(&folders[0]), "nothing is installed yet");
        fs::write(folders[0].join("node_modules/.package-lock.json"), "{}").expect("files can be written");
        assert!(is_current(&folders[0]), "npm writes this file last");
    }
}
