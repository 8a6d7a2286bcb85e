//! `selvedge dev`: a policy on the local edge, in front of the reference origin.

mod announce;
mod lines;
mod reload;

use std::future::Future;
use std::io::{self, IsTerminal as _, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anstream::adapter::strip_str;
use anyhow::Context as _;
use selvedge_core::engine::Engine;
use selvedge_core::hex;
use selvedge_core::job::QueueStore;
use selvedge_core::policy::Policy;
use selvedge_emulator::{
    AccessLog, Emulator, EmulatorConfig, EngineHandle, GeoDatabase, LogTarget, PolicyInfo, PurgeToken,
};
use selvedge_origin::{Origin, OriginConfig, Secret};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::build::Project;
use crate::cli::{DIM, Dev};
use crate::policy::{STOREFRONT_GEOIP, Source, fingerprint};
use crate::runtime::Runtime;
use crate::view::board::Board;
use crate::view::state::About;
use crate::view::{Desk, View};
use lines::Lines;
use reload::{Reloader, Reloading};

/// Where policies expect the reference origin; a backend at this address follows `--origin-listen`.
const ORIGIN_ADDRESS: &str = "127.0.0.1:8788";

/// What is logged when nothing else is said. Requests are shown by other means.
const LOG_FILTER: &str = "info,selvedge_emulator::server=warn,selvedge_origin=warn";

/// Runs until Ctrl-C, or until the view is ended.
pub(crate) fn run(options: Dev) -> anyhow::Result<ExitCode> {
    let board = Board::default();
    init_logs(board.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(options, board))?;
    Ok(ExitCode::SUCCESS)
}

/// Reads a database of places: the file that was named, else the storefront's.
pub(crate) fn geoip(file: Option<&Path>) -> anyhow::Result<GeoDatabase> {
    match file {
        Some(file) => GeoDatabase::open(file).context("--geoip"),
        None => Ok(GeoDatabase::from_bytes(STOREFRONT_GEOIP.to_vec())?),
    }
}

fn init_logs(board: Board) {
    let filter = EnvFilter::try_from_env("SELVEDGE_LOG").unwrap_or_else(|_| LOG_FILTER.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(board)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
}

/// How whoever runs the edge is told of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// On a live view.
    View,
    /// By a line for each.
    Lines,
    /// Not at all, or by an access log.
    Quiet,
}

impl Manner {
    /// Chooses by the options and by whether the standard input and output are a terminal that can show a view.
    fn choose(options: &Dev, is_terminal: bool) -> Self {
        if options.quiet || logs_to_stdout(options) {
            Self::Quiet
        } else if options.plain || !is_terminal || options.runtime.is_some() {
            // A platform's runtime writes on the terminal itself, and asks the backends itself.
            Self::Lines
        } else {
            Self::View
        }
    }
}

fn is_terminal() -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
    !is_dumb && io::stdin().is_terminal() && io::stdout().is_terminal()
}

