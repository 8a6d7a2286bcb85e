//! What CloudFront and Lambda@Edge are given: the function's files, their zip, and a CloudFormation template.

mod archive;
mod key;
pub(crate) mod template;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use selvedge_cloudfront::policy::distribution::{Distribution, Geography};
use selvedge_core::geo::rules::GeoSource;
use selvedge_core::policy::{Policy, blob};
use serde_json::json;

use super::module::{self, Host};
use super::{Project, Written, empty_folder, source, write};
use crate::policy::STOREFRONT_GEOIP;
use archive::Archive;

/// The zip, which is uploaded.
pub(crate) const ZIP: &str = "function.zip";

/// The CloudFormation template; CloudFormation reads JSON as well as YAML.
pub(crate) const TEMPLATE: &str = "template.json";

/// The file with secrets, and what tells a folder of a build from others.
const SETTINGS: &str = "settings.json";

/// The compiled policy.
const POLICY: &str = "policy.bin";

/// The database of places.
const PLACES: &str = "places.mmdb";

/// The variable of the build that says how many requests have a line in the log; without it nothing is written of requests.
const ACCESS_LOG: &str = "SELVEDGE_ACCESS_LOG";

/// The most that a zip without a database of places may have. Lambda@Edge takes 50 MB since its
/// [quotas](https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html#limits-lambda-at-edge)
/// are the same for all triggers, and took 1 MB at viewer triggers before; a small one also starts sooner.
const MAX_ZIP_BYTES: usize = 1024 * 1024;

/// The most that Lambda@Edge takes.
const MAX_ZIP_WITH_PLACES_BYTES: usize = 50_000_000;

const FUNCTION: [(&str, &str); 8] = [
    ("index.mjs", include_str!("../../../../adapters/lambda-edge/node/index.mjs")),
    ("access.mjs", include_str!("../../../../adapters/lambda-edge/node/access.mjs")),
    ("edge.mjs", include_str!("../../../../adapters/lambda-edge/node/edge.mjs")),
    ("platform.mjs", include_str!("../../../../adapters/lambda-edge/node/platform.mjs")),
    ("access_line.mjs", include_str!("../../../../adapters/js/access_line.mjs")),
    ("bodies.mjs", include_str!("../../../../adapters/js/bodies.mjs")),
    ("exchange.mjs", include_str!("../../../../adapters/js/exchange.mjs")),
    ("instance.mjs", include_str!("../../../../adapters/js/instance.mjs")),
];

/// Files by name, in the order in which they are shown and zipped.
type Files = Vec<(&'static str, Vec<u8>)>;

/// Writes everything into a folder.
pub(crate) fn build(project: &Project, out: &Path) -> anyhow::Result<Vec<Written>> {
    let policy = &project.policy;
    let distribution = Distribution::of(policy, geography(policy));
    let files = files(project, Front::CloudFront)?;
    let archive = Archive::of(&files)?;
    require_size(&archive, project.geoip.is_some())?;
    let template = template::of(policy, &distribution, &archive);
    empty_folder(out, SETTINGS)?;
    key::let_nobody_else_in(out)?;
    write(out, ".gitignore", b"*\n")?;
    let mut written = Vec::new();
    for (name, content) in &files {
        written.push(write(out, name, content)?);
    }
    written.push(write(out, ZIP, archive.bytes())?);
    written.push(write(out, TEMPLATE, format!("{template:#}\n").as_bytes())?);
    Ok(written)
}

/// Writes the function's files for the local edge.
pub(crate) fn build_local(project: &Project, out: &Path) -> anyhow::Result<()> {
    empty_folder(out, SETTINGS)?;
    key::let_nobody_else_in(out)?;
    write(out, ".gitignore", b"*\n")?;
    for (name, content) in files(project, Front::LocalEdge)? {
        write(out, name, &content)?;
    }
    Ok(())
}

/// Writes what a policy changes in the files of [`build_local`].
pub(crate) fn rebuild_local(project: &Project, out: &Path) -> anyhow::Result<()> {
    for (name, content) in policy_files(project, Front::LocalEdge)? {
        write(out, name, &content)?;
    }
    Ok(())
}

/// Where a policy knows the client's place from.
pub(crate) fn geography(policy: &Policy) -> Geography {
    match policy.geo.source {
        GeoSource::Platform => Geography::Platform,
        GeoSource::Database => Geography::Database,
    }
}

/// What a stack of CloudFormation, and what belongs to it, is called: a letter first, then letters, digits and hyphens.
pub(crate) fn stack_name(policy: &Policy) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = policy.name.chars().map(plain).take(50).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "selvedge".to_owned() } else { format!("selvedge-{name}") }
}

/// Who calls the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Front {
    /// CloudFront, which sends viewers to `https` first.
    CloudFront,
    /// The local edge, whose viewers come without TLS. Its `--geoip` is what it plays CloudFront with, so that it
    /// can be there without a policy that asks for a database, and has a default.
    LocalEdge,
}

fn files(project: &Project, front: Front) -> anyhow::Result<Files> {
    let of_policy = policy_files(project, front)?;
    let sources = source::find(project)?;
    let mut files: Files = FUNCTION.into_iter().map(|(name, text)| (name, text.into())).collect();
    files.push(("policy.wasm", module::policy(&sources, Host::LambdaEdge)?));
    files.extend(of_policy);
    Ok(files)
}

