//! One plan, on the core and on the oracle.

use std::fmt;
use std::sync::Arc;

use proptest::strategy::Strategy as _;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use selvedge_core::engine::Engine;

use crate::edge::{Edge, Seen, engine};
use crate::oracle::Oracle;
use crate::origin::Asked;
use crate::plan::{Plan, Step, plans};

/// Most steps of a plan.
const MOST_STEPS: usize = 40;

/// The engines that plans run on.
#[derive(Debug)]
pub struct Engines {
    collapsing: Arc<Engine>,
    plain: Arc<Engine>,
}

/// What the core and the oracle say differently, at which step.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    /// The step, from 0.
    pub step: usize,
    /// What the core made of it.
    pub core: Observed,
    /// What the oracle made of it.
    pub oracle: Observed,
}

/// What comes of a step.
#[derive(Debug, PartialEq, Eq)]
pub struct Observed {
    /// What the client sees.
    pub seen: Seen,
    /// What the origin is asked.
    pub asked: Vec<Asked>,
    /// The time when all is done.
    pub now: u64,
}

impl Engines {
    /// Compiles the policy.
    #[must_use]
    pub fn new() -> Self {
        Self { collapsing: engine(true), plain: engine(false) }
    }

    /// Runs a plan and returns how many requests it made.
    ///
    /// # Errors
    /// The first [`Difference`].
    pub fn run(&self, plan: &Plan) -> Result<u64, Box<Difference>> {
        let engine = if plan.collapses { &self.collapsing } else { &self.plain };
        let mut edge = Edge::new(Arc::clone(engine), plan.has_handles);
        let mut oracle = Oracle::new();
        let mut requests = 0;
        for (at, step) in plan.steps.iter().enumerate() {
            // No two steps happen at the same time.
            edge.now += 1;
            oracle.now += 1;
            if let Step::Ask(..) = step {
                requests += 1;
            }
            if let Some((core, oracle)) =
                perform(step, &mut edge, &mut oracle).filter(|(core, oracle)| core != oracle)
            {
                return Err(Box::new(Difference { step: at, core, oracle }));
            }
        }
        Ok(requests)
    }
}

impl Default for Engines {
    fn default() -> Self {
        Self::new()
    }
}

fn perform(step: &Step, edge: &mut Edge, oracle: &mut Oracle) -> Option<(Observed, Observed)> {
    match step {
        Step::Ask(ask, during) => {
            edge.during.clone_from(during);
            oracle.during.clone_from(during);
            let (core, expected) = (edge.answer(ask), oracle.answer(ask));
            (edge.during, oracle.during) = (None, None);
            let core = Observed { seen: core, asked: std::mem::take(&mut edge.asked), now: edge.now };
            let asked = std::mem::take(&mut oracle.asked);
            return Some((core, Observed { seen: expected, asked, now: oracle.now }));
        }
        Step::Wait(millis) => {
            edge.now += millis;
            oracle.now += millis;
        }
        Step::Spec(page, spec) => {
            edge.origin.specs.insert(*page, (**spec).clone());
            oracle.origin.specs.insert(*page, (**spec).clone());
        }
        Step::Change(page) => {
            *edge.origin.versions.entry(*page).or_default() += 1;
            *oracle.origin.versions.entry(*page).or_default() += 1;
        }
        Step::Outage(outage) => {
            edge.origin.outage = *outage;
            oracle.origin.outage = *outage;
        }
        Step::Purge(order) => {
            edge.purge(order);
            oracle.purge(order);
        }
    }
    None
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "step {}:\n  core:   {:?}\n  oracle: {:?}", self.step, self.core.seen, self.oracle.seen)?;
        write!(f, "  core asks:   {:?}\n  oracle asks: {:?}", self.core.asked, self.oracle.asked)
    }
}

/// Compares the core with the oracle on so many plans and returns how many requests there were.
///
/// # Errors
/// The shortest plan that was found to differ, and how.
pub fn compare(sequences: u32, seed: u64) -> Result<u64, String> {
    let engines = Engines::new();
    let config =
        Config { cases: sequences, failure_persistence: None, max_shrink_iters: 5000, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let requests = std::cell::Cell::new(0);
    let outcome = runner.run(&plans(MOST_STEPS).boxed(), |plan| {
        let made = engines.run(&plan).map_err(|difference| TestCaseError::fail(difference.to_string()))?;
        requests.set(requests.get() + made);
        Ok(())
    });
    match outcome {
        Ok(()) => Ok(requests.get()),
        Err(TestError::Fail(reason, plan)) => Err(format!("{}\n{}", told(&plan), reason.message())),
        Err(TestError::Abort(reason)) => Err(reason.message().to_owned()),
    }
}

/// A plan, a line for each step.
#[must_use]
pub fn told(plan: &Plan) -> String {
    let steps = plan.steps.iter().enumerate().map(|(at, step)| format!("{at}: {step:?}\n"));
    let head = format!("collapses: {}, body handles: {}\n", plan.collapses, plan.has_handles);
    std::iter::once(head).chain(steps).collect()
}
