//! Every backend of every case behind one address: workerd asks it as it would ask a proxy, by whole URLs.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::Fetched;
use crate::case::{Answer, AnswerError};
use crate::engine::label;

/// Tells which case a request is of.
const CASE_HEADER: &str = "selvedge-case";

/// What Cloudflare answers in the place of a backend to which it cannot connect
/// (<https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/error-521/>).
const WEB_SERVER_IS_DOWN: u16 = 521;

/// The server, and what cases say and see.
#[derive(Clone, Debug)]
pub(super) struct Backends {
    address: SocketAddr,
    scripts: Arc<Mutex<HashMap<String, Script>>>,
}

#[derive(Debug, Default)]
struct Script {
    unreachable: Vec<String>,
    answers: BTreeMap<String, Answer>,
    fetches: Vec<Fetched>,
}

impl Backends {
    /// Starts the server; call it within a runtime.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let backends = Self { address: listener.local_addr()?, scripts: Arc::default() };
        tokio::spawn(accept(listener, backends.clone()));
        Ok(backends)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn begin(&self, case: &str, unreachable: &[String]) {
        let script = Script { unreachable: unreachable.to_vec(), ..Script::default() };
        self.scripts().insert(case.to_owned(), script);
    }

    pub(super) fn set_answers(&self, case: &str, answers: &BTreeMap<String, Answer>) {
        self.scripts().entry(case.to_owned()).or_default().answers.clone_from(answers);
    }

    pub(super) fn take_fetches(&self, case: &str) -> Vec<Fetched> {
        self.scripts().get_mut(case).map(|script| std::mem::take(&mut script.fetches)).unwrap_or_default()
    }

    async fn answer(&self, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
        let (parts, body) = request.into_parts();
        let case = parts.headers.get(CASE_HEADER).context("a request of no case")?.to_str()?.to_owned();
        let to = label(&parts.uri.to_string())?.to_owned();
        let mut headers: Vec<_> = parts
            .headers
            .iter()
            .filter(|(name, _)| *name != CASE_HEADER)
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect();
        if !parts.headers.contains_key(http::header::HOST) {
            let authority = parts.uri.authority().context("a proxy is asked by whole URLs")?;
            headers.push(("host".to_owned(), authority.as_str().as_bytes().to_vec()));
        }
        let fetched = Fetched {
            to: to.clone(),
            method: parts.method.to_string(),
            target: parts.uri.path_and_query().context("a URL has a path")?.to_string(),
            headers,
            body: body.collect().await?.to_bytes().to_vec(),
        };
        let answer = {
            let mut scripts = self.scripts();
            let script = scripts.get_mut(&case).context("a request of a case that never began")?;
            if script.unreachable.contains(&to) {
                Answer { status: Some(WEB_SERVER_IS_DOWN), ..Answer::default() }
            } else {
                script.fetches.push(fetched);
                script.answers.get(&to).cloned().unwrap_or_default()
            }
        };
        match answer.error {
            Some(AnswerError::Timeout) => match std::future::pending::<Infallible>().await {},
            Some(AnswerError::Protocol) => anyhow::bail!("an error makes the server close the connection"),
            None => Ok(answer.response(&to)?.map(Full::new)),
        }
    }

    fn scripts(&self) -> MutexGuard<'_, HashMap<String, Script>> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, backends: Backends) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, backends.clone()));
    }
}

async fn serve(stream: TcpStream, backends: Backends) {
    let service = service_fn(move |request| {
        let backends = backends.clone();
        async move { backends.answer(request).await }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    // A case in which the connection breaks sees that in the edge's answer.
    let _ = connection.await;
}
