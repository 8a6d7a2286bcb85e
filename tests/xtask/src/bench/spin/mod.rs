//! The storefront's component on Spin's host, beside one that greets and one that forwards.

mod app;
mod scenario;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use self::app::{App, Host};
use self::scenario::{NOT_FOUND, SCENARIOS, Scenario, Source};
use super::edge::Edge;
use super::load::{self, median};
use super::machine;
use super::report::{Chapter, Measured, Row};
use crate::command::Cmd;
use crate::steps::toolchain;
use crate::workspace::Workspace;

const TITLE: &str = "Spin";

const ABOUT: &str = "The component of `selvedge build --target spin` with the storefront behind Akamai, one with spin-sdk 7 that greets, and one \
     that forwards: a host each on wasmtime, as the emulator has it, with one origin, in turns. An instance answers up to 128 requests, 16 at \
     a time, as with Spin; for the first answer of an instance each request has its own, of a component that is compiled already. Medians of all \
     rounds. Written by `cargo xtask bench spin`.";

/// First answers of each application.
const FIRST_ANSWERS: usize = 301;

const EDGE: &str = "edge";
const HELLO: &str = "hello";
const FORWARD: &str = "forward";

const KIBIBYTE: f64 = 1024.0;

/// Measures everything that is told about Spin.
pub(super) fn measure(workspace: &Workspace) -> Result<Chapter> {
    let machine = machine::describe();
    let origin = Edge::start(workspace)?;
    let url = format!("http://{}", origin.origin);
    let folder = tempfile::tempdir()?;
    prepare(workspace, folder.path(), &url)?;
    let host = Host::new(workspace.target_directory.join("release/spin-host"), folder.path());
    let mut rows = size_rows(&folder.path().join(EDGE).join("edge.wasm"))?;
    rows.push(first_answer_row(&host)?);
    if load::is_installed() {
        rows.extend(rate_rows(&host, &url)?);
    } else {
        let what = "Requests a second on Spin".to_owned();
        rows.push(Row { what, target: "-", measured: Measured::Skipped(load::how_to_install()) });
    }
    Ok(Chapter { title: TITLE, about: ABOUT.to_owned(), machine, rows })
}

/// Builds the host and the three applications.
fn prepare(workspace: &Workspace, folder: &Path, origin: &str) -> Result<()> {
    let root = &workspace.root;
    // The components' target comes with it.
    toolchain::run(workspace)?;
    Cmd::cargo(workspace, ["build", "--release", "--package", "selvedge-bench"])
        .args(["--bin", "spin-host", "--features", "spin"])
        .run()?;
    let storefront = fs::read_to_string(root.join("examples/storefront/edge.toml"))?;
    let storefront = storefront.replace("http://127.0.0.1:8788", origin);
    let policy = folder.join("edge.toml");
    fs::write(&policy, format!("{storefront}\n[spin]\nfront = \"akamai\"\n"))?;
    Cmd::new(workspace.target_directory.join("release/selvedge").into_os_string())
        .args(["build", "--target", "spin", "--policy"])
        .arg(&policy)
        .arg("--out")
        .arg(folder.join(EDGE))
        .run()?;
    [HELLO, FORWARD].iter().try_for_each(|name| build_peer(workspace, name, &folder.join(name)))
}

/// Builds a component as its own manifest says, and copies both.
fn build_peer(workspace: &Workspace, name: &str, out: &Path) -> Result<()> {
    let peer = workspace.root.join(format!("tests/bench/peers/spin-{name}"));
    let target = workspace.target_directory.join("spin-peers");
    Cmd::new("cargo")
        .args(["build", "--release", "--locked", "--target", "wasm32-wasip2", "--target-dir"])
        .arg(&target)
        .dir(&peer)
        .run()?;
    let component = PathBuf::from(format!("wasm32-wasip2/release/spin_{name}.wasm"));
    let to = out.join("target").join(&component);
    fs::create_dir_all(to.parent().context("it is in a folder")?)?;
    fs::copy(target.join(&component), to)?;
    fs::copy(peer.join("spin.toml"), out.join("spin.toml"))?;
    Ok(())
}

