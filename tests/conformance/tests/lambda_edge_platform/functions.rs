//! A process that runs the functions of a bundle, many events at once.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use selvedge_cloudfront::event::{Cf, Event, Outcome};
use selvedge_cloudfront::rules::check;
use selvedge_core::policy::{blob, read::read};
use selvedge_emulator::runtime::cloudfront::program;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::backend;

/// What the backend's secret is.
pub(super) const TOKEN: &str = "topsecret-token";

/// The longest that an event may take: what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);

const SERVE: &str = include_str!("serve.mjs");

const POLICY: &str = r#"
    name = "functions"
    [log]
    user-agent = true
    [backends.a]
    url = "http://localhost:{{port}}/a"
    failover = ["b"]
    request-headers = { X-Token = { env = "TOKEN" } }
    [backends.b]
    url = "http://localhost:{{port}}/b"
    request-headers = { X-Token = { env = "TOKEN" } }
    [[routes]]
    path = "/hello"
    respond = { status = 200, body = "hello" }
    [[routes]]
    path = "/here"
    respond = { status = 200, body = "{country}" }
    [[routes]]
    path = "/marked"
    respond = { status = 200, body = "marked" }
    headers = { response = { set = { X-Cache = "not mine" } } }
    [[routes]]
    path = "/echo/{name}"
    handler = "echo"
    [[routes]]
    path = "/fetch"
    handler = "fetch"
    [[routes]]
    path = "/fail"
    handler = "fail"
    [[routes]]
    path = "/panic"
    handler = "panic"
    [[routes]]
    path = "/late-panic"
    handler = "late-panic"
    [[routes]]
    path = "/items/{id}"
    backend = "a"
    cache = { edge = "1m" }
    [experiments.hero]
    paths = "/items/{id}"
    sticky = { cookie = "hero", max-age = "30d" }
    [[experiments.hero.variations]]
    name = "even"
    request-headers = { X-Hero = "even" }
    [[experiments.hero.variations]]
    name = "odd"
    request-headers = { X-Hero = "odd" }
    [fallback]
    page = { status = 503, body = "sorry" }
"#;

/// A process; it ends when dropped.
pub(super) struct Functions {
    child: Child,
    input: Mutex<ChildStdin>,
    waiting: Waiting,
    next: AtomicU64,
    folder: TempDir,
}

/// Who waits for which number.
type Waiting = Arc<Mutex<HashMap<String, Sender<Value>>>>;

impl Functions {
    /// Starts a process of its own.
    pub(super) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// The same with other settings of the build.
    pub(super) fn start_with(change: impl FnOnce(&mut Value)) -> Self {
        let folder = bundle(change);
        let root = root();
        let log = File::create(folder.path().join("log")).unwrap();
        let mut child = Command::new(program(&root.join("deploy")).unwrap())
            // The space for what has just been made grows as V8 likes, and would hide what is kept.
            .args(["--expose-gc", "--max-semi-space-size=8", "--input-type=module", "--eval", SERVE])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let waiting = Waiting::default();
        let (output, own) = (child.stdout.take().unwrap(), Arc::clone(&waiting));
        thread::spawn(move || hand_out(output, &own));
        let input = Mutex::new(child.stdin.take().unwrap());
        Self { child, input, waiting, next: AtomicU64::new(0), folder }
    }

    /// Calls the function with an event and returns what it returns, which breaks no rule of CloudFront's.
    pub(super) fn call(&self, cf: Cf) -> Outcome {
        let trigger = cf.config.event_type.unwrap();
        let told = serde_json::to_string(&Event::new(cf.clone())).unwrap();
        let outcome: Outcome = serde_json::from_value(self.call_with(&told)).unwrap();
        assert_eq!(check(&cf, trigger, &outcome), [], "{trigger}: {outcome:?}");
        outcome
    }

    /// Calls the function with any JSON.
    pub(super) fn call_with(&self, event: &str) -> Value {
        let mut answer = self.tell(event);
        assert!(answer["error"].is_null(), "the function throws: {}", answer["error"]);
        answer["result"].take()
    }

    /// The memory that the process holds once garbage is collected, in bytes; see proc_pid_status(5).
    pub(super) fn resident_bytes(&self) -> u64 {
        self.tell("gc");
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        1024 * line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    }

    /// What the functions printed so far.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The key of what triggers tell each other.
    pub(super) fn key(&self) -> String {
        let settings = fs::read(self.folder.path().join("settings.json")).unwrap();
        serde_json::from_slice::<Value>(&settings).unwrap()["key"].as_str().unwrap().to_owned()
    }

    fn tell(&self, what: &str) -> Value {
        let number = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let (sender, receiver) = mpsc::channel();
        self.waiting.lock().unwrap().insert(number.clone(), sender);
        self.input.lock().unwrap().write_all(format!("{number} {what}\n").as_bytes()).unwrap();
        let answer = receiver.recv_timeout(PATIENCE);
        answer.unwrap_or_else(|error| panic!("{error}; the log is {}", self.log()))
    }
}

impl Drop for Functions {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is not left behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gives every result to who waits for it, and nobody waits any longer once the process has ended.
fn hand_out(output: ChildStdout, waiting: &Waiting) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let (number, answer) = line.split_once(' ').unwrap();
        let sender = waiting.lock().unwrap().remove(number).unwrap();
        // Who waited too long waits no more.
        let _ = sender.send(serde_json::from_str(answer).unwrap());
    }
    waiting.lock().unwrap().clear();
}

/// A folder with what was built, and the policy of these tests.
fn bundle(change: impl FnOnce(&mut Value)) -> TempDir {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(build);
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(&*BUILT).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let policy = read(&POLICY.replace("{{port}}", &backend::shared().port().to_string())).unwrap();
    fs::write(folder.path().join("policy.bin"), blob::encode(&policy)).unwrap();
    let path = folder.path().join("settings.json");
    let mut settings: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    settings["environment"] = json!({ "TOKEN": TOKEN });
    change(&mut settings);
    fs::write(path, settings.to_string()).unwrap();
    folder
}

/// Builds the handlers' crate as anybody builds theirs.
fn build() -> PathBuf {
    let root = root();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lambda_edge_platform");
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args("run --quiet --package selvedge -- build --target lambda-edge --policy".split(' '))
        .arg(root.join("tests/conformance/handlers/edge-only.toml"))
        .arg("--out")
        .arg(&out)
        .current_dir(&root)
        .status()
        .unwrap();
    assert!(status.success(), "`selvedge build` failed; what it said is above");
    out
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}
