//! Telemetry of one run: what collects it, and how it ends.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use mesh_config::model::Config;
use mesh_control::Status;
use mesh_wire::mesh::NodeId;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::on_demand::Asker;
use crate::telemetry::otlp::{self, Export};
use crate::telemetry::{self, Journal, Telemetry};

/// For what was reported last to be collected.
const LAST_REPORTS: Duration = Duration::from_millis(200);

/// What collects.
pub(super) struct Telling {
    /// What this node remembers.
    pub(super) journal: Arc<Journal>,
    /// None once its end was noticed.
    collector: Option<JoinHandle<()>>,
    stop: CancellationToken,
    export: Option<Export>,
}

impl Telling {
    /// Starts to collect, and to send where a collector is configured.
    pub(super) fn start(
        config: &Config,
        name: &str,
        node: NodeId,
        status: Asker<Status>,
    ) -> anyhow::Result<(Telemetry, Telling)> {
        let first = u64::try_from(clock::unix_time().as_micros()).unwrap_or(0);
        let journal = Arc::new(Journal::new(name, first));
        let (exporter, export) = otlp::start(&config.telemetry, name, status)?;
        let (telemetry, reports) = Telemetry::new();
        let stop = CancellationToken::new();
        let collect = telemetry::collect(node, Arc::clone(&journal), exporter, reports, stop.clone());
        Ok((telemetry, Telling { journal, collector: Some(tokio::spawn(collect)), stop, export }))
    }

    /// Waits for the end of what never ends by itself.
    pub(super) async fn died(&mut self) -> anyhow::Error {
        let Some(collector) = &mut self.collector else { return pending().await };
        let ended = collector.await;
        self.collector = None;
        match ended {
            Ok(()) => anyhow!("who collects telemetry ended by itself"),
            Err(error) => anyhow!(error).context("who collects telemetry died"),
        }
    }

    /// Sends what is left, with a deadline.
    pub(super) async fn finish(self) {
        self.stop.cancel();
        // It waits for nothing; what it holds goes to the exporter.
        if let Some(collector) = self.collector {
            let _ = timeout(LAST_REPORTS, collector).await;
        }
        if let Some(export) = self.export {
            export.finish().await;
        }
    }
}

#[cfg(test)]
mod tests;
