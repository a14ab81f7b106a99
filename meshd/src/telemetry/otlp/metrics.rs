//! Metrics: read from the status when they are due.

use std::sync::Arc;
use std::time::Duration;

use mesh_control::Status;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter as OtelMeter, MeterProvider};
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use tokio::runtime::Handle;

use super::Access;
use crate::on_demand::Asker;

/// How long the engine may take. A round of metrics has seven questions, and one answer serves all of them.
const PATIENCE: Duration = Duration::from_millis(500);

/// A gauge's or counter's values, with what tells them apart.
type Values<T> = Vec<(T, Vec<KeyValue>)>;

/// Where its values come from.
type Read<T> = fn(&Status) -> Values<T>;

/// Sends metrics every minute, or as OTEL_METRIC_EXPORT_INTERVAL says, by a thread of the SDK.
pub(super) struct Meter(SdkMeterProvider);

impl Meter {
    pub(super) fn start(access: &Access, resource: Resource, status: Asker<Status>) -> anyhow::Result<Meter> {
        let exporter = access.lead(MetricExporter::builder().with_tonic()).build()?;
        let reader = PeriodicReader::builder(exporter).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).with_resource(resource).build();
        observe(&provider.meter("meshd"), &Latest { status, runtime: Handle::current() });
        Ok(Meter(provider))
    }

    /// Sends them once more, and ends.
    pub(super) async fn finish(self) {
        // It blocks.
        let _ = tokio::task::spawn_blocking(move || self.0.shutdown()).await;
    }
}

/// Where the SDK's thread gets the status from.
#[derive(Clone)]
struct Latest {
    status: Asker<Status>,
    runtime: Handle,
}

impl Latest {
    /// Blocks for [`PATIENCE`] at most; the last one where the engine does not answer, or has ended.
    fn get(&self) -> Arc<Status> {
        self.runtime.block_on(self.status.ask(PATIENCE)).unwrap_or_else(|silence| silence.last)
    }
}

fn observe(meter: &OtelMeter, status: &Latest) {
    let counters: [(&'static str, &'static str, Read<u64>); 4] = [
        ("meshd.failovers", "Times this node began to serve, by cause", failovers),
        ("meshd.vetoes", "Refused claims of this node, by voter and reason", vetoes),
        ("meshd.dropped", "Packets and messages dropped, by sender and reason", dropped),
        ("meshd.events", "What this daemon counted since it started, by name", counted),
    ];
    for (name, description, values) in counters {
        let status = status.clone();
        let observe = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<u64>| {
            values(&status.get()).into_iter().for_each(|(value, labels)| observer.observe(value, &labels));
        };
        meter.u64_observable_counter(name).with_description(description).with_callback(observe).build();
    }
    let gauges: [(&'static str, &'static str, &'static str, Read<f64>); 3] = [
        ("meshd.lease.margin", "s", "What is left of a lease this node holds", margins),
        ("meshd.mesh.round_trip", "s", "To each member", round_trips),
        ("meshd.router.active", "1", "1 for the director that serves a virtual router", active),
    ];
    for (name, unit, description, values) in gauges {
        let status = status.clone();
        let observe = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<f64>| {
            values(&status.get()).into_iter().for_each(|(value, labels)| observer.observe(value, &labels));
        };
        let gauge = meter.f64_observable_gauge(name).with_unit(unit).with_description(description);
        gauge.with_callback(observe).build();
    }
}

fn label(name: &'static str, value: &str) -> KeyValue {
    KeyValue::new(name, value.to_owned())
}

fn failovers(status: &Status) -> Values<u64> {
    status.failovers.iter().map(|(cause, count)| (*count, vec![label("meshd.cause", cause)])).collect()
}

fn vetoes(status: &Status) -> Values<u64> {
    let labels =
        |v: &mesh_control::story::VetoCount| vec![label("meshd.voter", &v.voter), label("meshd.verdict", &v.reason)];
    status.vetoes.iter().map(|v| (v.count, labels(v))).collect()
}

fn dropped(status: &Status) -> Values<u64> {
    status.drops.iter().map(|(what, count)| (*count, vec![label("meshd.reason", what)])).collect()
}

fn counted(status: &Status) -> Values<u64> {
    status.counters.iter().map(|(name, count)| (*count, vec![label("meshd.counter", name)])).collect()
}

fn margins(status: &Status) -> Values<f64> {
    let held = status.routers.iter().filter_map(|r| Some((r, r.lease.as_ref().filter(|l| l.owner == status.node)?)));
    held.map(|(r, l)| (l.remaining_ms as f64 / 1000.0, vec![label("meshd.router.name", &r.name)])).collect()
}

fn round_trips(status: &Status) -> Values<f64> {
    let known = status.nodes.iter().filter_map(|n| Some((n, n.rtt_ms?)));
    known.map(|(n, rtt)| (rtt / 1000.0, vec![label("meshd.peer", &n.name)])).collect()
}

fn active(status: &Status) -> Values<f64> {
    let served = status.routers.iter().filter_map(|r| Some((r, r.active.as_ref()?)));
    let labels = |name: &str, node: &str| vec![label("meshd.router.name", name), label("meshd.node", node)];
    served.map(|(r, node)| (1.0, labels(&r.name, node))).collect()
}
