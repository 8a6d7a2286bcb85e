//! The function that is deployed, with the conformance handlers and the time of a case.

use std::process::ExitCode;

use selvedge_core::time::Timestamp;
use selvedge_lambda::Lambda;

fn main() -> ExitCode {
    Lambda::new(selvedge_conformance_handlers::handlers).clock(time_of_case).run()
}

/// The time that the test wrote into the file that the environment names.
fn time_of_case() -> Timestamp {
    let path = std::env::var(selvedge_conformance::lambda::CLOCK).unwrap_or_default();
    let text = std::fs::read_to_string(path).unwrap_or_default();
    Timestamp::from_millis(text.parse().unwrap_or_default())
}
