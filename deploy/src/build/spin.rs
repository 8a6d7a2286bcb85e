//! What Spin runs and deploys: the component, the files that are mounted into it, and `spin.toml`.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use selvedge_core::cache::rule::Storing;
use selvedge_core::policy::{Policy, blob};
use selvedge_core::route::{Action, Route};
use selvedge_spin::variables::{ACCESS_LOG, Variables, origin};

use super::module::{Generated, cargo, handlers};
use super::source::quote;
use super::{Project, Written, cloudflare, empty_folder, source, write};
use crate::policy::STOREFRONT_GEOIP;

/// The application's manifest.
const MANIFEST: &str = "spin.toml";

/// The target of components.
const WASI: &str = "wasm32-wasip2";

/// The crate that is made around Selvedge's own and the project's handlers.
const CRATE: &str = "component";

const COMPONENT: &str = "edge.wasm";

/// The compiled policy, which the component finds under this name at the top of its files. It also tells a folder of a
/// build from others: a `spin.toml` may be anybody's.
const POLICY: &str = "policy.bin";

/// The database of places, likewise.
const PLACES: &str = "geo.mmdb";

/// The key-value store that Spin has without further configuration, and the only one on Akamai Functions.
const STORE: &str = "default";

/// Writes everything into a folder.
pub(crate) fn build(project: &Project, out: &Path) -> anyhow::Result<Vec<Written>> {
    match (project.asks_for_places(), &project.geoip) {
        (true, None) => {
            bail!("`[geo] source = \"database\"` needs a database to ship: name an MMDB with --geoip FILE")
        }
        (false, Some(_)) => {
            bail!("--geoip needs `[geo] source = \"database\"`: without it the component reads no database")
        }
        (true, Some(_)) | (false, None) => {}
    }
    write_app(project, &compile(project, true)?, out)
}

/// Writes a compiled component and what its policy needs into a folder.
///
/// A policy that asks for a database of places, and is given none, has the storefront's: [`build`] does not let that
/// happen, and a Spin on this machine is served well with it.
pub(crate) fn write_app(project: &Project, component: &Path, out: &Path) -> anyhow::Result<Vec<Written>> {
    let places = if project.asks_for_places() {
        Some(project.places()?.unwrap_or_else(|| STOREFRONT_GEOIP.to_vec()))
    } else {
        None
    };
    let component =
        std::fs::read(component).with_context(|| format!("cannot read {}", component.display()))?;
    empty_folder(out, POLICY)?;
    let mut written = vec![write(out, COMPONENT, &component)?];
    written.push(write(out, POLICY, &blob::encode(&project.policy))?);
    if let Some(places) = &places {
        written.push(write(out, PLACES, places)?);
    }
    let manifest = manifest(&project.policy, places.is_some());
    written.push(write(out, MANIFEST, manifest.as_bytes())?);
    Ok(written)
}

/// Compiles the component and returns where it is.
pub(crate) fn compile(project: &Project, is_release: bool) -> anyhow::Result<PathBuf> {
    let sources = source::find(project)?;
    let (dependency, call) = handlers(&sources, "");
    let generated = Generated {
        name: CRATE,
        manifest: include_str!("../../templates/spin/manifest.toml")
            .replace("{{spin}}", &sources.selvedge.dependency("spin"))
            .replace("{{handlers}}\n", &dependency),
        file: "lib.rs",
        code: include_str!("../../templates/spin/lib.rs").replace("{{handlers}}", &call),
    };
    let folder = generated.write(&sources.lock, &sources.target)?;
    let mut command = Command::new(cargo());
    command.args(["build", "--target", WASI, "--manifest-path"]).arg(folder.join("Cargo.toml"));
    if is_release {
        command.arg("--release");
    }
    let status = command
        .arg("--target-dir")
        .arg(&sources.target)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo; install Rust with rustup, from https://rustup.rs")?;
    if !status.success() {
        bail!("the component does not compile; if its target is missing: rustup target add {WASI}");
    }
    let profile = if is_release { "release" } else { "debug" };
    Ok(sources.target.join(WASI).join(profile).join("selvedge_component.wasm"))
}

/// The application's name: lower-case letters, digits and hyphens.
pub(crate) fn app_name(policy: &Policy) -> String {
    cloudflare::worker_name(&policy.name)
}

/// Whether the component keeps anything: responses that may be stored, or what handlers keep.
pub(crate) fn has_store(policy: &Policy) -> bool {
    policy.handlers().next().is_some() || policy.routes.iter().any(stores)
}

/// Whether responses of a route may be stored.
pub(crate) fn stores(route: &Route) -> bool {
    let is_read = route.takes(&http::Method::GET) || route.takes(&http::Method::HEAD);
    matches!(route.action, Action::Proxy { .. }) && route.cache.store == Storing::Store && is_read
}

/// The manifest, as [version 2](https://spinframework.dev/manifest-reference) has it: nothing is allowed that the
/// policy does not need.
fn manifest(policy: &Policy, has_places: bool) -> String {
    let variables = Variables::of(policy);
    let name = quote(&app_name(policy));
    let mut text = format!(
        "# Made by `selvedge build --target spin`; changes are written over.\n\
         spin_manifest_version = 2\n\n[application]\nname = {name}\nversion = \"0.1.0\"\n"
    );
    text += "\n# Give or change them at deployment, with `--variable NAME=VALUE`.\n[variables]\n";
    text += &declarations(policy, &variables);
    let files = [POLICY, PLACES].into_iter().take(if has_places { 2 } else { 1 });
    let files = files.map(|file| format!("{{ source = \"{file}\", destination = \"/{file}\" }}"));
    text += &format!(
        "\n[[trigger.http]]\nroute = \"/...\"\ncomponent = \"edge\"\n\n[component.edge]\nsource = \"{COMPONENT}\"\n\
         files = [{}]\nallowed_outbound_hosts = [{}]\n",
        files.collect::<Vec<_>>().join(", "),
        variables.backends().flatten().map(|name| quoted_template(name)).collect::<Vec<_>>().join(", ")
    );
    if has_store(policy) {
        text += &format!("key_value_stores = [\"{STORE}\"]\n");
    }
    text += "\n[component.edge.variables]\n";
    for name in names(&variables) {
        text += &format!("{name} = {}\n", quoted_template(name));
    }
    text
}

/// The variables with their defaults; secrets have none.
fn declarations(policy: &Policy, variables: &Variables) -> String {
    let secrets =
        variables.secrets().map(|(_, name)| format!("{name} = {{ required = true, secret = true }}\n"));
    let urls = policy.backends.iter().zip(variables.backends());
    let urls = urls.flat_map(|(backend, names)| backend.urls.iter().zip(names));
    let urls = urls.map(|(url, name)| {
        let origin = origin(url).unwrap_or_default();
        format!("{name} = {{ default = {} }}\n", quote(&origin))
    });
    let access_log = format!("{ACCESS_LOG} = {{ default = \"\" }}\n");
    secrets.chain(urls).chain([access_log]).collect()
}

fn names(variables: &Variables) -> impl Iterator<Item = &str> {
    let secrets = variables.secrets().map(|(_, name)| name);
    secrets.chain(variables.backends().flatten().map(String::as_str)).chain([ACCESS_LOG])
}

/// What stands for the value of a variable.
fn quoted_template(name: &str) -> String {
    format!("\"{{{{ {name} }}}}\"")
}
