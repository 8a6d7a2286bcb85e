//! What passes as it comes.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use selvedge_cloudfront::event::Trigger;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::support::{Front, counted, distribution, header, node};
use crate::support::{Fed, Origin, connect, with_host};
use crate::upgrade::{ACCEPTED, HANDSHAKE, backend, read_head};

/// Sends every request to a server on this machine, which `ORIGIN_PORT` is not.
fn to(port: u16) -> String {
    format!(r#""origin-request": ({{ request }}) => to(request, {port})"#)
}

async fn next(response: &mut Response<Incoming>) -> Bytes {
    response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap()
}

#[tokio::test]
async fn bodies_stream_both_ways_where_no_function_sees_them() {
    let Some(node) = node() else { return };
    let origin = Origin::start().await;
    let functions = to(origin.address.port());
    let front = Front::start(&node, &functions, distribution(), counted("x-origin", "yes")).await;
    let (sender, body) = Fed::channel();
    sender.send(Ok(Bytes::from("one"))).await.unwrap();
    let request = with_host(Request::post("/echo").body(body).unwrap());
    let mut response = connect(front.address()).await.send_request(request).await.unwrap();
    assert_eq!(next(&mut response).await, "one", "it is back before the rest is sent");
    sender.send(Ok(Bytes::from("two"))).await.unwrap();
    assert_eq!(next(&mut response).await, "two");
    drop(sender);
    assert!(response.body_mut().frame().await.is_none());
}

#[tokio::test]
async fn a_response_that_is_kept_streams_as_well_and_one_that_breaks_off_is_not_kept() {
    let Some(node) = node() else { return };
    let (bodies, fed) = std::sync::mpsc::channel();
    let answer = move |_: &_, _| {
        let (sender, body) = Fed::channel();
        bodies.send(sender).unwrap();
        Response::builder().header("cache-control", "max-age=60").body(body).unwrap()
    };
    let front = Front::start(&node, "", distribution(), answer).await;
    for (ends_well, x_cache) in [(false, "Miss from cloudfront"), (true, "Miss from cloudfront")] {
        let request = with_host(Request::get("/").body(crate::support::empty()).unwrap());
        let mut response = connect(front.address()).await.send_request(request).await.unwrap();
        assert_eq!(response.headers()["x-cache"], x_cache);
        let sender = fed.recv().unwrap();
        sender.send(Ok(Bytes::from("one"))).await.unwrap();
        assert_eq!(next(&mut response).await, "one");
        if !ends_well {
            sender.send(Err(crate::support::Broken)).await.unwrap();
        }
        drop(sender);
        assert_eq!(response.body_mut().collect().await.is_ok(), ends_well);
    }
    let kept = front.get("/").await;
    assert_eq!((header(&kept, "x-cache"), &kept.body()[..]), ("Hit from cloudfront", &b"one"[..]));
}

#[tokio::test]
async fn a_web_socket_meets_the_request_triggers() {
    let Some(node) = node() else { return };
    let (address, asked) = backend(ACCEPTED).await;
    let functions = format!(
        r#""origin-request": ({{ request }}) =>
            to(request, "sec-websocket-key" in request.headers ? {} : ORIGIN_PORT)"#,
        address.port()
    );
    let front = Front::start(&node, &functions, distribution(), counted("cache-control", "max-age=60")).await;
    assert_eq!(front.get("/socket").await.status(), 200, "the path has a response in the cache");
    let mut stream = BufReader::new(TcpStream::connect(front.address()).await.unwrap());
    stream.get_mut().write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await;
    assert!(head.starts_with("http/1.1 101 ") && head.contains("upgrade: websocket"), "{head}");
    stream.get_mut().write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"hello");
    drop(stream);
    let asked = asked.await.unwrap();
    assert!(asked.contains("upgrade: websocket") && asked.contains("sec-websocket-key: "), "{asked}");
    assert_eq!(Trigger::ALL.map(|trigger| front.events(trigger).len()), [2, 2, 1, 1]);
}
