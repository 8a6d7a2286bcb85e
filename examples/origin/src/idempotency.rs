//! `Idempotency-Key`: a request that is sent again gets the answer of the first time.
//!
//! The answer is written in the transaction of the change, so there is never one without the other. A key is forgotten
//! after a day, and the oldest keys when there are too many.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use crate::database::{Database, within};
use crate::resource::{Representation, now_ms};

/// How long an answer is kept.
const KEPT_MS: i64 = 24 * 60 * 60 * 1_000;

/// Most answers that are kept.
const MAX_ANSWERS: i64 = 100_000;

/// Longest key, in bytes.
pub(crate) const MAX_KEY_BYTES: usize = 255;

/// How often old answers are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// A key with a digest of the request that it came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keyed {
    key: String,
    request: String,
}

impl Keyed {
    /// Takes the key of a request; `None` when it is empty, too long or not of visible ASCII characters.
    pub(crate) fn new(key: &[u8], path: &str, body: &[u8]) -> Option<Self> {
        let is_key = (1..=MAX_KEY_BYTES).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
        let key = String::from_utf8(key.to_owned()).ok().filter(|_| is_key)?;
        let digest = Sha256::new().chain_update(path).chain_update([0]).chain_update(body).finalize();
        let request = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Self { key, request })
    }
}

/// Keys of requests that are being answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct InFlight {
    keys: Arc<Mutex<HashSet<String>>>,
}

impl InFlight {
    /// Enters a key until the answer is dropped; `None` when it is in already.
    pub(crate) fn enter(&self, keyed: &Keyed) -> Option<Entered> {
        let is_new = self.keys().insert(keyed.key.clone());
        is_new.then(|| Entered { all: self.clone(), key: keyed.key.clone() })
    }

    /// The set is whole at every moment.
    fn keys(&self) -> MutexGuard<'_, HashSet<String>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key that is being answered.
#[derive(Debug)]
pub(crate) struct Entered {
    all: InFlight,
    key: String,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.all.keys().remove(&self.key);
    }
}

/// What is known of a key.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// Nothing: the request is to be carried out.
    First,
    /// The request was carried out.
    Answered { id: i64, sent: Representation },
    /// Another request was.
    Other,
}

/// Takes a key and a time in milliseconds, before which nothing counts.
const SELECT: &str = "SELECT request, kept_id, kept_version, kept_modified_ms, body FROM answers \
    WHERE idempotency_key = $1 AND created_ms >= $2";

/// Takes a key, or says what it was taken for. Another origin's transaction with the same key is waited for.
pub(crate) async fn begin(
    transaction: &mut Transaction<'static, Any>,
    keyed: &Keyed,
) -> sqlx::Result<Attempt> {
    let now_ms = now_ms();
    sqlx::query("DELETE FROM answers WHERE idempotency_key = $1 AND created_ms < $2")
        .bind(&keyed.key)
        .bind(now_ms - KEPT_MS)
        .execute(&mut **transaction)
        .await?;
    let taken = sqlx::query(
        "INSERT INTO answers (idempotency_key, request, kept_id, kept_version, kept_modified_ms, body, created_ms) \
         VALUES ($1, $2, 0, 0, 0, '', $3) ON CONFLICT (idempotency_key) DO NOTHING",
    )
    .bind(&keyed.key)
    .bind(&keyed.request)
    .bind(now_ms)
    .execute(&mut **transaction)
    .await?;
    if taken.rows_affected() == 1 {
        return Ok(Attempt::First);
    }
    let row = sqlx::query(SELECT).bind(&keyed.key).bind(i64::MIN).fetch_one(&mut **transaction).await?;
    known(&row, keyed)
}

/// Says what a key was taken for, and takes it not.
pub(crate) async fn look(database: &Database, keyed: &Keyed) -> sqlx::Result<Attempt> {
    let select = sqlx::query(SELECT).bind(&keyed.key).bind(now_ms() - KEPT_MS);
    let row = within(select.fetch_optional(database.pool())).await?;
    row.map_or(Ok(Attempt::First), |row| known(&row, keyed))
}

