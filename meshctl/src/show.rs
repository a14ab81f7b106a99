//! Tables for people: no borders, at most as wide as the terminal.

use std::collections::BTreeSet;

use anyhow::Context;
use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, Width, presets};
use jiff::Timestamp;
use mesh_control::{Cluster, Lease, Liveness, Node, Protection, Router, RouterState, Status, TokenInfo};
use serde::de::DeserializeOwned;
use serde_json::Value;

mod plan;
mod services;
mod story;
#[cfg(test)]
mod tests;

pub(crate) use plan::plan;
pub(crate) use services::{services, services_json};
pub(crate) use story::{event, events, explanation, trace};

/// So many digits of a digest tell two configurations apart.
const DIGEST: usize = 8;

/// How it is to look.
pub(crate) struct Look {
    /// With colours.
    pub(crate) color: bool,
    /// Columns to stay within, where there is a limit.
    pub(crate) width: Option<u16>,
    /// Ages are relative to this.
    pub(crate) now: Timestamp,
}

/// Makes sense of an answer, for printing: control characters are taken out of it, because names and causes come
/// from other machines and must not steer a terminal.
pub(crate) fn read<T: DeserializeOwned>(mut answer: Value) -> anyhow::Result<T> {
    clean_all(&mut answer);
    serde_json::from_value(answer).context("meshd's answer cannot be read")
}

/// The text without control characters.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The whole map.
pub(crate) fn status(status: &Status, look: &Look) -> String {
    let mut text = headline(status, look);
    text += &warnings(status, look);
    text.push('\n');
    if status.routers.is_empty() {
        text += "No virtual routers.\n";
    } else {
        text += &routers(&status.routers, look);
    }
    if !status.nodes.is_empty() {
        text.push('\n');
        text += &nodes(status, look);
    }
    text += &transitions(&status.routers, look);
    text
}

/// The members.
pub(crate) fn nodes(status: &Status, look: &Look) -> String {
    if status.nodes.is_empty() {
        return "No nodes: this node is in no mesh.\n".to_owned();
    }
    let mut table = table(["NODE", "ROLE", "VOTER", "LIVENESS", "ADDRESS", "RTT", "VERSION", "CONFIG"], DIGEST, look);
    for node in &status.nodes {
        let drain = if node.draining { ", draining" } else { "" };
        table.add_row([
            Cell::new(&node.name),
            Cell::new(&node.role),
            Cell::new(if node.voter { "yes" } else { "no" }),
            Cell::new(format!("{}{drain}", word(&node.liveness))).fg(color_of(node)),
            Cell::new(&node.address),
            Cell::new(node.rtt_ms.map_or("-".to_owned(), |rtt| format!("{rtt:.1} ms"))),
            Cell::new(&node.version),
            Cell::new(node.config_digest.chars().take(DIGEST).collect::<String>()),
        ]);
    }
    finish(&table)
}

/// Who votes, and how many of them decide.
pub(crate) fn voters(status: &Status, look: &Look) -> String {
    let quorum = &status.cluster.quorum;
    if status.cluster.protection == Protection::None {
        return "No voters: this node is in no mesh.\n".to_owned();
    }
    let mut table = table(["VOTER", "ROLE", "LIVENESS", "DECIDED BY"], 8, look);
    for node in status.nodes.iter().filter(|node| node.voter) {
        table.add_row([
            Cell::new(&node.name),
            Cell::new(&node.role),
            Cell::new(word(&node.liveness)).fg(color_of(node)),
            Cell::new(if node.vote == "always" { "operator" } else { "mesh" }),
        ]);
    }
    let barred: Vec<&str> = status.nodes.iter().filter(|n| n.vote == "never").map(|n| n.name.as_str()).collect();
    let mut text = format!(
        "Roster epoch {}: {} of {} voters decide, {} are reachable  (as seen by {})\n\n{}",
        quorum.roster_epoch,
        quorum.needed,
        quorum.voters,
        quorum.reachable,
        status.node,
        finish(&table)
    );
    if !barred.is_empty() {
        text += &format!("\nNo vote, by the operator: {}\n", barred.join(" "));
    }
    text
}

/// The same as JSON: the daemon's own objects.
pub(crate) fn voters_json(status: &Value) -> Value {
    let nodes = status.get("nodes").and_then(Value::as_array);
    let votes = |node: &&Value| node.get("voter").and_then(Value::as_bool).unwrap_or(false);
    let voters: Vec<Value> = nodes.into_iter().flatten().filter(votes).cloned().collect();
    let quorum = status.get("cluster").and_then(|cluster| cluster.get("quorum")).cloned().unwrap_or(Value::Null);
    serde_json::json!({ "quorum": quorum, "voters": voters })
}

