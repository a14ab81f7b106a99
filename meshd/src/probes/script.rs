//! Tracked scripts: one task each, one child process at a time, every outcome an [`Input::Script`].
//!
//! - The first run starts at once, later ones every `interval`; a tick that falls into a run is skipped.
//! - A run that takes longer than `timeout` is reported at that moment. Its whole process group gets SIGTERM
//!   then, and SIGKILL once the script itself is gone, at the latest after 500 ms.
//! - How a script is started, and as whom: `process`.
//! - Nothing outlives [`Scripts`]: dropping it, or a script leaving the set, kills what runs.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use mesh_config::model::{Script, ScriptSecurity, TrackScript};
use mesh_core::Input;
use mesh_core::input::ScriptOutcome;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::process::Programs;

#[cfg(test)]
mod tests;

/// The scripts being tracked.
pub struct Scripts {
    outcomes: mpsc::Sender<Input>,
    security: ScriptSecurity,
    programs: Arc<Programs>,
    running: BTreeMap<String, (TrackScript, AbortOnDropHandle<()>)>,
}

impl Scripts {
    /// None yet. Outcomes wait while the channel is full, and so does the next run of that script.
    pub fn new(outcomes: mpsc::Sender<Input>, security: ScriptSecurity) -> Scripts {
        let programs = Arc::new(Programs::new(security.clone()));
        Scripts { outcomes, security, programs, running: BTreeMap::new() }
    }

    /// Whom scripts run as that do not say so, and what root runs, from the next [`Scripts::set`] on.
    pub fn secure(&mut self, security: ScriptSecurity) {
        if security != self.security {
            // All start afresh.
            self.running.clear();
            self.programs = Arc::new(Programs::new(security.clone()));
            self.security = security;
        }
    }

    /// Tracks these scripts from now on. An unchanged one stays on its schedule, a changed one starts afresh.
    /// Needs a tokio runtime.
    pub fn set(&mut self, scripts: Vec<TrackScript>) {
        let mut before = std::mem::take(&mut self.running);
        for script in scripts {
            let entry = match before.remove(&script.name) {
                Some(same) if same.0 == script => same,
                _ => {
                    let task = Task {
                        program: Script { command: script.command.clone(), user: script.user.clone() },
                        programs: self.programs.clone(),
                        outcomes: self.outcomes.clone(),
                        script: script.clone(),
                        complaint: None,
                    };
                    (script, AbortOnDropHandle::new(tokio::spawn(task.run())))
                }
            };
            self.running.insert(entry.0.name.clone(), entry);
        }
    }
}

/// One script and its schedule.
struct Task {
    script: TrackScript,
    program: Script,
    programs: Arc<Programs>,
    outcomes: mpsc::Sender<Input>,
    /// Why it could not be started last time: logged when it changes.
    complaint: Option<String>,
}

impl Task {
    async fn run(mut self) {
        let mut tick = Instant::now();
        while !self.outcomes.is_closed() {
            sleep_until(tick).await;
            let over = self.once().await;
            tick += self.script.interval * ticks(over.saturating_duration_since(tick), self.script.interval);
        }
    }

    /// One run; when it was over. A run that timed out was over then, however long it took to die.
    async fn once(&mut self) -> Instant {
        let mut group = match self.programs.start(&self.program).await {
            Ok(group) => {
                self.complain(None);
                group
            }
            Err(error) => {
                self.complain(Some(error));
                self.report(ScriptOutcome::NotStarted).await;
                return Instant::now();
            }
        };
        let deadline = Instant::now() + self.script.timeout;
        match timeout_at(deadline, group.wait()).await {
            Ok(status) => {
                let end = Instant::now();
                self.report(status.map_or(ScriptOutcome::NotStarted, outcome)).await;
                end
            }
            Err(_) => {
                tokio::join!(self.report(ScriptOutcome::TimedOut), group.end());
                deadline
            }
        }
    }

    async fn report(&self, outcome: ScriptOutcome) {
        // Nobody listens any more when the daemon stops: `run` sees that and ends.
        let _ = self.outcomes.send(Input::Script { name: self.script.name.clone(), outcome }).await;
    }

    fn complain(&mut self, complaint: Option<String>) {
        if complaint == self.complaint {
            return;
        }
        match &complaint {
            Some(why) => warn!(script = self.script.name, "tracked script cannot be started: {why}"),
            None => info!(script = self.script.name, "tracked script can be started again"),
        }
        self.complaint = complaint;
    }
}

/// How many ticks after the one it started at comes the first that does not fall into a run this long.
fn ticks(run: Duration, interval: Duration) -> u32 {
    let interval = interval.as_nanos().max(1);
    u32::try_from(run.as_nanos().div_ceil(interval)).unwrap_or(u32::MAX).max(1)
}

fn outcome(status: ExitStatus) -> ScriptOutcome {
    match (status.code(), status.signal()) {
        (Some(0), _) => ScriptOutcome::Success,
        (Some(code), _) => ScriptOutcome::Exit(code),
        (None, signal) => ScriptOutcome::Signal(signal.unwrap_or_default()),
    }
}
