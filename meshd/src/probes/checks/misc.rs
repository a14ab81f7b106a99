//! MISC_CHECK: runs a program, and its exit status is the answer.
//!
//! How it is started, as whom, and what script security forbids: [`crate::probes::process`]. What it writes goes
//! nowhere. One that takes too long has failed at that moment; its process group is ended afterwards.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mesh_config::model::{Script, ScriptSecurity};
use mesh_core::services::input::Outcome;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Ended, words};
use crate::probes::process::{self, Account, Group};

/// User and group by name.
type User = Option<(String, Option<String>)>;

/// Who runs what, and whose programs root runs.
#[derive(Debug)]
pub(super) struct Programs {
    security: ScriptSecurity,
    /// What the user database said; its failures are not kept.
    accounts: Mutex<BTreeMap<User, Account>>,
}

impl Programs {
    pub(super) fn new(security: ScriptSecurity) -> Programs {
        Programs { security, accounts: Mutex::default() }
    }

    /// The user database may be across the network, and starting a program copies the tables of this one: neither
    /// is for the thread that runs all other checks.
    async fn start(&self, script: &Script) -> Result<Group, String> {
        let (script, security) = (script.clone(), self.security.clone());
        let known = self.accounts.lock().unwrap_or_else(PoisonError::into_inner).get(&script.user).copied();
        let user = script.user.clone();
        let started = spawn_blocking(move || {
            let account = known.map_or_else(|| process::account(script.user.as_ref(), &security), Ok)?;
            process::start(&script.command, account, security.enable).map(|group| (account, group))
        });
        let (account, group) = started.await.map_err(|_| "the program was not started".to_owned())??;
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).insert(user, account);
        Ok(group)
    }
}

pub(super) async fn check(
    programs: &Programs,
    gone: &CancellationToken,
    script: &Script,
    limit: Duration,
    dynamic: bool,
) -> Ended {
    let mut group = match programs.start(script).await {
        Ok(group) => group,
        Err(why) => return Ended::failed(why),
    };
    let ended = tokio::select! {
        ended = timeout(limit, group.wait()) => ended,
        () = gone.cancelled() => return Ended { outcome: Outcome::Failure("stopped".to_owned()), rest: Some(group) },
    };
    match ended {
        Ok(Ok(status)) => Ended { outcome: outcome(status, dynamic), rest: None },
        Ok(Err(error)) => Ended::failed(words::error(&error)),
        Err(_) => {
            let outcome = Outcome::Failure(format!("no end in {}", words::seconds(limit)));
            Ended { outcome, rest: Some(group) }
        }
    }
}

fn outcome(status: ExitStatus, dynamic: bool) -> Outcome {
    match status.code().map(u32::try_from) {
        Some(Ok(0)) => Outcome::Success,
        Some(Ok(code @ 2..)) if dynamic => Outcome::Weight(code - 2),
        Some(Ok(code)) => Outcome::Failure(format!("exit status {code}")),
        _ => Outcome::Failure(format!("ended by signal {}", status.signal().unwrap_or_default())),
    }
}
