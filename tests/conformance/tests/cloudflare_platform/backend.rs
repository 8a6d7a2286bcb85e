//! A backend that does what the path of a request says.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, stream};
use http::{Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use selvedge_conformance::server::{self, Answer, Error, full};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// How many bodies were given up.
static LEFT: AtomicUsize = AtomicUsize::new(0);

/// The backend of every test.
pub(super) fn shared() -> SocketAddr {
    static ADDRESS: LazyLock<SocketAddr> = LazyLock::new(|| server::start(answer));
    *ADDRESS
}

async fn answer(request: Request<Incoming>) -> Result<Answer, Error> {
    let field = |name| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let response = Response::builder();
    Ok(match request.uri().path() {
        "/fields" => response
            .header("set-cookie", "a=1; Expires=Wed, 25 Nov 2026 08:00:00 GMT")
            .header("set-cookie", "b=2")
            .header("link", "</a.css>; rel=preload")
            .header("link", "</b.css>; rel=preload")
            .header("vary", "accept")
            .header("vary", "accept-language")
            .body(full(""))?,
        "/echo" => Response::new(request.into_body().map_err(Error::from).boxed()),
        "/length" => response.header("content-length", 5).body(full("hello"))?,
        "/no-content" => response.status(204).header("x-kept", "1").body(full(""))?,
        "/conditional" if field("if-none-match").as_deref() == Some("\"v1\"") => {
            response.status(304).header("etag", "\"v1\"").body(full(""))?
        }
        "/range" => {
            assert_eq!(field("range").as_deref(), Some("bytes=1-3"));
            response.status(206).header("content-range", "bytes 1-3/5").body(full("ell"))?
        }
        "/breaks" | "/breaks-off/length" | "/tried/breaks" => {
            response.header("content-length", 100).body(broken())?
        }
        "/breaks-chunked" | "/breaks-off/chunked" => response.body(broken())?,
        "/held/hangs" | "/brief/hangs" | "/uploads/hangs" | "/uploads/unread" => std::future::pending().await,
        "/uploads/read" => {
            let read = request.into_body().collect().await?;
            response.body(full(read.to_bytes().len().to_string()))?
        }
        "/in-time/length" | "/in-time/chunked" | "/stalls/length" | "/stalls/chunked" => {
            let path = request.uri().path();
            let response =
                if path.ends_with("length") { response.header("content-length", 8) } else { response };
            response.body(halves(path.starts_with("/stalls")))?
        }
        "/breaks-off/halves" => response.body(halves(false))?,
        "/breaks-off/leaves" => response.body(left())?,
        "/left" => response.body(full(LEFT.load(Ordering::Relaxed).to_string()))?,
        "/breaks-off/client" | "/tried/stalls" => response.body(halves(true))?,
        "/gone" => return Err("the backend closes the connection".into()),
        "/address" => response.body(full(field("x-forwarded-for").unwrap_or_else(|| "nobody".to_owned())))?,
        "/socket" => web_socket(request)?,
        _ => response.status(StatusCode::OK).body(full("hello"))?,
    })
}

/// A body that breaks off when its first bytes are on their way.
fn broken() -> BoxBody<Bytes, Error> {
    let first = stream::iter([Ok(Frame::data(Bytes::from_static(b"part")))]);
    let last = stream::once(async {
        // The server sends what it has while it waits.
        tokio::task::yield_now().await;
        Err(Error::from("the body breaks off"))
    });
    BodyExt::boxed(StreamBody::new(first.chain(last)))
}

/// A body of two parts, the second of which may never come.
fn halves(stalls: bool) -> BoxBody<Bytes, Error> {
    let first = stream::iter([Ok(Frame::data(Bytes::from_static(b"part")))]);
    let second = stream::once(async move {
        if stalls {
            std::future::pending::<()>().await;
        }
        // The server sends what it has while it waits.
        tokio::task::yield_now().await;
        Ok(Frame::data(Bytes::from_static(b"past")))
    });
    BodyExt::boxed(StreamBody::new(first.chain(second)))
}

/// A body that never ends; that it was given up is counted.
fn left() -> BoxBody<Bytes, Error> {
    struct Left;
    impl Drop for Left {
        fn drop(&mut self) {
            LEFT.fetch_add(1, Ordering::Relaxed);
        }
    }
    let left = Left;
    let pieces = stream::repeat_with(move || {
        let _ = &left;
        Ok(Frame::data(Bytes::from_static(b"piece")))
    });
    BodyExt::boxed(StreamBody::new(pieces))
}

/// Changes the protocol and sends every message back.
fn web_socket(mut request: Request<Incoming>) -> Result<Answer, Error> {
    assert_eq!(request.headers()[header::UPGRADE], "websocket", "the edge passes the handshake on");
    let accept = derive_accept_key(request.headers()[header::SEC_WEBSOCKET_KEY].as_bytes());
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let stream = TokioIo::new(upgrade.await.unwrap());
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() || socket.send(message).await.is_err() {
                break;
            }
        }
    });
    Ok(Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept)
        .body(full(""))?)
}
