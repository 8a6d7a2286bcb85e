//! Backends that answer as a step says: every label of a case is a server of its own.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::Fetched;
use crate::case::{Answer, AnswerError};

/// Servers on loopback, and what they have seen.
#[derive(Debug)]
pub struct Origins {
    addresses: BTreeMap<String, SocketAddr>,
    script: Arc<Mutex<Script>>,
    /// Bound but not listening, so that connections to them are refused.
    _unreachable: Vec<TcpSocket>,
}

#[derive(Debug, Default)]
struct Script {
    answers: BTreeMap<String, Answer>,
    fetches: Vec<Fetched>,
}

impl Answer {
    /// Makes the response of the backend `label`.
    ///
    /// # Errors
    /// When a status, name or value is not one of HTTP.
    pub fn response(&self, label: &str) -> anyhow::Result<Response<Bytes>> {
        let body = self.body.clone().unwrap_or_else(|| format!("from {label}"));
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = StatusCode::from_u16(self.status.unwrap_or(200))?;
        for (name, values) in &self.headers {
            for value in values.as_slice() {
                let name = HeaderName::from_bytes(name.as_bytes())?;
                response.headers_mut().append(name, HeaderValue::from_bytes(value.as_bytes())?);
            }
        }
        Ok(response)
    }
}

impl Origins {
    /// Starts a server for each label; call it within a runtime.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(labels: &[String], unreachable: &[String]) -> anyhow::Result<Self> {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let script = Arc::new(Mutex::new(Script::default()));
        let (mut addresses, mut closed) = (BTreeMap::new(), Vec::new());
        for label in labels {
            let address = if unreachable.contains(label) {
                let socket = TcpSocket::new_v4()?;
                socket.bind(loopback)?;
                closed.push(socket);
                closed.last().context("one was just added")?.local_addr()?
            } else {
                let listener = TcpListener::bind(loopback).await?;
                let address = listener.local_addr()?;
                tokio::spawn(accept(listener, label.clone(), Arc::clone(&script)));
                address
            };
            addresses.insert(label.clone(), address);
        }
        Ok(Self { addresses, script, _unreachable: closed })
    }

    /// Returns where a label's server is, or `None` when there is none.
    #[must_use]
    pub fn address(&self, label: &str) -> Option<SocketAddr> {
        self.addresses.get(label).copied()
    }

    /// Says what servers answer from now on.
    pub fn set_answers(&self, answers: &BTreeMap<String, Answer>) {
        lock(&self.script).answers.clone_from(answers);
    }

    /// Takes what servers have received; in `Host`, each address becomes the name that the policy has for it.
    #[must_use]
    pub fn take_fetches(&self) -> Vec<Fetched> {
        let mut fetches = std::mem::take(&mut lock(&self.script).fetches);
        for (name, value) in fetches.iter_mut().flat_map(|fetch| &mut fetch.headers) {
            let named = self.addresses.iter().find(|(_, at)| *value == at.to_string().into_bytes());
            if let (Some((label, _)), true) = (named, name == "host") {
                *value = format!("{label}.test").into_bytes();
            }
        }
        fetches
    }
}

async fn accept(listener: TcpListener, label: String, script: Arc<Mutex<Script>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, label.clone(), Arc::clone(&script)));
    }
}

async fn serve(stream: TcpStream, label: String, script: Arc<Mutex<Script>>) {
    let service = service_fn(move |request| answer(label.clone(), Arc::clone(&script), request));
    let connection = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    // A case in which the connection breaks sees that in the edge's answer.
    let _ = connection.await;
}

async fn answer(
    label: String,
    script: Arc<Mutex<Script>>,
    request: Request<Incoming>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let headers = parts.headers.iter();
    let fetched = Fetched {
        to: label.clone(),
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        headers: headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect(),
        body: body.collect().await?.to_bytes().to_vec(),
    };
    let answer = {
        let mut script = lock(&script);
        script.fetches.push(fetched);
        script.answers.get(&label).cloned().unwrap_or_default()
    };
    match answer.error {
        Some(AnswerError::Timeout) => match std::future::pending::<Infallible>().await {},
        Some(AnswerError::Protocol) => anyhow::bail!("an error makes the server close the connection"),
        None => Ok(answer.response(&label)?.map(Full::new)),
    }
}

fn lock(script: &Mutex<Script>) -> MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}
