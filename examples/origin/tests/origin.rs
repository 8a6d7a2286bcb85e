//! The origin's promises, one request at a time.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use selvedge_origin::{Origin, OriginConfig};
use tower::ServiceExt as _;

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

async fn send(
    origin: &Origin,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &'static str,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = origin.router().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, body: String::from_utf8_lossy(&body).into_owned() }
}

async fn get(path: &str, headers: &[(&str, &str)]) -> Answer {
    send(&origin().await, Method::GET, path, headers, "").await
}

async fn origin() -> Origin {
    Origin::new(&OriginConfig::default()).await.unwrap()
}

#[tokio::test]
async fn every_route_answers_with_its_status_and_content() {
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], u16, &'a str);
    let rows: [Row<'_>; 16] = [
        ("/", &[], 200, "data-hero=\"control\""),
        ("/", &[("x-hero", "bold")], 200, "data-hero=\"bold\""),
        ("/", &[("x-hero", "calm")], 200, "data-hero=\"calm\""),
        ("/", &[("x-hero", "<script>")], 200, "data-hero=\"control\""),
        ("/about", &[], 200, "selvedge"),
        ("/products", &[], 200, "49.00"),
        ("/static/site.css", &[], 200, "--thread"),
        ("/static/nothing.css", &[], 404, "error"),
        ("/api/user?id=1", &[], 200, "Ada Weaver"),
        ("/api/user?id=99", &[], 404, "error"),
        ("/api/user?id=x", &[], 400, "error"),
        ("/api/user", &[], 400, "error"),
        ("/api/content", &[("x-region", "eu")], 200, "\"region\":\"eu\""),
        ("/api/content", &[("x-region", "mars")], 200, "\"region\":\"global\""),
        ("/health", &[], 200, "ok"),
        ("/nowhere", &[], 404, "error"),
    ];
    for (path, headers, status, content) in rows {
        let answer = get(path, headers).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert!(answer.body.contains(content), "{path} holds {content}: {}", answer.body);
    }
}

#[tokio::test]
async fn the_hero_is_there_in_every_width_and_format() {
    let page = get("/", &[]).await.body;
    for width in [320, 640, 1280] {
        for (ending, media_type, start) in [
            ("jpg", "image/jpeg", "\u{fffd}\u{fffd}"),
            ("webp", "image/webp", "RIFF"),
            ("avif", "image/avif", "\0\0\0"),
        ] {
            let path = format!("/static/hero-{width}.{ending}");
            let answer = get(&path, &[]).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            assert_eq!(answer.headers[header::CONTENT_TYPE], media_type, "{path}");
            assert_eq!(answer.headers[header::CACHE_CONTROL], "public, max-age=300", "{path}");
            assert!(answer.body.starts_with(start), "{path} is what it says");
            let etag = answer.headers[header::ETAG].to_str().unwrap();
            assert_eq!(
                get(&path, &[("if-none-match", etag)]).await.status,
                StatusCode::NOT_MODIFIED,
                "{path}"
            );
            assert_eq!(
                page.contains(&path),
                ending != "jpg",
                "the page offers {path} to those who can show it"
            );
        }
    }
}

#[tokio::test]
async fn whatever_an_edge_may_keep_has_tags() {
    let rows = [
        ("/", "home pages"),
        ("/about", "about pages"),
        ("/products", "products pages"),
        ("/static/hero.jpg", "static"),
        ("/api/content", "content"),
        ("/api/user?id=1", "user-1"),
        ("/api/products/1", "product-1"),
    ];
    for (path, tags) in rows {
        assert_eq!(get(path, &[]).await.headers["surrogate-key"], tags, "{path}");
    }
}

