//! `selvedge check`: every error of a policy at once, and what a platform makes of it.
//!
//! A platform is one file here, with one function from a checked policy to [`Finding`]s; [`Platform::findings`] names it.

mod cloudflare;
mod health;
mod hosts;
mod lambda;
mod lambda_edge;
mod spin;

use std::process::ExitCode;

use anstyle::Style;
use anyhow::{Context as _, bail};
use selvedge_core::policy::Policy;
use selvedge_core::policy::read::{place, read};

use crate::cli::{Check, Plan, RED, Target, Via, YELLOW};
use crate::policy::{self, Remark};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The platform refuses it or does something else.
    Error,
    /// It works, but not as one may expect, or not on every plan.
    Warning,
}

/// What a platform makes of one rule of a policy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// Path of the rule, such as `routes[2].backend`; empty for the policy as a whole.
    pub(crate) path: String,
    /// What is wrong, with the value and the limit.
    pub(crate) message: String,
    /// What to do instead.
    pub(crate) help: String,
}

/// Where a policy will run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Platform {
    pub(crate) target: Target,
    /// Without it, what only the paid plan can do is a warning.
    pub(crate) plan: Option<Plan>,
    /// Without it, what all places that run Spin applications have in common counts.
    pub(crate) via: Option<Via>,
}

/// Checks a file; silent when all is well.
pub(crate) fn run(options: &Check) -> anyhow::Result<ExitCode> {
    let file = options.file.display().to_string();
    let text = std::fs::read_to_string(&options.file).with_context(|| {
        format!("cannot read {file}; name a policy with `selvedge check FILE`, or make one with `selvedge new NAME`")
    })?;
    let platform =
        options.target.map(|target| Platform::new(target, options.plan, options.via)).transpose()?;
    Ok(match accept(&file, &text, platform) {
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::from(1),
    })
}

/// Reads a policy and prints whatever there is to say; `None` when it has errors, of its own or on the platform.
pub(crate) fn accept(file: &str, text: &str, platform: Option<Platform>) -> Option<Policy> {
    match read(text) {
        Ok(policy) => {
            let errors = platform.map_or(0, |platform| tell(file, text, platform, &policy));
            (errors == 0).then_some(policy)
        }
        Err(errors) => {
            anstream::eprint!("{}", policy::render(file, text, &errors));
            anstream::eprintln!("{file}: {}", policy::count(errors.len()));
            None
        }
    }
}

/// Prints what a platform makes of a policy, in the order of the file, and returns the number of errors.
fn tell(file: &str, text: &str, platform: Platform, policy: &Policy) -> usize {
    let findings = platform.findings(policy);
    let mut remarks: Vec<_> = findings.iter().map(|finding| finding.remark(text)).collect();
    remarks.sort_by_key(|remark| remark.place);
    for remark in &remarks {
        anstream::eprint!("{}", remark.render(file, text));
    }
    let number = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let counts = [Severity::Error, Severity::Warning].map(|severity| (number(severity), severity));
    let counted = counts.iter().filter(|(number, _)| *number > 0);
    let counted: Vec<_> = counted.map(|(number, severity)| policy::count_of(*number, *severity)).collect();
    if !counted.is_empty() {
        anstream::eprintln!("{file}: {} on {}", counted.join(" and "), platform.target.name());
    }
    number(Severity::Error)
}

impl Platform {
    /// Refuses what is said of another platform.
    pub(crate) fn new(target: Target, plan: Option<Plan>, via: Option<Via>) -> anyhow::Result<Self> {
        if via.is_some() && target != Target::Spin {
            bail!("--via is for --target spin: {} is one place", target.name());
        }
        Ok(Self { target, plan, via })
    }

    fn findings(self, policy: &Policy) -> Vec<Finding> {
        match self.target {
            Target::Cloudflare => cloudflare::findings(policy, self.plan),
            Target::Lambda => lambda::findings(policy),
            Target::LambdaEdge => lambda_edge::findings(policy),
            Target::Spin => spin::findings(policy, self.via),
        }
    }
}

impl Finding {
    fn error(path: impl Into<String>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(Severity::Error, path, message, help)
    }

    fn warning(path: impl Into<String>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(Severity::Warning, path, message, help)
    }

    fn new(
        severity: Severity,
        path: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { severity, path: path.into(), message: message.into(), help: help.into() }
    }

    fn remark(&self, text: &str) -> Remark<'_> {
        let Self { severity, path, message, help } = self;
        Remark { severity: *severity, path, place: place(text, path), message, help: Some(help) }
    }
}

impl Severity {
    /// The word that messages start with.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }

    /// How that word looks.
    pub(crate) const fn style(self) -> Style {
        match self {
            Self::Error => RED,
            Self::Warning => YELLOW,
        }
    }
}

/// What one rule tells of a policy.
#[cfg(test)]
#[derive(Debug)]
struct Told<'a> {
    severity: Severity,
    path: &'a str,
    /// What stands in the file at the place of the path.
    at: &'a str,
    /// Parts of message and help.
    says: &'a [&'a str],
}

/// Sees to it that this is all that is told of a policy.
#[cfg(test)]
fn assert_told(rule: &str, text: &str, findings: &[Finding], told: &Told<'_>) {
    let [finding] = findings else { panic!("{rule}: one finding and not {findings:#?}") };
    assert_eq!((finding.severity, finding.path.as_str()), (told.severity, told.path), "{rule}");
    let (line, column) = selvedge_core::policy::read::place(text, &finding.path);
    let standing: String = text.lines().nth(line - 1).unwrap_or_default().chars().skip(column - 1).collect();
    assert!(standing.starts_with(told.at), "{rule}: the place is that of {standing:?}");
    let said = format!("{}; {}", finding.message, finding.help);
    for part in told.says {
        assert!(said.contains(part), "{rule}: no {part:?} in {said:?}");
    }
}
