//! The report: how our caches and others fare, and what ours do not pass.

use std::fmt;

use super::edge::Platform;
use super::known::{self, Known};
use super::suite::{Catalogue, Group, Kind, Log, Results, Suite, Test};
use super::verdict::{Count, Judgement, Outcome};

/// Runs every platform and writes everything down in Markdown.
///
/// # Errors
/// When a platform does not run or a file of what is known is refused.
pub fn of(suite: &Suite) -> anyhow::Result<String> {
    let catalogue = suite.catalogue()?;
    let ours = Platform::ALL.into_iter().map(|platform| {
        let results = suite.run(platform, &[], Log::Off)?;
        Ok(Ours { platform, results, known: known::load(platform)? })
    });
    let ours = ours.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Report { catalogue: &catalogue, ours: &ours }.to_string())
}

/// What the report is made of.
struct Report<'a> {
    catalogue: &'a Catalogue,
    ours: &'a [Ours],
}

/// One of our caches.
struct Ours {
    platform: Platform,
    results: Results,
    known: Known,
}

impl Ours {
    fn name(&self) -> &'static str {
        match self.platform {
            Platform::Emulator => "Selvedge, emulator",
            Platform::Cloudflare => "Selvedge, Worker on workerd",
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_about(f)?;
        self.write_summary(f)?;
        self.write_groups(f)?;
        self.ours.iter().try_for_each(|ours| self.write_failures(f, ours))
    }
}

impl Report<'_> {
    fn write_about(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let package = &self.catalogue.package;
        writeln!(
            f,
            "The tests are those of [`{}`]({}) {} by {}, licence {}, results at <{}>. A *required* test asks for what the \
             specification demands, an *optimal* one for what a good cache does, and a *check* only asks how a cache behaves: \
             its answer is yes or no. As in the suite's own display, a test counts as passed only when every test that it \
             depends on passed too.\n",
            package.name,
            package.repository.trim_end_matches(".git"),
            package.version,
            package.author,
            package.license,
            package.homepage
        )
    }

    fn write_summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("## Caches side by side\n\n")?;
        f.write_str("Ours were run for this report. The others' results are those that the package publishes; of its browsers, which are private caches, there are none here.\n\n")?;
        f.write_str(
            "| Cache | Version | Required | Optimal | Checks: yes | Not run |\n|---|---|---|---|---|---|\n",
        )?;
        for ours in self.ours {
            self.write_cache(f, &format!("**{}**", ours.name()), "this source", &ours.results)?;
        }
        for published in self.catalogue.published.iter().filter(|published| published.place != "browser") {
            self.write_cache(f, &published.name, &published.version, &published.results)?;
        }
        Ok(())
    }

    fn write_cache(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: &str,
        version: &str,
        results: &Results,
    ) -> fmt::Result {
        let judgement = Judgement::new(self.catalogue, results);
        let counts = Judgement::counts(judgement.outcomes());
        let [required, optimal, check] = [Kind::Required, Kind::Optimal, Kind::Check]
            .map(|kind| counts.get(&kind).copied().unwrap_or_default());
        let missing = judgement.outcomes().filter(|(_, outcome)| *outcome == Outcome::NotRun).count();
        writeln!(f, "| {name} | {version} | {required} | {optimal} | {check} | {missing} |")
    }

    fn write_groups(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\n## By group\n\nPassed of required tests, and of optimal ones.\n\n| Group |")?;
        for ours in self.ours {
            write!(f, " {}: required | optimal |", ours.name())?;
        }
        writeln!(f, "\n|---|{}", "---|---|".repeat(self.ours.len()))?;
        for group in &self.catalogue.groups {
            write!(f, "| {} |", group.name)?;
            for ours in self.ours {
                let counts = self.group_counts(group, ours);
                counts.into_iter().try_for_each(|count| write!(f, " {} |", cell(count)))?;
            }
            f.write_str("\n")?;
        }
        Ok(())
    }

    fn group_counts(&self, group: &Group, ours: &Ours) -> [Count; 2] {
        let judgement = Judgement::new(self.catalogue, &ours.results);
        let counts = Judgement::counts(judgement.of_group(group));
        [Kind::Required, Kind::Optimal].map(|kind| counts.get(&kind).copied().unwrap_or_default())
    }

    fn write_failures(&self, f: &mut fmt::Formatter<'_>, ours: &Ours) -> fmt::Result {
        let outcomes = Judgement::new(self.catalogue, &ours.results).outcomes();
        let failures: Vec<_> = outcomes
            .filter(|(test, outcome)| test.kind != Kind::Check && *outcome != Outcome::Pass)
            .collect();
        writeln!(f, "\n## What does not pass: {}\n", ours.name())?;
        if failures.is_empty() {
            return f.write_str("Nothing: every required and every optimal test passes.\n");
        }
        f.write_str("| Test | Kind | Result | Clause | Reason |\n|---|---|---|---|---|\n")?;
        failures.iter().try_for_each(|(test, outcome)| write_failure(f, test, outcome, &ours.known))
    }
}

