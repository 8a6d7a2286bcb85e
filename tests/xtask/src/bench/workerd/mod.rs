//! The storefront on Cloudflare's own runtime, beside a bare JavaScript Worker and beside Hono.

mod scenario;
mod servers;
mod steps;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use self::scenario::{NOT_FOUND, SCENARIOS, Scenario};
use self::servers::{Servers, Worker};
use super::load;
use super::report::{Measured, Row, Section};
use crate::command::Cmd;
use crate::workspace::Workspace;

const STARTS: usize = 9;

const EDGE: Worker = Worker::of("edge", "dist");
const BARE: Worker = Worker::of("bare", "bare.mjs");
const HONO: Worker = Worker::of("hono", "hono.mjs");
const FLOOR: Worker = Worker::of("floor", "floor.mjs");
const EMPTY: Worker = Worker::of("empty", "empty.mjs");

/// Measures everything that is told about Cloudflare's runtime; where a target is missed, also where the time goes.
pub(crate) fn measure(workspace: &Workspace) -> Result<(Vec<Row>, Option<Section>)> {
    let root = &workspace.root;
    let program = root.join("deploy/node_modules/.bin/workerd");
    if !program.is_file() {
        let reason = "workerd is not installed: `cargo xtask install` brings it".to_owned();
        return Ok((vec![skipped("The storefront on workerd", reason)], None));
    }
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    prepare(workspace, folder)?;
    let mut rows = vec![size_row(folder)?, start_row(&program, folder)?];
    if !load::is_installed() {
        rows.push(skipped("Requests a second on workerd", load::how_to_install()));
        return Ok((rows, None));
    }
    rows.extend(rate_rows(&program, folder)?);
    let is_missed = rows.iter().any(|row| row.measured.is_missed());
    let section = if is_missed { Some(steps::section(&program, folder)?) } else { None };
    Ok((rows, section))
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
    for peer in ["bare", "floor", "steps"] {
        let code = root.join(format!("tests/bench/peers/{peer}/worker.mjs"));
        fs::copy(&code, folder.join(format!("{peer}.mjs")))
            .with_context(|| format!("cannot copy {}", code.display()))?;
    }
    Cmd::new(root.join("deploy/node_modules/.bin/esbuild").into_os_string())
        .arg(root.join("tests/bench/peers/hono/worker.mjs"))
        .args(["--bundle", "--format=esm", "--minify", "--log-level=warning"])
        .arg(format!("--outfile={}", folder.join("hono.mjs").display()))
        .run()?;
    fs::write(folder.join("origin.mjs"), ORIGIN_CODE)?;
    fs::write(folder.join("empty.mjs"), EMPTY_CODE)?;
    Ok(())
}

/// It tells the length itself: over a network the runtime would.
const ORIGIN_CODE: &str = r#"const USER = '{"user":"ada","cart":[1,2,3]}';
export default {
  fetch() {
    const headers = { "content-type": "application/json", "cache-control": "private, no-store", "content-length": String(USER.length) };
    return new Response(USER, { headers });
  },
};
"#;

const EMPTY_CODE: &str = "export default { fetch() { return new Response(null); } };\n";

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

/// From the start of workerd to its first answer, with the edge alone and with an empty Worker alone: workerd starts
/// every Worker that it is told of.
fn start_row(program: &Path, folder: &Path) -> Result<Row> {
    let (mut ours, mut empty) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        empty.push(start(program, folder, EMPTY)?);
        ours.push(start(program, folder, EDGE)?);
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

fn start(program: &Path, folder: &Path, worker: Worker) -> Result<f64> {
    let began = Instant::now();
    let servers = Servers::start(program, folder, &[worker])?;
    servers.ask(&NOT_FOUND.head())?;
    Ok(began.elapsed().as_secs_f64() * 1_000.0)
}

/// A Worker that the edge is measured beside, and how much of its rate the edge is to have.
#[derive(Clone, Copy)]
struct Peer {
    worker: Worker,
    called: &'static str,
    target: &'static str,
    bound: f64,
}

const PEERS: [Peer; 2] = [
    Peer { worker: BARE, called: "a bare JavaScript Worker", target: "at least 0.85 times", bound: 0.85 },
    Peer { worker: HONO, called: "Hono with isbot", target: "at least 1.3 times", bound: 1.3 },
];

fn rate_rows(program: &Path, folder: &Path) -> Result<Vec<Row>> {
    let workers = [&[EDGE], PEERS.map(|peer| peer.worker).as_slice(), &[FLOOR]].concat();
    let servers = Servers::start(program, folder, &workers)?;
    let mut rows = Vec::new();
    for scenario in &SCENARIOS {
        let has_floor = scenario.name == NOT_FOUND.name;
        let count = workers.len() - usize::from(!has_floor);
        let rounds = servers.rates(scenario.name, &scenario.head(), count)?;
        let rate = |at: usize| load::median(rounds.iter().map(|rates| rates[at]).collect());
        rows.extend(PEERS.iter().zip(1..).map(|(peer, at)| peer_row(scenario, peer, rate(0), rate(at))));
        if has_floor {
            rows.push(floor_row(rate(count - 1), rate(1)));
        }
    }
    Ok(rows)
}

fn peer_row(scenario: &Scenario, peer: &Peer, edge: f64, rate: f64) -> Row {
    Row {
        what: format!("workerd, {}: requests a second beside {}, `wrk -t1 -c16`", scenario.name, peer.called),
        target: peer.target,
        measured: Measured::AtLeast {
            bound: peer.bound,
            value: edge / rate,
            unit: "times",
            detail: format!("{edge:.0} against {rate:.0}"),
        },
    }
}

fn floor_row(floor: f64, bare: f64) -> Row {
    Row {
        what: "workerd, not found: what any edge pays on this runtime to read a request's head; a Worker that does that \
               and decides nothing, beside a bare JavaScript Worker"
            .to_owned(),
        target: "-",
        measured: Measured::Told {
            value: floor / bare,
            unit: "times",
            detail: format!("{floor:.0} against {bare:.0}"),
        },
    }
}
