//! Queues and schedules of the Worker as it is deployed, under `wrangler dev`: a queue of its own in a Durable Object, one of
//! Cloudflare's, and a Cron Trigger.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use selvedge_core::policy::blob;
use selvedge_core::policy::read::read;

use super::edge::build;

/// Longest wait for something that takes seconds: a start of wrangler, a second attempt.
const PATIENCE: Duration = Duration::from_secs(60);

const POLICY: &str = include_str!("../../handlers/jobs.toml");

/// What a backend was sent.
#[derive(Debug)]
struct Sent {
    path: String,
    fields: HashMap<String, String>,
    body: String,
}

impl Sent {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

#[test]
fn messages_are_delivered_until_the_backend_takes_them_and_schedules_are_told() {
    let (backend, sent) = backend();
    let folder = tempfile::tempdir().unwrap();
    let root = build("jobs.toml", folder.path());
    let policy = read(&POLICY.replace("http://127.0.0.1:1", &format!("http://{backend}"))).unwrap();
    fs::write(folder.path().join("policy.bin"), blob::encode(&policy)).unwrap();
    let wrangler = Wrangler::start(&root, folder.path());

    for (queue, path, body) in [("orders", "/orders", "two apples"), ("mail-out", "/mail", "a letter")] {
        assert_eq!(wrangler.post(&format!("/send/{queue}"), body), (202, "queued".to_owned()));
        let attempts = [(); 2].map(|()| sent.recv_timeout(PATIENCE).unwrap());
        for (attempt, sent) in (1..).zip(&attempts) {
            assert_eq!((sent.path.as_str(), sent.body.as_str()), (path, body));
            assert_eq!(sent.field("selvedge-queue"), queue);
            assert_eq!(sent.field("selvedge-attempt"), attempt.to_string(), "the first one got a 503");
        }
        let [first, second] = attempts.map(|sent| sent.field("idempotency-key").to_owned());
        assert!(first.len() > 10 && first == second, "{first} and {second} name one message");
    }

    let cron = policy.schedules[0].cron.to_string().replace(' ', "+");
    let (status, _) = wrangler.post(&format!("/cdn-cgi/handler/scheduled?cron={cron}"), "");
    assert_eq!(status, 200);
    let told = sent.recv_timeout(PATIENCE).unwrap();
    let again = sent.try_recv();
    assert!(again.is_err(), "the schedule beside it panicked by itself: {again:?}");
    assert_eq!(
        (told.path.as_str(), told.field("selvedge-schedule"), told.body.as_str()),
        ("/nightly", "nightly", "")
    );
}

/// A backend that has no time for the first request of each queue, and what it was sent.
fn backend() -> (SocketAddr, Receiver<Sent>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut seen = HashMap::new();
        for stream in listener.incoming() {
            answer(stream.unwrap(), &mut seen, &sender);
        }
    });
    (address, receiver)
}

fn answer(stream: TcpStream, seen: &mut HashMap<String, u32>, sender: &Sender<Sent>) {
    let mut reader = BufReader::new(stream);
    // A connection that was opened for nothing is none of the test's business.
    let Some(sent) = read_request(&mut reader) else { return };
    let count = seen.entry(sent.path.clone()).or_default();
    *count += 1;
    let status = if *count == 1 && sent.path != "/nightly" { "503 Busy" } else { "204 Taken" };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    sender.send(sent).unwrap();
    reader.get_mut().write_all(head.as_bytes()).unwrap();
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Sent> {
    let mut lines = reader.by_ref().lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let fields = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
    });
    let fields: HashMap<_, _> = fields.collect();
    let length: usize = fields.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Sent { path, fields, body: String::from_utf8(body).unwrap() })
}

/// A `wrangler dev`; it ends when dropped, with everything that it started.
struct Wrangler {
    child: Child,
    address: SocketAddr,
}

impl Wrangler {
    fn start(root: &Path, folder: &Path) -> Self {
        let programs = root.join("deploy/node_modules/.bin");
        let path = std::env::join_paths(
            std::iter::once(programs.clone())
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
        );
        let mut child = Command::new(programs.join("wrangler"))
            .args(["dev", "--ip", "127.0.0.1", "--port", "0", "--inspector-port", "0"])
            .current_dir(folder)
            .env("PATH", path.unwrap())
            .env("WRANGLER_SEND_METRICS", "false")
            .env("NO_COLOR", "1")
            .env("CI", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("wrangler does not start ({error}); `cargo xtask install` brings it")
            });
        let output = BufReader::new(child.stdout.take().unwrap());
        let (ready, is_ready) = channel();
        // The rest is read as well: a program whose output nobody reads stops.
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("Ready on http://") {
                    ready.send(address.trim_end().parse().unwrap()).unwrap();
                }
            }
        });
        let mut wrangler = Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) };
        wrangler.address = is_ready.recv_timeout(PATIENCE).expect("wrangler gets ready");
        wrangler
    }

    fn post(&self, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}",
            self.address
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

impl Drop for Wrangler {
    fn drop(&mut self) {
        // The group: wrangler's own children outlive it otherwise.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}
