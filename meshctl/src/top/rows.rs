//! What stands in which pane.

use jiff::Timestamp;
use mesh_control::story::Event;
use mesh_control::{Liveness, Node, Router, Service, Status};

use super::state::{Known, Pane, State};
use crate::pick::{Pick, Sort, is_trouble, is_trouble_node};
use crate::show;

/// Columns, each with its width; the last one has what is left.
pub(super) type Heads = &'static [(&'static str, u16)];

const NODES: Heads = &[("NODE", 12), ("ROLE", 8), ("VOTE", 4), ("LIVENESS", 8), ("RTT", 7), ("SERVES", 6)];
const ROUTERS: Heads =
    &[("NAME", 12), ("VIP", 18), ("STATE", 7), ("ACTIVE", 10), ("LEASE", 7), ("SINCE", 11), ("HERE", 6)];
const SERVICES: Heads = &[("SERVICE", 26), ("ON", 10), ("UP", 5), ("TROUBLE", 8)];
const EVENTS: Heads = &[("AT", 8), ("NODE", 10), ("WHAT", 10)];

/// How a row looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Notable,
    Bad,
}

/// The rows of a pane.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) heads: Heads,
    pub(super) lines: Vec<(Vec<String>, Tone)>,
    /// How many there are without the filter.
    pub(super) all: usize,
}

/// What a pane shows of what is known.
pub(super) fn of(state: &State, pane: Pane, now: Timestamp) -> Rows {
    let known = state.shown();
    let (heads, all) = (heads(pane), count(known, pane));
    let mut lines = match (pane, &known.status) {
        (Pane::Events, _) => known.events.iter().map(event).collect(),
        (_, None) => Vec::new(),
        (Pane::Nodes, Some((status, _))) => nodes(status),
        (Pane::Routers, Some((status, _))) => routers(status, state.sort, now),
        (Pane::Services, Some((status, _))) => status.services.iter().map(service).collect(),
    };
    let wanted = state.filter.to_lowercase();
    lines.retain(|(cells, _): &(Vec<String>, Tone)| cells.iter().any(|cell| cell.to_lowercase().contains(&wanted)));
    Rows { heads, lines, all }
}

fn heads(pane: Pane) -> Heads {
    match pane {
        Pane::Nodes => NODES,
        Pane::Routers => ROUTERS,
        Pane::Services => SERVICES,
        Pane::Events => EVENTS,
    }
}

fn count(known: &Known, pane: Pane) -> usize {
    let of_status = |count: fn(&Status) -> usize| known.status.as_ref().map_or(0, |(status, _)| count(status));
    match pane {
        Pane::Nodes => of_status(|status| status.nodes.len()),
        Pane::Routers => of_status(|status| status.routers.len()),
        Pane::Services => of_status(|status| status.services.len()),
        Pane::Events => known.events.len(),
    }
}

fn nodes(status: &Status) -> Vec<(Vec<String>, Tone)> {
    let serving = show::serving(status);
    let serves = |node: &Node| {
        let count = serving.iter().find(|(name, _)| *name == node.name).map_or(0, |(_, count)| *count);
        if node.role == "director" || count > 0 { count.to_string() } else { "-".to_owned() }
    };
    let row = |node: &Node| {
        let liveness = if node.draining { "draining".to_owned() } else { show::word(&node.liveness) };
        let tone = match node.liveness {
            Liveness::Dead => Tone::Bad,
            _ if is_trouble_node(node) => Tone::Notable,
            _ => Tone::Plain,
        };
        let vote = if node.voter { "yes" } else { "no" };
        let rtt = node.rtt_ms.map_or("-".to_owned(), |rtt| format!("{rtt:.1} ms"));
        (vec![node.name.clone(), node.role.clone(), vote.to_owned(), liveness, rtt, serves(node)], tone)
    };
    status.nodes.iter().map(row).collect()
}

fn routers(status: &Status, sort: Option<Sort>, now: Timestamp) -> Vec<(Vec<String>, Tone)> {
    let order = Pick::sorted(sort).choose(status).routers;
    order.into_iter().map(|at| router(&status.routers[at], now)).collect()
}

fn router(router: &Router, now: Timestamp) -> (Vec<String>, Tone) {
    let vip = match router.vips.as_slice() {
        [] => "-".to_owned(),
        [only] => only.clone(),
        [first, more @ ..] => format!("{first} +{}", more.len()),
    };
    let served = show::served_by(router);
    let lease = match (&router.unprotected_because, &router.lease) {
        (Some(_), _) => "NONE".to_owned(),
        (None, Some(lease)) => format!("{} ms", lease.remaining_ms),
        (None, None) => "-".to_owned(),
    };
    let since = router.last_transition.as_ref().map_or("-".to_owned(), |transition| {
        transition.at.parse().map_or(transition.at.clone(), |at| show::age(now, at))
    });
    let tone = match router.state {
        mesh_control::RouterState::Active if !is_trouble(router) => Tone::Plain,
        mesh_control::RouterState::Active => Tone::Notable,
        _ => Tone::Bad,
    };
    let cells = [&router.name, &vip, &show::state_word(router), served, &lease, &since, &router.here];
    (cells.map(str::to_owned).to_vec(), tone)
}

fn service(service: &Service) -> (Vec<String>, Tone) {
    let up = service.real_servers.iter().filter(|real| real.health == "up").count();
    let all = service.real_servers.len();
    let sorry = service.sorry_server.as_ref().map(|server| format!("{server}, the sorry server, serves"));
    let lost = (service.quorum.as_deref() == Some("lost")).then(|| "too few are up".to_owned());
    let trouble = service.not_programmed_because.clone().or(sorry).or(lost).or(service.unfit_because.clone());
    let tone = match &trouble {
        Some(_) => Tone::Bad,
        None if up < all => Tone::Notable,
        None => Tone::Plain,
    };
    let on = if service.on.is_empty() { "-".to_owned() } else { service.on.join(" ") };
    (vec![service.virtual_server.clone(), on, format!("{up}/{all}"), trouble.unwrap_or_default()], tone)
}

fn event(event: &Event) -> (Vec<String>, Tone) {
    // The time of RFC 3339, to the second.
    let at = event.at.split_once('T').map_or(event.at.as_str(), |(_, time)| time).chars().take(8).collect();
    let why = if event.cause.is_empty() { String::new() } else { format!(": {}", event.cause) };
    let tone = if event.severity == "warning" { Tone::Notable } else { Tone::Plain };
    (vec![at, event.node.clone(), format!("{}{why}", event.text)], tone)
}