async fn serve(options: Dev, board: Board) -> anyhow::Result<()> {
    let source = Source::find(options.policy.as_deref());
    let text = source.text()?;
    let origin = OriginAddress { listen: options.origin_listen, is_started: !options.no_origin };
    let engine = Arc::new(source.compile_with(|policy| origin.redirect(policy))?);
    let handle = EngineHandle::new(Arc::clone(&engine), info(&engine, &text));
    let start = |target| {
        let project = project(&source, &engine, options.geoip.clone())?;
        Runtime::start(target, project, options.spin_binary.clone())
    };
    let runtime = options.runtime.map(start).transpose()?;
    let token = purge_token(&options, origin)?;
    let config = config(&options, token.clone(), runtime.as_ref())?;
    let faults = config.faults.clone();
    let emulator = Emulator::bind(config, handle.clone())?;
    let (stop, stopped) = watch::channel(());
    let notices = token.map(|token| (emulator.local_addr(), token));
    let origin_task = start_origin(origin, notices, stopped.clone()).await?;
    let reloader = Reloader { source: source.clone(), handle, origin, runtime, board: board.clone() };
    let reloading = Reloading::start(reloader, text)?;
    // Before anybody is told how to end it: a signal that nobody handles ends it at once.
    let mut ending = Box::pin(shutdown_requested());
    tokio::select! {
        biased;
        () = &mut ending => return Ok(()),
        () = std::future::ready(()) => {}
    }
    let (mut view, mut lines) = (None, None);
    let (console, address) = (emulator.console(), emulator.local_addr());
    let manner = Manner::choose(&options, is_terminal());
    if manner == Manner::View {
        let about = about(&source, &engine, address, origin);
        let desk = Desk { console, faults, board, reload: Box::new(reloading.again()) };
        view = Some(View::show(about, desk).context("cannot show the view; --plain does without it")?);
    } else {
        let requests = (manner == Manner::Lines).then(|| console.requests());
        drop(console);
        announce::announce(&mut *announcements(&options), &engine, &source, address, origin)?;
        lines = requests.map(Lines::print).transpose()?;
    }
    let ended = tokio::spawn(async move {
        let result = until_end(ending, view).await;
        anstream::eprintln!("\n{DIM}finishing the requests in flight{DIM:#}");
        drop(stop);
        result
    });
    emulator.run(closed(stopped)).await?;
    if let Some(lines) = lines {
        lines.finish().await;
    }
    if let Some(task) = origin_task {
        task.await.context("the origin's task ended early")??;
    }
    ended.await.context("the view's task ended early")?.context("the view ended early")
}

/// Waits for a signal or, where there is a view, for its end; the terminal is then as it was before.
async fn until_end(signal: impl Future<Output = ()>, view: Option<View>) -> io::Result<()> {
    let Some(mut view) = view else {
        signal.await;
        return Ok(());
    };
    tokio::select! {
        () = signal => Ok(()),
        result = view.ended() => result,
    }
}

fn config(options: &Dev, token: Option<String>, runtime: Option<&Runtime>) -> anyhow::Result<EmulatorConfig> {
    Ok(EmulatorConfig {
        access_log: access_log(options),
        trace: options.trace,
        #[cfg(feature = "otlp")]
        spans: spans(options.otlp.as_deref())?,
        server_timing: options.server_timing,
        listen: options.listen,
        geoip: Some(geoip(options.geoip.as_deref())?),
        pose: !options.no_pose,
        queues: options.queues.clone(),
        cache_dir: options.cache_dir.clone(),
        cache_dir_bytes: options.cache_dir_bytes,
        purge_token: token.and_then(PurgeToken::new),
        runtime: runtime.map(Runtime::platform),
        ..EmulatorConfig::default()
    })
}

/// The token for purges: the environment's, else one that only the origin gets to know.
fn purge_token(options: &Dev, origin: OriginAddress) -> anyhow::Result<Option<String>> {
    let given = std::env::var(&options.purge_token_env).ok().filter(|token| !token.is_empty());
    if given.is_some() || !origin.is_started {
        return Ok(given);
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random).context("cannot make a token for the origin")?;
    Ok(Some(hex::encode(&random)))
}

fn access_log(options: &Dev) -> Option<AccessLog> {
    let path = options.access_log.clone()?;
    let to = if logs_to_stdout(options) { LogTarget::Stdout } else { LogTarget::File(path) };
    let (address, sample) = (options.access_log_address, options.access_log_sample);
    Some(AccessLog { query: options.access_log_query.into(), address, sample, ..AccessLog::new(to) })
}

fn logs_to_stdout(options: &Dev) -> bool {
    options.access_log.as_ref().is_some_and(|path| path.as_os_str() == "-")
}

/// Sends traces where somebody says to.
#[cfg(feature = "otlp")]
fn spans(collector: Option<&str>) -> anyhow::Result<Option<Arc<dyn selvedge_emulator::SpanSink>>> {
    const COLLECTORS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if collector.is_none() && !COLLECTORS.into_iter().any(is_set) {
        return Ok(None);
    }
    Ok(Some(Arc::new(selvedge_emulator::otlp::Otlp::start(collector)?)))
}

/// Where the user is told what runs: beside the access log, where that has the standard output.
fn announcements(options: &Dev) -> Box<dyn Write> {
    if logs_to_stdout(options) { Box::new(anstream::stderr()) } else { Box::new(anstream::stdout()) }
}

