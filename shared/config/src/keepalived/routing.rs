//! `virtual_routes`, `virtual_rules`, and the blocks of what is static.

use super::keywords::TRACK_GROUP;
use super::lower::Lower;
use super::tree::{Block, Statement, Word};
use super::{address, values};
use crate::iproute::{Line, Wrong};
use crate::model::{Config, Route, Rule, Statics, TrackGroup, VirtualAddress};

pub(super) fn routes(lower: &mut Lower<'_>, block: &Block<'_>) -> Vec<Route> {
    let routes = block.statements.iter().filter_map(|statement| {
        only_static(lower, statement);
        let route: Route = one(lower, statement)?;
        let mut own = statement.words.iter().take_while(|word| word.text != "nexthop");
        if route.track && !own.any(|word| matches!(&*word.text, "dev" | "oif")) {
            let message = "without `dev` keepalived would not track the route; here it is put back all the same";
            lower.warning(statement.at(), message.into());
        }
        Some(route)
    });
    routes.collect()
}

pub(super) fn rules(lower: &mut Lower<'_>, block: &Block<'_>) -> Vec<Rule> {
    let rules = block.statements.iter().filter_map(|statement| {
        only_static(lower, statement);
        rule(lower, statement)
    });
    rules.collect()
}

/// What comes and goes with a router cannot be what one needs.
pub(super) fn only_static(lower: &mut Lower<'_>, statement: &Statement<'_>) {
    if let Some(word) = statement.words.iter().find(|word| word.text == "track_group") {
        lower.warning(word.at, "`track_group` is for what is static alone; nothing follows the group".into());
    }
}

fn rule(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<Rule> {
    let rule: Rule = one(lower, statement)?;
    if rule.priority == 0 {
        lower.warning(statement.at(), "the rule has no `priority`, so that one is chosen for it".into());
    }
    Some(rule)
}

/// Reads a block of what is static; false when it is another.
pub(super) fn statics(lower: &mut Lower<'_>, statics: &mut Statics, keyword: &str, block: &Block<'_>) -> bool {
    if !["static_ipaddress", "static_routes", "static_rules"].contains(&keyword) {
        return false;
    }
    for statement in &block.statements {
        let group = tracked_by(lower, statics, statement);
        match keyword {
            "static_ipaddress" => {
                let new = static_address(lower, statement);
                let new = beside(lower, statement, new, |address| statics.against_address(address));
                list(statics, group).0.extend(new);
            }
            "static_routes" => {
                let new = one(lower, statement);
                let new = beside(lower, statement, new, |route| statics.against_route(route));
                let on_none = |route: &Route| route.hops.iter().all(|hop| hop.interface.is_none());
                untracked(lower, statement, group.is_some() && new.as_ref().is_some_and(on_none), "`dev`");
                list(statics, group).1.extend(new);
            }
            _ => {
                let new = rule(lower, statement);
                let new = beside(lower, statement, new, |rule| statics.against_rule(rule));
                let on_none = |rule: &Rule| rule.input.is_none();
                untracked(lower, statement, group.is_some() && new.as_ref().is_some_and(on_none), "`iif`");
                list(statics, group).2.extend(new);
            }
        }
    }
    true
}

/// Where what is static is kept: with its group, or with what no router needs.
fn list(statics: &mut Statics, group: Option<usize>) -> (&mut Vec<VirtualAddress>, &mut Vec<Route>, &mut Vec<Rule>) {
    match group.map(|group| &mut statics.track_groups[group]) {
        Some(group) => (&mut group.addresses, &mut group.routes, &mut group.rules),
        None => (&mut statics.addresses, &mut statics.routes, &mut statics.rules),
    }
}

/// One that can be beside those before it; another is told of.
fn beside<T>(
    lower: &mut Lower<'_>,
    statement: &Statement<'_>,
    new: Option<T>,
    against: impl Fn(&T) -> Option<String>,
) -> Option<T> {
    let new = new?;
    let Some(why) = against(&new) else { return Some(new) };
    lower.warning(statement.at(), format!("{why}; left out"));
    None
}

/// Where keepalived cannot say whose it is, and its routers stay up without it.
fn untracked(lower: &mut Lower<'_>, statement: &Statement<'_>, so: bool, without: &str) {
    if let Some(word) = statement.words.iter().find(|word| word.text == "track_group").filter(|_| so) {
        let message = format!("without {without} keepalived would not have the group follow it; here the group does");
        lower.warning(word.at, message);
    }
}

fn static_address(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<VirtualAddress> {
    let declared = address::parse(lower, statement)?;
    if declared.address.interface.is_none() {
        let net = declared.address.net;
        lower.warning(declared.at, format!("{net} names no interface; expected `dev INTERFACE`; left out"));
        return None;
    }
    if let Some((interface, at)) = declared.address.interface.clone().zip(declared.device_at) {
        let place = lower.place(at);
        lower.places().routed_interfaces.push(("static address", interface, place));
    }
    Some(declared.address)
}

/// The group behind `track_group` in a line.
fn tracked_by(lower: &mut Lower<'_>, statics: &Statics, statement: &Statement<'_>) -> Option<usize> {
    let at = statement.words.iter().position(|word| word.text == "track_group")?;
    let Some(name) = statement.words.get(at + 1) else {
        lower.warning(statement.words[at].at, "`track_group` has no value; expected the name of a group".into());
        return None;
    };
    let found = statics.track_groups.iter().position(|group| group.name == name.text);
    if found.is_none() {
        let near = values::nearest_of(&name.text, statics.track_groups.iter().map(|group| group.name.as_str()));
        let hint = near.map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
        lower.warning(name.at, format!("there is no `track_group {}`; nothing follows{hint}", name.text));
    }
    found
}

/// Every `track_group`, wherever it stands, with the names of its routers.
pub(super) fn groups(lower: &mut Lower<'_>, statics: &mut Statics, statements: &[Statement<'_>]) {
    for statement in statements.iter().filter(|s| s.keyword() == "track_group") {
        // That it has none is told with all blocks.
        let Some(block) = &statement.block else { continue };
        let Some(name) = statement.parameters().first() else {
            let message = "`track_group` has no name; expected `track_group NAME {`; skipped";
            lower.warning(statement.at(), message.into());
            continue;
        };
        if statics.track_groups.iter().any(|group| group.name == name.text) {
            lower.warning(name.at, format!("a second `track_group {}`; the first one stays", name.text));
            continue;
        }
        let routers = members(lower, block).iter().map(|word| word.text.to_string()).collect();
        statics.track_groups.push(TrackGroup { name: name.text.to_string(), routers, ..TrackGroup::default() });
    }
}

fn members<'s>(lower: &mut Lower<'_>, block: &'s Block<'_>) -> Vec<&'s Word<'s>> {
    let mut found = Vec::new();
    for statement in &block.statements {
        match (statement.keyword(), &statement.block) {
            _ if lower.language(statement) => {}
            ("group", Some(block)) => found.extend(block.statements.iter().flat_map(|s| &s.words)),
            _ => lower.other(&TRACK_GROUP, statement),
        }
    }
    found
}

