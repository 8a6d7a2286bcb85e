//! What HTTP means survives the way through the Worker.

use super::client::{send, send_bare};
use super::edge::shared;

#[test]
fn repeated_fields_stay_what_they_are() {
    let edge = shared();
    let answer = send(edge.address(), "GET", "/fields", &[]);
    let cookies = ["a=1; Expires=Wed, 25 Nov 2026 08:00:00 GMT", "b=2"];
    assert_eq!(answer.all("set-cookie"), cookies, "a comma within a cookie must not join two of them");
    assert_eq!(answer.all("link").join(", "), "</a.css>; rel=preload, </b.css>; rel=preload");
    assert_eq!(answer.all("vary").join(", "), "accept, accept-language");
}

#[test]
fn the_answer_to_head_has_the_length_and_no_body() {
    let edge = shared();
    let answer = send(edge.address(), "HEAD", "/length", &[]);
    assert_eq!((answer.status, answer.all("content-length"), answer.text()), (200, vec!["5"], ""));
}

#[test]
fn statuses_without_content_come_without() {
    let edge = shared();
    let answer = send(edge.address(), "GET", "/no-content", &[]);
    assert_eq!((answer.status, answer.all("x-kept"), answer.text()), (204, vec!["1"], ""));
    let answer = send(edge.address(), "GET", "/conditional", &[("If-None-Match", "\"v1\"")]);
    assert_eq!((answer.status, answer.all("etag"), answer.text()), (304, vec!["\"v1\""], ""));
}

#[test]
fn a_range_is_the_backends_to_answer() {
    let edge = shared();
    let answer = send(edge.address(), "GET", "/range", &[("Range", "bytes=1-3")]);
    assert_eq!((answer.status, answer.text()), (206, "ell"));
    assert_eq!(answer.all("content-range"), ["bytes 1-3/5"]);
}

#[test]
fn an_address_counts_only_when_cloudflare_tells_it() {
    let edge = shared();
    let pretended = [("CF-Connecting-IP", "203.0.113.9"), ("X-Forwarded-For", "203.0.113.9")];
    let answer = send_bare(edge.address(), "GET", "/address", &pretended);
    assert_eq!(
        (answer.status, answer.text()),
        (200, "nobody"),
        "there is no request.cf, so nobody knows the client"
    );
    let answer = send(edge.address(), "GET", "/address", &pretended);
    assert_eq!(
        (answer.status, answer.text()),
        (200, "203.0.113.9"),
        "with request.cf it came through Cloudflare"
    );
}

#[test]
fn a_place_is_known_from_request_cf_alone() {
    let edge = shared();
    let blocked = send_bare(edge.address(), "GET", "/", &[("selvedge-cf", "{\"country\":\"CN\"}")]);
    assert_eq!(blocked.status, 403);
    let pretended = send(edge.address(), "GET", "/", &[("CF-IPCountry", "CN")]);
    assert_eq!(pretended.status, 200, "a client's own word blocks nobody");
}
