//! Policies, requests and responses at random, of what CloudFront takes and what it does not.

use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// Names that CloudFront forbids functions, keeps for itself or lets them have, and those of the edge itself.
const NAMES: [&str; 32] = [
    "X-A",
    "x-a",
    "X-B",
    "Cookie",
    "Set-Cookie",
    "Cache-Control",
    "CDN-Cache-Control",
    "Vary",
    "Server",
    "ETag",
    "Age",
    "Date",
    "Link",
    "X-Accel-Redirect",
    "X-Amz-Cf-Id",
    "X-Amzn-RequestId",
    "X-Cache",
    "X-Edge-Location",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "Client-Cert",
    "CDN-Loop",
    "Content-Encoding",
    "Accept-Encoding",
    "If-None-Match",
    "If-Modified-Since",
    "If-Range",
    "Range",
    "Warning",
    "CloudFront-Viewer-Country",
    "Selvedge-State",
    "Selvedge-Key",
];

/// Names of the connection's headers, which a policy is refused with.
const CONNECTION: [&str; 12] = [
    "Connection",
    "Keep-Alive",
    "Expect",
    "Upgrade",
    "Trailer",
    "TE",
    "Proxy-Connection",
    "Proxy-Authorization",
    "Host",
    "Via",
    "Content-Length",
    "Transfer-Encoding",
];

const VALUES: [&str; 16] = [
    "",
    "1",
    "a=b; c=d",
    "{country}",
    "{city}",
    "{request-id}",
    "{path}?{query}",
    "{header.x-a}",
    "caf\u{e9} \u{1f600}",
    "a\tb",
    "no-store, max-age=60",
    "max-age=60, s-maxage=5",
    "gzip, chunked",
    "*",
    "\"etag\"",
    "accept-language, x-a",
];

const PATHS: [&str; 7] = ["/", "/a", "/a/{name}", "/go", "/long/{length}", "/page", "/{*rest}"];

const TARGETS: [&str; 16] = [
    "/",
    "/a",
    "/a/x",
    "/go",
    "/long/500000",
    "/long/1100000",
    "/page",
    "/none",
    "/a/%2e%2e/b",
    "//x",
    "*",
    "",
    "/a b",
    "/caf\u{e9}",
    "/a#b",
    "/\0",
];

const METHODS: [&str; 11] =
    ["GET", "GET", "GET", "HEAD", "POST", "OPTIONS", "DELETE", "PROPFIND", "get", "", "A B"];

const STATUSES: [u16; 14] = [200, 200, 201, 204, 206, 301, 304, 404, 416, 500, 502, 503, 504, 599];

/// Lengths on both sides of CloudFront's limits: 40 KB for a viewer's trigger and 1 MB for an origin's.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![40 => 0_usize..100, 6 => 35_000_usize..60_000, 1 => 1_040_000_usize..1_060_000]
}

/// One visit: a policy, a request and what the backend says.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    /// Its text; `~60000~` stands for as many letters.
    policy: String,
    pub(super) request: Request,
    pub(super) has_places: bool,
    pub(super) told: Vec<(&'static str, String)>,
    pub(super) response: Response,
    pub(super) has_failed: bool,
}

impl Visit {
    /// Returns the text of the policy.
    pub(super) fn policy(&self) -> String {
        let parts = self.policy.split('~').enumerate();
        let parts = parts.map(|(at, part)| match part.parse() {
            Ok(length) if at % 2 == 1 => "x".repeat(length),
            _ => part.to_owned(),
        });
        parts.collect()
    }
}

pub(super) fn visit() -> impl Strategy<Value = Visit> {
    let told = select(&["DE", "CN", "US", "", "T1", "caf%C3%A9"][..]).prop_map(|country| {
        let told = [("CloudFront-Viewer-Country", country), ("CloudFront-Viewer-City", "K%C3%B6ln")];
        told.map(|(name, value)| (name, value.to_owned())).to_vec()
    });
    let is_rare = || prop::bool::weighted(0.2);
    (policy(), viewers_request(), is_rare(), told, backends_response(), is_rare()).prop_map(
        |(policy, request, has_places, told, response, has_failed)| Visit {
            policy,
            request,
            has_places,
            told,
            response,
            has_failed,
        },
    )
}

