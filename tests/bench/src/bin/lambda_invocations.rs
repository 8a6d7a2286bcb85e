//! How long functions take for one event after the other, each behind a runtime API of its own.
//!
//! `cargo xtask bench lambda` builds the functions and starts this with the folders that hold their `bootstrap`. It prints JSON: for each
//! kind of event its name, and of every round the medians of the functions in microseconds. The first function is the storefront.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use selvedge_core::facts::{CountryCode, Facts};
use selvedge_emulator::Clock;
use selvedge_emulator::runtime::lambda::{Function, FunctionConfig, headers};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// How often each function is measured, in turns: short ones, so that what else the machine does meets all alike.
const ROUNDS: usize = 41;

/// Events of a round, and those before the first one, which are not measured.
const EVENTS: usize = 500;
const WARM_UP: usize = 2_000;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A browser's request, as a function URL hands it on.
const EVENT: &str = include_str!("../../../../examples/lambda/events/function-url.json");

/// An event, and the status that the storefront answers it with.
struct Scenario {
    name: &'static str,
    path: &'static str,
    country: &'static str,
    agent: Option<&'static str>,
    status: u16,
}

/// What every other function answers.
const GREETING: u16 = 200;

/// None needs a backend.
const SCENARIOS: [Scenario; 4] = [
    Scenario { name: "redirect by country", path: "/go", country: "US", agent: None, status: 302 },
    Scenario { name: "block by country", path: "/", country: "CN", agent: None, status: 403 },
    Scenario {
        name: "block a scraper",
        path: "/api/user",
        country: "DE",
        agent: Some("Scrapy/2.11 (+https://scrapy.org)"),
        status: 403,
    },
    Scenario { name: "not found", path: "/nothing", country: "DE", agent: None, status: 404 },
];

fn main() -> anyhow::Result<()> {
    let folders: Vec<_> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    ensure!(!folders.is_empty(), "the folders of functions are the arguments");
    let functions = folders.into_iter().map(start).collect::<anyhow::Result<Vec<_>>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bench = Bench { runtime, functions };
    let results = SCENARIOS.iter().map(|scenario| bench.measure(scenario));
    anstream::println!("{}", Value::Array(results.collect::<anyhow::Result<_>>()?));
    Ok(())
}

fn start(folder: PathBuf) -> anyhow::Result<Function> {
    Function::start(FunctionConfig {
        program: folder.join("bootstrap"),
        output: Some(File::create(folder.join("output"))?),
        folder,
        environment: Vec::new(),
        queues: Vec::new(),
        delivers: false,
        streams: false,
        environments: 1,
        timeout: TIMEOUT,
        clock: Clock::System,
    })
}

/// Functions that run, the storefront first.
struct Bench {
    runtime: Runtime,
    functions: Vec<Function>,
}

impl Bench {
    fn measure(&self, scenario: &Scenario) -> anyhow::Result<Value> {
        let event = scenario.event()?;
        let statuses = std::iter::once(scenario.status).chain(std::iter::repeat(GREETING));
        for (function, status) in self.functions.iter().zip(statuses) {
            self.answers(function, &event, status).context(scenario.name)?;
            self.median(function, &event, WARM_UP)?;
        }
        let round = |_| self.functions.iter().map(|function| self.median(function, &event, EVENTS)).collect();
        let rounds = (0..ROUNDS).map(round).collect::<anyhow::Result<Vec<Vec<f64>>>>()?;
        Ok(json!({ "name": scenario.name, "rounds": rounds }))
    }

    fn answers(&self, function: &Function, event: &Bytes, status: u16) -> anyhow::Result<()> {
        let result = self.runtime.block_on(function.invoke(event.clone()))?;
        let result: Value = serde_json::from_slice(&result)?;
        ensure!(result["statusCode"] == status, "the answer is not a {status}: {result}");
        Ok(())
    }

    /// The median time of an event, from handing it over to the answer, in microseconds.
    fn median(&self, function: &Function, event: &Bytes, count: usize) -> anyhow::Result<f64> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let began = Instant::now();
            self.runtime.block_on(function.invoke(event.clone()))?;
            times.push(began.elapsed().as_secs_f64() * 1e6);
        }
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    }
}

impl Scenario {
    /// The event of a client whose country CloudFront tells.
    fn event(&self) -> anyhow::Result<Bytes> {
        let mut event: Value = serde_json::from_str(EVENT)?;
        for pointer in ["/rawPath", "/requestContext/http/path"] {
            *event.pointer_mut(pointer).context("the event has a path")? = self.path.into();
        }
        let mut facts = Facts::default();
        facts.country = CountryCode::new(self.country);
        for (name, value) in headers(&facts) {
            event["headers"][name] = value.into();
        }
        if let Some(agent) = self.agent {
            event["headers"]["user-agent"] = agent.into();
        }
        Ok(event.to_string().into())
    }
}