/// What was seen is left out: it holds times and names of one run.
fn write_failure(f: &mut fmt::Formatter<'_>, test: &Test, outcome: &Outcome, known: &Known) -> fmt::Result {
    let kind = match test.kind {
        Kind::Required => "required",
        Kind::Optimal => "optimal",
        Kind::Check => "check",
    };
    let result = match outcome {
        Outcome::Fail(_) => "fails".to_owned(),
        Outcome::Setup(_) => "setup fails".to_owned(),
        Outcome::Pass | Outcome::Retry | Outcome::Dependency(_) | Outcome::NotRun => outcome.to_string(),
    };
    let (clause, reason) =
        known.get(&test.id).map_or(("not known", "not known"), |failure| (&failure.clause, &failure.reason));
    writeln!(f, "| `{}` | {kind} | {result} | {clause} | {reason} |", test.id)
}

fn cell(count: Count) -> String {
    if count.total == 0 { "-".to_owned() } else { count.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_cache::known::Failure;
    use crate::http_cache::suite::{Package, Published, Raw};

    fn test(id: &str, kind: Kind, depends_on: &[&str]) -> Test {
        let depends_on = depends_on.iter().map(|id| (*id).to_owned()).collect();
        Test { id: id.to_owned(), kind, depends_on, ..Test::default() }
    }

    fn published(name: &str, place: &str, results: Results) -> Published {
        Published { name: name.to_owned(), version: "1".to_owned(), place: place.to_owned(), results }
    }

    #[test]
    fn the_report_counts_caches_and_names_what_fails_with_its_reason() {
        let tests = vec![
            test("a", Kind::Required, &[]),
            test("b", Kind::Optimal, &["a"]),
            test("c", Kind::Check, &[]),
        ];
        let group = Group { id: "g".to_owned(), name: "Group".to_owned(), tests };
        let passed = || ["a", "b", "c"].map(|id| (id.to_owned(), Raw::Passed(true))).into();
        let published = vec![published("Peer", "cdn", passed()), published("Web", "browser", passed())];
        let repository = "https://suite.test/suite.git".to_owned();
        let package = Package { name: "suite".to_owned(), repository, ..Package::default() };
        let catalogue = Catalogue { package, groups: vec![group], published };
        let seen = Raw::Failed("Assertion".to_owned(), Some("at 12:00".to_owned()));
        let results = [("a".to_owned(), seen), ("b".to_owned(), Raw::Passed(true))].into();
        let failure = Failure { clause: "RFC 9111 section 4".to_owned(), reason: "because".to_owned() };
        let known = [("a".to_owned(), failure)].into();
        let ours = [Ours { platform: Platform::Emulator, results, known }];
        let text = Report { catalogue: &catalogue, ours: &ours }.to_string();
        for line in [
            "| **Selvedge, emulator** | this source | 0 of 1 | 0 of 1 | 0 of 1 | 1 |",
            "| Peer | 1 | 1 of 1 | 1 of 1 | 1 of 1 | 0 |",
            "| Group | 0 of 1 | 0 of 1 |",
            "| `a` | required | fails | RFC 9111 section 4 | because |",
            "| `b` | optimal | depends on a, which does not pass | not known | not known |",
        ] {
            assert!(text.contains(&format!("\n{line}\n")), "{line} is not in\n{text}");
        }
        assert!(text.contains("(https://suite.test/suite)"), "the suite is credited\n{text}");
        assert!(!text.contains("Web") && !text.contains("at 12:00"), "{text}");
    }
}
