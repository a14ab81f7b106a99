//! The scripts of the start and the end: each runs once between a start and the orderly stop that follows it, however
//! often the daemon dies, is upgraded or leaves everything to its next run in between.

use std::fs;
use std::path::{Path, PathBuf};

use mesh_config::model::Config;

use crate::probes::notify::once;
use crate::signals::Signals;

/// From the first start after a stop, or after the host's, to the next stop.
pub(super) struct Life {
    /// There while it lasts.
    mark: PathBuf,
}

impl Life {
    pub(super) fn new(runtime_dir: &Path) -> Life {
        Life { mark: runtime_dir.join("started") }
    }

    /// Runs the script of the start, where this is one; false when the daemon is to end already.
    pub(super) async fn begin(&self, config: &Config, signals: &mut Signals) -> bool {
        if self.mark.exists() {
            return true;
        }
        if let Some(script) = &config.notify.startup {
            let Signals { terminate, interrupt, .. } = signals;
            tokio::select! {
                () = once::run("startup", script, &config.scripts, config.notify.startup_timeout) => {}
                _ = terminate.recv() => return false,
                _ = interrupt.recv() => return false,
            }
        }
        if let Err(error) = fs::write(&self.mark, "") {
            tracing::warn!(%error, "the next run will take itself for the first: {}", self.mark.display());
        }
        true
    }

    /// Runs the script of the end.
    pub(super) async fn end(&self, config: &Config) {
        // Where it is not there, the start could not write it.
        let _ = fs::remove_file(&self.mark);
        if let Some(script) = &config.notify.shutdown {
            once::run("shutdown", script, &config.scripts, config.notify.shutdown_timeout).await;
        }
    }
}

#[cfg(test)]
mod tests;
