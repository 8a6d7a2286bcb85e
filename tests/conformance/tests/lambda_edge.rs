//! Every case on Lambda@Edge: functions on Node.js behind the emulator's CloudFront.

use std::process::ExitCode;

use selvedge_conformance::lambda_edge::LambdaEdge;
use selvedge_conformance::trials;

fn main() -> ExitCode {
    trials::run_started(LambdaEdge::start)
}
