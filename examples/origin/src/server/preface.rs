//! A connection whose client must say in time which version of HTTP it speaks.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// What a client of HTTP/2 begins with; as long as a client says this, its version is open
/// ([RFC 9113 section 3.4](https://www.rfc-editor.org/rfc/rfc9113#section-3.4)).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream that fails to be read when its client leaves its version open for too long. After that the versions' own
/// timeouts hold.
#[derive(Debug)]
pub(super) struct Prefaced {
    stream: TcpStream,
    /// How much of the preface has come, and how long the rest may take; `None` once the version is known.
    open: Option<(usize, Pin<Box<Sleep>>)>,
}

impl Prefaced {
    pub(super) fn new(stream: TcpStream, limit: Duration) -> Self {
        Self { stream, open: Some((0, Box::pin(sleep(limit)))) }
    }
}

impl AsyncRead for Prefaced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, open } = &mut *self;
        let Some((come, limit)) = open else { return Pin::new(stream).poll_read(cx, buffer) };
        let before = buffer.filled().len();
        let read = Pin::new(stream).poll_read(cx, buffer);
        if read.is_pending() {
            ready!(limit.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let said = &buffer.filled()[before..];
        *come += said.len();
        if !PREFACE[..PREFACE.len().min(*come)].ends_with(said) || *come >= PREFACE.len() {
            *open = None;
        }
        read
    }
}

impl AsyncWrite for Prefaced {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
