//! Decisions as log lines. One decision is one line; fields carry the field's standard words.

use mesh_core::Decision;
use mesh_core::decision::RouterEvent;

/// Tells a decision.
pub fn record(decision: &Decision) {
    match decision {
        Decision::Router { name, key, event, cause, trace_id } => router(name, key.vrid, event, cause, trace_id),
        Decision::Peer { node, name, event } => tracing::info!(peer = %name, node = %node, "peer {name} {event}"),
        Decision::Roster { epoch, voters } => {
            tracing::info!(roster_epoch = epoch, voters = voters.join(","), "roster {epoch}: {} voters", voters.len());
        }
        Decision::Script { name, up: true, cause } => tracing::info!(script = %name, "script {name} is up: {cause}"),
        Decision::Script { name, up: false, cause } => tracing::warn!(script = %name, "script {name} is down: {cause}"),
        Decision::Repaired { what } => tracing::warn!("repaired: {what}"),
        Decision::Warning { text } => tracing::warn!("{text}"),
        Decision::Dropped { from, reason, count } => tracing::warn!(from = %from, count, "dropped: {reason}"),
    }
}

fn router(name: &str, vrid: u8, event: &RouterEvent, cause: &str, trace_id: &str) {
    match event {
        RouterEvent::Active { epoch, voters } if voters.is_empty() => {
            tracing::info!(vrid, epoch, cause, trace_id, "{name}: ACTIVE");
        }
        RouterEvent::Active { epoch, voters } => {
            tracing::info!(
                vrid,
                epoch,
                cause,
                voters = voters.join(","),
                trace_id,
                "{name}: ACTIVE, granted by a majority"
            );
        }
        RouterEvent::Unprotected => {
            tracing::warn!(vrid, cause, trace_id, "{name}: UNPROTECTED, serves without a lease");
        }
        RouterEvent::Protected { epoch, voters } => {
            tracing::info!(
                vrid,
                epoch,
                cause,
                voters = voters.join(","),
                trace_id,
                "{name}: protected by a lease again"
            );
        }
        RouterEvent::Backup => tracing::info!(vrid, cause, trace_id, "{name}: BACKUP"),
        RouterEvent::Fault => tracing::warn!(vrid, cause, trace_id, "{name}: FAULT"),
        RouterEvent::Vetoed { by } => {
            tracing::warn!(vrid, cause, by = by.join(","), trace_id, "{name}: takeover vetoed");
        }
    }
}
