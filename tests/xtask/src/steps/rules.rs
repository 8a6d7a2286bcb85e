//! House rules about who may depend on whom.

use std::path::Path;

use anyhow::{Result, bail};

use crate::command::Cmd;
use crate::runner::Ran;
use crate::workspace::{Package, Workspace};

const CORE: &str = "selvedge-core";
const MAX_REQUIRED: usize = 10;

/// Crates that bring a runtime, a clock, randomness, sockets or a platform; the core reaches none, even at second hand.
const FORBIDDEN_IN_CORE: [&str; 24] = [
    "async-std",
    "chrono",
    "fastrand",
    "futures-executor",
    "getrandom",
    "hyper",
    "instant",
    "jiff",
    "js-sys",
    "libc",
    "mio",
    "rand",
    "rand_core",
    "reqwest",
    "rustix",
    "smol",
    "socket2",
    "tempfile",
    "time",
    "tokio",
    "uuid",
    "wasi",
    "wasm-bindgen",
    "worker",
];

/// Checks the dependencies of the core and of the adapters.
pub(crate) fn run(workspace: &Workspace) -> Result<Ran> {
    let tree = Cmd::cargo(workspace, ["tree", "--package", CORE, "--edges=normal", "--all-features"])
        .args(["--target=all", "--prefix=none", "--format={p}"])
        .read()?;
    let mut broken: Vec<_> = too_many_dependencies(&workspace.packages).into_iter().collect();
    broken.extend(forbidden_crates(&tree));
    broken.extend(adapters_on_adapters(&workspace.root, &workspace.packages));
    if !broken.is_empty() {
        bail!("{} house rules are broken:\n  {}", broken.len(), broken.join("\n  "));
    }
    anstream::println!("the core and {} packages keep the rules", workspace.packages.len() - 1);
    Ok(Ran::Passed)
}

/// Folders of adapters that are no platform, which platforms share.
const SHARED: [&str; 5] = ["cloudfront", "js", "log", "mmdb", "native"];

/// Says when the core has more required dependencies than it may.
fn too_many_dependencies(packages: &[Package]) -> Option<String> {
    let Some(core) = packages.iter().find(|package| package.name == CORE) else {
        return Some(format!("the workspace has no package {CORE}"));
    };
    let required = core.dependencies.iter().filter(|dep| dep.kind.is_none() && !dep.optional);
    let names: Vec<_> = required.map(|dep| dep.name.as_str()).collect();
    (names.len() > MAX_REQUIRED).then(|| {
        format!(
            "{CORE} has {} required dependencies, at most {MAX_REQUIRED}: {}",
            names.len(),
            names.join(", ")
        )
    })
}

/// Names the forbidden crates among those of `cargo tree --prefix=none`.
fn forbidden_crates(tree: &str) -> Vec<String> {
    let names: std::collections::BTreeSet<_> =
        tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let forbidden = names.into_iter().filter(|name| FORBIDDEN_IN_CORE.contains(name));
    forbidden
        .map(|name| format!("{CORE} reaches `{name}`; see `cargo tree --package {CORE} --invert {name}`"))
        .collect()
}

/// Names the adapters that depend on an adapter other than the shared `adapters/js`.
fn adapters_on_adapters(root: &Path, packages: &[Package]) -> Vec<String> {
    let adapters = root.join("adapters");
    let shared = SHARED.map(|folder| adapters.join(folder));
    let mut broken = Vec::new();
    for package in packages.iter().filter(|package| package.manifest_path.starts_with(&adapters)) {
        let paths = package.dependencies.iter().filter_map(|dep| dep.path.as_deref().map(|path| (dep, path)));
        for (dep, _) in
            paths.filter(|(_, path)| path.starts_with(&adapters) && !shared.iter().any(|own| own == path))
        {
            broken.push(format!("the adapter {} depends on the adapter {}", package.name, dep.name));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds what `cargo metadata` says of packages that each have a folder and dependencies as JSON.
    fn packages(entries: &[(&str, &str, &str)]) -> Vec<Package> {
        let package = |(name, dir, deps): &(&str, &str, &str)| {
            format!(r#"{{"name":"{name}","manifest_path":"/r/{dir}/Cargo.toml","dependencies":[{deps}]}}"#)
        };
        let packages: Vec<_> = entries.iter().map(package).collect();
        let json = packages.join(",");
        let json = format!(r#"{{"workspace_root":"/r","target_directory":"/r/target","packages":[{json}]}}"#);
        Workspace::from_json(&json).expect("it has the form of cargo's metadata").packages
    }

    fn dependency(name: &str, kind: &str, optional: bool) -> String {
        format!(r#"{{"name":"{name}","kind":{kind},"optional":{optional},"path":null}}"#)
    }

    #[test]
    fn the_core_may_have_ten_required_dependencies_and_any_number_of_others() {
        let mut deps: Vec<_> = (0..10).map(|n| dependency(&format!("d{n}"), "null", false)).collect();
        deps.push(dependency("optional", "null", true));
        deps.push(dependency("proptest", r#""dev""#, false));
        assert_eq!(too_many_dependencies(&packages(&[(CORE, "core", &deps.join(","))])), None);
        deps.push(dependency("eleventh", "null", false));
        let broken = too_many_dependencies(&packages(&[(CORE, "core", &deps.join(","))]));
        let message = broken.expect("eleven are one too many");
        assert!(message.contains("11") && message.contains("eleventh"), "{message}");
    }

    #[test]
    fn a_forbidden_crate_is_found_at_any_depth_and_by_its_whole_name() {
        let tree = "selvedge-core v0.1.0 (/r/core)\nrandomly v1.0.0\ntokio v1.0.0 (*)\ntokio v1.0.0\n";
        let broken = forbidden_crates(tree);
        assert_eq!(broken.len(), 1, "{broken:?}");
        assert!(broken[0].contains("`tokio`"), "{broken:?}");
    }

    #[test]
    fn adapters_share_only_the_javascript_module() {
        let on = |name: &str, dir: &str| {
            format!(r#"{{"name":"{name}","kind":null,"optional":false,"path":"/r/{dir}"}}"#)
        };
        let good = packages(&[
            ("cloudflare", "adapters/cloudflare", &on("js", "adapters/js")),
            ("js", "adapters/js", &on(CORE, "core")),
            ("selvedge", "deploy", &on("emulator", "adapters/emulator")),
        ]);
        assert_eq!(adapters_on_adapters(Path::new("/r"), &good), Vec::<String>::new());
        let bad = packages(&[("spin", "adapters/spin", &on("lambda", "adapters/lambda"))]);
        assert_eq!(
            adapters_on_adapters(Path::new("/r"), &bad),
            ["the adapter spin depends on the adapter lambda"]
        );
    }
}
