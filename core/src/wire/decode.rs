//! What a host tells, from its bytes.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};

use super::lines::{EXPECTED_VALUE, Reader};
use super::{Begin, BeginJob, Incoming, REQUEST_BODY, Whole, WireError, head};
use crate::backend::BackendId;
use crate::body::{Body, BodyHandle};
use crate::effect::{CacheEntry, EffectId, EffectResult, FetchError, ReadBodyError, StoreError, Variants};
use crate::facts::{Continent, Coordinates, CountryCode, Facts};
use crate::health::BodyEnd;
use crate::job::{Job, JobSource};
use crate::time::Timestamp;
use crate::transaction::{Omitted, Seed};

type Result<T> = std::result::Result<T, WireError>;

/// Room for the header fields of most requests.
const USUAL_FIELDS: usize = 16;

/// Reads a message: its text, and the bytes beside it. `names` are the header names that it may give by their place.
///
/// URL and header values of a request share the text's memory.
///
/// # Errors
/// [`WireError`] says what was expected where the message went wrong.
pub fn decode(text: &Bytes, bytes: &[u8], names: &[HeaderName]) -> Result<Incoming> {
    let mut lines = Reader::new(text, b'\n');
    let incoming = match lines.text("kind of message")? {
        "B" => begin(&mut lines, text, bytes, names)?,
        "J" => job(&mut lines, bytes)?,
        "C" => completed(&mut lines, bytes)?,
        "O" => body_ended(&mut lines)?,
        _ => return Err(WireError { expected: "kind of message" }),
    };
    lines.end()?;
    Ok(incoming)
}

fn begin(lines: &mut Reader<'_>, text: &Bytes, bytes: &[u8], names: &[HeaderName]) -> Result<Incoming> {
    let seed: Seed = bytes.try_into().map_err(|_| WireError { expected: "seed" })?;
    let now = time(lines)?;
    let mut request = Request::new(Body::Empty);
    *request.method_mut() =
        Method::from_bytes(lines.bytes("method")?).map_err(|_| WireError { expected: "method" })?;
    // A URL that is none is the client's fault and not the host's; the core refuses this one as it would that one.
    let url = text.slice_ref(lines.bytes("URL")?);
    *request.uri_mut() = Uri::from_maybe_shared(url).unwrap_or(Uri::from_static("*"));
    let facts = facts(lines)?;
    *request.headers_mut() = fields(lines, text, names)?;
    let whole = match lines.text("completeness")? {
        "whole" => Whole::Yes,
        "part" => Whole::Without(Omitted { bytes: lines.parse("bytes of omitted fields")? }),
        "crashed" => Whole::AfterCrash(lines.text("message of a crash")?.to_owned()),
        _ => return Err(WireError { expected: "completeness" }),
    };
    if flag(lines, "sign of a body")? == Some(true) {
        *request.body_mut() = Body::Host(REQUEST_BODY);
    }
    Ok(Incoming::Begin(Box::new(Begin { request, whole, facts, seed, now })))
}

fn job(lines: &mut Reader<'_>, bytes: &[u8]) -> Result<Incoming> {
    let (seed, body) = bytes.split_first_chunk().ok_or(WireError { expected: "seed" })?;
    let now = time(lines)?;
    let kind = lines.text("source of a job")?;
    let name = lines.text("name of a source")?.to_owned();
    let source = match kind {
        "queue" => JobSource::Queue(name),
        "schedule" => JobSource::Schedule(name),
        _ => return Err(WireError { expected: "source of a job" }),
    };
    let id = lines.text("id of a job")?.to_owned();
    let attempt = lines.parse("attempt")?;
    let crash = lines.optional("message of a crash")?.map(str::to_owned);
    let job = Job { source, id, attempt, body: Bytes::copy_from_slice(body) };
    Ok(Incoming::Job(Box::new(BeginJob { job, crash, seed: *seed, now })))
}

