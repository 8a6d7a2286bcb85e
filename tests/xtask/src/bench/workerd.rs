//! The storefront on Cloudflare's own runtime, beside a bare JavaScript Worker and beside Hono.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::edge::free_address;
use super::load::{self, Head};
use super::report::{Measured, Row};
use crate::command::Cmd;
use crate::workspace::Workspace;

const ROUNDS: usize = 7;
const STARTS: usize = 9;

/// A browser's request; each scenario changes some of it.
const BROWSER: [(&str, &str); 9] = [
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Cookie", "session=abcdef0123456789; theme=dark"),
    ("Upgrade-Insecure-Requests", "1"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "none"),
];

/// One kind of answer.
struct Scenario {
    name: &'static str,
    path: &'static str,
    agent: Option<&'static str>,
    country: &'static str,
}

const SCENARIOS: [Scenario; 5] = [
    Scenario { name: "block by country", path: "/geo", agent: None, country: "CN" },
    Scenario {
        name: "block a scraper",
        path: "/bot",
        agent: Some("Scrapy/2.11 (+https://scrapy.org)"),
        country: "DE",
    },
    Scenario { name: "redirect", path: "/go", agent: None, country: "DE" },
    Scenario { name: "not found", path: "/nothing", agent: None, country: "DE" },
    Scenario { name: "from the origin", path: "/api/user", agent: None, country: "DE" },
];

