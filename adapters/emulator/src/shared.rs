//! What all threads share.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use selvedge_core::facts::Facts;
use selvedge_mmdb::{Damage, Located};

use crate::access_log::writer::LogWriter;
use crate::clock::Clock;
use crate::config::EmulatorConfig;
use crate::counters::Counters;
use crate::facts::locate;
use crate::feed::Feed;
use crate::handle::EngineHandle;
use crate::jobs::queues::Queues;
use crate::kv::KvStore;
use crate::openings::Openings;
use crate::stats::Stats;
use crate::stats::counts::Problem;
use crate::store::Store;
use crate::store::disk::DiskStore;
use crate::store::memory::MemoryStore;
use crate::turns::Turns;

const MAX_COUNTERS: usize = 100_000;
const MAX_KV_BYTES: usize = 16 * 1024 * 1024;

/// How often the log says that the database of places is damaged.
const TELL_DAMAGE_EVERY: Duration = Duration::from_secs(60);

/// What all threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: EmulatorConfig,
    pub(crate) engine: EngineHandle,
    pub(crate) store: Arc<Store>,
    pub(crate) turns: Arc<Turns>,
    pub(crate) counters: Counters,
    pub(crate) kv: KvStore,
    pub(crate) queues: Queues,
    pub(crate) stats: Stats,
    pub(crate) access_log: Option<LogWriter>,
    pub(crate) feed: Feed,
    pub(crate) openings: Openings,
    /// When the log last said that the database of places is damaged.
    damage_told: Mutex<Option<Instant>>,
}

impl Shared {
    pub(crate) fn new(config: EmulatorConfig, engine: EngineHandle) -> anyhow::Result<Self> {
        // What is stored outlives a policy, so that the first one says how much it may be.
        let max_store_bytes = engine.engine().policy().limits.max_store_bytes;
        let open = |dir: &PathBuf| DiskStore::open(dir, config.cache_dir_bytes, Clock::System.now());
        let disk = config.cache_dir.as_ref().map(open).transpose()?;
        Ok(Self {
            engine,
            store: Arc::new(Store::new(MemoryStore::new(max_store_bytes), disk)),
            turns: Arc::new(Turns::new()),
            counters: Counters::new(MAX_COUNTERS),
            kv: KvStore::new(MAX_KV_BYTES),
            queues: Queues::open(config.queues.as_deref())?,
            stats: Stats::new(config.thread_count()),
            access_log: config.access_log.as_ref().map(|log| LogWriter::open(&log.to)).transpose()?,
            feed: Feed::default(),
            openings: Openings::default(),
            damage_told: Mutex::default(),
            config,
        })
    }

    pub(crate) fn locate(&self, address: IpAddr) -> Facts {
        let address = address.to_canonical();
        let Some(place) = self.config.places.get(&address) else {
            let Located { facts, damage } = locate(self.config.geoip.as_ref(), address);
            damage.iter().for_each(|damage| self.on_damage(damage));
            return facts;
        };
        let mut facts = place.clone();
        facts.client_ip = Some(address);
        facts
    }

    fn on_damage(&self, damage: &Damage) {
        self.stats.thread(0).count_problem(Problem::PlaceFailed);
        let mut told = self.damage_told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= TELL_DAMAGE_EVERY) {
            *told = Some(Instant::now());
            tracing::warn!(%damage, "the database of places is damaged: where some clients are is unknown");
        }
    }
}