#[tokio::test]
async fn an_origin_without_faults_fails_for_nobody() {
    let origin = Origin::new(&OriginConfig { faults: false, ..OriginConfig::default() }).await.unwrap();
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let answer = send(&origin, method.clone(), "/_switch", &[], r#"{"fail":503}"#).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method}");
    }
    let headers = [("x-origin-fail", "500"), ("x-origin-delay", "60000ms")];
    assert_eq!(send(&origin, Method::GET, "/about", &headers, "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn conditional_requests_are_answered_by_their_validators() {
    let first = get("/static/site.css", &[]).await;
    let etag = first.headers[header::ETAG].to_str().unwrap().to_owned();
    let modified = first.headers[header::LAST_MODIFIED].to_str().unwrap().to_owned();
    let rows: [(&[(&str, &str)], u16); 7] = [
        (&[("if-none-match", &etag)], 304),
        (&[("if-none-match", &format!("\"other\", W/{etag}"))], 304),
        (&[("if-none-match", "*")], 304),
        (&[("if-none-match", "\"other\"")], 200),
        (&[("if-modified-since", &modified)], 304),
        (&[("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], 200),
        (&[("if-none-match", "\"other\""), ("if-modified-since", &modified)], 200),
    ];
    for (headers, status) in rows {
        let answer = get("/static/site.css", headers).await;
        assert_eq!(answer.status.as_u16(), status, "{headers:?}");
        assert_eq!(answer.body.is_empty(), status == 304, "a 304 has no content: {headers:?}");
    }
}

#[tokio::test]
async fn one_range_is_answered_with_that_part() {
    let whole = get("/static/site.css", &[]).await.body;
    let part = get("/static/site.css", &[("range", "bytes=0-4")]).await;
    assert_eq!((part.status.as_u16(), part.body.as_str()), (206, &whole[..5]));
    assert_eq!(part.headers[header::CONTENT_RANGE], format!("bytes 0-4/{}", whole.len()));
    let beyond = get("/static/site.css", &[("range", "bytes=999999-")]).await;
    assert_eq!(beyond.status.as_u16(), 416);
    let changed = get("/static/site.css", &[("range", "bytes=0-4"), ("if-range", "\"other\"")]).await;
    assert_eq!(changed.status.as_u16(), 200, "a part of another version would not fit");
}

#[tokio::test]
async fn the_switch_fails_the_paths_it_names_until_it_is_cleared() {
    let origin = origin().await;
    let set = send(&origin, Method::PUT, "/_switch", &[], r#"{"fail":503,"path":"/api"}"#).await;
    assert_eq!(set.status, StatusCode::OK);
    assert_eq!(send(&origin, Method::GET, "/api/content", &[], "").await.status.as_u16(), 503);
    assert_eq!(send(&origin, Method::GET, "/", &[], "").await.status.as_u16(), 200, "other paths go on");
    assert_eq!(send(&origin, Method::DELETE, "/_switch", &[], "").await.status.as_u16(), 204);
    assert_eq!(send(&origin, Method::GET, "/api/content", &[], "").await.status.as_u16(), 200);
    assert_eq!(
        get("/", &[("x-origin-fail", "502")]).await.status.as_u16(),
        502,
        "one request can fail alone"
    );
    let slow = send(&origin, Method::PUT, "/_switch", &[], r#"{"delay_ms":60001}"#).await;
    assert_eq!(slow.status.as_u16(), 400, "delays are bounded");
}

#[tokio::test]
async fn what_reaches_the_origin_is_counted_by_path() {
    let origin = origin().await;
    for path in ["/", "/", "/health"] {
        send(&origin, Method::GET, path, &[], "").await;
    }
    let counts = send(&origin, Method::GET, "/_requests", &[], "").await.body;
    assert_eq!(counts, r#"{"/":2,"/health":1}"#);
}

#[tokio::test]
async fn the_echo_repeats_method_headers_and_body() {
    let answer =
        send(&origin().await, Method::POST, "/api/echo?a=1", &[("x-a", "1"), ("x-a", "2")], "hello").await;
    for piece in [r#""method":"POST""#, r#"["x-a","1"],["x-a","2"]"#, r#""query":"a=1""#, r#""body":"hello""#]
    {
        assert!(answer.body.contains(piece), "{piece} in {}", answer.body);
    }
}
