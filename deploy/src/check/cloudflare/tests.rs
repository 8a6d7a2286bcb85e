use selvedge_core::policy::read::read;

use super::super::{Told, assert_told};
use super::*;

/// A rule: a policy that is just beyond it, with what is told, and one that is just inside.
struct Case {
    rule: &'static str,
    plan: Option<Plan>,
    beyond: String,
    inside: String,
    severity: Severity,
    path: &'static str,
    /// What stands in the file at the place of the path.
    at: &'static str,
    /// Parts of message and help.
    says: &'static [&'static str],
}

const FREE: Option<Plan> = Some(Plan::Free);
const PAID: Option<Plan> = Some(Plan::Paid);

fn found(text: &str, plan: Option<Plan>) -> Vec<Finding> {
    let policy = read(text).unwrap_or_else(|errors| panic!("{errors}\n{:.2000}", text));
    findings(&policy, plan)
}

fn assert_cases(cases: &[Case]) {
    for case in cases {
        let Case { rule, beyond, inside, .. } = case;
        assert_eq!(found(inside, case.plan), [], "{rule}: just inside");
        let Case { severity, path, at, says, .. } = *case;
        assert_told(rule, beyond, &found(beyond, case.plan), &Told { severity, path, at, says });
    }
}

fn limits(setting: &str) -> String {
    format!("[limits]\n{setting}\n")
}

#[test]
fn requests_that_cloudflare_refuses_are_told() {
    let bytes = |key: &str, number: u64| limits(&format!("{key} = {number}"));
    assert_cases(&[
        Case {
            rule: "headers",
            plan: None,
            beyond: bytes("max-header-bytes", 128 * 1024 + 1),
            inside: limits("max-header-bytes = \"128KiB\""),
            severity: Severity::Error,
            path: "limits.max-header-bytes",
            at: "131073",
            says: &["131073 bytes", "131072", "max-header-bytes = \"128KiB\""],
        },
        Case {
            rule: "URL",
            plan: PAID,
            beyond: bytes("max-url-bytes", 16 * 1024 + 1),
            inside: limits("max-url-bytes = \"16KiB\""),
            severity: Severity::Error,
            path: "limits.max-url-bytes",
            at: "16385",
            says: &["16385 bytes", "16384", "max-url-bytes = \"16KiB\""],
        },
        Case {
            rule: "body",
            plan: PAID,
            beyond: limits("max-body-bytes = \"101MiB\""),
            inside: limits("max-body-bytes = \"100MiB\""),
            severity: Severity::Warning,
            path: "limits.max-body-bytes",
            at: "\"101MiB\"",
            says: &["105906176 bytes", "104857600", "Free and Pro", "max-body-bytes = \"100MiB\""],
        },
        Case {
            rule: "methods of the site",
            plan: None,
            beyond: limits("methods = [\"GET\", \"LINK\"]"),
            inside: limits("methods = [\"GET\", \"PROPFIND\"]"),
            severity: Severity::Error,
            path: "limits.methods[1]",
            at: "\"LINK\"",
            says: &["`LINK` with 501", "`POST`"],
        },
        Case {
            rule: "methods of a route",
            plan: None,
            beyond: "[[routes]]\npath = \"/\"\nmethods = [\"MKCALENDAR\"]\nrespond = {}\n".to_owned(),
            inside: "[[routes]]\npath = \"/\"\nmethods = [\"UNSUBSCRIBE\"]\nrespond = {}\n".to_owned(),
            severity: Severity::Error,
            path: "routes[0].methods[0]",
            at: "\"MKCALENDAR\"",
            says: &["`MKCALENDAR`"],
        },
    ]);
}

fn response_header(site: usize, route: usize) -> String {
    let (site, route) = ("s".repeat(site), "r".repeat(route));
    format!(
        "[headers.response]\nset = {{ X-Site = \"{site}\" }}\n[[routes]]\npath = \"/\"\nrespond = {{}}\n\
         headers = {{ response = {{ append = {{ X-Route = \"{route}\" }} }} }}\n"
    )
}

#[test]
fn headers_of_responses_have_a_limit_together() {
    let (most, names) = (128 * 1024, "x-site".len() + "x-route".len());
    assert_cases(&[
        Case {
            rule: "site and route",
            plan: None,
            beyond: response_header(1000, most - 1000 - names + 1),
            inside: response_header(1000, most - 1000 - names),
            severity: Severity::Error,
            path: "routes[0].headers.response",
            at: "response",
            says: &["131073 bytes", "131072"],
        },
        Case {
            rule: "site",
            plan: None,
            beyond: response_header(most, 0),
            inside: response_header(most - names, 0),
            severity: Severity::Error,
            path: "headers.response",
            at: "response",
            says: &["131078 bytes"],
        },
    ]);
}

