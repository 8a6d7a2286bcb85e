//! Runs steps one after another and tells how they went.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use anyhow::{Result, bail};

use crate::steps;
use crate::workspace::Workspace;

/// Style of what broke.
pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();
/// Style of what is well.
pub(crate) const GREEN: Style = AnsiColor::Green.on_default().bold();
/// Style of what was left out.
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default();
/// Style of commands and other detail.
pub(crate) const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

/// One thing that must hold; its error says what does not.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    /// What `--only` calls it.
    pub(crate) name: &'static str,
    /// What it does, in a few words.
    pub(crate) about: &'static str,
    /// Does it.
    pub(crate) run: fn(&Workspace) -> Result<Ran>,
}

/// How a step that did not break went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    /// All is well.
    Passed,
    /// What ran is well; what of it could not run here, and what to do about that.
    PassedWithout(String),
    /// There is nothing to do yet, and why.
    Skipped(String),
}

/// Which list of steps is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Everything that CI runs.
    Full,
    /// The inner loop.
    Quick,
}

struct Row {
    name: &'static str,
    took: Duration,
    result: Result<Ran>,
}

/// Returns the steps of a selection, or the steps of either selection that `only` names.
///
/// # Errors
/// When a name is no step's; the message lists the names.
pub(crate) fn select(selection: Selection, only: &[String]) -> Result<Vec<Step>> {
    if only.is_empty() {
        return Ok(steps::of(selection));
    }
    let mut all = steps::of(Selection::Full);
    all.extend(steps::of(Selection::Quick).into_iter().filter(|step| !steps::is_full(step.name)));
    if let Some(unknown) = only.iter().find(|name| all.iter().all(|step| step.name != **name)) {
        let names: Vec<_> = all.iter().map(|step| step.name).collect();
        bail!("there is no step `{unknown}`; the steps are {}", names.join(", "));
    }
    Ok(all.into_iter().filter(|step| only.iter().any(|name| name == step.name)).collect())
}

/// Prints names and purposes.
pub(crate) fn print_steps(steps: &[Step]) {
    for step in steps {
        anstream::println!("{BOLD}{:<14}{BOLD:#} {}", step.name, step.about);
    }
}

/// Runs steps until one breaks, and prints a table of what happened.
///
/// The last line is `N passed, N failed`.
pub(crate) fn run_steps(workspace: &Workspace, steps: &[Step]) -> Result<ExitCode> {
    let mut rows = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let row = run_step(workspace, step, index + 1, steps.len());
        let is_broken = row.result.is_err();
        rows.push(row);
        if is_broken {
            break;
        }
    }
    Ok(summarize(steps, &rows))
}

fn run_step(workspace: &Workspace, step: &Step, number: usize, total: usize) -> Row {
    anstream::println!("\n{BOLD}[{number}/{total}] {}{BOLD:#}: {}", step.name, step.about);
    let start = Instant::now();
    let result = (step.run)(workspace);
    let row = Row { name: step.name, took: start.elapsed(), result };
    print_row(&row);
    row
}

fn print_row(row: &Row) {
    let seconds = row.took.as_secs_f64();
    let (style, word, note) = match &row.result {
        Ok(Ran::Passed) => (GREEN, "passed", String::new()),
        Ok(Ran::PassedWithout(what)) => (GREEN, "passed", format!("  {YELLOW}{what}{YELLOW:#}")),
        Ok(Ran::Skipped(why)) => (YELLOW, "skipped", format!("  {why}")),
        Err(_) => (RED, "failed", String::new()),
    };
    anstream::println!("{style}{word:<8}{style:#} {:<14} {seconds:>7.1} s{note}", row.name);
}

fn summarize(steps: &[Step], rows: &[Row]) -> ExitCode {
    anstream::println!("\n{BOLD}Summary{BOLD:#}");
    rows.iter().for_each(print_row);
    for step in &steps[rows.len()..] {
        anstream::println!("{DIM}not run  {}{DIM:#}", step.name);
    }
    let failed = rows.iter().filter(|row| row.result.is_err()).count();
    let passed =
        rows.iter().filter(|row| matches!(row.result, Ok(Ran::Passed | Ran::PassedWithout(_)))).count();
    rows.iter().for_each(explain_failure);
    anstream::println!("\n{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn explain_failure(row: &Row) {
    if let Err(error) = &row.result {
        anstream::println!("\n{RED}{} failed:{RED:#} {error:#}", row.name);
        anstream::println!("run only this step: cargo xtask test --only {}", row.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_picks_steps_in_the_order_of_the_list() {
        let only = ["unit".to_owned(), "clippy".to_owned(), "fmt".to_owned()];
        let steps = select(Selection::Full, &only).expect("all three are steps");
        let names: Vec<_> = steps.iter().map(|step| step.name).collect();
        assert_eq!(names, ["fmt", "clippy", "unit"], "a step of the inner loop can be named without --quick");
    }

    #[test]
    fn an_unknown_step_is_answered_with_the_names_there_are() {
        let Err(error) = select(Selection::Quick, &["frobnicate".to_owned()]) else {
            panic!("no step has that name");
        };
        let message = error.to_string();
        assert!(message.contains("`frobnicate`") && message.contains("fmt"), "{message}");
    }

    #[test]
    fn names_of_steps_are_unique() {
        for steps in [steps::of(Selection::Full), steps::of(Selection::Quick)] {
            let names: std::collections::BTreeSet<_> = steps.iter().map(|step| step.name).collect();
            assert_eq!(names.len(), steps.len(), "`--only` must name one step");
        }
    }
}
