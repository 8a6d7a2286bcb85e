//! What cfn-lint makes of the template of a build, and the rehearsal of a deployment.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::Value;

/// Pins cfn-lint.
const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// Builds of one checkout share their folder of compiled modules, so they take turns.
static TURN: Mutex<()> = Mutex::new(());

/// The storefront, rehearsed once for the tests that look at it.
static STOREFRONT: LazyLock<Rehearsal> =
    LazyLock::new(|| rehearse("storefront", &example("storefront/edge.toml"), &[], &[]));

/// A policy that asks no backend.
const ONLY_ANSWERS: &str = "[[routes]]\npath = \"/\"\nrespond = { body = \"hello\" }\n";

/// The same for that policy.
static ANSWERS: LazyLock<Rehearsal> = LazyLock::new(|| rehearse("answers", ONLY_ANSWERS, &[], &[]));

/// A run of `selvedge deploy --target lambda-edge --dry-run`.
struct Rehearsal {
    code: Option<i32>,
    shown: String,
    folder: PathBuf,
}

impl Rehearsal {
    fn built(&self, name: &str) -> PathBuf {
        self.folder.join("dist/lambda-edge").join(name)
    }

    fn template(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}", self.shown);
        serde_json::from_slice(&fs::read(self.built("template.json")).unwrap()).unwrap()
    }

    fn config(&self) -> Value {
        self.template()["Resources"]["Distribution"]["Properties"]["DistributionConfig"].clone()
    }
}

fn example_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

fn example(name: &str) -> String {
    fs::read_to_string(example_path(name)).unwrap()
}

/// Rehearses the deployment of a policy, in a folder of its own.
fn rehearse(name: &str, policy: &str, options: &[&str], environment: &[(&str, &str)]) -> Rehearsal {
    run_in(new_folder(name), policy, options, environment)
}

fn new_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("deploy-lambda-edge").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn run_in(folder: PathBuf, policy: &str, options: &[&str], environment: &[(&str, &str)]) -> Rehearsal {
    fs::write(folder.join("edge.toml"), policy).unwrap();
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(env!("CARGO_BIN_EXE_selvedge"))
        .args(["deploy", "--target", "lambda-edge", "--bucket", "code", "--dry-run"])
        .args(options)
        .args(["--", "Aliases=shop.example.com"])
        .current_dir(&folder)
        .envs(environment.iter().copied())
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    Rehearsal { code: output.status.code(), shown, folder }
}

/// Lets cfn-lint look at a template, warnings and remarks included; without Python nobody looks.
fn assert_linted(template: &Path) {
    if Command::new("python3").arg("--version").output().is_err() {
        anstream::println!("skipped: python3 is not installed, and cfn-lint needs it");
        return;
    }
    let name = REQUIREMENTS.lines().find(|line| line.starts_with("cfn-lint==")).unwrap().replace("==", "-");
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".cache"));
    let program = cache.join("selvedge").join(name).join("bin/cfn-lint");
    assert!(program.exists(), "{} is not there: `cargo xtask install` brings it", program.display());
    let output = Command::new(program)
        .args(["--regions", "us-east-1", "--include-checks", "I", "--template"])
        .arg(template)
        .output()
        .unwrap();
    let shown = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{}", shown.concat());
}

#[test]
fn the_rehearsal_shows_every_command_and_checks_the_template() {
    let Rehearsal { code, shown, .. } = &*STOREFRONT;
    assert_eq!(*code, Some(0), "{shown}");
    let template = STOREFRONT.template();
    let key = template["Parameters"]["CodeKey"]["Default"].as_str().unwrap();
    assert!(key.starts_with("selvedge-storefront-"), "{key}");
    for part in [
        format!("aws s3 cp function.zip s3://code/{key} --region us-east-1"),
        "aws cloudformation deploy --region us-east-1 --stack-name selvedge-storefront".to_owned(),
        format!("--parameter-overrides CodeBucket=code CodeKey={key} Aliases=shop.example.com"),
    ] {
        assert!(shown.contains(&part), "no {part:?} in\n{shown}");
    }
    let settings: Value =
        serde_json::from_slice(&fs::read(STOREFRONT.built("settings.json")).unwrap()).unwrap();
    assert!(!shown.contains(settings["key"].as_str().unwrap()), "the key is never shown");
}

#[test]
fn cfn_lint_accepts_the_storefront() {
    assert_eq!(STOREFRONT.code, Some(0), "{}", STOREFRONT.shown);
    assert_linted(&STOREFRONT.built("template.json"));
}

#[test]
fn the_storefront_fails_over_where_only_safe_methods_are_taken() {
    let config = STOREFRONT.config();
    let of = |behaviour: &Value| {
        let methods = behaviour["AllowedMethods"].as_array().unwrap().len();
        (behaviour["PathPattern"].clone(), behaviour["TargetOriginId"].clone(), methods)
    };
    assert_eq!(of(&config["DefaultCacheBehavior"]), (Value::Null, "primary".into(), 7));
    let paths: Vec<_> = config["CacheBehaviors"].as_array().unwrap().iter().map(of).collect();
    let expected =
        ["/", "/api/content", "/static/*", "/api/user"].map(|path| (path.into(), "group".into(), 3));
    assert_eq!(paths, expected);
    let origins: Vec<_> = config["Origins"].as_array().unwrap().iter().map(|origin| &origin["Id"]).collect();
    assert_eq!(origins, ["primary", "secondary"]);
}

