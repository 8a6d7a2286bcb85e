//! The small origin behind every cache, and behind the edge where it only passes on.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{io, thread};

/// What is served from the caches.
pub(super) const OBJECT: &str = "/object";
pub(super) const OBJECT_BYTES: u64 = 10 * 1024;
/// A small answer that is not stored.
pub(in crate::bench) const SMALL: &str = "/small";
pub(in crate::bench) const SMALL_BYTES: u64 = 128;
/// What streams through.
pub(super) const FILM: &str = "/film";
pub(super) const FILM_BYTES: u64 = 1 << 30;

static CHUNK: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// An origin of threads that end with this process; a clone is the same one.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Origin {
    pub(in crate::bench) address: SocketAddr,
    requests: Arc<AtomicU64>,
}

impl Origin {
    pub(in crate::bench) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let origin = Self { address: listener.local_addr()?, requests: Arc::default() };
        let requests = Arc::clone(&origin.requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let requests = Arc::clone(&requests);
                // A client that hangs up is no loss.
                thread::spawn(move || drop(serve(&stream, &requests)));
            }
        });
        Ok(origin)
    }

    /// How many requests it has answered.
    pub(in crate::bench) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

fn serve(stream: &TcpStream, requests: &AtomicU64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next() {
        let line = line?;
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        requests.fetch_add(1, Ordering::SeqCst);
        let length = match line.split(' ').nth(1) {
            Some(OBJECT) => OBJECT_BYTES,
            Some(FILM) => FILM_BYTES,
            Some(SMALL) => SMALL_BYTES,
            Some(_) | None => 0,
        };
        answer(stream, length)?;
    }
    Ok(())
}

fn answer(mut stream: &TcpStream, length: u64) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nETag: \"{length}\"\r\n\
         Last-Modified: Wed, 14 Jan 2026 08:12:31 GMT\r\nCache-Control: public, max-age=86400\r\n\r\n"
    );
    let part = |left: u64| &CHUNK[..usize::try_from(left).unwrap_or(CHUNK.len()).min(CHUNK.len())];
    // In one piece with its head, as servers send what is short.
    let mut sent = part(length).len() as u64;
    stream.write_all(&[head.as_bytes(), part(length)].concat())?;
    while sent < length {
        let next = part(length - sent);
        stream.write_all(next)?;
        sent += next.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_is_as_long_as_it_says() {
        let origin = Origin::start().expect("it starts");
        let mut stream = TcpStream::connect(origin.address).expect("it listens");
        for asked in 1..=2_u64 {
            write!(stream, "GET {OBJECT} HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
            let mut lines = BufReader::new(&stream);
            let mut line = String::from("-");
            while !line.trim().is_empty() {
                line.clear();
                lines.read_line(&mut line).expect("it answers");
            }
            let mut body = vec![0; usize::try_from(OBJECT_BYTES).expect("it is short")];
            io::Read::read_exact(&mut lines, &mut body).expect("the whole body comes");
            assert!(body.iter().all(|&byte| byte == b'x'), "on the same connection");
            assert_eq!(origin.requests(), asked, "each is counted");
        }
    }
}