impl Scenario {
    fn head(&self) -> Head {
        let mut fields: Vec<_> = BROWSER.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        if let Some(agent) = self.agent {
            agent.clone_into(&mut fields[0].1);
        }
        fields.push(("selvedge-cf".to_owned(), format!(r#"{{"country":"{}","asn":3320}}"#, self.country)));
        Head { path: self.path.to_owned(), fields }
    }
}

/// Measures everything that is told about Cloudflare's runtime.
pub(crate) fn rows(workspace: &Workspace) -> Result<Vec<Row>> {
    let root = &workspace.root;
    let program = root.join("deploy/node_modules/.bin/workerd");
    if !program.is_file() {
        let reason = "workerd is not installed: `cargo xtask install` brings it".to_owned();
        return Ok(vec![skipped("The storefront on workerd", reason)]);
    }
    let folder = tempfile::tempdir()?;
    prepare(workspace, folder.path())?;
    let mut rows = vec![size_row(folder.path())?, start_row(&program, folder.path())?];
    if !load::is_installed() {
        rows.push(skipped("Requests a second on workerd", load::how_to_install()));
        return Ok(rows);
    }
    let servers = Servers::start(&program, folder.path())?;
    for scenario in &SCENARIOS {
        rows.extend(rates(scenario, &servers)?);
    }
    Ok(rows)
}

fn skipped(what: &str, reason: String) -> Row {
    Row { what: what.to_owned(), target: "-", measured: Measured::Skipped(reason) }
}

/// Builds the Worker from the storefront with one backend for all, and bundles the peers.
fn prepare(workspace: &Workspace, folder: &Path) -> Result<()> {
    let root = &workspace.root;
    let storefront = fs::read_to_string(root.join("examples/storefront/edge.toml"))?;
    fs::write(folder.join("edge.toml"), storefront.replace("http://127.0.0.1:8788", "http://origin.test"))?;
    Cmd::new(workspace.target_directory.join("release/selvedge").into_os_string())
        .args(["build", "--target", "cloudflare", "--policy"])
        .arg(folder.join("edge.toml"))
        .arg("--out")
        .arg(folder.join("dist"))
        .run()?;
    fs::copy(root.join("tests/bench/peers/bare/worker.mjs"), folder.join("bare.mjs"))?;
    Cmd::new(root.join("deploy/node_modules/.bin/esbuild").into_os_string())
        .arg(root.join("tests/bench/peers/hono/worker.mjs"))
        .args(["--bundle", "--format=esm", "--minify", "--log-level=warning"])
        .arg(format!("--outfile={}", folder.join("hono.mjs").display()))
        .run()?;
    fs::write(folder.join("origin.mjs"), ORIGIN)?;
    fs::write(folder.join("empty.mjs"), EMPTY)?;
    Ok(())
}

const ORIGIN: &str = r#"export default {
  fetch() {
    const headers = { "content-type": "application/json", "cache-control": "private, no-store" };
    return new Response('{"user":"ada","cart":[1,2,3]}', { headers });
  },
};
"#;

const EMPTY: &str = "export default { fetch() { return new Response(null); } };\n";

fn size_row(folder: &Path) -> Result<Row> {
    let wasm = folder.join("dist/policy.wasm");
    let compressed =
        Command::new("gzip").arg("-9").arg("-c").arg(&wasm).output().context("cannot run gzip")?;
    #[expect(clippy::cast_precision_loss, reason = "a size in KiB is shown with two digits")]
    let value = compressed.stdout.len() as f64 / 1024.0;
    Ok(Row {
        what: "Wasm of the policy engine, gzipped".to_owned(),
        target: "at most 350 KiB",
        measured: Measured::AtMost { bound: 350.0, value, unit: "KiB" },
    })
}

/// From the start of workerd to its first answer, with and without the module.
fn start_row(program: &Path, folder: &Path) -> Result<Row> {
    let (mut ours, mut empty) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        empty.push(start(program, folder, "empty")?);
        ours.push(start(program, folder, "edge")?);
    }
    let (ours, empty) = (load::median(ours), load::median(empty));
    Ok(Row {
        what: format!(
            "Start of workerd to the first answer, above an empty Worker's ({ours:.1} ms against {empty:.1} ms)"
        ),
        target: "at most 15 ms",
        measured: Measured::AtMost { bound: 15.0, value: ours - empty, unit: "ms" },
    })
}

fn start(program: &Path, folder: &Path, service: &str) -> Result<f64> {
    let address = free_address()?;
    let config = config(&[(service, address)]);
    fs::write(folder.join("start.capnp"), config)?;
    let began = Instant::now();
    let process = Process::start(program, folder, "start.capnp", 1)?;
    SCENARIOS[3].head().get(address)?;
    let milliseconds = began.elapsed().as_secs_f64() * 1_000.0;
    drop(process);
    Ok(milliseconds)
}

/// The peers, on one workerd.
struct Servers {
    _process: Process,
    edge: SocketAddr,
    bare: SocketAddr,
    hono: SocketAddr,
}

impl Servers {
    fn start(program: &Path, folder: &Path) -> Result<Self> {
        let (edge, bare, hono) = (free_address()?, free_address()?, free_address()?);
        fs::write(folder.join("peers.capnp"), config(&[("edge", edge), ("bare", bare), ("hono", hono)]))?;
        let process = Process::start(program, folder, "peers.capnp", 3)?;
        Ok(Self { _process: process, edge, bare, hono })
    }
}

struct Process {
    child: Child,
}

impl Process {
    fn start(program: &Path, folder: &Path, config: &str, sockets: usize) -> Result<Self> {
        let mut child = Command::new(PathBuf::from(program))
            .args(["serve", "--control-fd=1", config])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start workerd")?;
        let output = child.stdout.take().context("its output is piped")?;
        let process = Self { child };
        let events = BufReader::new(output).lines().map_while(Result::ok);
        let is_listening = |line: &String| {
            serde_json::from_str::<Value>(line).is_ok_and(|message| message["event"] == "listen")
        };
        if events.filter(is_listening).take(sockets).count() < sockets {
            bail!("workerd did not start; what it said is above");
        }
        Ok(process)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has no state: a child that is gone already needs no ending.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config(sockets: &[(&str, SocketAddr)]) -> String {
    let sockets = sockets.iter().map(|(service, address)| {
        format!(
            "(name = \"{service}\", address = \"{address}\", service = \"{service}\", \
             http = (cfBlobHeader = \"selvedge-cf\"))"
        )
    });
    include_str!("workerd.capnp").replace("{{sockets}}", &sockets.collect::<Vec<_>>().join(",\n    "))
}

fn rates(scenario: &Scenario, servers: &Servers) -> Result<[Row; 2]> {
    let head = scenario.head();
    same_answers(scenario, &head, servers)?;
    let script = tempfile::NamedTempFile::with_suffix(".lua")?;
    script.as_file().write_all(head.script().as_bytes())?;
    let (mut edge, mut bare, mut hono) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        bare.push(load::wrk(servers.bare, &head, script.path())?);
        edge.push(load::wrk(servers.edge, &head, script.path())?);
        hono.push(load::wrk(servers.hono, &head, script.path())?);
        let at = round - 1;
        anstream::println!(
            "{}, round {round} of {ROUNDS}: edge {:.0}, bare {:.0}, Hono {:.0} requests a second",
            scenario.name,
            edge[at],
            bare[at],
            hono[at]
        );
    }
    let (edge, bare, hono) = (load::median(edge), load::median(bare), load::median(hono));
    let row = |peer: &str, target, bound, rate: f64| Row {
        what: format!("workerd, {}: requests a second beside {peer}, `wrk -t1 -c16`", scenario.name),
        target,
        measured: Measured::AtLeast {
            bound,
            value: edge / rate,
            unit: "times",
            detail: format!("{edge:.0} against {rate:.0}"),
        },
    };
    Ok([
        row("a bare JavaScript Worker", "at least 0.85 times", 0.85, bare),
        row("Hono with isbot", "at least 1.3 times", 1.3, hono),
    ])
}

/// Peers that answer something else are no peers.
fn same_answers(scenario: &Scenario, head: &Head, servers: &Servers) -> Result<()> {
    let edge = head.get(servers.edge)?;
    for (peer, address) in [("the bare Worker", servers.bare), ("Hono", servers.hono)] {
        let other = head.get(address)?;
        ensure!(edge == other, "{}: {peer} answers\n{other}\nand the edge\n{edge}", scenario.name);
    }
    Ok(())
}
