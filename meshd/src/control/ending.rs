//! What ends the daemon when meshctl asks for it.

use std::process::Stdio;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use mesh_control::{StopReply, StopRequest};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::info;

use super::{Refused, Shared, refuse};
use crate::compat::as_meshd;
use crate::guard::Link;
use crate::run::NextRun;

/// How long the program on disk may take to tell its version.
const TRIAL: Duration = Duration::from_secs(3);

/// What somebody wants of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Hand everything over and end.
    Stop,
    /// Leave everything to the next run and end.
    Keep,
    /// The same, and the guard starts the next run.
    Upgrade,
}

/// The way to end the daemon.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Where commands go; the first one counts.
    pub commands: mpsc::Sender<Command>,
    /// The guard, where there is one.
    pub guard: Option<Link>,
    /// What a next run finds.
    pub next: NextRun,
}

impl Ending {
    fn ask(&self, command: Command) -> Result<(), Refused> {
        info!(?command, "asked by meshctl");
        self.commands.try_send(command).map_err(|_| refuse(StatusCode::CONFLICT, "meshd is stopping already"))
    }

    /// Whoever leaves everything to a next run has one.
    async fn rehearse(&self) -> Result<(), Refused> {
        let program = self.guard.as_ref().map(|guard| guard.program.as_path());
        let checked = self.next.clone().check(program).await;
        checked.map_err(|error| refuse(StatusCode::CONFLICT, format!("{error:#}")))
    }
}

pub(super) async fn stop(
    State(shared): State<Shared>,
    request: Result<Json<StopRequest>, JsonRejection>,
) -> Result<Json<StopReply>, Refused> {
    let Json(request) = request.map_err(|bad| refuse(bad.status(), bad.body_text()))?;
    let ending = &shared.state.ending;
    if request.keep {
        ending.rehearse().await?;
    }
    ending.ask(if request.keep { Command::Keep } else { Command::Stop })?;
    let pids = [std::process::id()].into_iter().chain(ending.guard.as_ref().map(|guard| guard.pid));
    Ok(Json(StopReply { pids: pids.collect() }))
}

/// The new program has to start at all, and to take the configuration on disk: what else is wrong with it shows when
/// it runs, and then the guard takes over.
pub(super) async fn upgrade(State(shared): State<Shared>) -> Result<Json<StopReply>, Refused> {
    let ending = &shared.state.ending;
    let Some(guard) = &ending.guard else {
        let error = refuse(StatusCode::CONFLICT, "this meshd runs without a guard that could start another");
        return Err(error.hint("meshctl stop --keep, then start it again at once"));
    };
    let mut trial = tokio::process::Command::from(as_meshd(&guard.program));
    trial.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let failed = |why: &dyn std::fmt::Display| {
        let error = format!("{} does not work, so nothing was changed: {why}", guard.program.display());
        refuse(StatusCode::CONFLICT, error).hint("install it again, for this machine")
    };
    let ended = timeout(TRIAL, trial.status()).await.map_err(|_| failed(&"it does not tell its version"))?;
    let ended = ended.map_err(|error| failed(&error))?;
    if !ended.success() {
        return Err(failed(&ended));
    }
    ending.rehearse().await?;
    ending.ask(Command::Upgrade)?;
    Ok(Json(StopReply { pids: vec![std::process::id()] }))
}