/// Reads fields up to the empty line; a name is written out, or is `:` and its place in `names`.
fn fields(lines: &mut Reader<'_>, text: &Bytes, names: &[HeaderName]) -> Result<HeaderMap> {
    const EXPECTED: &str = "header name";
    let mut headers = HeaderMap::with_capacity(USUAL_FIELDS);
    loop {
        let name = match lines.bytes(EXPECTED)? {
            [] => return Ok(headers),
            [b':', place @ ..] => {
                let place = std::str::from_utf8(place).ok().and_then(|place| place.parse::<usize>().ok());
                place.and_then(|place| names.get(place)).cloned().ok_or(WireError { expected: EXPECTED })?
            }
            name => HeaderName::from_bytes(name).map_err(|_| WireError { expected: EXPECTED })?,
        };
        let value = HeaderValue::from_maybe_shared(text.slice_ref(lines.bytes(EXPECTED_VALUE)?))
            .map_err(|_| WireError { expected: EXPECTED_VALUE })?;
        headers.try_append(name, value).map_err(|_| WireError { expected: "number of header fields" })?;
    }
}

fn facts(lines: &mut Reader<'_>) -> Result<Facts> {
    // A line break within a value crosses as a record separator.
    let owned = |text: Option<&str>| text.map(|text| text.replace('\u{1e}', "\n"));
    Ok(Facts {
        client_ip: lines.optional("address")?.and_then(|text| text.parse::<IpAddr>().ok()),
        country: lines.optional("country")?.and_then(CountryCode::new),
        continent: lines.optional("continent")?.and_then(Continent::new),
        region: owned(lines.optional("region")?),
        city: owned(lines.optional("city")?),
        coordinates: coordinates(lines)?,
        time_zone: owned(lines.optional("time zone")?),
        asn: lines.optional("autonomous system")?.and_then(|text| text.parse().ok()),
        protocol: owned(lines.optional("protocol")?),
        tls_version: owned(lines.optional("TLS version")?),
        is_https: flag(lines, "sign of TLS")?,
        bot_score: lines.optional("bot score")?.and_then(|text| text.parse().ok()),
        is_verified_bot: flag(lines, "sign of a verified bot")?,
    })
}

fn coordinates(lines: &mut Reader<'_>) -> Result<Option<Coordinates>> {
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<f64>().ok());
    let (latitude, longitude) = (number(lines.optional("latitude")?), number(lines.optional("longitude")?));
    Ok(latitude.zip(longitude).and_then(|(latitude, longitude)| Coordinates::new(latitude, longitude)))
}

fn flag(lines: &mut Reader<'_>, expected: &'static str) -> Result<Option<bool>> {
    match lines.text(expected)? {
        "" => Ok(None),
        "0" => Ok(Some(false)),
        "1" => Ok(Some(true)),
        _ => Err(WireError { expected }),
    }
}

fn time(lines: &mut Reader<'_>) -> Result<Timestamp> {
    Ok(Timestamp::from_millis(lines.parse("time")?))
}

fn body_ended(lines: &mut Reader<'_>) -> Result<Incoming> {
    let now = time(lines)?;
    let place = (BackendId(lines.parse("backend")?), lines.parse("URL of a backend")?);
    let probe = match lines.text("probe")? {
        "-" => None,
        number => Some(number.parse().map_err(|_| WireError { expected: "probe" })?),
    };
    let status =
        StatusCode::from_bytes(lines.bytes("status")?).map_err(|_| WireError { expected: "status" })?;
    let word = lines.text("end of a body")?;
    let end = BodyEnd::ALL.into_iter().find(|end| end.as_str() == word);
    let end = end.ok_or(WireError { expected: "end of a body" })?;
    Ok(Incoming::BodyEnded { place, probe, status, end, now })
}

