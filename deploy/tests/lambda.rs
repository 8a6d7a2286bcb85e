//! What cargo-lambda makes of a build, and the rehearsal of a deployment.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Pins cargo-lambda.
const REQUIREMENTS: &str = include_str!("../../adapters/lambda/requirements.txt");

/// Largest binary that is still quick to start.
const MAX_BINARY_BYTES: u64 = 8 * 1024 * 1024;

fn selvedge(arguments: &[&str], folder: &Path, path: OsString) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_selvedge"))
        .args(arguments)
        .current_dir(folder)
        .env("PATH", path)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code(), shown.concat())
}

/// A folder with a policy that needs no handlers.
fn project(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("deploy-lambda").join(name);
    fs::create_dir_all(&folder).unwrap();
    let policy = "name = \"My Shop\"\n[backends.a]\nurl = \"http://a.test\"\ntimeout = \"20s\"\n\
                  [[routes]]\npath = \"/\"\nbackend = \"a\"\n";
    fs::write(folder.join("edge.toml"), policy).unwrap();
    folder
}

/// The programs that `cargo xtask install` brought; `None` without Python.
fn programs() -> Option<PathBuf> {
    if Command::new("python3").arg("--version").output().is_err() {
        anstream::println!("skipped: python3 is not installed, and cargo-lambda comes from PyPI");
        return None;
    }
    let name =
        REQUIREMENTS.lines().find(|line| line.starts_with("cargo-lambda==")).unwrap().replace("==", "-");
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".cache"));
    let programs = cache.join("selvedge").join(name).join("bin");
    let program = programs.join("cargo-lambda");
    assert!(program.exists(), "{} is not there: `cargo xtask install` brings it", program.display());
    Some(programs)
}

fn path_with(first: &Path) -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(first.to_owned()).chain(std::env::split_paths(&path))).unwrap()
}

#[test]
fn the_rehearsal_packs_the_binary_and_the_policy_and_shows_the_command() {
    let Some(programs) = programs() else { return };
    let folder = project("rehearsal");
    let arguments = ["deploy", "--target", "lambda", "--dry-run", "--", "--region", "eu-central-1"];
    let (code, shown) = selvedge(&arguments, &folder, path_with(&programs));
    assert_eq!(code, Some(0), "{shown}");
    for part in [
        "--binary-path bootstrap --include policy.bin --timeout 25 --dry --region eu-central-1 my-shop",
        "deployment for function `my-shop`",
        "- policy.bin\n",
        "- bootstrap\n",
    ] {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
    let built = folder.join("dist/lambda");
    let size = fs::metadata(built.join("bootstrap")).unwrap().len();
    assert!(size <= MAX_BINARY_BYTES, "the binary has {size} bytes and not at most {MAX_BINARY_BYTES}");
    assert!(built.join("function.zip").is_file());
}

#[test]
fn without_cargo_lambda_the_error_says_how_to_install_it() {
    let folder = project("missing");
    // cargo itself is there, and nothing beside it.
    let cargo = Path::new(&std::env::var_os("CARGO").unwrap()).parent().unwrap().as_os_str().to_owned();
    let (code, shown) = selvedge(&["build", "--target", "lambda"], &folder, cargo);
    assert_eq!(code, Some(2), "{shown}");
    assert!(shown.contains("pip install cargo-lambda ziglang"), "{shown}");
    assert!(!folder.join("dist").exists(), "nothing is written");
}

#[test]
fn an_architecture_is_lambdas_alone() {
    let folder = project("architecture");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let (code, shown) = selvedge(&["build", "--target", "cloudflare", "--arch", "arm64"], &folder, path);
    assert_eq!(code, Some(2), "{shown}");
    assert!(shown.contains("--arch is for --target lambda"), "{shown}");
}
