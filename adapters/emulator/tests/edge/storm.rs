//! Half a minute of requests while the backends are killed and started again, one after the other, every second.
//!
//! The policy's promise, as `selvedge_core::health::how` has it: as long as one of the two backends is up a `GET` is answered by
//! it, whole and with 200; a `POST` is sent once, so that the death of the backend that has it may cost it its answer, which
//! is then 502, 503 or 504. Nobody's connection is closed without an answer, and what was answered 200 was done once.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _, stdin, stdout};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use selvedge_core::policy::read::read;
use selvedge_emulator::EmulatorConfig;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use crate::support::{Edge, connect, full, whole, with_host};

/// Tells this program that it is the process of the edge, and where its backends are.
const BACKENDS: &str = "SELVEDGE_TEST_STORM_BACKENDS";

const STORM: Duration = Duration::from_secs(30);
/// When memory is looked at first: all that is allocated once is there by then.
const WARM: Duration = Duration::from_secs(10);
const BETWEEN_KILLS: Duration = Duration::from_secs(1);
/// How long a killed backend is away: longer than its circuit stays open at first.
const AWAY: Duration = Duration::from_millis(300);
const CLIENTS: usize = 12;
/// The wait of each client between two requests.
const PACE: Duration = Duration::from_millis(8);
/// What the process may take more at the end than once it was warm.
const MAX_MORE_BYTES: u64 = 24 * 1024 * 1024;
/// Longest wait for what comes a little later; idle connections to backends end after four seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often each `POST` was carried out, by its number.
type Done = Arc<Mutex<BTreeMap<String, u32>>>;

/// A backend that can be killed and started again at its address.
struct Backend {
    address: SocketAddr,
    done: Done,
    running: Option<JoinHandle<()>>,
}

impl Backend {
    fn start(done: &Done) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut backend = Self { address, done: Arc::clone(done), running: None };
        backend.start_again();
        backend
    }

    fn start_again(&mut self) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        let listener = socket.listen(1024).unwrap();
        self.address = listener.local_addr().unwrap();
        self.running = Some(tokio::spawn(accept(listener, Arc::clone(&self.done))));
    }

    /// Closes its socket and every connection, wherever their requests are.
    async fn kill(&mut self) {
        let running = self.running.take().unwrap();
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled(), "it ran until it was killed");
    }
}

/// Serves until it is dropped, and its connections with it.
async fn accept(listener: TcpListener, done: Done) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let done = Arc::clone(&done);
        let service = service_fn(move |request| answer(request, Arc::clone(&done)));
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        connections.spawn(connection);
        while connections.try_join_next().is_some() {}
    }
}

/// Answers with the target, a few milliseconds later for some, so that kills meet requests on their way.
async fn answer(request: Request<Incoming>, done: Done) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    if request.method() == Method::POST {
        *done.lock().unwrap().entry(path.clone()).or_default() += 1;
    }
    if path.ends_with('0') {
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    Ok(Response::new(Full::new(path.into())))
}

/// What came of one client's requests.
#[derive(Debug, Default)]
struct Tally {
    gets: u32,
    posts: BTreeMap<u16, u32>,
    /// The `POST`s that were answered 200.
    acknowledged: BTreeSet<String>,
}

/// Asks on one connection until the time is over.
async fn load(edge: SocketAddr, client: usize, until: Instant) -> Tally {
    let (mut connection, mut tally) = (connect(edge).await, Tally::default());
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_u32.. {
        pace.tick().await;
        if Instant::now() > until {
            break;
        }
        let path = format!("/{client}/{number}");
        let method = if number % 3 == 2 { Method::POST } else { Method::GET };
        let request = Request::builder().method(&method).uri(&path).body(full("")).unwrap();
        let response = connection.send_request(with_host(request)).await;
        let response = response.unwrap_or_else(|error| panic!("{method} {path} has an answer: {error}"));
        let response = whole(response).await;
        let status = response.status();
        if method == Method::GET {
            let why = response.headers().get("cache-status");
            assert_eq!(status, StatusCode::OK, "GET {path}: {why:?}");
            tally.gets += 1;
        } else {
            assert!(matches!(status.as_u16(), 200 | 502..=504), "POST {path}: {response:?}");
            *tally.posts.entry(status.as_u16()).or_default() += 1;
        }
        if status == StatusCode::OK {
            assert_eq!(response.body(), &path, "{method} {path}: whole, and nobody else's");
            tally.acknowledged.extend((method == Method::POST).then_some(path));
        }
        connection.ready().await.expect("the connection goes on");
    }
    tally
}

/// Kills each backend in its turn, and starts it again. The other one is up by then, and the edge has found out.
async fn kill_in_turn(backends: &mut [Backend; 2], edge: &Measured, began: Instant) -> u32 {
    let mut kills = 0;
    while began.elapsed() + BETWEEN_KILLS < STORM {
        kills += 1;
        sleep_until((began + BETWEEN_KILLS * kills).into()).await;
        while edge.metric("selvedge_backend_up{backend=\"main\"}").await < 1.0 {}
        let backend = &mut backends[kills as usize % 2];
        backend.kill().await;
        tokio::time::sleep(AWAY).await;
        backend.start_again();
    }
    kills
}

