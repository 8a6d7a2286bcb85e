//! Both ends of a connection, read as strictly as RFC 9112 has it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Longer than anything here takes on a slow machine, and shorter than the edge waits for another request.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A connection, and what came of it and is not read.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A message: its first line, its fields with names in lower case, and its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) line: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) content: String,
}

/// Where a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    /// Nothing is said.
    Unsaid,
}

/// A backend that writes down every request that it reads to its end, and answers it with its target.
#[derive(Clone)]
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Result<Message, String>>>>,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// Sends bytes; whether the other end takes them is up to it, since it may have answered and closed.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Reads what comes next; `false` at the end.
    pub(crate) async fn more(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer));
        read.await.expect("the other end says something").is_ok_and(|bytes| bytes > 0)
    }

    /// Reads to the end of the connection and returns what came.
    pub(crate) async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned()
    }

    /// Reads the answer to a `GET` or a `POST`; `None` when the connection ends before it.
    pub(crate) async fn answer(&mut self) -> Option<Message> {
        loop {
            let answer = self.message(true).await?.unwrap_or_else(|error| panic!("an answer: {error}"));
            if !answer.line.starts_with("HTTP/1.1 1") {
                return Some(answer);
            }
        }
    }

    /// Reads to the end of a head; `false` when the connection ends before it.
    pub(crate) async fn head(&mut self) -> bool {
        self.until(b"\r\n\r\n").await.is_some()
    }

    /// Reads a request; `None` when the connection ends before it does.
    async fn request(&mut self) -> Option<Result<Message, String>> {
        self.message(false).await
    }

    async fn message(&mut self, is_answer: bool) -> Option<Result<Message, String>> {
        let head = self.until(b"\r\n\r\n").await?;
        let (mut message, framing) = match parse(&head) {
            Ok(parsed) => parsed,
            Err(error) => return Some(Err(error)),
        };
        let is_interim = message.line.starts_with("HTTP/1.1 1") || message.line.starts_with("HTTP/1.1 204");
        let content = match framing {
            Framing::Length(length) => Ok(self.exactly(length).await?),
            Framing::Chunked => self.chunks().await?,
            Framing::Unsaid if is_answer && !is_interim => Ok(self.rest().await.into_bytes()),
            Framing::Unsaid => Ok(Vec::new()),
        };
        Some(content.map(|content| {
            message.content = String::from_utf8_lossy(&content).into_owned();
            message
        }))
    }

    async fn chunks(&mut self) -> Option<Result<Vec<u8>, String>> {
        let mut content = Vec::new();
        loop {
            let line = String::from_utf8_lossy(&self.until(b"\r\n").await?).into_owned();
            let is_hex = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_hexdigit());
            let Some(size) = usize::from_str_radix(&line, 16).ok().filter(|_| is_hex) else {
                return Some(Err(format!("a chunk of the size {line:?}")));
            };
            content.extend(self.exactly(size).await?);
            if self.exactly(2).await? != b"\r\n" {
                return Some(Err("a chunk or its trailers go on".to_owned()));
            }
            if size == 0 {
                return Some(Ok(content));
            }
        }
    }

    /// Reads up to `end`, which is left out.
    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                let mut taken: Vec<u8> = self.buffer.drain(..at + end.len()).collect();
                taken.truncate(at);
                return Some(taken);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            if !self.more().await {
                return None;
            }
        }
        Some(self.buffer.drain(..length).collect())
    }
}

impl Message {
    pub(crate) fn status(&self) -> u16 {
        self.line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap()
    }

    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(field, _)| field == name);
        named.map(|(_, value)| value.as_str()).collect()
    }
}

/// # Errors
/// What is wrong with a head.
fn parse(head: &[u8]) -> Result<(Message, Framing), String> {
    let head = String::from_utf8(head.to_vec()).map_err(|error| error.to_string())?;
    if let Some(control) = head.replace("\r\n", "").chars().find(|char| matches!(char, '\r' | '\n' | '\0')) {
        return Err(format!("{control:?} in {head:?}"));
    }
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let mut fields = Vec::new();
    for field in lines {
        let (name, value) = field.split_once(':').ok_or_else(|| format!("the field {field:?}"))?;
        if name.is_empty() || name.contains([' ', '\t']) {
            return Err(format!("the name {name:?}"));
        }
        fields.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
    let message = Message { line, fields, content: String::new() };
    let framing = framing(&message)?;
    Ok((message, framing))
}

fn framing(message: &Message) -> Result<Framing, String> {
    let (lengths, codings) = (message.values("content-length"), message.values("transfer-encoding"));
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(Framing::Unsaid),
        ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            length.parse().map(Framing::Length).map_err(|_| format!("the length {length:?}"))
        }
        ([], ["chunked"]) => Ok(Framing::Chunked),
        _ => Err(format!("the lengths {lengths:?} and the codings {codings:?}")),
    }
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let recorder = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let accepting = recorder.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().serve(Wire::new(stream)));
            }
        });
        recorder
    }

    /// Hands out what was read since the last time.
    pub(crate) fn take(&self) -> Vec<Result<Message, String>> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    async fn serve(self, mut wire: Wire) {
        while let Some(request) = wire.request().await {
            let line = request.as_ref().ok().map(|request| request.line.clone());
            self.seen.lock().unwrap().push(request);
            let Some(line) = line else { return };
            let target = line.split(' ').nth(1).unwrap_or_default();
            let length = target.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{target}");
            wire.send(answer.as_bytes()).await;
        }
    }
}
