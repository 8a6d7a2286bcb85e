//! A test of each case.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::case::{Case, load};
use crate::expect::differences;
use crate::{Platform, Session};

/// The folder of this crate's cases.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

/// Runs every case on a platform as tests of a program without harness; a case that the platform skips
/// is shown as ignored.
#[must_use]
pub fn run(platform: impl Platform + 'static) -> ExitCode {
    let arguments = Arguments::from_args();
    let cases = match load(&folder()) {
        Ok(cases) => cases,
        Err(error) => return failed(&error),
    };
    let platform = Arc::new(platform);
    let trials = cases.into_iter().map(|case| {
        let is_skipped = case.skip.iter().any(|skip| skip.platform == platform.name());
        let (name, platform) = (case.name.clone(), Arc::clone(&platform));
        Trial::test(name, move || judge(&*platform, &case)).with_ignored_flag(is_skipped)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Runs one case.
///
/// # Errors
/// Every difference of the first step that has one, with the case's `why`.
pub fn judge(platform: &dyn Platform, case: &Case) -> Result<(), Failed> {
    let mut session = platform.start(case).map_err(|error| format!("{error:#}"))?;
    for (at, step) in case.steps.iter().enumerate() {
        let found = observe(&mut *session, step)?;
        if !found.is_empty() {
            let line = format!("step {} ({} {})", at + 1, step.method, step.target);
            return Err(format!("{line}:\n  {}\nwhy: {}", found.join("\n  "), case.why).into());
        }
    }
    Ok(())
}

fn observe(session: &mut dyn Session, step: &crate::case::Step) -> Result<Vec<String>, Failed> {
    let seen = session.send(step).map_err(|error| format!("{} {}: {error:#}", step.method, step.target))?;
    Ok(differences(&step.expect, &seen))
}

fn failed(error: &anyhow::Error) -> ExitCode {
    anstream::eprintln!("error: {error:#}");
    ExitCode::FAILURE
}
