//! `selvedge deploy`: a build handed to the platform's own tool.

use std::process::ExitCode;

use anyhow::Context as _;

use crate::build::{self, Project};
use crate::cli::{Deploy, Target};
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
    }
}
