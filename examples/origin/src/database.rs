//! The database: SQLite or PostgreSQL by its URL, with the same statements for both.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use sqlx::any::{AnyArguments, AnyPoolOptions};
use sqlx::migrate::Migrator;
use sqlx::{Any, AnyPool, Connection as _, Executor as _, Row as _, Transaction};

use crate::resource::{Record, Resource};
use crate::secret::Secret;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// How long an operation waits for a connection before it is told that the database is away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long an operation may take, with its wait for a connection: a server that hangs is one that is away.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may take to come to rest before another is made in its place.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the connections may take to say good-bye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// PostgreSQL's usual hundred connections allow a few origins.
const POSTGRES_CONNECTIONS: u32 = 16;

/// SQLite writes one at a time; more connections only let reads go beside a write.
const SQLITE_FILE_CONNECTIONS: u32 = 4;

/// Readers go on beside a writer, and what was committed outlives a power cut.
const SQLITE_SETTINGS: &str =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 4000;";

/// The server gives up what nobody waits for any more, and what an origin that hangs has begun.
const POSTGRES_SETTINGS: &str =
    "SET statement_timeout = '5s'; SET idle_in_transaction_session_timeout = '10s';";

/// Classes of PostgreSQL's error codes that another try can mend: no connection, another transaction in the way, no
/// room, and an end or a start of the server.
const POSTGRES_AWAY: [&str; 4] = ["08", "40", "53", "57"];

/// Answers of SQLite by which somebody else has the file: busy and locked, whatever their extended code.
const SQLITE_BUSY: [i64; 2] = [5, 6];

/// A statement with what was bound to it so far.
pub(crate) type Query<'q> = sqlx::query::Query<'q, Any, AnyArguments>;

/// Where the shop keeps its data; clones share the connections.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pool: AnyPool,
    reads: Arc<AtomicU64>,
    identity: i64,
}

/// Returns the URL of a SQLite file, which is made when it is missing.
pub(crate) fn file_url(file: &Path) -> Secret {
    let path = file.to_string_lossy().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    Secret::new(format!("sqlite://{path}?mode=rwc"))
}

impl Database {
    /// Connects, and brings the tables up to date.
    pub(crate) async fn open(url: &Secret) -> anyhow::Result<Self> {
        sqlx::any::install_default_drivers();
        let url = url.reveal();
        let (pool, migrating) =
            match url.split_once(':').map(|(scheme, rest)| (scheme, rest.trim_start_matches('/'))) {
                Some(("sqlite", rest)) if rest.starts_with(":memory:") => (in_memory(), None),
                Some(("sqlite", _)) => (sqlite_file(), None),
                Some(("postgres" | "postgresql", _)) => (postgres(), Some("SET statement_timeout = 0")),
                _ => bail!("a database's URL begins with sqlite: or postgres:"),
            };
        let pool = pool.acquire_timeout(ACQUIRE_TIMEOUT).connect(url).await.context("cannot connect")?;
        migrate(&pool, migrating).await.context("cannot bring the tables up to date")?;
        let identity = identify(&pool).await.context("cannot write to it")?;
        Ok(Self { pool, reads: Arc::default(), identity })
    }

    /// Returns a number that no other database has, so that what is cached of one is never taken for another's.
    pub(crate) fn identity(&self) -> i64 {
        self.identity
    }

    /// Fails when the database does not answer.
    pub(crate) async fn ping(&self) -> sqlx::Result<()> {
        within(self.pool.execute("SELECT 1")).await.map(drop)
    }

