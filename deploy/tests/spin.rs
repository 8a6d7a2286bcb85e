//! What a build for Spin holds, and what `spin` and its plugins are asked to do with it.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use selvedge_core::policy::blob;
use wasmparser::{Parser, Payload};

/// Most bytes of a component, as it is and compressed, in KiB.
const MAX_COMPONENT_KIB: (f64, f64) = (1536.0, 450.0);

/// Builds of one checkout share their folder of compiled modules, so they take turns.
static TURN: Mutex<()> = Mutex::new(());

/// A policy that reads a secret.
const SHOP: &str = "name = \"My Shop\"\n[backends.eu]\nurl = \"https://eu.example/v1\"\n\
                    request-headers = { Authorization = { env = \"EU_TOKEN\" } }\n\
                    [[routes]]\npath = \"/\"\nbackend = \"eu\"\ncache = { store = false }\n";

/// What stands for a `spin` and a `kubectl`: they write down what they are asked for, one word a line.
const FAKE: &str = "#!/bin/sh
if [ \"$1\" = --version ]; then echo \"spin $SPIN_VERSION (0a1b2c3 2026-09-01)\"; exit; fi
{ echo \"$(basename \"$0\")\"; for word; do echo \"  $word\"; done; } >> ../../calls
if [ \"$2\" = scaffold ]; then printf 'kind: SpinApp\\nspec:\\n  image: \"i\"\\n' > spinapp.yaml; fi
if [ \"$1\" = apply ]; then cat \"$3\" >> ../../calls; fi
exit \"${SPIN_EXIT:-0}\"
";

/// A run of the command in a folder of its own.
struct Run {
    code: Option<i32>,
    shown: String,
    folder: PathBuf,
}

impl Run {
    /// What the tools were asked for.
    fn calls(&self) -> String {
        fs::read_to_string(self.folder.join("calls")).unwrap_or_default()
    }

    /// The sizes of a file in the table, in KiB: as it is and compressed.
    fn sizes(&self, file: &str) -> Option<(f64, f64)> {
        let mut rows = self.shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.find_map(|row| match row.as_slice() {
            [name, plain, compressed] if *name == file => plain.parse().ok().zip(compressed.parse().ok()),
            _ => None,
        })
    }

    fn built(&self, file: &str) -> Vec<u8> {
        fs::read(self.folder.join("dist/spin").join(file)).unwrap()
    }

    /// The names of what was built, in order.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.join("dist/spin")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }
}

fn project(name: &str, policy: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("deploy-spin").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(folder.join("tools")).unwrap();
    fs::write(folder.join("edge.toml"), policy).unwrap();
    folder
}

fn selvedge(folder: PathBuf, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let others = std::env::split_paths(&path).filter(|folder| !folder.join("spin").exists());
    let path = std::env::join_paths(std::iter::once(folder.join("tools")).chain(others)).unwrap();
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(env!("CARGO_BIN_EXE_selvedge"))
        .args(arguments)
        .current_dir(&folder)
        .env("PATH", path)
        .env("NO_COLOR", "1")
        .env_remove("EU_TOKEN")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Run { code: output.status.code(), shown: shown.concat(), folder }
}

/// Deploys a policy with tools that only write down what they are asked for.
fn deploy(name: &str, policy: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    let folder = project(name, policy);
    for tool in ["spin", "kubectl"] {
        let path = folder.join("tools").join(tool);
        fs::write(&path, FAKE).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let arguments = [&["deploy", "--target", "spin"], arguments].concat();
    selvedge(folder, &arguments, &[&[("SPIN_VERSION", "4.1.0")], environment].concat())
}

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(path).canonicalize().unwrap()
}

/// The names of a component's exports.
fn exports(component: &[u8]) -> Vec<String> {
    let mut depth = 0;
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "most of what a component consists of is not looked at"
        )]
        match payload.unwrap() {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentExportSection(section) if depth == 0 => {
                names.extend(section.into_iter().map(|export| export.unwrap().name.name.to_owned()));
            }
            _ => {}
        }
    }
    names
}

#[test]
fn a_build_of_the_storefront_is_a_small_component_its_policy_and_its_database() {
    let policy = fs::read_to_string(example("storefront/edge.toml")).unwrap();
    let policy = policy.replace("[geo]\n", "[geo]\nsource = \"database\"\n");
    let database = example("storefront/geoip/iptoasn-country.mmdb");
    let arguments = ["build", "--target", "spin", "--geoip", database.to_str().unwrap()];
    let run = selvedge(project("storefront", &policy), &arguments, &[]);
    assert_eq!(run.code, Some(0), "{}", run.shown);
    assert_eq!(run.files(), ["edge.wasm", "geo.mmdb", "policy.bin", "spin.toml"]);
    let component = run.built("edge.wasm");
    assert!(Parser::is_component(&component), "a component and no module");
    let exports = exports(&component);
    assert!(exports.iter().any(|name| name == "wasi:http/handler@0.3.0"), "{exports:?}");
    let (plain, compressed) = run.sizes("edge.wasm").unwrap();
    let (most, most_compressed) = MAX_COMPONENT_KIB;
    assert!(plain <= most && compressed <= most_compressed, "{}", run.shown);
    assert_eq!(blob::decode(&run.built("policy.bin")).unwrap().name, "storefront");
    assert_eq!(run.built("geo.mmdb"), fs::read(database).unwrap());
    let manifest = String::from_utf8(run.built("spin.toml")).unwrap();
    assert!(manifest.contains("backend_us = { default = \"http://127.0.0.1:8788\" }"), "{manifest}");
    assert!(run.shown.contains("`spin up` in "), "{}", run.shown);
}

#[test]
fn a_build_with_handlers_holds_the_projects_own() {
    let policy = "name = \"greeter\"\n[[routes]]\npath = \"/\"\nhandler = \"greet\"\n";
    let folder = project("handlers", policy);
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core").canonicalize().unwrap();
    let manifest = format!(
        "[package]\nname = \"greeter\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\n\
         http = \"1\"\nselvedge-core = {{ path = {core:?} }}\n\n[workspace]\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::copy(core.join("../Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    fs::create_dir(folder.join("src")).unwrap();
    let code = "use selvedge_core::engine::EngineBuilder;\n\
                pub fn handlers(builder: EngineBuilder) -> EngineBuilder {\n\
                    builder.handler(\"greet\", |_| async {\n\
                        Ok(http::Response::new(\"greetings from the test\".into()))\n\
                    })\n\
                }\n";
    fs::write(folder.join("src/lib.rs"), code).unwrap();
    let run = selvedge(folder, &["build", "--target", "spin"], &[]);
    assert_eq!(run.code, Some(0), "{}", run.shown);
    assert!(run.shown.contains("the last one wins"), "the warning is shown: {}", run.shown);
    let component = run.built("edge.wasm");
    let text = b"greetings from the test";
    assert!(component.windows(text.len()).any(|bytes| bytes == text), "the handler is in it");
}

#[test]
fn a_rehearsal_shows_the_commands_and_no_secret_and_runs_nothing() {
    let rows: [(&str, &[&str], &[&str]); 3] = [
        (
            "rehearsal",
            &["--", "--variable", "backend_eu=https://a b.example"],
            &["spin deploy --variable eu_token=\"$EU_TOKEN\" --variable 'backend_eu=https://a b.example'\n"],
        ),
        (
            "rehearsal-aka",
            &["--via", "aka"],
            &["spin aka deploy --variable eu_token=\"$EU_TOKEN\"\n", "spin plugins install aka"],
        ),
        (
            "rehearsal-kube",
            &["--via", "kube", "--", "--replicas", "3"],
            &[
                "  spin registry push IMAGE\n  spin kube scaffold --from IMAGE --out spinapp.yaml --replicas 3\n  \
                 kubectl apply -f spinapp.yaml\n",
                "spin plugins install kube",
                "kubectl create secret generic my-shop-variables --from-literal=eu_token=\"$EU_TOKEN\"\n",
            ],
        ),
    ];
    for (name, arguments, parts) in rows {
        let arguments = [&["--dry-run"], arguments].concat();
        let run = deploy(name, SHOP, &arguments, &[("EU_TOKEN", "s3cret")]);
        assert_eq!(run.code, Some(0), "{}", run.shown);
        for part in parts {
            assert!(run.shown.contains(part), "no {part:?} in\n{}", run.shown);
        }
        assert!(!run.shown.contains("s3cret"), "{}", run.shown);
        assert_eq!(run.calls(), "", "nothing is run");
    }
}

#[test]
fn a_deployment_hands_secrets_over_and_shows_their_names() {
    for (name, via, words) in [
        ("deploy", &[][..], "spin\n  deploy\n"),
        ("deploy-aka", &["--via", "aka"][..], "spin\n  aka\n  deploy\n"),
    ] {
        let arguments = [via, &["--", "--no-confirm"]].concat();
        let run = deploy(name, SHOP, &arguments, &[("EU_TOKEN", "s3cret value")]);
        assert_eq!(run.code, Some(0), "{}", run.shown);
        assert_eq!(run.calls(), format!("{words}  --variable\n  eu_token=s3cret value\n  --no-confirm\n"));
        assert!(
            run.shown.contains("eu_token=\"$EU_TOKEN\"") && !run.shown.contains("s3cret"),
            "{}",
            run.shown
        );
        assert!(!run.shown.contains("warning: this is Spin"), "4.1.0 will do: {}", run.shown);
    }
}

#[test]
fn on_kubernetes_the_application_refers_to_a_secret() {
    let run = deploy("kube", SHOP, &["--via", "kube", "--image", "registry.example.com/shop:1"], &[]);
    assert_eq!(run.code, Some(0), "{}", run.shown);
    let app = "kind: SpinApp\nspec:\n  variables:\n  - name: eu_token\n    valueFrom:\n      secretKeyRef:\n        \
               name: my-shop-variables\n        key: eu_token\n  image: \"i\"\n";
    let expected = "spin\n  registry\n  push\n  registry.example.com/shop:1\n\
                    spin\n  kube\n  scaffold\n  --from\n  registry.example.com/shop:1\n  --out\n  spinapp.yaml\n\
                    kubectl\n  apply\n  -f\n  spinapp.yaml\n";
    assert_eq!(run.calls(), format!("{expected}{app}"));
    assert!(run.shown.contains("warning") && run.shown.contains("Spin 3.6.3"), "{}", run.shown);
    let given = ["--via", "kube", "--image", "shop:1", "--", "--variable", "eu_token=mine"];
    let run = deploy("kube-given", SHOP, &given, &[]);
    assert_eq!(run.code, Some(0), "{}", run.shown);
    assert!(
        run.calls().contains("  eu_token=mine\n") && !run.calls().contains("secretKeyRef"),
        "{}",
        run.calls()
    );
    assert!(!run.shown.contains("create secret"), "{}", run.shown);
}

#[test]
fn what_stops_a_deployment_is_said_with_a_way_out() {
    type Row =
        (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)], i32, &'static str);
    let rows: [Row; 7] = [
        ("no-secret", &[], &[], 2, "has no `EU_TOKEN`"),
        ("empty-secret", &[], &[("EU_TOKEN", "")], 2, "has no `EU_TOKEN`"),
        ("no-image", &["--via", "kube"], &[("EU_TOKEN", "s3cret")], 2, "with --image"),
        ("image", &["--image", "shop:1"], &[("EU_TOKEN", "s3cret")], 2, "--image is for --via kube"),
        ("fails", &[], &[("EU_TOKEN", "s3cret"), ("SPIN_EXIT", "7")], 2, "spin deploy"),
        ("old", &[], &[("EU_TOKEN", "s3cret"), ("SPIN_VERSION", "4.0.2")], 0, "warning: this is Spin 4.0.2"),
        ("given", &["--", "--variable", "eu_token=mine"], &[], 0, "--variable eu_token=mine"),
    ];
    for (name, arguments, environment, code, says) in rows {
        let run = deploy(name, SHOP, arguments, environment);
        assert_eq!(run.code, Some(code), "{name}: {}", run.shown);
        assert!(run.shown.contains(says), "{name}: no {says:?} in\n{}", run.shown);
    }
    let arguments = ["deploy", "--target", "spin"];
    let run = selvedge(project("no-spin", SHOP), &arguments, &[("EU_TOKEN", "s3cret")]);
    assert_eq!(run.code, Some(2), "{}", run.shown);
    assert!(run.shown.contains("https://spinframework.dev/install"), "{}", run.shown);
    let run = selvedge(project("no-spin-dry", SHOP), &[&arguments[..], &["--dry-run"]].concat(), &[]);
    assert_eq!(run.code, Some(0), "a rehearsal needs none: {}", run.shown);
    assert!(run.shown.contains("https://spinframework.dev/install"), "{}", run.shown);
}

#[test]
fn what_spin_refuses_is_not_built() {
    let database = example("storefront/geoip/iptoasn-country.mmdb");
    let geoip = ["--geoip", database.to_str().unwrap()];
    let limited = "[bots.rules]\nseo = { action = \"limit\", requests = 1, per = \"10s\" }\n";
    let places = "[geo]\nsource = \"database\"\n";
    let rows: [(&str, &str, &[&str], i32, &str); 6] = [
        ("limited", limited, &[], 1, "edge.toml:2:1: error: bots.rules.seo"),
        ("blocks", "[geo]\nunknown = \"block\"\n", &[], 1, "[geo] source = \"database\""),
        ("no-file", places, &[], 2, "name an MMDB with --geoip FILE"),
        ("for-nothing", "", &geoip, 2, "--geoip needs `[geo] source = \"database\"`"),
        ("no-database", places, &["--geoip", "edge.toml"], 2, "edge.toml"),
        ("arch", "", &["--arch", "arm64"], 2, "--arch is for --target lambda"),
    ];
    for (name, policy, arguments, code, says) in rows {
        let arguments = [&["build", "--target", "spin"], arguments].concat();
        let run = selvedge(project(name, policy), &arguments, &[]);
        assert_eq!(run.code, Some(code), "{name}: {}", run.shown);
        assert!(run.shown.contains(says), "{name}: no {says:?} in\n{}", run.shown);
        assert!(!run.folder.join("dist").exists(), "{name}: nothing is written");
    }
    let folder = project("out", "");
    fs::create_dir(folder.join("own")).unwrap();
    fs::write(folder.join("own/spin.toml"), "spin_manifest_version = 2\n").unwrap();
    let run = selvedge(folder, &["build", "--target", "spin", "--out", "own"], &[]);
    assert_eq!(run.code, Some(2), "{}", run.shown);
    assert!(run.shown.contains("own holds other files"), "{}", run.shown);
    assert!(run.folder.join("own/spin.toml").is_file(), "somebody's application is left alone");
    for command in ["check", "build"] {
        let arguments = [command, "--target", "lambda", "--via", "aka"];
        let run = selvedge(project("via", ""), &arguments, &[]);
        assert_eq!(run.code, Some(2), "{}", run.shown);
        assert!(run.shown.contains("--via is for --target spin"), "{}", run.shown);
    }
}
