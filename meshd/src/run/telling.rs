//! Telemetry of one run: what collects it, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use mesh_config::model::Config;
use mesh_control::Status;
use mesh_wire::mesh::NodeId;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::clock;
use crate::telemetry::otlp::{self, Export};
use crate::telemetry::{self, Journal, Telemetry};

/// For what is reported last to be collected: nobody reports any more then.
const LAST_REPORTS: Duration = Duration::from_millis(200);

/// What collects.
pub(super) struct Telling {
    /// What this node remembers.
    pub(super) journal: Arc<Journal>,
    collector: JoinHandle<()>,
    export: Option<Export>,
}

impl Telling {
    /// Starts to collect, and to send where a collector is configured.
    pub(super) fn start(
        config: &Config,
        name: &str,
        node: NodeId,
        status: watch::Receiver<Arc<Status>>,
    ) -> anyhow::Result<(Telemetry, Telling)> {
        let first = u64::try_from(clock::unix_time().as_micros()).unwrap_or(0);
        let journal = Arc::new(Journal::new(name, first));
        let (exporter, export) = otlp::start(&config.telemetry, name, status)?;
        let (telemetry, reports) = Telemetry::new();
        let collector = tokio::spawn(telemetry::collect(node, Arc::clone(&journal), exporter, reports));
        Ok((telemetry, Telling { journal, collector, export }))
    }

    /// Sends what is left, with a deadline.
    pub(super) async fn finish(mut self) {
        // It ends when all who report are gone; a thread that hangs keeps it, and is not waited for.
        if timeout(LAST_REPORTS, &mut self.collector).await.is_err() {
            self.collector.abort();
        }
        if let Some(export) = self.export {
            export.finish().await;
        }
    }
}