/// What the view says of the edge.
fn about(source: &Source, engine: &Engine, edge: SocketAddr, origin: OriginAddress) -> About {
    let tries = announce::tries(engine.policy(), edge);
    About {
        source: source.name(),
        edge,
        origin: origin.is_started.then_some(origin.listen),
        tries: tries.iter().map(|line| strip_str(line).to_string()).collect(),
    }
}

/// Where the reference origin is.
#[derive(Clone, Copy)]
struct OriginAddress {
    listen: SocketAddr,
    is_started: bool,
}

impl OriginAddress {
    /// Lets backends at the reference origin's usual address follow it to where it is.
    fn redirect(self, policy: &mut Policy) {
        let here = self.listen.to_string();
        for url in
            policy.backends.iter_mut().flat_map(|backend| &mut backend.urls).filter(|_| self.is_started)
        {
            if let Some(path) = url.strip_prefix("http://").and_then(|url| url.strip_prefix(ORIGIN_ADDRESS)) {
                *url = format!("http://{here}{path}");
            }
        }
    }
}

type OriginTask = tokio::task::JoinHandle<anyhow::Result<()>>;

/// Starts the origin; it tells the edge, by its address and with its token, of every change.
async fn start_origin(
    origin: OriginAddress,
    edge: Option<(SocketAddr, String)>,
    stopped: watch::Receiver<()>,
) -> anyhow::Result<Option<OriginTask>> {
    if !origin.is_started {
        return Ok(None);
    }
    let listener = TcpListener::bind(origin.listen).await.with_context(|| {
        format!(
            "cannot listen on {}; choose another address with --origin-listen, or use --no-origin",
            origin.listen
        )
    })?;
    let mut config = OriginConfig { faults: true, ..OriginConfig::default() };
    if let Some((mut address, token)) = edge {
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() {
                Ipv4Addr::LOCALHOST.into()
            } else {
                Ipv6Addr::LOCALHOST.into()
            });
        }
        config.edges = vec![format!("http://{address}").parse()?];
        config.purge_token = Some(Secret::new(token));
    }
    let service = Origin::new(&config).await?;
    let task = async move { selvedge_origin::serve(listener, &service, closed(stopped)).await };
    Ok(Some(tokio::spawn(task)))
}

/// Ready once the sender is gone.
async fn closed(mut stopped: watch::Receiver<()>) {
    while stopped.changed().await.is_ok() {}
}

fn info(engine: &Engine, text: &str) -> PolicyInfo {
    PolicyInfo { name: engine.policy().name.clone(), hash: fingerprint(text) }
}

/// What the engine was compiled from, as a runtime is built from it.
fn project(source: &Source, engine: &Engine, geoip: Option<PathBuf>) -> anyhow::Result<Project> {
    let folder = match source {
        Source::File(path) => path.canonicalize()?.parent().context("a file is in a folder")?.to_owned(),
        Source::Storefront => crate::build::source::cache().join("storefront"),
    };
    Ok(Project { policy: local(engine.policy()), folder, geoip })
}

/// The policy as a runtime on this machine can have it: no platform keeps its messages.
fn local(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    policy.queues.iter_mut().for_each(|queue| queue.store = QueueStore::Edge);
    policy
}

async fn shutdown_requested() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Without a handler for the signal there is nothing to wait for but the default action.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Target;

    #[test]
    fn there_is_a_view_where_a_terminal_has_room_for_it() {
        let plain = Dev { plain: true, ..Dev::default() };
        let quiet = Dev { quiet: true, ..Dev::default() };
        let logs = |path: &str| Dev { access_log: Some(path.into()), ..Dev::default() };
        let runtime = Dev { runtime: Some(Target::Lambda), ..Dev::default() };
        let rows = [
            (Dev::default(), true, Manner::View),
            (Dev::default(), false, Manner::Lines),
            (plain, true, Manner::Lines),
            (quiet.clone(), true, Manner::Quiet),
            (quiet, false, Manner::Quiet),
            (logs("-"), true, Manner::Quiet),
            (logs("access.log"), true, Manner::View),
            (runtime, true, Manner::Lines),
        ];
        for (options, is_terminal, expected) in rows {
            assert_eq!(Manner::choose(&options, is_terminal), expected, "{options:?}");
        }
    }
}
