//! A client that sends exactly the bytes that a step says, valid or not.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::case::Step;
use crate::{Observed, values};

/// Longest wait for a whole answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Sends a step's request on a connection of its own, with `extra` header lines, and reads the whole answer.
///
/// # Errors
/// When no whole answer comes.
pub async fn exchange(
    address: SocketAddr,
    step: &Step,
    extra: &[(&str, String)],
) -> anyhow::Result<Observed> {
    let answer = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&request_bytes(step, extra)).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        anyhow::Ok(bytes)
    };
    let bytes = tokio::time::timeout(TIMEOUT, answer).await.context("no whole answer came in time")??;
    parse(&bytes, step.method == "HEAD")
}

fn request_bytes(step: &Step, extra: &[(&str, String)]) -> Vec<u8> {
    let mut bytes = format!("{} {} HTTP/1.1\r\n", step.method, step.target).into_bytes();
    let own = step.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let extra = extra.iter().map(|(name, value)| (*name, value.as_str()));
    for (name, value) in own.chain(extra).chain([("connection", "close")]) {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    let is_chunked = step.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding"));
    if is_chunked {
        bytes.extend_from_slice(format!("{:x}\r\n{}\r\n0\r\n\r\n", step.body.len(), step.body).as_bytes());
    } else {
        bytes.extend_from_slice(step.body.as_bytes());
    }
    bytes
}

fn parse(bytes: &[u8], is_head: bool) -> anyhow::Result<Observed> {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(bytes)? else {
        bail!("the answer ends within its head: {:?}", String::from_utf8_lossy(bytes));
    };
    let status = head.code.context("the answer has no status")?;
    let headers: Vec<_> =
        head.headers.iter().map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec())).collect();
    let rest = &bytes[length..];
    let has_body = !is_head && !matches!(status, 100..200 | 204 | 304);
    let body = if !has_body {
        ensure!(rest.is_empty(), "there is a body behind a {status}");
        Vec::new()
    } else if values(&headers, "transfer-encoding").is_empty() {
        whole(rest, values(&headers, "content-length").first().copied())?
    } else {
        join_chunks(rest)?
    };
    Ok(Observed { status, headers, body, fetches: Vec::new() })
}

fn whole(rest: &[u8], announced: Option<&[u8]>) -> anyhow::Result<Vec<u8>> {
    if let Some(announced) = announced {
        let announced: usize = std::str::from_utf8(announced)?.parse()?;
        ensure!(rest.len() == announced, "{announced} bytes are announced and {} come", rest.len());
    }
    Ok(rest.to_vec())
}

/// [RFC 9112 section 7.1](https://www.rfc-editor.org/rfc/rfc9112#section-7.1), without trailers.
fn join_chunks(mut rest: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let Ok(httparse::Status::Complete((start, length))) = httparse::parse_chunk_size(rest) else {
            bail!("the answer breaks off between chunks");
        };
        let length = usize::try_from(length)?;
        let end = start.checked_add(length).filter(|end| *end <= rest.len());
        let end = end.context("the answer breaks off within a chunk")?;
        if length == 0 {
            return Ok(body);
        }
        body.extend_from_slice(&rest[start..end]);
        rest = rest[end..].strip_prefix(b"\r\n").context("a chunk does not end with its line")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_by_chunks_by_length_and_to_the_end() {
        let rows: [(&[u8], &[u8]); 4] = [
            (
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
                b"abcd",
            ),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab", b"ab"),
            (b"HTTP/1.1 200 OK\r\n\r\nabc", b"abc"),
            (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\n", b""),
        ];
        for (bytes, body) in rows {
            assert_eq!(parse(bytes, false).unwrap().body, body, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn answers_that_break_off_are_errors() {
        let rows: [&[u8]; 5] = [
            b"HTTP/1.1 200 OK\r\nx: y",
            b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n",
            b"HTTP/1.1 204 No Content\r\n\r\nab",
        ];
        for bytes in rows {
            assert!(parse(bytes, false).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
