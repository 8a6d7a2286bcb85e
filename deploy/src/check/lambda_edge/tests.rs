use selvedge_core::policy::read::read;

use super::super::{Told, assert_told};
use super::*;
use crate::check::Severity;

/// A rule: a policy that is just beyond it, with what is told, and one that is just inside.
struct Case {
    rule: &'static str,
    beyond: String,
    inside: String,
    severity: Severity,
    path: &'static str,
    /// What stands in the file at the place of the path.
    at: &'static str,
    /// Parts of message and help.
    says: &'static [&'static str],
}

fn found(text: &str) -> Vec<Finding> {
    let policy = read(text).unwrap_or_else(|errors| panic!("{errors}\n{:.2000}", text));
    findings(&policy)
}

fn assert_cases(cases: &[Case]) {
    for case in cases {
        let Case { rule, beyond, inside, .. } = case;
        assert_eq!(found(inside), [], "{rule}: just inside");
        let Case { severity, path, at, says, .. } = *case;
        assert_told(rule, beyond, &found(beyond), &Told { severity, path, at, says });
    }
}

/// A case of an error in which one part of a text differs.
fn error(
    rule: &'static str,
    text: &str,
    [beyond, inside]: [&str; 2],
    (path, at): (&'static str, &'static str),
    says: &'static [&'static str],
) -> Case {
    let [beyond, inside] = [beyond, inside].map(|part| text.replace("PART", part));
    Case { rule, beyond, inside, severity: Severity::Error, path, at, says }
}

fn warning(
    rule: &'static str,
    text: &str,
    parts: [&str; 2],
    place: (&'static str, &'static str),
    says: &'static [&'static str],
) -> Case {
    Case { severity: Severity::Warning, ..error(rule, text, parts, place, says) }
}

#[test]
fn requests_that_cloudfront_refuses_are_told() {
    let route = "[[routes]]\npath = \"/\"\nmethods = [PART]\nrespond = {}\n";
    assert_cases(&[
        error(
            "headers",
            "[limits]\nmax-header-bytes = PART\n",
            ["32769", "\"32KiB\""],
            ("limits.max-header-bytes", "32769"),
            &["32769 bytes", "32768", "max-header-bytes = \"32KiB\""],
        ),
        error(
            "URL",
            "[limits]\nmax-url-bytes = PART\n",
            ["8193", "\"8KiB\""],
            ("limits.max-url-bytes", "8193"),
            &["8193 bytes", "8192", "max-url-bytes = \"8KiB\""],
        ),
        error(
            "methods of the site",
            "[limits]\nmethods = [\"GET\", PART]\n",
            ["\"LINK\"", "\"PATCH\""],
            ("limits.methods[1]", "\"LINK\""),
            &["refuses `LINK`", "GET, HEAD, OPTIONS, PUT, POST, PATCH, DELETE", "`POST`"],
        ),
        error(
            "methods of a route",
            route,
            ["\"PURGE\"", "\"DELETE\""],
            ("routes[0].methods[0]", "\"PURGE\""),
            &["`PURGE`"],
        ),
    ]);
}

#[test]
fn what_functions_have_not_is_refused_with_a_way_out() {
    let backend = "[backends.a]\nurl = \"https://a.example.com\"\n";
    assert_cases(&[
        error(
            "counters",
            "[bots.rules]\nseo = PART\n",
            ["{ action = \"limit\", requests = 60, per = \"1m\" }", "\"block\""],
            ("bots.rules.seo", "seo"),
            &["no counter", "`action = \"block\"`", "AWS WAF", "`WebAclArn`"],
        ),
        error(
            "queues",
            &format!("{backend}PART"),
            ["[queues.orders]\nbackend = \"a\"\nstore = \"platform\"\n", ""],
            ("queues.orders", "orders"),
            &["keeps no messages", "`--target lambda`"],
        ),
        error(
            "schedules",
            &format!("{backend}PART"),
            ["[schedules.nightly]\nbackend = \"a\"\ncron = \"0 3 * * *\"\n", ""],
            ("schedules.nightly", "nightly"),
            &["no schedules", "`--target lambda`"],
        ),
        warning(
            "handlers, told once",
            "[[routes]]\npath = \"/\"\nPART\n[[routes]]\npath = \"/b\"\nPART\n",
            ["handler = \"one\"", "respond = {}"],
            ("routes[0].handler", "\"one\""),
            &["no key-value store and no queue", "1 MB", "1048576 bytes", "30 seconds"],
        ),
        warning(
            "secrets",
            &format!("{backend}request-headers = {{ X-Token = PART }}\n"),
            ["{ env = \"TOKEN\" }", "\"text\""],
            ("backends", "backends"),
            &["no environment variables", "`TOKEN`", "private", "deploy again"],
        ),
    ]);
}

