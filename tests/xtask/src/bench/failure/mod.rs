//! What the edge costs on the way to a backend, and what it costs that it is ready for the backend's failures.

mod open_loop;
mod reference;
mod stops;

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result};

use self::open_loop::{Latencies, MEASURED, WINDOW};
use super::cache_speed::origin::{Origin, SMALL};
use super::cache_speed::servers::Emulator;
use super::cores::{self, Cores};
use super::load::{self, Head, median};
use super::machine;
use super::nginx::{self, Nginx};
use super::report::{Chapter, Measured, Row};
use crate::command::Cmd;
use crate::workspace::Workspace;

const TITLE: &str = "Failures";

const ABOUT: &str = "The emulator with one thread before one small origin, which answers with 128 bytes that nobody stores. The latency is that of \
     requests that are sent at fixed times, half as many a second as the edge answers at most, on 16 connections: one that cannot be sent in time counts from \
     when it should have been. \
     A host stops the cores of a virtual machine for milliseconds, which is longer than what is measured and, at a hundredth of the time, as frequent as what p99 tells: \
     so, beside p99 of whole rounds, stops and all, which has the target, the median of p99 in each 20 ms is told, most of which have no stop. \
     The edge, nginx with `proxy_pass` and the origin alone are asked in turns. The load has one core and sleeps between \
     requests, as a virtual machine that is busy with all of its cores is stopped by its host for longer than what is measured; edge, nginx and origin share another core, \
     as a message from one core to another takes longer, too. \
     The cost of being ready for failures is that of `retry`, `breaker` and `max-concurrent` on a backend that never fails: two edges, of which one has them, are loaded at \
     the same time and share a core, and origin and load another. The reference origin runs on one core, its load on another. Medians of all rounds. Written by `cargo xtask bench failure`.";

/// Rounds of each side in turns.
const ROUNDS: usize = 5;
/// Rounds of the latencies, whose slowest are up to the machine for the most part.
const LATENCY_ROUNDS: usize = 11;

const PLAIN: &str = "";
const READY: &str = "retry = { attempts = 1, backoff = \"50ms\", budget = 20 }\nmax-concurrent = 10000\n\
                     breaker = { failures = 5, rate = 50, open = \"10s\" }\n";

/// Measures everything that is told about failures.
pub(super) fn measure(workspace: &Workspace) -> Result<Chapter> {
    let machine = machine::describe();
    let chapter = |rows| Chapter { title: TITLE, about: ABOUT.to_owned(), machine, rows };
    if let Some(missing) = cores::missing() {
        let what = "Requests on their way to a backend".to_owned();
        return Ok(chapter(vec![Row { what, target: "-", measured: Measured::Skipped(missing) }]));
    }
    Cmd::cargo(workspace, ["build", "--release", "--package", "selvedge-bench", "--bin", "cache-edge"])
        .run()?;
    let mut rows = edge_rows(workspace)?;
    rows.push(stops::row()?);
    rows.push(reference::row(workspace)?);
    Ok(chapter(rows))
}

/// What the edge costs on the way to a backend.
fn edge_rows(workspace: &Workspace) -> Result<Vec<Row>> {
    // What is started here stays on the first core.
    let cores = Cores::first()?;
    let (origin, folder) = (Origin::start()?, tempfile::tempdir()?);
    let start = |name: &str, keys: &str| start(workspace, &folder.path().join(name), origin.address, keys);
    let (plain, ready) = (start("plain", PLAIN)?, start("ready", READY)?);
    let peer = folder.path().join("nginx");
    std::fs::create_dir(&peer)?;
    let has_nginx = nginx::version().is_some();
    let nginx = has_nginx.then(|| Nginx::passing_on(&peer, origin.address, SMALL)).transpose()?;
    cores.move_all_to_second()?;
    let cost = cost_row(plain.address, ready.address)?;
    cores.move_main_to_second()?;
    let most = load::rates("beside the origin", &small(), &[("ready", ready.address)])?;
    let most = median(most.concat());
    let peer = nginx.as_ref().map(|nginx| nginx.address);
    let mut rows = latency_rows(ready.address, peer, origin.address, most)?;
    rows.push(cost);
    Ok(rows)
}

/// Starts an edge that passes everything on to a backend with these keys.
fn start(workspace: &Workspace, folder: &Path, origin: SocketAddr, keys: &str) -> Result<Emulator> {
    std::fs::create_dir(folder)?;
    let policy = format!(
        "[backends.origin]\nurl = \"http://{origin}\"\n{keys}\n[[routes]]\npath = \"/{{*rest}}\"\nbackend = \"origin\"\n\
         cache = {{ store = false }}\n"
    );
    Emulator::start(workspace, folder, &policy, None)
}

