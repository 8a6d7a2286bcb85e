//! Programs in Python that tests run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::Cmd;
use crate::runner::Ran;
use crate::steps::walk;
use crate::workspace::Workspace;

/// Written last, so that what was installed halfway is installed again.
const MARK: &str = "installed.txt";

/// Installs what each requirements.txt pins, in an environment of its own among what can be made again.
///
/// The environment is called by the first requirement, such as `cfn-lint-1.58.0`: that is the program in question.
pub(crate) fn run(workspace: &Workspace) -> Result<Ran> {
    if Cmd::new("python3").arg("--version").read().is_err() {
        return Ok(Ran::Skipped("python3 is not installed; what needs it is skipped too".to_owned()));
    }
    let files = walk::files(&workspace.root)?;
    for file in files.iter().filter(|path| path.ends_with("requirements.txt")) {
        let file = workspace.root.join(file);
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let folder = environment(&text).with_context(|| format!("{} pins nothing", file.display()))?;
        install(&file, &text, &folder)?;
    }
    Ok(Ran::Passed)
}

/// Where what a requirements.txt pins is installed; `None` when it pins nothing.
pub(crate) fn environment(requirements: &str) -> Option<PathBuf> {
    first(requirements).map(|name| cache().join(name))
}

fn install(file: &Path, text: &str, folder: &Path) -> Result<()> {
    let mark = folder.join(MARK);
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == text) {
        anstream::println!("{} is up to date", folder.display());
        return Ok(());
    }
    Cmd::new("python3").args(["-m", "venv", "--clear"]).arg(folder).run()?;
    let python = folder.join(if cfg!(windows) { "Scripts/python" } else { "bin/python" });
    Cmd::new(python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(file).run()?;
    fs::write(&mark, text).with_context(|| format!("cannot write {}", mark.display()))
}

/// The first requirement as a folder's name.
fn first(text: &str) -> Option<String> {
    text.lines().find_map(|line| line.split_once("==")).map(|(name, version)| format!("{name}-{version}"))
}

/// Where the `selvedge` command keeps what can be made again.
fn cache() -> PathBuf {
    let from =
        |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("XDG_CACHE_HOME")
        .or_else(|| from("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("selvedge")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_called_by_the_first_requirement() {
        let text = "# Why.\ncfn-lint==1.58.0\njsonpatch==1.48\n";
        assert_eq!(first(text).as_deref(), Some("cfn-lint-1.58.0"));
        assert_eq!(first("# nothing\n"), None);
    }
}
