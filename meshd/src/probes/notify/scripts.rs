//! Notify scripts, one after the other for each key.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use mesh_config::model::{Script, ScriptSecurity};
use mesh_core::Instant;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

use crate::clock;
use crate::probes::process::{Group, Programs};
use crate::telemetry::{ScriptRun, Telemetry};

/// Waiting per key. What comes later is more to the point than what came before.
pub(super) const MOST_WAITING: usize = 32;
/// At the same time, over all keys: a rack that fails does not start a thousand programs.
pub(super) const MOST_RUNNING: usize = 64;
/// For one script; then it is ended, and the next of its key has its turn.
const LIMIT: Duration = Duration::from_secs(300);

/// All keys.
#[derive(Debug)]
pub(super) struct Queues {
    shared: Arc<Shared>,
    programs: Arc<Programs>,
    _ended_when_dropped: DropGuard,
}

#[derive(Debug)]
struct Shared {
    /// Scripts waiting, by key; a key is there while a task works on it.
    waiting: Mutex<BTreeMap<String, VecDeque<Job>>>,
    /// How many keys are.
    busy: watch::Sender<usize>,
    running: Semaphore,
    dropped: AtomicU64,
    telemetry: Option<Telemetry>,
    ended: CancellationToken,
    /// What runs goes on without the daemon.
    left: AtomicBool,
    limit: Duration,
}

/// A script, and whom it runs as.
#[derive(Debug)]
struct Job {
    script: Script,
    programs: Arc<Programs>,
    /// When it was asked for.
    told: Instant,
    /// The addresses of the virtual server it is about.
    vips: Vec<IpAddr>,
}

impl Queues {
    /// How scripts end is told there.
    pub(super) fn new(security: ScriptSecurity, telemetry: Option<Telemetry>) -> Queues {
        Queues::with_limit(security, telemetry, LIMIT)
    }

    pub(super) fn with_limit(security: ScriptSecurity, telemetry: Option<Telemetry>, limit: Duration) -> Queues {
        let ended = CancellationToken::new();
        let shared = Shared {
            waiting: Mutex::default(),
            busy: watch::Sender::new(0),
            running: Semaphore::new(MOST_RUNNING),
            dropped: AtomicU64::new(0),
            telemetry,
            ended: ended.clone(),
            left: AtomicBool::new(false),
            limit,
        };
        let programs = Arc::new(Programs::new(security));
        Queues { shared: Arc::new(shared), programs, _ended_when_dropped: ended.drop_guard() }
    }

    pub(super) fn set(&mut self, security: ScriptSecurity) {
        self.programs = Arc::new(Programs::new(security));
    }

    /// Runs a script after those of the same key that were asked for before it, and never beside one of them. Too many
    /// that wait push out the oldest. The addresses are those of the virtual server it is about, where it is about one.
    pub(super) fn run(&self, key: String, script: Script, vips: Vec<IpAddr>) {
        let job = Job { script, programs: Arc::clone(&self.programs), told: clock::now(), vips };
        let mut waiting = self.shared.waiting();
        if let Some(queue) = waiting.get_mut(&key) {
            if queue.len() == MOST_WAITING
                && let Some(oldest) = queue.pop_front()
            {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
                warn!(
                    key,
                    script = oldest.script.command.join(" "),
                    "notify script is not run: too many wait behind it"
                );
            }
            queue.push_back(job);
            return;
        }
        waiting.insert(key.clone(), VecDeque::new());
        self.shared.busy.send_replace(waiting.len());
        drop(waiting);
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move { shared.work(&key, job).await });
    }

    pub(super) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// What runs goes on without the daemon; what waits is not run.
    pub(super) fn leave(&self) {
        self.shared.left.store(true, Ordering::Relaxed);
    }

    pub(super) async fn idle(&self) {
        // Its sender is ours, and does not end before.
        let _ = self.shared.busy.subscribe().wait_for(|busy| *busy == 0).await;
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<String, VecDeque<Job>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the script and those that come to wait behind it.
    async fn work(&self, key: &str, first: Job) {
        let mut next = Some(first);
        while let Some(job) = next {
            // A key whose task died would wait for ever.
            if AssertUnwindSafe(self.one(key, &job)).catch_unwind().await.is_err() {
                warn!(key, "running a notify script failed");
            }
            let mut waiting = self.waiting();
            next = waiting.get_mut(key).and_then(VecDeque::pop_front);
            if next.is_none() {
                waiting.remove(key);
                self.busy.send_replace(waiting.len());
            }
        }
    }

    async fn one(&self, key: &str, job: &Job) {
        let command = job.script.command.join(" ");
        let _permit = self.running.acquire().await;
        if self.ended.is_cancelled() {
            return;
        }
        let begun = clock::now();
        let Some(ended) = self.run(key, job, &command).await else { return };
        if let Some(telemetry) = &self.telemetry {
            let (key, vips) = (key.to_owned(), job.vips.clone());
            telemetry.script_ended(ScriptRun { key, vips, command, told: job.told, begun, ended });
        }
    }

    /// The exit code, or why there is none; nothing at the end of the daemon.
    async fn run(&self, key: &str, job: &Job, command: &str) -> Option<Result<i32, String>> {
        let mut running = match job.programs.start(&job.script).await {
            Ok(group) => Running { group: Some(group), left: &self.left },
            Err(why) => {
                warn!(key, script = command, "notify script cannot be started: {why}");
                return Some(Err(why));
            }
        };
        let group = running.group.as_mut()?;
        let ended = tokio::select! {
            ended = timeout(self.limit, group.wait()) => ended,
            () = self.ended.cancelled() => {
                group.end().await;
                return None;
            }
        };
        Some(match ended {
            Ok(Ok(status)) => {
                if !status.success() {
                    warn!(key, script = command, "notify script failed: {status}");
                }
                status.code().ok_or_else(|| status.to_string())
            }
            Ok(Err(error)) => {
                warn!(key, script = command, "notify script: {error}");
                Err(error.to_string())
            }
            Err(_) => {
                warn!(key, script = command, "notify script is ended: it runs for more than {:?}", self.limit);
                group.end().await;
                Err(format!("ended after {:?}", self.limit))
            }
        })
    }
}

/// A script that is ended when this is dropped, unless it is to go on.
struct Running<'s> {
    group: Option<Group>,
    left: &'s AtomicBool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.left.load(Ordering::Relaxed)
            && let Some(group) = self.group.take()
        {
            group.leave();
        }
    }
}