/// What all of them are asked for.
fn small() -> Head {
    Head { path: SMALL.to_owned(), fields: Vec::new(), variety: 1 }
}

/// Loads both edges at once; what it costs to be ready.
fn cost_row(plain: SocketAddr, ready: SocketAddr) -> Result<Row> {
    let rounds = load::rates_at_once("from the origin", &small(), &[("plain", plain), ("ready", ready)])?;
    let of = |at: usize| median(rounds.iter().map(|rates| rates[at]).collect());
    let (of_plain, of_ready) = (of(0), of(1));
    let ratio = median(rounds.iter().map(|rates| rates[1] / rates[0]).collect());
    Ok(Row {
        what: format!(
            "`retry`, `breaker` and `max-concurrent` on a backend that never fails, `wrk -t1 -c16` ({of_ready:.0} against {of_plain:.0} requests a second)"
        ),
        target: "at most 3 %",
        measured: Measured::AtMost { bound: 3.0, value: (1.0 - ratio) * 100.0, unit: "%" },
    })
}

/// What the edge adds to a request, at half of what it can do, and what nginx adds to as many.
fn latency_rows(
    edge: SocketAddr,
    nginx: Option<SocketAddr>,
    origin: SocketAddr,
    most: f64,
) -> Result<Vec<Row>> {
    let rate = most / 2.0;
    let (mut of_edge, mut of_nginx) = (Vec::new(), Vec::new());
    for round in 1..=LATENCY_ROUNDS {
        let through = open_loop::measure(edge, SMALL, rate).context("through the edge")?;
        let straight = open_loop::measure(origin, SMALL, rate).context("to the origin")?;
        anstream::println!(
            "{rate:.0} requests a second, round {round} of {LATENCY_ROUNDS}: {through} through the edge, {straight} without it"
        );
        of_edge.push((through, straight));
        if let Some(nginx) = nginx {
            of_nginx.push((open_loop::measure(nginx, SMALL, rate).context("through nginx")?, straight));
        }
    }
    let bounds = [Some(("at most 100 µs", 100.0)), None, Some(("at most 300 µs", 300.0))];
    let mut rows = added_rows("the edge", bounds, rate, &of_edge);
    if nginx.is_some() {
        rows.extend(added_rows("nginx", [None; 3], rate, &of_nginx));
    }
    Ok(rows)
}

/// What a server adds to a latency at most, as told and in microseconds.
type Bound = Option<(&'static str, f64)>;

/// The rows of what a server adds; `rounds` are the latencies through it and straight to the origin.
fn added_rows(server: &str, bounds: [Bound; 3], rate: f64, rounds: &[(Latencies, Latencies)]) -> Vec<Row> {
    let row = |name: &str, bound, of: fn(&Latencies) -> f64| {
        let micros = rounds.iter().map(|(through, straight)| (of(through), of(straight))).collect();
        added(server, name, bound, rate, micros)
    };
    let [of_median, of_windows, of_all] = bounds;
    vec![
        row("the median", of_median, |all| all.median),
        row(&format!("p99, in {WINDOW:?},"), of_windows, |all| all.p99_in_windows),
        row(&format!("p99, in {MEASURED:?},"), of_all, |all| all.p99),
    ]
}

/// A row of what a server adds; `micros` are the latencies through it and straight to the origin, by rounds.
fn added(server: &str, of: &str, bound: Bound, rate: f64, micros: Vec<(f64, f64)>) -> Row {
    let side = |side: fn(&(f64, f64)) -> f64| median(micros.iter().map(side).collect());
    let (through, straight) = (side(|pair| pair.0), side(|pair| pair.1));
    let value = median(micros.iter().map(|(through, straight)| through - straight).collect());
    let unit = "µs";
    Row {
        what: format!(
            "A small answer through {server}, {rate:.0} requests a second: {of} of the latency above that of the origin alone ({through:.0} against {straight:.0} µs)"
        ),
        target: bound.map_or("-", |(target, _)| target),
        measured: bound.map_or(Measured::Told { value, unit, detail: String::new() }, |(_, bound)| {
            Measured::AtMost { bound, value, unit }
        }),
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { median, p99_in_windows, p99 } = self;
        write!(f, "{median:.0} µs, p99 {p99_in_windows:.0} µs ({p99:.0} µs in {MEASURED:?})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_the_median_of_the_rounds_differences() {
        let rounds = vec![(150.0, 50.0), (900.0, 60.0), (210.0, 90.0)];
        let row = added("the edge", "p99", Some(("at most 300 µs", 300.0)), 5.0, rounds);
        assert!(row.what.contains("(210 against 60 µs)"), "{}", row.what);
        assert_eq!(row.measured.to_string(), "120.00 µs");
    }
}
