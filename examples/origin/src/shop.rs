//! Changes of users and products: each one whole or not at all, with the notices that tell of it.

use sqlx::{Any, Row as _, Transaction};

use crate::cache::{Cache, Change};
use crate::database::{Database, within};
use crate::idempotency::{self, Attempt, Keyed};
use crate::notices::{self, Notice, Notices};
use crate::resource::{Key, Record, Representation, Resource, now_ms};
use crate::trace::Traceparent;

/// The shop: what is read through the cache, and written to the database.
#[derive(Clone, Debug)]
pub(crate) struct Shop {
    pub(crate) database: Database,
    pub(crate) cache: Cache,
    pub(crate) notices: Notices,
}

/// What became of a new record.
#[derive(Debug)]
pub(crate) enum Creation {
    /// It is there, from this request or from an earlier one with the same key.
    Created { id: i64, sent: Representation },
    /// The key was used for another request.
    KeyReused,
}

/// What became of a change to a record of a known version.
#[derive(Debug)]
pub(crate) enum Replacement {
    Replaced(Representation),
    /// Somebody else was faster.
    Outpaced,
    /// The key was used for another request.
    KeyReused,
}

impl Shop {
    /// Adds a record; the same key adds it once.
    pub(crate) async fn create<T: Resource>(
        &self,
        item: T,
        keyed: Option<Keyed>,
        cause: Option<Traceparent>,
    ) -> sqlx::Result<Creation> {
        within(async {
            let mut transaction = self.database.begin().await?;
            match take(&mut transaction, keyed.as_ref()).await? {
                Attempt::First => {}
                Attempt::Answered { id, sent } => return Ok(Creation::Created { id, sent }),
                Attempt::Other => return Ok(Creation::KeyReused),
            }
            let id = next_id(&mut transaction, T::KIND.all()).await?;
            let record = Record { id, version: 1, modified_ms: now_ms(), item };
            insert(&mut transaction, &record).await?;
            let sent = record.represent();
            if let Some(keyed) = &keyed {
                idempotency::finish(&mut transaction, keyed, id, &sent).await?;
            }
            // Absence is never kept, so there is nothing in a cache that a new record could make wrong.
            let notice = Notice { key: Key { kind: T::KIND, id }, cause };
            notices::write(&mut transaction, self.notices.edges(), &notice).await?;
            transaction.commit().await?;
            self.notices.ring();
            Ok(Creation::Created { id, sent })
        })
        .await
    }

    /// Says what a key was taken for, if there is one.
    pub(crate) async fn earlier(&self, keyed: Option<&Keyed>) -> sqlx::Result<Attempt> {
        match keyed {
            None => Ok(Attempt::First),
            Some(keyed) => idempotency::look(&self.database, keyed).await,
        }
    }

    /// Replaces the record of an id if its version is still this one; the same key replaces it once.
    pub(crate) async fn replace<T: Resource>(
        &self,
        id: i64,
        version: i64,
        item: T,
        keyed: Option<Keyed>,
        cause: Option<Traceparent>,
    ) -> sqlx::Result<Replacement> {
        let key = Key { kind: T::KIND, id };
        let mut change = self.cache.change(key, version);
        let record = Record { id, version: version + 1, modified_ms: now_ms(), item };
        within(async {
            let mut transaction = self.database.begin().await?;
            match take(&mut transaction, keyed.as_ref()).await? {
                Attempt::First => {}
                Attempt::Answered { sent, .. } => return Ok(Replacement::Replaced(sent)),
                Attempt::Other => return Ok(Replacement::KeyReused),
            }
            if !update(&mut transaction, &record).await? {
                return Ok(Replacement::Outpaced);
            }
            let sent = record.represent();
            if let Some(keyed) = &keyed {
                idempotency::finish(&mut transaction, keyed, id, &sent).await?;
            }
            self.commit(transaction, &mut change, Notice { key, cause }, version + 1).await?;
            Ok(Replacement::Replaced(sent))
        })
        .await
    }

