//! Load from wrk, and single requests to see what is measured.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::command::Cmd;

/// How often each server is loaded; the median counts.
const ROUNDS: usize = 5;

/// What a browser sends; scenarios change some of it.
pub(crate) const BROWSER: [(&str, &str); 9] = [
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Cookie", "session=abcdef0123456789; theme=dark"),
    ("Upgrade-Insecure-Requests", "1"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "none"),
];

/// A request without content.
pub(crate) struct Head {
    pub(crate) path: String,
    /// The user agent first.
    pub(crate) fields: Vec<(String, String)>,
    /// How many different ones are sent in turns; 1 sends this one only, more differ in path and user agent.
    pub(crate) variety: usize,
}

impl Head {
    /// The request as a script of wrk.
    pub(crate) fn script(&self) -> String {
        let fields = self.fields.iter().map(|(name, value)| format!("wrk.headers[{name:?}] = {value:?}\n"));
        let fields: String = fields.collect();
        if self.variety == 1 {
            return fields;
        }
        let Self { path, variety, .. } = self;
        let (name, agent) = &self.fields[0];
        // The requests are written before the first is sent, so that they cost wrk no time.
        format!(
            "{fields}local requests, at = {{}}, 0\n\
             function init()\n  \
             for number = 1, {variety} do\n    \
             wrk.headers[{name:?}] = {agent:?} .. \" number/\" .. number\n    \
             requests[number] = wrk.format(nil, {path:?} .. \"/\" .. number)\n  \
             end\nend\n\
             function request()\n  \
             at = at % #requests + 1\n  \
             return requests[at]\nend\n"
        )
    }

    /// The one of the different requests that has a number, from 1 on.
    pub(crate) fn numbered(&self, number: usize) -> Self {
        let (mut path, mut fields) = (self.path.clone(), self.fields.clone());
        if self.variety > 1 {
            path += &format!("/{number}");
            fields[0].1 += &format!(" number/{number}");
        }
        Self { path, fields, variety: 1 }
    }

    /// Sends it once and returns the status line, the fields in order of name, and the body.
    pub(crate) fn get(&self, address: SocketAddr) -> Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let fields: String = self.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        write!(stream, "GET {} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n{fields}\r\n", self.path)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no head")?;
        let mut lines = head.lines();
        let status = lines.next().unwrap_or_default();
        let mut fields: Vec<_> = lines.map(lower_name).collect();
        fields.sort();
        Ok(format!("{status}\n{}\n\n{body}", fields.join("\n")))
    }
}

fn lower_name(line: &str) -> String {
    line.split_once(':')
        .map_or_else(String::new, |(name, value)| format!("{}:{value}", name.to_ascii_lowercase()))
}

/// Whether wrk is there.
pub(crate) fn is_installed() -> bool {
    Command::new("wrk").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Says how to get wrk.
pub(crate) fn how_to_install() -> String {
    "`wrk` is not installed: `apt-get install wrk` on Debian brings it".to_owned()
}

/// Loads servers with a request in turns, and returns the requests a second of each in every round.
pub(crate) fn rates(what: &str, head: &Head, servers: &[(&str, SocketAddr)]) -> Result<Vec<Vec<f64>>> {
    rounds(what, head, servers, |script| {
        servers.iter().map(|(_, address)| wrk(*address, head, script)).collect()
    })
}

/// Loads servers with a request at the same time, so that what the machine does to one it does to all, and returns the requests a
/// second of each in every round.
pub(crate) fn rates_at_once(
    what: &str,
    head: &Head,
    servers: &[(&str, SocketAddr)],
) -> Result<Vec<Vec<f64>>> {
    rounds(what, head, servers, |script| {
        thread::scope(|scope| {
            let loads: Vec<_> =
                servers.iter().map(|(_, address)| scope.spawn(|| wrk(*address, head, script))).collect();
            loads.into_iter().map(|load| load.join().expect("wrk's output is read without a panic")).collect()
        })
    })
}

fn rounds(
    what: &str,
    head: &Head,
    servers: &[(&str, SocketAddr)],
    load: impl Fn(&Path) -> Result<Vec<f64>>,
) -> Result<Vec<Vec<f64>>> {
    let script = tempfile::NamedTempFile::with_suffix(".lua")?;
    script.as_file().write_all(head.script().as_bytes())?;
    let mut rounds = Vec::new();
    for round in 1..=ROUNDS {
        let rates = load(script.path())?;
        let shown = servers.iter().zip(&rates).map(|((name, _), rate)| format!("{name} {rate:.0}"));
        let shown = shown.collect::<Vec<_>>().join(", ");
        anstream::println!("{what}, round {round} of {ROUNDS}: {shown} requests a second");
        rounds.push(rates);
    }
    Ok(rounds)
}

/// Sends a request again and again on 16 connections, and returns how many were answered a second.
fn wrk(address: SocketAddr, head: &Head, script: &Path) -> Result<f64> {
    let printed = Cmd::new("wrk")
        .args(["-t1", "-c16", "-d2s", "-s"])
        .arg(script)
        .arg(format!("http://{address}{}", head.path))
        .read()?;
    ensure!(!printed.contains("Socket errors"), "wrk saw errors:\n{printed}");
    requests_per_second(&printed).with_context(|| format!("wrk printed no rate:\n{printed}"))
}

pub(crate) fn requests_per_second(printed: &str) -> Option<f64> {
    printed.lines().find_map(|line| line.strip_prefix("Requests/sec:"))?.trim().parse().ok()
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_read_from_what_wrk_prints() {
        let printed = "Running 4s test @ http://127.0.0.1:1/\n  1 threads and 32 connections\n  \
                       200000 requests in 4.00s, 90.00MB read\nRequests/sec:  50123.45\nTransfer/sec: 22MB\n";
        assert_eq!(requests_per_second(printed), Some(50_123.45));
        assert_eq!(requests_per_second("unable to connect"), None);
    }

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert!(
            (median(vec![5.0, 1.0, 100.0, 2.0, 3.0]) - 3.0).abs() < f64::EPSILON,
            "outliers do not count"
        );
    }

    #[test]
    fn a_script_quotes_what_it_sets() {
        let fields = vec![("Cf".to_owned(), r#"{"country":"CN"}"#.to_owned())];
        let script = Head { path: "/".to_owned(), fields, variety: 1 }.script();
        assert_eq!(script, "wrk.headers[\"Cf\"] = \"{\\\"country\\\":\\\"CN\\\"}\"\n");
    }

    #[test]
    fn a_script_of_many_requests_sends_those_that_have_numbers() {
        let fields = vec![("User-Agent".to_owned(), "Firefox".to_owned())];
        let head = Head { path: "/nothing".to_owned(), fields, variety: 4 };
        let script = head.script();
        for part in [
            "for number = 1, 4 do",
            r#"wrk.headers["User-Agent"] = "Firefox" .. " number/" .. number"#,
            r#"wrk.format(nil, "/nothing" .. "/" .. number)"#,
        ] {
            assert!(script.contains(part), "no {part} in\n{script}");
        }
        let last = head.numbered(4);
        assert_eq!((last.path.as_str(), last.fields[0].1.as_str()), ("/nothing/4", "Firefox number/4"));
    }

    #[test]
    fn the_one_request_has_no_number() {
        let fields = vec![("User-Agent".to_owned(), "Firefox".to_owned())];
        let only = Head { path: "/nothing".to_owned(), fields, variety: 1 }.numbered(1);
        assert_eq!((only.path.as_str(), only.fields[0].1.as_str()), ("/nothing", "Firefox"));
    }
}
