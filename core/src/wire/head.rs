//! The head of a stored response as one line, for stores that only keep text.

use std::time::Duration;

use http::StatusCode;

use super::lines::{Reader, Writer};
use super::{WireError, lines};
use crate::cache::lifetime::{LifetimeSource, Lifetimes};
use crate::cache::stored::{StoredParts, StoredResponse};
use crate::cache::vary::SelectingHeader;
use crate::time::Timestamp;

/// Values of one line are separated by it: no header value and no name holds a control character but the tab.
const SEPARATOR: u8 = 0x1f;

/// The form's version; a head of another version counts as not there.
const VERSION: &str = "2";

const SOURCES: [LifetimeSource; 8] = [
    LifetimeSource::Targeted,
    LifetimeSource::SurrogateControl,
    LifetimeSource::Rule,
    LifetimeSource::CacheControl,
    LifetimeSource::Expires,
    LifetimeSource::Negative,
    LifetimeSource::Heuristic,
    LifetimeSource::Validation,
];

/// Writes a head.
pub(super) fn write(stored: &StoredResponse) -> Vec<u8> {
    let parts = stored.to_parts();
    let mut lines = Writer::new(SEPARATOR, 512);
    lines.text(VERSION);
    lines.text(parts.status.as_str());
    lines.headers(&parts.headers);
    lines.number(parts.vary.len());
    for header in &parts.vary {
        lines.text(header.name.as_str());
        lines.text(if header.value.is_some() { "=" } else { "-" });
        lines.bytes(header.value.as_deref().unwrap_or_default());
    }
    let lifetimes = parts.lifetimes;
    for duration in
        [lifetimes.fresh, lifetimes.stale_while_revalidate, lifetimes.stale_if_error, parts.initial_age]
    {
        lines.number(duration.as_millis());
    }
    lines.text(lifetimes.source.as_str());
    lines.text(if parts.may_be_stale { "1" } else { "0" });
    for time in [parts.date, parts.request_time, parts.response_time] {
        lines.number(time.as_millis());
    }
    lines.number(parts.tags.len());
    parts.tags.iter().for_each(|tag| lines.text(tag));
    lines.text
}

/// Reads a head; `None` when it is not one of this version.
pub(super) fn read(text: &[u8]) -> Option<StoredResponse> {
    let mut lines = Reader::new(text, SEPARATOR);
    let stored = parts(&mut lines).ok()?;
    lines.end().ok()?;
    Some(StoredResponse::from_parts(stored))
}

fn parts(lines: &mut lines::Reader<'_>) -> Result<StoredParts, WireError> {
    if lines.text("version")? != VERSION {
        return Err(WireError { expected: "version" });
    }
    let status = StatusCode::from_bytes(lines.text("status")?.as_bytes())
        .map_err(|_| WireError { expected: "status" })?;
    let headers = lines.headers()?;
    let count = lines.count("number of selecting headers")?;
    let vary = (0..count).map(|_| selecting_header(lines)).collect::<Result<_, _>>()?;
    let mut millis = || lines.parse::<u64>("duration").map(Duration::from_millis);
    let (fresh, stale_while_revalidate, stale_if_error, initial_age) =
        (millis()?, millis()?, millis()?, millis()?);
    let source = lines.text("source")?;
    let source = SOURCES.into_iter().find(|known| known.as_str() == source);
    let source = source.ok_or(WireError { expected: "source" })?;
    let may_be_stale = lines.text("sign of stale use")? == "1";
    let mut time = || lines.parse::<u64>("time").map(Timestamp::from_millis);
    let (date, request_time, response_time) = (time()?, time()?, time()?);
    let count = lines.count("number of tags")?;
    let tags = (0..count).map(|_| lines.text("tag").map(str::to_owned)).collect::<Result<_, _>>()?;
    let lifetimes = Lifetimes { fresh, stale_while_revalidate, stale_if_error, source };
    Ok(StoredParts {
        status,
        headers,
        vary,
        lifetimes,
        may_be_stale,
        tags,
        date,
        request_time,
        response_time,
        initial_age,
    })
}

fn selecting_header(lines: &mut lines::Reader<'_>) -> Result<SelectingHeader, WireError> {
    let name = lines.name()?;
    let is_there = lines.text("sign of a value")? == "=";
    let value = lines.bytes("selecting value")?;
    Ok(SelectingHeader { name, value: is_there.then(|| value.into()) })
}
