//! `selvedge dev`: a policy on the local edge, in front of the reference origin.

use std::io::{self, IsTerminal as _, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use selvedge_core::engine::Engine;
use selvedge_core::job::QueueStore;
use selvedge_core::policy::Policy;
use selvedge_emulator::{
    AccessLog, Change, Emulator, EmulatorConfig, EngineHandle, GeoDatabase, LogTarget, PolicyInfo,
    PurgeToken, Watcher, Watching,
};
use selvedge_origin::{Origin, OriginConfig};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::build::Project;
use crate::cli::{BOLD, CYAN, DIM, Dev, GREEN, error_label};
use crate::policy::{self, Refused, STOREFRONT_GEOIP, Source, fingerprint};
use crate::runtime::Runtime;

/// Where policies expect the reference origin; a backend at this address follows `--origin-listen`.
const ORIGIN_ADDRESS: &str = "127.0.0.1:8788";

/// Requests that show what the storefront does, each with what to expect.
const STOREFRONT_TRIES: [(&str, &str); 5] = [
    ("-H 'Selvedge-Client-Ip: 223.5.5.5' {edge}/", "403: blocked in China"),
    ("-A 'sqlmap/1.7' {edge}/", "403: an attack tool"),
    ("-H 'Selvedge-Client-Ip: 8.8.8.8' {edge}/go", "302 to the US shop"),
    ("{edge}/static/site.css", "200: a miss, then a hit"),
    ("-A 'Mozilla/5.0 (X11; Linux) Firefox/140.0' '{edge}/?hero=bold'", "200: the bold variation"),
];

/// Runs until Ctrl-C.
pub(crate) fn run(options: Dev) -> anyhow::Result<ExitCode> {
    init_logs();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(options))?;
    Ok(ExitCode::SUCCESS)
}

/// Reads a database of places: the file that was named, else the storefront's.
pub(crate) fn geoip(file: Option<&Path>) -> anyhow::Result<GeoDatabase> {
    match file {
        Some(file) => GeoDatabase::open(file).context("--geoip"),
        None => Ok(GeoDatabase::from_bytes(STOREFRONT_GEOIP.to_vec())?),
    }
}

