//! Instances of a component: what each is given, how long it lives and how many requests it answers.

use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::time::Sleep;
use wasmtime::component::{Component, GuestTaskId, Linker, ResourceTable};
use wasmtime::{
    Config, Engine, PoolingAllocationConfig, Store, StoreContextMut, StoreLimits, StoreLimitsBuilder,
};
use wasmtime_wasi::cli::OutputFile;
use wasmtime_wasi::{FsPerms, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, Proxy, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::activity::{Activity, Busy};
use super::bindings::spin::{key_value, variables};
use super::key_value::{KeyValues, OpenStores, SpinKeyValue};
use super::outbound::Outbound;
use super::variables::{SpinVariables, Variables};
use super::{Output, Reuse};
use crate::clock::Clock;

/// Most instances at a time in this process.
const MAX_INSTANCES: u32 = 512;

/// What [Akamai Functions](https://techdocs.akamai.com/akamai-functions/docs/quotas-and-limits) give an instance.
pub(super) const MAX_MEMORY_BYTES: usize = 128 * 1024 * 1024;

/// After so long a component that computes lets others have the thread, and may be found to be over its time.
const TICK: Duration = Duration::from_millis(10);

/// How many compiled components are kept for the next application that is made of the same.
const KEPT_COMPONENTS: usize = 4;

/// What an instance has.
pub(super) struct Guest {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: Outbound,
    pub(super) table: ResourceTable,
    pub(super) stores: OpenStores,
    pub(super) variables: Arc<Variables>,
    limits: StoreLimits,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.outbound }
    }
}

/// What all instances of an application are made from.
pub(super) struct Instances {
    pub(super) component: ServicePre<Guest>,
    pub(super) files: TempDir,
    pub(super) clock: Clock,
    pub(super) output: Option<Output>,
    pub(super) outbound: Outbound,
    pub(super) key_values: KeyValues,
    pub(super) labels: Arc<Vec<String>>,
    pub(super) variables: Arc<Variables>,
    pub(super) reuse: Reuse,
    pub(super) timeout: Duration,
    pub(super) max_memory_bytes: usize,
    pub(super) activity: Activity,
}

/// Compiles a component and links it with what this host offers.
///
/// # Errors
/// When it is none, or imports what this host does not offer.
pub(super) fn prepare(bytes: &[u8]) -> anyhow::Result<ServicePre<Guest>> {
    let engine = engine()?;
    let component = compiled(engine, bytes)?;
    let mut linker = Linker::<Guest>::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    key_value::key_value::add_to_linker::<_, SpinKeyValue>(&mut linker, |guest| guest)?;
    variables::variables::add_to_linker::<_, SpinVariables>(&mut linker, |guest| guest)?;
    let component = linker.instantiate_pre(&component).map_err(anyhow::Error::from);
    let component = component.context("the component needs what this host does not offer")?;
    let service = ServicePre::new(component).map_err(anyhow::Error::from);
    service.context("the component exports no wasi:http/handler@0.3.0")
}

/// The process's compiler and its memory for instances.
fn engine() -> anyhow::Result<&'static Engine> {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    if let Some(engine) = ENGINE.get() {
        return Ok(engine);
    }
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(MAX_INSTANCES)
        .total_memories(MAX_INSTANCES)
        .max_memory_size(MAX_MEMORY_BYTES)
        .linear_memory_keep_resident(64 * 1024);
    let mut config = Config::new();
    config.wasm_component_model_async(true).epoch_interruption(true).allocation_strategy(pool);
    let engine = Engine::new(&config)?;
    if ENGINE.set(engine.clone()).is_ok() {
        let tick = move || {
            loop {
                std::thread::sleep(TICK);
                engine.increment_epoch();
            }
        };
        std::thread::Builder::new().name("spin-ticks".to_owned()).spawn(tick)?;
    }
    ENGINE.get().context("the engine was set")
}

