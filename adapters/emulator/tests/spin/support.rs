//! Applications that are made of the guest beside these tests, and a client without frills.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use selvedge_emulator::runtime::spin::{SpinApp, SpinConfig};
use tempfile::TempDir;

/// An application that runs, in a folder of its own.
pub(crate) struct App {
    app: SpinApp,
    _folder: TempDir,
}

/// A status and a body.
pub(crate) type Answer = (u16, String);

/// The guest, compiled once.
fn guest() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spin-guest");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("spin-guest");
        let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--quiet", "--release", "--target", "wasm32-wasip2", "--target-dir"])
            .arg(&target)
            .current_dir(folder)
            .status()
            .expect("cargo runs");
        assert!(
            status.success(),
            "the guest compiles; its target comes with `rustup target add wasm32-wasip2`"
        );
        target.join("wasm32-wasip2/release/spin_guest.wasm")
    })
}

impl App {
    /// Runs the guest with what `component` says in its part of `spin.toml`.
    pub(crate) fn start(component: &str, change: impl FnOnce(&mut SpinConfig)) -> Self {
        Self::try_start(component, change).expect("the application starts")
    }

    pub(crate) fn try_start(component: &str, change: impl FnOnce(&mut SpinConfig)) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        std::fs::copy(guest(), folder.path().join("edge.wasm"))?;
        std::fs::write(folder.path().join("words.txt"), "as they were written")?;
        let text = format!(
            "spin_manifest_version = 2\n[application]\nname = \"test\"\n\
             [variables]\nurl = {{ default = \"http://a.test\" }}\n\
             [[trigger.http]]\nroute = \"/...\"\ncomponent = \"edge\"\n\
             [component.edge]\nsource = \"edge.wasm\"\n{component}"
        );
        std::fs::write(folder.path().join("spin.toml"), text)?;
        let mut config = SpinConfig::new(folder.path().to_owned());
        change(&mut config);
        Ok(Self { app: SpinApp::start(config)?, _folder: folder })
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.send(target, b"host: a.test\r\n")
    }

    /// Sends a request with these lines of headers.
    pub(crate) fn send(&self, target: &str, headers: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.app.address()).expect("the application listens");
        let mut request = format!("GET {target} HTTP/1.1\r\nconnection: close\r\n").into_bytes();
        request.extend_from_slice(headers);
        request.extend_from_slice(b"\r\n");
        stream.write_all(&request).expect("the request is sent");
        let mut response = Vec::new();
        stream.read_to_end(&mut response).expect("the response ends");
        parse(&String::from_utf8(response).expect("the response is text"))
    }
}

/// Reads a response whose body is chunked or ends with the connection.
fn parse(response: &str) -> Answer {
    let (head, mut rest) = response.split_once("\r\n\r\n").expect("the response has a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("it has a status");
    if !head.contains("transfer-encoding: chunked") {
        return (status, rest.to_owned());
    }
    let mut body = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("a chunk has a length");
        let Some((chunk, after)) = after.split_at_checked(length) else { break };
        body.push_str(chunk);
        rest = after.trim_start_matches("\r\n");
    }
    (status, body)
}

/// A backend that answers every request with 204, and where it is.
pub(crate) fn backend() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a port");
    let address = listener.local_addr().expect("it listens");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection is accepted");
            let mut request = [0; 4096];
            // Every request of these tests fits into one read.
            while stream.read(&mut request).is_ok_and(|length| length > 0) {
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("the response is sent");
            }
        }
    });
    address
}
