//! What came of tests, read as the suite's own display reads it.

use std::collections::BTreeMap;
use std::fmt;

use super::suite::{Catalogue, Group, Kind, Raw, Results, Test};

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What it asks for holds; of a test that only asks, the answer is yes.
    Pass,
    /// It does not hold, and what was seen; of a test that only asks, the answer is no.
    Fail(String),
    /// The test itself could not be carried out, and why.
    Setup(String),
    /// The cache sent a request twice, so the result says nothing.
    Retry,
    /// A test that it depends on did not pass.
    Dependency(String),
    /// It did not run.
    NotRun,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            Self::Fail(message) => write!(f, "fail: {message}"),
            Self::Setup(message) => write!(f, "setup failed: {message}"),
            Self::Retry => f.write_str("a request was sent twice"),
            Self::Dependency(id) => write!(f, "depends on {id}, which does not pass"),
            Self::NotRun => f.write_str("not run"),
        }
    }
}

/// How many tests of one kind passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Passed.
    pub passed: usize,
    /// Of so many.
    pub total: usize,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.passed, self.total)
    }
}

/// The suite's tests with one cache's results.
#[derive(Clone, Copy, Debug)]
pub struct Judgement<'a> {
    catalogue: &'a Catalogue,
    results: &'a Results,
}

impl<'a> Judgement<'a> {
    /// Takes results of the tests.
    #[must_use]
    pub fn new(catalogue: &'a Catalogue, results: &'a Results) -> Self {
        Self { catalogue, results }
    }

    /// Every test for a shared cache in order, with what came of it.
    pub fn outcomes(self) -> impl Iterator<Item = (&'a Test, Outcome)> {
        self.catalogue.groups.iter().flat_map(move |group| self.of_group(group))
    }

    /// The same of one group.
    pub fn of_group(self, group: &'a Group) -> impl Iterator<Item = (&'a Test, Outcome)> {
        group.tests.iter().filter(|test| !test.browser_only).map(move |test| (test, self.outcome(test)))
    }

    /// How many tests passed, by kind.
    #[must_use]
    pub fn counts(outcomes: impl Iterator<Item = (&'a Test, Outcome)>) -> BTreeMap<Kind, Count> {
        let mut counts = BTreeMap::<Kind, Count>::new();
        for (test, outcome) in outcomes {
            let count = counts.entry(test.kind).or_default();
            count.total += 1;
            count.passed += usize::from(outcome == Outcome::Pass);
        }
        counts
    }

    /// A test without a result did not run, whatever it depends on; one that depends on another
    /// says nothing unless that one passed; and what breaks the setup is no failure of the cache.
    fn outcome(self, test: &Test) -> Outcome {
        let Some(raw) = self.results.get(&test.id) else { return Outcome::NotRun };
        let broken = test.depends_on.iter().find(|id| !self.passes(id));
        match (broken, raw) {
            (Some(id), _) => Outcome::Dependency(id.clone()),
            (None, Raw::Passed(true)) => Outcome::Pass,
            (None, Raw::Passed(false)) => Outcome::Fail(String::new()),
            (None, Raw::Failed(kind, message)) => failure(kind, message.as_deref().unwrap_or_default()),
        }
    }

    fn passes(self, id: &str) -> bool {
        let test = self.catalogue.groups.iter().flat_map(|group| &group.tests).find(|test| test.id == id);
        test.is_some_and(|test| self.outcome(test) == Outcome::Pass)
    }
}

fn failure(kind: &str, message: &str) -> Outcome {
    match (kind, message) {
        ("Setup", "retry") => Outcome::Retry,
        ("Setup", message) => Outcome::Setup(message.to_owned()),
        ("Assertion", message) => Outcome::Fail(message.to_owned()),
        (kind, message) => Outcome::Fail(format!("{kind}: {message}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(tests: &[(&str, Kind, &[&str])]) -> Catalogue {
        let tests = tests.iter().map(|(id, kind, depends_on)| Test {
            id: (*id).to_owned(),
            kind: *kind,
            depends_on: depends_on.iter().map(|id| (*id).to_owned()).collect(),
            ..Test::default()
        });
        let browsers = Test { browser_only: true, ..Test::default() };
        let tests = tests.chain([browsers]).collect();
        let group = Group { id: String::new(), name: String::new(), tests };
        Catalogue { groups: vec![group], ..Catalogue::default() }
    }

    fn failed(kind: &str, message: &str) -> Raw {
        Raw::Failed(kind.to_owned(), Some(message.to_owned()))
    }

    #[test]
    fn a_result_is_read_with_what_it_depends_on() {
        let catalogue = catalogue(&[
            ("a", Kind::Check, &[]),
            ("b", Kind::Required, &["a"]),
            ("c", Kind::Optimal, &["b"]),
        ]);
        let dependency = |id: &str| Outcome::Dependency(id.to_owned());
        for (a, b, c, expected) in [
            (
                Raw::Passed(true),
                Raw::Passed(true),
                Raw::Passed(true),
                [Outcome::Pass, Outcome::Pass, Outcome::Pass],
            ),
            (
                failed("Assertion", "no"),
                Raw::Passed(true),
                Raw::Passed(true),
                [Outcome::Fail("no".to_owned()), dependency("a"), dependency("b")],
            ),
            (
                Raw::Passed(true),
                failed("Setup", "retry"),
                failed("Setup", "no body"),
                [Outcome::Pass, Outcome::Retry, dependency("b")],
            ),
            (
                Raw::Passed(true),
                Raw::Passed(true),
                failed("Setup", "no body"),
                [Outcome::Pass, Outcome::Pass, Outcome::Setup("no body".to_owned())],
            ),
            (
                Raw::Passed(true),
                failed("FetchError", "reset"),
                Raw::Passed(true),
                [Outcome::Pass, Outcome::Fail("FetchError: reset".to_owned()), dependency("b")],
            ),
        ] {
            let results = [("a", a), ("b", b), ("c", c)].map(|(id, raw)| (id.to_owned(), raw)).into();
            let outcomes: Vec<_> = Judgement::new(&catalogue, &results).outcomes().map(|(_, o)| o).collect();
            assert_eq!(outcomes, expected);
        }
    }

    #[test]
    fn what_did_not_run_counts_and_what_is_for_browsers_does_not() {
        let catalogue = catalogue(&[("a", Kind::Required, &[]), ("b", Kind::Required, &["a"])]);
        let results = [("b".to_owned(), Raw::Passed(true))].into();
        let judgement = Judgement::new(&catalogue, &results);
        let outcomes: Vec<_> = judgement.outcomes().map(|(_, outcome)| outcome).collect();
        assert_eq!(outcomes, [Outcome::NotRun, Outcome::Dependency("a".to_owned())]);
        let expected = Count { passed: 0, total: 2 };
        assert_eq!(Judgement::counts(judgement.outcomes()), [(Kind::Required, expected)].into());
    }
}
