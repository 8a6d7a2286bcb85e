//! AWS Lambda, by `cargo lambda deploy`.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitCode};

use super::hand_over;
use crate::build::Project;
use crate::build::lambda::{BOOTSTRAP, POLICY, function_name, manifest, timeout};
use crate::cli::{DIM, Deploy};

/// Deploys, in a dry run up to the upload.
pub(super) fn deploy(options: &Deploy, project: &Project, out: &Path) -> anyhow::Result<ExitCode> {
    let mut command = Command::new("cargo");
    command.args(["lambda", "deploy", "--manifest-path"]).arg(manifest(project)?);
    command.args(["--binary-path", BOOTSTRAP, "--include", POLICY, "--timeout"]);
    command.arg(timeout(&project.policy).as_secs().to_string());
    if options.dry_run {
        command.arg("--dry");
    }
    command.args(&options.arguments).arg(function_name(&project.policy)).current_dir(out);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    anstream::println!("{DIM}$ cd {} && {}{DIM:#}", out.display(), words.join(" "));
    hand_over(&mut command, "cargo lambda")
}
