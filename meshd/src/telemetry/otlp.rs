//! To an OpenTelemetry collector, by OTLP over gRPC, where one is configured.
//!
//! Spans and events wait in one bounded queue, and a task sends them in batches. While the collector is
//! away the batch under way is tried again, the queue fills, and what finds no room is dropped and
//! counted; the log says so when it begins and when it is over. Metrics are read from the status that
//! `meshctl status` shows, when they are due.

mod metrics;
mod signals;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use mesh_config::model::TelemetrySettings;
use mesh_control::Status;
use mesh_control::story::{Event, Span};
use opentelemetry::KeyValue;
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::{WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::signals::Signals;
use crate::on_demand::Asker;

/// Spans and events that may wait for the collector.
const QUEUE: usize = 4096;
/// Sent in one request, at most.
const BATCH: usize = 512;
/// What comes within that time goes along.
const GATHER: Duration = Duration::from_millis(200);
/// Between two tries: it doubles.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Tries of one batch, before it is given up: some minutes.
const TRIES: u32 = 8;
/// For what is left when the daemon ends.
const FLUSH: Duration = Duration::from_secs(2);

/// Something to send.
#[derive(Clone, Debug, PartialEq)]
enum Item {
    Span(Span),
    Event(Event),
}

/// Takes spans and events without waiting; where no collector is configured, none.
#[derive(Clone, Debug, Default)]
pub struct Exporter {
    queue: Option<mpsc::Sender<Item>>,
    lost: Arc<AtomicU64>,
}

impl Exporter {
    pub(super) fn span(&self, span: &Span) {
        self.send(|| Item::Span(span.clone()));
    }

    pub(super) fn event(&self, event: &Event) {
        self.send(|| Item::Event(event.clone()));
    }

    /// Spans and events that were dropped.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn send(&self, item: impl FnOnce() -> Item) {
        let Some(queue) = &self.queue else { return };
        match queue.try_reserve() {
            Ok(room) => room.send(item()),
            Err(_) => drop(self.lost.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// What runs while a collector is configured.
pub struct Export {
    sender: JoinHandle<()>,
    metrics: Option<metrics::Meter>,
}

impl Export {
    /// Sends what is left, within two seconds. Everybody who could report more must be gone.
    pub async fn finish(self) {
        let flush = async {
            if let Some(metrics) = self.metrics {
                metrics.finish().await;
            }
            // It ends with its queue.
            let _ = self.sender.await;
        };
        if timeout(FLUSH, flush).await.is_err() {
            tracing::warn!("not all telemetry reached the collector within {FLUSH:?}");
        }
    }
}

/// Starts to export, where the configuration or the standard variables name a collector.
///
/// # Errors
///
/// A setting cannot be used.
pub fn start(
    settings: &TelemetrySettings,
    node: &str,
    status: Asker<Status>,
) -> anyhow::Result<(Exporter, Option<Export>)> {
    if !is_configured(settings) {
        return Ok((Exporter::default(), None));
    }
    let access = Access::new(settings)?;
    let resource = resource(settings, node);
    let wants = |signal| variable(&format!("OTEL_{signal}_EXPORTER")).is_none_or(|v| v != "none");
    let sampled = settings.sampling && variable("OTEL_TRACES_SAMPLER").is_none_or(|v| !v.ends_with("always_off"));
    let signals = Signals::new(&access, &resource, sampled && wants("TRACES"), wants("LOGS"))?;
    let metrics = wants("METRICS").then(|| metrics::Meter::start(&access, resource, status)).transpose()?;
    let (queue, items) = mpsc::channel(QUEUE);
    let exporter = Exporter { queue: Some(queue), lost: Arc::default() };
    let sender = tokio::spawn(run(signals, items, Arc::clone(&exporter.lost)));
    Ok((exporter, Some(Export { sender, metrics })))
}

/// How the collector is reached, as far as the standard variables do not say.
struct Access {
    endpoint: Option<String>,
    headers: MetadataMap,
}

impl Access {
    fn new(settings: &TelemetrySettings) -> anyhow::Result<Access> {
        let headers = settings.headers_file.as_deref().map(read_headers).transpose()?;
        Ok(Access { endpoint: settings.endpoint.clone(), headers: headers.unwrap_or_default() })
    }

    /// Leads an exporter there.
    fn lead<B: WithTonicConfig + WithExportConfig>(&self, builder: B) -> B {
        let builder = builder.with_metadata(self.headers.clone());
        match &self.endpoint {
            Some(endpoint) => builder.with_endpoint(endpoint),
            None => builder,
        }
    }
}

/// `name: value`, or `name=value` as the variables have it, one a line.
fn read_headers(file: &Path) -> anyhow::Result<MetadataMap> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("{shown}: headers of telemetry"))?;
    let headers = headers(&text).with_context(|| format!("{shown}: headers of telemetry"))?;
    Ok(MetadataMap::from_headers(headers))
}

fn headers(text: &str) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The value is a secret, and is not shown.
        let place = || format!("line {}: expected `name: value`", number + 1);
        let (name, value) = line.split_once([':', '=']).with_context(place)?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).with_context(place)?;
        headers.insert(name, HeaderValue::try_from(value.trim()).with_context(place)?);
    }
    Ok(headers)
}

/// Whether there is a collector to send to.
fn is_configured(settings: &TelemetrySettings) -> bool {
    let named = ["", "TRACES_", "METRICS_", "LOGS_"];
    let named = named.iter().any(|signal| variable(&format!("OTEL_EXPORTER_OTLP_{signal}ENDPOINT")).is_some());
    let disabled = variable("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    !disabled && (named || settings.endpoint.is_some())
}

/// An environment variable; the specification treats an empty one as not set.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// Who sends.
fn resource(settings: &TelemetrySettings, node: &str) -> Resource {
    let service = settings.service_name.clone().unwrap_or_else(|| "meshd".to_owned());
    let host = mesh_files::whole_host_name();
    let builder = Resource::builder_empty()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.instance.id", node.to_owned()))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("host.name", host.unwrap_or_else(|| node.to_owned())));
    let from_environment = opentelemetry_sdk::resource::EnvResourceDetector::new();
    let builder = builder.with_detector(Box::new(from_environment));
    // Last, as it comes before OTEL_RESOURCE_ATTRIBUTES.
    match variable("OTEL_SERVICE_NAME") {
        Some(name) => builder.with_service_name(name).build(),
        None => builder.build(),
    }
}

/// Sends until the queue is closed and empty.
async fn run(signals: Signals, mut items: mpsc::Receiver<Item>, lost: Arc<AtomicU64>) {
    let mut away = false;
    let mut batch = Vec::new();
    while items.recv_many(&mut batch, BATCH).await > 0 {
        if !items.is_closed() && batch.len() < BATCH {
            sleep(GATHER).await;
            while batch.len() < BATCH
                && let Ok(item) = items.try_recv()
            {
                batch.push(item);
            }
        }
        let mut pause = RETRY.0;
        for attempt in 1..=TRIES {
            match signals.send(&batch).await {
                Ok(()) => {
                    if std::mem::take(&mut away) {
                        let lost = lost.load(Ordering::Relaxed);
                        tracing::info!(lost, "the collector of telemetry answers again");
                    }
                    break;
                }
                Err(error) => {
                    if !std::mem::replace(&mut away, true) {
                        tracing::warn!("the collector of telemetry does not take what it is sent: {error}");
                    }
                    if attempt == TRIES || items.is_closed() {
                        lost.fetch_add(batch.len() as u64, Ordering::Relaxed);
                        break;
                    }
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
        }
        batch.clear();
    }
}

#[cfg(test)]
mod tests;
