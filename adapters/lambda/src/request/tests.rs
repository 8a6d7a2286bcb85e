use bytes::Bytes;

use super::*;
use crate::event::Event;

fn accepted(text: &str) -> Result<Request<Bytes>, BadRequest> {
    let event = Event::parse(&Bytes::copy_from_slice(text.as_bytes())).expect("it is an event");
    let Event::Http(mut event) = event else { panic!("it is a request") };
    accept(&mut event)
}

fn values<'a>(request: &'a Request<Bytes>, name: &str) -> Vec<&'a [u8]> {
    request.headers().get_all(name).iter().map(HeaderValue::as_bytes).collect()
}

#[test]
fn version_2_keeps_joined_headers_cookies_and_the_raw_target() {
    let request = accepted(
        r#"{"rawPath":"/a%2Fb/%C3%A9","rawQueryString":"b=2&a=%20&b=1&c","cookies":["s=1","t=a,b"],
        "headers":{"accept":"text/html,*/*","x-name":"caf\u00e9","bad name":"x","host":"h.example"},
        "requestContext":{"domainName":"u.lambda-url.us-east-1.on.aws","http":{"method":"PROPFIND"}},"body":"aGVsbG8A","isBase64Encoded":true}"#,
    )
    .unwrap();
    assert_eq!(request.method(), "PROPFIND");
    assert_eq!(request.uri(), "/a%2Fb/%C3%A9?b=2&a=%20&b=1&c");
    assert_eq!(values(&request, "cookie"), [b"s=1; t=a,b"], "a cookie may hold a comma");
    assert_eq!(values(&request, "accept"), [b"text/html,*/*"]);
    assert_eq!(values(&request, "x-name"), ["café".as_bytes()]);
    assert_eq!(request.headers().len(), 4, "what is no header is left out");
    assert_eq!(request.body(), &Bytes::from_static(b"hello\0"));
}

#[test]
fn version_1_keeps_repeated_headers_and_parameters_in_order() {
    let request = accepted(
        r#"{"httpMethod":"GET","path":"/a b/é?#%41%","requestContext":{"domainName":"api.example"},
        "headers":{"X-A":"2"},"multiValueHeaders":{"X-A":["1","12","2","1"],"Cookie":["s=1","t=2"]},
        "queryStringParameters":{"q":"last"},
        "multiValueQueryStringParameters":{"q":["a&b","c d","100%25"],"e":[""]},"body":null}"#,
    )
    .unwrap();
    assert_eq!(request.uri(), "/a%20b/%C3%A9%3F%23%41%?q=a%26b&q=c%20d&q=100%2525&e=");
    assert_eq!(values(&request, "x-a"), [b"1".as_slice(), b"12", b"2", b"1"]);
    assert_eq!(values(&request, "cookie"), [b"s=1", b"t=2"]);
    assert_eq!(
        values(&request, "host"),
        [b"api.example"],
        "the domain name stands in for a Host that is missing"
    );
    assert!(request.body().is_empty());
}

#[test]
fn a_load_balancer_hands_the_query_over_as_the_client_sent_it() {
    let single = accepted(
        r#"{"httpMethod":"POST","path":"/a%20b","requestContext":{"elb":{}},"headers":{"x-a":"1, 2"},
        "queryStringParameters":{"q":"a%26b","r":"x y&z"},"body":"text","isBase64Encoded":false}"#,
    )
    .unwrap();
    assert_eq!(single.uri(), "/a%20b?q=a%26b&r=x%20y%26z");
    assert_eq!(values(&single, "x-a"), [b"1, 2"]);
    assert_eq!(single.body(), &Bytes::from_static(b"text"));
    let multi = accepted(
        r#"{"httpMethod":"GET","path":"/","requestContext":{"elb":{}},"multiValueHeaders":{"x-a":["1","2"]},
        "multiValueQueryStringParameters":{"q":["1","2"]}}"#,
    )
    .unwrap();
    assert_eq!((multi.uri().to_string(), values(&multi, "x-a").len()), ("/?q=1&q=2".to_owned(), 2));
}

#[test]
fn what_no_front_sends_is_refused_and_nothing_else() {
    let event = |method: &str, path: &str, rest: &str| {
        let text = format!(
            r#"{{"rawPath":{path:?},"requestContext":{{"http":{{"method":{method:?}}}}},"headers":{{"upgrade":"websocket"}}{rest}}}"#
        );
        accepted(&text)
    };
    assert_eq!(event("G ET", "/", "").unwrap_err(), BadRequest("the method is none of HTTP"));
    assert_eq!(
        event("GET", "/", r#","body":"!","isBase64Encoded":true"#).unwrap_err(),
        BadRequest("the body is not base64")
    );
    let long = "/".repeat(70_000);
    assert_eq!(
        event("GET", &long, "").unwrap_err(),
        BadRequest("the path and the query are too long for a URL")
    );
    let request = event("GET", "relative", "").unwrap();
    assert_eq!((request.uri().path(), request.headers().len()), ("/relative", 0));
}

#[test]
fn a_per_cent_sign_of_a_decoded_path_is_one() {
    let path = |text: &str| accepted(text).expect("it is a request").uri().path().to_owned();
    let http_api =
        r#"{"rawPath":"/100%/%41","requestContext":{"domainName":"h.example","http":{"method":"GET"}}}"#;
    assert_eq!(path(http_api), "/100%25/%2541");
    let version1 = r#"{"version":"1.0","path":"/100%/%41","httpMethod":"GET","requestContext":{}}"#;
    assert_eq!(path(version1), "/100%25/%2541");
    let url = http_api.replace("h.example", "u.lambda-url.us-east-1.on.aws");
    assert_eq!(path(&url), "/100%/%41", "the core says what is wrong with the client's own spelling");
}

#[test]
fn no_character_of_a_path_or_query_makes_it_unusable() {
    for letter in (0..=0x24F).chain([0x2028, 0x1_F600]).filter_map(char::from_u32) {
        for (path, query) in [(format!("/{letter}"), String::new()), ("/".to_owned(), format!("a={letter}"))]
        {
            let event = serde_json::json!({
                "rawPath": path, "rawQueryString": query, "requestContext": { "http": { "method": "GET" } }
            });
            let request = accepted(&event.to_string());
            let request = request.unwrap_or_else(|error| panic!("{letter:?}: {error:?}"));
            assert_eq!(request.uri().query().is_some(), !query.is_empty(), "{letter:?} moves nothing");
        }
    }
}
