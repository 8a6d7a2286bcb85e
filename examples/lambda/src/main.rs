//! The storefront on AWS Lambda: its policy names no handlers, so that there are none to add.

use std::process::ExitCode;

fn main() -> ExitCode {
    selvedge_lambda::run(|builder| builder)
}
