//! Ends the daemon, and waits until it has ended: whoever stops or replaces it can go on then.

use std::fs;
use std::time::Duration;

use mesh_control::{StopReply, StopRequest};
use tokio::time::{Instant, sleep};

use crate::client::{Client, Failure};
use crate::show;

/// A handover takes milliseconds, a daemon that cannot reach its voters a little longer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Has the daemon hand over, or leave all to its next run.
pub(crate) async fn stop(client: &Client, keep: bool) -> Result<(), Failure> {
    let reply: StopReply = show::read(client.post("/stop", &StopRequest { keep }).await?)?;
    ended(&reply.pids).await
}

/// Has the guard start the program on disk in the daemon's place; tells its process id.
pub(crate) async fn upgrade(client: &Client) -> Result<u32, Failure> {
    let reply: StopReply = show::read(client.post("/upgrade", &serde_json::json!({})).await?)?;
    ended(&reply.pids).await?;
    let until = Instant::now() + PATIENCE;
    loop {
        let status = client.get("/status").await;
        match status.and_then(|status| Ok(show::read::<mesh_control::Status>(status)?)) {
            Ok(status) => return Ok(status.guard.map_or(0, |guard| guard.daemon_pid)),
            Err(Failure::NoDaemon { .. }) if Instant::now() < until => sleep(LOOK).await,
            Err(failure) => return Err(failure),
        }
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
