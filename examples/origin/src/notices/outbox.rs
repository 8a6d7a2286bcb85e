//! The rows of notices.

use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use crate::database::Database;
use crate::resource::{Key, now_ms};

use super::{Edge, tags_of};

/// Most rows that wait for one edge; the next change replaces them by one that stands for everything.
pub(crate) const MAX_WAITING: i64 = 1_000;

/// How many rows one notice tells of: their tags stay far below the 64 KiB that an edge reads.
const BATCH: i64 = 200;

/// Tags of the row that stands for everything.
const EVERYTHING: &str = "[]";

/// Rows that are sent together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    ids: Vec<i64>,
    tags: Vec<String>,
    is_everything: bool,
}

/// What an edge is asked to purge.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Purge<'a> {
    Tags(&'a [String]),
    Everything(bool),
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns what is to be sent; `None` for no rows.
    pub(super) fn purge(&self) -> Option<Purge<'_>> {
        match (self.ids.is_empty(), self.is_everything) {
            (true, _) => None,
            (false, true) => Some(Purge::Everything(true)),
            (false, false) => Some(Purge::Tags(&self.tags)),
        }
    }

    fn push(&mut self, id: i64, tags: &str) {
        self.ids.push(id);
        // A row that cannot be read is from another version, and everything is surely enough.
        let tags: Vec<String> = serde_json::from_str(tags).unwrap_or_default();
        self.is_everything |= tags.is_empty();
        for tag in tags {
            if !self.tags.contains(&tag) {
                self.tags.push(tag);
            }
        }
    }
}

/// Writes a notice for each edge into the transaction of the change.
pub(crate) async fn write(
    transaction: &mut Transaction<'static, Any>,
    edges: impl Iterator<Item = &Edge>,
    key: Key,
) -> sqlx::Result<()> {
    let tags = serde_json::to_string(&tags_of(key)).expect("texts are always JSON");
    for edge in edges {
        let count = sqlx::query("SELECT COUNT(*) AS waiting FROM outbox WHERE edge = $1");
        let waiting = count.bind(edge.as_str()).fetch_one(&mut **transaction).await?;
        let tags = if waiting.try_get::<i64, _>("waiting")? < MAX_WAITING {
            tags.as_str()
        } else {
            let clear = sqlx::query("DELETE FROM outbox WHERE edge = $1");
            clear.bind(edge.as_str()).execute(&mut **transaction).await?;
            tracing::warn!(%edge, "too many notices wait for an edge; it will be told to drop everything");
            EVERYTHING
        };
        insert(transaction, edge, tags).await?;
    }
    Ok(())
}

async fn insert(transaction: &mut Transaction<'static, Any>, edge: &Edge, tags: &str) -> sqlx::Result<()> {
    // Ids by chance rather than by a sequence, which would let only one change be written at a time.
    let id = getrandom::u64().map_err(|error| sqlx::Error::Io(error.into()))? >> 1;
    sqlx::query("INSERT INTO outbox (id, edge, tags, created_ms) VALUES ($1, $2, $3, $4)")
        .bind(id.cast_signed())
        .bind(edge.as_str())
        .bind(tags)
        .bind(now_ms())
        .execute(&mut **transaction)
        .await
        .map(drop)
}

/// Returns the rows that have waited longest for an edge.
pub(super) async fn oldest(database: &Database, edge: &Edge) -> sqlx::Result<Batch> {
    let rows = sqlx::query("SELECT id, tags FROM outbox WHERE edge = $1 ORDER BY created_ms LIMIT $2")
        .bind(edge.as_str())
        .bind(BATCH)
        .fetch_all(database.pool())
        .await?;
    let mut batch = Batch::default();
    for row in &rows {
        batch.push(row.try_get("id")?, &row.try_get::<String, _>("tags")?);
    }
    Ok(batch)
}

/// Deletes rows that were taken.
pub(super) async fn delete(database: &Database, batch: &Batch) -> sqlx::Result<()> {
    let mut transaction = database.begin().await?;
    for id in &batch.ids {
        sqlx::query("DELETE FROM outbox WHERE id = $1").bind(*id).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

/// Deletes old rows for edges that are not among `edges`.
pub(super) async fn forget_unknown(database: &Database, edges: &[Edge], before_ms: i64) -> sqlx::Result<()> {
    let rows = sqlx::query("SELECT DISTINCT edge FROM outbox").fetch_all(database.pool()).await?;
    let named = |row: &AnyRow| row.try_get::<String, _>("edge");
    for edge in rows.iter().map(named).collect::<sqlx::Result<Vec<_>>>()? {
        if edges.iter().any(|known| known.as_str() == edge) {
            continue;
        }
        sqlx::query("DELETE FROM outbox WHERE edge = $1 AND created_ms < $2")
            .bind(&edge)
            .bind(before_ms)
            .execute(database.pool())
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_names_each_tag_once_and_everything_outweighs_tags() {
        let mut batch = Batch::default();
        assert_eq!(batch.purge(), None);
        batch.push(1, r#"["product-1","products"]"#);
        batch.push(2, r#"["product-2","products"]"#);
        let sent = serde_json::to_string(&batch.purge()).expect("JSON");
        assert_eq!(sent, r#"{"tags":["product-1","products","product-2"]}"#);
        batch.push(3, EVERYTHING);
        let sent = serde_json::to_string(&batch.purge()).expect("JSON");
        assert_eq!(sent, r#"{"everything":true}"#);
    }
}
