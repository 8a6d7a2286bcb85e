//! The access log on Lambda@Edge: one line for each request, in the event that is the function's last of it.

use std::path::Path;
use std::process::Command;

use selvedge_cloudfront::event::{Cf, Response, Trigger};
use selvedge_core::log::{Log, LogQuery};
use selvedge_emulator::runtime::cloudfront::program;
use serde_json::{Value, json};

use super::events::{answered, at, behind, forwarded, get};
use super::functions::Functions;

/// What a client says and nobody else may know.
const CLIENTS: [(&str, &str); 2] =
    [("Authorization", "Bearer topsecret"), ("Cookie", "session=topsecret; hero=odd")];

fn logging(share: f64) -> Functions {
    Functions::start_with(|settings| settings["accessLog"] = share.into())
}

fn named(mut cf: Cf, id: &str) -> Cf {
    cf.config.request_id = id.to_owned();
    cf
}

/// Sends a page's request through all triggers.
fn page(functions: &Functions) {
    let entered = forwarded(functions.call(at(
        Trigger::ViewerRequest,
        get("/items/1?token=topsecret", &CLIENTS),
        None,
    )));
    let sent = forwarded(functions.call(behind(entered.clone(), false)));
    let arrived = answered(functions.call(at(Trigger::OriginResponse, sent, Some(Response::new(200)))));
    functions.call(named(at(Trigger::ViewerResponse, entered, Some(arrived)), "page=="));
}

/// The lines about requests.
fn lines(functions: &Functions) -> Vec<Value> {
    let log = functions.log();
    assert!(!log.contains("topsecret") && !log.contains("203.0.113.7"), "{log}");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["selvedge"] == "access").collect()
}

#[test]
fn each_request_has_one_line_wherever_it_ends() {
    let functions = logging(1.0);
    for id in ["first", "second"] {
        functions.call(named(at(Trigger::ViewerRequest, get("/hello", &CLIENTS), None), id));
    }
    page(&functions);
    let entered = forwarded(functions.call(at(Trigger::ViewerRequest, get("/panic", &CLIENTS), None)));
    functions.call(named(behind(entered, false), "panic"));
    let entered = forwarded(functions.call(at(Trigger::ViewerRequest, get("/items/2", &CLIENTS), None)));
    let sent = forwarded(functions.call(behind(entered, false)));
    functions.call(named(at(Trigger::OriginResponse, sent, Some(Response::new(404))), "missing"));
    let lines = lines(&functions);
    let found: Vec<_> = lines
        .iter()
        .map(|line| ["request_id", "trigger", "status", "outcome", "route"].map(|name| line[name].clone()))
        .collect();
    let expected = [
        [json!("first"), json!("viewer-request"), json!(200), json!("route.responded"), json!("/hello")],
        [json!("second"), json!("viewer-request"), json!(200), json!("route.responded"), json!("/hello")],
        [
            json!("page=="),
            json!("viewer-response"),
            json!(200),
            json!("backend.responded"),
            json!("/items/{id}"),
        ],
        [json!("panic"), json!("origin-request"), json!(503), json!("fallback.page"), json!("/panic")],
        [
            json!("missing"),
            json!("origin-response"),
            json!(404),
            json!("backend.responded"),
            json!("/items/{id}"),
        ],
    ];
    assert_eq!(found, expected, "{lines:#?}");
    let page = &lines[2];
    assert_eq!(
        (&page["path"], page.get("query"), &page["method"]),
        (&json!("/items/1"), None, &json!("GET"))
    );
    assert_eq!(
        (&page["host"], &page["variations"]),
        (&json!("shop.example.com"), &json!({ "hero": "odd" })),
        "{page}"
    );
    assert!(page["user_agent"].as_str().unwrap().contains("Firefox"), "{page}");
    assert_eq!(page["level"], "INFO", "as on every platform");
    assert!(page["time"].as_str().unwrap().ends_with('Z') && page["head_ms"].is_number(), "{page}");
}

#[test]
fn a_sample_has_every_failure_and_without_a_share_there_is_no_line() {
    let functions = logging(0.0);
    page(&functions);
    let entered = forwarded(functions.call(at(Trigger::ViewerRequest, get("/fail", &CLIENTS), None)));
    functions.call(behind(entered, false));
    let failures = lines(&functions);
    assert_eq!((failures.len(), &failures[0]["status"]), (1, &json!(503)), "{failures:#?}");
    let silent = Functions::start();
    page(&silent);
    assert_eq!(lines(&silent), Vec::<Value>::new());
}

/// What the writer of JavaScript hosts makes of a request, as it stands in the log.
fn written(told: &Value, log: Log) -> String {
    const WRITE: &str = "import { accessLine, written } from './access_line.mjs'; \
        const [told, allowed] = process.argv.slice(1); \
        console.log(written(accessLine(JSON.parse(told), Number(allowed))));";
    printed(WRITE, &[&told.to_string(), &log.bits().to_string()])
}