#[test]
fn answers_have_a_limit() {
    let most = 40 * 1024;
    let [beyond, inside] = [most + 1, most].map(|bytes| "b".repeat(bytes));
    let body = |rule, text: &str, place| {
        error(rule, text, [&beyond, &inside], place, &["40961 bytes", "40960", "a backend serve it"])
    };
    assert_cases(&[
        body(
            "a fixed answer",
            "[[routes]]\npath = \"/\"\nrespond = { body = \"PART\" }\n",
            ("routes[0].respond.body", "\"b"),
        ),
        body(
            "the fallback's page",
            "[fallback]\npage = { status = 503, body = \"PART\" }\n",
            ("fallback.page.body", "\"b"),
        ),
        body(
            "not found",
            "[fallback]\nnot-found = { body = \"PART\" }\n",
            ("fallback.not-found.body", "\"b"),
        ),
        body("maintenance", "[maintenance]\nenabled = true\nbody = \"PART\"\n", ("maintenance.body", "\"b")),
        body(
            "a bot",
            "[bots.rules]\nseo = { action = \"block\", status = 403, body = \"PART\" }\n",
            ("bots.rules.seo", "seo"),
        ),
        body(
            "a place",
            "[[geo.rules]]\naction = \"block\"\ncountries = [\"CN\"]\nbody = \"PART\"\n",
            ("geo.rules[0].body", "\"b"),
        ),
        body("unknown places", "[geo]\nunknown = \"block\"\nbody = \"PART\"\n", ("geo.unknown", "\"block\"")),
    ]);
}

#[test]
fn headers_that_cloudfront_keeps_to_itself_are_refused() {
    let case =
        |rule, text: &str, beyond, path, at, says| error(rule, text, [beyond, "X-Own"], (path, at), says);
    let routed = "[backends.a]\nurl = \"https://a.example.com\"\n[[routes]]\npath = \"/\"\nbackend = \"a\"\n";
    let variation = "[experiments.e]\nvariations = [{ name = \"one\" }, { name = \"two\", PART }]\n";
    let [request, response] = ["request", "response"]
        .map(|of| variation.replace("PART", &format!("{of}-headers = {{ PART = \"a\" }}")));
    assert_cases(&[
        case(
            "disallowed in responses",
            "[headers.response.set]\nPART = \"a\"\n",
            "X-Cache",
            "headers.response.set",
            "set]",
            &["`x-cache`", "no function write"],
        ),
        case(
            "read-only in responses",
            "[headers.response.append]\nPART = \"a\"\n",
            "Warning",
            "headers.response.append",
            "append]",
            &["`warning`", "at viewer-response"],
        ),
        case(
            "disallowed in requests",
            "[headers.request.set]\nPART = \"a\"\n",
            "X-Real-IP",
            "headers.request.set",
            "set]",
            &["`x-real-ip`"],
        ),
        case(
            "read-only in requests",
            "[headers.request]\nremove = [\"PART\"]\n",
            "If-None-Match",
            "headers.request.remove[0]",
            "\"If",
            &["`if-none-match`", "remove at origin-request"],
        ),
        case(
            "of a route",
            &format!("{routed}headers.request.set = {{ PART = \"a\" }}\n"),
            "Accept-Encoding",
            "routes[0].headers.request.set",
            "set = {",
            &["`accept-encoding`"],
        ),
        case(
            "of a backend",
            "[backends.a]\nurl = \"https://a.example.com\"\nrequest-headers = { PART = \"a\" }\n",
            "X-Amz-Cf-Thing",
            "backends.a.request-headers",
            "request-headers",
            &["`x-amz-cf-thing`"],
        ),
        case(
            "of a variation's requests",
            &request,
            "X-Edge-Thing",
            "experiments.e.variations[1].request-headers",
            "request-headers",
            &["`x-edge-thing`"],
        ),
        case(
            "of a variation's responses",
            &response,
            "Content-Encoding",
            "experiments.e.variations[1].response-headers",
            "response-headers",
            &["`content-encoding`"],
        ),
        case(
            "of tags",
            "[bots]\ntag-header = \"PART\"\n[bots.rules]\nseo = \"tag\"\n",
            "X-Real-IP",
            "bots.tag-header",
            "\"X-Real",
            &["`x-real-ip`"],
        ),
    ]);
    assert_eq!(found("[bots]\ntag-header = \"X-Real-IP\"\n"), [], "nothing is tagged");
    assert_eq!(found("[headers.response]\nremove = [\"X-Cache\"]\n"), [], "what is removed is not written");
}