    /// Returns how many users and products were asked for, lists not counted.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    pub(crate) fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Begins a transaction. Its first statement must be one that writes: SQLite refuses to make a writer of a reader
    /// whom another writer has overtaken.
    pub(crate) async fn begin(&self) -> sqlx::Result<Transaction<'static, Any>> {
        self.pool.begin().await
    }

    /// Returns the record of an id, if there is one.
    #[tracing::instrument(name = "SELECT", skip_all, fields(otel.kind = "client", db.operation.name = "SELECT"))]
    pub(crate) async fn find<T: Resource>(&self, id: i64) -> sqlx::Result<Option<Record<T>>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let row = within(sqlx::query(T::SELECT).bind(id).fetch_optional(&self.pool)).await?;
        row.as_ref().map(Record::from_row).transpose()
    }

    /// Returns up to `limit` records whose id is larger than `after`, in the order of their ids.
    #[tracing::instrument(name = "SELECT", skip_all, fields(otel.kind = "client", db.operation.name = "SELECT"))]
    pub(crate) async fn list<T: Resource>(&self, after: i64, limit: i64) -> sqlx::Result<Vec<Record<T>>> {
        let rows = within(sqlx::query(T::LIST).bind(after).bind(limit).fetch_all(&self.pool)).await?;
        rows.iter().map(Record::from_row).collect()
    }

    /// Returns name and price of the first hundred products in the order of their names.
    #[tracing::instrument(name = "SELECT", skip_all, fields(otel.kind = "client", db.operation.name = "SELECT"))]
    pub(crate) async fn price_list(&self) -> sqlx::Result<Vec<(String, i64)>> {
        let select = sqlx::query_as("SELECT name, price_cents FROM products ORDER BY name LIMIT 100");
        within(select.fetch_all(&self.pool)).await
    }

    /// Closes every connection; SQLite then keeps a single file. A server that hangs is not waited for.
    pub(crate) async fn close(&self) {
        if tokio::time::timeout(CLOSE_TIMEOUT, self.pool.close()).await.is_err() {
            tracing::warn!("the database does not answer; its connections were cut off");
        }
    }
}

/// Ends an operation that takes too long, as when the server hangs.
///
/// Nobody knows what became of a commit that was ended.
pub(crate) async fn within<T>(operation: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(OPERATION_TIMEOUT, operation).await.unwrap_or_else(|_| Err(late()))
}

fn late() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "the database does not answer"))
}

/// Brings the tables up to date, however long it takes with this setting.
async fn migrate(pool: &AnyPool, setting: Option<&'static str>) -> anyhow::Result<()> {
    let mut connection = pool.acquire().await?;
    if let Some(setting) = setting {
        connection.execute(setting).await?;
        connection.close_on_drop();
    }
    Ok(MIGRATIONS.run(&mut *connection).await?)
}

/// Gives a new database its number.
async fn identify(pool: &AnyPool) -> anyhow::Result<i64> {
    let chance = (getrandom::u64()? >> 1).cast_signed();
    sqlx::query("INSERT INTO sequences (name, value) VALUES ('identity', $1) ON CONFLICT (name) DO NOTHING")
        .bind(chance)
        .execute(pool)
        .await?;
    let row = sqlx::query("SELECT value FROM sequences WHERE name = 'identity'").fetch_one(pool).await?;
    Ok(row.try_get("value")?)
}

/// A database in memory lives as long as its one connection.
fn in_memory() -> AnyPoolOptions {
    AnyPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None).test_before_acquire(false)
}

/// A connection on which something was broken off comes to rest within its time, or is closed.
fn postgres() -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .after_connect(|connection, _| {
            Box::pin(async move { connection.execute(POSTGRES_SETTINGS).await.map(drop) })
        })
        .after_release(|connection, _| {
            Box::pin(async move {
                let rested = tokio::time::timeout(RELEASE_TIMEOUT, connection.ping()).await;
                rested.unwrap_or_else(|_| Err(late())).map(|()| true)
            })
        })
}

fn sqlite_file() -> AnyPoolOptions {
    AnyPoolOptions::new().max_connections(SQLITE_FILE_CONNECTIONS).after_connect(|connection, _| {
        Box::pin(async move { connection.execute(SQLITE_SETTINGS).await.map(drop) })
    })
}

/// Tells whether to try again later will do.
pub(crate) fn is_away(error: &sqlx::Error) -> bool {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest of a foreign enum is no outage")]
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_away_code(&code)),
        _ => false,
    }
}

fn is_away_code(code: &str) -> bool {
    match code.len() {
        // A code of PostgreSQL has five characters, SQLite's is a number below ten thousand.
        5 => POSTGRES_AWAY.iter().any(|class| code.starts_with(class)),
        _ => code.parse::<i64>().is_ok_and(|code| SQLITE_BUSY.contains(&(code & 0xff))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_from_a_mistake_by_its_code() {
        let rows = [
            ("57P03", true),
            ("57P01", true),
            ("53300", true),
            ("08006", true),
            ("40P01", true),
            ("23505", false),
            ("42601", false),
            ("5", true),
            ("517", true),
            ("262", true),
            ("1", false),
            ("1555", false),
        ];
        for (code, expected) in rows {
            assert_eq!(is_away_code(code), expected, "{code}");
        }
    }

    #[test]
    fn a_file_with_any_name_is_a_url() {
        assert_eq!(
            file_url(Path::new("/tmp/a?b#c%d.db")).reveal(),
            "sqlite:///tmp/a%3Fb%23c%25d.db?mode=rwc"
        );
    }
}
