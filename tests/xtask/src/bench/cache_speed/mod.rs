//! How fast the cache is, beside nginx and Varnish, and what it costs.

mod film;
pub(super) mod origin;
mod rates;
pub(super) mod servers;

use anyhow::{Context as _, Result};

use self::origin::Origin;
use super::criterion::Medians;
use super::load::median;
use super::report::{Chapter, Measured, Row};
use super::{cores, criterion_bench, machine};
use crate::command::Cmd;
use crate::workspace::Workspace;

const TITLE: &str = "The cache";

const ABOUT: &str = "The emulator with one thread, nginx with one worker and `proxy_cache`, and Varnish with one pool and `malloc`, before one \
     small origin: the same stored object of 10 KiB, in turns, each started twice, on one core with the load on another. What a load tool would not see: each answers \
     from its store, and the origin is asked for nothing meanwhile. Medians of all rounds. The memory store is filled in a process of its own, \
     with eight headers, 64 bytes of body and a key of 61 letters; a lookup is that of the quickest of 25 rounds in each of seven processes, few and many entries in turns. Written by `cargo xtask bench cache`.";

/// Stores that are filled of each size.
const STORES: usize = 7;

const NGINX: &str = "nginx";
const VARNISH: &str = "Varnish";

/// Measures everything that is told about the cache.
pub(super) fn measure(workspace: &Workspace) -> Result<Chapter> {
    let machine = machine::describe();
    let bins = ["--bin", "cache-edge", "--bin", "memory-store"];
    Cmd::cargo(workspace, ["build", "--release", "--package", "selvedge-bench"]).args(bins).run()?;
    criterion_bench(workspace).args(["--", "stored/"]).run()?;
    let mut rows = decision_rows(&Medians::read(&workspace.target_directory.join("criterion"))?)?;
    rows.extend(store_rows(workspace)?);
    let origin = Origin::start()?;
    if let Some(missing) = cores::missing() {
        let what = "Requests a second for a stored object".to_owned();
        rows.push(Row { what, target: "-", measured: Measured::Skipped(missing) });
    } else {
        rows.extend(rates::rows(workspace, &origin)?);
    }
    rows.extend(film::rows(workspace, &origin)?);
    Ok(Chapter { title: TITLE, about: ABOUT.to_owned(), machine, rows })
}

fn decision_rows(medians: &Medians) -> Result<Vec<Row>> {
    let (reuse, serve) = (medians.of("stored/reuse")?, medians.of("stored/serve")?);
    Ok(vec![
        Row {
            what: "Whether a stored response answers a request: freshness and `Vary`".to_owned(),
            target: "at most 500 ns",
            measured: Measured::AtMost { bound: 500.0, value: reuse, unit: "ns" },
        },
        Row {
            what: "The head of an answer out of a stored one of nine fields".to_owned(),
            target: "-",
            measured: Measured::Told { value: serve, unit: "ns", detail: String::new() },
        },
    ])
}

/// What the memory store costs, as the program that fills it prints it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Costs {
    bytes: f64,
    in_use_nanos: f64,
    any_nanos: f64,
}

impl Costs {
    fn read(printed: &str) -> Option<Self> {
        let mut numbers = printed.split_whitespace().map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self { bytes: next()?, in_use_nanos: next()?, any_nanos: next()? })
    }

    fn measure(workspace: &Workspace, count: &str) -> Result<Self> {
        anstream::println!("a memory store of {count} entries");
        let program = workspace.target_directory.join("release/memory-store");
        let printed = Cmd::new(program).arg(count).read()?;
        Self::read(&printed).with_context(|| format!("three numbers, not {printed}"))
    }
}

fn store_rows(workspace: &Workspace) -> Result<Vec<Row>> {
    if !std::path::Path::new("/proc/self/status").exists() {
        let reason = "only Linux tells the resident memory in /proc".to_owned();
        let what = "The memory store".to_owned();
        return Ok(vec![Row { what, target: "-", measured: Measured::Skipped(reason) }]);
    }
    let mut stores = Vec::new();
    for _ in 0..STORES {
        stores.push((Costs::measure(workspace, "1000")?, Costs::measure(workspace, "1000000")?));
    }
    Ok(cost_rows(&stores))
}

/// Rows of stores of a thousand entries, each with the one of a million that was filled after it.
fn cost_rows(stores: &[(Costs, Costs)]) -> Vec<Row> {
    let of = |cost: fn(&(Costs, Costs)) -> f64| median(stores.iter().map(cost).collect());
    vec![
        Row {
            what: "Memory for each of a million entries beside its body".to_owned(),
            target: "at most 600 bytes",
            measured: Measured::AtMost { bound: 600.0, value: of(|(_, many)| many.bytes), unit: "bytes" },
        },
        Row {
            what: format!(
                "Lookup of one of a thousand keys that are in use, among a million entries against among a thousand ({:.0} ns against {:.0} ns)",
                of(|(_, many)| many.in_use_nanos),
                of(|(few, _)| few.in_use_nanos)
            ),
            target: "at most 1.5 times",
            measured: Measured::AtMost {
                bound: 1.5,
                value: of(|(few, many)| many.in_use_nanos / few.in_use_nanos),
                unit: "times",
            },
        },
        Row {
            what: "Lookup of any of a million keys, none of which the processor has in its caches".to_owned(),
            target: "-",
            measured: Measured::Told {
                value: of(|(_, many)| many.any_nanos),
                unit: "ns",
                detail: String::new(),
            },
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_costs_are_three_numbers() {
        let costs = Costs { bytes: 550.0, in_use_nanos: 120.0, any_nanos: 900.0 };
        assert_eq!(Costs::read("550 120 900\n"), Some(costs));
        assert_eq!(Costs::read("550 120\n"), None);
    }

    #[test]
    fn a_lookup_is_compared_with_that_of_the_store_before_it() {
        let store = |in_use_nanos| Costs { bytes: 500.0, in_use_nanos, any_nanos: 900.0 };
        let stores =
            [(80.0, 120.0), (100.0, 130.0), (50.0, 100.0)].map(|(few, many)| (store(few), store(many)));
        let rows = cost_rows(&stores);
        assert_eq!(rows[1].measured.to_string(), "1.50 times", "the median of the ratios");
        assert!(rows[1].what.contains("(120 ns against 80 ns)"), "{}", rows[1].what);
    }
}
