//! What is kept, for how long, under which key, and what of it is sent.

use http::{Method, Request, Response};
use selvedge_cloudfront::event::Trigger;
use selvedge_cloudfront::policy::distribution::Distribution;
use selvedge_core::facts::{CountryCode, Facts};
use selvedge_emulator::EmulatorConfig;

use super::support::{Front, body, counted, distribution, header, node};
use crate::support::{AnyBody, empty, full};

const HIT: &str = "Hit from cloudfront";
const MISS: &str = "Miss from cloudfront";

/// No functions but the one that names the origin.
fn cached() -> Distribution {
    let mut distribution = distribution();
    distribution.triggers.retain(|attached| attached.trigger == Trigger::OriginRequest);
    distribution
}

#[tokio::test]
async fn a_response_is_kept_for_its_lifetime() {
    let Some(node) = node() else { return };
    let front = Front::start(&node, "", distribution(), counted("cache-control", "max-age=60")).await;
    let first = front.get("/a").await;
    assert_eq!((body(&first), header(&first, "x-cache"), header(&first, "age")), ("answer 1", MISS, ""));
    front.set_seconds(59);
    let second = front.get("/a").await;
    assert_eq!((body(&second), header(&second, "x-cache"), header(&second, "age")), ("answer 1", HIT, "59"));
    assert_ne!(header(&first, "x-amz-cf-id"), header(&second, "x-amz-cf-id"), "each request has its own");
    front.set_seconds(60);
    let third = front.get("/a").await;
    assert_eq!((body(&third), header(&third, "x-cache")), ("answer 2", MISS));
    assert_eq!(Trigger::ALL.map(|trigger| front.events(trigger).len()), [3, 2, 2, 3]);
}

#[tokio::test]
async fn lifetimes_are_those_of_a_policy_without_its_own() {
    let Some(node) = node() else { return };
    struct Row {
        header: (&'static str, &'static str),
        seconds: u64,
    }
    let rows = [
        Row { header: ("cache-control", "max-age=10, s-maxage=20"), seconds: 20 },
        Row { header: ("cache-control", "s-maxage=5, max-age=10"), seconds: 5 },
        Row { header: ("expires", "Wed, 25 Nov 2026 12:00:30 GMT"), seconds: 30 },
        Row { header: ("expires", "0"), seconds: 0 },
        Row { header: ("cache-control", "public"), seconds: 0 },
        Row { header: ("cache-control", "max-age=10, no-store"), seconds: 0 },
        Row { header: ("cache-control", "max-age=10, private"), seconds: 0 },
        Row { header: ("cache-control", "max-age=10, no-cache"), seconds: 0 },
        Row { header: ("x-nothing", "said"), seconds: 0 },
        Row { header: ("cache-control", "max-age=99999999"), seconds: 31_536_000 },
    ];
    for Row { header: (name, value), seconds } in rows {
        let front = Front::start(&node, "", cached(), counted(name, value)).await;
        assert_eq!(body(&front.get("/").await), "answer 1");
        if let Some(before) = seconds.checked_sub(1) {
            front.set_seconds(before);
            assert_eq!(body(&front.get("/").await), "answer 1", "{name}: {value} after {before} s");
        }
        front.set_seconds(seconds);
        assert_eq!(body(&front.get("/").await), "answer 2", "{name}: {value} after {seconds} s");
    }
}

#[tokio::test]
async fn the_time_in_other_caches_counts() {
    let Some(node) = node() else { return };
    let answer = |_: &_, _| {
        let response = Response::builder().header("cache-control", "max-age=60").header("age", "20");
        response.body(full("x")).unwrap()
    };
    let front = Front::start(&node, "", cached(), answer).await;
    front.get("/").await;
    front.set_seconds(39);
    let response = front.get("/").await;
    assert_eq!((header(&response, "x-cache"), header(&response, "age")), (HIT, "59"));
    front.set_seconds(40);
    assert_eq!(header(&front.get("/").await, "x-cache"), MISS);
}