#[test]
fn what_needs_the_place_before_the_cache_is_told() {
    let backends = "[backends.a]\nurl = \"https://a.example.com\"\ncoordinates = [1.0, 1.0]\n\
                    [backends.b]\nurl = \"https://b.example.com\"\ncoordinates = [2.0, 2.0]\n";
    let routed = format!("{backends}[[routes]]\npath = \"/\"\nbackend = \"a\"\nPART\n");
    let variations = "variations = [{ name = \"one\" }, { name = \"two\" }]\n";
    let uncached = "cache = { store = false }";
    let asn = ["[headers.response.set]\nX-Asn = \"{asn}\"", "[headers.request.set]\nX-Asn = \"{asn}\""];
    assert_cases(&[
        warning(
            "an experiment",
            &format!("[experiments.e]\n{variations}PART"),
            ["when = { countries = [\"DE\"] }", "when = { devices = [\"mobile\"] }"],
            ("experiments.e.when", "when"),
            &["at the experiment's paths is shared", "`[geo] source = \"database\"`", "`--geoip FILE`"],
        ),
        warning(
            "a route",
            "[[routes]]\npath = \"/\"\nrespond = {}\nPART\n",
            ["when = { countries = [\"DE\"] }", "when = { devices = [\"mobile\"] }"],
            ("routes[0].when", "when"),
            &["nothing at such a path is shared", "`[geo] source = \"database\"`"],
        ),
        warning(
            "the nearest backend",
            &format!(
                "{backends}[[routes]]\npath = \"/\"\nbackend = {{ nearest = [\"a\", \"b\"], unknown = \"a\" }}\nPART"
            ),
            ["", uncached],
            ("routes[0].backend", "backend = { nearest"),
            &["asked first in the country", "`cache = { store = false }`"],
        ),
        error(
            "the ASN in every response",
            &routed,
            asn,
            ("headers.response", "response.set]"),
            &["`{asn}`", "`headers.request`"],
        ),
        error(
            "the ASN in a rewrite",
            &routed,
            ["rewrite = \"/{asn}\"", &format!("rewrite = \"/{{asn}}\"\n{uncached}")],
            ("routes[0].rewrite", "\"/{asn}\""),
            &["`{asn}`"],
        ),
        error(
            "the ASN in a route's responses",
            &routed,
            ["headers.response.set = { X-Asn = \"{asn}\" }", "headers.request.set = { X-Asn = \"{asn}\" }"],
            ("routes[0].headers.response", "response.set = {"),
            &["`{asn}`"],
        ),
        error(
            "the ASN in a variation",
            &routed.replace(
                "PART",
                "[experiments.e]\nvariations = [{ name = \"one\" }, { name = \"two\", PART }]",
            ),
            ["response-headers = { X-Asn = \"{asn}\" }", "request-headers = { X-Asn = \"{asn}\" }"],
            ("experiments.e.variations[1]", "{ name = \"two\""),
            &["`{asn}`"],
        ),
    ]);
}

#[test]
fn a_database_knows_the_place_in_time() {
    let text = "[geo]\nPART\n[[routes]]\npath = \"/\"\nrespond = {}\nwhen = { countries = [\"DE\"] }\n\
                [experiments.e]\nvariations = [{ name = \"one\" }, { name = \"two\" }]\nwhen = { countries = [\"DE\"] }\n";
    assert_eq!(found(&text.replace("PART", "source = \"platform\"")).len(), 2);
    assert_eq!(found(&text.replace("PART", "source = \"database\"")), []);
}

