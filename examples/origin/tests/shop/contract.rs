//! What Schemathesis finds when it reads the description and asks for everything in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use selvedge_origin::{Origin, OriginConfig, serve};
use tokio::net::TcpListener;

/// Pins Schemathesis.
const REQUIREMENTS: &str = include_str!("../../requirements.txt");

/// No answer of the 500s, and no answer that the description does not have. A change without the version that it means
/// is refused however valid it is, and the echo answers every method: these two checks would find that.
const OPTIONS: [&str; 9] = [
    "--exclude-checks",
    "positive_data_acceptance,unsupported_method",
    "--exclude-path",
    "/_switch",
    "--mode=all",
    "--max-examples=25",
    "--seed=1",
    "--generation-database=none",
    "--no-color",
];

/// `/api/user?id=N` is the user of `/api/users/N` by another name, and gone when that was deleted; Schemathesis takes it
/// for one that nobody has deleted.
const CONFIGURATION: &str = "[[operations]]
include-path = \"/api/user\"
checks.ensure_resource_availability.enabled = false
";

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_failure_and_no_answer_beside_the_description() {
    let Some(program) = installed() else {
        eprintln!("skipped: Schemathesis is not installed; `cargo xtask install` brings it");
        return;
    };
    let origin = Origin::new(&OriginConfig::default()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let description = format!("http://{}/openapi.json", listener.local_addr().unwrap());
    tokio::spawn(async move { serve(listener, &origin, std::future::pending()).await });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("schemathesis.toml"), CONFIGURATION).unwrap();
    let mut command = Command::new(program);
    command.args(["run", &description]).args(OPTIONS).current_dir(folder.path());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let shown = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{}", shown.concat());
}

/// The one that the tests' installation brings, else the one on PATH.
fn installed() -> Option<PathBuf> {
    let pinned = REQUIREMENTS.lines().find(|line| line.starts_with("schemathesis==")).unwrap();
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")));
    let own = cache.map(|cache| cache.join("selvedge").join(pinned.replace("==", "-")).join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = own.into_iter().chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join("schemathesis")).find(|program| program.exists())
}
