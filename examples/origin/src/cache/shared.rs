//! A cache in Redis, which several origins share and which may go away.
//!
//! An entry is `VERSION MODIFIED_MS BODY`; without a body it only says that no version before that one may be kept. No
//! entry is replaced by an older one, so a slow reader cannot bring back what a writer has changed.
//!
//! The names of entries begin with the identities of the server's run and of the database. A server that comes back with what it had saved
//! before it died has lost what it was told since, and is asked for none of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use arc_swap::ArcSwapOption;
use axum::body::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{Client, FromRedisValue, RedisError, RedisResult};
use sqlx::Row as _;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::backoff::Backoff;
use crate::database::{Database, within};
use crate::resource::{Key, Representation};
use crate::secret::Secret;

use super::EXPIRY;

/// How long one question may take; the database is asked after that.
const TIMEOUT: Duration = Duration::from_millis(250);

/// How long a new connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest wait before the server is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// How often the database is looked through for what other origins have written down and not told.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Most keys that are remembered as outdated; beyond it the shared cache is not asked for anything until it has heard
/// of all that the database has written down for it.
const MAX_SUSPECTS: usize = 100_000;

/// What is said of a server that is not there to be told.
const AWAY: &str = "the shared cache is away";

/// How many keys the server is told of at once.
const BATCH: usize = 500;

/// Keeps an entry unless a later version is there.
const KEEP: &str = "local kept = redis.call('GET', KEYS[1]) \
    if kept and tonumber(string.match(kept, '^%d+')) > tonumber(ARGV[1]) then return 0 end \
    redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) return 1";

#[derive(Clone, Debug)]
pub(super) struct SharedCache {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    link: ArcSwapOption<Link>,
    is_broken: Notify,
    suspects: Mutex<HashMap<Key, Suspect>>,
    /// How often a key was left to what the database has written down, and up to where that was told.
    overflows: AtomicU64,
    told_overflows: AtomicU64,
    has_settled: Notify,
    failures: AtomicU64,
}

/// A connection, with what the names of entries begin with.
struct Link {
    connection: MultiplexedConnection,
    prefix: String,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// A key whose entry may be outdated.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    version: i64,
    /// Changes of it that have not ended.
    open: u32,
}

impl SharedCache {
    /// Remembers what an earlier run has not told the server, and connects as soon as there is one.
    pub(super) fn open(url: &Secret, database: Database, tasks: &mut JoinSet<()>) -> anyhow::Result<Self> {
        let client = Client::open(url.reveal()).context("the cache's URL is none of Redis")?;
        let state = Arc::new(State {
            link: ArcSwapOption::empty(),
            is_broken: Notify::new(),
            suspects: Mutex::default(),
            // Until the database has been looked through, anything may be outdated.
            overflows: AtomicU64::new(1),
            told_overflows: AtomicU64::new(0),
            has_settled: Notify::new(),
            failures: AtomicU64::new(0),
        });
        state.has_settled.notify_one();
        tasks.spawn(stay_connected(client, database.identity(), Arc::clone(&state)));
        tasks.spawn(tell_outdated(database, Arc::clone(&state)));
        Ok(Self { state })
    }

    /// Returns the entry of a key, if there is one that can be trusted.
    #[tracing::instrument(name = "GET", skip_all, fields(otel.kind = "client", db.system.name = "redis", db.operation.name = "GET"))]
    pub(super) async fn find(&self, key: Key) -> Option<Representation> {
        if self.state.has_overflowed() || self.state.suspects().contains_key(&key) {
            return None;
        }
        let link = self.state.link.load_full()?;
        let mut command = redis::cmd("GET");
        command.arg(link.name(key));
        decode(&self.state.ask::<Option<Vec<u8>>>(&link, &command).await??)
    }

    /// Keeps an entry, unless there is a later one.
    #[tracing::instrument(name = "SET", skip_all, fields(otel.kind = "client", db.system.name = "redis", db.operation.name = "SET"))]
    pub(super) async fn keep(&self, key: Key, found: &Representation) {
        let Some(link) = self.state.link.load_full() else { return };
        let mut entry = format!("{} {} ", found.version, found.modified_ms).into_bytes();
        entry.extend_from_slice(&found.body);
        self.state.ask::<i64>(&link, &keep(&link, key, found.version, &entry)).await;
    }

    /// Trusts no entry of a key from here on.
    pub(super) fn suspect(&self, key: Key, version: i64) {
        let mut suspects = self.state.suspects();
        let suspect = suspects.entry(key).or_insert(Suspect { version, open: 0 });
        suspect.version = suspect.version.max(version);
        suspect.open += 1;
    }