fn limited(category: &str, requests: u32, per: &str) -> String {
    format!("[bots.rules]\n{category} = {{ action = \"limit\", requests = {requests}, per = \"{per}\" }}\n")
}

#[test]
fn limits_are_bounded_by_what_a_durable_object_can_count() {
    assert_cases(&[
        Case {
            rule: "counts a second",
            plan: PAID,
            beyond: limited("ai-crawler", 10_001, "10s"),
            inside: limited("ai-crawler", 10_000, "10s"),
            severity: Severity::Warning,
            path: "bots.rules.ai-crawler",
            at: "ai-crawler",
            says: &["10001 requests", "10000 that", "1000 a second", "`requests = 10000`"],
        },
        Case {
            rule: "counts a day",
            plan: FREE,
            beyond: limited("seo", 60, "1m"),
            inside: "[bots.rules]\nseo = \"block\"\n".to_owned(),
            severity: Severity::Warning,
            path: "bots.rules.seo",
            at: "seo",
            says: &["100,000 times a day", "paid plan", "`action = \"block\"`"],
        },
    ]);
    for window in ["1s", "7s", "1m", "1d"] {
        assert_eq!(found(&limited("seo", 60, window), None), [], "any window can be counted: {window}");
    }
}

#[test]
fn writes_of_handlers_are_told_once_and_on_the_free_plan_alone() {
    let handlers = "[[routes]]\npath = \"/a\"\nrespond = {}\n[[routes]]\npath = \"/b\"\nhandler = \"one\"\n\
                    [[routes]]\npath = \"/c\"\nhandler = \"two\"\n";
    assert_cases(&[Case {
        rule: "writes a day",
        plan: FREE,
        beyond: handlers.to_owned(),
        inside: "[[routes]]\npath = \"/a\"\nrespond = {}\n".to_owned(),
        severity: Severity::Warning,
        path: "routes[1].handler",
        at: "\"one\"",
        says: &["1,000 times a day", "paid plan"],
    }]);
    assert_eq!((found(handlers, None), found(handlers, PAID)), (vec![], vec![]));
}

/// A backend with so many URLs and a route to it, with more of the route.
fn with_urls(number: usize, route: &str) -> String {
    let urls: Vec<_> = (0..number).map(|at| format!("\"https://{at}.example.com\"")).collect();
    format!("[backends.a]\nurl = [{}]\n[[routes]]\npath = \"/\"\nbackend = \"a\"\n{route}\n", urls.join(", "))
}

const UNCACHED: &str = "cache = { store = false }";

fn subrequests(
    rule: &'static str,
    plan: Option<Plan>,
    [beyond, inside]: [String; 2],
    severity: Severity,
    says: &'static [&'static str],
) -> Case {
    Case { rule, plan, beyond, inside, severity, path: "routes[0]", at: "[[routes]]", says }
}

