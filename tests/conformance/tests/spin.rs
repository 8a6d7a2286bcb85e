//! Every case on the component, on a host like Spin.

use std::process::ExitCode;

use selvedge_conformance::spin::Spin;
use selvedge_conformance::trials;

fn main() -> ExitCode {
    trials::run_started(|_| Spin::build())
}