    /// Says that a key that is suspected may have a later version.
    pub(super) fn raise(&self, key: Key, version: i64) {
        if let Some(suspect) = self.state.suspects().get_mut(&key) {
            suspect.version = suspect.version.max(version);
        }
    }

    /// Tells the server of every change that the database has written down by now, whoever made it.
    pub(super) async fn tell_written_down(&self, database: &Database) -> anyhow::Result<()> {
        tell_written_down(database, &self.state).await
    }

    /// Lets the server be told of a change that has ended.
    pub(super) fn settle(&self, key: Key) {
        let mut suspects = self.state.suspects();
        let is_full = suspects.len() > MAX_SUSPECTS;
        if let Entry::Occupied(mut suspect) = suspects.entry(key) {
            suspect.get_mut().open = suspect.get().open.saturating_sub(1);
            if is_full && suspect.get().open == 0 {
                self.state.overflows.fetch_add(1, Ordering::Release);
                suspect.remove();
            }
        }
        drop(suspects);
        self.state.has_settled.notify_one();
    }

    pub(super) fn failures(&self) -> u64 {
        self.state.failures.load(Ordering::Relaxed)
    }
}

impl State {
    /// The map is whole at every moment.
    fn suspects(&self) -> MutexGuard<'_, HashMap<Key, Suspect>> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_overflowed(&self) -> bool {
        self.overflows.load(Ordering::Acquire) != self.told_overflows.load(Ordering::Acquire)
    }

    /// Asks the server; whoever does not answer in time is not asked again before a new connection.
    async fn ask<T: FromRedisValue>(&self, link: &Arc<Link>, command: &redis::Cmd) -> Option<T> {
        let mut connection = link.connection.clone();
        let error = match timeout(TIMEOUT, command.query_async::<T>(&mut connection)).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer in {} ms", TIMEOUT.as_millis()),
        };
        self.give_up(link, &error);
        None
    }

    fn give_up(&self, link: &Arc<Link>, error: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let current = self.link.load_full();
        if current.is_some_and(|current| Arc::ptr_eq(&current, link)) {
            self.link.store(None);
            tracing::warn!(error, "the shared cache is away; the database answers");
            self.is_broken.notify_one();
        }
    }
}

impl Link {
    async fn open(client: &Client, identity: i64) -> RedisResult<Self> {
        let connecting = async {
            let mut connection = client.get_multiplexed_async_connection().await?;
            let about: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
            let run = about.lines().find_map(|line| line.strip_prefix("run_id:")).map(str::trim);
            let run = run.ok_or((redis::ErrorKind::Client, "the server does not tell its run_id"))?;
            Ok::<_, RedisError>(Self { connection, prefix: format!("selvedge-origin:{run}:{identity:x}:") })
        };
        let late = || RedisError::from((redis::ErrorKind::Io, "no answer in time"));
        timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| late())?
    }

    fn name(&self, key: Key) -> String {
        format!("{}{}", self.prefix, key.tag())
    }
}

fn keep(link: &Link, key: Key, version: i64, entry: &[u8]) -> redis::Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(KEEP).arg(1).arg(link.name(key)).arg(version).arg(entry).arg(EXPIRY.as_secs());
    command
}

/// Reads an entry with a body; what cannot be read is no entry.
fn decode(entry: &[u8]) -> Option<Representation> {
    let mut parts = entry.splitn(3, |byte| *byte == b' ');
    let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse::<i64>().ok();
    let (version, modified_ms) = (number()?, number()?);
    let body = parts.next().filter(|body| !body.is_empty())?;
    Some(Representation::new(version, modified_ms, Bytes::copy_from_slice(body)))
}

/// Connects, and again each time the connection was given up.
async fn stay_connected(client: Client, identity: i64, state: Arc<State>) {
    let mut backoff = Backoff::up_to(LONGEST_WAIT);
    let mut is_known_away = false;
    loop {
        match Link::open(&client, identity).await {
            Ok(link) => {
                tracing::info!("the shared cache answers");
                is_known_away = false;
                let since = Instant::now();
                state.link.store(Some(Arc::new(link)));
                state.has_settled.notify_one();
                state.is_broken.notified().await;
                // A server that refuses what it is asked, as one without memory does, would else be asked without end.
                if since.elapsed() > LONGEST_WAIT {
                    backoff.reset();
                }
            }
            Err(error) => {
                state.failures.fetch_add(1, Ordering::Relaxed);
                if !is_known_away {
                    tracing::warn!(%error, "cannot connect to the shared cache; it is tried again");
                }
                is_known_away = true;
            }
        }
        backoff.wait().await;
    }
}

