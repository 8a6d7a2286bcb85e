use selvedge_core::policy::read::read;

use super::super::{Severity, Told, assert_told};
use super::*;

/// A rule: a policy that is just beyond it, with what is told, and one that is just inside.
struct Case {
    via: Option<Via>,
    beyond: &'static str,
    inside: &'static str,
    severity: Severity,
    path: &'static str,
    /// What stands in the file at the place of the path.
    at: &'static str,
    says: &'static str,
}

/// What makes a policy for Akamai Functions one without findings.
const AKAMAI: &str = "[spin]\nfront = \"akamai\"\n";

fn policy(text: &str) -> Policy {
    read(text).unwrap_or_else(|errors| panic!("{text}: {errors}"))
}

/// Everything but what is told of nearly every policy with a route.
fn found(text: &str, via: Option<Via>) -> Vec<Finding> {
    let policy = policy(text);
    let of_every_route = contents(&policy);
    let found = findings(&policy, via).into_iter();
    found.filter(|finding| Some(finding) != of_every_route.as_ref()).collect()
}

fn check(cases: impl IntoIterator<Item = Case>) {
    for Case { via, beyond, inside, severity, path, at, says } in cases {
        // What is asked of a policy on Akamai Functions first, so that it stands behind what the case says.
        let front = if via == Some(Via::Aka) { AKAMAI } else { "" };
        let (beyond, inside) = (format!("{beyond}\n{front}"), format!("{inside}\n{front}"));
        assert_eq!(found(&inside, via), [], "just inside: {inside}");
        let told = Told { severity, path, at, says: &[says] };
        assert_told(path, &beyond, &found(&beyond, via), &told);
    }
}

#[test]
fn what_spin_does_not_do_is_told_with_its_place_and_a_way_out() {
    check([
        Case {
            via: None,
            beyond: "[bots.rules]\nseo = { action = \"limit\", requests = 1, per = \"10s\" }",
            inside: "[bots.rules]\nseo = { action = \"block\" }",
            severity: Severity::Error,
            path: "bots.rules.seo",
            at: "seo",
            says: "no compare-and-swap",
        },
        Case {
            via: None,
            beyond: "[backends.a]\nurl = \"http://a.test\"\nhost = \"client\"",
            inside: "[backends.a]\nurl = \"http://a.test\"",
            severity: Severity::Error,
            path: "backends.a.host",
            at: "\"client\"",
            says: "`X-Forwarded-Host`",
        },
        Case {
            via: None,
            beyond: "[backends.a]\nurl = \"http://a.test\"\n[queues.q]\nbackend = \"a\"",
            inside: "[backends.a]\nurl = \"http://a.test\"",
            severity: Severity::Error,
            path: "queues.q",
            at: "q]",
            says: "`--target cloudflare`",
        },
        Case {
            via: None,
            beyond: "[backends.a]\nurl = \"http://a.test\"\n[schedules.s]\nbackend = \"a\"\ncron = \"0 3 * * *\"",
            inside: "[backends.a]\nurl = \"http://a.test\"",
            severity: Severity::Error,
            path: "schedules.s",
            at: "s]",
            says: "no schedules",
        },
        Case {
            via: None,
            beyond: "[backends.a]\nurl = \"http://a.test\"\n[[routes]]\npath = \"/\"\nbackend = \"a\"\ncache = { edge = \"1h\" }",
            inside: "[backends.a]\nurl = \"http://a.test\"\n[[routes]]\npath = \"/\"\nbackend = \"a\"\ncache = { store = false }",
            severity: Severity::Warning,
            path: "routes[0].cache",
            at: "cache",
            says: "50 writes and 1,000 reads a second",
        },
        Case {
            via: None,
            beyond: "[[routes]]\npath = \"/\"\nhandler = \"a\"",
            inside: "[[routes]]\npath = \"/\"\nrespond = {}",
            severity: Severity::Warning,
            path: "routes[0].handler",
            at: "\"a\"",
            says: "the last one wins",
        },
    ]);
}

