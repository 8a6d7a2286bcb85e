//! Every case on the native binary, behind a function URL that streams.

use std::process::ExitCode;

use selvedge_conformance::lambda::Lambda;
use selvedge_conformance::trials;

fn main() -> ExitCode {
    trials::run(Lambda::new(env!("CARGO_BIN_EXE_conformance-lambda").into(), true))
}
