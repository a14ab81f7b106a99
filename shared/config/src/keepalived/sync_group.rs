//! `vrrp_sync_group`, and what else concerns instances from outside: `interface_up_down_delays`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::keywords::SYNC_GROUP;
use super::lower::Lower;
use super::notify;
use super::track::{self, Tracking};
use super::tree::{At, Block, Statement};
use super::values;
use crate::model::{Config, LinkDelay, SyncGroup, VirtualRouter};

/// The priority that owns the addresses (RFC 9568 section 5.2.4).
const OWNER: u8 = 255;

/// Reads every `vrrp_sync_group`, once all instances are known.
pub(super) fn lower(lower: &mut Lower<'_>, config: &mut Config, statements: &[Statement<'_>]) {
    // Which group an instance is in.
    let mut taken = BTreeMap::new();
    let mut names: BTreeMap<String, At> = BTreeMap::new();
    for statement in statements.iter().filter(|s| s.keyword() == "vrrp_sync_group") {
        let Some(block) = &statement.block else { continue };
        let Some(name) = statement.parameters().first() else {
            let message = "`vrrp_sync_group` has no name; expected `vrrp_sync_group NAME {`; skipped";
            lower.warning(statement.at(), message.into());
            continue;
        };
        if names.insert(name.text.to_string(), name.at).is_some() {
            lower.warning(name.at, format!("a second `vrrp_sync_group {}`; the first one stays", name.text));
            continue;
        }
        one(lower, config, &mut taken, (&name.text, name.at), block);
    }
}

fn one(
    lower: &mut Lower<'_>,
    config: &mut Config,
    taken: &mut BTreeMap<String, String>,
    (name, at): (&str, At),
    block: &Block<'_>,
) {
    let mut group = SyncGroup::new(name, Vec::new());
    let mut tracking = Tracking::default();
    let mut members = Vec::new();
    for statement in &block.statements {
        if lower.language(statement) {
            continue;
        }
        if notify::keyword(lower, &mut group.notify, statement) {
            continue;
        }
        match (statement.keyword(), &statement.block) {
            ("group", Some(block)) => {
                members
                    .extend(block.statements.iter().flat_map(|s| s.words.iter().map(|w| (w.text.to_string(), w.at))));
            }
            (keyword, Some(block)) if track::is_block(keyword) => tracking.read(lower, keyword, block),
            (keyword, None) if keyword == "group" || track::is_block(keyword) => {
                lower.error(statement.at(), format!("`{keyword}` has no block; expected `{{` after it"));
            }
            ("sync_group_tracking_weight", _) => group.member_weights = true,
            ("global_tracking", _) => {
                let message =
                    "`global_tracking` is obsolete: what the group itself tracks holds for all of it; skipped";
                lower.ignored(statement.at(), message.into());
            }
            _ => lower.other(&SYNC_GROUP, statement),
        }
    }
    let members = self::members(lower, config, taken, name, members);
    if members.is_empty() {
        return lower.warning(at, format!("`vrrp_sync_group {name}` has no instance in `group`; left out"));
    }
    if members.len() == 1 {
        lower.warning(at, format!("`vrrp_sync_group {name}` has one instance alone, which moves as it would without"));
    }
    for (interface, at) in tracking.interfaces() {
        let place = lower.place(at);
        lower.places().tracked_interfaces.push((name.to_owned(), interface.to_owned(), place));
    }
    let owner = members.iter().any(|(member, _)| router(config, member).is_some_and(|r| r.priority == OWNER));
    group.track = tracking.resolve(lower, config, owner);
    if !group.member_weights {
        for (member, at) in &members {
            weightless(lower, config, &mut group, member, *at);
        }
    }
    group.routers = members.into_iter().map(|(member, _)| member).collect();
    config.sync_groups.push(group);
}

/// Those that exist and are in no other group.
fn members(
    lower: &mut Lower<'_>,
    config: &Config,
    taken: &mut BTreeMap<String, String>,
    name: &str,
    words: Vec<(String, At)>,
) -> Vec<(String, At)> {
    let mut members = Vec::new();
    for (member, at) in words {
        if router(config, &member).is_none() {
            let known = values::nearest_of(&member, config.routers.iter().map(|r| r.name.as_str()));
            let hint = known.map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
            lower.warning(at, format!("there is no `vrrp_instance {member}`; left out of `{name}`{hint}"));
        } else if let Some(other) = taken.get(&member) {
            lower.warning(at, format!("`{member}` is already in `vrrp_sync_group {other}`; left out of `{name}`"));
        } else {
            taken.insert(member.clone(), name.to_owned());
            members.push((member, at));
        }
    }
    members
}

fn router<'c>(config: &'c Config, name: &str) -> Option<&'c VirtualRouter> {
    config.routers.iter().find(|r| r.name == name)
}

/// Takes the weights from what a member tracks, as far as keepalived does. Where one is left, the group has it.
fn weightless(lower: &mut Lower<'_>, config: &mut Config, group: &mut SyncGroup, member: &str, at: At) {
    let Some(index) = config.routers.iter().position(|r| r.name == member) else { return };
    let mut track = std::mem::take(&mut config.routers[index].track);
    let found = track::weightless(config, &mut track);
    config.routers[index].track = track;
    group.member_weights |= !found.counting.is_empty();
    let mut say = |names: Vec<String>, what: &str| {
        if !names.is_empty() {
            let (names, group) = (names.join("`, `"), &group.name);
            lower.warning(at, format!("`{member}` tracks `{names}` with a weight, {what}").replace("{group}", group));
        }
    };
    say(
        found.left_out,
        "which members of `{group}` do not have without `sync_group_tracking_weight`; not tracked, as with keepalived",
    );
    say(
        found.faults,
        "which is 0 in `{group}` without `sync_group_tracking_weight`: any number but 0 is a fault, as with keepalived",
    );
    say(
        found.counting,
        "which counts in `{group}`, as with keepalived, whatever that says of it: the group can be pulled apart; \
         expected it in the group",
    );
}

/// `interface_up_down_delays`.
pub(super) fn link_delays(lower: &mut Lower<'_>, config: &mut Config, block: &Block<'_>) {
    const LONGEST: Duration = Duration::from_secs(255);
    let expected = "seconds from 0 to 255";
    for statement in block.statements.iter() {
        if lower.language(statement) {
            continue;
        }
        lower.no_block(statement);
        let interface = statement.keyword();
        let read = |word: &str| values::seconds(word).filter(|d| *d <= LONGEST);
        let Some(down) = lower.value(statement, &format!("{expected} while it is down"), "skipped", read) else {
            continue;
        };
        let up = match statement.parameters().get(1) {
            None => down,
            Some(word) => read(&word.text).unwrap_or_else(|| {
                let message = format!("`{}` is no delay: expected {expected}; {down:?} is used", word.text);
                lower.warning(word.at, message);
                down
            }),
        };
        if let Some(word) = statement.parameters().get(2) {
            lower.warning(word.at, format!("`{}` is a word too many after `{interface}`; skipped", word.text));
        }
        config.delays.links.insert(interface.to_owned(), LinkDelay { down, up });
    }
}