/// Tells the server which entries are outdated, and trusts it again with those keys.
async fn tell_outdated(database: Database, state: Arc<State>) {
    let mut backoff = Backoff::up_to(LONGEST_WAIT);
    loop {
        if timeout(LOOK_EVERY, state.has_settled.notified()).await.is_err()
            && let Err(error) = tell_written_down(&database, &state).await
        {
            tracing::debug!(%error, "the shared cache has not heard of every other origin's changes");
        }
        while let Some(link) = state.link.load_full() {
            match tell_batch(&database, &state, &link).await {
                Ok(Told::All) => break,
                Ok(Told::Some) => backoff.reset(),
                Err(error) => {
                    tracing::warn!(%error, "the shared cache has not heard of every change");
                    backoff.wait().await;
                }
            }
        }
    }
}

/// How much the server was told.
enum Told {
    All,
    Some,
}

async fn tell_batch(database: &Database, state: &State, link: &Arc<Link>) -> anyhow::Result<Told> {
    let settled = |(key, suspect): (&Key, &Suspect)| (suspect.open == 0).then_some((*key, suspect.version));
    let mut outdated: Vec<_> = state.suspects().iter().filter_map(settled).take(BATCH).collect();
    if outdated.is_empty() && state.has_overflowed() {
        let overflows = state.overflows.load(Ordering::Acquire);
        outdated = written_down(database).await?;
        if outdated.is_empty() {
            state.told_overflows.store(overflows, Ordering::Release);
        }
    }
    if outdated.is_empty() {
        return Ok(Told::All);
    }
    tell(database, state, link, &outdated).await?;
    Ok(Told::Some)
}

async fn tell_written_down(database: &Database, state: &State) -> anyhow::Result<()> {
    loop {
        let outdated = written_down(database).await?;
        if outdated.is_empty() {
            return Ok(());
        }
        let link = state.link.load_full().context(AWAY)?;
        tell(database, state, &link, &outdated).await?;
        // What comes later than this look is told by a later one.
        if outdated.len() < BATCH {
            return Ok(());
        }
    }
}

/// Tells the server of keys and their versions, then forgets what has been told.
async fn tell(
    database: &Database,
    state: &State,
    link: &Arc<Link>,
    outdated: &[(Key, i64)],
) -> anyhow::Result<()> {
    for (key, version) in outdated {
        let told =
            state.ask::<i64>(link, &keep(link, *key, *version, format!("{version} 0 ").as_bytes())).await;
        told.context(AWAY)?;
    }
    for &(key, version) in outdated {
        let delete = sqlx::query("DELETE FROM outdated WHERE cache_key = $1 AND version <= $2");
        within(delete.bind(key.tag()).bind(version).execute(database.pool())).await?;
        let mut suspects = state.suspects();
        let is_told =
            suspects.get(&key).is_some_and(|suspect| suspect.open == 0 && suspect.version <= version);
        if is_told {
            suspects.remove(&key);
        }
    }
    Ok(())
}

/// What an earlier run, another origin, or this one beyond its bound, has written down.
async fn written_down(database: &Database) -> sqlx::Result<Vec<(Key, i64)>> {
    let select = sqlx::query("SELECT cache_key, version FROM outdated ORDER BY cache_key LIMIT $1");
    let most = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let rows = within(select.bind(most).fetch_all(database.pool())).await?;
    let read = |row: &sqlx::any::AnyRow| {
        let tag: String = row.try_get("cache_key")?;
        Ok(Key::from_tag(&tag).map(|key| (key, row.try_get("version").unwrap_or(i64::MAX))))
    };
    rows.iter().filter_map(|row| read(row).transpose()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_they_were_written_and_nothing_else_is() {
        let kept = decode(b"3 1793491200000 {\"id\":1, \"name\":\"a b\"}").expect("an entry");
        assert_eq!((kept.version, kept.modified_ms), (3, 1_793_491_200_000));
        assert_eq!(&kept.body[..], b"{\"id\":1, \"name\":\"a b\"}", "the body may have spaces");
        for none in
            [&b"3 0 "[..], b"3", b"", b"x 0 {}", b"3 x {}", b"99999999999999999999 0 {}", b"\xff 0 {}"]
        {
            assert!(decode(none).is_none(), "{none:?}");
        }
    }
}
