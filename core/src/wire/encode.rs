//! What an exchange tells, as bytes for its host.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::CONTENT_TYPE;

use crate::backend::BackendId;
use crate::body::Body;
use crate::effect::{CacheEntry, CachePut, Effect, EffectId, Fetch, Issued, Record, Variants, Watch};
use crate::engine::Answer;
use crate::exchange::{Rest, Settle, Step};
use crate::job::Settlement;
use crate::policy::Policy;
use crate::reason::{Reason, Summary};

use super::head;
use super::lines::Writer;

/// Enough for most messages.
const USUAL_TEXT_BYTES: usize = 1024;

/// Longest body that crosses as text.
const MAX_TAIL_BYTES: usize = 4096;

/// A message to a host: its text, and the bytes beside it.
#[derive(Debug)]
pub struct Message {
    lines: Writer,
    bytes: Vec<u8>,
    /// A body that is text behind the last line.
    tail: Option<Bytes>,
}

impl Message {
    fn new() -> Self {
        Self { lines: Writer::new(b'\n', USUAL_TEXT_BYTES), bytes: Vec::new(), tail: None }
    }

    /// Returns the text and the bytes that it refers to, in order.
    #[must_use]
    pub fn into_parts(mut self) -> (Vec<u8>, Vec<u8>) {
        if let Some(tail) = self.tail {
            self.lines.text.push(b'\n');
            self.lines.text.extend_from_slice(&tail);
        }
        (self.lines.text, self.bytes)
    }

    fn body(&mut self, body: &Body) {
        match body {
            Body::Empty => self.lines.text("-"),
            Body::Host(handle) => self.lines.number(handle.0),
            Body::Bytes(bytes) => {
                self.lines.number(format_args!("={}", bytes.len()));
                self.bytes.extend_from_slice(bytes);
            }
        }
    }

    fn effects(&mut self, effects: &[Issued]) {
        self.lines.number(effects.len());
        for issued in effects {
            self.effect(issued);
        }
    }

    fn effect(&mut self, Issued { id, effect, .. }: &Issued) {
        match effect {
            Effect::Fetch(fetch) => {
                self.begin("F", *id);
                self.fetch(fetch);
            }
            Effect::CacheGet { key } => self.keyed("G", *id, key),
            Effect::CachePut(put) => {
                self.begin("P", *id);
                self.put(put);
            }
            Effect::CachePurge(purge) => {
                self.begin("U", *id);
                self.keys(&purge.keys);
            }
            Effect::SliceBody { body, start, length } => {
                self.numbers("S", *id, &[u64::from(body.0), *start, *length]);
            }
            Effect::CacheWait { .. } | Effect::CacheRelease { .. } => unreachable!("{NO_TURNS}"),
            Effect::KvGet { key } => self.keyed("K", *id, key),
            Effect::KvPut { key, value } => {
                self.keyed("W", *id, key);
                self.body(&Body::Bytes(value.clone()));
            }
            Effect::Count { key, window } => {
                self.keyed("N", *id, key);
                self.lines.number(millis(*window));
            }
            Effect::ReadBody { body, limit } => {
                self.numbers("B", *id, &[u64::from(body.0), *limit as u64]);
            }
            Effect::Enqueue { queue, id: message, body } => {
                self.begin("Q", *id);
                self.lines.text(queue);
                self.lines.text(message);
                self.body(&Body::Bytes(body.clone()));
            }
            Effect::Sleep { time } => {
                self.begin("Z", *id);
                self.lines.number(millis(*time));
            }
            Effect::Cancel { id: cancelled } => self.numbers("C", *id, &[u64::from(cancelled.0)]),
            Effect::Record(record) => {
                self.begin("X", *id);
                self.record(record);
            }
        }
    }

    fn begin(&mut self, kind: &str, id: EffectId) {
        self.lines.text(kind);
        self.lines.number(id.0);
    }

    fn keyed(&mut self, kind: &str, id: EffectId, key: &str) {
        self.begin(kind, id);
        self.lines.text(&escape(key));
    }

    fn numbers(&mut self, kind: &str, id: EffectId, numbers: &[u64]) {
        self.begin(kind, id);
        numbers.iter().for_each(|number| self.lines.number(number));
    }

    fn keys(&mut self, keys: &[String]) {
        self.lines.number(keys.len());
        keys.iter().for_each(|key| self.lines.text(&escape(key)));
    }

    fn fetch(&mut self, fetch: &Fetch) {
        self.lines.text(&fetch.backend);
        self.lines.number(millis(fetch.timeout));
        match &fetch.watch {
            Some(watch) => self.watch(watch),
            None => self.lines.text(""),
        }
        self.lines.number(fetch.max_body_bytes);
        self.lines.text(fetch.request.method().as_str());
        self.lines.number(fetch.request.uri());
        self.body(fetch.request.body());
        self.lines.headers(fetch.request.headers());
    }

    fn watch(&mut self, watch: &Watch) {
        let (BackendId(backend), url) = watch.report.place();
        let total = watch.total.map_or_else(|| "-".to_owned(), |total| millis(total).to_string());
        let probe = watch.report.probe().map_or_else(|| "-".to_owned(), |probe| probe.to_string());
        self.lines.number(format_args!("{total} {backend} {url} {probe}"));
    }

    fn put(&mut self, put: &CachePut) {
        self.lines.text(&escape(&put.key));
        self.lines.number(millis(put.keep));
        match &put.entry {
            CacheEntry::Variants(Variants { names, since }) => {
                self.lines.text("V");
                self.lines.number(since.as_millis());
                self.lines.number(names.len());
                names.iter().for_each(|name| self.lines.text(name.as_str()));
            }
            CacheEntry::Response(stored, body) => {
                self.lines.text("R");
                self.lines.bytes(&head::write(stored));
                self.body(body);
            }
        }
    }