fn viewers_request() -> impl Strategy<Value = Request> {
    let query = select(&["", "", "a=1", "a=1&a=2", "x y", "%", "caf\u{e9}", "#"][..]);
    let body = option::weighted(0.1, (any::<bool>(), vec(any::<u8>(), 0..50)));
    let long = prop::bool::weighted(0.02);
    (select(&METHODS[..]), select(&TARGETS[..]), query, fields(0..6), body, long).prop_map(
        |(method, target, query, fields, body, is_long)| {
            let mut request = request(method, target, &[]);
            request.headers.extend(fields);
            query.clone_into(&mut request.querystring);
            if is_long {
                request.uri.push_str(&"a".repeat(8_200));
            }
            request.body = body.map(|(input_truncated, bytes)| crate::event::RequestBody {
                input_truncated,
                action: crate::event::BodyAction::ReadOnly,
                ..crate::event::RequestBody::replace(&bytes)
            });
            request
        },
    )
}

fn backends_response() -> impl Strategy<Value = Response> {
    (select(&STATUSES[..]), fields(0..8), prop::bool::weighted(0.02)).prop_map(|(status, fields, is_long)| {
        let mut response = Response::new(status);
        response.headers.extend(fields);
        if is_long {
            response.headers.append("X-Long", "x".repeat(32_700));
        }
        response
    })
}

fn fields(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let hostile = ["\r\nx: y", "\0", "\u{7f}", "\u{2028}"];
    let values: Vec<_> = VALUES.into_iter().chain(hostile).collect();
    let names = prop_oneof![select(&NAMES[..]), select(&CONNECTION[..])];
    vec((names, select(values)), count)
}

fn policy() -> impl Strategy<Value = String> {
    let routes = vec(route(), 1..4);
    let parts = (backends(), routes, changes("headers.request"), changes("headers.response"), site());
    parts.prop_map(|(backends, routes, request, response, site)| {
        format!("{backends}{}{request}{response}{site}", routes.concat())
    })
}

fn backends() -> impl Strategy<Value = String> {
    let urls = [
        "https://a.example/base",
        "http://a.example:8080",
        "https://a.example:81",
        "http://192.0.2.1",
        "https://[2001:db8::1]",
    ];
    let host = select(&["client", "backend"][..]);
    let timeout = select(&["1ms", "5s", "5m"][..]);
    (select(urls.to_vec()), host, timeout, any::<bool>(), option::weighted(0.3, name_and_value())).prop_map(
        |(url, host, timeout, fails_over, header)| {
            let failover = if fails_over { "failover = [\"b\"]\n" } else { "" };
            let headers = header.map_or_else(String::new, |(name, value)| {
                format!("request-headers = {{ {name} = {} }}\n", quoted(value))
            });
            format!(
                "[backends.a]\nurl = \"{url}\"\nhost = \"{host}\"\ntimeout = \"{timeout}\"\n{failover}{headers}\
                 [backends.b]\nurl = \"https://b.example\"\n"
            )
        },
    )
}

fn route() -> impl Strategy<Value = String> {
    let further = [
        "",
        "",
        "when = { countries = [\"DE\"] }\n",
        "when = { devices = [\"mobile\"] }\n",
        "methods = [\"GET\", \"POST\"]\n",
        "cors = { origins = \"*\" }\n",
        "headers = { response = { presets = [\"security\"] } }\n",
        "headers = { response = { set = { X-City = \"{city}\" } } }\n",
    ];
    (select(&PATHS[..]), action(), select(further.to_vec()))
        .prop_map(|(path, action, further)| format!("[[routes]]\npath = \"{path}\"\n{action}{further}"))
}

