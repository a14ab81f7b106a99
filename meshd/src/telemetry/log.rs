//! Decisions as log lines. One decision is one line; fields carry the field's standard words.

use mesh_config::report::plural;
use mesh_core::decision::{GroupState, MoveEvent, RouterEvent};
use mesh_core::{Decision, bfd, services};

use super::event::{listed, weighed};

/// Tells a decision.
pub(super) fn record(decision: &Decision) {
    match decision {
        Decision::Router { name, key, event, cause, trace_id } => router(name, key.vrid, event, cause, trace_id),
        Decision::Peer { node, name, event } => tracing::info!(peer = %name, node = %node, "peer {name} {event}"),
        Decision::Roster { epoch, voters } => {
            tracing::info!(
                roster_epoch = epoch,
                voters = voters.join(","),
                "roster {epoch}: {}",
                plural(voters.len(), "voter")
            );
        }
        Decision::Script { name, up: true, cause } => tracing::info!(script = %name, "script {name} is up: {cause}"),
        Decision::Script { name, up: false, cause } => tracing::warn!(script = %name, "script {name} is down: {cause}"),
        Decision::Held { name, key, lasts, cause } => {
            tracing::warn!(vrid = key.vrid, cause, "{name}: held back for {lasts:?}");
        }
        Decision::Weighed { name, key, priority, because } => {
            let text = weighed(name, *priority, because.as_deref());
            match because {
                Some(_) => tracing::warn!(vrid = key.vrid, "{text}"),
                None => tracing::info!(vrid = key.vrid, "{text}"),
            }
        }
        Decision::Move { name, key, from, to, event, cause } => {
            let vrid = key.vrid;
            match event {
                MoveEvent::Begun => tracing::info!(vrid, cause, "{name}: moves from {from} to {to}"),
                MoveEvent::Done => tracing::info!(vrid, cause, "{name}: moved from {from} to {to}"),
                MoveEvent::Failed(why) => tracing::warn!(vrid, cause, "{name}: not moved from {from} to {to}: {why}"),
            }
        }
        Decision::Order { text } => tracing::info!("{text}"),
        Decision::Group { name, state, priority, cause } => {
            tracing::info!(group = %name, priority, cause, "group {name}: {}", group_state(*state).to_uppercase());
        }
        Decision::Drift { node, differences } if differences.is_empty() => {
            tracing::info!(peer = %node, "nothing differs in how {node} is configured any more");
        }
        Decision::Drift { node, differences } => {
            tracing::warn!(peer = %node, "{node} is configured otherwise: {}", listed(differences));
        }
        Decision::Tracked { kind, name, cause } => tracing::info!(%kind, tracked = %name, "{kind} {name} {cause}"),
        Decision::Repaired { what } => tracing::warn!("repaired: {what}"),
        Decision::Warning { text } => tracing::warn!("{text}"),
        Decision::Standing { good: true, text } => tracing::info!("{text}"),
        Decision::Standing { good: false, text } => tracing::warn!("{text}"),
        Decision::Dropped { from, reason, count } => tracing::warn!(from = %from, count, "dropped: {reason}"),
    }
}

/// Tells a decision about services.
pub(super) fn record_services(decision: &services::action::Decision) {
    use services::action::Decision;
    match decision {
        Decision::RealServer { service, address, up: true, cause } => {
            tracing::info!(%service, real_server = %address, "{address} serves {service}: {cause}");
        }
        Decision::RealServer { service, address, up: false, cause } => {
            tracing::warn!(%service, real_server = %address, "{address} does not serve {service}: {cause}");
        }
        Decision::Quorum { service, gained: true, cause } => {
            tracing::info!(%service, "{service} has its quorum: {cause}")
        }
        Decision::Quorum { service, gained: false, cause } => {
            tracing::warn!(%service, "{service} has lost its quorum: {cause}");
        }
        Decision::Repaired { what } => tracing::warn!("repaired: {what}"),
        Decision::Warning { text } => tracing::warn!("{text}"),
    }
}

pub(super) fn group_state(state: GroupState) -> &'static str {
    match state {
        GroupState::Active => "active",
        GroupState::Backup => "backup",
        GroupState::Fault => "fault",
    }
}

/// Tells a decision about BFD sessions.
pub(crate) fn record_bfd(decision: &bfd::Decision) {
    let bfd::Decision { name, neighbour, down } = decision;
    match down {
        None => tracing::info!(session = %name, %neighbour, "BFD session {name} with {neighbour} is up"),
        Some(why) => tracing::warn!(session = %name, %neighbour, "BFD session {name} with {neighbour} is down: {why}"),
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