fn size_rows(component: &Path) -> Result<Vec<Row>> {
    let compressed =
        Command::new("gzip").arg("-9").arg("-c").arg(component).output().context("cannot run gzip")?;
    let [whole, gzipped] = [fs::metadata(component)?.len(), compressed.stdout.len() as u64].map(kibibytes);
    let row = |what: &str, target, bound, value, unit| Row {
        what: what.to_owned(),
        target,
        measured: Measured::AtMost { bound, value, unit },
    };
    Ok(vec![
        row("`edge.wasm`", "at most 1.5 MiB", 1.5, whole / KIBIBYTE, "MiB"),
        row("`edge.wasm`, gzipped", "at most 450 KiB", 450.0, gzipped, "KiB"),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "a size in KiB is shown with two digits")]
fn kibibytes(bytes: u64) -> f64 {
    bytes as f64 / KIBIBYTE
}

/// From a request to its answer, when each has an instance of its own.
fn first_answer_row(host: &Host) -> Result<Row> {
    let apps = [host.start(EDGE, &["--fresh"])?, host.start(HELLO, &["--fresh"])?];
    let head = NOT_FOUND.head();
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..FIRST_ANSWERS {
        for (app, times) in apps.iter().zip(&mut times) {
            let began = Instant::now();
            head.get(app.address)?;
            times.push(began.elapsed().as_secs_f64() * 1_000.0);
        }
    }
    let [edge, hello] = times.map(median);
    Ok(Row {
        what: format!(
            "An instance and its first answer, above the hello's ({edge:.2} ms against {hello:.2} ms)"
        ),
        target: "at most 5 ms",
        measured: Measured::AtMost { bound: 5.0, value: edge - hello, unit: "ms" },
    })
}

fn rate_rows(host: &Host, origin: &str) -> Result<Vec<Row>> {
    let backend = format!("backend={origin}");
    let edge = host.start(EDGE, &[])?;
    let hello = host.start(HELLO, &[])?;
    let forward = host.start(FORWARD, &["--variable", &backend])?;
    let rows = SCENARIOS.iter().map(|scenario| {
        let peer = match scenario.source {
            Source::Edge => &hello,
            Source::Origin | Source::Store => &forward,
        };
        require_answers(scenario, &edge, peer)?;
        let apps = [&edge, peer].map(|app| (app.name, app.address));
        let rounds = load::rates(&format!("Spin, {}", scenario.name), &scenario.head(), &apps)?;
        let rate = |at: usize| median(rounds.iter().map(|rates| rates[at]).collect());
        Ok(rate_row(scenario, rate(0), rate(1)))
    });
    rows.collect()
}

/// Sees that each answers as it should before anything is measured.
fn require_answers(scenario: &Scenario, edge: &App, peer: &App) -> Result<()> {
    let Scenario { name, status, source, .. } = scenario;
    let head = scenario.head();
    // The first of two may fill the store.
    head.get(edge.address)?;
    let (answer, other) = (head.get(edge.address)?, head.get(peer.address)?);
    let begins = format!("HTTP/1.1 {status} ");
    ensure!(answer.starts_with(&begins), "{name}: the edge does not answer {status} but\n{answer}");
    let is_hit = answer.to_ascii_lowercase().contains("cache-status: selvedge;hit");
    ensure!(is_hit == (*source == Source::Store), "{name}: that is from elsewhere:\n{answer}");
    ensure!(other.starts_with("HTTP/1.1 200 "), "{name}: {} answers\n{other}", peer.name);
    let is_same = body(&answer) == body(&other);
    ensure!(
        is_same == (*source != Source::Edge),
        "{name}: the edge answers\n{answer}\nand {}\n{other}",
        peer.name
    );
    Ok(())
}

fn body(answer: &str) -> &str {
    answer.split_once("\n\n").map_or("", |(_, body)| body)
}

fn rate_row(scenario: &Scenario, edge: f64, peer: f64) -> Row {
    let (beside, target, bound) = match scenario.source {
        Source::Edge => ("the hello", "at least 0.8 times", 0.8),
        Source::Origin | Source::Store => ("the component that forwards", "at least 0.9 times", 0.9),
    };
    Row {
        what: format!("{}: requests a second beside {beside}, `wrk -t1 -c16`", scenario.name),
        target,
        measured: Measured::AtLeast {
            bound,
            value: edge / peer,
            unit: "times",
            detail: format!("{edge:.0} against {peer:.0}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_answer_has_its_peer_and_its_bound() {
        for scenario in SCENARIOS {
            let (peer, bound) = match scenario.source {
                Source::Edge => ("the hello", 80.0),
                Source::Origin | Source::Store => ("the component that forwards", 90.0),
            };
            let is_missed = |edge: f64| rate_row(&scenario, edge, 100.0).measured.is_missed();
            assert!(is_missed(bound - 0.1) && !is_missed(bound + 0.1), "{}", scenario.name);
            assert!(rate_row(&scenario, 1.0, 1.0).what.contains(peer), "{}", scenario.name);
        }
    }

    #[test]
    fn a_component_is_measured_whole_and_gzipped() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), vec![0; 2 * 1024 * 1024]).expect("it is written");
        let rows = size_rows(file.path()).expect("gzip is there");
        assert_eq!(rows[0].measured.to_string(), "2.00 MiB");
        assert_eq!([0, 1].map(|row: usize| rows[row].measured.is_missed()), [true, false]);
    }
}
