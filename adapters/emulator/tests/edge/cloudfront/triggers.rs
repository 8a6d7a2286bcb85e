//! What functions are told, and what becomes of what they return.

use http::Request;
use selvedge_cloudfront::event::Trigger;

use super::support::{Front, body, counted, distribution, header, node};
use crate::support::empty;

#[tokio::test]
async fn a_request_meets_all_four_triggers() {
    let Some(node) = node() else { return };
    let front = Front::start(&node, "", distribution(), counted("x-origin", "yes")).await;
    let request = Request::get("/a%20b?x=1&y").header("x-many", "one").header("x-many", "two");
    let response = front.send(request.body(empty()).unwrap()).await;
    assert_eq!((response.status().as_u16(), body(&response)), (200, "answer 1"));
    assert_eq!(header(&response, "x-cache"), "Miss from cloudfront");
    for trigger in Trigger::ALL {
        let events = front.events(trigger);
        assert_eq!(events.len(), 1, "{trigger}");
        let cf = &events[0];
        assert_eq!(
            (cf.request.uri.as_str(), cf.request.querystring.as_str()),
            ("/a%20b", "x=1&y"),
            "{trigger}"
        );
        assert_eq!(cf.request.headers.get_all("x-many").collect::<Vec<_>>(), ["one", "two"], "{trigger}");
        assert_eq!(cf.request.client_ip, "127.0.0.1", "{trigger}");
        assert_eq!(header(&response, "x-amz-cf-id"), cf.config.request_id, "{trigger}");
    }
}
