use super::*;

fn parse(text: &str) -> Result<Event, EventError> {
    Event::parse(&Bytes::copy_from_slice(text.as_bytes()))
}

fn http(text: &str) -> HttpEvent {
    match parse(text).expect("it is an event") {
        Event::Http(event) => *event,
        other @ (Event::Messages(_) | Event::Schedule(_) | Event::CloudFront) => {
            panic!("it is a request and not {other:?}")
        }
    }
}

#[test]
fn each_kind_is_recognised() {
    let version2 = r#"{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"GET"}}}"#;
    let version1 =
        r#"{"httpMethod":"GET","path":"/","requestContext":{"identity":{"sourceIp":"192.0.2.1"}}}"#;
    let single =
        r#"{"httpMethod":"GET","path":"/","headers":{},"requestContext":{"elb":{"targetGroupArn":"a"}}}"#;
    let multi = r#"{"httpMethod":"GET","path":"/","multiValueHeaders":{},"requestContext":{"elb":{}}}"#;
    let rows = [
        (version2, Front::Version2),
        (version1, Front::Version1),
        (single, Front::LoadBalancer { multi_value: false }),
        (multi, Front::LoadBalancer { multi_value: true }),
    ];
    for (text, front) in rows {
        assert_eq!(http(text).front, front, "{text}");
    }
    assert!(
        matches!(parse(r#"{"selvedge-schedule":"nightly"}"#), Ok(Event::Schedule(name)) if name == "nightly")
    );
    assert!(matches!(parse(r#"{"Records":[{"cf":{}}]}"#), Ok(Event::CloudFront)));
}

#[test]
fn what_nobody_sends_is_an_error_and_no_panic() {
    let rows = [
        ("", EventError::Unknown),
        ("[]", EventError::Unknown),
        ("{}", EventError::Unknown),
        (r#"{"requestContext":{}}"#, EventError::Unknown),
        (r#"{"requestContext":{"http":{}}}"#, EventError::Unknown),
        (r#"{"requestContext":{"connectionId":"a","eventType":"CONNECT"}}"#, EventError::Unknown),
        (
            r#"{"requestContext":{"elb":{}},"headers":{"a":1},"httpMethod":"GET","path":"/"}"#,
            EventError::Unknown,
        ),
        (r#"{"Records":[{"eventSource":"aws:s3"}]}"#, EventError::Unknown),
        (r#"{"Records":[{"eventSource":"aws:sqs"}]}"#, EventError::Unknown),
    ];
    for (text, error) in rows {
        assert_eq!(parse(text).map(|_| ()), Err(error), "{text}");
    }
}

#[test]
fn a_stage_with_a_name_is_no_part_of_the_path() {
    let rows = [
        ("/prod/a", "prod", "/a"),
        ("/prod", "prod", "/"),
        ("/production/a", "prod", "/production/a"),
        ("/a", "prod", "/a"),
        ("/$default/a", "$default", "/$default/a"),
    ];
    for (path, stage, expected) in rows {
        let text = format!(
            r#"{{"rawPath":"{path}","requestContext":{{"stage":"{stage}","http":{{"method":"GET"}}}}}}"#
        );
        assert_eq!(http(&text).path, expected, "{path} of {stage}");
    }
}

#[test]
fn a_message_has_what_jobs_need() {
    let text = r#"{"Records":[{"messageId":"m1","receiptHandle":"r1","body":"hello",
        "attributes":{"ApproximateReceiveCount":"3","SentTimestamp":"1"},
        "messageAttributes":{"selvedge-id":{"stringValue":"i1","dataType":"String","stringListValues":[]},
            "other":{"binaryValue":"AA==","dataType":"Binary"}},
        "md5OfBody":"x","eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:eu-central-1:123456789012:orders",
        "awsRegion":"eu-central-1"}]}"#;
    let Ok(Event::Messages(messages)) = parse(text) else { panic!("these are messages") };
    let [message] = messages.as_slice() else { panic!("one and not {messages:?}") };
    assert_eq!((message.message_id.as_str(), message.body.as_str()), ("m1", "hello"));
    assert_eq!(message.attributes.approximate_receive_count, "3");
    let id = message.message_attributes.id.as_ref().map(|id| id.string_value.as_str());
    assert_eq!((id, message.message_attributes.encoding.is_none()), (Some("i1"), true));
}
