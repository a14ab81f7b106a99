//! Decisions as events.

use mesh_config::report::plural;
use mesh_control::story::Event;
use mesh_core::decision::{GroupState, MoveEvent, RouterEvent};
use mesh_core::{Decision, services};

use super::log::group_state;

/// Differences that an event or a log line names.
const LISTED: usize = 8;

/// The event a decision is; node, time and number are left to the journal.
pub(super) fn of(decision: Decision) -> Event {
    match decision {
        Decision::Router { name, event, cause, trace_id, .. } => router(name, event, cause, trace_id),
        Decision::Peer { name, event, .. } => plain("peer", "info", format!("peer {name} {event}"), String::new()),
        Decision::Roster { epoch, voters } => Event {
            text: format!("roster {epoch}: {}", plural(voters.len(), "voter")),
            voters,
            ..plain("roster", "info", String::new(), String::new())
        },
        Decision::Script { name, up, cause } => {
            let state = if up { "up" } else { "down" };
            plain("script", severity(!up), format!("script {name} is {state}"), cause)
        }
        Decision::Held { name, lasts, cause, .. } => Event {
            router: Some(name.clone()),
            ..plain("held", "warning", format!("{name}: held back for {lasts:?}"), cause)
        },
        Decision::Weighed { name, priority, because, .. } => Event {
            router: Some(name.clone()),
            ..plain(
                "priority",
                severity(because.is_some()),
                weighed(&name, priority, because.as_deref()),
                String::new(),
            )
        },
        Decision::Move { name, from, to, event, cause, .. } => {
            let (bad, text) = match event {
                MoveEvent::Begun => (false, format!("{name}: moves from {from} to {to}")),
                MoveEvent::Done => (false, format!("{name}: moved from {from} to {to}")),
                MoveEvent::Failed(why) => (true, format!("{name}: not moved from {from} to {to}: {why}")),
            };
            Event { router: Some(name), ..plain("move", severity(bad), text, cause) }
        }
        Decision::Group { name, state, cause, .. } => {
            let word = group_state(state);
            let bad = state == GroupState::Fault;
            Event {
                state: Some(word.to_owned()),
                ..plain("group", severity(bad), format!("group {name}: {word}"), cause)
            }
        }
        Decision::Drift { node, differences } if differences.is_empty() => {
            plain("drift", "info", format!("nothing differs in how {node} is configured any more"), String::new())
        }
        Decision::Drift { node, differences } => {
            plain("drift", "warning", format!("{node} is configured otherwise"), listed(&differences))
        }
        Decision::Tracked { kind, name, cause } => {
            plain("tracked", "info", format!("{kind} {name} {cause}"), String::new())
        }
        Decision::Order { text } => plain("order", "info", text, String::new()),
        Decision::Repaired { what } => plain("repair", "warning", format!("repaired: {what}"), String::new()),
        Decision::Warning { text } => plain("warning", "warning", text, String::new()),
        Decision::Standing { good, text } => plain("mesh", severity(!good), text, String::new()),
        Decision::Dropped { from, reason, count } => {
            plain("dropped", "warning", format!("dropped {count} from {from}"), reason)
        }
    }
}

/// The event a decision about services is.
pub(super) fn of_services(decision: services::action::Decision) -> Event {
    use services::action::Decision;
    match decision {
        Decision::RealServer { service, address, up, cause } => {
            let serves = if up { "serves" } else { "does not serve" };
            plain("real_server", severity(!up), format!("{address} {serves} {service}"), cause)
        }
        Decision::Quorum { service, gained, cause } => {
            let has = if gained { "has" } else { "has lost" };
            plain("quorum", severity(!gained), format!("{service} {has} its quorum"), cause)
        }
        Decision::Repaired { what } => plain("repair", "warning", format!("repaired: {what}"), String::new()),
        Decision::Warning { text } => plain("warning", "warning", text, String::new()),
    }
}

fn router(name: String, event: RouterEvent, cause: String, trace_id: String) -> Event {
    let (state, bad, voters, text) = match event {
        RouterEvent::Active { voters, .. } => ("active", false, voters, "active"),
        RouterEvent::Protected { voters, .. } => ("protected", false, voters, "protected by a lease again"),
        RouterEvent::Unprotected => ("unprotected", true, Vec::new(), "UNPROTECTED, serves without a lease"),
        RouterEvent::Backup => ("backup", false, Vec::new(), "backup"),
        RouterEvent::Fault => ("fault", true, Vec::new(), "fault"),
        RouterEvent::Vetoed { by } => ("vetoed", true, by, "takeover vetoed"),
    };
    Event {
        text: format!("{name}: {text}"),
        router: Some(name),
        state: Some(state.to_owned()),
        voters,
        trace_id: Some(trace_id),
        ..plain("router", severity(bad), String::new(), cause)
    }
}

/// A priority, and what keeps it low.
pub(super) fn weighed(name: &str, priority: u8, because: Option<&str>) -> String {
    format!("{name}: priority {priority}, {}", because.unwrap_or("nothing lowers it any more"))
}

/// Some lines of many.
pub(super) fn listed(lines: &[String]) -> String {
    let more = lines.len().saturating_sub(LISTED);
    let first = lines.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join("; ");
    if more > 0 { format!("{first}; and {more} more") } else { first }
}

pub(super) fn severity(bad: bool) -> &'static str {
    if bad { "warning" } else { "info" }
}

pub(super) fn plain(kind: &str, severity: &str, text: String, cause: String) -> Event {
    Event {
        at_unix_us: 0,
        at: String::new(),
        seq: 0,
        node: String::new(),
        severity: severity.to_owned(),
        kind: kind.to_owned(),
        router: None,
        state: None,
        text,
        cause,
        voters: Vec::new(),
        trace_id: None,
    }
}
