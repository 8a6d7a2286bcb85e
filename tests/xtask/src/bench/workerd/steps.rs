//! What an edge adds to a request to the origin beside decisions, and what each of it costs on this runtime.

use std::path::Path;

use anyhow::Result;

use super::scenario::FROM_THE_ORIGIN;
use super::servers::{Servers, Worker};
use super::{BARE, EDGE};
use crate::bench::load::median;
use crate::bench::report::{Measured, Row, Section};

const CODE: &str = "steps.mjs";

/// A Worker and what the report says it adds.
const STEPS: [(Worker, &str); 6] = [
    (step("headers", "headers"), "headers that the edge writes, in place of `request.headers`"),
    (
        step("limit", "limit"),
        "a time limit to the head of the response: `AbortController`, `setTimeout`, `clearTimeout`",
    ),
    (step("uncached", "uncached"), "Cloudflare's own cache off: `cf.cacheTtlByStatus`"),
    (step("read", "read"), "reading every field of the request's head, `request.cf` and the time"),
    (step("all", "headers limit uncached read"), "all of these together"),
    (EDGE, "the storefront on Selvedge: all of these, and its decisions"),
];

const fn step(name: &'static str, steps: &'static str) -> Worker {
    Worker { name, code: CODE, steps: Some(steps) }
}

/// Measures each step beside the bare Worker.
pub(super) fn section(program: &Path, folder: &Path) -> Result<Section> {
    let workers: Vec<_> = std::iter::once(BARE).chain(STEPS.map(|(worker, _)| worker)).collect();
    let servers = Servers::start(program, folder, &workers)?;
    let rounds = servers.rates("where the time goes", &FROM_THE_ORIGIN.head(), workers.len())?;
    let rows = STEPS.iter().enumerate().map(|(at, (_, what))| Row {
        what: (*what).to_owned(),
        target: "-",
        measured: Measured::Told {
            value: median(above_the_first(&rounds, at + 1)),
            unit: "µs",
            detail: String::new(),
        },
    });
    let bare = median(rounds.iter().map(|rates| microseconds(rates[0])).collect());
    Ok(Section {
        title: "Where the time goes",
        about: format!(
            "What a request from the origin takes above the {bare:.2} µs of the bare JavaScript Worker when that does more, \
             one thing in each row. An edge with a time limit to the head, with a cache of its own and with headers that the policy \
             writes does them all on this runtime; none is a decision. `wrk -t1 -c16`, medians of the same rounds."
        ),
        rows: rows.collect(),
    })
}

/// How much longer a request takes on one Worker than on the first, in each round.
fn above_the_first(rounds: &[Vec<f64>], at: usize) -> Vec<f64> {
    rounds.iter().map(|rates| microseconds(rates[at]) - microseconds(rates[0])).collect()
}

fn microseconds(requests_per_second: f64) -> f64 {
    1_000_000.0 / requests_per_second
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_s_time_is_what_is_above_the_first_of_its_own_round() {
        let rounds = [vec![20_000.0, 10_000.0], vec![10_000.0, 8_000.0]];
        let above = above_the_first(&rounds, 1);
        for (above, expected) in above.iter().zip([50.0, 25.0]) {
            assert!((above - expected).abs() < 1e-9, "{above} is not {expected}");
        }
    }
}
