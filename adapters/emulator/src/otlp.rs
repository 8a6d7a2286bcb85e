//! Spans sent to a collector by [OTLP](https://opentelemetry.io/docs/specs/otlp/#otlphttp), as protobuf over HTTP.
//!
//! What can be chosen is chosen by OpenTelemetry's
//! [variables](https://opentelemetry.io/docs/specs/otel/protocol/exporter/): `OTEL_EXPORTER_OTLP_ENDPOINT`,
//! `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_MAX_QUEUE_SIZE` and their like.

use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind as Kind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, Key, KeyValue, Value};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    self, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor as _,
};
use selvedge_native::collector::Collector;

use crate::span::{Span, SpanKind, SpanSink, SpanValue};

/// What the edge is called where `OTEL_SERVICE_NAME` does not say it.
const SERVICE_NAME: &str = "selvedge";

/// How many spans may wait where no variable says it.
const MAX_WAITING: u64 = 2048;

/// How long the last spans may take at the end.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Sends spans to a collector, in batches and by a thread of its own.
///
/// So many wait for the thread, 2,048 unless `OTEL_BSP_MAX_QUEUE_SIZE` says otherwise; what does not fit is dropped. When it is dropped the
/// last ones are sent.
#[derive(Debug)]
pub struct Otlp {
    processor: BatchSpanProcessor,
    max_waiting: u64,
    counts: Arc<Counts>,
    scope: InstrumentationScope,
}

/// What became of spans.
#[derive(Debug, Default)]
struct Counts {
    /// Taken, and in no batch yet.
    waiting: AtomicU64,
    lost: AtomicU64,
}

/// Counts the spans that the collector does not take.
#[derive(Debug)]
struct Counting {
    exporter: SpanExporter,
    counts: Arc<Counts>,
}

impl Otlp {
    /// Starts the thread; `endpoint` is the collector's URL, to which `/v1/traces` is added, and takes the place of the variables'.
    ///
    /// # Errors
    /// When the URL is none, or there is no thread.
    pub fn start(endpoint: Option<&str>) -> anyhow::Result<Self> {
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_http_client(Collector::new().context("cannot start a thread for traces")?);
        if let Some(endpoint) = endpoint {
            exporter = exporter.with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')));
        }
        let exporter = exporter.build().context("cannot send traces to the collector")?;
        let counts = Arc::new(Counts::default());
        let exporter = Counting { exporter, counts: Arc::clone(&counts) };
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        processor.set_resource(&resource());
        Ok(Self {
            processor,
            max_waiting: max_waiting(),
            counts,
            scope: InstrumentationScope::builder("selvedge").build(),
        })
    }
}

impl SpanSink for Otlp {
    fn take(&self, span: Span) {
        // The processor drops what does not fit as well, and does not say how many.
        if self.counts.waiting.fetch_add(1, Ordering::Relaxed) < self.max_waiting {
            self.processor.on_end(data(span, self.scope.clone()));
        } else {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn lost(&self) -> u64 {
        self.counts.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Otlp {
    fn drop(&mut self) {
        if let Err(error) = self.processor.shutdown_with_timeout(END_TIMEOUT) {
            tracing::warn!(%error, "the last traces are not sent");
        }
    }
}

impl trace::SpanExporter for Counting {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len() as u64;
        self.counts.waiting.fetch_sub(count, Ordering::Relaxed);
        let result = self.exporter.export(batch).await;
        if result.is_err() {
            self.counts.lost.fetch_add(count, Ordering::Relaxed);
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// How many spans may wait, as the processor reads it.
fn max_waiting() -> u64 {
    let chosen = std::env::var("OTEL_BSP_MAX_QUEUE_SIZE").ok().and_then(|size| size.parse().ok());
    chosen.unwrap_or(MAX_WAITING)
}

fn resource() -> Resource {
    let named = Resource::builder().build();
    let name = named.get(&Key::from_static_str("service.name"));
    if name.is_some_and(|name| !name.as_str().starts_with("unknown_service")) {
        return named;
    }
    Resource::builder().with_service_name(SERVICE_NAME).build()
}

/// A span as the exporter has it.
fn data(span: Span, instrumentation_scope: InstrumentationScope) -> SpanData {
    let state = span.state.and_then(|state| TraceState::from_str(&state).ok()).unwrap_or_default();
    let (trace_id, span_id) = (TraceId::from(span.trace_id), SpanId::from(span.id));
    let attributes = span.attributes.into_iter().map(|(name, value)| KeyValue::new(name, Value::from(value)));
    SpanData {
        span_context: SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, false, state),
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from),
        parent_span_is_remote: span.kind == SpanKind::Server && span.parent.is_some(),
        span_kind: match span.kind {
            SpanKind::Server => Kind::Server,
            SpanKind::Backend => Kind::Client,
        },
        name: span.name.into(),
        start_time: span.started,
        end_time: span.ended,
        attributes: attributes.collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: if span.is_error { Status::error("") } else { Status::Unset },
        instrumentation_scope,
    }
}

impl From<SpanValue> for Value {
    fn from(value: SpanValue) -> Self {
        match value {
            SpanValue::Text(text) => text.into(),
            SpanValue::Number(number) => number.into(),
            SpanValue::Flag(flag) => flag.into(),
        }
    }
}
