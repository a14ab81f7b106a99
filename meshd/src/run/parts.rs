//! What a running daemon is made of: whatever of it dies is noticed, and all of it ends in order.

use std::time::Duration;

use anyhow::{Context, bail};
use mesh_core::Input;
use nix::unistd::getppid;
use tokio::sync::oneshot::error::RecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::reloading::Reloading;
use super::telling::Telling;
use crate::bfd::BfdThread;
use crate::control::{Command, Reload};
use crate::dump::Wanted;
use crate::mesh::MeshHandle;
use crate::probes::notify::teller::NotifyThread;
use crate::services::ServicesThread;
use crate::signals::Signals;
use crate::threads::{Ended, MeshThread};

/// Between SIGTERM and a forced end.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// How long a control request under way may take then.
const LAST_ANSWER: Duration = Duration::from_millis(100);

/// What ends the daemon when it ends.
pub(super) struct Parts {
    pub(super) director: Ended,
    pub(super) server: JoinHandle<anyhow::Result<()>>,
    pub(super) runner: JoinHandle<()>,
    pub(super) tracker: JoinHandle<anyhow::Result<()>>,
    /// None on a node that is no director.
    pub(super) services: Option<ServicesThread>,
    /// None there, too.
    pub(super) notify: Option<NotifyThread>,
    pub(super) bfd: Option<BfdThread>,
    pub(super) mesh: Option<MeshThread>,
    pub(super) real_server: Option<ServerThread>,
    /// The guard's process id, where there is one.
    pub(super) guard: Option<u32>,
}

impl Parts {
    /// Waits for the end: a signal that asks for it, or a part that died. Reloads meanwhile.
    pub(super) async fn watch(
        &mut self,
        signals: &mut Signals,
        reloading: &mut Reloading<'_>,
        (commands, reloads): (&mut mpsc::Receiver<Command>, &mut mpsc::Receiver<Reload>),
        told: &mut Telling,
    ) -> anyhow::Result<Command> {
        let Signals { terminate, interrupt, hangup, dump_data, dump_stats, dump_json, clear_stats } = signals;
        let Parts { director, server, runner, tracker, services, notify, bfd, mesh, real_server, guard } = self;
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(stop_by(terminated_by(*guard))),
                _ = interrupt.recv() => return Ok(stop_by("SIGINT".to_owned())),
                Some(command) = commands.recv() => return Ok(command),
                _ = hangup.recv() => drop(reloading.reload(services.as_ref(), bfd.as_ref()).await),
                Some(asked) = reloads.recv() => {
                    // Who asked may have given up waiting; it is in the log, too.
                    let _ = asked.send(reloading.reload(services.as_ref(), bfd.as_ref()).await);
                }
                () = reloading.due() => reloading.reload_in_time(services.as_ref(), bfd.as_ref()).await,
                _ = dump_data.recv() => reloading.dump(Wanted::Data),
                _ = dump_stats.recv() => reloading.dump(Wanted::Stats),
                _ = dump_json.recv() => reloading.dump(Wanted::Json),
                _ = clear_stats.recv() => reloading.dump(Wanted::StatsClear),
                ended = &mut *director => {
                    ended.context("the engine's thread died")??;
                    bail!("the engine ended by itself");
                }
                ended = &mut *server => {
                    ended.context("the control server died")??;
                    bail!("the control server ended by itself");
                }
                ended = &mut *tracker => {
                    ended.context("who looks at tracked files and processes died")??;
                    bail!("who looks at tracked files and processes ended by itself");
                }
                ended = &mut *runner => {
                    ended.context("the runner of tracked scripts died")?;
                    bail!("the runner of tracked scripts ended by itself");
                }
                ended = end_of(services.as_mut().map(|part| &mut part.ended)) => {
                    ended.context("the thread of the services died")??;
                    bail!("the services ended by themselves");
                }
                ended = end_of(notify.as_mut().map(|part| &mut part.ended)) => {
                    ended.context("the thread of the notifications died")??;
                    bail!("the thread of the notifications ended by itself");
                }
                ended = end_of(bfd.as_mut().map(|part| &mut part.ended)) => {
                    ended.context("the thread of the BFD sessions died")??;
                    bail!("the BFD sessions ended by themselves");
                }
                error = told.died() => return Err(error),
                error = mesh_failure(mesh.as_mut()) => return Err(error.context("the mesh died")),
                ended = end_of(real_server.as_mut().map(|part| &mut part.ended)) => {
                    ended.context("the thread that looks after this host died")??;
                    bail!("the thread that looks after this host ended by itself");
                }
            }
        }
    }

    /// Ends what is left, one after another in the order in which they need each other. `inputs` is where the engine
    /// hears, `stopped` where it says that all is handed over.
    ///
    /// # Errors
    ///
    /// The engine did not hand over: whoever acts in the daemon's place has to.
    pub(super) async fn end(
        mut self,
        asked: &anyhow::Result<Command>,
        (inputs, stopped): (&mpsc::Sender<Input>, oneshot::Receiver<()>),
        mesh: Option<&MeshHandle>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let keep = matches!(asked, Ok(Command::Keep | Command::Upgrade));
        if let (Some(real_server), Ok(Command::Stop)) = (self.real_server, asked) {
            // While the engine still votes: the addresses are gone before it is.
            real_server.leave().await;
        }
        let handed_over = hand_over(inputs, keep, stopped).await;
        // After the addresses: what they still send here is forwarded to the last.
        if let Some(services) = self.services {
            services.stop(keep || asked.is_err()).await;
        }
        if let (Some(bfd), false) = (self.bfd, keep) {
            bfd.stop().await;
        }
        if let Some(mesh) = mesh {
            mesh.close(!keep).await;
        }
        if let Some(notify) = self.notify {
            // A daemon that ends for a failure makes room for its next run.
            notify.end(keep || asked.is_err()).await;
        }
        stop.cancel();
        if asked.is_ok() {
            // Whoever asked by the socket gets an answer.
            let _ = tokio::time::timeout(LAST_ANSWER, &mut self.server).await;
        }
        handed_over
    }
}

