//! Requests as bytes and answers as they come.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use selvedge_emulator::runtime::cloudflare::CF_HEADER;

/// Longest wait for bytes: what takes longer hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// What came back on one connection.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Names in lower case.
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Whether the body came to its end.
    pub(super) is_whole: bool,
}

impl Answer {
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(super) fn connect(edge: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(edge).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends a request without content from a place that Cloudflare knows, and reads the answer.
pub(super) fn send(edge: SocketAddr, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let cf = format!("{{\"country\":\"DE\",\"{CF_HEADER}\":1}}");
    send_bare(edge, method, path, &[fields, &[(CF_HEADER, &cf)]].concat())
}

/// Sends a request with these fields only.
pub(super) fn send_bare(edge: SocketAddr, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let mut stream = connect(edge);
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n{fields}\r\n")
        .unwrap();
    let mut reader = BufReader::new(stream);
    let (status, fields) = read_head(&mut reader).unwrap();
    let mut body = Vec::new();
    let is_whole = read_body(&mut reader, method, status, &fields, &mut body).is_ok();
    Answer { status, fields, body, is_whole }
}

pub(super) fn read_head(reader: &mut BufReader<TcpStream>) -> io::Result<(u16, Vec<(String, String)>)> {
    let status = read_line(reader)?.split(' ').nth(1).unwrap().parse().unwrap();
    let mut fields = Vec::new();
    loop {
        let line = read_line(reader)?;
        let Some((name, value)) = line.split_once(':') else { return Ok((status, fields)) };
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn read_body(
    reader: &mut BufReader<TcpStream>,
    method: &str,
    status: u16,
    fields: &[(String, String)],
    body: &mut Vec<u8>,
) -> io::Result<()> {
    if method == "HEAD" || matches!(status, 204 | 304) {
        return reader.read_to_end(body).map(drop);
    }
    let length = fields.iter().find(|(name, _)| name == "content-length");
    if let Some((_, length)) = length {
        let length: usize = length.parse().unwrap();
        reader.take(length as u64).read_to_end(body)?;
        return if body.len() == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
    }
    loop {
        let chunk = read_chunk(reader)?;
        if chunk.is_empty() {
            return Ok(());
        }
        body.extend(chunk);
    }
}

/// Reads one chunk ([RFC 9112 section 7.1](https://www.rfc-editor.org/rfc/rfc9112#section-7.1)); the last one is empty.
fn read_chunk(reader: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let line = read_line(reader)?;
    let length = usize::from_str_radix(line.split(';').next().unwrap().trim(), 16);
    let mut chunk = vec![0; length.map_err(|_| io::ErrorKind::UnexpectedEof)? + 2];
    reader.read_exact(&mut chunk)?;
    chunk.truncate(chunk.len() - 2);
    Ok(chunk)
}

/// A line without its end.
fn read_line(reader: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}
