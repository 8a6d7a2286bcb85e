//! `selvedge deploy`: a build handed to the platform's own tool.

mod lambda;
mod lambda_edge;
mod spin;

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context as _;

use crate::build::{self, Project};
use crate::cli::{Deploy, Target};
use crate::tools;

/// Builds, shows what will be uploaded, and runs the platform's tool in the folder of the build.
pub(crate) fn run(options: &Deploy) -> anyhow::Result<ExitCode> {
    let Some(project) = Project::open(&options.build)? else { return Ok(ExitCode::from(1)) };
    let out = build::make(&options.build, &project)?;
    match options.build.target {
        Target::Cloudflare => cloudflare(options, &out),
        Target::Lambda => lambda::deploy(options, &project, &out),
        Target::LambdaEdge => lambda_edge::deploy(options, &project, &out),
        Target::Spin => spin::deploy(options, &project, &out),
    }
}

fn cloudflare(options: &Deploy, out: &Path) -> anyhow::Result<ExitCode> {
    let mut wrangler = tools::command(&tools::folder()?, "wrangler")?;
    wrangler.arg("deploy").current_dir(out);
    if options.dry_run {
        wrangler.arg("--dry-run");
    }
    hand_over(wrangler.args(&options.arguments), "wrangler")
}

/// An argument as a shell reads it.
fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+%".contains(c);
    match word.chars().all(is_plain) && !word.is_empty() {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Runs a platform's tool to its end.
fn hand_over(command: &mut Command, name: &str) -> anyhow::Result<ExitCode> {
    let status = command.status().with_context(|| format!("cannot run {name}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}
