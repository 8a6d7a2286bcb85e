//! Writes the crawler list in the form in which it is compiled in; `cargo xtask crawlers` runs it.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else { return ExitCode::from(2) };
    match std::fs::write(path, selvedge_core::bot::crawler_table()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
