//! Requests at fixed times, whether or not those before are answered.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::bench::load::median;

const CONNECTIONS: u32 = 16;
/// What is sent before anything is measured.
const WARM_UP: Duration = Duration::from_millis(500);
pub(super) const MEASURED: Duration = Duration::from_secs(2);
/// The parts of it that have a 99th percentile each.
pub(super) const WINDOW: Duration = Duration::from_millis(20);
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// How long answers took, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Latencies {
    pub(super) median: f64,
    /// The median of the windows' own, which the machine's stops are not in where most windows have none.
    pub(super) p99_in_windows: f64,
    pub(super) p99: f64,
}

/// Asks at a rate, in requests a second of all connections together.
///
/// This thread sleeps between them: a virtual machine that is busy with all of its cores is stopped by its host, for
/// longer than what is measured.
///
/// # Errors
/// When an answer is none, or the server is too slow for the rate.
pub(super) fn measure(address: SocketAddr, path: &str, rate: f64) -> Result<Latencies> {
    let every = Duration::from_secs_f64(f64::from(CONNECTIONS) / rate);
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n");
    let streams = (0..CONNECTIONS).map(|_| open(address)).collect::<Result<Vec<_>>>()?;
    wake_in_time()?;
    let began = Instant::now();
    let mut connections: Vec<_> = (0..CONNECTIONS)
        .zip(streams)
        .map(|(number, stream)| Connection::new(stream, began + every * number / CONNECTIONS))
        .collect();
    let warm = began + WARM_UP;
    let end = warm + MEASURED;
    let mut latencies = Vec::new();
    while connections.iter().any(|connection| connection.is_asking || connection.due < end) {
        let now = Instant::now();
        let mut next = now + READ_TIMEOUT;
        for connection in connections.iter_mut().filter(|connection| !connection.is_asking) {
            if connection.due >= end {
                continue;
            }
            if connection.due <= now {
                connection.ask(&request)?;
            } else {
                next = next.min(connection.due);
            }
        }
        let is_ready = wait(&connections, next.saturating_duration_since(Instant::now()))?;
        for (connection, _) in connections.iter_mut().zip(is_ready).filter(|(_, is_ready)| *is_ready) {
            if let Some((due, latency)) = connection.poll(every)?
                && due >= warm
            {
                latencies.push((due - warm, latency));
            }
        }
        let is_late = |connection: &Connection| connection.is_asking && now > connection.due + READ_TIMEOUT;
        ensure!(!connections.iter().any(is_late), "there is no answer in {READ_TIMEOUT:?}");
    }
    ensure!(end.elapsed() < MEASURED, "the server is too slow for this rate");
    Latencies::of(latencies).context("nothing was answered")
}

/// Has this thread woken when it wants to be, and not up to 50 µs later as is usual.
fn wake_in_time() -> Result<()> {
    #[cfg(target_os = "linux")]
    rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?;
    Ok(())
}

/// Sleeps until an answer begins, or for this long; tells of each connection whether there is something to read.
fn wait(connections: &[Connection], for_at_most: Duration) -> Result<Vec<bool>> {
    let flags = |connection: &Connection| {
        if connection.is_asking { PollFlags::IN } else { PollFlags::empty() }
    };
    let mut polled: Vec<_> =
        connections.iter().map(|connection| PollFd::new(&connection.stream, flags(connection))).collect();
    poll(&mut polled, Some(&Timespec::try_from(for_at_most)?))?;
    Ok(polled.iter().map(|polled| !polled.revents().is_empty()).collect())
}

fn open(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

impl Latencies {
    /// Those of requests that were due at these times after the first.
    fn of(mut all: Vec<(Duration, Duration)>) -> Option<Self> {
        all.sort_unstable();
        let in_one = |a: &(Duration, Duration), b: &(Duration, Duration)| window(a.0) == window(b.0);
        let windows = all.chunk_by(in_one).map(|window| window.iter().map(|(_, latency)| *latency).collect());
        let p99s = windows.map(|window| percentile(window, 99)).collect::<Option<Vec<_>>>()?;
        let whole: Vec<_> = all.iter().map(|(_, latency)| *latency).collect();
        let p99 = percentile(whole.clone(), 99)?;
        Some(Self { median: percentile(whole, 50)?, p99_in_windows: median(p99s), p99 })
    }
}

/// The number of the window in which something is due.
fn window(due: Duration) -> u128 {
    due.as_nanos() / WINDOW.as_nanos()
}

/// In microseconds; `None` of nothing.
fn percentile(mut latencies: Vec<Duration>, percent: usize) -> Option<f64> {
    latencies.sort_unstable();
    Some(latencies.get(latencies.len() * percent / 100)?.as_secs_f64() * 1e6)
}

/// One request after the other.
struct Connection {
    stream: TcpStream,
    /// When the request is sent that waits for its answer, or else the next one.
    due: Instant,
    is_asking: bool,
    answer: Vec<u8>,
}

impl Connection {
    fn new(stream: TcpStream, due: Instant) -> Self {
        Self { stream, due, is_asking: false, answer: Vec::new() }
    }

    fn ask(&mut self, request: &str) -> Result<()> {
        // It waits for room at no time: what came before was answered.
        self.stream.write_all(request.as_bytes())?;
        self.is_asking = true;
        self.answer.clear();
        Ok(())
    }

    /// Reads what is there. When that ends an answer: when its request was due, and how long that took since.
    fn poll(&mut self, every: Duration) -> Result<Option<(Instant, Duration)>> {
        let mut part = [0; 4096];
        match self.stream.read(&mut part) {
            Ok(read) => {
                ensure!(read > 0, "the connection ended");
                self.answer.extend_from_slice(&part[..read]);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let Some(length) = whole(&self.answer)? else { return Ok(None) };
        if self.answer.len() < length {
            return Ok(None);
        }
        let due = self.due;
        self.due += every;
        self.is_asking = false;
        Ok(Some((due, due.elapsed())))
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
        let all = (1..=200).rev().map(|micros| (Duration::ZERO, Duration::from_micros(micros))).collect();
        assert_eq!(Latencies::of(all).map(rounded), Some([101, 199, 199]));
        assert_eq!(Latencies::of(Vec::new()), None);
    }

    #[test]
    fn a_window_that_the_machine_was_stopped_in_is_one_of_many() {
        let micros = |due: u64| match due / WINDOW.as_micros() as u64 {
            1 => 5000,
            window => 100 + window,
        };
        let all = (0..5).map(|window| window * WINDOW.as_micros() as u64).flat_map(|first| first..first + 50);
        let all = all.map(|due| (Duration::from_micros(due), Duration::from_micros(micros(due))));
        assert_eq!(Latencies::of(all.rev().collect()).map(rounded), Some([103, 103, 5000]));
    }

    fn rounded(latencies: Latencies) -> [u64; 3] {
        [latencies.median, latencies.p99_in_windows, latencies.p99].map(|micros| micros.round() as u64)
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
