//! `selvedge check`: every error of a policy at once.

use std::process::ExitCode;

use anyhow::Context as _;
use selvedge_core::policy::read::read;

use crate::cli::Check;
use crate::policy;

/// Checks a file; silent when all is well.
pub(crate) fn run(options: &Check) -> anyhow::Result<ExitCode> {
    let file = options.file.display().to_string();
    let text = std::fs::read_to_string(&options.file).with_context(|| {
        format!("cannot read {file}; name a policy with `selvedge check FILE`, or make one with `selvedge new NAME`")
    })?;
    let Err(errors) = read(&text) else { return Ok(ExitCode::SUCCESS) };
    anstream::eprint!("{}", policy::render(&file, &text, &errors));
    anstream::eprintln!("{file}: {}", policy::count(errors.iter().count()));
    Ok(ExitCode::from(1))
}