fn init_logs() {
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("SELVEDGE_LOG").unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

async fn serve(options: Dev) -> anyhow::Result<()> {
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
    let access_log = access_log(&options);
    let mut out = announcements(access_log.as_ref());
    let config = EmulatorConfig {
        access_log,
        trace: options.trace,
        #[cfg(feature = "otlp")]
        spans: spans(options.otlp.as_deref())?,
        server_timing: options.server_timing,
        listen: options.listen,
        geoip: Some(geoip(options.geoip.as_deref())?),
        pose: !options.no_pose,
        queues: options.queues,
        cache_dir: options.cache_dir,
        cache_dir_bytes: options.cache_dir_bytes,
        purge_token: std::env::var(&options.purge_token_env).ok().and_then(PurgeToken::new),
        runtime: runtime.as_ref().map(Runtime::platform),
        ..EmulatorConfig::default()
    };
    let emulator = Emulator::bind(config, handle.clone())?;
    let (stop, stopped) = watch::channel(());
    let origin_task = start_origin(origin, stopped.clone()).await?;
    let _kept = watch_policy(&source, text, handle, origin, runtime)?;
    // Before anybody is told how to end it: a signal that nobody handles ends it at once.
    let mut ending = Box::pin(shutdown_requested());
    tokio::select! {
        biased;
        () = &mut ending => return Ok(()),
        () = std::future::ready(()) => {}
    }
    announce(&mut *out, &engine, &source, emulator.local_addr(), origin)?;
    drop(out);
    tokio::spawn(async move {
        ending.await;
        anstream::eprintln!("\n{DIM}finishing the requests in flight{DIM:#}");
        drop(stop);
    });
    emulator.run(closed(stopped)).await?;
    if let Some(task) = origin_task {
        task.await.context("the origin's task ended early")??;
    }
    Ok(())
}

fn access_log(options: &Dev) -> Option<AccessLog> {
    let path = options.access_log.clone()?;
    let to = if path.as_os_str() == "-" { LogTarget::Stdout } else { LogTarget::File(path) };
    let (address, sample) = (options.access_log_address, options.access_log_sample);
    Some(AccessLog { query: options.access_log_query.into(), address, sample, ..AccessLog::new(to) })
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
fn announcements(log: Option<&AccessLog>) -> Box<dyn Write> {
    if log.is_some_and(|log| log.to == LogTarget::Stdout) {
        Box::new(anstream::stderr())
    } else {
        Box::new(anstream::stdout())
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

async fn start_origin(
    origin: OriginAddress,
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
    let service = Origin::new(&OriginConfig::default()).await?;
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

/// What ends when it is dropped.
enum Kept {
    /// The watch over the policy, which has the runtime.
    Watching(#[expect(dead_code, reason = "dropping it ends the watch")] Watching),
    /// The runtime of a policy that cannot be edited.
    Unwatched(#[expect(dead_code, reason = "dropping it ends the runtime")] Option<Runtime>),
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

/// Lets edits take effect; an invalid one leaves the policy as it is and says why.
fn watch_policy(
    source: &Source,
    text: String,
    handle: EngineHandle,
    origin: OriginAddress,
    mut runtime: Option<Runtime>,
) -> anyhow::Result<Kept> {
    let Source::File(path) = source else { return Ok(Kept::Unwatched(runtime)) };
    let name = source.name();
    let on_change = move |change| match change {
        Change::Edited(text) => match policy::compile_with(&text, |policy| origin.redirect(policy)) {
            Ok(engine) => {
                if let Some(Err(error)) =
                    runtime.as_mut().map(|runtime| runtime.reload(&local(engine.policy())))
                {
                    anstream::eprintln!("{} {name}: {error:#}", error_label());
                    return;
                }
                let info = info(&engine, &text);
                anstream::eprintln!("{GREEN}reloaded{GREEN:#} {name} ({})", info.hash);
                handle.replace(Arc::new(engine), info);
            }
            Err(Refused::Policy(errors)) => {
                anstream::eprint!("{}", policy::render(&name, &text, &errors));
                anstream::eprintln!("{DIM}the policy before this edit stays in use{DIM:#}");
            }
            Err(Refused::Compile(message)) => {
                anstream::eprintln!(
                    "{} {name}: {message}; the policy before this edit stays in use",
                    error_label()
                );
            }
        },
        Change::Unreadable(error) => anstream::eprintln!("{} cannot read {name}: {error}", error_label()),
        Change::Unchanged => {}
    };
    Ok(Kept::Watching(Watcher::new(path, text).spawn(on_change)?))
}

fn announce(
    out: &mut dyn Write,
    engine: &Engine,
    source: &Source,
    edge: SocketAddr,
    origin: OriginAddress,
) -> io::Result<()> {
    let started =
        if origin.is_started { format!("http://{}", origin.listen) } else { "not started".to_owned() };
    writeln!(out, "{BOLD}Selvedge{BOLD:#} runs {}", source.name())?;
    writeln!(out, "  edge    {CYAN}http://{edge}{CYAN:#}   status {CYAN}http://{edge}/_selvedge/{CYAN:#}")?;
    writeln!(out, "  origin  {CYAN}{started}{CYAN:#}\n")?;
    writeln!(out, "{}", policy::routes(engine.policy()))?;
    writeln!(out, "{BOLD}Try{BOLD:#}")?;
    for line in tries(engine.policy(), edge) {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "\n{DIM}Edits to the policy take effect within a second. Ctrl-C ends.{DIM:#}")
}

/// Five commands worth trying.
fn tries(policy: &Policy, edge: SocketAddr) -> Vec<String> {
    let base = format!("http://{edge}");
    if policy.name == "storefront" {
        let line = |(command, expect): &(&str, &str)| {
            format!("curl -i {:<62} {DIM}# {expect}{DIM:#}", command.replace("{edge}", &base))
        };
        return STOREFRONT_TRIES.iter().map(line).collect();
    }
    let sample = |path: &str| {
        let segment =
            |segment: &str| if segment.starts_with('{') { "1".to_owned() } else { segment.to_owned() };
        path.split('/').map(segment).collect::<Vec<_>>().join("/")
    };
    let routes =
        policy.routes.iter().take(3).map(|route| format!("curl -i {base}{}", sample(route.path.as_str())));
    let bot = format!("curl -i -A sqlmap/1.7 {base}/");
    let status = format!("curl {base}/_selvedge/");
    routes.chain([bot, status]).collect()
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
