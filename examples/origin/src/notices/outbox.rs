//! The rows of notices.

use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use crate::database::{Database, within};
use crate::resource::now_ms;
use crate::trace::Traceparent;

use super::{Edge, Notice, tags_of};

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
    causes: Vec<Traceparent>,
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

    /// Returns where the traces of the changes go on, each once and the oldest first.
    pub(super) fn causes(&self) -> &[Traceparent] {
        &self.causes
    }

    fn push(&mut self, id: i64, tags: &str, traceparent: &str) {
        self.ids.push(id);
        // A row that cannot be read is from another version, and everything is surely enough.
        let tags: Vec<String> = serde_json::from_str(tags).unwrap_or_default();
        self.is_everything |= tags.is_empty();
        for tag in tags {
            if !self.tags.contains(&tag) {
                self.tags.push(tag);
            }
        }
        let cause = Traceparent::parse(traceparent).filter(|cause| !self.causes.contains(cause));
        self.causes.extend(cause);
    }
}

/// Writes a notice for each edge into the transaction of the change.
pub(crate) async fn write(
    transaction: &mut Transaction<'static, Any>,
    edges: impl Iterator<Item = &Edge>,
    notice: &Notice,
) -> sqlx::Result<()> {
    let tags = serde_json::to_string(&tags_of(notice.key)).expect("texts are always JSON");
    let traceparent = notice.cause.as_ref().map_or("", Traceparent::as_str);
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
        insert(transaction, edge, tags, traceparent).await?;
    }
    Ok(())
}

async fn insert(
    transaction: &mut Transaction<'static, Any>,
    edge: &Edge,
    tags: &str,
    traceparent: &str,
) -> sqlx::Result<()> {
    // Ids by chance rather than by a sequence, which would let only one change be written at a time.
    let id = getrandom::u64().map_err(|error| sqlx::Error::Io(error.into()))? >> 1;
    let insert = "INSERT INTO outbox (id, edge, tags, created_ms, traceparent) VALUES ($1, $2, $3, $4, $5)";
    sqlx::query(insert)
        .bind(id.cast_signed())
        .bind(edge.as_str())
        .bind(tags)
        .bind(now_ms())
        .bind(traceparent)
        .execute(&mut **transaction)
        .await
        .map(drop)
}

/// Returns the rows that have waited longest for an edge.
pub(super) async fn oldest(database: &Database, edge: &Edge) -> sqlx::Result<Batch> {
    let select = "SELECT id, tags, traceparent FROM outbox WHERE edge = $1 ORDER BY created_ms LIMIT $2";
    let select = sqlx::query(select).bind(edge.as_str()).bind(BATCH);
    let rows = within(select.fetch_all(database.pool())).await?;
    let mut batch = Batch::default();
    for row in &rows {
        let text = |column| row.try_get::<String, _>(column);
        batch.push(row.try_get("id")?, &text("tags")?, &text("traceparent")?);
    }
    Ok(batch)
}

/// Deletes rows that were taken.
pub(super) async fn delete(database: &Database, batch: &Batch) -> sqlx::Result<()> {
    within(async {
        let mut transaction = database.begin().await?;
        for id in &batch.ids {
            sqlx::query("DELETE FROM outbox WHERE id = $1").bind(*id).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    })
    .await
}

/// Deletes old rows for edges that are not among `edges`.
pub(super) async fn forget_unknown(database: &Database, edges: &[Edge], before_ms: i64) -> sqlx::Result<()> {
    let select = sqlx::query("SELECT DISTINCT edge FROM outbox");
    let rows = within(select.fetch_all(database.pool())).await?;
    let named = |row: &AnyRow| row.try_get::<String, _>("edge");
    for edge in rows.iter().map(named).collect::<sqlx::Result<Vec<_>>>()? {
        if edges.iter().any(|known| known.as_str() == edge) {
            continue;
        }
        let delete = sqlx::query("DELETE FROM outbox WHERE edge = $1 AND created_ms < $2");
        within(delete.bind(&edge).bind(before_ms).execute(database.pool())).await?;
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
        batch.push(1, r#"["product-1","products"]"#, "");
        batch.push(2, r#"["product-2","products"]"#, "");
        let sent = serde_json::to_string(&batch.purge()).expect("JSON");
        assert_eq!(sent, r#"{"tags":["product-1","products","product-2"]}"#);
        batch.push(3, EVERYTHING, "");
        let sent = serde_json::to_string(&batch.purge()).expect("JSON");
        assert_eq!(sent, r#"{"everything":true}"#);
    }

    #[test]
    fn a_batch_has_each_cause_once_and_the_oldest_first() {
        let traceparent =
            |digit: char| format!("00-{}-{}-01", digit.to_string().repeat(32), digit.to_string().repeat(16));
        let mut batch = Batch::default();
        let texts = [String::new(), traceparent('2'), traceparent('1'), traceparent('2')];
        for (id, text) in (1..).zip(&texts) {
            batch.push(id, EVERYTHING, text);
        }
        let causes: Vec<_> = batch.causes().iter().map(Traceparent::as_str).collect();
        assert_eq!(causes, [traceparent('2'), traceparent('1')]);
    }
}
