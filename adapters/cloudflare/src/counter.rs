//! The counter of one client's requests: a Durable Object for each key, so that every location counts in the same place.

use serde::Deserialize;
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object, wasm_bindgen};

use crate::window::Moment;

/// Counts requests in fixed windows and forgets windows that have ended.
#[durable_object]
pub struct Counter {
    state: State,
}

#[derive(Deserialize)]
struct Row {
    count: u64,
}

impl Counter {
    /// Adds one to the count of a window and returns it. Storage that is empty again costs nothing, so an alarm
    /// empties it when the window has ended.
    async fn count(&self, moment: Moment) -> Result<u64> {
        let storage = self.state.storage();
        let sql = storage.sql();
        let number = i64::try_from(moment.number()).unwrap_or(i64::MAX);
        sql.exec(
            "CREATE TABLE IF NOT EXISTS counts (number INTEGER PRIMARY KEY, count INTEGER NOT NULL)",
            None,
        )?;
        sql.exec("DELETE FROM counts WHERE number < ?", vec![number.into()])?;
        let counted = sql.exec(
            "INSERT INTO counts (number, count) VALUES (?, 1)
             ON CONFLICT (number) DO UPDATE SET count = count + 1 RETURNING count",
            vec![number.into()],
        )?;
        let count = counted.one::<Row>()?.count;
        if count == 1 {
            let rest = i64::try_from(moment.rest()).unwrap_or(i64::MAX);
            storage.set_alarm(rest).await?;
        }
        Ok(count)
    }
}

impl DurableObject for Counter {
    fn new(state: State, _env: Env) -> Self {
        Self { state }
    }

    /// Takes a request whose content is a [`Moment`] and answers with the count.
    async fn fetch(&self, mut request: Request) -> Result<Response> {
        match Moment::parse(&request.text().await?) {
            Some(moment) => Response::ok(self.count(moment).await?.to_string()),
            None => Response::error("the content is not `NOW WINDOW`", 400),
        }
    }

    async fn alarm(&self) -> Result<Response> {
        self.state.storage().delete_all().await?;
        Response::empty()
    }
}
