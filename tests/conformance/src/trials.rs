//! A test of each case.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::case::{Case, load};
use crate::expect::{Joining, differences};
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
    run_started(|_| Ok(platform))
}

/// The same on a platform that is started with all of the cases.
#[must_use]
pub fn run_started<P: Platform + 'static>(start: impl FnOnce(&[Case]) -> anyhow::Result<P>) -> ExitCode {
    let arguments = Arguments::from_args();
    let started = load(&folder()).and_then(|cases| {
        let platform = if arguments.list { None } else { Some(start(&cases)?) };
        Ok((cases, platform.map(Arc::new)))
    });
    let (cases, platform) = match started {
        Ok(started) => started,
        Err(error) => return failed(&error),
    };
    let trials = cases.into_iter().map(|case| {
        let name = case.name.clone();
        let is_skipped = platform
            .as_ref()
            .is_some_and(|platform| case.skip.iter().any(|skip| skip.platform == platform.name()));
        let platform = platform.clone();
        let trial = move || platform.as_ref().map_or(Ok(()), |platform| judge(&**platform, &case));
        Trial::test(name, trial).with_ignored_flag(is_skipped)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    // What a platform started ends with it, and `exit` would not let it.
    drop(platform);
    conclusion.exit_code()
}

/// Runs one case.
///
/// # Errors
/// Every difference of the first step that has one, with the case's `why`.
pub fn judge(platform: &dyn Platform, case: &Case) -> Result<(), Failed> {
    let mut session = platform.start(case).map_err(|error| format!("{error:#}"))?;
    for (at, step) in case.steps.iter().enumerate() {
        let found = observe(platform, &mut *session, step)?;
        if !found.is_empty() {
            let line = format!("step {} ({} {})", at + 1, step.method, step.target);
            return Err(format!("{line}:\n  {}\nwhy: {}", found.join("\n  "), case.why).into());
        }
    }
    Ok(())
}

fn observe(
    platform: &dyn Platform,
    session: &mut dyn Session,
    step: &crate::case::Step,
) -> Result<Vec<String>, Failed> {
    let seen = session.send(step).map_err(|error| format!("{} {}: {error:#}", step.method, step.target))?;
    let joining = if platform.joins_fields() { Joining::Joined } else { Joining::AsSent };
    Ok(differences(&step.expect, &seen, joining))
}

fn failed(error: &anyhow::Error) -> ExitCode {
    anstream::eprintln!("error: {error:#}");
    ExitCode::FAILURE
}
