//! The reference origin: how often it answers on one core with what it has in its own memory.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::ROUNDS;
use crate::bench::cores;
use crate::bench::edge::{free_address, get};
use crate::bench::load::{median, requests_per_second};
use crate::bench::report::{Measured, Row};
use crate::command::Cmd;
use crate::workspace::Workspace;

const PATH: &str = "/api/user?id=1";
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// The origin in a process that has one core; ends when dropped.
struct Reference {
    child: Child,
    address: SocketAddr,
}

/// Loads it from the other core.
pub(super) fn row(workspace: &Workspace) -> Result<Row> {
    Cmd::cargo(workspace, ["build", "--release", "--package", "selvedge-origin"]).run()?;
    let origin = Reference::start(workspace)?;
    let rates = (1..=ROUNDS).map(|round| wrk(origin.address, round)).collect::<Result<_>>()?;
    let measured = Measured::AtLeast {
        bound: 30_000.0,
        value: median(rates),
        unit: "a second",
        detail: PATH.to_owned(),
    };
    let what =
        "The reference origin on one core, a user that its cache has, `wrk -t1 -c32` on another: requests"
            .to_owned();
    Ok(Row { what, target: "at least 30,000 a second", measured })
}

fn wrk(address: SocketAddr, round: usize) -> Result<f64> {
    let url = format!("http://{address}{PATH}");
    let printed = cores::on_core("1").args(["wrk", "-t1", "-c32", "-d3s", &url]).read()?;
    let has_errors = ["Non-2xx", "Socket errors"].iter().any(|sign| printed.contains(sign));
    ensure!(!has_errors, "wrk saw errors:\n{printed}");
    let rate = requests_per_second(&printed).with_context(|| format!("wrk printed no rate:\n{printed}"))?;
    anstream::println!("the reference origin, round {round} of {ROUNDS}: {rate:.0} requests a second");
    Ok(rate)
}

impl Reference {
    fn start(workspace: &Workspace) -> Result<Self> {
        let (program, address) =
            (workspace.target_directory.join("release/selvedge-origin"), free_address()?);
        let child = Command::new("taskset")
            .args(["-c", "0"])
            .arg(&program)
            .args(["--listen", &address.to_string()])
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let origin = Self { child, address };
        let started = Instant::now();
        while !get(address, PATH).is_ok_and(|(head, _)| head.starts_with("HTTP/1.1 200")) {
            ensure!(started.elapsed() < START_TIMEOUT, "the origin does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(origin)
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // It has no state: a child that is gone already needs no ending.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
