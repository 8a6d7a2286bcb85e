//! Tests that are known not to pass, as data: `http-cache/known/PLATFORM.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::edge::Platform;
use super::suite::{Kind, Test};
use super::verdict::Outcome;

/// A test that is known not to pass.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The section of the specification that the test is about, such as `RFC 9111 section 4.2.2`.
    pub clause: String,
    /// Why it does not pass.
    pub reason: String,
}

/// What is known, by the test's id.
pub type Known = BTreeMap<String, Failure>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default, rename = "failure")]
    failures: Vec<RawFailure>,
}

#[derive(Deserialize)]
struct RawFailure {
    id: String,
    #[serde(flatten)]
    failure: Failure,
}

/// Reads what is known of a platform.
///
/// # Errors
/// When the file is not there, is not of this form, or names a test twice.
pub fn load(platform: Platform) -> anyhow::Result<Known> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("http-cache/known");
    let path = folder.join(format!("{platform}.toml"));
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("{} is refused", path.display()))
}

fn parse(text: &str) -> anyhow::Result<Known> {
    let file: RawFile = toml::from_str(text)?;
    let mut known = Known::new();
    for RawFailure { id, failure } in file.failures {
        let earlier = known.insert(id.clone(), failure);
        ensure!(earlier.is_none(), "{id} is there twice");
    }
    Ok(known)
}

/// Compares what came of tests with what is known; each line is a difference. Tests that only ask are not compared.
#[must_use]
pub fn differences<'a>(outcomes: impl Iterator<Item = (&'a Test, Outcome)>, known: &Known) -> Vec<String> {
    let mut missing = known.clone();
    let mut found = Vec::new();
    for (test, outcome) in outcomes.filter(|(test, _)| test.kind != Kind::Check) {
        let is_known = missing.remove(&test.id).is_some();
        match (outcome, is_known) {
            (Outcome::Pass, true) => found.push(format!("{}: passes and is known to fail", test.id)),
            (Outcome::Pass, false) => {}
            (_, true) => {}
            (outcome, false) => found.push(format!("{}: {outcome}", test.id)),
        }
    }
    found.extend(missing.into_keys().map(|id| format!("{id}: no test that is judged has this id")));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(id: &str, kind: Kind) -> Test {
        Test { id: id.to_owned(), kind, ..Test::default() }
    }

    #[test]
    fn what_is_known_is_what_fails_and_nothing_else() {
        let (required, optimal) = (test("required", Kind::Required), test("optimal", Kind::Optimal));
        let check = test("check", Kind::Check);
        let known = |ids: &[&str]| -> Known {
            let failure = Failure { clause: String::new(), reason: String::new() };
            ids.iter().map(|id| ((*id).to_owned(), failure.clone())).collect()
        };
        let no = || Outcome::Fail("no".to_owned());
        for (outcomes, ids, expected) in [
            ([Outcome::Pass, Outcome::Pass, no()], &[][..], &[][..]),
            ([no(), Outcome::Retry, Outcome::Pass], &["required", "optimal"], &[]),
            ([no(), Outcome::Pass, Outcome::Pass], &[], &["required: fail: no"]),
            ([Outcome::Pass, Outcome::Pass, no()], &["optimal"], &["optimal: passes and is known to fail"]),
            (
                [Outcome::Pass, Outcome::Pass, no()],
                &["check"],
                &["check: no test that is judged has this id"],
            ),
            ([Outcome::Pass, Outcome::NotRun, no()], &[], &["optimal: not run"]),
        ] {
            let outcomes = [&required, &optimal, &check].into_iter().zip(outcomes);
            assert_eq!(differences(outcomes, &known(ids)), expected);
        }
    }

    #[test]
    fn a_test_is_known_once() {
        let entry = "[[failure]]\nid = \"a\"\nclause = \"RFC 9111 section 4\"\nreason = \"why\"\n";
        let failure = Failure { clause: "RFC 9111 section 4".to_owned(), reason: "why".to_owned() };
        assert_eq!(parse(entry).unwrap(), Known::from([("a".to_owned(), failure)]));
        assert!(parse(&entry.repeat(2)).unwrap_err().to_string().contains("a is there twice"));
        assert!(parse("").unwrap().is_empty());
    }
}