#[tokio::test]
async fn what_answers_one_request_only_is_not_kept() {
    let Some(node) = node() else { return };
    let answer = |request: &Request<bytes::Bytes>, _| {
        let response = Response::builder().header("cache-control", "max-age=60");
        let response = match request.uri().path() {
            "/known" if request.headers().contains_key("if-none-match") => response.status(304),
            "/part" if request.headers().contains_key("range") => response.status(206),
            "/star" => response.header("vary", "*"),
            _ => response,
        };
        response.body(full("x")).unwrap()
    };
    let front = Front::start(&node, "", cached(), answer).await;
    for (path, name, value, status) in [
        ("/known", "if-none-match", "\"one\"", 304),
        ("/part", "range", "bytes=0-0", 206),
        ("/star", "x-nothing", "x", 200),
    ] {
        let request = Request::get(path).header(name, value).body(empty()).unwrap();
        assert_eq!(front.send(request).await.status(), status, "{path}");
        let next = front.get(path).await;
        assert_eq!((next.status().as_u16(), header(&next, "x-cache")), (200, MISS), "{path}");
    }
}

#[tokio::test]
async fn the_key_is_the_path_and_the_headers_of_the_policy() {
    let Some(node) = node() else { return };
    let function = r#""viewer-request": ({ request }) => {
        request.headers["selvedge-key"] = [{ key: "Selvedge-Key", value: request.querystring }];
        return request;
    }"#;
    let distribution = Distribution { cache_key_headers: vec!["selvedge-key".to_owned()], ..distribution() };
    let front = Front::start(&node, function, distribution, counted("cache-control", "max-age=60")).await;
    let rows = [
        ("/?a", "", "answer 1"),
        ("/?b", "", "answer 2"),
        ("/other?a", "", "answer 3"),
        ("/?a", "", "answer 1"),
        ("/?a", "gzip", "answer 4"),
        ("/?a", "deflate, gzip;q=0.1", "answer 4"),
        ("/?a", "br", "answer 5"),
        ("/?a", "deflate", "answer 1"),
    ];
    for (path, encoding, expected) in rows {
        let request = Request::get(path).header("accept-encoding", encoding).header("x-other", expected);
        let response = front.send(request.body(empty()).unwrap()).await;
        assert_eq!(body(&response), expected, "{path} with {encoding:?}");
    }
}

#[tokio::test]
async fn countries_have_their_own_responses_where_the_key_has_the_country() {
    let Some(node) = node() else { return };
    let mut config = EmulatorConfig::default();
    for (address, country) in [("203.0.113.1", "DE"), ("203.0.113.2", "FR"), ("203.0.113.3", "DE")] {
        let mut place = Facts::default();
        place.country = CountryCode::new(country);
        config.places.insert(address.parse().unwrap(), place);
    }
    let distribution =
        Distribution { cache_key_headers: vec!["cloudfront-viewer-country".to_owned()], ..cached() };
    let answer = counted("cache-control", "max-age=60");
    let front = Front::start_with(&node, "", distribution, answer, config).await;
    for (address, expected) in [
        ("203.0.113.1", "answer 1"),
        ("203.0.113.2", "answer 2"),
        ("203.0.113.3", "answer 1"),
        ("203.0.113.4", "answer 3"),
    ] {
        let request =
            Request::get("/").header("selvedge-client-ip", address).header("cloudfront-viewer-country", "DE");
        let response = front.send(request.body(empty()).unwrap()).await;
        assert_eq!(body(&response), expected, "{address}, whatever it says of itself");
    }
}

#[tokio::test]
async fn only_get_and_head_have_a_cache() {
    let Some(node) = node() else { return };
    let front = Front::start(&node, "", cached(), counted("cache-control", "max-age=60")).await;
    for method in [Method::POST, Method::OPTIONS] {
        for _ in 0..2 {
            let request = Request::builder().method(&method).uri("/").body(full("x")).unwrap();
            assert_eq!(header(&front.send(request).await, "x-cache"), MISS, "{method}");
        }
    }
    let head = || Request::head("/").body(empty()).unwrap();
    assert_eq!(header(&front.send(head()).await, "x-cache"), MISS);
    assert_eq!(header(&front.send(head()).await, "x-cache"), HIT);
    assert_eq!(header(&front.get("/").await, "x-cache"), MISS, "a HEAD has no body to answer with");
    assert_eq!(header(&front.get("/").await, "x-cache"), HIT);
    front.get("/page").await;
    let request = Request::head("/page").body(empty()).unwrap();
    let response = front.send(request).await;
    assert_eq!((header(&response, "x-cache"), header(&response, "content-length")), (HIT, "8"));
}

