//! Where Selvedge's own crates are, for the crates that a build makes.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::Project;

/// The folder of Selvedge's source when this program was compiled.
const COMPILED_FROM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Names another folder of Selvedge's source.
const SOURCE_VARIABLE: &str = "SELVEDGE_SOURCE";

/// What the module is made from.
pub(crate) struct Sources {
    /// Where Selvedge's own crates come from.
    pub(crate) selvedge: Selvedge,
    /// The dependency line of the crate with the handlers, when there is one.
    pub(crate) handlers: Option<Handlers>,
    /// The lock file that pins every dependency.
    pub(crate) lock: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
}

/// Where Selvedge's own crates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selvedge {
    /// This folder of its source.
    Folder(PathBuf),
    /// What stands behind the name of any of its crates in a manifest.
    Elsewhere(String),
}

/// A crate with handlers.
pub(crate) struct Handlers {
    /// Its name as a package.
    pub(crate) package: String,
    /// Its name in Rust.
    pub(crate) library: String,
    /// Its folder.
    pub(crate) folder: PathBuf,
}

/// Finds what a project's module is made from.
pub(crate) fn find(project: &Project) -> anyhow::Result<Sources> {
    let manifest = project.folder.join("Cargo.toml");
    let handlers = project.handlers();
    if handlers.is_empty() {
        let source = source()?;
        let target =
            cache().join(format!("module-{}", crate::policy::fingerprint(&source.to_string_lossy())));
        let lock = source.join("Cargo.lock");
        return Ok(Sources { selvedge: Selvedge::Folder(source), handlers: None, lock, target });
    }
    if !manifest.is_file() {
        bail!(
            "the policy names the handler `{}`, and {} has no Cargo.toml; make a library there with \
             `pub fn handlers(builder: EngineBuilder) -> EngineBuilder`",
            handlers[0],
            project.folder.display()
        );
    }
    of_crate(&manifest)
}

/// The crate of the handlers says where its `selvedge-core` comes from; the rest comes from there too.
fn of_crate(manifest: &Path) -> anyhow::Result<Sources> {
    let metadata = metadata(manifest)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let path = |package: &Value| package["manifest_path"].as_str().map(PathBuf::from);
    let own = packages.iter().find(|package| path(package).is_some_and(|path| path == manifest));
    let own = own.with_context(|| format!("{} is not a package", manifest.display()))?;
    let core = packages.iter().find(|package| package["name"] == "selvedge-core");
    let core = core.with_context(|| format!("{} does not depend on selvedge-core", manifest.display()))?;
    let library = own["targets"].as_array().into_iter().flatten().find(|target| {
        let mut kinds = target["kind"].as_array().into_iter().flatten();
        kinds.any(|kind| kind == "lib" || kind == "rlib")
    });
    let library = library.with_context(|| format!("{} has no library", manifest.display()))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let root = PathBuf::from(text(&metadata["workspace_root"]));
    Ok(Sources {
        selvedge: origin(core)?,
        handlers: Some(Handlers {
            package: text(&own["name"]),
            library: text(&library["name"]).replace('-', "_"),
            folder: manifest.parent().context("a manifest is in a folder")?.to_owned(),
        }),
        lock: root.join("Cargo.lock"),
        target: PathBuf::from(text(&metadata["target_directory"])).join("selvedge"),
    })
}

fn metadata(manifest: &Path) -> anyhow::Result<Value> {
    let output = std::process::Command::new(super::module::cargo())
        .args(["metadata", "--format-version=1", "--manifest-path"])
        .arg(manifest)
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot run cargo; install Rust with rustup, from https://rustup.rs")?;
    if !output.status.success() {
        bail!("cargo cannot read {}", manifest.display());
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")
}

/// From where `selvedge-core` comes, the rest comes too.
fn origin(core: &Value) -> anyhow::Result<Selvedge> {
    let Some(source) = core["source"].as_str() else {
        let manifest = PathBuf::from(core["manifest_path"].as_str().unwrap_or_default());
        let root = manifest.parent().and_then(Path::parent).context("selvedge-core is in a workspace")?;
        return Ok(Selvedge::Folder(root.to_owned()));
    };
    if let Some(git) = source.strip_prefix("git+") {
        let (url, _) = git.split_once('#').unwrap_or((git, ""));
        let (url, selection) = url.split_once('?').unwrap_or((url, ""));
        let selection = selection.split_once('=').map(|(key, value)| format!(", {key} = {}", quote(value)));
        let line = format!("{{ git = {}{} }}", quote(url), selection.unwrap_or_default());
        return Ok(Selvedge::Elsewhere(line));
    }
    Ok(Selvedge::Elsewhere(quote(&format!("={}", core["version"].as_str().unwrap_or_default()))))
}

impl Selvedge {
    /// The dependency on the crate of an adapter, as a manifest has it.
    pub(crate) fn dependency(&self, adapter: &str) -> String {
        match self {
            Self::Folder(source) => {
                let folder = source.join("adapters").join(adapter);
                format!("{{ path = {} }}", quote(&folder.to_string_lossy()))
            }
            Self::Elsewhere(line) => line.clone(),
        }
    }
}

/// A text as TOML writes it.
pub(crate) fn quote(text: &str) -> String {
    Value::from(text).to_string()
}

/// The folder of Selvedge's source.
pub(crate) fn source() -> anyhow::Result<PathBuf> {
    let folder =
        std::env::var_os(SOURCE_VARIABLE).map_or_else(|| PathBuf::from(COMPILED_FROM), PathBuf::from);
    let found = folder.canonicalize().ok().filter(|folder| folder.join("adapters/js/Cargo.toml").is_file());
    found.with_context(|| {
        format!(
            "Selvedge's source is not in {}; set {SOURCE_VARIABLE} to a checkout of the version of this program",
            folder.display()
        )
    })
}

/// The folder for what can be made again.
pub(crate) fn cache() -> PathBuf {
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
    fn the_rest_comes_from_where_the_core_comes_from() {
        let rows = [
            (serde_json::json!({ "manifest_path": "/s/core/Cargo.toml" }), r#"{ path = "/s/adapters/js" }"#),
            (
                serde_json::json!({ "source": "git+https://h.example/s?tag=v1#0a1b" }),
                r#"{ git = "https://h.example/s", tag = "v1" }"#,
            ),
            (
                serde_json::json!({ "source": "git+https://h.example/s#0a1b" }),
                r#"{ git = "https://h.example/s" }"#,
            ),
            (
                serde_json::json!({ "source": "registry+https://h.example", "version": "1.2.3" }),
                r#""=1.2.3""#,
            ),
        ];
        for (core, expected) in rows {
            assert_eq!(origin(&core).unwrap().dependency("js"), expected, "{core}");
        }
    }
}
