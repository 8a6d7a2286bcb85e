//! Dependencies that no code uses.

use std::path::PathBuf;

use anyhow::Result;

use crate::command::Cmd;
use crate::runner::Ran;
use crate::workspace::Workspace;

const VERSION: &str = "0.9.2";

/// Looks for dependencies that no code names.
pub(crate) fn run(workspace: &Workspace) -> Result<Ran> {
    let machete = find_or_install(workspace)?;
    Cmd::new(machete).arg(".").dir(&workspace.root).run()?;
    Ok(Ran::Passed)
}

/// Installs cargo-machete into the build folder unless it is there.
pub(crate) fn install(workspace: &Workspace) -> Result<Ran> {
    find_or_install(workspace).map(|_| Ran::Passed)
}

fn find_or_install(workspace: &Workspace) -> Result<PathBuf> {
    let tools = workspace.target_directory.join("tools");
    let installed = tools.join("bin").join(format!("cargo-machete{}", std::env::consts::EXE_SUFFIX));
    let on_path = PathBuf::from("cargo-machete");
    if let Some(found) = [&installed, &on_path].into_iter().find(|program| is_right_version(program)) {
        return Ok(found.clone());
    }
    Cmd::cargo(workspace, ["install", "cargo-machete", "--locked", "--force"])
        .arg(format!("--version={VERSION}"))
        .arg("--root")
        .arg(&tools)
        .run()?;
    Ok(installed)
}

fn is_right_version(program: &PathBuf) -> bool {
    Cmd::new(program).arg("--version").read().is_ok_and(|version| version.trim().ends_with(VERSION))
}