/// Tokens, as far as the daemon knows them.
pub(crate) fn tokens(tokens: &[TokenInfo], look: &Look) -> String {
    if tokens.is_empty() {
        return "No tokens known here.\n".to_owned();
    }
    let mut table = table(["TOKEN", "STATE", "BY", "EXPIRES"], 20, look);
    for token in tokens {
        table.add_row([
            Cell::new(&token.id),
            Cell::new(&token.state),
            Cell::new(token.by.as_deref().unwrap_or("-")),
            Cell::new(token.expires.as_deref().unwrap_or("-")),
        ]);
    }
    finish(&table)
}

fn headline(status: &Status, look: &Look) -> String {
    let Cluster { name, protection, quorum, .. } = &status.cluster;
    if *protection == Protection::None {
        return format!("No mesh: {} is a plain VRRP router\n", status.node);
    }
    let protection = match protection {
        Protection::Protected => paint("protected", "1;32", look),
        _ => paint("UNPROTECTED", "1;31", look),
    };
    let votes = format!("quorum {}/{} reachable, {} needed", quorum.reachable, quorum.voters, quorum.needed);
    let votes = if quorum.reachable < quorum.needed { paint(&votes, "1;31", look) } else { votes };
    format!("Cluster {name}  {protection}  {votes}  (as seen by {})\n", status.node)
}

/// What should not be as it is, one line each.
fn warnings(status: &Status, look: &Look) -> String {
    let mut lines = Vec::new();
    let quorum = &status.cluster.quorum;
    if status.cluster.protection == Protection::Unprotected {
        let because = status.cluster.unprotected_because.as_deref().unwrap_or("the daemon does not say why");
        lines.push(format!("UNPROTECTED: two nodes can serve one address: {because}"));
    } else if status.cluster.protection == Protection::Protected && quorum.reachable < quorum.needed {
        lines.push(format!("NO QUORUM: {} reaches too few voters and can serve nothing", status.node));
    }
    let directors = status.nodes.iter().filter(|node| node.role == "director" && !node.config_digest.is_empty());
    if directors.map(|node| &node.config_digest).collect::<BTreeSet<_>>().len() > 1 {
        lines.push("The directors' configurations differ: see CONFIG".to_owned());
    }
    for router in &status.routers {
        if let Some(because) = &router.unprotected_because {
            let active = router.active.as_deref().unwrap_or("somebody");
            lines.push(format!("{}: UNPROTECTED: {active} serves it without a lease: {because}", router.name));
        }
        if let Some(veto) = &router.veto {
            lines.push(if veto.by.is_empty() {
                format!("{}: {} does not take over: {}", router.name, status.node, veto.reason)
            } else {
                format!("{}: {} was refused by {}: {}", router.name, status.node, veto.by.join(", "), veto.reason)
            });
        }
        if let Some(held) = &router.held {
            lines.push(format!("{}: {} is held back until {}: {}", router.name, status.node, held.until, held.because));
        }
        match (&router.state, &router.foreign) {
            (RouterState::Foreign, Some(foreign)) => {
                lines.push(format!("{}: served by {foreign}, a router outside the mesh", router.name));
            }
            (RouterState::Active, Some(foreign)) => {
                lines.push(format!("{}: {foreign}, a router outside the mesh, advertises it, too", router.name));
            }
            (RouterState::Vacant, _) => lines.push(format!("{}: served by nobody", router.name)),
            (RouterState::Fault, _) => lines.push(format!("{}: every director is in fault", router.name)),
            _ => {}
        }
    }
    lines.extend(services::troubles(status));
    lines.extend(services::lost_sessions(status));
    lines.iter().map(|line| format!("{}\n", paint(&format!("! {line}"), "33", look))).collect()
}