/// Once all routers are known: who is in a group and does not exist is told, and left out.
pub(super) fn known_members(lower: &mut Lower<'_>, config: &mut Config, statements: &[Statement<'_>]) {
    let known = |name: &str| config.routers.iter().any(|router| router.name == name);
    for block in statements.iter().filter(|s| s.keyword() == "track_group").filter_map(|s| s.block.as_ref()) {
        let groups = block.statements.iter().filter(|s| s.keyword() == "group").filter_map(|s| s.block.as_ref());
        for word in groups.flat_map(|group| &group.statements).flat_map(|s| &s.words).filter(|w| !known(&w.text)) {
            let near = values::nearest_of(&word.text, config.routers.iter().map(|r| r.name.as_str()));
            let hint = near.map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
            lower.warning(word.at, format!("there is no `vrrp_instance {}`; left out{hint}", word.text));
        }
    }
    let routers = &config.routers;
    for group in &mut config.statics.track_groups {
        group.routers.retain(|name| routers.iter().any(|router| router.name == *name));
    }
}

/// One line; what is wrong with it is told at its word, and it is left out.
fn one<L: Line>(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<L> {
    if lower.language(statement) {
        return None;
    }
    lower.no_block(statement);
    let mut words = Vec::new();
    let mut places = Vec::new();
    let mut all = statement.words.iter();
    while let Some(word) = all.next() {
        if word.text == "track_group" {
            // Read by whoever reads what is static.
            all.next();
        } else {
            words.push(&*word.text);
            places.push(word.at);
        }
    }
    match L::read(&words, &lower.names) {
        Ok(found) => {
            for (word, interface) in found.interfaces_in(&words) {
                let place = lower.place(places[word]);
                lower.places().routed_interfaces.push((L::WHAT, interface, place));
            }
            Some(found)
        }
        Err(Wrong { word, message }) => {
            let at = places.get(word).copied().unwrap_or(statement.at());
            lower.warning(at, format!("{message}; the {} is left out", L::WHAT));
            None
        }
    }
}