/// The thread of a real server.
pub(super) struct ServerThread {
    pub(super) leave: oneshot::Sender<()>,
    pub(super) ended: Ended,
}

impl ServerThread {
    /// Has everything undone.
    async fn leave(self) {
        // Where it is dead already nobody takes this.
        let _ = self.leave.send(());
        if tokio::time::timeout(STOP_DEADLINE, self.ended).await.is_err() {
            tracing::error!(
                "not everything on this host was put back within {STOP_DEADLINE:?}; the next run tries again"
            );
        }
    }
}

/// A stop, and in the log who wants it.
fn stop_by(who: String) -> Command {
    tracing::info!("asked to stop by {who}");
    Command::Stop
}

/// The kernel sends SIGTERM, too: where the guard died ([`crate::guard::attach`]).
fn terminated_by(guard: Option<u32>) -> String {
    let parent = getppid().as_raw();
    match guard {
        Some(guard) if i32::try_from(guard) != Ok(parent) => format!("the death of its guard, process {guard}"),
        _ => "SIGTERM".to_owned(),
    }
}

/// The end of a part; one that is not there does not end.
async fn end_of(part: Option<&mut Ended>) -> Result<anyhow::Result<()>, RecvError> {
    match part {
        Some(ended) => ended.await,
        None => std::future::pending().await,
    }
}

async fn mesh_failure(mesh: Option<&mut MeshThread>) -> anyhow::Error {
    let Some(MeshThread { handle, ended, .. }) = mesh else { return std::future::pending().await };
    tokio::select! {
        error = handle.failed() => error,
        ended = ended => match ended {
            Ok(Err(error)) => error,
            Ok(Ok(())) => anyhow::anyhow!("its thread ended by itself"),
            Err(_) => anyhow::anyhow!("its thread died"),
        },
    }
}

/// Has the engine hand everything over, or leave it to the next run, if it lives.
async fn hand_over(inputs: &mpsc::Sender<Input>, keep: bool, stopped: oneshot::Receiver<()>) -> anyhow::Result<()> {
    let (what, input) =
        if keep { ("leaving all to the next run", Input::Keep) } else { ("handing over", Input::Shutdown) };
    tracing::info!("stopping: {what}");
    let handed_over = async {
        // An engine that hangs takes nothing. One that is dead cannot answer; its sender is gone, and nothing is
        // waited for.
        let _ = inputs.send(input).await;
        stopped.await
    };
    match tokio::time::timeout(STOP_DEADLINE, handed_over).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => bail!("the engine died before it had handed over"),
        Err(_) => bail!("the engine did not hand over within {STOP_DEADLINE:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_that_died_is_not_taken_for_a_signal_of_somebody() {
        let parent = u32::try_from(getppid().as_raw()).unwrap();
        assert_eq!(terminated_by(None), "SIGTERM");
        assert_eq!(terminated_by(Some(parent)), "SIGTERM");
        let own = std::process::id();
        assert_eq!(terminated_by(Some(own)), format!("the death of its guard, process {own}"));
    }
}