    /// Deletes the record of an id if its version is still this one; the same key deletes it once.
    pub(crate) async fn delete<T: Resource>(
        &self,
        id: i64,
        version: i64,
        keyed: Option<Keyed>,
        cause: Option<Traceparent>,
    ) -> sqlx::Result<Deletion> {
        let key = Key { kind: T::KIND, id };
        let mut change = self.cache.change(key, version);
        within(async {
            let mut transaction = self.database.begin().await?;
            match take(&mut transaction, keyed.as_ref()).await? {
                Attempt::First => {}
                Attempt::Answered { .. } => return Ok(Deletion::Deleted),
                Attempt::Other => return Ok(Deletion::KeyReused),
            }
            if !delete::<T>(&mut transaction, id, version).await? {
                return Ok(Deletion::Outpaced);
            }
            self.commit(transaction, &mut change, Notice { key, cause }, version + 1).await?;
            Ok(Deletion::Deleted)
        })
        .await
    }

    async fn commit(
        &self,
        mut transaction: Transaction<'static, Any>,
        change: &mut Change<'_>,
        notice: Notice,
        version: i64,
    ) -> sqlx::Result<()> {
        if self.cache.is_shared() {
            sqlx::query(
                "INSERT INTO outdated (cache_key, version) VALUES ($1, $2) \
                 ON CONFLICT (cache_key) DO UPDATE SET version = excluded.version",
            )
            .bind(notice.key.tag())
            .bind(version)
            .execute(&mut *transaction)
            .await?;
        }
        notices::write(&mut transaction, self.notices.edges(), &notice).await?;
        // From here on it may hold, even when nobody hears that it does.
        change.may_hold(version).await;
        transaction.commit().await?;
        self.notices.ring();
        Ok(())
    }
}

/// What became of a deletion of a record of a known version.
#[derive(Debug)]
pub(crate) enum Deletion {
    Deleted,
    /// Somebody else was faster.
    Outpaced,
    /// The key was used for another request.
    KeyReused,
}

/// Takes the key of a request, if it has one.
async fn take(transaction: &mut Transaction<'static, Any>, keyed: Option<&Keyed>) -> sqlx::Result<Attempt> {
    match keyed {
        None => Ok(Attempt::First),
        Some(keyed) => idempotency::begin(transaction, keyed).await,
    }
}

#[tracing::instrument(name = "INSERT", skip_all, fields(otel.kind = "client", db.operation.name = "INSERT"))]
async fn insert<T: Resource>(
    transaction: &mut Transaction<'static, Any>,
    record: &Record<T>,
) -> sqlx::Result<()> {
    let insert = sqlx::query(T::INSERT).bind(record.id).bind(record.modified_ms);
    record.item.bind(insert).execute(&mut **transaction).await.map(drop)
}

/// Writes a record over the version before it, and tells whether that was there.
#[tracing::instrument(name = "UPDATE", skip_all, fields(otel.kind = "client", db.operation.name = "UPDATE"))]
async fn update<T: Resource>(
    transaction: &mut Transaction<'static, Any>,
    record: &Record<T>,
) -> sqlx::Result<bool> {
    let update = sqlx::query(T::UPDATE).bind(record.id).bind(record.modified_ms).bind(record.version - 1);
    Ok(record.item.bind(update).execute(&mut **transaction).await?.rows_affected() > 0)
}

/// Deletes a version, and tells whether it was there.
#[tracing::instrument(name = "DELETE", skip_all, fields(otel.kind = "client", db.operation.name = "DELETE"))]
async fn delete<T: Resource>(
    transaction: &mut Transaction<'static, Any>,
    id: i64,
    version: i64,
) -> sqlx::Result<bool> {
    let deleted = sqlx::query(T::DELETE).bind(id).bind(version).execute(&mut **transaction).await?;
    Ok(deleted.rows_affected() > 0)
}

/// Takes the next id; whoever creates one of the same kind meanwhile waits until this one is committed.
async fn next_id(transaction: &mut Transaction<'static, Any>, sequence: &str) -> sqlx::Result<i64> {
    sqlx::query("UPDATE sequences SET value = value + 1 WHERE name = $1 RETURNING value")
        .bind(sequence)
        .fetch_one(&mut **transaction)
        .await?
        .try_get("value")
}
