//! What `wrangler` itself makes of a build: a rehearsal of the upload, and its own local server.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{BufRead as _, BufReader, PipeReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

/// Longest wait for an answer that takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Builds of one checkout share their folder of compiled modules, so they take turns.
static TURN: Mutex<()> = Mutex::new(());

/// The storefront, rehearsed once for the tests that look at it.
static STOREFRONT: LazyLock<Rehearsal> = LazyLock::new(|| {
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/storefront/edge.toml");
    rehearse("storefront", &fs::read_to_string(policy).unwrap())
});

/// A run of `selvedge deploy --target cloudflare --dry-run`.
struct Rehearsal {
    code: Option<i32>,
    shown: String,
    folder: PathBuf,
}

impl Rehearsal {
    /// The sizes of a file in the table, in KiB: as it is and compressed.
    fn sizes(&self, file: &str) -> Option<(f64, f64)> {
        let mut rows = self.shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.find_map(|row| match row.as_slice() {
            [name, plain, compressed] if *name == file => plain.parse().ok().zip(compressed.parse().ok()),
            _ => None,
        })
    }

    /// The bindings that wrangler lists, each with what it stands for.
    fn bindings(&self) -> Vec<String> {
        let lines = self.shown.lines().filter_map(|line| line.trim().strip_prefix("env."));
        lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    /// Names of the modules that wrangler would upload; it puts a digest before those that are no script.
    fn uploaded(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.join("upload")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.map(|name| name.split_once('-').map_or(name.clone(), |(_, rest)| rest.to_owned())).collect()
    }
}

/// Rehearses the deployment of a policy, in a folder of its own.
fn rehearse(name: &str, policy: &str) -> Rehearsal {
    assert_tools_are_installed();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("deploy-cloudflare").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("edge.toml"), policy).unwrap();
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(env!("CARGO_BIN_EXE_selvedge"))
        .args(["deploy", "--target", "cloudflare", "--dry-run", "--", "--outdir"])
        .arg(folder.join("upload"))
        .current_dir(&folder)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    Rehearsal { code: output.status.code(), shown, folder }
}

/// Where `npm ci` puts the programs that the command runs.
fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("node_modules/.bin")
}

fn assert_tools_are_installed() {
    for program in ["wrangler", "workerd", "node"] {
        let path = tools().join(program);
        assert!(path.exists(), "{} is not there: `cargo xtask install` brings it", path.display());
    }
}

#[test]
fn wrangler_takes_the_storefront_with_its_one_binding() {
    let Rehearsal { code, shown, .. } = &*STOREFRONT;
    assert_eq!(*code, Some(0), "{shown}");
    for file in [
        "index.mjs",
        "platform.mjs",
        "access.mjs",
        "access_line.mjs",
        "bodies.mjs",
        "driver.mjs",
        "instance.mjs",
        "policy.bin",
        "wrangler.toml",
    ] {
        assert!(STOREFRONT.sizes(file).is_some(), "no row for {file} in\n{shown}");
    }
    let (wasm, compressed) = STOREFRONT.sizes("policy.wasm").unwrap();
    let (total, _) = STOREFRONT.sizes("total").unwrap();
    assert!(0.0 < compressed && compressed < wasm && wasm < total, "{shown}");
    assert!(shown.contains("Total Upload:"), "wrangler tells what it would upload:\n{shown}");
    assert_eq!(STOREFRONT.bindings(), ["SELVEDGE_RECORDS (storefront) Analytics Engine Dataset"], "{shown}");
    let uploaded = STOREFRONT.uploaded();
    assert!(uploaded.iter().any(|name| name == "policy.wasm"), "{uploaded:?}");
    assert!(!uploaded.iter().any(|name| name.contains("state")), "nothing counts here: {uploaded:?}");
}

#[test]
fn a_limit_brings_the_durable_object_and_its_module() {
    let policy = "[bots.rules]\nseo = { action = \"limit\", requests = 1, per = \"10s\" }\n";
    let rehearsal = rehearse("limit", policy);
    let shown = &rehearsal.shown;
    assert_eq!(rehearsal.code, Some(0), "{shown}");
    assert_eq!(rehearsal.bindings(), ["SELVEDGE_COUNTERS (Counter) Durable Object"], "{shown}");
    assert!(rehearsal.sizes("state_bg.wasm").is_some(), "{shown}");
    let uploaded = rehearsal.uploaded();
    assert!(uploaded.iter().any(|name| name == "state_bg.wasm"), "{uploaded:?}");
}

#[test]
fn wrangler_is_not_asked_about_a_policy_that_workers_refuse() {
    let rehearsal = rehearse("refused", "[limits]\nmax-url-bytes = \"1MiB\"\n");
    let shown = &rehearsal.shown;
    assert_eq!(rehearsal.code, Some(1), "{shown}");
    assert!(shown.contains("edge.toml:2:17: error: limits.max-url-bytes"), "{shown}");
    assert!(!shown.contains("wrangler"), "it would say its name: {shown}");
    assert!(!rehearsal.folder.join("upload").exists(), "nothing was bundled");
}

#[test]
fn wrangler_dev_answers_from_the_build() {
    assert_eq!(STOREFRONT.code, Some(0), "{}", STOREFRONT.shown);
    let dev = WranglerDev::start(&STOREFRONT.folder.join("dist/cloudflare"));
    let answer = dev.get("/nothing");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let lines: Vec<_> = answer.lines().map(str::to_ascii_lowercase).collect();
    assert!(lines.iter().any(|line| line == "cache-status: selvedge;detail=route.not-found"), "{answer}");
}

/// A `wrangler dev` on a port of its own.
struct WranglerDev {
    child: Child,
    output: BufReader<PipeReader>,
    address: String,
}

impl WranglerDev {
    /// Starts it in the folder of a build and waits until it is ready.
    fn start(folder: &Path) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(tools()).chain(std::env::split_paths(&path));
        let child = Command::new(tools().join("wrangler"))
            .args(["dev", "--ip", "127.0.0.1", "--port", "0", "--inspector-port", "0"])
            .current_dir(folder)
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("WRANGLER_SEND_METRICS", "false")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .process_group(0)
            .spawn()
            .unwrap();
        let mut dev = Self { child, output: BufReader::new(reader), address: String::new() };
        let mut shown = String::new();
        while !shown.contains("Ready on http://") {
            assert_ne!(dev.output.read_line(&mut shown).unwrap(), 0, "wrangler dev ended: {shown}");
        }
        let (_, address) = shown.trim_end().rsplit_once("Ready on http://").unwrap();
        address.clone_into(&mut dev.address);
        dev
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for WranglerDev {
    fn drop(&mut self) {
        // Its children are in its process group; the output ends when the last of them has.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-TERM", "--", &group]).status();
        let _ = self.output.read_to_end(&mut Vec::new());
        let _ = self.child.wait();
    }
}
