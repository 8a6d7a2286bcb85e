//! A line for each request, where there is no view.

use std::io::{self, Write};
use std::time::Duration;

use selvedge_emulator::{Requests, SeenRequest};
use tokio::sync::oneshot;

use crate::cli::{CYAN, DIM, GREEN, RED, YELLOW};
use crate::visible::visible;

/// How long the last lines may take at the end.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Lines that are printed beside the requests.
#[derive(Debug)]
pub(super) struct Lines(oneshot::Receiver<()>);

impl Lines {
    /// Prints each request as it ends, on the standard output.
    ///
    /// # Errors
    /// When there is no thread.
    pub(super) fn print(requests: Requests) -> io::Result<Self> {
        let (end, ended) = oneshot::channel();
        let print = move || {
            // Whoever closed the standard output wants to read nothing more.
            let _ = print_all(requests, &mut anstream::stdout());
            drop(end);
        };
        std::thread::Builder::new().name("lines".to_owned()).spawn(print)?;
        Ok(Self(ended))
    }

    /// Waits for the last lines, once the edge has ended. A pipe that nobody reads holds nothing up for long.
    pub(super) async fn finish(self) {
        let _ = tokio::time::timeout(END_TIMEOUT, self.0).await;
    }
}

fn print_all(mut requests: Requests, out: &mut impl Write) -> io::Result<()> {
    let mut lost = 0;
    while let Some(request) = requests.next() {
        let lost_by_now = requests.lost();
        if lost_by_now > lost {
            writeln!(out, "{DIM}{} requests came too fast to be printed{DIM:#}", lost_by_now - lost)?;
            lost = lost_by_now;
        }
        writeln!(out, "{}", line(&request))?;
    }
    Ok(())
}

/// Method, path, status, reason, what the cache did, backend and milliseconds.
fn line(request: &SeenRequest) -> String {
    let style = match request.status.map(|status| status / 100) {
        Some(2) => GREEN,
        Some(3) => CYAN,
        Some(4) => YELLOW,
        Some(5) => RED,
        Some(_) | None => DIM,
    };
    let status = request.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
    let aborted = if request.is_aborted { " aborted" } else { "" };
    format!(
        "{:<6} {:<32} {style}{status:<3}{style:#} {:<22} {:<16} {:<8} {DIM}{:.1} ms{aborted}{DIM:#}",
        visible(&request.method),
        visible(&request.path),
        request.reason.unwrap_or("-"),
        request.cache.unwrap_or("-"),
        request.backend.as_deref().unwrap_or("-"),
        request.duration.as_secs_f64() * 1000.0,
    )
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use selvedge_core::time::Timestamp;

    use super::*;

    fn request() -> SeenRequest {
        SeenRequest {
            time: Timestamp::from_millis(0),
            method: "GET".to_owned(),
            host: Some("shop.test".to_owned()),
            path: "/static/site.css".to_owned(),
            status: Some(200),
            reason: Some("backend.responded"),
            cache: Some("cache.miss"),
            backend: Some("us".to_owned()),
            duration: Duration::from_micros(12_340),
            is_aborted: false,
        }
    }

    fn words(request: &SeenRequest) -> Vec<String> {
        strip_str(&line(request)).to_string().split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_says_what_came_of_a_request() {
        let expected =
            ["GET", "/static/site.css", "200", "backend.responded", "cache.miss", "us", "12.3", "ms"];
        assert_eq!(words(&request()), expected);
        let gone = SeenRequest {
            status: None,
            reason: None,
            cache: None,
            backend: None,
            is_aborted: true,
            ..request()
        };
        assert_eq!(words(&gone)[2..], ["-", "-", "-", "-", "12.3", "ms", "aborted"]);
    }

    #[test]
    fn nothing_that_a_client_sends_is_a_command_to_the_terminal() {
        let hostile = SeenRequest { path: "/\u{1b}[2J\u{9b}x\r\u{202e}".to_owned(), ..request() };
        let line = strip_str(&line(&hostile)).to_string();
        assert!(line.contains("/\u{fffd}[2J\u{fffd}x\u{fffd}\u{fffd}"), "{line:?}");
    }
}
