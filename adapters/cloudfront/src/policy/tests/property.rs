//! Whatever the policy, the viewer and the backend say, CloudFront takes the results.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::random::{Visit, visit};
use super::*;
use crate::rules::check;

/// As many policies run; those that are refused count beside them.
const POLICIES: u32 = 1_000;

#[test]
fn results_of_any_policy_break_no_rule() {
    let config = Config {
        max_global_rejects: 100 * POLICIES,
        failure_persistence: None,
        ..Config::with_cases(POLICIES)
    };
    TestRunner::new(config).run(&visit(), |visit| go(&visit)).unwrap_or_else(|error| panic!("{error}"));
}

fn go(visit: &Visit) -> Result<(), TestCaseError> {
    let Ok(policy) = read(&visit.policy()) else { return Err(TestCaseError::reject("no policy")) };
    let Ok(engine) = handlers(Engine::builder(policy)).compile() else {
        return Err(TestCaseError::reject("no engine"));
    };
    let places = visit.has_places.then(|| Arc::new(|_| Facts::default()) as Places);
    let edge = Arc::new(Edge::new(Arc::new(engine), Settings { key: KEY, https_only: true, places }));
    let outcome = step(&edge, cf(Trigger::ViewerRequest, visit.request.clone(), None), visit)?;
    let Outcome::Request(entered) = outcome else { return Ok(()) };
    let mut request = entered.clone();
    for (name, value) in &visit.told {
        request.headers.insert(*name, value);
    }
    request.headers.append("Via", "2.0 abc.cloudfront.net (CloudFront)");
    request.origin = Some(if visit.has_failed { secondary() } else { primary() });
    let response = match step(&edge, cf(Trigger::OriginRequest, *request, None), visit)? {
        Outcome::Request(sent) => {
            let response = Some(visit.response.clone());
            match step(&edge, cf(Trigger::OriginResponse, *sent, response), visit)? {
                Outcome::Response(response) => response,
                Outcome::Request(_) => unreachable!("the rules ask for a response"),
            }
        }
        Outcome::Response(response) => response,
    };
    if response.status.as_str() < "400" {
        // CloudFront shows the last trigger no body.
        let response = Response { body: None, body_encoding: None, ..response };
        step(&edge, cf(Trigger::ViewerResponse, *entered, Some(response)), visit)?;
    }
    Ok(())
}

/// Runs one trigger and checks what it returns.
fn step(edge: &Arc<Edge>, cf: Cf, visit: &Visit) -> Result<Outcome, TestCaseError> {
    let trigger = cf.config.event_type.expect("every event here has its trigger");
    let mut host = Host { response: Some(visit.response.clone()), body: Ok(b"short"), asked: Vec::new() };
    let finished = run(edge, cf.clone(), &mut host);
    let found = check(&cf, trigger, &finished.outcome);
    prop_assert!(found.is_empty(), "{trigger}: {found:?} after {:?}", finished.violations);
    Ok(finished.outcome)
}