fn action() -> impl Strategy<Value = String> {
    let caches = [
        "",
        "cache = { store = false }\n",
        "cache = { edge = \"1m\", browser = \"10s\", stale-if-error = \"1h\", tags = [\"t\"] }\n",
        "cache = { edge = \"1h\", set-cookie = \"strip\", key = { headers = [\"x-a\"], facts = [\"country\"] } }\n",
    ];
    let backends = ["\"a\"", "{ countries = { DE = \"b\" }, default = \"a\" }"];
    let rewrites =
        ["", "rewrite = \"/v2{path}?c={country}\"\n", "rewrite = \"/{query}{path}{path}{path}\"\n"];
    let proxy = (select(backends.to_vec()), select(caches.to_vec()), select(rewrites.to_vec()))
        .prop_map(|(backend, cache, rewrite)| format!("backend = {backend}\n{cache}{rewrite}"));
    let redirects = [
        "redirect = { to = \"https://www.example.com{path}\", status = 301 }\n",
        "redirect = { to = \"/x\", countries = { US = \"/us\" }, keep-query = true }\n",
    ];
    let bodies = (select(&STATUSES[..]), length(), any::<bool>());
    let fixed = bodies.prop_map(|(status, length, by_place)| {
        let begin = if by_place { "{country}" } else { "" };
        format!("respond = {{ status = {status}, body = \"{begin}~{length}~\" }}\n")
    });
    let handlers = select(&["echo", "long", "binary", "fail"][..]);
    prop_oneof![
        4 => proxy,
        1 => select(redirects.to_vec()).prop_map(str::to_owned),
        2 => fixed,
        1 => handlers.prop_map(|name| format!("handler = \"{name}\"\n")),
    ]
}

fn changes(section: &'static str) -> impl Strategy<Value = String> {
    let some = || option::weighted(0.3, name_and_value());
    (some(), some(), some(), prop::bool::weighted(0.05)).prop_map(move |(set, appended, removed, is_long)| {
        let mut text = format!("[{section}]\n");
        if let Some((name, value)) = set {
            let value = if is_long { quoted("~33000~") } else { quoted(value) };
            let _ = writeln!(text, "set = {{ {name} = {value} }}");
        }
        if let Some((name, value)) = appended {
            let _ = writeln!(text, "append = {{ {name} = [{}, \"2\"] }}", quoted(value));
        }
        if let Some((name, _)) = removed {
            let _ = writeln!(text, "remove = [\"{name}\"]");
        }
        text
    })
}

/// Sections of the whole site.
fn site() -> impl Strategy<Value = String> {
    let page = || option::weighted(0.5, (select(&[200_u16, 404, 500, 503][..]), length()));
    let pages = (page(), page(), any::<bool>()).prop_map(|(page, not_found, has_backend)| {
        let mut text = "[fallback]\n".to_owned();
        for (name, page) in [("page", page), ("not-found", not_found)] {
            if let Some((status, length)) = page {
                let _ = writeln!(text, "{name} = {{ status = {status}, body = \"~{length}~\" }}");
            }
        }
        if has_backend {
            text.push_str("backend = \"b\"\n");
        }
        text
    });
    let sections = [
        "[[geo.rules]]\naction = \"block\"\ncountries = [\"CN\"]\nstatus = 451\n",
        "[geo]\nunknown = \"block\"\n",
        "[bots]\ntag-header = \"X-Edge-Bot\"\n[bots.rules]\nscraper = \"block\"\nhttp-library = \"tag\"\n",
        "[experiments.hero]\npaths = [\"/\", \"/a\"]\nsticky = { cookie = \"hero\", max-age = \"30d\" }\n\
         variations = [{ name = \"one\", response-headers = { X-Cache = \"1\" } }, \
         { name = \"two\", rewrite = \"/b{path}\", request-headers = { X-Edge-A = \"2\" } }]\n",
        "[experiments.price]\nidentity-header = \"X-A\"\n\
         variations = [{ name = \"low\" }, { name = \"high\", backend = \"b\" }]\n",
        "[cors]\norigins = \"*\"\nheaders = \"*\"\n",
        "[maintenance]\nenabled = true\nstatus = 503\nbody = \"Closed\"\nretry-after = \"10m\"\n",
        "[limits]\nmax-header-bytes = \"64KiB\"\nmax-body-bytes = \"10B\"\n",
    ];
    let chosen = prop::sample::subsequence(sections.to_vec(), 0..=3);
    (pages, chosen).prop_map(|(pages, chosen)| pages + &chosen.concat())
}

fn name_and_value() -> impl Strategy<Value = (&'static str, &'static str)> {
    let names = prop_oneof![40 => select(&NAMES[..]), 1 => select(&CONNECTION[..])];
    (names, select(&VALUES[..]))
}

/// A text as TOML writes it, which takes what JSON writes.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
