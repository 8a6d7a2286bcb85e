//! What can be chosen about the emulator.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use selvedge_core::facts::Facts;
use subtle::ConstantTimeEq as _;

use crate::access_log::AccessLog;
use crate::clock::Clock;
use crate::faults::Faults;
use crate::runtime::Platform;
use crate::span::SpanSink;
use selvedge_mmdb::GeoDatabase;

/// Most bytes in a cache folder when nothing else is said.
pub const DEFAULT_CACHE_DIR_BYTES: u64 = 1024 * 1024 * 1024;

/// What can be chosen about the emulator; [`Default`] is the local edge of `selvedge dev`.
#[derive(Debug)]
pub struct EmulatorConfig {
    /// Where to listen; port 0 lets the system choose. `127.0.0.1:8787` by default.
    pub listen: SocketAddr,
    /// How many threads serve; one a core by default.
    pub threads: Option<usize>,
    /// Tells where clients are; without one their place is unknown, which is the default.
    pub geoip: Option<GeoDatabase>,
    /// What is known about single clients, by address, in place of what the database says; nothing by default.
    pub places: BTreeMap<IpAddr, Facts>,
    /// Whether the request header `Selvedge-Client-Ip` poses as another client. On by
    /// default; the header never reaches the policy or a backend either way.
    pub pose: bool,
    /// A platform that answers in place of the emulator's own engine; none by default.
    pub runtime: Option<Platform>,
    /// The time that the policy sees; the machine's by default.
    pub clock: Clock,
    /// File that keeps queues' messages; without one they end with the emulator, which is the default.
    pub queues: Option<PathBuf>,
    /// Folder that keeps stored responses with long bodies, also for the next start; one emulator has it at a time.
    /// Without one, which is the default, all are in memory, and bodies over 8 MiB are not stored.
    pub cache_dir: Option<PathBuf>,
    /// Most bytes of all files in the cache folder; one response takes at most half of it. 1 GiB by default.
    pub cache_dir_bytes: u64,
    /// What lets a client purge stored responses by `POST /_selvedge/purge`, as a bearer token or as the key of a signature, and set faults by
    /// `POST /_selvedge/faults/BACKEND`, as a bearer token; without one, which is the default, nobody can.
    pub purge_token: Option<PurgeToken>,
    /// What is wrong with backends on purpose; keep a clone to change it while the edge runs. Nothing by default.
    pub faults: Faults,
    /// Log of requests; none by default.
    pub access_log: Option<AccessLog>,
    /// Whether requests belong to traces ([Trace Context](https://www.w3.org/TR/trace-context-1/)): a client's goes on and others begin,
    /// with the edge's own part told to backends. Not by default: the headers then pass as any others.
    pub trace: bool,
    /// Takes the spans of traces that are sampled: one a request, and below it one for each attempt at a backend. None by default; with
    /// one requests belong to traces, as with `trace`.
    pub spans: Option<Arc<dyn SpanSink>>,
    /// Whether `Server-Timing` tells clients what took how long. Not by default, as it tells everybody what is cached.
    pub server_timing: bool,
    /// Most bytes of a request's head, 64 KiB by default. The policy's own limit, which is
    /// answered with its own reason, is meant to be lower. At least 8 KiB.
    pub max_header_bytes: u32,
    /// Longest wait for a request's head, also between two requests of one connection; 30 seconds by default.
    pub header_read_timeout: Duration,
    /// Longest time for which a client may take nothing of what is ready for it, before its connection is closed; 60 seconds by
    /// default. Any byte that it takes begins the time again; over HTTP/2, any byte of any body.
    pub client_stall_timeout: Duration,
    /// Most tasks of one thread that go on after their responses, such as revalidations; 1,024 by default. Beyond them, what can be done at
    /// once after a response is, and the rest is left to a later request.
    pub background_tasks: usize,
    /// How long requests in flight may take once the edge shuts down; 10 seconds by default.
    pub shutdown_grace: Duration,
}

/// A secret that lets whoever has it purge stored responses and set faults. No log shows it.
#[derive(Clone)]
pub struct PurgeToken(String);

impl PurgeToken {
    /// Makes a token; `None` of an empty text, which would let everybody in.
    #[must_use]
    pub fn new(token: String) -> Option<Self> {
        (!token.is_empty()).then_some(Self(token))
    }

    /// The key of signatures.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Compares in a time that says nothing about how much of `given` is right.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(given).into()
    }
}

impl fmt::Debug for PurgeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PurgeToken")
    }
}

impl Default for EmulatorConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8787)),
            threads: None,
            geoip: None,
            places: BTreeMap::new(),
            pose: true,
            runtime: None,
            clock: Clock::System,
            queues: None,
            cache_dir: None,
            cache_dir_bytes: DEFAULT_CACHE_DIR_BYTES,
            purge_token: None,
            faults: Faults::default(),
            access_log: None,
            trace: false,
            spans: None,
            server_timing: false,
            max_header_bytes: 64 * 1024,
            header_read_timeout: Duration::from_secs(30),
            client_stall_timeout: Duration::from_secs(60),
            background_tasks: 1024,
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

impl EmulatorConfig {
    /// Whether requests belong to traces.
    pub(crate) fn traces(&self) -> bool {
        self.trace || self.spans.is_some()
    }

    pub(crate) fn thread_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.threads.unwrap_or_else(cores).max(1)
    }
}
