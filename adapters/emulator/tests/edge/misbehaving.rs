//! A backend that misbehaves on a raw socket.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What a server does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Answers each request.
    Well,
    /// Answers each request with 503.
    Unavailable,
    /// Closes it at once.
    Closes,
    /// Takes the request and says nothing.
    Silent,
    /// Says something else than HTTP.
    Garbage,
    /// Begins a head and stops there.
    HalfHead,
    /// Says two lengths.
    TwoLengths,
    /// Announces more content than it sends.
    Truncates,
    /// Sends content in chunks and closes the connection before the last one.
    LacksLastChunk,
    /// Sends a chunk, and then what is none.
    BadChunk,
    /// Begins content that may be stored and never ends it.
    Stalls,
}

/// A server that can be told how to behave.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
}

impl Server {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), manner: Arc::new(Mutex::new(manner)) };
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().serve(stream));
            }
        });
        server
    }

    pub(crate) fn set(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    async fn serve(self, mut stream: TcpStream) -> std::io::Result<()> {
        if *self.manner.lock().unwrap() == Manner::Closes {
            return Ok(());
        }
        let mut head = Vec::new();
        while stream.read_buf(&mut head).await? > 0 {
            if !head.ends_with(b"\r\n\r\n") {
                continue;
            }
            head.clear();
            let manner = *self.manner.lock().unwrap();
            let answer: &[u8] = match manner {
                Manner::Well => b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmain",
                Manner::Unavailable => b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
                Manner::Closes => return Ok(()),
                Manner::Silent => b"",
                Manner::Garbage => b"\x16\x03\x01 this is not HTTP\r\n\r\n",
                Manner::HalfHead => b"HTTP/1.1 200 OK\r\nContent-Le",
                Manner::TwoLengths => {
                    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 2\r\n\r\nmain"
                }
                Manner::Stalls => {
                    b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmain\r\n"
                }
                Manner::Truncates => b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nmain",
                Manner::LacksLastChunk => {
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmain\r\n"
                }
                Manner::BadChunk => {
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmain\r\nno length\r\n"
                }
            };
            stream.write_all(answer).await?;
            if matches!(manner, Manner::Truncates | Manner::LacksLastChunk) {
                return Ok(());
            }
        }
        Ok(())
    }
}
