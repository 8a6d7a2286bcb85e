//! A client's connection whose bytes are counted, and that ends when its client takes nothing.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::shared::Shared;
use crate::stats::ThreadStats;

/// A connection that is open, and counts as such, until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    stream: TcpStream,
    shared: Arc<Shared>,
    thread: usize,
    /// Ends with the time that the client has to take something.
    patience: Option<Pin<Box<Sleep>>>,
    progress: Progress,
}

/// Whether what is ready for the client goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Flows,
    Waits,
}

impl Counted {
    /// Counts for one of the edge's threads.
    pub(crate) fn new(stream: TcpStream, shared: Arc<Shared>, thread: usize) -> Self {
        shared.stats.thread(thread).begin_connection();
        Self { stream, shared, thread, patience: None, progress: Progress::Flows }
    }

    fn stats(&self) -> &ThreadStats {
        self.shared.stats.thread(self.thread)
    }

    fn wrote(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = written else {
            return self.poll_patience(cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
        };
        self.progress = Progress::Flows;
        if let Ok(bytes) = written {
            self.stats().count_bytes_out(bytes);
        }
        Poll::Ready(written)
    }

    /// Ready when the client has taken nothing for too long.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.shared.config.client_stall_timeout;
        let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if self.progress == Progress::Flows {
            self.progress = Progress::Waits;
            patience.as_mut().set(tokio::time::sleep(limit));
        }
        patience.as_mut().poll(cx)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.stats().end_connection();
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.stats().count_bytes_in(buffer.filled().len() - before);
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(written, cx)
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