/// The edge in a process of its own, which alone is measured.
struct Measured {
    child: Child,
    edge: SocketAddr,
    /// Kept, since the test's harness in that process has more to say at its end.
    _output: BufReader<ChildStdout>,
}

impl Measured {
    fn start(backends: &[Backend; 2]) -> Self {
        let addresses = backends.each_ref().map(|backend| backend.address.to_string()).join(" ");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "storm::the_process_of_the_edge", "--nocapture"])
            .env(BACKENDS, addresses)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("listens on ") {
            said.clear();
            assert_ne!(output.read_line(&mut said).unwrap(), 0, "it says where it listens");
        }
        let (_, address) = said.trim().split_once("listens on ").unwrap();
        let edge = address.parse().unwrap();
        Self { child, edge, _output: output }
    }

    fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Reads a metric, on a connection of its own that is closed afterwards.
    async fn metric(&self, name: &str) -> f64 {
        let request = with_host(Request::get("/_selvedge/metrics").body(full("")).unwrap());
        let page = whole(connect(self.edge).await.send_request(request).await.unwrap()).await;
        let page = String::from_utf8(page.into_body().to_vec()).unwrap();
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{name} in {page}")).parse().unwrap()
    }

    /// Waits until the edge has no more than what the question itself takes.
    async fn is_at_rest(&self, open_files: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let connections = self.metric("selvedge_connections").await;
            let in_flight = self.metric("selvedge_requests_in_flight").await;
            let tasks = self.metric("selvedge_background_tasks").await;
            let files = self.open_files();
            if (connections, in_flight, tasks) == (1.0, 1.0, 0.0) && files <= open_files {
                return;
            }
            let left =
                format!("{connections} connections, {in_flight} requests, {tasks} tasks, {files} files");
            assert!(Instant::now() < deadline, "nothing is left of the load: {left}, {open_files} before");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn stop(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        // It has ended already when all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn backends_that_die_every_second_cost_no_get_and_nothing_is_left_of_it() {
    let done = Done::default();
    let mut backends = [Backend::start(&done), Backend::start(&done)];
    let edge = Measured::start(&backends);
    edge.is_at_rest(usize::MAX).await;
    let files = edge.open_files() + 1;
    let began = Instant::now();
    let clients: Vec<_> =
        (0..CLIENTS).map(|client| tokio::spawn(load(edge.edge, client, began + STORM))).collect();
    let warm = async {
        sleep_until((began + WARM).into()).await;
        edge.resident_bytes()
    };
    let (warm, kills) = tokio::join!(warm, kill_in_turn(&mut backends, &edge, began));
    let mut tallies = Vec::new();
    for client in clients {
        tallies.push(client.await.unwrap_or_else(|error| panic!("a client was let down: {error}")));
    }
    let end = edge.resident_bytes();
    assert!(kills >= 25, "only {kills} kills");
    check(&tallies, &done);
    assert!(end < warm + MAX_MORE_BYTES, "memory grows: {warm} bytes at {WARM:?}, {end} at the end");
    edge.is_at_rest(files).await;
    edge.stop();
}

/// What was acknowledged was done, and nothing was done twice.
fn check(tallies: &[Tally], done: &Done) {
    let done = done.lock().unwrap();
    let twice: Vec<_> = done.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "a POST is sent once: {twice:?}");
    let mut posts = BTreeMap::<u16, u32>::new();
    for tally in tallies {
        assert!(tally.gets > 500, "a client that hardly came to ask proves nothing: {}", tally.gets);
        assert!(
            tally.acknowledged.iter().all(|post| done.contains_key(post)),
            "what is acknowledged is done"
        );
        for (status, count) in &tally.posts {
            *posts.entry(*status).or_default() += count;
        }
    }
    let failed: u32 = posts.iter().filter(|(status, _)| **status != 200).map(|(_, count)| count).sum();
    let all: u32 = posts.values().sum();
    assert!(failed * 50 < all, "what a death costs is what the dead one had: {posts:?}");
}

/// Does nothing unless the test above starts it.
#[tokio::test]
async fn the_process_of_the_edge() {
    let Ok(backends) = std::env::var(BACKENDS) else { return };
    let (main, spare) = backends.split_once(' ').unwrap();
    let policy = format!(
        "[limits]\ndeadline = \"5s\"\n\
         [backends.main]\nurl = \"http://{main}\"\ntimeout = \"2s\"\nconnect-timeout = \"500ms\"\n\
         failover = [\"spare\"]\nbreaker = {{ failures = 5, open = \"100ms\" }}\n\
         [backends.spare]\nurl = \"http://{spare}\"\ntimeout = \"2s\"\nconnect-timeout = \"500ms\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\nbackend = \"main\"\n"
    );
    let policy = read(&policy).unwrap_or_else(|errors| panic!("{errors}"));
    let edge = Edge::start_with(policy, EmulatorConfig::default()).await;
    // Not by `println`, which the test's harness would hold back.
    writeln!(stdout(), "listens on {}", edge.address).unwrap();
    tokio::task::spawn_blocking(|| stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    edge.stop().await.unwrap();
}
