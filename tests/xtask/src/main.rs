//! The tasks of this repository: `cargo xtask help` lists them.

mod bench;
mod command;
mod crawlers;
mod geoip;
mod runner;
mod steps;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::command::Cmd;
use crate::runner::{Selection, print_steps, run_steps};
use crate::workspace::Workspace;

/// Installs, tests, measures and refreshes this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

const EXAMPLES: &str = "Examples:
  cargo xtask test                 everything that CI runs
  cargo xtask test --quick         the inner loop, under a minute
  cargo xtask test --only clippy   one step; --list names them all";

#[derive(Subcommand)]
enum Task {
    /// Installs what tests need, then runs every step and stops at the first that breaks.
    Test(TestArgs),
    /// Installs what tests need and runs nothing.
    Install,
    /// Runs the benchmarks and writes tests/bench/REPORT.md; with arguments, only those that they name.
    Bench(BenchArgs),
    /// Runs the public HTTP cache tests on our caches and writes tests/bench/CACHE.md.
    CacheReport,
    /// Compares the core's cache with the model of one in tests/model, on many sequences; ARGS: `--sequences N --seed N`.
    Model(ModelArgs),
    /// Writes core/edge.schema.json from the policy's types.
    Schema,
    /// Writes core/data/crawlers.bin from the lists beside it.
    Crawlers,
    /// Refreshes the list of crawlers that bots are classified by.
    UpdateCrawlers,
    /// Refreshes the country database that the storefront ships.
    UpdateGeoip,
}

#[derive(Args)]
struct TestArgs {
    /// Runs the inner loop only: format, lints of libraries and binaries, unit tests of core and emulator.
    #[arg(long)]
    quick: bool,
    /// Runs only this step; may be given several times.
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Names the steps and runs none.
    #[arg(long)]
    list: bool,
}

#[derive(Args)]
struct BenchArgs {
    /// Passed on to `cargo bench`, for example a filter.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

#[derive(Args)]
struct ModelArgs {
    /// Passed on.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

fn main() -> ExitCode {
    match perform(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            anstream::eprintln!("{}error:{} {error:#}", runner::RED, runner::RED.render_reset());
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match task {
        Task::Test(args) => return test(&workspace, &args),
        Task::Install => return run_steps(&workspace, &steps::install()),
        Task::Bench(args) => bench::run(&workspace, &args.args)?,
        Task::CacheReport => bench::cache::write_report(&workspace)?,
        Task::Model(args) => {
            let model = ["run", "--release", "--package", "selvedge-model", "--"];
            Cmd::cargo(&workspace, model).args(args.args).run()?;
        }
        Task::Schema => steps::generated::write_schema(&workspace)?,
        Task::Crawlers => crawlers::write_table(&workspace)?,
        Task::UpdateCrawlers => crawlers::update(&workspace)?,
        Task::UpdateGeoip => geoip::update(&workspace.root)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn test(workspace: &Workspace, args: &TestArgs) -> Result<ExitCode> {
    let selection = if args.quick { Selection::Quick } else { Selection::Full };
    let steps = runner::select(selection, &args.only)?;
    if args.list {
        print_steps(&steps);
        return Ok(ExitCode::SUCCESS);
    }
    run_steps(workspace, &steps)
}
