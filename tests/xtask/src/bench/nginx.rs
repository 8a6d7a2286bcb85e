//! The edge and nginx in front of the same origin, one after the other.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::edge::{Edge, free_address, get};
use super::load::{self, median, requests_per_second};
use crate::command::Cmd;
use crate::workspace::Workspace;

const ROUNDS: usize = 5;
const PATH: &str = "/static/site.css";
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// What came of it.
#[derive(Debug)]
pub(crate) enum Comparison {
    /// Median requests a second of each.
    Rates {
        /// The edge's.
        edge: f64,
        /// That of nginx.
        nginx: f64,
        /// The version that nginx tells.
        version: String,
    },
    /// Why there is nothing to compare.
    Skipped(String),
}

/// Measures the edge and nginx in turns and takes the median of each.
///
/// # Errors
/// When one of them does not answer from its cache, or wrk fails.
pub(crate) fn compare(workspace: &Workspace) -> Result<Comparison> {
    let Some(version) = version() else { return Ok(missing("nginx")) };
    if !load::is_installed() {
        return Ok(missing("wrk"));
    }
    let edge = Edge::start(workspace)?;
    let folder = tempfile::tempdir()?;
    let nginx = Nginx::start(folder.path(), edge.origin, PATH, "auto")?;
    require_hit(edge.edge, "cache-status: Selvedge;hit")?;
    require_hit(nginx.address, "x-cache: hit")?;
    let (mut of_edge, mut of_nginx) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        of_edge.push(wrk(edge.edge)?);
        of_nginx.push(wrk(nginx.address)?);
        let (edge, nginx) = (of_edge[round - 1], of_nginx[round - 1]);
        anstream::println!("round {round} of {ROUNDS}: edge {edge:.0}, nginx {nginx:.0} requests a second");
    }
    Ok(Comparison::Rates { edge: median(of_edge), nginx: median(of_nginx), version })
}

fn missing(program: &str) -> Comparison {
    Comparison::Skipped(format!(
        "`{program}` is not installed: `apt-get install nginx wrk` on Debian brings both"
    ))
}

/// Returns the version of nginx; `None` when it is not installed.
pub(super) fn version() -> Option<String> {
    let output = Command::new("nginx").arg("-v").output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.trim().strip_prefix("nginx version: ").map(str::to_owned)
}

/// An nginx with its files in a folder of its own; ends when dropped.
#[derive(Debug)]
pub(super) struct Nginx {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Nginx {
    /// Starts one that caches and waits until it answers for `path`.
    pub(super) fn start(folder: &Path, origin: SocketAddr, path: &str, workers: &str) -> Result<Self> {
        let location = format!(
            "proxy_pass http://{origin};
            proxy_cache all;
            proxy_cache_valid 200 1h;
            proxy_ignore_headers Cache-Control Expires Set-Cookie Vary;
            add_header X-Cache $upstream_cache_status;"
        );
        Self::with_location(folder, origin, &location, path, workers)
    }

    /// Starts one worker that passes everything on, over connections that stay, and waits until it answers for `path`.
    pub(super) fn passing_on(folder: &Path, origin: SocketAddr, path: &str) -> Result<Self> {
        let location = "proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";";
        Self::with_location(folder, origin, location, path, "1")
    }

    fn with_location(
        folder: &Path,
        origin: SocketAddr,
        location: &str,
        path: &str,
        workers: &str,
    ) -> Result<Self> {
        let address = free_address()?;
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration(folder, address, origin, location, workers))?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder).arg("-c").arg(&file).arg("-e").arg(folder.join("error.log"));
        let child = command.stdin(Stdio::null()).spawn().context("cannot start nginx")?;
        let nginx = Self { child, address };
        let started = Instant::now();
        while get(address, path).is_err() {
            if started.elapsed() > START_TIMEOUT {
                bail!("nginx does not answer: {}", fs::read_to_string(folder.join("error.log"))?);
            }
            std::thread::yield_now();
        }
        Ok(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killing the master would leave its workers: TERM lets it end them.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// Connections that stay and no logs: nothing holds it back.
fn configuration(
    folder: &Path,
    address: SocketAddr,
    origin: SocketAddr,
    location: &str,
    workers: &str,
) -> String {
    let folder = folder.display();
    format!(
        "worker_processes {workers};
daemon off;
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache keys_zone=all:10m;
    upstream origin {{
        server {origin};
        keepalive 64;
        keepalive_requests 100000000;
    }}
    server {{
        listen {address} reuseport;
        location / {{
            {location}
        }}
    }}
}}
"
    )
}

/// The second request of two must be a hit, or something else is measured.
fn require_hit(address: SocketAddr, sign: &str) -> Result<()> {
    get(address, PATH)?;
    let (head, _) = get(address, PATH)?;
    let is_hit = head.to_ascii_lowercase().contains(&sign.to_ascii_lowercase());
    ensure!(is_hit && head.starts_with("HTTP/1.1 200"), "no `{sign}` in the answer of {address}:\n{head}");
    Ok(())
}

fn wrk(address: SocketAddr) -> Result<f64> {
    let printed =
        Cmd::new("wrk").args(["-t1", "-c32", "-d4s"]).arg(format!("http://{address}{PATH}")).read()?;
    ensure!(!printed.contains("Non-2xx"), "wrk saw errors:\n{printed}");
    requests_per_second(&printed).with_context(|| format!("wrk printed no rate:\n{printed}"))
}
