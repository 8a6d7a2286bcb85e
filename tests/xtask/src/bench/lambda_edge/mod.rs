//! The storefront on Lambda@Edge's Node.js, beside Hono and beside a handler that decides nothing.

mod answer;
mod process;
mod scenario;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use self::answer::Answer;
use self::process::{Process, Times};
use self::scenario::{NOT_FOUND, SCENARIOS, Scenario};
use super::load::median;
use super::machine;
use super::report::{Chapter, Measured, Row};
use crate::command::Cmd;
use crate::workspace::Workspace;

/// How often every handler is measured; the median counts.
const ROUNDS: usize = 7;

/// Events of a round, and those before the first one, which are not measured.
const EVENTS: usize = 3_000;
const WARM_UP: usize = 10_000;

const STARTS: usize = 15;

const TITLE: &str = "Lambda@Edge";

const ABOUT: &str = "The handler of `selvedge build --target lambda-edge`, the same rules written for Hono's adapter with isbot, and a handler that \
     returns the request as it came: one process of Node.js 24 each, in turns, every event another visitor's. Medians of an event in \
     the handler alone, and of all rounds; p99 is that of the median round. Before the cache CloudFront tells no country, so that the \
     storefront, whose first rule blocks one, answers scrapers and unknown paths behind it; what the door answers is measured with \
     the storefront without that rule. Written by `cargo xtask bench lambda-edge`.";

/// Handlers by the files in the folder of the benchmark.
const EDGE: &str = "edge/index.mjs";
const EDGE_OPEN: &str = "edge-open/index.mjs";
const HONO: &str = "hono/index.mjs";
const HONO_OPEN: &str = "hono-open/index.mjs";
const UNCHANGED: &str = "unchanged/index.mjs";

const PEERS: [(&str, &str); 3] = [
    ("hono-lambda-edge/index.mjs", HONO),
    ("hono-lambda-edge/open.mjs", HONO_OPEN),
    ("unchanged-lambda-edge/index.mjs", UNCHANGED),
];

/// The storefront's rule that blocks a country.
const COUNTRY_RULE: &str = "[[geo.rules]]
action = \"block\"
countries = [\"CN\"]
status = 403
body = \"Blocked in China\"
";

/// Measures everything that is told about the bundle for Lambda@Edge.
pub(super) fn measure(workspace: &Workspace) -> Result<Chapter> {
    let root = &workspace.root;
    let machine = machine::describe();
    let chapter = |rows| Chapter { title: TITLE, about: ABOUT.to_owned(), machine, rows };
    if !root.join("deploy/node_modules/.bin/node").is_file() {
        let reason = "Node.js is not installed: `cargo xtask install` brings it".to_owned();
        let what = "The storefront on Lambda@Edge".to_owned();
        return Ok(chapter(vec![Row { what, target: "-", measured: Measured::Skipped(reason) }]));
    }
    let folder = tempfile::tempdir()?;
    let bench = Bench { root, folder: folder.path() };
    bench.prepare(workspace)?;
    let mut rows = bench.event_rows()?;
    rows.push(bench.start_row()?);
    rows.push(bench.size_row()?);
    Ok(chapter(rows))
}

/// Where the handlers are.
struct Bench<'a> {
    root: &'a Path,
    folder: &'a Path,
}

impl Bench<'_> {
    /// Builds the function from the storefront with one backend for all, and bundles the peers as one would deploy them.
    fn prepare(&self, workspace: &Workspace) -> Result<()> {
        let Self { root, folder } = self;
        let storefront = fs::read_to_string(root.join("examples/storefront/edge.toml"))?;
        let storefront = storefront.replace("http://127.0.0.1:8788", "https://origin.test");
        let open = storefront.replace(COUNTRY_RULE, "");
        ensure!(open != storefront, "the storefront has another rule by country");
        for (name, policy) in [("edge", storefront), ("edge-open", open)] {
            let path = folder.join(format!("{name}.toml"));
            fs::write(&path, policy)?;
            Cmd::new(workspace.target_directory.join("release/selvedge").into_os_string())
                .args(["build", "--target", "lambda-edge", "--policy"])
                .arg(path)
                .arg("--out")
                .arg(folder.join(name))
                .run()?;
        }
        for (code, handler) in PEERS {
            Cmd::new(root.join("deploy/node_modules/.bin/esbuild").into_os_string())
                .arg(root.join("tests/bench/peers").join(code))
                .args(["--bundle", "--platform=node", "--format=esm", "--minify", "--log-level=warning"])
                .arg(format!("--outfile={}", folder.join(handler).display()))
                .run()?;
        }
        Ok(())
    }

    fn start(&self, handler: &str) -> Result<Process> {
        Process::start(self.root, &self.folder.join(handler))
    }

    fn event_rows(&self) -> Result<Vec<Row>> {
        let mut processes = Processes {
            edge: [self.start(EDGE_OPEN)?, self.start(EDGE)?],
            hono: [self.start(HONO_OPEN)?, self.start(HONO)?],
            unchanged: self.start(UNCHANGED)?,
        };
        for scenario in &SCENARIOS {
            let [edge, hono, _] = processes.send(scenario, 0, WARM_UP)?;
            let (ours, theirs) = (Answer::of(&edge.result), Answer::of(&hono.result));
            ensure!(ours == theirs, "{}: the edge answers\n{ours:?}\nand Hono\n{theirs:?}", scenario.name);
        }
        let mut rounds: Vec<Vec<[Times; 3]>> = vec![Vec::new(); SCENARIOS.len()];
        for round in 1..=ROUNDS {
            anstream::println!("events on Node.js, round {round} of {ROUNDS}");
            for (scenario, rounds) in SCENARIOS.iter().zip(&mut rounds) {
                rounds.push(processes.send(scenario, WARM_UP + round * EVENTS, EVENTS)?);
            }
        }
        Ok(SCENARIOS.iter().zip(&rounds).flat_map(|(scenario, rounds)| rows_of(scenario, rounds)).collect())
    }

    /// From the start of Node.js to the first answer, in processes of their own.
    fn start_row(&self) -> Result<Row> {
        let (mut ours, mut unchanged) = (Vec::new(), Vec::new());
        for _ in 0..STARTS {
            unchanged.push(self.first_answer(UNCHANGED)?);
            ours.push(self.first_answer(EDGE)?);
        }
        let (ours, unchanged) = (median(ours), median(unchanged));
        Ok(Row {
            what: format!(
                "Start of Node.js to the first answer, above that of a handler that returns the request unchanged \
                 ({ours:.1} ms against {unchanged:.1} ms)"
            ),
            target: "at most 25 ms",
            measured: Measured::AtMost { bound: 25.0, value: ours - unchanged, unit: "ms" },
        })
    }

    fn first_answer(&self, handler: &str) -> Result<f64> {
        let began = Instant::now();
        self.start(handler)?.send(&NOT_FOUND, 0, 1)?;
        Ok(began.elapsed().as_secs_f64() * 1_000.0)
    }

    fn size_row(&self) -> Result<Row> {
        let path: PathBuf = self.folder.join("edge/function.zip");
        let bytes = fs::metadata(&path).with_context(|| path.display().to_string())?.len();
        #[expect(clippy::cast_precision_loss, reason = "a size in MiB is shown with two digits")]
        let value = bytes as f64 / (1024.0 * 1024.0);
        let what = "`function.zip`".to_owned();
        Ok(Row {
            what,
            target: "at most 1 MiB",
            measured: Measured::AtMost { bound: 1.0, value, unit: "MiB" },
        })
    }
}

