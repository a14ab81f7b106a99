//! Tables for people: no borders, at most as wide as the terminal.

use anyhow::Context;
use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, Width, presets};
use jiff::Timestamp;
use mesh_control::{Lease, Liveness, Node, Protection, Router, RouterState, Status, TokenInfo};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::pick::Picked;

mod plan;
mod services;
mod story;
mod summary;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use plan::plan;
pub(crate) use services::{has_services, services, services_json};
pub(crate) use story::{event, events, explanation, trace};
pub(crate) use summary::{node_counts, plural, router_counts, serving, without_mesh};

/// So many digits of a digest tell two configurations apart.
const DIGEST: usize = 8;
/// With more directors than these, the map names the first of each router only.
const MANY: usize = 5;
/// So many of them.
const FIRST: usize = 3;
/// Transitions shown with the map.
const LATEST: usize = 10;

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

/// The map: what is to be known first, then what was picked.
pub(crate) fn status(status: &Status, picked: &Picked, look: &Look) -> String {
    let mut text = summary::headline(status, look);
    text += &summary::counts(status, look);
    text += &summary::warnings(status, picked, look);
    text.push('\n');
    let shown: Vec<&Router> = picked.routers.iter().map(|at| &status.routers[*at]).collect();
    if status.routers.is_empty() {
        text += "No virtual routers.\n";
    } else if shown.is_empty() {
        text += &format!("None of {} virtual routers is like that.\n", status.routers.len());
    } else {
        text += &routers(&shown, look);
    }
    let members: Vec<&Node> = picked.nodes.iter().map(|at| &status.nodes[*at]).collect();
    if !picked.routers_only && !members.is_empty() {
        text.push('\n');
        text += &node_rows(&members, look);
    }
    text += &transitions(&shown, if picked.by_age { usize::MAX } else { LATEST }, look);
    text
}

/// The members.
pub(crate) fn nodes(status: &Status, look: &Look) -> String {
    if status.nodes.is_empty() {
        return "No nodes: this node is in no mesh.\n".to_owned();
    }
    node_rows(&status.nodes.iter().collect::<Vec<_>>(), look)
}

fn node_rows(nodes: &[&Node], look: &Look) -> String {
    let mut table = table(["NODE", "ROLE", "VOTER", "LIVENESS", "ADDRESS", "RTT", "VERSION", "CONFIG"], DIGEST, look);
    for node in nodes {
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

fn routers(routers: &[&Router], look: &Look) -> String {
    let heads = ["NAME", "INTERFACE", "VRID", "VIPS", "STATE", "ACTIVE", "LEASE", "HERE", "PRIORITY"];
    // Breaking inside a pair would be unreadable.
    let shown = routers.iter().flat_map(|router| priorities(router));
    let pair = shown.map(|pair| pair.chars().count()).max();
    let least = pair.unwrap_or(0).max("PRIORITY".len());
    let mut table = table(heads, least, look);
    for router in routers {
        let color = if router.state == RouterState::Active { Color::Green } else { Color::Red };
        table.add_row([
            Cell::new(&router.name).add_attribute(Attribute::Bold),
            Cell::new(&router.interface),
            Cell::new(router.vrid),
            Cell::new(router.vips.join("\n")),
            Cell::new(state_word(router)).fg(color),
            Cell::new(served_by(router)),
            Cell::new(if router.unprotected_because.is_some() {
                "UNPROTECTED".to_owned()
            } else {
                lease(router.lease.as_ref(), router.active.as_deref())
            }),
            Cell::new(&router.here),
            Cell::new(priorities(router).join(" ")),
        ]);
    }
    tighten(&mut table, least, look);
    finish(&table)
}

/// One space between columns where two leave no room for the last one.
fn tighten(table: &mut Table, least: usize, look: &Look) {
    let widths = table.column_max_content_widths();
    let Some((_, others)) = widths.split_last() else { return };
    let together = others.iter().map(|width| usize::from(*width) + 2).sum::<usize>() + least;
    if look.width.is_some_and(|width| usize::from(width) < together) {
        for column in table.column_iter_mut().take(others.len()) {
            column.set_padding((0, 1));
        }
    }
}

/// The state, where it is known.
pub(crate) fn state_word(router: &Router) -> String {
    if router.cannot_tell.is_some() { "unknown".to_owned() } else { word(&router.state) }
}

/// Who serves, as far as known.
pub(crate) fn served_by(router: &Router) -> &str {
    let foreign = router.foreign.as_deref().filter(|_| router.cannot_tell.is_none());
    router.active.as_deref().or(foreign).unwrap_or("-")
}

/// What is left of the lease, and whose it is where that is not the one who serves.
fn lease(lease: Option<&Lease>, active: Option<&str>) -> String {
    match lease {
        None => "-".to_owned(),
        Some(lease) if Some(lease.owner.as_str()) == active => format!("{} ms", lease.remaining_ms),
        Some(lease) => format!("{} ms ({})", lease.remaining_ms, lease.owner),
    }
}

/// Highest first, and how many more there are where these are too many to be read. No spaces inside a pair: a
/// narrow column breaks between pairs only.
fn priorities(router: &Router) -> Vec<String> {
    let mut pairs: Vec<_> = router.priority.iter().collect();
    pairs.sort_by_key(|(_, priority)| std::cmp::Reverse(**priority));
    let shown = if pairs.len() > MANY { FIRST } else { pairs.len() };
    let more = (shown < pairs.len()).then(|| format!("+{}", pairs.len() - shown));
    pairs[..shown].iter().map(|(node, priority)| format!("{node}:{priority}")).chain(more).collect()
}

fn transitions(routers: &[&Router], most: usize, look: &Look) -> String {
    let mut known: Vec<_> = routers.iter().filter_map(|r| Some((r, r.last_transition.as_ref()?))).collect();
    if known.is_empty() {
        return String::new();
    }
    // RFC 3339 in UTC sorts as text; what cannot be read sorts somewhere and is shown as it is.
    known.sort_by(|a, b| b.1.at.cmp(&a.1.at));
    let older = known.len().saturating_sub(most);
    let mut table = table(["LAST TRANSITION", "AGE", "CAUSE"], 20, look);
    for (router, transition) in known.into_iter().take(most) {
        let age = transition.at.parse().map_or(transition.at.clone(), |at| age(look.now, at));
        table.add_row([router.name.clone(), age, transition.cause.clone()]);
    }
    let older = if older > 0 { format!("{older} older ones: see --sort since\n") } else { String::new() };
    format!("\n{}{older}", finish(&table))
}

/// How long ago that was.
pub(crate) fn age(now: Timestamp, at: Timestamp) -> String {
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
pub(crate) fn word(value: &impl serde::Serialize) -> String {
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
