//! What must hold of the core's cache whatever bytes origins, clients and stores send.
//!
//! Each module has a `check` that takes any bytes and panics when a property does not hold; each is a fuzz target too.

pub mod control;
pub mod date;
pub mod entry;
pub mod range;
pub mod structured;
pub mod vary;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use selvedge_core::cache::lifetime::{LifetimeSource, Lifetimes};
use selvedge_core::cache::stored::{Arrival, StoredResponse};
use selvedge_core::time::Timestamp;

/// Splits bytes at the first of a separator; the second half is empty where there is none.
fn halves(data: &[u8], separator: u8) -> (&[u8], &[u8]) {
    let at = data.iter().position(|byte| *byte == separator).unwrap_or(data.len());
    (&data[..at], data.get(at + 1..).unwrap_or_default())
}

/// The lines of a field; what cannot be a field's value is left out.
fn lines(name: &'static str, data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()) {
        headers.append(HeaderName::from_static(name), line);
    }
    headers
}

/// Fields, each a line of a name and a value with a colon between.
fn fields(data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let (name, value) = halves(line, b':');
        let field = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.trim_ascii()));
        if let (Ok(name), Ok(value)) = field {
            headers.append(name, value);
        }
    }
    headers
}

/// The stored form of a response with these fields.
fn stored(status: http::StatusCode, headers: HeaderMap, request: &HeaderMap) -> StoredResponse {
    let second = std::time::Duration::from_secs(1);
    let now = Timestamp::from_millis(1_700_000_000_000);
    StoredResponse::new(Arrival {
        status,
        headers,
        request,
        lifetimes: Lifetimes {
            fresh: second * 60,
            stale_while_revalidate: second,
            stale_if_error: second * 2,
            source: LifetimeSource::CacheControl,
        },
        tags: vec!["own".to_owned()],
        keeps_cookies: false,
        request_time: now,
        response_time: now + second,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces that bytes by chance would hardly hold.
    const PIECES: [&str; 40] = [
        "no-store",
        "private",
        "no-cache",
        "=\"",
        "\"",
        ",",
        "\\",
        "max-age=",
        "60",
        "4294967296",
        "\n",
        " ",
        ";",
        "s-maxage",
        "must-understand",
        "stale-if-error=1",
        "bytes=",
        "bytes ",
        "-",
        "/",
        "*",
        "0",
        "7",
        "\u{1f}",
        "R2",
        "200",
        "V",
        "accept-language",
        "vary:",
        "cache-control:",
        "etag:\"a\"",
        "W/",
        "?0",
        "?1",
        "(a b)",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94",
        "x",
        "\u{ff}",
        "18446744073709551615",
    ];

    fn some_bytes(seed: u64) -> Vec<u8> {
        let mut chance = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = move |bound: usize| {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            usize::try_from(chance % u64::try_from(bound).expect("small")).expect("small")
        };
        let count = next(14);
        (0..count).flat_map(|_| PIECES[next(PIECES.len())].as_bytes().to_vec()).collect()
    }

    #[test]
    fn the_properties_hold_for_pieces_in_any_order() {
        for seed in 0..20_000 {
            let bytes = some_bytes(seed);
            for check in
                [control::check, structured::check, date::check, range::check, vary::check, entry::check]
            {
                check(&bytes);
            }
        }
    }
}