    fn record(&mut self, record: &Record) {
        match record {
            Record::Exposure { experiment, variation, reason } => {
                let lines = ["exposure", experiment, variation, reason.code()];
                lines.into_iter().for_each(|line| self.lines.text(line));
            }
            Record::HandlerFailure { handler, reason, message } => {
                let lines = ["handler-failure", handler, message, reason.code()];
                lines.into_iter().for_each(|line| self.lines.text(line));
            }
            Record::JobFailure { name, id, message, settlement } => {
                let detail = format!("{message}; {settlement}");
                ["job-failure", name, id, &detail].into_iter().for_each(|line| self.lines.text(line));
            }
            Record::Event { name, value } => {
                self.lines.text("event");
                self.lines.text(name);
                self.lines.number(value);
                self.lines.text("");
            }
        }
    }

    fn settle(&mut self, settle: &Settle) {
        let (word, after) = match settle.settlement {
            Settlement::Done => ("done", Duration::ZERO),
            Settlement::Retry { after } => ("retry", after),
            Settlement::Dropped => ("dropped", Duration::ZERO),
        };
        self.lines.text(if settle.rest == Rest::Pending { "1" } else { "0" });
        self.lines.text(word);
        self.lines.number(after.as_secs());
        self.effects(&settle.effects);
    }

    fn respond(&mut self, rest: Rest, summary: &Summary, told: Told<'_>, response: &Response<Body>) {
        self.lines.text(if rest == Rest::Pending { "1" } else { "0" });
        self.lines.text(summary.reason.code());
        self.lines.text(summary.cache.map_or("", Reason::code));
        match told {
            Told::Codes => self.lines.text(""),
            Told::Names(policy) => self.lines.text(&names(summary, policy)),
        }
        self.lines.text(response.status().as_str());
        match response.body() {
            // A host makes text of the message in any case; it need not make a copy of these bytes beside it. One that is
            // given text adds a media type where there is none.
            Body::Bytes(body) if is_short_text(body) && response.headers().contains_key(CONTENT_TYPE) => {
                self.lines.number(format_args!("'{}", body.len()));
                self.tail = Some(body.clone());
            }
            body @ (Body::Empty | Body::Bytes(_) | Body::Host(_)) => self.body(body),
        }
        self.lines.headers(response.headers());
    }
}

/// What would have to have gone wrong.
const NO_DEPARTURE: &str = "a platform that runs the stages one by one writes its own messages";

/// What would have to have gone wrong.
const NO_TURNS: &str =
    "only a host that collapses is asked to, and none does so on the other side of a boundary";

/// What a response's message tells of the decision.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// The codes of its reasons.
    Codes,
    /// Those, and what this policy calls the route and the backend, and the client's bot category.
    Names(&'a Policy),
}

/// Writes a step of the exchange that the module knows by this number.
#[must_use]
pub fn encode_step(exchange: u32, step: &Step, told: Told<'_>) -> Message {
    let mut message = Message::new();
    message.lines.text(match step {
        Step::Effects(_) => "E",
        Step::Respond(_) => "R",
        Step::Settle(_) => "S",
        Step::Depart(_) => unreachable!("{NO_DEPARTURE}"),
        Step::Done => "D",
    });
    message.lines.number(exchange);
    match step {
        Step::Effects(effects) => message.effects(effects),
        Step::Respond(respond) => {
            message.respond(respond.rest, &respond.summary, told, &respond.response);
            message.effects(&respond.effects);
        }
        Step::Settle(settle) => message.settle(settle),
        Step::Depart(_) => unreachable!("{NO_DEPARTURE}"),
        Step::Done => {}
    }
    message
}

/// Writes lines of a platform's own, and effects after them.
#[must_use]
pub fn encode_lines(lines: &[&str], effects: &[Issued]) -> Message {
    let mut message = Message::new();
    lines.iter().for_each(|line| message.lines.text(line));
    message.effects(effects);
    message
}

/// Writes an answer that needed no exchange: a response of the exchange 0, with its records as effects.
#[must_use]
pub fn encode_answer(answer: &Answer, told: Told<'_>) -> Message {
    let mut message = Message::new();
    message.lines.text("R");
    message.lines.number(0);
    message.respond(Rest::Nothing, &answer.summary, told, &answer.response);
    message.lines.number(answer.records.len());
    for (id, record) in answer.records.iter().enumerate() {
        message.lines.text("X");
        message.lines.number(id);
        message.record(record);
    }
    message
}

/// Returns what a policy calls the route and the backend of a request, its client's bot category, the code of
/// [`failed_over`](Summary::failed_over), and the number of attempts where there was more than one: one value in this order with the
/// character U+001F between them; what is not known is empty.
#[must_use]
pub fn names(summary: &Summary, policy: &Policy) -> String {
    let route = summary.route.map_or("", |route| &policy.route(route).name);
    let backend = summary.backend.map_or("", |backend| &policy.backend(backend).name);
    let bot = summary.bot.map_or("", |bot| bot.as_str());
    let failed_over = summary.failed_over.map_or("", Reason::code);
    let attempts = if summary.attempts > 1 { summary.attempts.to_string() } else { String::new() };
    [route, backend, bot, failed_over, &attempts].join("\u{1f}")
}

/// Keys have lines of their own.
fn escape(key: &str) -> String {
    key.replace('\n', "\u{1f}")
}

fn is_short_text(body: &[u8]) -> bool {
    body.len() <= MAX_TAIL_BYTES && body.is_ascii()
}

fn millis(duration: Duration) -> u128 {
    duration.as_millis()
}
