//! Requests a second for a stored object, and how long the slowest take.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};

use super::origin::{OBJECT, Origin};
use super::servers::{Servers, Varnish};
use super::{NGINX, VARNISH};
use crate::bench::cores::Cores;
use crate::bench::load::{median, requests_per_second};
use crate::bench::nginx;
use crate::bench::report::{Measured, Row};
use crate::command::Cmd;
use crate::workspace::Workspace;

/// How often all are started, and loaded after that.
const STARTS: usize = 2;
const ROUNDS: usize = 4;

/// What wrk measured.
#[derive(Clone, Copy, Debug)]
struct Load {
    /// Requests a second.
    rate: f64,
    /// Milliseconds within which 99 of 100 were answered.
    p99: f64,
}

/// One server with what was measured of it in each round.
struct Loads {
    name: &'static str,
    loads: Vec<Load>,
}

impl Loads {
    fn rate(&self) -> f64 {
        median(self.loads.iter().map(|load| load.rate).collect())
    }

    fn p99(&self) -> f64 {
        median(self.loads.iter().map(|load| load.p99).collect())
    }
}

/// Loads all servers in turns.
pub(super) fn rows(workspace: &Workspace, origin: &Origin) -> Result<Vec<Row>> {
    let mut measured: Vec<Loads> = Vec::new();
    for start in 1..=STARTS {
        // What is started here stays on the first core.
        let (folder, cores) = (tempfile::tempdir()?, Cores::first()?);
        let servers = Servers::start(workspace, folder.path(), origin.address)?;
        cores.move_main_to_second()?;
        for round in 1..=ROUNDS {
            for (name, address) in servers.named() {
                let asked = origin.requests();
                let load = wrk(address)?;
                let missed = origin.requests() - asked;
                ensure!(missed == 0, "{name} answered {missed} requests in round {round} from the origin");
                let Load { rate, p99 } = load;
                anstream::println!(
                    "start {start}, round {round}: {name} {rate:.0} a second, p99 {p99:.2} ms"
                );
                match measured.iter_mut().find(|loads| loads.name == name) {
                    Some(loads) => loads.loads.push(load),
                    None => measured.push(Loads { name, loads: vec![load] }),
                }
            }
        }
    }
    let (edge, peers) = measured.split_first().context("the emulator is always there")?;
    let peer = |name| peers.iter().find(|peer| peer.name == name);
    let mut rows = nginx_rows(edge, peer(NGINX), &nginx::version().unwrap_or_default());
    rows.extend(varnish_rows(edge, peer(VARNISH), &Varnish::version().unwrap_or_default()));
    Ok(rows)
}

fn nginx_rows(edge: &Loads, nginx: Option<&Loads>, version: &str) -> Vec<Row> {
    let rate = |nginx: &Loads| Measured::AtLeast {
        bound: 0.8,
        value: edge.rate() / nginx.rate(),
        unit: "times",
        detail: format!("{:.0} against {:.0} ({version})", edge.rate(), nginx.rate()),
    };
    let p99 = |nginx: &Loads| Measured::AtMost { bound: 2.0, value: edge.p99() / nginx.p99(), unit: "times" };
    let times = nginx.map(|nginx| format!(" ({:.2} ms against {:.2} ms)", edge.p99(), nginx.p99()));
    vec![
        row(RATE, NGINX, "", "at least 0.8 times", nginx.map(rate)),
        row(P99, NGINX, &times.unwrap_or_default(), "at most 2 times", nginx.map(p99)),
    ]
}

fn varnish_rows(edge: &Loads, varnish: Option<&Loads>, version: &str) -> Vec<Row> {
    let rate = |varnish: &Loads| Measured::Told {
        value: edge.rate() / varnish.rate(),
        unit: "times",
        detail: format!("{:.0} against {:.0} ({version})", edge.rate(), varnish.rate()),
    };
    let p99 = |varnish: &Loads| Measured::Told {
        value: edge.p99() / varnish.p99(),
        unit: "times",
        detail: format!("{:.2} ms against {:.2} ms", edge.p99(), varnish.p99()),
    };
    vec![row(RATE, VARNISH, "", "-", varnish.map(rate)), row(P99, VARNISH, "", "-", varnish.map(p99))]
}

