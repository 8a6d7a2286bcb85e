use selvedge_core::policy::Policy;

use super::*;

const URL: &str = "https://sqs.eu-central-1.amazonaws.com/123456789012/shop-orders";

fn queues(variables: &[(&str, &str)]) -> Queues {
    let mut policy = Policy::default();
    for name in ["orders", "mail-out"] {
        policy.queues.push(selvedge_core::job::Queue {
            name: name.to_owned(),
            target: selvedge_core::job::JobTarget::Handler("h".to_owned()),
            attempts: 1,
            retry_delay: Duration::from_secs(1),
            store: selvedge_core::job::QueueStore::Platform,
        });
    }
    let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
    Queues::read(&policy, |name| find(name).map(|(_, value)| (*value).to_owned()))
}

#[test]
fn an_arn_is_that_of_the_queue_whose_url_ends_with_account_and_name() {
    let queues =
        queues(&[("SELVEDGE_QUEUE_ORDERS", URL), ("SELVEDGE_QUEUE_MAIL_OUT", "http://h/1/mail.fifo")]);
    let rows = [
        ("arn:aws:sqs:eu-central-1:123456789012:shop-orders", Some("orders")),
        ("arn:aws:sqs:eu-central-1:999999999999:shop-orders", None),
        ("arn:aws:sqs:eu-central-1:123456789012:orders", None),
        ("arn:aws:sqs:eu-central-1:1:mail.fifo", Some("mail-out")),
        ("shop-orders", None),
        ("", None),
    ];
    for (arn, queue) in rows {
        assert_eq!(queues.of_arn(arn), queue, "{arn}");
    }
}

#[test]
fn a_message_is_text_where_sqs_takes_it_and_base64_elsewhere() {
    let rows: [(&[u8], &str, Option<&str>); 4] = [
        (b"two apples\n", "two apples\n", None),
        (b"\xff", "/w==", Some(BASE64)),
        (b"a\x01", "YQE=", Some(BASE64)),
        (b"", EMPTY, Some(EMPTY)),
    ];
    for (body, text, encoding) in rows {
        let message = send_message(URL, "id1", &Bytes::copy_from_slice(body));
        let attributes = &message["MessageAttributes"];
        assert_eq!(message["MessageBody"], text);
        assert_eq!(attributes["selvedge-encoding"]["StringValue"].as_str(), encoding, "{text}");
        assert_eq!(attributes["selvedge-id"]["StringValue"], "id1");
        assert!(message.get("MessageGroupId").is_none(), "only FIFO queues have groups");
    }
    let fifo = send_message("https://h/1/a.fifo", "id1", &Bytes::from_static(b"x"));
    assert_eq!(
        (&fifo["MessageGroupId"], &fifo["MessageDeduplicationId"]),
        (&json!("selvedge"), &json!("id1"))
    );
}

#[test]
fn a_request_is_signed_for_the_region_of_the_queue() {
    let variables = [
        ("SELVEDGE_QUEUE_ORDERS", URL),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI"),
        ("AWS_SESSION_TOKEN", "token"),
    ];
    let request = queues(&variables).request(URL, "SendMessage", &json!({ "a": 1 })).unwrap();
    assert_eq!(request.uri(), "https://sqs.eu-central-1.amazonaws.com/");
    let header = |name: &str| request.headers()[name].to_str().expect("it is text").to_owned();
    assert_eq!(
        (header("x-amz-target"), header("content-type")),
        ("AmazonSQS.SendMessage".into(), CONTENT_TYPE.into())
    );
    let authorization = header("authorization");
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{authorization}");
    assert!(authorization.contains("/eu-central-1/sqs/aws4_request"), "{authorization}");
    assert!(
        authorization.contains("content-type;host;x-amz-date;x-amz-security-token;x-amz-target"),
        "{authorization}"
    );
    assert_eq!(header("x-amz-security-token"), "token");
}

#[test]
fn without_credentials_or_a_region_nothing_is_sent() {
    let error = |variables: &[(&str, &str)]| {
        queues(variables).request("http://h/1/q", "A", &json!({})).unwrap_err().0
    };
    assert!(error(&[]).contains("credentials"));
    let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
    assert!(error(&keys).contains("AWS_REGION"));
}
