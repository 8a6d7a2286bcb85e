//! A backend that does what the path of a request says.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use selvedge_conformance::server::{self, Answer, Error, full};

/// Tells requests to a path that counts apart.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The backend of every test.
pub(super) fn shared() -> SocketAddr {
    static ADDRESS: LazyLock<SocketAddr> = LazyLock::new(|| server::start(answer));
    *ADDRESS
}

async fn answer(request: Request<Incoming>) -> Result<Answer, Error> {
    let path = request.uri().path().to_owned();
    let field = |name: &str| {
        request.headers().get(name).map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    };
    let id = field("x-id");
    let response = Response::builder().header("x-id", &id);
    let (kind, rest) = path.trim_start_matches('/').split_once('/').unwrap_or((&path, ""));
    Ok(match kind {
        "page" | "empty" => {
            out_of_turn(&id).await;
            let facts = ["x-forwarded-for", "x-hero", "cookie"].map(field).join(" ");
            match kind {
                "page" => response.body(halves(format!("{path} {facts}")))?,
                _ => response.status(204).header("x-facts", facts).body(full(""))?,
            }
        }
        "cached" => {
            out_of_turn(&id).await;
            Response::builder().header("cache-control", "max-age=3600").body(halves(rest.repeat(1000)))?
        }
        "echo" => {
            let body = request.into_body().map_err(Error::from).boxed();
            out_of_turn(&id).await;
            response.body(body)?
        }
        "count" => {
            let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
            response
                .header("cache-control", "max-age=1, stale-while-revalidate=60")
                .body(full(count.to_string()))?
        }
        "latin" => {
            let value = HeaderValue::from_bytes(b"caf\xe9")?;
            response.header("x-latin", value).header("link", "</a>").header("link", "</b>").body(full(""))?
        }
        "fields" => {
            let all = request.headers().get_all("x-many").iter();
            response.body(full(all.map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join("|")))?
        }
        "large" => response.header("cache-control", "max-age=60").body(full(vec![b'x'; 3 << 20]))?,
        "stalls" => {
            let response = if rest == "length" { response.header("content-length", 8) } else { response };
            let first = stream::iter([Ok(Frame::data(Bytes::from_static(b"part")))]);
            let body = first.chain(stream::once(std::future::pending()));
            response.body(BodyExt::boxed(StreamBody::new(body)))?
        }
        "breaks" => {
            let response = if rest == "length" { response.header("content-length", 8) } else { response };
            response.body(broken())?
        }
        "read" => {
            let read = request.into_body().collect().await?;
            response.body(full(read.to_bytes()))?
        }
        "hang" => std::future::pending().await,
        "secret" => response.body(full(field("x-token")))?,
        _ => response.body(full("hello"))?,
    })
}

/// Lets others go first, as many as the id says, so that answers come in another order than requests.
async fn out_of_turn(id: &str) {
    let turns = id.parse::<usize>().unwrap_or(0).wrapping_mul(7) % 31;
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
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

/// A body in two pieces, between which others have a turn.
fn halves(text: String) -> BoxBody<Bytes, Error> {
    let mut first = Bytes::from(text);
    let second = first.split_off(first.len() / 2);
    let pieces = stream::iter([first, second]).then(|piece| async {
        tokio::task::yield_now().await;
        Ok(Frame::data(piece))
    });
    BodyExt::boxed(StreamBody::new(pieces))
}