/// The files that are others for another policy.
fn policy_files(project: &Project, front: Front) -> anyhow::Result<Files> {
    let mut files = vec![(POLICY, blob::encode(&project.policy))];
    let mut settings = json!({
        "key": key::of(&project.folder)?,
        "environment": environment(&project.policy, |name| std::env::var(name).ok())?,
        "httpsOnly": front == Front::CloudFront,
    });
    if let Some(share) = access_log(std::env::var(ACCESS_LOG).ok().as_deref())? {
        settings["accessLog"] = share.into();
    }
    if let Some(places) = places(project, front)? {
        settings["places"] = PLACES.into();
        files.push((PLACES, places));
    }
    files.push((SETTINGS, format!("{settings:#}\n").into_bytes()));
    Ok(files)
}

/// The database that the policy asks for; one that it does not ask for would make the function large for nothing.
fn places(project: &Project, front: Front) -> anyhow::Result<Option<Vec<u8>>> {
    match (project.policy.geo.source, &project.geoip, front) {
        (GeoSource::Platform, None, _) | (GeoSource::Platform, _, Front::LocalEdge) => Ok(None),
        (GeoSource::Platform, Some(_), Front::CloudFront) => {
            bail!("--geoip needs `[geo] source = \"database\"`: without it CloudFront tells the place")
        }
        (GeoSource::Database, None, Front::LocalEdge) => Ok(Some(STOREFRONT_GEOIP.to_vec())),
        (GeoSource::Database, None, Front::CloudFront) => {
            bail!("`[geo] source = \"database\"` needs a database to ship: name an MMDB with --geoip FILE")
        }
        (GeoSource::Database, Some(_), _) => project.places(),
    }
}

/// The share of requests that have a line in the log.
fn access_log(text: Option<&str>) -> anyhow::Result<Option<f64>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.map(Some).with_context(|| {
        format!("{ACCESS_LOG} is `{text}`, which is no share of requests from 0 (none) to 1 (all)")
    })
}

/// The values of the variables that backends' headers come from.
fn environment(
    policy: &Policy,
    value_of: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<BTreeMap<&str, String>> {
    let values = policy.secrets().into_iter().map(|name| match value_of(name) {
        Some(value) => Ok((name, value)),
        None => bail!(
            "the environment has no `{name}`, which a backend's `request-headers` name; Lambda@Edge has no \
             environment variables, so that the build takes the value along: set it and build again"
        ),
    });
    values.collect()
}

fn require_size(archive: &Archive, has_places: bool) -> anyhow::Result<()> {
    let most = if has_places { MAX_ZIP_WITH_PLACES_BYTES } else { MAX_ZIP_BYTES };
    let bytes = archive.bytes().len();
    if bytes > most {
        let files: Vec<_> = archive.sizes().iter().map(|(name, bytes)| format!("{name} {bytes}")).collect();
        bail!(
            "the zip has {bytes} bytes, more than {most}; compressed, its files have: {}. \
             Let a backend serve large bodies, and let handlers depend on less",
            files.join(", ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use selvedge_core::policy::read::read;

    use super::*;

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let text = "[backends.a]\nurl = \"https://a.example.com\"\n\
                    request-headers = { X-Token = { env = \"TOKEN\" }, X-Other = { env = \"OTHER\" } }\n";
        let policy = read(text).expect("the policy has no errors");
        let set = environment(&policy, |name| Some(format!("value of {name}"))).expect("both are set");
        let expected = [("OTHER", "value of OTHER"), ("TOKEN", "value of TOKEN")];
        assert_eq!(set, expected.map(|(name, value)| (name, value.to_owned())).into());
        let error = environment(&policy, |name| (name == "TOKEN").then(|| "secret".to_owned()))
            .expect_err("the other one is not set")
            .to_string();
        assert!(error.contains("`OTHER`") && error.contains("no environment variables"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn the_access_log_is_a_share_of_requests_and_off_unless_wanted() {
        let rows = [
            (None, None),
            (Some(""), None),
            (Some("0"), Some(0.0)),
            (Some("0.1"), Some(0.1)),
            (Some("1"), Some(1.0)),
        ];
        for (text, share) in rows {
            assert_eq!(access_log(text).expect("a share"), share, "{text:?}");
        }
        for text in ["on", "-0.1", "1.1", "NaN"] {
            let error = access_log(Some(text)).expect_err(text).to_string();
            assert!(error.contains(text) && error.contains(ACCESS_LOG), "{error}");
        }
    }

    #[test]
    fn a_zip_may_have_so_many_bytes() {
        let noise = |bytes: usize| {
            let mut state = 1_u32;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0]
            };
            (0..bytes).map(|_| next()).collect::<Vec<_>>()
        };
        let archive = |bytes| Archive::of(&[("policy.wasm", noise(bytes))]).expect("zips");
        assert!(require_size(&archive(1_000_000), false).is_ok(), "just inside");
        let large = archive(1_100_000);
        assert!(require_size(&large, true).is_ok(), "a database has more room");
        let error = require_size(&large, false).expect_err("beyond").to_string();
        assert!(error.contains("1048576") && error.contains("policy.wasm 11"), "{error}");
    }

    #[test]
    fn a_stack_has_a_name_that_cloudformation_takes() {
        for (name, expected) in [
            ("storefront", "selvedge-storefront"),
            ("My Shop!", "selvedge-my-shop"),
            ("", "selvedge"),
            ("4711", "selvedge-4711"),
        ] {
            let policy = Policy { name: name.to_owned(), ..Policy::default() };
            assert_eq!(stack_name(&policy), expected, "{name}");
        }
    }
}