fn known(row: &AnyRow, keyed: &Keyed) -> sqlx::Result<Attempt> {
    if row.try_get::<String, _>("request")? != keyed.request {
        return Ok(Attempt::Other);
    }
    let body: String = row.try_get("body")?;
    let (version, modified_ms) = (row.try_get("kept_version")?, row.try_get("kept_modified_ms")?);
    let sent = Representation::new(version, modified_ms, body.into());
    Ok(Attempt::Answered { id: row.try_get("kept_id")?, sent })
}

/// Writes the answer for a key that was taken; a deletion has none.
pub(crate) async fn finish(
    transaction: &mut Transaction<'static, Any>,
    keyed: &Keyed,
    id: i64,
    sent: &Representation,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE answers SET kept_id = $2, kept_version = $3, kept_modified_ms = $4, body = $5 \
         WHERE idempotency_key = $1",
    )
    .bind(&keyed.key)
    .bind(id)
    .bind(sent.version)
    .bind(sent.modified_ms)
    .bind(String::from_utf8_lossy(&sent.body).into_owned())
    .execute(&mut **transaction)
    .await
    .map(drop)
}

/// Deletes answers that are too old or too many, for as long as the origin runs.
pub(crate) async fn sweep(database: Database) {
    loop {
        if let Err(error) = sweep_once(&database, now_ms(), MAX_ANSWERS).await {
            tracing::warn!(%error, "cannot delete old answers");
        }
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}

async fn sweep_once(database: &Database, now_ms: i64, most: i64) -> sqlx::Result<()> {
    let delete = sqlx::query(
        "DELETE FROM answers WHERE created_ms < $1 OR created_ms <= \
         COALESCE((SELECT created_ms FROM answers ORDER BY created_ms DESC LIMIT 1 OFFSET $2), 0)",
    );
    within(delete.bind(now_ms - KEPT_MS).bind(most).execute(database.pool())).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn a_key_is_visible_ascii_of_a_bounded_length() {
        let longest = [b'x'; MAX_KEY_BYTES];
        let too_long = [b'x'; MAX_KEY_BYTES + 1];
        let rows: [(&[u8], bool); 6] = [
            (b"8e03978e-40d5-43dd-bc93-6894a57f9324", true),
            (&longest, true),
            (&too_long, false),
            (b"", false),
            (b"a b", false),
            (b"\xff", false),
        ];
        for (key, expected) in rows {
            assert_eq!(Keyed::new(key, "/api/users", b"{}").is_some(), expected, "{key:?}");
        }
        let request = |path, body: &[u8]| Keyed::new(b"k", path, body).expect("a key").request;
        assert_ne!(request("/api/users", b"{}"), request("/api/products", b"{}"));
        assert_ne!(request("/api/users", b"{}"), request("/api/users", b"{} "));
    }

    #[test]
    fn a_key_is_in_flight_until_its_answer_is_dropped() {
        let (all, keyed) = (InFlight::default(), Keyed::new(b"k", "/", b"").expect("a key"));
        let first = all.enter(&keyed);
        assert!(first.is_some() && all.enter(&keyed).is_none());
        drop(first);
        assert!(all.enter(&keyed).is_some());
    }

    #[tokio::test]
    async fn old_answers_go_and_so_do_the_oldest_of_too_many() {
        let database = Database::open(&Secret::new("sqlite::memory:")).await.expect("a database");
        for age_ms in [0, 1, 2, 3, KEPT_MS + 1] {
            sqlx::query("INSERT INTO answers VALUES ($1, '', 0, 0, 0, '', $2)")
                .bind(format!("key-{age_ms}"))
                .bind(KEPT_MS * 2 - age_ms)
                .execute(database.pool())
                .await
                .expect("a row");
        }
        for (most, left) in [(10, 4), (2, 2)] {
            sweep_once(&database, KEPT_MS * 2, most).await.expect("a sweep");
            let rows = sqlx::query("SELECT * FROM answers").fetch_all(database.pool()).await.expect("rows");
            assert_eq!(rows.len(), left, "at most {most}");
        }
    }
}