/// The version of the function that a template publishes.
fn version(template: &Value) -> String {
    let resources = template["Resources"].as_object().unwrap();
    let mut versions = resources.keys().filter(|name| name.starts_with("FunctionVersion"));
    let version = versions.next().unwrap().clone();
    assert_eq!(versions.next(), None, "one version is published");
    version
}

#[test]
fn what_did_not_change_is_no_new_version() {
    let folder = new_folder("answers-again");
    fs::create_dir(folder.join(".selvedge")).unwrap();
    let key = Path::new(".selvedge/lambda-edge.key");
    fs::copy(ANSWERS.folder.join(key), folder.join(key)).unwrap();
    let again = run_in(folder, ONLY_ANSWERS, &[], &[]);
    assert_eq!(again.template(), ANSWERS.template());
    let zip = |rehearsal: &Rehearsal| fs::read(rehearsal.built("function.zip")).unwrap();
    assert!(zip(&again) == zip(&ANSWERS), "the zip has the same bytes");
    let (own, other) = (version(&ANSWERS.template()), version(&STOREFRONT.template()));
    assert_ne!(own, other, "another policy is another version");
}

#[test]
fn policies_get_the_triggers_that_they_need() {
    let proxy = "[backends.a]\nurl = \"http://a.example.com:8080/base\"\n\
                 request-headers = { X-Token = { env = \"TOKEN\" } }\n\
                 [[routes]]\npath = \"/{*rest}\"\nbackend = \"a\"\n";
    let proxy = rehearse("proxy", proxy, &[], &[("TOKEN", "secret-of-the-test")]);
    for rehearsal in [&*ANSWERS, &proxy] {
        assert_eq!(rehearsal.code, Some(0), "{}", rehearsal.shown);
        assert_linted(&rehearsal.built("template.json"));
        assert!(rehearsal.config()["OriginGroups"].is_null(), "nothing fails over");
    }
    let triggers = |rehearsal: &Rehearsal| {
        let behaviour = rehearsal.config()["DefaultCacheBehavior"].clone();
        let attached = behaviour["LambdaFunctionAssociations"].as_array().unwrap().clone();
        attached.into_iter().map(|one| one["EventType"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(triggers(&ANSWERS), ["viewer-request"]);
    assert!(triggers(&proxy).contains(&"origin-request".to_owned()), "{:?}", triggers(&proxy));
    let origin = &proxy.config()["Origins"][0];
    assert_eq!(
        (&origin["DomainName"], &origin["OriginPath"], &origin["CustomOriginConfig"]["HTTPPort"]),
        (&"a.example.com".into(), &"/base".into(), &8080.into())
    );
    assert!(!proxy.shown.contains("secret-of-the-test"), "a secret is never shown");
    let template = fs::read_to_string(proxy.built("template.json")).unwrap();
    assert!(!template.contains("secret-of-the-test"), "the template can be read by many");
}

#[test]
fn a_missing_variable_stops_the_build() {
    let policy = "[backends.a]\nurl = \"https://a.example.com\"\n\
                  request-headers = { X-Token = { env = \"SELVEDGE_TEST_MISSING\" } }\n";
    let rehearsal = rehearse("missing", policy, &[], &[]);
    assert_eq!(rehearsal.code, Some(2), "{}", rehearsal.shown);
    assert!(rehearsal.shown.contains("`SELVEDGE_TEST_MISSING`"), "{}", rehearsal.shown);
    assert!(!rehearsal.built("template.json").exists(), "nothing was written");
}

#[test]
fn a_database_of_places_goes_along_where_the_policy_asks_for_it() {
    let database = example_path("storefront/geoip/iptoasn-country.mmdb");
    let geoip = ["--geoip", database.to_str().unwrap()];
    let blocked = "[[geo.rules]]\naction = \"block\"\ncountries = [\"CN\"]\n";
    let asks = format!("[geo]\nsource = \"database\"\n{blocked}");
    let with = rehearse("places", &asks, &geoip, &[]);
    let key_headers = |template: &Value| {
        let config = &template["Resources"]["CachePolicy"]["Properties"]["CachePolicyConfig"];
        config["ParametersInCacheKeyAndForwardedToOrigin"]["HeadersConfig"]["Headers"].clone()
    };
    assert_eq!(key_headers(&with.template()), serde_json::json!(["selvedge-key"]));
    assert_eq!(fs::read(with.built("places.mmdb")).unwrap(), fs::read(&database).unwrap());
    let settings: Value = serde_json::from_slice(&fs::read(with.built("settings.json")).unwrap()).unwrap();
    assert_eq!(settings["places"], "places.mmdb");
    let platform = rehearse("no-places", blocked, &[], &[]);
    let headers = key_headers(&platform.template());
    assert_eq!(headers, serde_json::json!(["selvedge-key", "cloudfront-viewer-country"]));
    assert_linted(&platform.built("template.json"));
    for (name, policy, options, says) in [
        ("no-file", asks.as_str(), &[][..], "name an MMDB with --geoip FILE"),
        ("for-nothing", blocked, &geoip[..], "--geoip needs `[geo] source = \"database\"`"),
        ("no-database", asks.as_str(), &["--geoip", "edge.toml"][..], "edge.toml"),
    ] {
        let refused = rehearse(name, policy, options, &[]);
        assert_eq!(refused.code, Some(2), "{name}: {}", refused.shown);
        assert!(refused.shown.contains(says), "{name}: {}", refused.shown);
    }
}
