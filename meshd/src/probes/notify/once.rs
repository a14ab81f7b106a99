//! The scripts of the start and the end: waited for, with a limit.

use std::time::Duration;

use mesh_config::model::{Script, ScriptSecurity};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::probes::process::Programs;

/// Runs a script to its end, or to that of its time. `what` is how the log calls it.
pub async fn run(what: &str, script: &Script, security: &ScriptSecurity, limit: Duration) {
    let name = script.command.join(" ");
    let mut group = match Programs::new(security.clone()).start(script).await {
        Ok(group) => group,
        Err(why) => return warn!(script = name, "the {what} script cannot be started: {why}"),
    };
    match timeout(limit, group.wait()).await {
        Ok(Ok(status)) if status.success() => info!(script = name, "the {what} script has run"),
        Ok(Ok(status)) => warn!(script = name, "the {what} script failed: {status}"),
        Ok(Err(error)) => warn!(script = name, "the {what} script: {error}"),
        Err(_) => {
            warn!(script = name, "the {what} script is ended: it runs for more than {limit:?}");
            group.end().await;
        }
    }
}
