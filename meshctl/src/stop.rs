//! Ends the daemon, and waits until it has ended: whoever stops or replaces it can go on then.

use std::fs;
use std::time::Duration;

use mesh_control::{Status, StopReply, StopRequest};
use tokio::time::{Instant, sleep};

use crate::client::{Client, Failure};
use crate::show;

/// A handover takes milliseconds, a daemon that cannot reach its voters a little longer.
const PATIENCE: Duration = Duration::from_secs(15);
/// The program on disk tells its version and judges the configuration first.
const JUDGES: Duration = Duration::from_secs(15);
/// A daemon that answers finds its peers within this, if they are there.
const SETTLES: Duration = Duration::from_secs(3);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Has the daemon hand over, or leave all to its next run.
pub(crate) async fn stop(client: &Client, keep: bool) -> Result<(), Failure> {
    let reply: StopReply = show::read(client.post_within("/stop", &StopRequest { keep }, JUDGES).await?)?;
    ended(&reply.pids).await
}

/// Has the guard start the program on disk in the daemon's place; tells its process id once it knows its guard and
/// a majority of the voters, or has had time to.
pub(crate) async fn upgrade(client: &Client) -> Result<u32, Failure> {
    let reply: StopReply = show::read(client.post_within("/upgrade", &serde_json::json!({}), JUDGES).await?)?;
    ended(&reply.pids).await?;
    let until = Instant::now() + PATIENCE;
    let mut settles_until = until;
    loop {
        let status = client.get("/status").await;
        match status.and_then(|status| Ok(show::read::<Status>(status)?)) {
            Ok(status) => {
                settles_until = settles_until.min(Instant::now() + SETTLES);
                let guard = status.guard.filter(|guard| guard.daemon_pid != 0);
                let majority = status.cluster.quorum.reachable >= status.cluster.quorum.needed;
                let late = Instant::now() >= settles_until;
                match guard {
                    Some(guard) if majority || late => return Ok(guard.daemon_pid),
                    None if late => {
                        return Err(Failure::NoDaemon {
                            error: "meshd runs again, but its guard does not tell of it".to_owned(),
                            hint: "see its log",
                        });
                    }
                    Some(_) | None => {}
                }
            }
            Err(Failure::NoDaemon { .. }) if Instant::now() < until => {}
            Err(failure) => return Err(failure),
        }
        sleep(LOOK).await;
    }
}

async fn ended(pids: &[u32]) -> Result<(), Failure> {
    let until = Instant::now() + PATIENCE;
    while pids.iter().any(|pid| lives(*pid)) {
        if Instant::now() >= until {
            let error = format!("meshd was told, but has not ended within {} s", PATIENCE.as_secs());
            return Err(Failure::NoDaemon { error, hint: "see its log" });
        }
        sleep(LOOK).await;
    }
    Ok(())
}

/// Not dead, and not merely waiting for its parent to notice.
fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_zombie_is_dead() {
        assert!(lives(std::process::id()));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        ended(&[child.id()]).await.unwrap();
        child.wait().unwrap();
        assert!(!lives(child.id()));
    }
}
