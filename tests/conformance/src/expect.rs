//! Compares what came of a step with what must come of it.

use crate::case::{Expect, ExpectFetch, ExpectFetchTable, OneOrMany};
use crate::{Fetched, Fields, Observed, values};

/// Every way in which an observation is not the expected one, in words; empty when it is.
#[must_use]
pub fn differences(expect: &Expect, seen: &Observed, joining: Joining) -> Vec<String> {
    let mut report = Report { joining, found: Vec::new() };
    report.same("status", &expect.status, &seen.status);
    report.cache_status(expect, seen);
    let body = String::from_utf8_lossy(&seen.body);
    if let Some(expected) = &expect.body {
        report.same("body", expected, &body.clone().into_owned());
    }
    if let Some(part) = expect.body_contains.as_deref().filter(|part| !body.contains(part)) {
        report.found.push(format!("body: no {part:?} in {body:?}"));
    }
    report.fields("header", &expect.headers, &expect.absent, &seen.headers);
    for (name, part) in &expect.headers_contain {
        let all = texts(&seen.headers, name);
        if !all.iter().any(|value| value.contains(part)) {
            report.found.push(format!("header {name}: no {part:?} in {all:?}"));
        }
    }
    if let Some(fetches) = &expect.fetches {
        report.fetches(fetches, &seen.fetches);
    }
    report.found
}

/// Whether repeated fields count as the one that they may be joined into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// They are compared one by one.
    AsSent,
    /// They are compared once joined by commas, with whatever space around these, but for `Set-Cookie`.
    Joined,
}

struct Report {
    joining: Joining,
    found: Vec<String>,
}

impl Report {
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, expected: &T, seen: &T) {
        if expected != seen {
            self.found.push(format!("{what}: expected {expected:?}, saw {seen:?}"));
        }
    }

    fn cache_status(&mut self, expect: &Expect, seen: &Observed) {
        let own = own_cache_status(&seen.headers);
        if let Some(reason) = &expect.reason {
            self.same("reason", &Some(reason.as_str()), &own.detail.as_deref());
        }
        if let Some(cache) = &expect.cache {
            self.same("cache", cache, &own.handling);
        }
        if let Some(stored) = expect.stored {
            self.same("stored", &stored, &own.is_stored);
        }
    }

    fn fields(
        &mut self,
        what: &str,
        expected: &std::collections::BTreeMap<String, OneOrMany>,
        absent: &[String],
        seen: &Fields,
    ) {
        for (name, wanted) in expected {
            let (wanted, seen) = (wanted.as_slice().to_vec(), texts(seen, name));
            if self.joining == Joining::Joined && name != "set-cookie" {
                self.same(&format!("{what} {name}"), &joined(&wanted), &joined(&seen));
            } else {
                self.same(&format!("{what} {name}"), &wanted, &seen);
            }
        }
        for name in absent {
            let all = texts(seen, name);
            if !all.is_empty() {
                self.found.push(format!("{what} {name}: must not be there, saw {all:?}"));
            }
        }
    }

    fn fetches(&mut self, expected: &[ExpectFetch], seen: &[Fetched]) {
        let details: Vec<ExpectFetchTable> = expected.iter().map(detail).collect();
        let wanted: Vec<&str> = details.iter().map(|fetch| fetch.line.as_str()).collect();
        let lines: Vec<String> = seen.iter().map(line).collect();
        if wanted != lines {
            self.found.push(format!("fetches: expected {wanted:?}, saw {lines:?}"));
            return;
        }
        for (wanted, fetch) in details.iter().zip(seen) {
            let what = format!("fetch `{}` header", wanted.line);
            self.fields(&what, &wanted.headers, &wanted.absent, &fetch.headers);
            if let Some(body) = &wanted.body {
                let seen = String::from_utf8_lossy(&fetch.body).into_owned();
                self.same(&format!("fetch `{}` body", wanted.line), body, &seen);
            }
        }
    }
}

fn detail(fetch: &ExpectFetch) -> ExpectFetchTable {
    match fetch {
        ExpectFetch::Line(line) => ExpectFetchTable { line: line.clone(), ..ExpectFetchTable::default() },
        ExpectFetch::Table(table) => table.clone(),
    }
}

fn line(fetch: &Fetched) -> String {
    format!("{} {} {}", fetch.to, fetch.method, fetch.target)
}