#[test]
fn the_subrequests_of_a_route_are_counted_at_their_worst() {
    let urls = |numbers: [usize; 2], rest: &str| numbers.map(|number| with_urls(number, rest));
    let failover = "[backends.b]\nurl = \"https://b.example.com\"\nfailover = [\"a\"]";
    let to_b = format!("{UNCACHED}\n[[routes]]\npath = \"/b\"\nrespond = {{}}\n{failover}");
    let to_b = |number| with_urls(number, &to_b).replace("backend = \"a\"", "backend = \"b\"");
    let fallback = "[backends.c]\nurl = [\"https://c.example.com\", \"https://d.example.com\", \"https://e.example.com\"]\n\
                    [fallback]\nbackend = \"c\"";
    let variation = "[experiments.x]\nvariations = [{ name = \"one\" }, { name = \"two\", backend = \"a\" }]\n\
                     [backends.small]\nurl = \"https://small.example.com\"";
    let to_variation = |number| {
        with_urls(number, &format!("{UNCACHED}\n{variation}"))
            .replace("backend = \"a\"\ncache", "backend = \"small\"\ncache")
    };
    let limit = limited("seo", 60, "1m");
    assert_cases(&[
        subrequests(
            "URLs",
            FREE,
            urls([51, 50], UNCACHED),
            Severity::Error,
            &[
                "51 subrequests, 51 of them to backends and 0 to the cache",
                "50 of the free plan",
                "paid plan",
            ],
        ),
        subrequests(
            "the cache",
            FREE,
            urls([47, 46], ""),
            Severity::Error,
            &["51 subrequests, 47 of them to backends and 4 to the cache"],
        ),
        subrequests(
            "methods without a cache",
            FREE,
            urls([51, 50], "methods = [\"POST\"]"),
            Severity::Error,
            &["51 of them to backends and 0 to the cache"],
        ),
        subrequests(
            "failover",
            FREE,
            [to_b(50), to_b(49)],
            Severity::Error,
            &["51 of them to backends and 0"],
        ),
        subrequests(
            "the fallback's backend",
            FREE,
            urls([46, 45], fallback),
            Severity::Error,
            &["49 of them to backends and 2 to the cache"],
        ),
        subrequests(
            "a variation's backend",
            FREE,
            [to_variation(51), to_variation(50)],
            Severity::Error,
            &["51 of them to backends and 0"],
        ),
        subrequests(
            "an unknown plan",
            None,
            urls([51, 50], UNCACHED),
            Severity::Warning,
            &["free plan", "`--plan paid`"],
        ),
        subrequests(
            "the paid plan",
            PAID,
            urls([9_997, 9_996], ""),
            Severity::Error,
            &["10001 subrequests", "10000 of the paid plan"],
        ),
        subrequests("counters", PAID, urls([9_996, 9_995], &limit), Severity::Error, &["10001 subrequests"]),
        subrequests(
            "no counter among the free plan's 50",
            None,
            urls([47, 46], &limit),
            Severity::Warning,
            &["51 subrequests"],
        ),
    ]);
    assert_eq!(found(&with_urls(51, UNCACHED), PAID), [], "the paid plan has more");
}

fn backend(settings: &str) -> String {
    format!("[backends.a]\n{settings}\n")
}

#[test]
fn backends_that_cannot_be_reached_are_told() {
    let case = |rule, beyond: &str, inside: &str, path, at, says| Case {
        rule,
        plan: None,
        beyond: backend(beyond),
        inside: backend(inside),
        severity: Severity::Warning,
        path,
        at,
        says,
    };
    assert_cases(&[
        case(
            "an address",
            "url = \"http://203.0.113.9/base\"",
            "url = \"http://203.0.113.9.example.com/base\"",
            "backends.a.url",
            "\"http://203",
            &["cannot fetch `203.0.113.9`", "A or AAAA record"],
        ),
        case(
            "one of several",
            "url = [\"https://a.example.com\", \"http://[2001:db8::1]:8080\"]",
            "url = [\"https://a.example.com\", \"https://b.example.com:8080\"]",
            "backends.a.url[1]",
            "\"http://[2001",
            &["cannot fetch `2001:db8::1`"],
        ),
        case(
            "the host",
            "url = \"https://a.example.com\"\nhost = \"client\"",
            "url = \"https://a.example.com\"\nhost = \"backend\"",
            "backends.a.host",
            "\"client\"",
            &["zone", "`X-Forwarded-Host`"],
        ),
    ]);
    for host in [
        "localhost",
        "127.0.0.1:8788",
        "[::1]",
        "10.0.0.1",
        "192.168.1.1",
        "[fd00::1]",
        "169.254.1.1",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
    ] {
        assert_local(host);
    }
    for host in
        ["origin", "LOCALHOST.", "app.localhost", "nas.local", "db.internal", "router.home.arpa", "a.test"]
    {
        assert_local(host);
    }
    for host in ["localhost.example.com", "mylocal.example.com", "a.notlocal", "shop.contest"] {
        assert_eq!(found(&backend(&format!("url = \"http://{host}\"")), None), [], "{host} is a public name");
    }
}

fn assert_local(host: &str) {
    let findings = found(&backend(&format!("url = \"http://{host}\"")), None);
    let [finding] = findings.as_slice() else { panic!("{host}: {findings:#?}") };
    assert_eq!((finding.severity, finding.path.as_str()), (Severity::Warning, "backends.a.url"), "{host}");
    assert!(finding.message.contains("cannot reach"), "{host}: {}", finding.message);
}

fn with_variables(number: usize) -> String {
    let headers: Vec<_> = (0..number).map(|at| format!("X-{at} = {{ env = \"TOKEN_{at}\" }}")).collect();
    backend(&format!("url = \"https://a.example.com\"\nrequest-headers = {{ {} }}", headers.join(", ")))
}

