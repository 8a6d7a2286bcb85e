//! The messages of one queue: a Durable Object with a table of them, and an alarm for the next that is due.
//!
//! The alarm itself is in `worker/queue.mjs`: it takes messages, has the policy deliver them, and says what became of each.

use worker::{
    Date, DurableObject, Env, Headers, Request, Response, Result, SqlStorage, SqlStorageValue, State,
    durable_object, wasm_bindgen,
};

use crate::operation::Operation;

/// The request header that says what to do.
const OPERATION: &str = "selvedge-operation";

/// The response header that says which message the content is: its queue, its id, and which attempt this is.
const MESSAGE: &str = "selvedge-message";

/// Most messages; a queue that is full refuses new ones.
const MAX_MESSAGES: i64 = 100_000;

/// How long a message that was handed out stays away when nobody says what became of it, in milliseconds: as long as
/// [an alarm may run](https://developers.cloudflare.com/durable-objects/platform/limits/).
const LEASE: i64 = 15 * 60 * 1_000;

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS messages (
    id TEXT PRIMARY KEY, queue TEXT NOT NULL, attempt INTEGER NOT NULL, due INTEGER NOT NULL, body BLOB NOT NULL
)";

const INDEX: &str = "CREATE INDEX IF NOT EXISTS due ON messages (due)";

const TAKE: &str = "UPDATE messages SET attempt = attempt + 1, due = ?
    WHERE id = (SELECT id FROM messages WHERE due <= ? ORDER BY due LIMIT 1) RETURNING queue, id, attempt, body";

/// Keeps messages until they are done.
#[durable_object]
pub struct Queue {
    state: State,
}

impl Queue {
    async fn perform(&self, operation: Operation, body: Vec<u8>) -> Result<Response> {
        let sql = self.state.storage().sql();
        sql.exec(SCHEMA, None)?;
        sql.exec(INDEX, None)?;
        let now = i64::try_from(Date::now().as_millis()).unwrap_or(i64::MAX);
        let response = match operation {
            Operation::Put { queue, id } => put(&sql, queue, id, body, now)?,
            Operation::Take => take(&sql, now)?,
            Operation::Done { id } => {
                sql.exec("DELETE FROM messages WHERE id = ?", vec![id.into()])?;
                Response::empty()?
            }
            Operation::Retry { id, after } => {
                let due = now + i64::from(after) * 1_000;
                sql.exec("UPDATE messages SET due = ? WHERE id = ?", vec![due.into(), id.into()])?;
                Response::empty()?
            }
        };
        self.set_alarm(&sql, now).await?;
        Ok(response)
    }

    /// The alarm rings when the next message is due; storage without messages costs nothing.
    async fn set_alarm(&self, sql: &SqlStorage, now: i64) -> Result<()> {
        match integer(sql, "SELECT MIN(due) FROM messages")? {
            Some(due) => self.state.storage().set_alarm((due - now).max(0)).await,
            None => self.state.storage().delete_alarm().await,
        }
    }
}

impl DurableObject for Queue {
    fn new(state: State, _env: Env) -> Self {
        Self { state }
    }

    /// Takes an [`Operation`] in its header, with a message as content.
    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let line = request.headers().get(OPERATION)?.unwrap_or_default();
        match Operation::parse(&line) {
            Some(operation) => {
                let body = request.bytes().await?;
                self.perform(operation, body).await
            }
            None => Response::error("there is no such operation", 400),
        }
    }
}

fn put(sql: &SqlStorage, queue: String, id: String, body: Vec<u8>, now: i64) -> Result<Response> {
    if integer(sql, "SELECT COUNT(*) FROM messages")?.unwrap_or_default() >= MAX_MESSAGES {
        return Response::error("the queue is full", 507);
    }
    sql.exec(
        "INSERT OR IGNORE INTO messages (id, queue, attempt, due, body) VALUES (?, ?, 0, ?, ?)",
        vec![id.into(), queue.into(), now.into(), SqlStorageValue::Blob(body)],
    )?;
    Response::empty()
}

fn take(sql: &SqlStorage, now: i64) -> Result<Response> {
    let Some(row) = sql.exec(TAKE, vec![(now + LEASE).into(), now.into()])?.raw().next() else {
        return Response::empty();
    };
    let row: [SqlStorageValue; 4] = row?.try_into().map_err(|_| "a row has four columns")?;
    let [SqlStorageValue::String(queue), SqlStorageValue::String(id), attempt, SqlStorageValue::Blob(body)] =
        row
    else {
        return Err("a row holds other values than were put in".into());
    };
    let headers = Headers::new();
    headers.set(MESSAGE, &format!("{queue} {id} {}", whole(&attempt).unwrap_or(1)))?;
    Ok(Response::from_bytes(body)?.with_headers(headers))
}

fn integer(sql: &SqlStorage, query: &str) -> Result<Option<i64>> {
    let row = sql.exec(query, None)?.raw().next().transpose()?;
    Ok(row.and_then(|row| row.first().and_then(whole)))
}

/// JavaScript has one kind of number.
fn whole(value: &SqlStorageValue) -> Option<i64> {
    match value {
        SqlStorageValue::Integer(number) => Some(*number),
        #[expect(clippy::cast_possible_truncation, reason = "times and counts are whole and within 53 bits")]
        SqlStorageValue::Float(number) => Some(*number as i64),
        SqlStorageValue::Null
        | SqlStorageValue::Boolean(_)
        | SqlStorageValue::String(_)
        | SqlStorageValue::Blob(_) => None,
    }
}