fn completed(lines: &mut Reader<'_>, bytes: &[u8]) -> Result<Incoming> {
    let now = time(lines)?;
    let exchange = lines.parse("exchange")?;
    let id = EffectId(lines.parse("effect")?);
    let content = || Bytes::copy_from_slice(bytes);
    let result = match lines.text("kind of result")? {
        "fetch" => EffectResult::Fetch(fetched(lines)?),
        "cache" => EffectResult::CacheGet(cached(lines, bytes)?),
        "put" => EffectResult::CachePut,
        "purge" => EffectResult::CachePurge,
        "slice" => EffectResult::SliceBody(match host_body(lines)? {
            Body::Empty => None,
            body @ (Body::Bytes(_) | Body::Host(_)) => Some(body),
        }),
        "kv" => EffectResult::KvGet(match lines.text("value")? {
            "-" => Ok(None),
            "=" => Ok(Some(content())),
            _ => Err(StoreError),
        }),
        "kvput" => EffectResult::KvPut(if lines.text("outcome")? == "=" { Ok(()) } else { Err(StoreError) }),
        "count" => EffectResult::Count(lines.text("count")?.parse().map_err(|_| StoreError)),
        "body" => EffectResult::ReadBody(match lines.text("body")? {
            "=" => Ok(content()),
            "too-large" => Err(ReadBodyError::TooLarge),
            _ => Err(ReadBodyError::Broken),
        }),
        "enqueue" => {
            EffectResult::Enqueue(if lines.text("outcome")? == "=" { Ok(()) } else { Err(StoreError) })
        }
        "sleep" => EffectResult::Sleep,
        "record" => EffectResult::Record,
        _ => return Err(WireError { expected: "kind of result" }),
    };
    Ok(Incoming::Completed { exchange, id, result: Box::new(result), now })
}

fn fetched(lines: &mut Reader<'_>) -> Result<std::result::Result<Response<Body>, FetchError>> {
    let status = match lines.text("status")? {
        "connect" => return Ok(Err(FetchError::Connect)),
        "timeout" => return Ok(Err(FetchError::Timeout)),
        "protocol" => return Ok(Err(FetchError::Protocol)),
        "body-too-large" => return Ok(Err(FetchError::BodyTooLarge)),
        "client-body" => return Ok(Err(FetchError::ClientBody)),
        "client-timeout" => return Ok(Err(FetchError::ClientTimeout)),
        status => StatusCode::from_bytes(status.as_bytes()).map_err(|_| WireError { expected: "status" })?,
    };
    let mut response = Response::new(host_body(lines)?);
    *response.status_mut() = status;
    *response.headers_mut() = lines.headers()?;
    Ok(Ok(response))
}

/// A body that the host keeps, or none.
fn host_body(lines: &mut Reader<'_>) -> Result<Body> {
    match lines.text("body")? {
        "-" => Ok(Body::Empty),
        handle => {
            let handle = handle.parse().map_err(|_| WireError { expected: "body" })?;
            Ok(Body::Host(BodyHandle(handle)))
        }
    }
}

fn cached(lines: &mut Reader<'_>, bytes: &[u8]) -> Result<Option<CacheEntry>> {
    match lines.text("entry")? {
        "-" => Ok(None),
        "V" => {
            let since = time(lines)?;
            let count = lines.count("number of names")?;
            let names = (0..count).map(|_| lines.name()).collect::<Result<Vec<_>>>()?;
            Ok(Some(CacheEntry::Variants(Variants { names: names.into(), since })))
        }
        "R" => {
            // What cannot be read was stored by another version, or tampered with: it counts as not there.
            let stored = head::read(lines.bytes("stored head")?);
            let body = match lines.text("body")? {
                "=" => Body::from(Bytes::copy_from_slice(bytes)),
                "-" => Body::Empty,
                handle => Body::Host(BodyHandle(handle.parse().map_err(|_| WireError { expected: "body" })?)),
            };
            Ok(stored.map(|stored| CacheEntry::Response(Arc::new(stored), body)))
        }
        _ => Err(WireError { expected: "entry" }),
    }
}
