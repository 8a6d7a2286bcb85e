//! Runs the public HTTP cache test suite on one of our caches, or all of it for a report.

use std::process::ExitCode;

use anyhow::bail;
use selvedge_conformance::http_cache::edge::Platform;
use selvedge_conformance::http_cache::report;
use selvedge_conformance::http_cache::suite::{Log, Suite};
use selvedge_conformance::http_cache::verdict::{Judgement, Outcome};

const USAGE: &str = "usage: http-cache report | PLATFORM [TEST...]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match perform(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(arguments: &[String]) -> anyhow::Result<()> {
    match arguments {
        [task] if task == "report" => anstream::print!("{}", report::of(&Suite::find()?)?),
        [platform, tests @ ..] => match Platform::of(platform) {
            Some(platform) => show(platform, tests)?,
            None => bail!("there is no platform {platform}; {USAGE}"),
        },
        [] => bail!(USAGE),
    }
    Ok(())
}

/// Prints what came of each test that ran, a line each, and how many of each kind passed.
fn show(platform: Platform, tests: &[String]) -> anyhow::Result<()> {
    let suite = Suite::find()?;
    let catalogue = suite.catalogue()?;
    let log = if tests.is_empty() { Log::Off } else { Log::On };
    let results = suite.run(platform, tests, log)?;
    let judgement = Judgement::new(&catalogue, &results);
    let ran = || judgement.outcomes().filter(|(_, outcome)| *outcome != Outcome::NotRun);
    for (test, outcome) in ran() {
        anstream::println!("{:?} {}: {outcome}", test.kind, test.id);
    }
    for (kind, count) in Judgement::counts(ran()) {
        anstream::println!("{kind:?}: {count}");
    }
    Ok(())
}
