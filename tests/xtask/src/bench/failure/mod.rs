//! What the edge costs on the way to a backend, and what it costs that it is ready for the backend's failures.

mod open_loop;
mod reference;

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result};

use self::open_loop::Latencies;
use super::cache_speed::origin::{Origin, SMALL};
use super::cache_speed::servers::Emulator;
use super::load::{self, Head, median};
use super::machine;
use super::report::{Chapter, Measured, Row};
use crate::command::Cmd;
use crate::workspace::Workspace;

const TITLE: &str = "Failures";

const ABOUT: &str = "The emulator with one thread before one small origin, which answers with 128 bytes that nobody stores. The latency is that of \
     requests that are sent at fixed times, half as many a second as the edge answers at most, on 16 connections: one that cannot be sent in time counts from \
     when it should have been. The edge and the origin alone are asked in turns. The cost of being ready for failures is that of `retry`, `breaker` and \
     `max-concurrent` on a backend that never fails. The reference origin runs on one core, the load on another. Medians of all rounds. Written by \
     `cargo xtask bench failure`.";

/// Rounds of each side in turns.
const ROUNDS: usize = 5;

const PLAIN: &str = "";
const READY: &str = "retry = { attempts = 1, backoff = \"50ms\", budget = 20 }\nmax-concurrent = 10000\n\
                     breaker = { failures = 5, rate = 50, open = \"10s\" }\n";

/// Measures everything that is told about failures.
pub(super) fn measure(workspace: &Workspace) -> Result<Chapter> {
    let machine = machine::describe();
    let chapter = |rows| Chapter { title: TITLE, about: ABOUT.to_owned(), machine, rows };
    if !load::is_installed() {
        let what = "Requests on their way to a backend".to_owned();
        let measured = Measured::Skipped(load::how_to_install());
        return Ok(chapter(vec![Row { what, target: "-", measured }]));
    }
    Cmd::cargo(workspace, ["build", "--release", "--package", "selvedge-bench", "--bin", "cache-edge"])
        .run()?;
    let (origin, folder) = (Origin::start()?, tempfile::tempdir()?);
    let start = |name: &str, keys: &str| start(workspace, &folder.path().join(name), origin.address, keys);
    let (plain, ready) = (start("plain", PLAIN)?, start("ready", READY)?);
    let (cost, most) = cost_row(plain.address, ready.address)?;
    let mut rows = latency_rows(ready.address, origin.address, most)?;
    rows.push(cost);
    rows.push(reference::row(workspace)?);
    Ok(chapter(rows))
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

/// Loads both edges in turns; returns what it costs to be ready, and the requests a second of the one that is.
fn cost_row(plain: SocketAddr, ready: SocketAddr) -> Result<(Row, f64)> {
    let head = Head { path: SMALL.to_owned(), fields: Vec::new(), variety: 1 };
    let rounds = load::rates("from the origin", &head, &[("plain", plain), ("ready", ready)])?;
    let of = |at: usize| median(rounds.iter().map(|rates| rates[at]).collect());
    let (of_plain, of_ready) = (of(0), of(1));
    let row = Row {
        what: format!(
            "`retry`, `breaker` and `max-concurrent` on a backend that never fails, `wrk -t1 -c16` ({of_ready:.0} against {of_plain:.0} requests a second)"
        ),
        target: "at most 3 %",
        measured: Measured::AtMost { bound: 3.0, value: (1.0 - of_ready / of_plain) * 100.0, unit: "%" },
    };
    Ok((row, of_ready))
}

/// What the edge adds to a request, at half of what it can do.
fn latency_rows(edge: SocketAddr, origin: SocketAddr, most: f64) -> Result<Vec<Row>> {
    let rate = most / 2.0;
    let (mut at_median, mut at_p99) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let through = open_loop::measure(edge, SMALL, rate).context("through the edge")?;
        let straight = open_loop::measure(origin, SMALL, rate).context("to the origin")?;
        anstream::println!(
            "{rate:.0} requests a second, round {round} of {ROUNDS}: {through} through the edge, {straight} without it"
        );
        at_median.push((through.median, straight.median));
        at_p99.push((through.p99, straight.p99));
    }
    Ok(vec![
        added("the median", "at most 100 µs", 100.0, rate, at_median),
        added("p99", "at most 300 µs", 300.0, rate, at_p99),
    ])
}

fn added(of: &str, target: &'static str, bound: f64, rate: f64, micros: Vec<(f64, f64)>) -> Row {
    let side = |side: fn(&(f64, f64)) -> f64| median(micros.iter().map(side).collect());
    let (through, straight) = (side(|pair| pair.0), side(|pair| pair.1));
    let value = median(micros.iter().map(|(through, straight)| through - straight).collect());
    Row {
        what: format!(
            "A small answer through the edge, {rate:.0} requests a second: {of} of the latency above that of the origin alone ({through:.0} against {straight:.0} µs)"
        ),
        target,
        measured: Measured::AtMost { bound, value, unit: "µs" },
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} µs, p99 {:.0} µs", self.median, self.p99)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_the_median_of_the_rounds_differences() {
        let row =
            added("p99", "at most 300 µs", 300.0, 5.0, vec![(150.0, 50.0), (900.0, 60.0), (210.0, 90.0)]);
        assert!(row.what.contains("(210 against 60 µs)"), "{}", row.what);
        assert_eq!(row.measured.to_string(), "120.00 µs");
    }
}
