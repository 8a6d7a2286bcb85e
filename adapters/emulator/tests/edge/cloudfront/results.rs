//! Results that CloudFront does not take, and functions that have none.

use selvedge_cloudfront::event::Trigger;

use super::support::{Front, body, counted, distribution, header, node};

/// A function, what its answer has to say, and with which status.
struct Row {
    function: &'static str,
    status: u16,
    x_cache: &'static str,
    says: &'static [&'static str],
}

const VALIDATION: &str = "LambdaValidationError from cloudfront";
const EXECUTION: &str = "LambdaExecutionError from cloudfront";

const ROWS: [Row; 9] = [
    Row {
        function: r#""viewer-request": ({ request }) => {
            request.headers.connection = [{ key: "Connection", value: "close" }];
            return request;
        }"#,
        status: 502,
        x_cache: VALIDATION,
        says: &["viewer-request", "connection", "disallowed-header", "https://docs.aws.amazon.com/"],
    },
    Row {
        function: r#""viewer-request": ({ request }) => {
            request.headers.host = [{ key: "Host", value: "other.example" }];
            return request;
        }"#,
        status: 502,
        x_cache: VALIDATION,
        says: &["viewer-request", "host", "read-only-header"],
    },
    Row {
        function: r#""origin-request": ({ request }) => {
            delete request.headers.via;
            return to(request, ORIGIN_PORT);
        }"#,
        status: 502,
        x_cache: VALIDATION,
        says: &["origin-request", "via", "read-only-header"],
    },
    Row {
        function: r#""origin-response": ({ response }) => {
            response.headers["x-cache"] = [{ key: "X-Cache", value: "none" }];
            return response;
        }"#,
        status: 502,
        x_cache: VALIDATION,
        says: &["origin-response", "x-cache", "disallowed-header"],
    },
    Row {
        function: r#""viewer-response": ({ response }) => ({ ...response, status: "404" })"#,
        status: 502,
        x_cache: VALIDATION,
        says: &["viewer-response", "status"],
    },
    Row {
        function: r#""viewer-request": () => ({ status: 200 })"#,
        status: 502,
        x_cache: VALIDATION,
        says: &["viewer-request", "status", "string"],
    },
    Row {
        function: r#""viewer-request": () => undefined"#,
        status: 502,
        x_cache: VALIDATION,
        says: &["viewer-request", "neither a request nor a response"],
    },
    Row {
        function: r#""origin-request": () => { throw new TypeError("no such field"); }"#,
        status: 503,
        x_cache: EXECUTION,
        says: &["origin-request", "TypeError: no such field"],
    },
    Row {
        function: r#""viewer-request": () => ({ status: "200", body: "x".repeat(6 * 1024 * 1024) })"#,
        status: 503,
        x_cache: EXECUTION,
        says: &["viewer-request", "6291456 bytes"],
    },
];

#[tokio::test]
async fn what_cloudfront_refuses_is_explained() {
    let Some(node) = node() else { return };
    for row in ROWS {
        let front = Front::start(&node, row.function, distribution(), counted("x-origin", "yes")).await;
        let response = front.get("/").await;
        let text = body(&response);
        assert_eq!(response.status(), row.status, "{}: {text}", row.function);
        assert_eq!(header(&response, "x-cache"), row.x_cache, "{}: {text}", row.function);
        for word in row.says {
            assert!(text.contains(word), "{}: {word:?} is not in {text:?}", row.function);
        }
        let later = front.events(Trigger::ViewerResponse).len();
        assert_eq!(
            later,
            usize::from(text.contains("viewer-response")),
            "{}: an error ends it",
            row.function
        );
    }
}

#[tokio::test]
async fn a_function_that_is_gone_is_an_error_that_says_so() {
    let Some(node) = node() else { return };
    let function = r#""viewer-request": () => process.exit(7)"#;
    let front = Front::start(&node, function, distribution(), counted("x-origin", "yes")).await;
    let response = front.get("/").await;
    assert_eq!((response.status().as_u16(), header(&response, "x-cache")), (503, EXECUTION));
    assert!(body(&response).contains("ended without a result"), "{}", body(&response));
}
