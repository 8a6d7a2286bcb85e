//! Work that no client waits for.

use schemars::JsonSchema;
use serde::Deserialize;

/// A queue: handlers send messages to it, and each is delivered to a backend or a handler as a `POST`, at least once.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Queue {
    /// Backend that gets the messages.
    pub backend: Option<String>,
    /// Path and query for the backend. Default: `/`.
    pub path: Option<String>,
    /// Handler that gets the messages, in place of a backend.
    pub handler: Option<String>,
    /// How often a message is delivered at most, 1 to 100. Default: 10.
    pub attempts: Option<u32>,
    /// How long the second attempt waits after the first; each further one waits twice as long. From `"1s"` to `"1h"`. Default: `"10s"`.
    pub retry_delay: Option<String>,
    /// Who keeps the messages. Default: `edge`.
    pub store: Option<QueueStore>,
}

/// Who keeps a queue's messages.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QueueStore {
    /// Selvedge, in what is durable on the platform: a Durable Object, or a database on the local edge.
    Edge,
    /// The platform's own queue service, such as Cloudflare Queues.
    Platform,
}

/// A time, and who is told with a `POST` when it comes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Schedule {
    /// Minute, hour, day of the month, month and day of the week in UTC, such as `"30 3 * * MON-FRI"`.
    pub cron: Option<String>,
    /// Backend that is told.
    pub backend: Option<String>,
    /// Path and query for the backend. Default: `/`.
    pub path: Option<String>,
    /// Handler that is told, in place of a backend.
    pub handler: Option<String>,
}
