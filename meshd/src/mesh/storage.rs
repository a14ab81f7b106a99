//! The roster file, written behind the engine's back: it goes on while the disk takes its time.
//!
//! Each state the engine hands over holds all there is to keep, so at most one waits: a later one
//! takes its place, and its confirmation covers both.

use std::sync::Arc;

use anyhow::Context;
use mesh_core::Input;
use mesh_core::action::Effect;
use mesh_core::roster::State;

use super::shared::Shared;

/// Writes what is handed over, until the mesh ends.
pub(super) async fn run(shared: Arc<Shared>) -> anyhow::Result<()> {
    let mut newest = shared.store.subscribe();
    loop {
        tokio::select! {
            changed = newest.changed() => changed?,
            () = shared.closing.cancelled() => return Ok(()),
        }
        let Some((ticket, state)) = newest.borrow_and_update().clone() else { continue };
        let written = write(&shared, state).await;
        let input = match written {
            Ok(()) => Input::RosterStored { ticket },
            Err(error) => Input::Failed { effect: Effect::Roster, error: format!("{error:#}") },
        };
        // The engine is gone only when the daemon ends.
        let _ = shared.inputs.send(input).await;
    }
}

async fn write(shared: &Shared, state: State) -> anyhow::Result<()> {
    let dir = shared.identity.state_dir.clone();
    tokio::task::spawn_blocking(move || dir.write_roster(&state)).await.context("writing broke off")?
}
