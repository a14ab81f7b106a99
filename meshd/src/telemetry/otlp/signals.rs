//! Spans and events as the SDK's exporters take them.

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesh_control::story::{Attribute, Event, Span};
use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_otlp::{LogExporter, RetryPolicy, SpanExporter, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _, LogProcessor, SdkLogRecord, SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};

use super::{Access, Item};

/// The exporters of spans and logs.
pub(super) struct Signals {
    scope: InstrumentationScope,
    spans: Option<SpanExporter>,
    logs: Option<(LogExporter, Records)>,
}

/// Makes log records, which only a logger of the SDK can.
struct Records {
    made: Made,
    logger: SdkLogger,
    _provider: SdkLoggerProvider,
}

/// A processor that keeps what is logged until it is taken.
#[derive(Clone, Debug, Default)]
struct Made(std::sync::Arc<Mutex<Vec<SdkLogRecord>>>);

impl LogProcessor for Made {
    fn emit(&self, record: &mut SdkLogRecord, _: &InstrumentationScope) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(record.clone());
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }
}

impl Signals {
    /// Connects when there is something to send.
    pub(super) fn new(access: &Access, resource: &Resource, spans: bool, logs: bool) -> anyhow::Result<Signals> {
        let spans = spans.then(|| {
            let mut exporter = access.lead(alone(SpanExporter::builder().with_tonic())).build()?;
            exporter.set_resource(resource);
            anyhow::Ok(exporter)
        });
        let logs = logs.then(|| {
            let mut exporter = access.lead(alone(LogExporter::builder().with_tonic())).build()?;
            exporter.set_resource(resource);
            let made = Made::default();
            let provider = SdkLoggerProvider::builder().with_log_processor(made.clone()).build();
            let records = Records { made, logger: provider.logger("meshd"), _provider: provider };
            anyhow::Ok((exporter, records))
        });
        let scope = InstrumentationScope::builder("meshd").with_version(env!("CARGO_PKG_VERSION")).build();
        Ok(Signals { scope, spans: spans.transpose()?, logs: logs.transpose()? })
    }

    /// Sends a batch. What was taken of a batch that fails is sent again: a collector tells the same span
    /// by its ids.
    pub(super) async fn send(&self, batch: &[Item]) -> OTelSdkResult {
        if let Some(exporter) = &self.spans {
            let spans = batch.iter().filter_map(|item| if let Item::Span(s) = item { self.span(s) } else { None });
            let spans: Vec<SpanData> = spans.collect();
            if !spans.is_empty() {
                exporter.export(spans).await?;
            }
        }
        if let Some((exporter, records)) = &self.logs {
            let events = batch.iter().filter_map(|item| if let Item::Event(e) = item { Some(e) } else { None });
            let made = records.of(events);
            let made: Vec<_> = made.iter().map(|record| (record, &self.scope)).collect();
            if !made.is_empty() {
                exporter.export(LogBatch::new(&made)).await?;
            }
        }
        Ok(())
    }

    fn span(&self, span: &Span) -> Option<SpanData> {
        let id = SpanId::from_hex(&span.span_id).ok()?;
        let trace_id = TraceId::from_hex(&span.trace_id).ok()?;
        let parent = span.parent_span_id.as_deref().and_then(|id| SpanId::from_hex(id).ok());
        let attributes = span.attributes.iter().map(|(name, value)| KeyValue::new(name.clone(), value_of(value)));
        Some(SpanData {
            span_context: SpanContext::new(trace_id, id, TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: parent.unwrap_or(SpanId::INVALID),
            // A vote's and a retirement's parents are another node's.
            parent_span_is_remote: matches!(span.name.as_str(), "vote" | "retirement"),
            span_kind: match span.name.as_str() {
                "lease request" => SpanKind::Client,
                "vote" => SpanKind::Server,
                _ => SpanKind::Internal,
            },
            name: span.name.clone().into(),
            start_time: time(span.begin_unix_us),
            end_time: time(span.end_unix_us),
            attributes: attributes.collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: span.failed.clone().map_or(Status::Unset, Status::error),
            instrumentation_scope: self.scope.clone(),
        })
    }
}

/// An exporter that tries once: again is the sender's business.
fn alone<B: WithTonicConfig>(builder: B) -> B {
    builder.with_retry_policy(RetryPolicy::disabled())
}

impl Records {
    fn of<'e>(&self, events: impl Iterator<Item = &'e Event>) -> Vec<SdkLogRecord> {
        for event in events {
            let mut record = self.logger.create_log_record();
            record.set_timestamp(time(event.at_unix_us));
            record.set_observed_timestamp(time(event.at_unix_us));
            let warns = event.severity == "warning";
            record.set_severity_number(if warns { Severity::Warn } else { Severity::Info });
            record.set_severity_text(if warns { "WARN" } else { "INFO" });
            record.set_event_name("meshd.event");
            let text = if event.cause.is_empty() { &event.text } else { &format!("{}: {}", event.text, event.cause) };
            record.set_body(AnyValue::from(text.clone()));
            record.add_attribute("meshd.event.kind", event.kind.clone());
            for (name, value) in [("meshd.router.name", &event.router), ("meshd.router.state", &event.state)] {
                if let Some(value) = value {
                    record.add_attribute(name, value.clone());
                }
            }
            if let Some(trace_id) = event.trace_id.as_deref().and_then(|id| TraceId::from_hex(id).ok()) {
                record.set_trace_context(trace_id, SpanId::INVALID, Some(TraceFlags::SAMPLED));
            }
            self.logger.emit(record);
        }
        std::mem::take(&mut *self.made.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

fn value_of(attribute: &Attribute) -> Value {
    match attribute {
        Attribute::Number(number) => Value::I64(*number),
        Attribute::Text(text) => Value::String(text.clone().into()),
    }
}

fn time(unix_us: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(unix_us)
}
