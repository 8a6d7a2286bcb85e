//! The caches that are compared: the emulator, nginx and Varnish, each with one thread that serves.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::origin::OBJECT;
use crate::bench::edge::{free_address, get};
use crate::bench::nginx::Nginx;
use crate::workspace::Workspace;

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// What an answer from the cache has in its head.
const HIT: [&str; 2] = ["cache-status: selvedge;hit", "x-cache: hit"];

/// The policy of the emulator: everything is from the origin, and stored as the origin says.
pub(super) fn policy(origin: SocketAddr) -> String {
    format!(
        "[backends.origin]\nurl = \"http://{origin}\"\n\n[[routes]]\npath = \"/{{*rest}}\"\nbackend = \"origin\"\n"
    )
}

/// The emulator, in a process of its own.
#[derive(Debug)]
pub(in crate::bench) struct Emulator {
    child: Child,
    pub(in crate::bench) address: SocketAddr,
}

impl Emulator {
    /// Starts one with its files in `folder`; with a cache folder there, when it has one.
    pub(in crate::bench) fn start(
        workspace: &Workspace,
        folder: &Path,
        policy: &str,
        cache: Option<&Path>,
    ) -> Result<Self> {
        let file = folder.join("edge.toml");
        fs::write(&file, policy)?;
        let program = workspace.target_directory.join("release/cache-edge");
        let mut child = Command::new(&program)
            .arg(file)
            .args(cache)
            // It ends when its input does.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("its output is piped")?).read_line(&mut line)?;
        let address = line.trim().parse().context("the edge did not start; what it said is above")?;
        Ok(Self { child, address })
    }

    /// The most memory that it has had in KiB, where the system tells it.
    pub(super) fn peak_kibibytes(&self) -> Option<u32> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse().ok()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It has no state: a child that is gone already needs no ending.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Varnish with its files in a folder of its own; ends when dropped.
#[derive(Debug)]
pub(super) struct Varnish {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Varnish {
    /// Returns its version; `None` when it is not installed.
    pub(super) fn version() -> Option<String> {
        let output = Command::new("varnishd").arg("-V").output().ok()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let (version, _) = text.strip_prefix("varnishd (")?.split_once(')')?;
        Some(version.to_owned())
    }

    pub(super) fn start(folder: &Path, origin: SocketAddr) -> Result<Self> {
        let address = free_address()?;
        let (vcl, log) = (folder.join("varnish.vcl"), folder.join("varnish.log"));
        fs::write(&vcl, configuration(origin))?;
        let child = Command::new("varnishd")
            .args(["-F", "-j", "none", "-s", "malloc,64m", "-p", "thread_pools=1", "-n"])
            .arg(folder.join("varnish"))
            .arg("-f")
            .arg(&vcl)
            .args(["-a", &address.to_string()])
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()
            .context("cannot start varnishd")?;
        let varnish = Self { child, address };
        let started = Instant::now();
        while get(address, OBJECT).is_err() {
            if started.elapsed() > START_TIMEOUT {
                bail!("Varnish does not answer: {}", fs::read_to_string(&log)?);
            }
            std::thread::yield_now();
        }
        Ok(varnish)
    }
}

impl Drop for Varnish {
    fn drop(&mut self) {
        // Killing it would leave the process that serves: TERM lets it end that.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn configuration(origin: SocketAddr) -> String {
    format!(
        "vcl 4.1;
backend default {{ .host = \"{}\"; .port = \"{}\"; }}
sub vcl_deliver {{
    if (obj.hits > 0) {{ set resp.http.X-Cache = \"HIT\"; }}
}}
",
        origin.ip(),
        origin.port()
    )
}

/// The caches, all running.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) emulator: Emulator,
    pub(super) nginx: Option<Nginx>,
    pub(super) varnish: Option<Varnish>,
}

impl Servers {
    /// Starts those that are installed and lets each store the object.
    ///
    /// # Errors
    /// When one does not start or does not answer from its cache.
    pub(super) fn start(workspace: &Workspace, folder: &Path, origin: SocketAddr) -> Result<Self> {
        let has_nginx = crate::bench::nginx::version().is_some();
        let nginx = has_nginx.then(|| Nginx::start(folder, origin, OBJECT, "1")).transpose()?;
        let varnish = Varnish::version().is_some().then(|| Varnish::start(folder, origin)).transpose()?;
        let emulator = Emulator::start(workspace, folder, &policy(origin), None)?;
        let servers = Self { emulator, nginx, varnish };
        servers.named().iter().try_for_each(|(_, address)| require_hit(*address))?;
        Ok(servers)
    }

    /// Names and addresses, the emulator first.
    pub(super) fn named(&self) -> Vec<(&'static str, SocketAddr)> {
        let emulator = [("Selvedge", self.emulator.address)].into_iter();
        let nginx = self.nginx.iter().map(|nginx| (super::NGINX, nginx.address));
        let varnish = self.varnish.iter().map(|varnish| (super::VARNISH, varnish.address));
        emulator.chain(nginx).chain(varnish).collect()
    }
}

/// The second request of two must be a hit, or something else is measured.
pub(super) fn require_hit(address: SocketAddr) -> Result<()> {
    get(address, OBJECT)?;
    let (head, body) = get(address, OBJECT)?;
    let head = head.to_ascii_lowercase();
    let is_hit = HIT.iter().any(|sign| head.contains(sign)) && head.starts_with("http/1.1 200");
    ensure!(is_hit, "the answer of {address} is no hit:\n{head}");
    ensure!(body.len() as u64 == super::origin::OBJECT_BYTES, "{address} sends {} bytes", body.len());
    Ok(())
}