fn texts(fields: &Fields, name: &str) -> Vec<String> {
    values(fields, name).into_iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

/// This edge's member of `Cache-Status` ([RFC 9211](https://www.rfc-editor.org/rfc/rfc9211)).
#[derive(Debug, Default, PartialEq, Eq)]
struct OwnCacheStatus {
    handling: String,
    detail: Option<String>,
    is_stored: bool,
}

/// The last member: the cache nearest to the client adds itself at the end.
fn own_cache_status(headers: &Fields) -> OwnCacheStatus {
    let all = texts(headers, "cache-status").join(", ");
    let member = all.rsplit(", ").next().unwrap_or_default();
    let mut parameters = member.split(';');
    if parameters.next() != Some("Selvedge") {
        return OwnCacheStatus::default();
    }
    let mut own = OwnCacheStatus { handling: "local".to_owned(), ..OwnCacheStatus::default() };
    for parameter in parameters {
        match parameter.split_once('=').unwrap_or((parameter, "")) {
            ("hit", "") => own.handling = "hit".to_owned(),
            ("fwd", why) => own.handling = why.to_owned(),
            ("detail", detail) => own.detail = Some(detail.trim_matches('"').to_owned()),
            ("stored", "") => own.is_stored = true,
            (_, _) => {}
        }
    }
    own
}

/// The values as one list, [RFC 9110 section 5.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1).
fn joined(values: &[String]) -> String {
    let elements: Vec<_> = values.iter().flat_map(|value| value.split(',')).map(str::trim).collect();
    elements.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expect(text: &str) -> Expect {
        toml::from_str(text).unwrap()
    }

    fn observed() -> Observed {
        let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let headers = vec![
            field("x-a", "1"),
            field("x-a", "2"),
            field("cache-status", "Other;hit"),
            field("cache-status", "Selvedge;fwd=uri-miss;fwd-status=200;stored;detail=backend.responded"),
        ];
        let fetch = Fetched {
            to: "us".to_owned(),
            method: "GET".to_owned(),
            target: "/x".to_owned(),
            headers: vec![field("accept", "*/*")],
            body: b"in".to_vec(),
        };
        Observed { status: 200, headers, body: b"out".to_vec(), fetches: vec![fetch] }
    }

    #[test]
    fn what_is_as_expected_makes_no_difference() {
        let text = r#"
            status = 200
            reason = "backend.responded"
            cache = "uri-miss"
            stored = true
            body = "out"
            body-contains = "u"
            headers = { x-a = ["1", "2"] }
            headers-contain = { cache-status = "fwd-status" }
            absent = ["set-cookie"]
            fetches = [{ line = "us GET /x", headers = { accept = "*/*" }, absent = ["cookie"], body = "in" }]
        "#;
        assert_eq!(differences(&expect(text), &observed(), Joining::AsSent), Vec::<String>::new());
    }

    #[test]
    fn each_expectation_by_itself_can_fail() {
        let rows = [
            ("status = 404", "status"),
            ("status = 200\nreason = \"cache.hit\"", "reason"),
            ("status = 200\ncache = \"hit\"", "cache"),
            ("status = 200\nstored = false", "stored"),
            ("status = 200\nbody = \"ou\"", "body"),
            ("status = 200\nbody-contains = \"z\"", "body"),
            ("status = 200\nheaders = { x-a = \"1\" }", "header x-a"),
            ("status = 200\nheaders-contain = { x-a = \"3\" }", "header x-a"),
            ("status = 200\nabsent = [\"x-a\"]", "header x-a"),
            ("status = 200\nfetches = []", "fetches"),
            ("status = 200\nfetches = [\"eu GET /x\"]", "fetches"),
            (
                "status = 200\nfetches = [{ line = \"us GET /x\", headers = { accept = \"a\" } }]",
                "fetch `us GET /x` header accept",
            ),
            (
                "status = 200\nfetches = [{ line = \"us GET /x\", absent = [\"accept\"] }]",
                "fetch `us GET /x` header accept",
            ),
            ("status = 200\nfetches = [{ line = \"us GET /x\", body = \"i\" }]", "fetch `us GET /x` body"),
        ];
        for (text, what) in rows {
            let found = differences(&expect(text), &observed(), Joining::AsSent);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].starts_with(what), "{text}: {found:?}");
        }
    }
}
