//! The `selvedge` command: try an edge policy, check it, and see why it decides as it does.

mod build;
mod check;
mod cli;
mod deploy;
mod dev;
mod explain;
mod new;
mod policy;
mod runtime;
mod table;
mod tools;
mod view;
mod visible;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{Cli, Command};

/// A hit takes its head from the allocator and gives it back; this one is quicker at it than that of glibc, and its large pages are
/// what lookups among a million entries need (`.cargo/config.toml`).
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            anstream::eprintln!("{} {error:#}", cli::error_label());
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command.unwrap_or_else(|| Command::Dev(cli::Dev::default())) {
        Command::Dev(options) => dev::run(options),
        Command::Check(options) => check::run(&options),
        Command::Explain(options) => explain::run(&options),
        Command::Build(options) => build::run(&options),
        Command::Deploy(options) => deploy::run(&options),
        Command::New(options) => new::run(&options),
        Command::Schema => {
            anstream::print!("{}", selvedge_core::policy::schema::json_schema_text());
            Ok(ExitCode::SUCCESS)
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "selvedge", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    }
}
