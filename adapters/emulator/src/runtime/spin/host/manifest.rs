//! [`spin.toml`](https://spinframework.dev/v4/manifest-reference), as far as this host knows it.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use super::allowed::AllowedHosts;
use super::trigger::Route;
use super::variables::Variables;

/// An application of one component behind one route.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) route: Route,
    pub(super) component: String,
    pub(super) source: PathBuf,
    pub(super) mounts: Vec<Mount>,
    pub(super) allowed: AllowedHosts,
    pub(super) key_value_stores: Vec<String>,
    pub(super) variables: Variables,
}

/// A file of this machine, and where the component sees it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) source: PathBuf,
    pub(super) destination: PathBuf,
}

impl Manifest {
    /// Reads the `spin.toml` in a folder.
    ///
    /// # Errors
    /// When there is none, or it asks for what this host does not do.
    pub(super) fn read(folder: &Path, values: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let path = folder.join("spin.toml");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text, folder, values).with_context(|| path.display().to_string())
    }

    fn parse(text: &str, folder: &Path, values: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let raw: Raw = toml::from_str(text)?;
        let version = raw.spin_manifest_version;
        ensure!(version == 2, "spin_manifest_version = {version} is not supported, only 2 is");
        let [trigger] = <[_; 1]>::try_from(raw.trigger.http)
            .map_err(|all| anyhow::anyhow!("there are {} http triggers and not one", all.len()))?;
        ensure!(raw.component.len() == 1, "there are {} components and not one", raw.component.len());
        let Some((name, component)) = raw.component.into_iter().find(|(name, _)| *name == trigger.component)
        else {
            bail!("the trigger's component `{}` is not there", trigger.component);
        };
        let variables = Variables::new(&raw.variables, component.variables, values)?;
        let hosts = component.allowed_outbound_hosts.iter().map(|host| variables.expand(host));
        let allowed = AllowedHosts::parse(&hosts.collect::<anyhow::Result<Vec<_>>>()?)?;
        let mounts = component.files.into_iter().map(|file| Mount::new(folder, file));
        Ok(Self {
            route: Route::parse(&trigger.route)?,
            component: name,
            source: folder.join(component.source),
            mounts: mounts.collect::<anyhow::Result<_>>()?,
            allowed,
            key_value_stores: component.key_value_stores,
            variables,
        })
    }
}

impl Mount {
    fn new(folder: &Path, raw: RawFile) -> anyhow::Result<Self> {
        let destination = Path::new(raw.destination.trim_start_matches('/'));
        let is_inside = destination.components().all(|part| matches!(part, Component::Normal(_)));
        ensure!(
            is_inside && destination.file_name().is_some(),
            "the destination `{}` is no file",
            raw.destination
        );
        Ok(Self { source: folder.join(raw.source), destination: destination.to_owned() })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    spin_manifest_version: u32,
    #[serde(rename = "application")]
    _application: RawApplication,
    #[serde(default)]
    variables: BTreeMap<String, RawVariable>,
    trigger: RawTriggers,
    component: BTreeMap<String, RawComponent>,
}

/// What does not matter to a host is read all the same, so that a key that is misspelt is seen.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawApplication {
    #[serde(rename = "name")]
    _name: String,
    #[serde(default, rename = "version")]
    _version: String,
    #[serde(default, rename = "authors")]
    _authors: Vec<String>,
    #[serde(default, rename = "description")]
    _description: String,
}

/// A variable of the application.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawVariable {
    pub(super) default: Option<String>,
    #[serde(default)]
    pub(super) required: bool,
    #[serde(default, rename = "secret")]
    _secret: bool,
    #[serde(default, rename = "description")]
    _description: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTriggers {
    #[serde(default)]
    http: Vec<RawTrigger>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTrigger {
    route: String,
    component: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawComponent {
    source: String,
    #[serde(default, rename = "description")]
    _description: String,
    #[serde(default)]
    files: Vec<RawFile>,
    #[serde(default)]
    allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    key_value_stores: Vec<String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    #[serde(default, rename = "build")]
    _build: RawBuild,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    source: String,
    destination: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBuild {
    #[serde(default, rename = "command")]
    _command: String,
    #[serde(default, rename = "workdir")]
    _workdir: String,
    #[serde(default, rename = "watch")]
    _watch: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        spin_manifest_version = 2
        [application]
        name = "shop"
        [[trigger.http]]
        route = "/..."
        component = "edge"
        [component.edge]
        source = "edge.wasm"
    "#;

    fn parse(text: &str) -> anyhow::Result<Manifest> {
        Manifest::parse(text, Path::new("/app"), &BTreeMap::new())
    }

    fn message(text: &str) -> String {
        parse(text).map(|_| ()).map_err(|error| format!("{error:#}")).expect_err(text)
    }

    #[test]
    fn a_component_gets_nothing_that_is_not_written() {
        let manifest = parse(SMALL).unwrap();
        assert_eq!(manifest.source, Path::new("/app/edge.wasm"));
        assert_eq!((manifest.mounts.len(), manifest.key_value_stores.len()), (0, 0));
        assert!(!manifest.allowed.allows("http", "a.test", None));
    }

    #[test]
    fn what_this_host_does_not_know_is_refused_by_its_name() {
        let second = "[component.other]\nsource = \"other.wasm\"";
        let rows = [
            (SMALL.replace("version = 2", "version = 1"), "spin_manifest_version = 1"),
            (SMALL.replace("source =", "sqlite_databases = [\"default\"]\nsource ="), "sqlite_databases"),
            (SMALL.replace("component = \"edge\"", "component = \"other\""), "`other`"),
            (SMALL.replace("component = \"edge\"", "component = \"edge\"\nexecutor = {}"), "executor"),
            (format!("{SMALL}\n{second}"), "2 components"),
            (SMALL.replace("/...", "/users/:id"), ":id"),
            (format!("{SMALL}\n[[trigger.redis]]\nchannel = \"a\""), "redis"),
            (format!("{SMALL}\nfiles = [\"*.bin\"]"), "files"),
        ];
        for (text, expected) in rows {
            let message = message(&text);
            assert!(message.contains(expected), "{expected}: {message}");
        }
    }

    #[test]
    fn files_have_a_place_within_the_component() {
        let with = |destination: &str| {
            let file = format!("files = [{{ source = \"policy.bin\", destination = \"{destination}\" }}]");
            parse(&format!("{SMALL}\n{file}"))
        };
        let expected = Mount { source: "/app/policy.bin".into(), destination: "policy.bin".into() };
        assert_eq!(with("/policy.bin").unwrap().mounts, [expected]);
        for outside in ["/../policy.bin", "/a/../../b", "/", ""] {
            assert!(with(outside).is_err(), "{outside}");
        }
    }
}
