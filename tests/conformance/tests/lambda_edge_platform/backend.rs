//! A backend that says what it was asked for.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::LazyLock;
use std::thread;

/// The backend of every test.
pub(super) fn shared() -> SocketAddr {
    static ADDRESS: LazyLock<SocketAddr> = LazyLock::new(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            listener.incoming().flatten().for_each(|stream| drop(thread::spawn(|| serve(stream))))
        });
        address
    });
    *ADDRESS
}

/// Answers requests without content until the client has had enough.
fn serve(mut stream: TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    while let Some(line) = lines.next() {
        let fields: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let token = fields.iter().find_map(|field| field.strip_prefix("x-token: ")).unwrap_or("nothing");
        let asked = line.trim_end_matches(" HTTP/1.1");
        let body = format!("{asked}, {} bytes of token", token.len());
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
            break;
        }
    }
}
