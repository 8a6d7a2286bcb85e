//! Every case on the core by itself.

use std::process::ExitCode;

use selvedge_conformance::core::Core;
use selvedge_conformance::trials;

fn main() -> ExitCode {
    trials::run(Core)
}
