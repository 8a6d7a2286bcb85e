//! A body of a gigabyte on its way through the store.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::origin::{FILM, FILM_BYTES, Origin};
use super::servers::{Emulator, policy, require_hit};
use crate::bench::report::{Measured, Row};
use crate::workspace::Workspace;

const KIBIBYTE: f64 = 1024.0;
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Streams it twice: from the origin, and from the cache folder.
pub(super) fn rows(workspace: &Workspace, origin: &Origin) -> Result<Vec<Row>> {
    anstream::println!("a body of 1 GiB through the store");
    let folder = tempfile::tempdir()?;
    let cache = folder.path().join("cache");
    let edge = Emulator::start(workspace, folder.path(), &policy(origin.address), Some(&cache))?;
    require_hit(edge.address)?;
    let idle = edge.peak_kibibytes();
    let miss = stream(edge.address)?;
    let after_miss = edge.peak_kibibytes();
    let asked = origin.requests();
    let hit = stream(edge.address)?;
    ensure!(origin.requests() == asked, "the second time it is from the store");
    let measured = match idle.zip(after_miss) {
        Some((idle, after)) => {
            Measured::AtMost { bound: 32.0, value: f64::from(after - idle) / KIBIBYTE, unit: "MiB" }
        }
        None => Measured::Skipped("only Linux tells the peak memory in /proc".to_owned()),
    };
    let time = |what: &str, seconds: f64| Row {
        what: format!("1 GiB {what}"),
        target: "-",
        measured: Measured::Told { value: seconds, unit: "s", detail: String::new() },
    };
    let what = "1 GiB from the origin into the cache folder: peak memory above that before it".to_owned();
    Ok(vec![
        Row { what, target: "at most 32 MiB", measured },
        time("from the origin into the cache folder", miss),
        time("from the cache folder", hit),
    ])
}

/// Reads the film and forgets it; returns how many seconds that took.
fn stream(address: SocketAddr) -> Result<f64> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    write!(stream, "GET {FILM} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut buffer = vec![0; 256 * 1024];
    let first = stream.read(&mut buffer)?;
    let head = buffer[..first].windows(4).position(|end| end == b"\r\n\r\n");
    let head = head.context("the head comes first, and is short")? + 4;
    ensure!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..head]));
    let mut length = (first - head) as u64;
    loop {
        match stream.read(&mut buffer)? {
            0 => break,
            read => length += read as u64,
        }
    }
    ensure!(length == FILM_BYTES, "{length} bytes of the film came");
    Ok(began.elapsed().as_secs_f64())
}
