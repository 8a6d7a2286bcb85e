//! Compares the core with the oracle on many sequences.

use std::process::ExitCode;

use clap::Parser;
use selvedge_model::check::compare;

/// Compares the core's cache with a model of one.
#[derive(Parser)]
struct Args {
    /// How many sequences of steps to run.
    #[arg(long, default_value_t = 100_000)]
    sequences: u32,
    /// What they are made from; the same seed makes the same ones.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let Args { sequences, seed } = Args::parse();
    match compare(sequences, seed) {
        Ok(requests) => {
            anstream::println!(
                "{sequences} sequences with {requests} requests: the core and the oracle agree"
            );
            ExitCode::SUCCESS
        }
        Err(difference) => {
            anstream::eprintln!("the core and the oracle differ:\n{difference}");
            ExitCode::FAILURE
        }
    }
}