/// Compiles a component, unless that was done a moment ago.
fn compiled(engine: &Engine, bytes: &[u8]) -> anyhow::Result<Component> {
    static KEPT: Mutex<Vec<(Box<[u8]>, Component)>> = Mutex::new(Vec::new());
    // Whoever wants the same meanwhile waits for it.
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, component)) = kept.iter().find(|(known, _)| **known == *bytes) {
        return Ok(component.clone());
    }
    let component = Component::new(engine, bytes)?;
    kept.truncate(KEPT_COMPONENTS - 1);
    kept.insert(0, (bytes.into(), component.clone()));
    Ok(component)
}

impl Instances {
    fn guest(&self) -> wasmtime::Result<Guest> {
        let mut wasi = WasiCtxBuilder::new();
        wasi.wall_clock(self.clock.clone()).preopened_dir(self.files.path(), "/", FsPerms::ReadOnly)?;
        match &self.output {
            Some(file) => wasi.stdout(file.0.clone()).stderr(file.0.clone()),
            None => wasi.inherit_stdout().inherit_stderr(),
        };
        let labels = Arc::clone(&self.labels);
        Ok(Guest {
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            outbound: self.outbound.clone(),
            table: ResourceTable::new(),
            stores: OpenStores { values: self.key_values.clone(), labels, count: 0 },
            variables: Arc::clone(&self.variables),
            limits: StoreLimitsBuilder::new().memory_size(self.max_memory_bytes).build(),
        })
    }
}

impl HandlerState for Instances {
    type StoreData = Guest;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<Guest, Expiration, Worker>> {
        let mut store = Store::new(self.component.engine(), self.guest()?);
        store.limiter(|guest| &mut guest.limits);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let proxy = Proxy::P3(self.component.instantiate_async(&mut store).await?);
        let (reuse, timeout) = (self.reuse, self.timeout);
        let busy = Arc::new(self.activity.instance());
        let sleep = Box::pin(tokio::time::sleep(timeout));
        Ok(Instance {
            store,
            proxy,
            view: WasiHttpView::http,
            expiration: Expiration { idle: reuse.idle, timeout, sleep, busy: Arc::clone(&busy) },
            state: Worker { reuse, timeout, busy },
        })
    }
}

/// Ends an instance that has nothing to do, or does not get done.
pub(super) struct Expiration {
    idle: Duration,
    timeout: Duration,
    sleep: Pin<Box<Sleep>>,
    busy: Arc<Busy>,
}

impl WorkerExpiration for Expiration {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        let limit = match status {
            WorkerStatus::Idle => {
                self.busy.end();
                self.idle
            }
            WorkerStatus::Requests | WorkerStatus::PostReturn => self.timeout,
        };
        let deadline = (start + limit).into();
        if deadline != self.sleep.deadline() {
            self.sleep.as_mut().reset(deadline);
        }
        self.sleep.as_mut().poll(cx)
    }
}

/// What an instance still takes.
pub(super) struct Worker {
    reuse: Reuse,
    timeout: Duration,
    busy: Arc<Busy>,
}

impl WorkerState for Worker {
    type StoreData = Guest;
    type RequestData = ();

    fn should_accept_request(&self, at_once: usize, total: usize) -> ShouldAccept {
        if total >= self.reuse.requests {
            ShouldAccept::Never
        } else if at_once >= self.reuse.at_once {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, Guest>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        self.busy.begin();
        Box::pin(tokio::time::sleep(self.timeout))
    }

    fn drop(&self, store: Store<Guest>, result: Result<(), wasmtime::Error>) {
        if let Err(error) = result {
            tracing::error!(?error, "an instance of the component failed");
        }
        drop(store);
        self.busy.end();
    }
}

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(Self::now(self).as_millis())
    }
}

impl Output {
    pub(super) fn new(file: std::fs::File) -> Self {
        Self(OutputFile::new(file))
    }
}
