//! Tracked scripts: one task each, one child process at a time, every outcome an [`Input::Script`].
//!
//! - The first run starts at once, later ones every `interval`; a tick that falls into a run is skipped.
//! - A run that takes longer than `timeout` is reported at that moment. Its whole process group gets SIGTERM
//!   then, and SIGKILL once the script itself is gone, at the latest after 500 ms.
//! - A script gets a process group of its own, `/dev/null` for input and output, `/` as working directory and
//!   none of the daemon's environment but PATH, LANG, LC_ALL and TZ: `MESHD_TOKEN` is nothing for scripts.
//!   (keepalived hands on its whole environment and its own working directory.)
//! - It runs as its own `user`, else as `script_user`, else as `keepalived_script` where that user exists, else
//!   as root; without supplementary groups. A daemon that is not root runs scripts as itself.
//! - Nothing outlives [`Scripts`]: dropping it, or a script leaving the set, kills what runs.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use mesh_config::model::{ScriptSecurity, TrackScript};
use mesh_core::Input;
use mesh_core::input::ScriptOutcome;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use account::Account;

mod account;
mod security;
#[cfg(test)]
mod tests;

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_millis(500);
/// Variables of the daemon's environment that scripts see.
const KEPT: [&str; 4] = ["PATH", "LANG", "LC_ALL", "TZ"];
/// `PATH` where the daemon has none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The scripts being tracked.
pub struct Scripts {
    outcomes: mpsc::Sender<Input>,
    security: ScriptSecurity,
    running: BTreeMap<String, (TrackScript, AbortOnDropHandle<()>)>,
}

impl Scripts {
    /// None yet. Outcomes wait while the channel is full, and so does the next run of that script.
    pub fn new(outcomes: mpsc::Sender<Input>, security: ScriptSecurity) -> Scripts {
        Scripts { outcomes, security, running: BTreeMap::new() }
    }

    /// Tracks these scripts from now on. An unchanged one stays on its schedule, a changed one starts afresh.
    /// Needs a tokio runtime, and asks the user database.
    pub fn set(&mut self, scripts: Vec<TrackScript>) {
        let mut before = std::mem::take(&mut self.running);
        for script in scripts {
            let entry = match before.remove(&script.name) {
                Some(same) if same.0 == script => same,
                _ => {
                    let task = Task {
                        account: account::of(&script, &self.security),
                        secure: self.security.enable,
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
    account: Result<Account, String>,
    secure: bool,
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
        let mut group = match self.start() {
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
            Ok(outcome) => {
                let end = Instant::now();
                self.report(outcome).await;
                end
            }
            Err(_) => {
                tokio::join!(self.report(ScriptOutcome::TimedOut), group.end());
                deadline
            }
        }
    }

    fn start(&self) -> Result<Group, String> {
        let account = self.account.as_ref().map_err(String::clone)?;
        let (program, arguments) = self.script.command.split_first().ok_or("it has no command")?;
        let mut command = Command::new(program);
        command.env_clear().env("PATH", DEFAULT_PATH);
        command.envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        if let Some(ids) = account.switch {
            // The standard library clears the supplementary groups as it changes the user.
            command.uid(ids.user).gid(ids.group);
        }
        if self.secure && account.is_root() {
            let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
            security::only_root_writes(program, &path)?;
        }
        command.args(arguments).current_dir("/").process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Group::new(command.spawn()).map_err(|error| format!("{program}: {error}"))
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

/// A started script and what it started in turn: a process group, killed when dropped before its end.
struct Group {
    child: Child,
    /// The group's id, until the script has ended.
    id: Option<Pid>,
}

impl Group {
    fn new(child: io::Result<Child>) -> io::Result<Group> {
        let child = child?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Ok(Group { child, id })
    }

    /// Waits for the script itself. What it left in the background is its own affair.
    async fn wait(&mut self) -> ScriptOutcome {
        let status = self.child.wait().await;
        self.id = None;
        status.map_or(ScriptOutcome::NotStarted, outcome)
    }

    /// Ends the script and all that is left of its group.
    async fn end(&mut self) {
        self.signal(Signal::SIGTERM);
        // An error means that it is gone already, which is what is wanted.
        let _ = timeout(GRACE, self.child.wait()).await;
        // The number cannot belong to another group yet: that takes a whole turn of the kernel's counter.
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait().await;
        self.id = None;
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            // ESRCH: all of them have ended.
            let _ = killpg(id, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

fn outcome(status: ExitStatus) -> ScriptOutcome {
    match (status.code(), status.signal()) {
        (Some(0), _) => ScriptOutcome::Success,
        (Some(code), _) => ScriptOutcome::Exit(code),
        (None, signal) => ScriptOutcome::Signal(signal.unwrap_or_default()),
    }
}