#[test]
fn backends_that_cannot_be_asked_are_told() {
    let timeout = "[backends.a]\nurl = \"https://a.example.com\"\ntimeout = \"PART\"\n";
    let attempts = "[backends.a]\nurl = [\"https://a.example.com\", \"https://b.example.com\"]\ntimeout = \"PART\"\n\
                    failover = [\"c\"]\n[backends.c]\nurl = \"https://c.example.com\"\ntimeout = \"20s\"\n";
    let url = "[backends.a]\nurl = \"PART\"\n";
    assert_cases(&[
        error(
            "timeout",
            timeout,
            ["61s", "60s"],
            ("backends.a.timeout", "\"61s\""),
            &["60 seconds", "`timeout = \"60s\"`"],
        ),
        warning(
            "parts of a second",
            timeout,
            ["1500ms", "2s"],
            ("backends.a.timeout", "\"1500ms\""),
            &["1.5 becomes 2"],
        ),
        warning(
            "attempts together",
            attempts,
            ["11s", "10s"],
            ("backends.a", "a]"),
            &["31 seconds together", "after 30"],
        ),
        error(
            "an address",
            url,
            ["http://203.0.113.9", "http://203.0.113.9.example.com"],
            ("backends.a.url", "\"http://203"),
            &["`203.0.113.9`", "give the backend a name"],
        ),
        error(
            "a port",
            url,
            ["http://a.example.com:1023", "http://a.example.com:1024"],
            ("backends.a.url", "\"http"),
            &["80, 443 and from 1024", "1023"],
        ),
        warning(
            "a local name",
            url,
            ["http://localhost:8788", "https://a.example.com:443"],
            ("backends.a.url", "\"http"),
            &["cannot reach `localhost`", "public name"],
        ),
        error(
            "one of several",
            "[backends.a]\nurl = [\"https://a.example.com\", \"PART\"]\n",
            ["https://203.0.113.9", "https://b.example.com"],
            ("backends.a.url[1]", "\"https://203"),
            &["`203.0.113.9`"],
        ),
    ]);
}

#[test]
fn failover_has_its_paths() {
    let routed = "[backends.a]\nurl = [\"https://a.example.com\", \"https://b.example.com\"]\n\
                  [[routes]]\npath = \"/\"\nmethods = [PART]\nbackend = \"a\"\n";
    assert_cases(&[warning(
        "other methods",
        routed,
        ["\"GET\", \"POST\"", "\"GET\""],
        ("routes[0].path", "\"/\""),
        &["GET, HEAD, OPTIONS", "`/`", "no other one is asked", "CloudFront's own error"],
    )]);
    let many = |number: usize| {
        let routes = (0..number)
            .map(|at| format!("[[routes]]\npath = \"/{at}\"\nmethods = [\"GET\"]\nbackend = \"a\"\n"));
        format!("{}{}", routed.split("[[routes]]").next().unwrap_or_default(), routes.collect::<String>())
    };
    assert_cases(&[Case {
        rule: "paths of a distribution",
        beyond: many(75),
        inside: many(74),
        severity: Severity::Error,
        path: "routes",
        at: "[[routes]]",
        says: &["75 path patterns", "74 of a distribution"],
    }]);
}

#[test]
fn server_timing_is_cloudfronts_own() {
    assert_cases(&[warning(
        "server-timing",
        "server-timing = PART\n",
        ["true", "false"],
        ("server-timing", "true"),
        &["see no request as a whole", "`ServerTimingHeadersConfig`"],
    )]);
}

#[test]
fn policies_of_cloudfront_have_so_many_headers() {
    assert_eq!(policy_headers("cache policy", 10), None);
    let finding = policy_headers("cache policy", 11).expect("one is too many");
    assert_eq!(finding.severity, Severity::Error);
    assert!(finding.message.contains("the cache policy has 11 headers, more than 10"), "{}", finding.message);
}

#[test]
fn the_storefront_works_but_for_its_local_backends() {
    let findings = found(crate::policy::STOREFRONT);
    assert!(!findings.is_empty(), "its backends are on this machine");
    for finding in findings {
        assert_eq!(finding.severity, Severity::Warning, "{finding:?}");
        let of_health = finding.path.ends_with(".breaker") || finding.path.ends_with(".retry");
        let expected =
            if of_health { "CloudFront asks the backends by itself" } else { "cannot reach `127.0.0.1`" };
        assert!(finding.message.contains(expected), "{finding:?}");
    }
}
