//! PostgreSQL and Redis of this machine, each in a folder of its own, where they are installed.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use selvedge_origin::Secret;
use tempfile::TempDir;

/// `nobody` on every Linux; PostgreSQL refuses to run as root.
const UNPRIVILEGED: u32 = 65_534;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where Debian keeps PostgreSQL's programs, a folder for each version.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";

/// A server that is killed when it is dropped.
struct Server {
    folder: TempDir,
    port: u16,
    running: Option<Child>,
}

impl Server {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        if is_root(folder.path()) {
            chown(folder.path(), Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { folder, port, running: None }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if self.folder.path().metadata().unwrap().uid() == UNPRIVILEGED {
            command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
        }
        command
    }

    /// Starts the server, again when what was killed has not let go of everything, until it answers.
    fn start(&mut self, command: impl Fn(&Self) -> Command, answers: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let has_ended = |child: &mut Child| child.try_wait().unwrap().is_some();
            if self.running.as_mut().is_none_or(has_ended) {
                self.running = Some(command(self).spawn().unwrap());
            }
            if answers(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("a server does not answer on port {}", self.port);
    }

    /// Ends the server without a word.
    fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.kill().unwrap();
            running.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Who makes a file here owns it.
fn is_root(made_here: &Path) -> bool {
    made_here.metadata().unwrap().uid() == 0
}

/// Tests go on without a server that is not installed.
#[expect(clippy::print_stderr, reason = "a test that tests nothing says so")]
fn say_skipped(name: &str) {
    eprintln!("skipped: {name} is not installed");
}

/// A PostgreSQL server.
pub(crate) struct Postgres {
    server: Server,
    programs: PathBuf,
    databases: AtomicU32,
    paused: Vec<String>,
}

/// Processes that are stopped would outlive the one that they belong to.
impl Drop for Postgres {
    fn drop(&mut self) {
        self.go_on();
    }
}

impl Postgres {
    pub(crate) fn start_if_installed() -> Option<Self> {
        let versions = std::fs::read_dir(POSTGRES_VERSIONS).into_iter().flatten().flatten();
        let programs = versions.map(|version| version.path().join("bin"));
        let Some(programs) = programs.filter(|programs| programs.join("initdb").exists()).max() else {
            say_skipped("PostgreSQL");
            return None;
        };
        let mut postgres =
            Self { server: Server::new(), programs, databases: AtomicU32::new(0), paused: Vec::new() };
        let initdb = postgres.programs.join("initdb");
        let made = postgres
            .server
            .command(&initdb)
            .args(["--pgdata=data", "--username=shop", "--auth=trust", "--no-sync", "--encoding=UTF8"])
            .status()
            .unwrap();
        assert!(made.success(), "initdb makes a cluster");
        postgres.start();
        Some(postgres)
    }

    pub(crate) fn start(&mut self) {
        let Self { server, programs, .. } = self;
        let command = |server: &Server| {
            let mut command = server.command(&programs.join("postgres"));
            let port = server.port.to_string();
            command.args(["-D", "data", "-k", ".", "-h", "127.0.0.1", "-p", &port, "-c", "fsync=off"]);
            command
        };
        server.start(command, |server| psql(server, programs, "SELECT 1"));
    }

    pub(crate) fn kill(&mut self) {
        self.server.kill();
    }

    /// Makes an empty database and returns its URL, as a text that a program can be given.
    pub(crate) fn new_database_url(&self) -> String {
        let name = format!("shop_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        assert!(psql(&self.server, &self.programs, &format!("CREATE DATABASE {name}")), "{name} is made");
        format!("postgres://shop@127.0.0.1:{}/{name}?sslmode=disable", self.server.port)
    }

    /// Makes an empty database and returns its URL.
    pub(crate) fn new_database(&self) -> Secret {
        Secret::new(self.new_database_url())
    }

    /// Keeps every connection open, but answers nobody.
    pub(crate) fn pause(&mut self) {
        let main = self.server.running.as_ref().unwrap().id().to_string();
        signal("-STOP", &main);
        // A stopped server starts no further process, so these are all.
        let children = std::fs::read_to_string(format!("/proc/{main}/task/{main}/children")).unwrap();
        children.split_whitespace().for_each(|child| signal("-STOP", child));
        self.paused = children.split_whitespace().map(str::to_owned).chain([main]).collect();
    }

    pub(crate) fn go_on(&mut self) {
        for process in self.paused.drain(..) {
            // A server that has been killed meanwhile needs none.
            let _ = Command::new("kill").args(["-CONT", &process]).status();
        }
    }
}

fn psql(server: &Server, programs: &Path, statement: &str) -> bool {
    let port = server.port.to_string();
    let mut command = server.command(&programs.join("psql"));
    command.args(["-h", "127.0.0.1", "-p", &port, "-U", "shop", "-d", "postgres", "-c", statement]);
    command.status().unwrap().success()
}

/// A Redis server that writes to disk only when it is told to.
pub(crate) struct Redis {
    server: Server,
}

impl Redis {
    pub(crate) fn start_if_installed() -> Option<Self> {
        if !find("redis-server") || !find("redis-cli") {
            say_skipped("Redis");
            return None;
        }
        let mut redis = Self { server: Server::new() };
        redis.start();
        Some(redis)
    }

    pub(crate) fn start(&mut self) {
        let command = |server: &Server| {
            let mut command = server.command(Path::new("redis-server"));
            let port = server.port.to_string();
            command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--dbfilename", "kept.rdb"]);
            command
        };
        self.server.start(command, |server| ask(server, &["PING"]));
    }

    pub(crate) fn kill(&mut self) {
        self.server.kill();
    }

    /// Writes what there is to disk, where the next start finds it.
    pub(crate) fn save(&self) {
        assert!(ask(&self.server, &["SAVE"]), "Redis saves");
    }

    /// Tells whether the one entry whose name fits has exactly this value, and an hour to live.
    pub(crate) fn has_entry(&self, name: &str, value: &str) -> bool {
        let find = "local names = redis.call('KEYS', ARGV[1]) if #names ~= 1 then return false end \
            local left = redis.call('TTL', names[1]) \
            return left > 3000 and left <= 3600 and redis.call('GET', names[1])";
        self.evaluate(find, name).strip_suffix(b"\n") == Some(value.as_bytes())
    }

    /// Lets the time of the one entry whose name fits be over.
    pub(crate) fn expire(&self, name: &str) {
        let expire = "local names = redis.call('KEYS', ARGV[1]) return #names == 1 and redis.call('PEXPIRE', names[1], 0)";
        assert_eq!(self.evaluate(expire, name), b"1\n", "{name} is there and expires");
    }

    fn evaluate(&self, script: &str, name: &str) -> Vec<u8> {
        let port = self.server.port.to_string();
        let mut command = self.server.command(Path::new("redis-cli"));
        command.args(["-e", "-p", &port, "EVAL", script, "0", name]).stdout(Stdio::piped());
        command.output().unwrap().stdout
    }

    /// Keeps what there is, but answers nobody.
    pub(crate) fn pause(&mut self) {
        self.signal("-STOP");
    }

    pub(crate) fn go_on(&mut self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        signal(name, &self.server.running.as_ref().unwrap().id().to_string());
    }

    pub(crate) fn url(&self) -> Secret {
        Secret::new(self.url_text())
    }

    pub(crate) fn url_text(&self) -> String {
        format!("redis://127.0.0.1:{}", self.server.port)
    }
}

fn signal(name: &str, process: &str) {
    assert!(Command::new("kill").args([name, process]).status().unwrap().success(), "{name} {process}");
}

fn ask(server: &Server, command: &[&str]) -> bool {
    let port = server.port.to_string();
    server.command(Path::new("redis-cli")).args(["-e", "-p", &port]).args(command).status().unwrap().success()
}

fn find(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}
