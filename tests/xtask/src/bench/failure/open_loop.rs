//! Requests at fixed times, whether or not those before are answered.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

const CONNECTIONS: u32 = 16;
/// What is sent before anything is measured.
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(3);
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// How long answers took, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Latencies {
    pub(super) median: f64,
    pub(super) p99: f64,
}

/// Asks at a rate, in requests a second of all connections together.
///
/// # Errors
/// When an answer is none, or the server is too slow for the rate.
pub(super) fn measure(address: SocketAddr, path: &str, rate: f64) -> Result<Latencies> {
    let every = Duration::from_secs_f64(f64::from(CONNECTIONS) / rate);
    let began = Instant::now();
    let latencies = thread::scope(|scope| {
        let connection = |number: u32| {
            let first = began + every * number / CONNECTIONS;
            scope.spawn(move || ask(address, path, Schedule { first, every, warm: began + WARM_UP }))
        };
        let connections: Vec<_> = (0..CONNECTIONS).map(connection).collect();
        let joined = connections.into_iter().map(|thread| thread.join().expect("it does not panic"));
        joined.collect::<Result<Vec<_>>>()
    })?;
    Latencies::of(latencies.concat()).context("nothing was answered")
}

impl Latencies {
    fn of(mut all: Vec<Duration>) -> Option<Self> {
        all.sort_unstable();
        let micros = |at: usize| Some(all.get(at)?.as_secs_f64() * 1e6);
        Some(Self { median: micros(all.len() / 2)?, p99: micros(all.len() * 99 / 100)? })
    }
}

/// When one connection asks.
#[derive(Clone, Copy)]
struct Schedule {
    first: Instant,
    every: Duration,
    /// When what is measured begins.
    warm: Instant,
}

fn ask(address: SocketAddr, path: &str, schedule: Schedule) -> Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n");
    let (mut latencies, mut due, mut buffer) = (Vec::new(), schedule.first, Vec::new());
    let end = schedule.warm + MEASURED;
    while due < end {
        let now = Instant::now();
        // Who wakes up late is not the server's fault; who cannot send because it waits is.
        let from = match due.checked_duration_since(now) {
            Some(early) => {
                thread::sleep(early);
                Instant::now()
            }
            None => due,
        };
        stream.write_all(request.as_bytes())?;
        read_answer(&mut stream, &mut buffer)?;
        let took = from.elapsed();
        if due >= schedule.warm {
            latencies.push(took);
        }
        due += schedule.every;
    }
    ensure!(end.elapsed() < MEASURED, "the server is too slow for this rate");
    Ok(latencies)
}

/// Reads one answer with a `Content-Length`, and nothing after it.
fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<()> {
    buffer.clear();
    let mut part = [0; 4096];
    loop {
        let read = stream.read(&mut part)?;
        ensure!(read > 0, "the connection ended");
        buffer.extend_from_slice(&part[..read]);
        if whole(buffer)?.is_some_and(|length| buffer.len() >= length) {
            return Ok(());
        }
    }
}

/// How long an answer is with its head; `None` before the head is there.
fn whole(begun: &[u8]) -> Result<Option<usize>> {
    let Some(head) = begun.windows(4).position(|end| end == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&begun[..head]).context("a head is ASCII")?;
    ensure!(text.starts_with("HTTP/1.1 200 "), "the answer is {text}");
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    let length = fields.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, length) = length.context("the answer has a length")?;
    Ok(Some(head + 4 + length.trim().parse::<usize>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::cache_speed::origin::{Origin, SMALL};

    #[test]
    fn percentiles_are_those_of_all_answers() {
        let all = (1..=200).rev().map(Duration::from_micros).collect();
        let Latencies { median, p99 } = Latencies::of(all).expect("there are some");
        assert!((median - 101.0).abs() < 1e-6 && (p99 - 199.0).abs() < 1e-6, "{median}, {p99}");
        assert_eq!(Latencies::of(Vec::new()), None);
    }

    #[test]
    fn an_answer_ends_where_its_length_says() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-Length: 4\r\n\r\nmain";
        assert_eq!(whole(text).expect("it is one"), Some(text.len()));
        assert_eq!(whole(&text[..20]).expect("it may become one"), None);
        whole(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").expect_err("it is an error");
        whole(b"HTTP/1.1 200 OK\r\n\r\n").expect_err("it has no length");
    }

    #[test]
    fn an_origin_is_asked_as_often_as_it_should_be() {
        let origin = Origin::start().expect("it starts");
        let latencies = measure(origin.address, SMALL, 400.0).expect("it answers");
        assert!(latencies.median > 0.0 && latencies.p99 >= latencies.median, "{latencies:?}");
        let asked = origin.requests();
        let expected = 400.0 * (WARM_UP + MEASURED).as_secs_f64();
        assert!((asked as f64 - expected).abs() < 17.0, "{asked}, not {expected}");
    }
}