const RATE: &str = "Stored object of 10 KiB, `wrk -t1 -c64`: requests a second";
const P99: &str = "Stored object of 10 KiB, `wrk -t1 -c64`: p99 of the latency";

fn row(what: &str, peer: &str, detail: &str, target: &'static str, measured: Option<Measured>) -> Row {
    let program = peer.to_ascii_lowercase();
    let missing = || format!("`{peer}` is not installed: `apt-get install {program}` on Debian brings it");
    Row {
        what: format!("{what} against {peer}{detail}"),
        target,
        measured: measured.unwrap_or_else(|| Measured::Skipped(missing())),
    }
}

/// Sends the same request again and again on 64 connections.
fn wrk(address: SocketAddr) -> Result<Load> {
    let printed = Cmd::new("wrk")
        // The host by which the object was stored.
        .args(["-t1", "-c64", "-d4s", "--latency", "-H", "Host: bench"])
        .arg(format!("http://{address}{OBJECT}"))
        .read()?;
    let has_errors = ["Non-2xx", "Socket errors"].iter().any(|sign| printed.contains(sign));
    ensure!(!has_errors, "wrk saw errors:\n{printed}");
    let load = requests_per_second(&printed).zip(p99_millis(&printed)).map(|(rate, p99)| Load { rate, p99 });
    load.with_context(|| format!("wrk printed no rate or no latency:\n{printed}"))
}

/// Reads the latency of the 99th percentile.
fn p99_millis(printed: &str) -> Option<f64> {
    let text = printed.lines().find_map(|line| line.trim().strip_prefix("99%"))?.trim();
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1_000.0)];
    units.iter().find_map(|(unit, millis)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loads(name: &'static str, rate: f64, p99: f64) -> Loads {
        Loads { name, loads: vec![Load { rate, p99 }] }
    }

    #[test]
    fn the_latency_is_read_in_every_unit() {
        for (text, millis) in [("850.00us", 0.85), ("1.25ms", 1.25), ("2.00s", 2_000.0)] {
            let printed =
                format!("  Latency Distribution\n     90%    1.00us\n     99%    {text}\nRequests/sec: 1\n");
            let read = p99_millis(&printed).expect("there is one");
            assert!((read - millis).abs() < 1e-9, "{text}: {read}");
        }
        assert_eq!(p99_millis("Requests/sec: 1\n"), None);
    }

    #[test]
    fn targets_are_against_nginx_alone() {
        let rows = [
            ("as good", 80.0, 2.0, [false, false]),
            ("fewer requests", 79.0, 2.0, [true, false]),
            ("slower ones", 80.0, 2.1, [false, true]),
        ];
        for (name, rate, p99, expected) in rows {
            let (edge, peer) = (loads("Selvedge", rate, p99), loads("peer", 100.0, 1.0));
            let missed = |rows: Vec<Row>| rows.iter().map(|row| row.measured.is_missed()).collect::<Vec<_>>();
            assert_eq!(missed(nginx_rows(&edge, Some(&peer), "")), expected, "{name}");
            assert_eq!(missed(varnish_rows(&edge, Some(&peer), "")), [false, false], "{name}");
        }
    }

    #[test]
    fn a_peer_that_is_missing_is_not_measured() {
        let edge = loads("Selvedge", 1.0, 1.0);
        for row in [nginx_rows(&edge, None, ""), varnish_rows(&edge, None, "")].iter().flatten() {
            assert!(row.measured.to_string().contains("is not installed"), "{}", row.what);
        }
    }
}