#[test]
fn content_that_spin_does_not_tell_of_is_told_once_at_the_first_route_that_would_pass_it_on() {
    let backend = "[backends.a]\nurl = \"http://a.test\"\n";
    let route = |rest: &str| format!("[[routes]]\npath = \"/{{*rest}}\"\n{rest}\n");
    let fixed = "[[routes]]\npath = \"/fixed\"\nrespond = {}\n";
    let rows = [
        (route("backend = \"a\""), true),
        (route("backend = \"a\"\nmethods = [\"GET\"]"), true),
        (route("backend = \"a\"\nmethods = [\"HEAD\", \"POST\"]"), true),
        (route("handler = \"h\""), true),
        (route("backend = \"a\"\nmethods = [\"POST\", \"PUT\"]"), false),
        (route("respond = {}"), false),
        (route("redirect = { to = \"/a\" }"), false),
    ];
    for (route, is_told) in rows {
        let text = format!("{backend}{fixed}{route}");
        let found = findings(&policy(&text), None);
        let told: Vec<_> = found.iter().filter(|finding| finding.message.contains("`HEAD`")).collect();
        let paths: Vec<_> = told.iter().map(|finding| finding.path.as_str()).collect();
        assert_eq!(paths, if is_told { vec!["routes[1]"] } else { vec![] }, "{text}");
        for finding in told {
            assert_eq!(finding.severity, Severity::Warning);
            assert!(finding.help.contains("announce its length"), "{finding:?}");
        }
    }
    let two = format!("{backend}{0}{0}", route("backend = \"a\"").replace("{*rest}", "x"));
    let two = two.replacen("/x", "/y", 1);
    let told = findings(&policy(&two), None);
    let told: Vec<_> = told.iter().filter(|finding| finding.message.contains("`HEAD`")).collect();
    assert_eq!(told.iter().map(|finding| finding.path.as_str()).collect::<Vec<_>>(), ["routes[0]"]);
}

#[test]
fn akamai_functions_have_limits_of_their_own() {
    let via = Some(Via::Aka);
    let severity = Severity::Warning;
    check([
        Case {
            via,
            beyond: "[limits]\nmax-body-bytes = 10485761",
            inside: "[limits]\nmax-body-bytes = \"10MiB\"",
            severity,
            path: "limits.max-body-bytes",
            at: "10485761",
            says: "more than the 10485760 of a request",
        },
        Case {
            via,
            beyond: "[backends.a]\nurl = \"http://a.example\"\ntimeout = \"31s\"",
            inside: "[backends.a]\nurl = \"http://a.example\"\ntimeout = \"30s\"",
            severity,
            path: "backends.a.timeout",
            at: "\"31s\"",
            says: "more than the 30",
        },
        Case {
            via,
            beyond: "[backends.a]\nurl = [\"http://a.example\", \"http://10.0.0.1\"]",
            inside: "[backends.a]\nurl = [\"http://a.example\", \"http://8.8.8.8\"]",
            severity,
            path: "backends.a.url[1]",
            at: "\"http://10",
            says: "cannot reach `10.0.0.1`",
        },
    ]);
    for policy in
        ["[limits]\nmax-body-bytes = \"1GiB\"", "[backends.a]\nurl = \"http://a.test\"\ntimeout = \"1m\"", ""]
    {
        for via in [None, Some(Via::Spin)] {
            assert_eq!(found(policy, via), [], "elsewhere none of them is one: {policy}");
        }
    }
    let [front] = <[Finding; 1]>::try_from(found("", via)).expect("one finding");
    assert_eq!((front.severity, front.path.as_str()), (severity, "spin.front"));
    assert!(size(AKAMAI_MAX_APP_BYTES).is_none() && size(AKAMAI_MAX_APP_BYTES + 1).is_some());
    let [store] =
        <[Finding; 1]>::try_from(found(&format!("{AKAMAI}[limits]\nmax-store-bytes = \"3GiB\""), via))
            .expect("one finding");
    assert_eq!((store.severity, store.path.as_str()), (Severity::Error, "limits.max-store-bytes"));
}