#[test]
fn variables_have_a_number_and_names_that_are_free() {
    let secret = |name: &str, rest: &str| {
        backend(&format!(
            "url = \"https://a.example.com\"\nrequest-headers = {{ X-A = {{ env = \"{name}\" }} }}{rest}"
        ))
    };
    let count = |plan, numbers: [usize; 2], severity, says| {
        let [beyond, inside] = numbers.map(with_variables);
        Case { rule: "variables", plan, beyond, inside, severity, path: "backends", at: "backends", says }
    };
    let handler = "\n[[routes]]\npath = \"/\"\nhandler = \"one\"";
    assert_cases(&[
        count(FREE, [65, 64], Severity::Error, &["65 variables", "64 that", "free plan"]),
        count(None, [65, 64], Severity::Warning, &["`--plan paid`"]),
        count(PAID, [129, 128], Severity::Error, &["129 variables", "128 that", "paid plan"]),
        Case {
            rule: "names of bindings",
            plan: None,
            beyond: secret("SELVEDGE_KV", handler),
            inside: secret("SELVEDGE_KV", ""),
            severity: Severity::Error,
            path: "backends.a.request-headers",
            at: "request-headers",
            says: &["`SELVEDGE_KV` cannot be a secret"],
        },
        Case {
            rule: "names of variables",
            plan: None,
            beyond: secret("SELVEDGE_SCHEDULES", "\n[schedules.s]\nbackend = \"a\"\ncron = \"0 3 * * *\""),
            inside: secret("SELVEDGE_SCHEDULES", ""),
            severity: Severity::Error,
            path: "backends.a.request-headers",
            at: "request-headers",
            says: &["`SELVEDGE_SCHEDULES` cannot be a secret"],
        },
    ]);
}

#[test]
fn queues_and_schedules_fit_the_account() {
    let schedules = |count: usize| {
        let one =
            |at| format!("[schedules.s{at}]\nhandler = \"h\"\ncron = \"{} {} * * *\"\n", at % 60, at / 60);
        (0..count).map(one).collect::<String>()
    };
    let count = |plan, numbers: [usize; 2], severity, says| {
        let [beyond, inside] = numbers.map(schedules);
        Case { rule: "triggers", plan, beyond, inside, severity, path: "schedules", at: "", says }
    };
    let queue = |length: usize, store: &str| {
        let name = "a".repeat(length);
        format!("name = \"shop\"\n[queues.{name}]\nhandler = \"h\"\nstore = \"{store}\"\n")
    };
    let path: &'static str = format!("queues.{}", "a".repeat(59)).leak();
    assert_cases(&[
        count(FREE, [6, 5], Severity::Error, &["6 different", "the 5 that", "free plan"]),
        count(None, [6, 5], Severity::Warning, &["`--plan paid`"]),
        count(PAID, [251, 250], Severity::Error, &["251 different", "paid plan"]),
        Case {
            rule: "names of queues",
            plan: None,
            beyond: queue(59, "platform"),
            inside: queue(58, "platform"),
            severity: Severity::Error,
            path,
            at: "",
            says: &["64 characters", "at most 63"],
        },
    ]);
    assert_eq!(found(&queue(59, "edge"), None), [], "an own queue has no name at Cloudflare");
}

#[test]
fn a_policy_is_not_larger_than_a_worker() {
    assert_eq!(worker_size(MAX_WORKER_BYTES), None);
    let policy = Policy { name: "a".repeat(MAX_WORKER_BYTES), ..Policy::default() };
    let findings = findings(&policy, PAID);
    let [finding] = findings.as_slice() else { panic!("one finding and not {}", findings.len()) };
    assert_eq!((finding.severity, finding.path.as_str()), (Severity::Error, ""));
    assert!(finding.message.contains("at most 67108864"), "{}", finding.message);
}

#[test]
fn the_storefront_works_on_every_plan_but_for_its_local_backends() {
    for plan in [None, FREE, PAID] {
        let findings = found(crate::policy::STOREFRONT, plan);
        let told: Vec<_> = findings.iter().map(|finding| (finding.severity, finding.path.as_str())).collect();
        let expected = ["cloud", "eu", "global", "us"].map(|name| format!("backends.{name}.url"));
        let expected: Vec<_> = expected.iter().map(|path| (Severity::Warning, path.as_str())).collect();
        assert_eq!(told, expected, "{plan:?}");
    }
}
