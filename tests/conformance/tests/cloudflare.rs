//! Every case on Cloudflare's own runtime.

use std::process::ExitCode;

use selvedge_conformance::trials;
use selvedge_conformance::workerd::Workerd;

fn main() -> ExitCode {
    trials::run_started(Workerd::start)
}
