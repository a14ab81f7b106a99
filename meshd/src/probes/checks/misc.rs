//! MISC_CHECK: runs a program, and its exit status is the answer.
//!
//! How it is started, as whom, and what script security forbids: `process`. What it writes goes
//! nowhere. One that takes too long has failed at that moment; its process group is ended afterwards.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use mesh_config::model::Script;
use mesh_core::services::input::Outcome;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Ended, words};
use crate::probes::process::Programs;

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
