//! `selvedge new`: a project that runs at once.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use selvedge_core::policy::schema::json_schema_text;

use crate::cli::{BOLD, GREEN, New};

const POLICY: &str = include_str!("../templates/new/edge.toml");
const README: &str = include_str!("../templates/new/README.md");

/// Makes the folder and its files.
pub(crate) fn run(options: &New) -> anyhow::Result<ExitCode> {
    let folder = &options.name;
    let name =
        folder.file_name().and_then(|name| name.to_str()).context("the name must be a folder's, in UTF-8")?;
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        bail!("`{name}` holds characters other than letters, digits, `-`, `_` and `.`");
    }
    if folder.exists() {
        bail!("{} is there already; choose another name", folder.display());
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let files = [
        ("edge.toml", POLICY.replace("{{name}}", name)),
        ("edge.schema.json", json_schema_text()),
        ("README.md", README.replace("{{name}}", name)),
    ];
    for (file, text) in files {
        let path = folder.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    anstream::println!("{GREEN}Made{GREEN:#} {}. Next:", folder.display());
    anstream::println!("  {BOLD}cd {} && selvedge dev{BOLD:#}", folder.display());
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_project_has_a_policy_without_errors() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("shop");
        run(&New { name: name.clone() }).unwrap();
        let text = fs::read_to_string(name.join("edge.toml")).unwrap();
        let policy = selvedge_core::policy::read::read(&text).expect("the template has no errors");
        assert_eq!(policy.name, "shop", "the policy is named like the project");
        assert!(name.join("edge.schema.json").is_file(), "editors find the schema beside the policy");
        let again = run(&New { name }).expect_err("an existing folder is never written over");
        assert!(again.to_string().contains("there already"), "the error says why: {again}");
    }
}
