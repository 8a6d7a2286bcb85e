//! `selvedge deploy`: a build handed to the platform's own tool.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context as _;

use crate::build::{self, Project, lambda};
use crate::cli::{DIM, Deploy, Target};
use crate::tools;

/// Builds, shows what will be uploaded, and runs the platform's tool in the folder of the build.
pub(crate) fn run(options: &Deploy) -> anyhow::Result<ExitCode> {
    let Some(project) = Project::open(&options.build)? else { return Ok(ExitCode::from(1)) };
    let out = build::make(&options.build, &project)?;
    match options.build.target {
        Target::Cloudflare => {
            let mut wrangler = tools::command(&tools::folder()?, "wrangler")?;
            wrangler.arg("deploy").current_dir(&out);
            if options.dry_run {
                wrangler.arg("--dry-run");
            }
            let status = wrangler.args(&options.arguments).status().context("cannot run wrangler")?;
            Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::from(2) })
        }
        Target::Lambda => lambda(options, &project, &out),
    }
}

/// Runs `cargo lambda deploy`, in a dry run up to the upload.
fn lambda(options: &Deploy, project: &Project, out: &Path) -> anyhow::Result<ExitCode> {
    let mut command = Command::new("cargo");
    command.args(["lambda", "deploy", "--manifest-path"]).arg(lambda::manifest(project)?);
    command.args(["--binary-path", lambda::BOOTSTRAP, "--include", lambda::POLICY, "--timeout"]);
    command.arg(lambda::timeout(&project.policy).as_secs().to_string());
    if options.dry_run {
        command.arg("--dry");
    }
    command.args(&options.arguments).arg(lambda::function_name(&project.policy)).current_dir(out);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(std::ffi::OsStr::to_string_lossy).collect();
    anstream::println!("{DIM}cd {} && {}{DIM:#}", out.display(), words.join(" "));
    let status = command.status().context("cannot run cargo lambda")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}
