//! The threads: each accepts, serves and stops by itself.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Waker};
use std::time::Duration;

use anyhow::Context as _;
use selvedge_core::host::Driver;
use selvedge_native::backend::Backends;
use selvedge_native::random::Seeds;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinSet, LocalSet};

use crate::body::{Bodies, HostBody};
use crate::checks;
use crate::effects::EdgeHost;
use crate::jobs;
use crate::listen::Listeners;
use crate::request::Peer;
use crate::server;
use crate::shared::Shared;
use crate::stats::ThreadStats;
use crate::stats::counts::Problem;
use crate::tunnel::Tunnels;

/// Most connections of one thread; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 8192;
/// How long to wait when the system has no room for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What one thread's connections share.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) backends: Backends<HostBody>,
    pub(crate) seeds: Seeds,
    pub(crate) tunnels: Tunnels,
    index: usize,
    background: RefCell<JoinSet<()>>,
}

/// Counts a request as in flight until dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Rc<Worker>);

/// Counts work behind a sent response, or a job, as under way until dropped.
#[derive(Debug)]
pub(crate) struct AfterResponse(Rc<Worker>);

/// Tells that the edge stops.
#[derive(Clone, Debug)]
pub(crate) struct Stopped(watch::Receiver<()>);

/// Starts a thread for each listener and waits until all have stopped.
pub(crate) async fn run(
    listeners: Listeners,
    shared: Arc<Shared>,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (stop, stopped) = watch::channel(());
    let mut threads = Vec::new();
    for (index, socket) in listeners.into_sockets().into_iter().enumerate() {
        threads.push(start(index, socket, Arc::clone(&shared), Stopped(stopped.clone()))?);
    }
    drop(stopped);
    tokio::select! {
        () = shutdown => drop(stop),
        // A thread ends before its time only when it fails.
        () = stop.closed() => {}
    }
    for thread in threads {
        thread.await.context("a thread of the edge panicked")??;
    }
    Ok(())
}

fn start(
    index: usize,
    socket: std::net::TcpListener,
    shared: Arc<Shared>,
    stopped: Stopped,
) -> anyhow::Result<oneshot::Receiver<anyhow::Result<()>>> {
    let (sender, receiver) = oneshot::channel();
    let thread = move || drop(sender.send(run_thread(index, socket, shared, stopped)));
    std::thread::Builder::new()
        .name(format!("edge-{index}"))
        .spawn(thread)
        .context("cannot start a thread")?;
    Ok(receiver)
}

fn run_thread(
    index: usize,
    socket: std::net::TcpListener,
    shared: Arc<Shared>,
    stopped: Stopped,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::from_std(socket).context("cannot use the listening socket")?;
        Worker::new(index, shared).serve(listener, stopped).await;
        Ok(())
    })
}

impl Worker {
    fn new(index: usize, shared: Arc<Shared>) -> Rc<Self> {
        Rc::new(Self {
            shared,
            backends: Backends::new(),
            seeds: Seeds::new(),
            tunnels: Tunnels::default(),
            index,
            background: RefCell::default(),
        })
    }

    /// Returns the thread's number.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn stats(&self) -> &ThreadStats {
        self.shared.stats.thread(self.index)
    }

    /// Does what remains after a response, beside it where there is room. Where there is none, what can be done at once is; nobody's answer
    /// waits for the rest, which a later request begins again.
    pub(crate) fn finish_later(self: &Rc<Self>, after: Driver<EdgeHost>, bodies: Rc<Bodies>) {
        let under_way = AfterResponse::begin(Rc::clone(self));
        let rest = async move {
            let _under_way = under_way;
            after.finish().await;
            bodies.read_unread_stores().await;
        };
        if self.has_room() {
            self.background.borrow_mut().spawn_local(rest);
        } else {
            let _unfinished = pin!(rest).poll(&mut TaskContext::from_waker(Waker::noop()));
        }
    }

    /// Does work that no response waits for, beside the requests; where there is no room it is not done.
    pub(crate) fn run_later(self: &Rc<Self>, work: impl Future<Output = ()> + 'static) {
        let under_way = AfterResponse::begin(Rc::clone(self));
        if self.has_room() {
            self.background.borrow_mut().spawn_local(async move {
                let _under_way = under_way;
                work.await;
            });
        }
    }

    /// Whether one more task may go on after its response.
    fn has_room(&self) -> bool {
        let mut background = self.background.borrow_mut();
        while background.try_join_next().is_some() {}
        background.len() < self.shared.config.background_tasks
    }

    async fn serve(self: Rc<Self>, listener: TcpListener, stopped: Stopped) {
        let protocols = Rc::new(server::protocols(&self.shared.config));
        let mut connections = JoinSet::new();
        if self.index == 0 && self.shared.config.runtime.is_none() {
            connections.spawn_local(jobs::serve(Rc::clone(&self), stopped.clone()));
            connections.spawn_local(checks::serve(Rc::clone(&self), stopped.clone()));
        }
        while let Some((stream, address)) = self.next_connection(&listener, &mut connections, &stopped).await
        {
            let peer = Peer::new(address.ip());
            let (worker, protocols) = (Rc::clone(&self), Rc::clone(&protocols));
            connections.spawn_local(server::serve(worker, protocols, stream, peer, stopped.clone()));
        }
        drop(listener);
        let finish = self.finish(&mut connections);
        if tokio::time::timeout(self.shared.config.shutdown_grace, finish).await.is_err() {
            tracing::warn!("requests in flight did not finish in time and are broken off");
        }
    }

    /// Returns the next connection, or `None` once the edge stops.
    async fn next_connection(
        &self,
        listener: &TcpListener,
        connections: &mut JoinSet<()>,
        stopped: &Stopped,
    ) -> Option<(TcpStream, SocketAddr)> {
        let accept = async {
            loop {
                while connections.try_join_next().is_some() {}
                if connections.len() >= MAX_CONNECTIONS {
                    connections.join_next().await;
                }
                match accept(listener).await {
                    Ok(accepted) => return accepted,
                    Err(error) => self.pause(&error).await,
                }
            }
        };
        tokio::select! {
            biased;
            () = stopped.clone().wait() => None,
            accepted = accept => Some(accepted),
        }
    }

    /// A connection that its client gave up is no reason to pause; having no room for another one is.
    async fn pause(&self, error: &io::Error) {
        if error.kind() != io::ErrorKind::ConnectionAborted && error.kind() != io::ErrorKind::ConnectionReset
        {
            self.stats().count_problem(Problem::AcceptFailed);
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }

    async fn finish(&self, connections: &mut JoinSet<()>) {
        while connections.join_next().await.is_some() {}
        let mut background = std::mem::take(&mut *self.background.borrow_mut());
        while background.join_next().await.is_some() {}
    }
}

async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, address) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, address))
}

impl InFlight {
    pub(crate) fn begin(worker: Rc<Worker>) -> Self {
        worker.stats().begin();
        Self(worker)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.stats().end();
    }
}

impl AfterResponse {
    pub(crate) fn begin(worker: Rc<Worker>) -> Self {
        worker.stats().begin_after_response();
        Self(worker)
    }
}

impl Drop for AfterResponse {
    fn drop(&mut self) {
        self.0.stats().end_after_response();
    }
}

impl Stopped {
    /// Ends when the edge stops: its channel then has no sender any more.
    pub(crate) async fn wait(mut self) {
        while self.0.changed().await.is_ok() {}
    }
}