#[tokio::test]
async fn cookies_are_kept_with_a_response() {
    let Some(node) = node() else { return };
    let answer = |_: &_, _| {
        let response = Response::builder().header("cache-control", "max-age=60");
        response.header("set-cookie", "a=1").header("set-cookie", "b=2").body(full("x")).unwrap()
    };
    let front = Front::start(&node, "", cached(), answer).await;
    front.get("/").await;
    let response = front.get("/").await;
    assert_eq!(header(&response, "x-cache"), HIT);
    assert_eq!(response.headers().get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
}

#[tokio::test]
async fn errors_are_kept_by_their_own_headers_only() {
    let Some(node) = node() else { return };
    let answer = |request: &Request<bytes::Bytes>, _| {
        let (status, control) = request.uri().path()[1..].split_once('/').unwrap();
        let response = Response::builder().status(status).header("cache-control", control);
        response.body(full("sorry")).unwrap()
    };
    let front = Front::start(&node, "", cached(), answer).await;
    for (path, kept) in [
        ("/404/max-age=60", true),
        ("/404/public", false),
        ("/403/max-age=60", true),
        ("/401/max-age=60", false),
        ("/503/max-age=60", true),
        ("/503/no-store", false),
    ] {
        front.get(path).await;
        let expected = if kept { HIT } else { "Error from cloudfront" };
        assert_eq!(header(&front.get(path).await, "x-cache"), expected, "{path}");
    }
}

#[tokio::test]
async fn a_client_that_has_the_response_gets_304_and_one_that_wants_a_part_gets_it() {
    let Some(node) = node() else { return };
    let answer = |_: &_, _| {
        let response = Response::builder().header("cache-control", "max-age=60").header("etag", "\"one\"");
        response.header("last-modified", "Wed, 25 Nov 2026 11:00:00 GMT").body(full("0123456789")).unwrap()
    };
    let front = Front::start(&node, "", cached(), answer).await;
    front.get("/").await;
    struct Row {
        headers: &'static [(&'static str, &'static str)],
        status: u16,
        body: &'static str,
    }
    let rows = [
        Row { headers: &[("if-none-match", "\"two\", W/\"one\"")], status: 304, body: "" },
        Row { headers: &[("if-none-match", "\"two\"")], status: 200, body: "0123456789" },
        Row { headers: &[("if-modified-since", "Wed, 25 Nov 2026 11:00:00 GMT")], status: 304, body: "" },
        Row {
            headers: &[("if-modified-since", "Wed, 25 Nov 2026 10:59:59 GMT")],
            status: 200,
            body: "0123456789",
        },
        Row { headers: &[("range", "bytes=2-4")], status: 206, body: "234" },
        Row { headers: &[("range", "bytes=-3")], status: 206, body: "789" },
        Row { headers: &[("range", "bytes=8-100")], status: 206, body: "89" },
        Row { headers: &[("range", "bytes=10-")], status: 416, body: "" },
        Row { headers: &[("range", "bytes=4-2")], status: 200, body: "0123456789" },
        Row { headers: &[("range", "bytes=1-1"), ("if-range", "\"two\"")], status: 200, body: "0123456789" },
        Row { headers: &[("range", "bytes=1-1"), ("if-range", "\"one\"")], status: 206, body: "1" },
    ];
    for row in rows {
        let request = row
            .headers
            .iter()
            .fold(Request::get("/"), |request, (name, value)| request.header(*name, *value));
        let response = front.send(request.body(empty()).unwrap()).await;
        assert_eq!(
            (response.status().as_u16(), body(&response)),
            (row.status, row.body),
            "{:?}",
            row.headers
        );
        assert_eq!(header(&response, "x-cache"), HIT, "{:?}", row.headers);
    }
    assert_eq!(front.origin.requests().len(), 1);
}

#[tokio::test]
async fn an_expired_response_is_confirmed_by_the_origin() {
    let Some(node) = node() else { return };
    let answer = |request: &Request<bytes::Bytes>, number| {
        let is_known = request.headers().get("if-none-match").is_some_and(|tag| tag == "\"one\"");
        let response = Response::builder().header("cache-control", "max-age=10").header("x-number", number);
        if is_known {
            return response.status(304).body(empty()).unwrap();
        }
        response.header("etag", "\"one\"").body(full(format!("answer {number}"))).unwrap()
    };
    let front = Front::start(&node, "", distribution(), answer).await;
    front.get("/").await;
    front.set_seconds(10);
    let refreshed = front.get("/").await;
    assert_eq!((refreshed.status().as_u16(), body(&refreshed)), (200, "answer 1"));
    assert_eq!(
        (header(&refreshed, "x-cache"), header(&refreshed, "x-number")),
        ("RefreshHit from cloudfront", "2")
    );
    assert_eq!(front.events(Trigger::OriginResponse)[1].response.clone().unwrap().status, "304");
    front.set_seconds(19);
    assert_eq!(header(&front.get("/").await, "x-cache"), HIT, "its lifetime begins again");
}

#[tokio::test]
async fn an_expired_response_answers_while_it_is_fetched_anew() {
    let Some(node) = node() else { return };
    let control = "max-age=10, stale-while-revalidate=20";
    let front = Front::start(&node, "", cached(), counted("cache-control", control)).await;
    front.get("/").await;
    front.set_seconds(29);
    let stale = front.get("/").await;
    assert_eq!((body(&stale), header(&stale, "x-cache"), header(&stale, "age")), ("answer 1", HIT, "29"));
    let mut newest = front.get("/").await;
    while body(&newest) == "answer 1" {
        newest = front.get("/").await;
    }
    assert_eq!((body(&newest), header(&newest, "age")), ("answer 2", "0"));
    assert_eq!(front.origin.requests().len(), 2, "one request fetches it for all");
    front.set_seconds(29 + 30);
    assert_eq!(body(&front.get("/").await), "answer 3", "its time is over");
}

#[tokio::test]
async fn an_expired_response_answers_when_the_origin_fails() {
    let Some(node) = node() else { return };
    struct Row {
        control: &'static str,
        seconds: u64,
        status: u16,
    }
    let rows = [
        Row { control: "max-age=10, stale-if-error=20", seconds: 29, status: 200 },
        Row { control: "max-age=10, stale-if-error=20", seconds: 30, status: 503 },
        Row { control: "max-age=10, stale-if-error=0", seconds: 10, status: 503 },
        Row { control: "max-age=10", seconds: 86_400, status: 200 },
        Row { control: "max-age=10, must-revalidate", seconds: 10, status: 503 },
    ];
    for Row { control, seconds, status } in rows {
        let answer = move |_: &Request<bytes::Bytes>, number| -> Response<AnyBody> {
            let response = Response::builder().header("cache-control", control);
            let status = if number == 1 { 200 } else { 503 };
            response.status(status).body(full(format!("answer {number}"))).unwrap()
        };
        let front = Front::start(&node, "", cached(), answer).await;
        front.get("/").await;
        front.set_seconds(seconds);
        let response = front.get("/").await;
        assert_eq!(response.status(), status, "{control} after {seconds} s");
        assert_eq!(front.origin.requests().len(), 2, "{control}: the origin was asked");
    }
}

#[tokio::test]
async fn a_long_body_streams_and_is_not_kept() {
    let Some(node) = node() else { return };
    let length = 8 * 1024 * 1024 + 1;
    let answer = move |_: &_, _| {
        Response::builder().header("cache-control", "max-age=60").body(full(vec![b'x'; length])).unwrap()
    };
    let front = Front::start(&node, "", cached(), answer).await;
    for _ in 0..2 {
        let response = front.get("/").await;
        assert_eq!((response.body().len(), header(&response, "x-cache")), (length, MISS));
    }
}
