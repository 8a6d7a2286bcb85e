//! Traces sent to a collector, by [OTLP](https://opentelemetry.io/docs/specs/otlp/#otlphttp) over HTTP.

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use selvedge_native::collector::Collector;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

/// What the origin is called.
const SERVICE_NAME: &str = "selvedge-origin";

/// Starts what sends spans; `endpoint` is the collector's URL, to which `/v1/traces` is added.
///
/// # Errors
/// When the URL is none, or there is no thread.
pub(crate) fn start(endpoint: &str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(Collector::new().context("cannot start a thread for traces")?)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .build()
        .context("cannot send traces to the collector")?;
    let resource = Resource::builder().with_service_name(SERVICE_NAME).build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// Hands on the origin's own spans, not those of the libraries that it uses.
pub(crate) fn layer<S>(collector: &SdkTracerProvider) -> impl Layer<S> + Send + Sync + use<S>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let own = filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with("selvedge_origin"));
    tracing_opentelemetry::layer().with_tracer(collector.tracer(SERVICE_NAME)).with_filter(own)
}
