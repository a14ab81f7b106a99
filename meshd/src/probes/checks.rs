//! Health checks of real servers: one run asks once and gives one answer. When to ask, how often to ask again and
//! what follows from the answers is the core's.
//!
//! - [`Checkers::start`] never waits. Every run is a task of its own and ends within the timeouts of its check; the
//!   answer is an [`Input::Checked`], also where the task panics, and it waits for room in the channel.
//! - Each wait of a run takes at most `connect_timeout`, and the whole run at most five times that (`patience`):
//!   a server that sends a byte a second holds nothing for ever.
//! - At most [`MOST_RUNS`] are under way; more fail at once and say so.
//! - Dropping [`Checkers`] ends the programs of MISC_CHECK. All other runs end by themselves.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use mesh_config::model::{Check, CheckKind, ScriptSecurity, Tls};
use mesh_core::services::Input;
use mesh_core::services::input::{CheckRun, Outcome};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use complaints::{complaints, tls_complaint};
pub use latency::latency;

use super::process::{Group, Programs};
use crate::clock;

mod complaints;
mod dns;
mod http;
mod latency;
mod misc;
mod patience;
mod ping;
mod random;
mod regex;
mod smtp;
mod socket;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;
mod udp;
mod words;

/// Runs under way at the same time: each needs a descriptor, and a host that has to ask more than this at once has
/// another problem.
pub const MOST_RUNS: usize = 16_384;

/// What all checks have in common.
#[derive(Clone, Debug, Default)]
pub struct CheckerSettings {
    /// `SSL`: for SSL_GET.
    pub tls: Tls,
    /// `script_user` and `enable_script_security`: for MISC_CHECK.
    pub scripts: ScriptSecurity,
}

/// Starts checks. Needs a tokio runtime with time and I/O; its threads do all of the work but regular expressions,
/// which go to the runtime's blocking threads.
#[derive(Debug)]
pub struct Checkers {
    results: mpsc::Sender<Input>,
    slots: Arc<Semaphore>,
    tools: Arc<Tools>,
    gone: CancellationToken,
    _gone_when_dropped: DropGuard,
}

/// What runs share.
#[derive(Debug)]
struct Tools {
    tls: tls::Client,
    programs: Programs,
    patterns: regex::Cache,
}

/// How a run ended, and what is left to be ended after the answer.
struct Ended {
    outcome: Outcome,
    rest: Option<Group>,
}

impl Checkers {
    /// Reads the files that `SSL` names; where that fails, each SSL_GET fails and says why.
    pub fn new(settings: CheckerSettings, results: mpsc::Sender<Input>) -> Checkers {
        let gone = CancellationToken::new();
        Checkers {
            results,
            slots: Arc::new(Semaphore::new(MOST_RUNS)),
            tools: Arc::new(Tools::new(settings)),
            _gone_when_dropped: gone.clone().drop_guard(),
            gone,
        }
    }

    /// For runs that start from now on. Reads the files again.
    pub fn set(&mut self, settings: CheckerSettings) {
        self.tools = Arc::new(Tools::new(settings));
    }

    /// Starts a run; the answer goes to the channel.
    pub fn start(&self, run: CheckRun, check: Arc<Check>, step: usize) {
        let results = self.results.clone();
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            let outcome = Outcome::Failure(format!("{MOST_RUNS} checks are under way already"));
            answer_later(results, Input::Checked { run, outcome });
            return;
        };
        let (tools, gone) = (Arc::clone(&self.tools), self.gone.clone());
        tokio::spawn(async move {
            let _slot = slot;
            carry(run, results, once(&tools, &gone, &check, step)).await;
        });
    }
}

/// Carries a run out, and its answer to the core.
async fn carry(run: CheckRun, results: mpsc::Sender<Input>, run_once: impl Future<Output = Ended>) {
    let begin = clock::now();
    let ended = AssertUnwindSafe(run_once).catch_unwind().await;
    latency::note(clock::now().since(begin));
    let Ended { outcome, rest } = ended.unwrap_or_else(|_| Ended::failed("the checker itself failed"));
    let tell = results.send(Input::Checked { run, outcome });
    // A send fails when nobody listens any more, and then nobody misses the answer.
    match rest {
        None => drop(tell.await),
        Some(mut group) => drop(tokio::join!(tell, group.end())),
    }
}

/// The channel is mostly not full, and then this costs nothing.
fn answer_later(results: mpsc::Sender<Input>, input: Input) {
    if let Err(mpsc::error::TrySendError::Full(input)) = results.try_send(input) {
        tokio::spawn(async move { results.send(input).await });
    }
}

async fn once(tools: &Tools, gone: &CancellationToken, check: &Check, step: usize) -> Ended {
    let connect = &check.connect;
    // Boxed, so that a task is not as big as the biggest kind of check.
    let verdict = match &check.kind {
        CheckKind::Tcp => tcp::check(connect).await,
        CheckKind::Http(http) => Box::pin(http::check(tools, connect, http, step)).await,
        CheckKind::Smtp { helo_name, hosts } => Box::pin(smtp::check(helo_name.as_deref(), hosts, step)).await,
        CheckKind::Dns { record, name } => Box::pin(dns::check(connect, record, name)).await,
        CheckKind::Ping => Box::pin(ping::check(connect)).await,
        CheckKind::Udp { payload, reply } => Box::pin(udp::check(connect, payload.as_deref(), reply.as_ref())).await,
        CheckKind::Misc { script, timeout, dynamic } => {
            return Box::pin(misc::check(&tools.programs, gone, script, *timeout, *dynamic)).await;
        }
        CheckKind::File { .. } => Err("FILE_CHECK is decided by its file, and not run".to_owned()),
        CheckKind::Bfd { .. } => Err("BFD_CHECK is decided by its session, and not run".to_owned()),
    };
    verdict.into()
}

impl Tools {
    fn new(settings: CheckerSettings) -> Tools {
        let CheckerSettings { tls, scripts } = settings;
        Tools { tls: tls::Client::new(&tls), programs: Programs::new(scripts), patterns: regex::Cache::default() }
    }
}

impl Ended {
    fn failed(why: impl Into<String>) -> Ended {
        Ended { outcome: Outcome::Failure(why.into()), rest: None }
    }
}

impl From<Result<(), String>> for Ended {
    fn from(verdict: Result<(), String>) -> Ended {
        Ended { outcome: verdict.map_or_else(Outcome::Failure, |()| Outcome::Success), rest: None }
    }
}
