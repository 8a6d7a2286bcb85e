//! What is sent, and what is to become of it.

use std::net::SocketAddr;

use selvedge_core::policy::read::read;
use selvedge_emulator::EmulatorConfig;

use super::wire::{Message, Recorder, Wire};
use crate::support::Edge;

/// A request, or what poses as one.
pub(crate) struct Row {
    /// The clause that it breaks, or that allows it.
    pub(crate) clause: &'static str,
    pub(crate) sent: Vec<u8>,
    pub(crate) expected: Expected,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected {
    /// It is answered with a status and the connection is closed, since nobody knows where the next request begins.
    /// The backend hears nothing.
    Refused(u16),
    /// It is answered with a status, and the connection goes on. The backend hears nothing.
    Declined(u16),
    /// The backend gets it with this request line and this content.
    Passes(&'static str, &'static str),
}

/// An edge, and the backend behind it.
pub(crate) struct Pair {
    pub(crate) edge: Edge,
    pub(crate) backend: Recorder,
}

pub(crate) fn row(clause: &'static str, sent: impl Into<Vec<u8>>, expected: Expected) -> Row {
    Row { clause, sent: sent.into(), expected }
}

/// An edge that sends everything to one backend.
pub(crate) async fn edge_before(backend: SocketAddr, keys: &str, config: EmulatorConfig) -> Edge {
    let policy = format!(
        "[backends.main]\nurl = \"http://{backend}\"\n{keys}\n[[routes]]\npath = \"/{{*rest}}\"\nbackend = \"main\"\n"
    );
    Edge::start_with(read(&policy).unwrap_or_else(|errors| panic!("{errors}")), config).await
}

impl Pair {
    pub(crate) async fn start() -> Self {
        let backend = Recorder::start().await;
        Self { edge: edge_before(backend.address, "", EmulatorConfig::default()).await, backend }
    }

    /// Checks each row, and at last that the backend has heard of nothing else.
    pub(crate) async fn check(self, rows: &[Row]) {
        for row in rows {
            self.check_one(row).await;
        }
        assert_eq!(self.edge.get("/last").await.body(), "/last");
        let seen = self.backend.take();
        assert_eq!(lines(&seen), ["GET /last HTTP/1.1"], "nothing comes later: {seen:?}");
        self.edge.stop().await.unwrap();
    }

    async fn check_one(&self, row: &Row) {
        let what =
            format!("{}: {}", row.clause, String::from_utf8_lossy(&row.sent[..row.sent.len().min(200)]));
        let mut client = Wire::connect(self.edge.address).await;
        client.send(&row.sent).await;
        let answer = client.answer().await.unwrap_or_else(|| panic!("{what}: there is an answer"));
        let seen = self.backend.take();
        match row.expected {
            Expected::Refused(status) => {
                assert_eq!(
                    (answer.status(), lines(&seen).len()),
                    (status, 0),
                    "{what}: {answer:?}, {seen:?}"
                );
                assert_eq!(client.rest().await, "", "{what}: nothing follows the refusal");
            }
            Expected::Declined(status) => {
                assert_eq!(
                    (answer.status(), lines(&seen).len()),
                    (status, 0),
                    "{what}: {answer:?}, {seen:?}"
                );
                self.goes_on(client, &what).await;
            }
            Expected::Passes(line, content) => {
                assert_eq!(answer.status(), 200, "{what}: {answer:?}");
                let [Ok(request)] = seen.as_slice() else { panic!("{what}: one sound request in {seen:?}") };
                assert_eq!((request.line.as_str(), request.content.as_str()), (line, content), "{what}");
                assert_eq!(request.values("host"), [self.backend.address.to_string()], "{what}");
                if answer.values("connection") == ["close"] || answer.line.starts_with("HTTP/1.0") {
                    assert_eq!(client.rest().await, "", "{what}: nothing follows the answer");
                } else {
                    self.goes_on(client, &what).await;
                }
            }
        }
    }

    /// The next request of a connection is what follows, and nothing else.
    async fn goes_on(&self, mut client: Wire, what: &str) {
        client.send(b"GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
        let answer = client.answer().await.unwrap_or_else(|| panic!("{what}: the connection goes on"));
        assert_eq!(answer.content, "/next", "{what}");
        let seen = self.backend.take();
        assert_eq!(lines(&seen), ["GET /next HTTP/1.1"], "{what}: {seen:?}");
    }
}

fn lines(seen: &[Result<Message, String>]) -> Vec<&str> {
    seen.iter().map(|request| request.as_ref().map_or("unsound", |request| &request.line)).collect()
}