#[test]
fn spinkube_is_told_about_its_shim_and_not_about_akamai() {
    let [shim] = <[Finding; 1]>::try_from(found("", Some(Via::Kube))).expect("one finding");
    assert!(shim.message.contains("3.6.3"), "{shim:?}");
    let stores = "[backends.a]\nurl = \"http://a.test\"\n[[routes]]\npath = \"/\"\nbackend = \"a\"";
    let [cache, _shim] = <[Finding; 2]>::try_from(found(stores, Some(Via::Kube))).expect("two findings");
    assert!(!cache.message.contains("Akamai"), "{cache:?}");
}

#[test]
fn what_depends_on_the_place_needs_a_database_or_a_front_that_knows_it() {
    let backends = "[backends.a]\nurl = \"http://a.test\"\ncoordinates = [1.0, 1.0]\n[backends.b]\nurl = \"http://b.test\"\n\
                    coordinates = [2.0, 2.0]\n";
    let route =
        |rest: &str| format!("{backends}[[routes]]\npath = \"/\"\ncache = {{ store = false }}\n{rest}");
    let cases = [
        ("[[geo.rules]]\naction = \"block\"\ncountries = [\"CN\"]\n".to_owned(), Severity::Error, "geo.rules"),
        ("[geo]\nunknown = \"block\"\n".to_owned(), Severity::Error, "geo.unknown"),
        (
            route("backend = { countries = { US = \"a\" }, default = \"b\" }\n"),
            Severity::Error,
            "routes[0].backend",
        ),
        (route("backend = { nearest = [\"a\", \"b\"] }\n"), Severity::Error, "routes[0].backend"),
        (
            "[[routes]]\npath = \"/\"\nredirect = { to = \"/a\", countries = { US = \"/b\" } }\n".to_owned(),
            Severity::Error,
            "routes[0].redirect",
        ),
        (route("backend = \"a\"\nwhen = { countries = [\"US\"] }\n"), Severity::Error, "routes[0].when"),
        (
            "[experiments.e]\nwhen = { countries = [\"US\"] }\nvariations = [{ name = \"a\" }, { name = \"b\" }]\n"
                .to_owned(),
            Severity::Error,
            "experiments.e.when",
        ),
        (
            "[[routes]]\npath = \"/\"\nrespond = { body = \"{city}\" }\n".to_owned(),
            Severity::Warning,
            "routes[0].respond.body",
        ),
        (
            route("backend = \"a\"\nheaders = { request = { set = { X-C = \"{country}\" } } }\n"),
            Severity::Warning,
            "routes[0].headers.request",
        ),
        ("[headers.response.set]\nX-C = \"{asn}\"\n".to_owned(), Severity::Warning, "headers.response"),
    ];
    for (text, severity, path) in cases {
        let findings = found(&text, None);
        let [finding] = findings.as_slice() else { panic!("one finding and not {findings:#?}: {text}") };
        assert_eq!((finding.severity, finding.path.as_str()), (severity, path), "{text}");
        let database = if text.starts_with("[geo]") {
            text.replace("[geo]\n", "[geo]\nsource = \"database\"\n")
        } else {
            format!("geo.source = \"database\"\n{text}")
        };
        for known in [database, format!("{text}{AKAMAI}")] {
            assert_eq!(found(&known, None), [], "{known}");
        }
    }
    let same =
        "[[routes]]\npath = \"/\"\nredirect = { to = \"/a\", countries = { US = \"/a\" } }\n".to_owned();
    for text in [
        route("backend = \"a\"\n"),
        route("backend = { countries = { US = \"a\" }, default = \"a\", unknown = \"a\" }\n"),
        same,
    ] {
        assert_eq!(found(&text, None), [], "the same for all places: {text}");
    }
}
