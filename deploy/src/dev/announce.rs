//! What is said when the edge is ready.

use std::io::{self, Write};
use std::net::SocketAddr;

use selvedge_core::engine::Engine;
use selvedge_core::policy::Policy;

use super::OriginAddress;
use crate::cli::{BOLD, CYAN, DIM};
use crate::policy::{self, Source};

/// Requests that show what the storefront does, each with what to expect.
const STOREFRONT_TRIES: [(&str, &str); 5] = [
    ("-H 'Selvedge-Client-Ip: 223.5.5.5' {edge}/", "403: blocked in China"),
    ("-A 'sqlmap/1.7' {edge}/", "403: an attack tool"),
    ("-H 'Selvedge-Client-Ip: 8.8.8.8' {edge}/go", "302 to the US shop"),
    ("{edge}/static/site.css", "200: a miss, then a hit"),
    ("-A 'Mozilla/5.0 (X11; Linux) Firefox/140.0' '{edge}/?hero=bold'", "200: the bold variation"),
];

/// Says what runs, where, and what to try.
pub(super) fn announce(
    out: &mut dyn Write,
    engine: &Engine,
    source: &Source,
    edge: SocketAddr,
    origin: OriginAddress,
) -> io::Result<()> {
    let started =
        if origin.is_started { format!("http://{}", origin.listen) } else { "not started".to_owned() };
    writeln!(out, "{BOLD}Selvedge{BOLD:#} runs {}", source.name())?;
    writeln!(out, "  edge    {CYAN}http://{edge}{CYAN:#}   status {CYAN}http://{edge}/_selvedge/{CYAN:#}")?;
    writeln!(out, "  origin  {CYAN}{started}{CYAN:#}\n")?;
    writeln!(out, "{}", policy::routes(engine.policy()))?;
    writeln!(out, "{BOLD}Try{BOLD:#}")?;
    for line in tries(engine.policy(), edge) {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "\n{DIM}Edits to the policy take effect within a second. Ctrl-C ends.{DIM:#}")
}

/// Five commands worth trying.
pub(super) fn tries(policy: &Policy, edge: SocketAddr) -> Vec<String> {
    let base = format!("http://{edge}");
    if policy.name == "storefront" {
        let line = |(command, expect): &(&str, &str)| {
            format!("curl -i {:<62} {DIM}# {expect}{DIM:#}", command.replace("{edge}", &base))
        };
        return STOREFRONT_TRIES.iter().map(line).collect();
    }
    let sample = |path: &str| {
        let segment =
            |segment: &str| if segment.starts_with('{') { "1".to_owned() } else { segment.to_owned() };
        path.split('/').map(segment).collect::<Vec<_>>().join("/")
    };
    let routes =
        policy.routes.iter().take(3).map(|route| format!("curl -i {base}{}", sample(route.path.as_str())));
    let bot = format!("curl -i -A sqlmap/1.7 {base}/");
    let status = format!("curl {base}/_selvedge/");
    routes.chain([bot, status]).collect()
}