fn routers(routers: &[Router], look: &Look) -> String {
    let heads = ["NAME", "INTERFACE", "VRID", "VIPS", "STATE", "ACTIVE", "LEASE", "HERE", "PRIORITY"];
    // Breaking inside a pair would be unreadable.
    let pair = routers.iter().flat_map(|r| r.priority.keys()).map(|node| node.chars().count() + ":255".len()).max();
    let mut table = table(heads, pair.unwrap_or(0), look);
    for router in routers {
        let color = if router.state == RouterState::Active { Color::Green } else { Color::Red };
        table.add_row([
            Cell::new(&router.name).add_attribute(Attribute::Bold),
            Cell::new(&router.interface),
            Cell::new(router.vrid),
            Cell::new(router.vips.join("\n")),
            Cell::new(word(&router.state)).fg(color),
            Cell::new(router.active.as_deref().or(router.foreign.as_deref()).unwrap_or("-")),
            Cell::new(if router.unprotected_because.is_some() {
                "UNPROTECTED".to_owned()
            } else {
                lease(router.lease.as_ref(), router.active.as_deref())
            }),
            Cell::new(&router.here),
            Cell::new(priorities(router)),
        ]);
    }
    finish(&table)
}

/// What is left of the lease, and whose it is where that is not the one who serves.
fn lease(lease: Option<&Lease>, active: Option<&str>) -> String {
    match lease {
        None => "-".to_owned(),
        Some(lease) if Some(lease.owner.as_str()) == active => format!("{} ms", lease.remaining_ms),
        Some(lease) => format!("{} ms ({})", lease.remaining_ms, lease.owner),
    }
}

/// Highest first. No spaces inside a pair: a narrow column breaks between pairs only.
fn priorities(router: &Router) -> String {
    let mut pairs: Vec<_> = router.priority.iter().collect();
    pairs.sort_by_key(|(_, priority)| std::cmp::Reverse(**priority));
    pairs.iter().map(|(node, priority)| format!("{node}:{priority}")).collect::<Vec<_>>().join(" ")
}

fn transitions(routers: &[Router], look: &Look) -> String {
    let mut known: Vec<_> = routers.iter().filter_map(|r| Some((r, r.last_transition.as_ref()?))).collect();
    if known.is_empty() {
        return String::new();
    }
    // RFC 3339 in UTC sorts as text; what cannot be read sorts somewhere and is shown as it is.
    known.sort_by(|a, b| b.1.at.cmp(&a.1.at));
    let mut table = table(["LAST TRANSITION", "AGE", "CAUSE"], 20, look);
    for (router, transition) in known {
        let age = transition.at.parse().map_or(transition.at.clone(), |at| age(look.now, at));
        table.add_row([router.name.clone(), age, transition.cause.clone()]);
    }
    format!("\n{}", finish(&table))
}

fn age(now: Timestamp, at: Timestamp) -> String {
    match now.duration_since(at).as_secs() {
        // Clocks of two hosts differ.
        ..1 => "now".to_owned(),
        s @ ..120 => format!("{s} s ago"),
        s @ ..7200 => format!("{} min ago", s / 60),
        s @ ..172_800 => format!("{} h ago", s / 3600),
        s => format!("{} d ago", s / 86_400),
    }
}

/// In a narrow terminal the last column gives way, down to `least` characters, and no other.
fn table<const N: usize>(heads: [&str; N], least: usize, look: &Look) -> Table {
    let least = least.max(heads[N - 1].len());
    let least = ColumnConstraint::LowerBoundary(Width::Fixed(u16::try_from(least).unwrap_or(u16::MAX)));
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(heads.map(|head| Cell::new(head).add_attribute(Attribute::Dim)));
    match look.width {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    if look.color {
        table.enforce_styling()
    } else {
        table.force_no_tty()
    };
    for (index, column) in table.column_iter_mut().enumerate() {
        if index + 1 < N {
            column.set_padding((0, 2)).set_constraint(ColumnConstraint::ContentWidth);
        } else {
            column.set_padding((0, 0)).set_constraint(least);
        }
    }
    table
}

fn finish(table: &Table) -> String {
    table.trim_fmt() + "\n"
}

fn color_of(node: &Node) -> Color {
    match node.liveness {
        Liveness::Alive => Color::Green,
        Liveness::Suspect => Color::Yellow,
        Liveness::Dead => Color::Red,
        Liveness::Left => Color::Reset,
    }
}

/// The word the contract has for a value.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => "?".to_owned(),
    }
}

fn paint(text: &str, style: &str, look: &Look) -> String {
    if look.color { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
}

fn clean_all(value: &mut Value) {
    match value {
        Value::String(text) => *text = clean(text),
        Value::Array(values) => values.iter_mut().for_each(clean_all),
        Value::Object(fields) => {
            let cleaned = std::mem::take(fields).into_iter().map(|(key, mut value)| {
                clean_all(&mut value);
                (clean(&key), value)
            });
            *fields = cleaned.collect();
        }
        _ => {}
    }
}