/// Handlers, those for a policy that blocks no country before those for one that does.
struct Processes {
    edge: [Process; 2],
    hono: [Process; 2],
    unchanged: Process,
}

impl Processes {
    /// Sends the same events to the edge, to Hono and to the handler that decides nothing.
    fn send(&mut self, scenario: &Scenario, number: usize, count: usize) -> Result<[Times; 3]> {
        let at = usize::from(scenario.blocks_a_country);
        Ok([
            self.edge[at].send(scenario, number, count)?,
            self.hono[at].send(scenario, number, count)?,
            self.unchanged.send(scenario, number, count)?,
        ])
    }
}

/// The time of an event, and how it compares; the targets are those of the trigger before the cache.
fn rows_of(scenario: &Scenario, rounds: &[[Times; 3]]) -> [Row; 2] {
    let [edge, hono, unchanged] = [0, 1, 2].map(|at| median_round(rounds, at));
    let Scenario { name, .. } = scenario;
    let time = Row {
        what: format!("{name}: an event (p99 {:.0} µs)", edge.p99),
        target: "at most 100 µs",
        measured: Measured::AtMost { bound: 100.0, value: edge.median, unit: "µs" },
    };
    let detail = format!(
        "{:.1} against {:.1} µs (p99 {:.0}), returned unchanged {:.1} µs",
        edge.median, hono.median, hono.p99, unchanged.median
    );
    let beside = Row {
        what: format!("{name}: events a second beside Hono"),
        target: "at least 1 times",
        measured: Measured::AtLeast { bound: 1.0, value: hono.median / edge.median, unit: "times", detail },
    };
    [time, beside].map(|row| if scenario.is_at_the_door() { row } else { untargeted(row) })
}

fn untargeted(row: Row) -> Row {
    let measured = match row.measured {
        Measured::AtMost { value, unit, .. } => Measured::Told { value, unit, detail: String::new() },
        Measured::AtLeast { value, unit, detail, .. } => Measured::Told { value, unit, detail },
        measured @ (Measured::Told { .. } | Measured::Skipped(_)) => measured,
    };
    Row { target: "-", measured, ..row }
}

/// The round whose median is the median of all.
fn median_round(rounds: &[[Times; 3]], at: usize) -> Times {
    let mut of_one: Vec<_> = rounds.iter().map(|round| &round[at]).collect();
    of_one.sort_by(|one, other| one.median.total_cmp(&other.median));
    of_one[of_one.len() / 2].clone()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn times(median: f64) -> Times {
        Times { median, p99: 2.0 * median, result: Value::Null }
    }

    fn shown(scenario: &Scenario, edge: f64, hono: f64) -> [String; 2] {
        let rounds = [900.0, edge, 1.0].map(|edge| [times(edge), times(hono), times(0.5)]);
        rows_of(scenario, &rounds).map(|row| format!("{} | {} | {}", row.target, row.what, row.measured))
    }

    #[test]
    fn the_rows_tell_the_round_in_the_middle() {
        assert_eq!(
            shown(&NOT_FOUND, 40.0, 60.0),
            [
                "at most 100 µs | viewer-request, not found: an event (p99 80 µs) | 40.00 µs",
                "at least 1 times | viewer-request, not found: events a second beside Hono | \
                 1.50 times: 40.0 against 60.0 µs (p99 120), returned unchanged 0.5 µs",
            ]
        );
    }

    #[test]
    fn only_the_trigger_before_the_cache_has_targets() {
        for scenario in &SCENARIOS {
            let is_door = scenario.name.starts_with("viewer-request");
            let rows = rows_of(scenario, &[[times(101.0), times(60.0), times(0.5)]]);
            assert!(rows.iter().all(|row| row.measured.is_missed() == is_door), "{}", scenario.name);
        }
    }
}
