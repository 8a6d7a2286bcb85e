//! One process answers event after event, many at once, and keeps nothing of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use selvedge_cloudfront::event::{Response, Trigger};

use super::events::{answered, at, behind, body, forwarded, get, request, shown};
use super::functions::Functions;

/// Events under way at once.
const CLIENTS: usize = 16;

/// Events of a visit; see [`visit`].
const EVENTS: usize = 10;

/// Visits until everything is as warm as it gets, and all of them.
const WARM: usize = 200;
const VISITS: usize = 1_000;

/// Bytes of cookies that five events of a visit carry.
const COOKIE_BYTES: usize = 12_000;

/// How much more memory may be in use after the last event than after the warm ones: half of what it were if one copy
/// of each event's cookies was kept. V8 and the module take memory in steps of some megabytes, which end after some
/// thousand events.
const MAX_GROWTH: u64 = ((VISITS - WARM) * 5 * COOKIE_BYTES / 2) as u64;

#[test]
fn ten_thousand_events_are_answered_each_with_its_own_answer_and_none_is_kept() {
    assert_eq!(VISITS * EVENTS, 10_000);
    let functions = Functions::start();
    visits(&functions, 0..WARM);
    let warm = functions.resident_bytes();
    visits(&functions, WARM..VISITS);
    let last = functions.resident_bytes();
    assert!(last < warm + MAX_GROWTH, "{warm} bytes became {last}, more than {MAX_GROWTH} more");
}

fn visits(functions: &Functions, numbers: std::ops::Range<usize>) {
    let next = AtomicUsize::new(numbers.start);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= numbers.end {
                        break;
                    }
                    visit(functions, number);
                }
            });
        }
    });
}

/// What one visitor brings about: every trigger, and every kind of answer.
fn visit(functions: &Functions, number: usize) {
    let hello = at(Trigger::ViewerRequest, get("/hello", &[]), None);
    assert_eq!(shown(functions.call(hello)), ("200".to_owned(), "hello".to_owned()));
    let lost = at(Trigger::ViewerRequest, get(&format!("/none/{number}"), &[]), None);
    assert_eq!(shown(functions.call(lost)), ("404".to_owned(), "Not found".to_owned()));
    stored(functions, number);
    let echo = format!("/echo/{number}");
    let mut event = behind(request("POST", &echo, &[("Content-Length", "6")]), false);
    event.request.body = body(format!("no {number}").as_bytes());
    assert_eq!(shown(functions.call(event)), ("200".to_owned(), format!("POST {number}: no {number}")));
    let fetched = shown(functions.call(behind(get("/fetch", &[]), false)));
    assert_eq!(fetched, ("200".to_owned(), "GET /a/from-handler?x=1, 15 bytes of token".to_owned()));
    let here = shown(functions.call(behind(get("/here", &[]), false)));
    assert_eq!(here, ("200".to_owned(), "DE".to_owned()));
}

/// A backend's page through all triggers, and the same from the second origin.
fn stored(functions: &Functions, number: usize) {
    let hero = if number.is_multiple_of(2) { "even" } else { "odd" };
    let cookies = format!("hero={hero}; rest={}", "x".repeat(COOKIE_BYTES));
    let target = format!("/items/{number}?q={number}");
    let came = get(&target, &[("Cookie", &cookies)]);
    let entered = forwarded(functions.call(at(Trigger::ViewerRequest, came, None)));
    let sent = forwarded(functions.call(behind(entered.clone(), false)));
    assert_eq!(
        (sent.uri.as_str(), sent.querystring),
        (&*format!("/a/items/{number}"), format!("q={number}"))
    );
    assert_eq!(
        (sent.headers.first("x-hero"), sent.headers.first("x-token").map(str::len)),
        (Some(hero), Some(15))
    );
    let sent = forwarded(functions.call(behind(entered.clone(), false)));
    let mut response = Response::new(200);
    response.headers.append("X-Number", number.to_string());
    let arrived = answered(functions.call(at(Trigger::OriginResponse, sent, Some(response))));
    assert!(
        arrived.headers.first("cache-control").is_some_and(|text| text.starts_with("max-age=60")),
        "{arrived:?}"
    );
    let left = answered(functions.call(at(Trigger::ViewerResponse, entered.clone(), Some(arrived))));
    assert_eq!(left.headers.first("x-number"), Some(&*number.to_string()));
    assert_eq!(
        left.headers.first("cache-status"),
        Some("Selvedge;fwd=uri-miss;stored;detail=backend.responded")
    );
    assert!(!left.headers.contains("selvedge-state"), "{left:?}");
    let second = shown(functions.call(behind(entered, true)));
    let expected = format!("GET /b/items/{number}?q={number}, 15 bytes of token");
    assert_eq!(second, ("200".to_owned(), expected));
}
