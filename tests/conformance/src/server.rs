//! A server that answers every request with one function, for what cases in a file cannot ask of a backend.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

/// What makes the server close a connection, and breaks off a body.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A response.
pub type Answer = Response<BoxBody<Bytes, Error>>;

/// Serves HTTP/1.1 on loopback until the process ends, on a thread of its own.
///
/// # Panics
/// When it cannot listen.
pub fn start<F>(answer: impl Fn(Request<Incoming>) -> F + Copy + Send + 'static) -> SocketAddr
where
    F: Future<Output = Result<Answer, Error>> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.set_nonblocking(true).expect("a listener need not block");
    let address = listener.local_addr().expect("a listener has an address");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a thread has a runtime").block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("the runtime takes a listener");
            while let Ok((stream, _)) = listener.accept().await {
                let server = http1::Builder::new();
                let connection = server.serve_connection(TokioIo::new(stream), service_fn(answer));
                // A client that goes away is none of the server's business.
                tokio::spawn(connection.with_upgrades());
            }
        });
    });
    address
}

/// A body in memory.
pub fn full(content: impl Into<Bytes>) -> BoxBody<Bytes, Error> {
    Full::new(content.into()).map_err(|never: Infallible| match never {}).boxed()
}