/// The line that a script beside the modules of JavaScript hosts prints.
fn printed(script: &str, arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(program(&root.join("deploy")).unwrap())
        .args(["--input-type=module", "--eval", script])
        .args(arguments)
        .current_dir(root.join("adapters/js"))
        .output()
        .unwrap();
    let (line, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    line.strip_suffix('\n').unwrap_or_else(|| panic!("{error}")).to_owned()
}

/// A request of which everything is told.
fn request() -> Value {
    json!({
        "started": 0, "names": ["/a", "b", "person", "backend.connect", "2"], "records": [], "path": "/\u{9b}2J\u{202e}",
        "query": "token=topsecret&page", "address": "203.0.113.7", "userAgent": "agent\u{7f}\u{2066}",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "cacheStatus": "A;detail=\"x;key=y\", B;hit; key=\"a;\\\"topsecret\", C;key=topsecret;ttl=3",
    })
}

#[test]
fn a_line_holds_of_clients_what_the_policy_allows() {
    let (address, agent) = (json!("203.0.113.7"), json!("agent\u{7f}\u{2066}"));
    let hidden = json!("A;detail=\"x;key=y\", B;hit, C;ttl=3");
    let rows = [
        (Log::default(), [Value::Null, Value::Null, Value::Null, hidden.clone()]),
        (
            Log { client_address: true, ..Log::default() },
            [Value::Null, address.clone(), Value::Null, hidden.clone()],
        ),
        (Log { user_agent: true, ..Log::default() }, [Value::Null, Value::Null, agent, hidden.clone()]),
        (
            Log { query: LogQuery::Names, ..Log::default() },
            [json!("token&page"), Value::Null, Value::Null, hidden],
        ),
        (
            Log { query: LogQuery::Whole, ..Log::default() },
            [json!("token=topsecret&page"), Value::Null, Value::Null, request()["cacheStatus"].clone()],
        ),
    ];
    for (log, expected) in rows {
        let line: Value = serde_json::from_str(&written(&request(), log)).unwrap();
        let told = ["query", "address", "user_agent", "cache_status"].map(|name| line[name].clone());
        assert_eq!(told, expected, "{log:?}");
        assert_eq!(
            (&line["failed_over"], &line["attempts"]),
            (&json!("backend.connect"), &json!(2)),
            "{line}"
        );
    }
}

#[test]
fn nothing_of_a_line_is_a_command_to_a_terminal() {
    let line = written(&request(), Log { user_agent: true, ..Log::default() });
    assert!(line.contains(r#""path":"/\u009b2J\u202e""#), "{line:?}");
    assert!(line.contains(r#""user_agent":"agent\u007f\u2066""#), "{line:?}");
    assert!(line.is_ascii(), "{line:?}");
}

#[test]
fn a_valid_trace_of_the_client_is_told() {
    let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let rows = [
        (valid.to_owned(), true),
        (format!("{valid}-more"), false),
        (format!("cc{}-more", &valid[2..]), true),
        (format!("ff{}", &valid[2..]), false),
        (valid.to_uppercase(), false),
        (format!("{valid}, {valid}"), false),
        (valid.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)), false),
        (String::new(), false),
    ];
    for (traceparent, is_told) in rows {
        let mut told = request();
        told["traceparent"] = traceparent.clone().into();
        let line: Value = serde_json::from_str(&written(&told, Log::default())).unwrap();
        let expected = is_told.then(|| json!("0af7651916cd43dd8448eb211c80319c"));
        assert_eq!(line.get("trace_id"), expected.as_ref(), "{traceparent}");
    }
}

#[test]
fn waits_that_overlap_count_once_on_javascript_hosts() {
    // The second request to a backend leaves after 5 ms and answers after 7 more; the first one never does.
    const WAIT: &str = r#"
        import { AccessLog } from "./access.mjs";
        let [now, line, answer] = [0, null, null];
        const platform = {
          fetch: () => new Promise((resolve) => { answer = resolve; }),
          cacheGet: async () => { now += 3; return null; },
          access: (told) => { line = told; },
        };
        const host = { now: () => now, facts: () => "\n".repeat(13), platform: () => platform };
        const request = new Request("http://shop.test/a");
        const observed = AccessLog.of({ SELVEDGE_ACCESS_LOG: "1" }).begin(request, host, new Uint8Array(16));
        const watched = observed.watched().platform(request);
        await watched.cacheGet("key");
        now += 1;
        watched.fetch("first");
        now += 5;
        const second = watched.fetch("second");
        now += 7;
        answer();
        await second;
        now += 2;
        observed.answered({ status: 200, names: "", fields: [], body: null, handle: null, reason: "a", cache: "" }, []);
        console.log(JSON.stringify([line.cache_ms, line.origin_ms, line.head_ms]));
    "#;
    assert_eq!(printed(WAIT, &[]), "[3,12,18]");
}
