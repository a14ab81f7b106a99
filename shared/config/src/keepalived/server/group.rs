//! `virtual_server_group`: addresses, ranges of addresses and firewall marks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use mesh_wire::mesh::Family;

use super::super::lower::Lower;
use super::super::tree::{At, Block, Statement};
use super::super::values;
use super::{address, words};
use crate::common::{self, MOST_ADDRESSES};

/// One group; never without an entry.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) addresses: Vec<SocketAddr>,
    /// Marks, and the family where it is given.
    pub(super) marks: Vec<(u32, Option<Family>)>,
    /// All ports of the addresses.
    pub(super) ports: BTreeSet<u16>,
}

/// Reads every group, wherever it stands.
pub(super) fn lower(lower: &mut Lower<'_>, statements: &[Statement<'_>]) -> BTreeMap<String, Group> {
    let mut groups = BTreeMap::new();
    for statement in statements.iter().filter(|s| s.keyword() == "virtual_server_group") {
        let Some(block) = &statement.block else { continue };
        let Some(name) = lower.parameter(statement, "`virtual_server_group NAME {`") else { continue };
        words::extra(lower, statement, 1);
        let group = entries(lower, block);
        if group.addresses.is_empty() && group.marks.is_empty() {
            lower.warning(name.at, format!("`virtual_server_group {}` has no entry; left out", name.text));
        } else if groups.contains_key(&*name.text) {
            lower.warning(name.at, format!("a second `virtual_server_group {}`; the first one stays", name.text));
        } else {
            groups.insert(name.text.to_string(), group);
        }
    }
    groups
}

fn entries(lower: &mut Lower<'_>, block: &Block<'_>) -> Group {
    let mut group = Group::default();
    let (mut addresses, mut marks) = (BTreeSet::new(), BTreeSet::new());
    for statement in &block.statements {
        if lower.language(statement) {
            continue;
        }
        if statement.keyword() == "fwmark" {
            if let Some(mark) = mark(lower, statement) {
                if marks.insert(mark) {
                    group.marks.push(mark);
                } else {
                    twice(lower, statement.at());
                }
            }
        } else {
            let before = (group.addresses.len(), addresses.len());
            let read = range(lower, statement);
            let count = read.len();
            group.addresses.extend(read.into_iter().filter(|address| addresses.insert(*address)));
            if group.addresses.len() - before.0 < count {
                twice(lower, statement.at());
            }
        }
        lower.no_block(statement);
    }
    group.ports = group.addresses.iter().map(SocketAddr::port).collect();
    group
}

fn twice(lower: &mut Lower<'_>, at: At) {
    lower.warning(at, "this is already in the group; once is enough".into());
}

/// Mark, and family.
fn mark(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<(u32, Option<Family>)> {
    words::extra(lower, statement, 2);
    let mark = lower.value(statement, "a mark from 1 to 4294967295", "left out", mark_of)?;
    let Some(word) = statement.parameters().get(1) else { return Some((mark, None)) };
    let family = family(&word.text);
    if family.is_none() {
        lower.warning(word.at, format!("`{}` is no family: expected inet or inet6; left out", word.text));
    }
    family.map(|family| (mark, Some(family)))
}

/// A firewall mark; 0 is every packet without one.
pub(super) fn mark_of(word: &str) -> Option<u32> {
    values::unsigned(word).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0)
}

/// `inet` or `inet6`.
pub(super) fn family(word: &str) -> Option<Family> {
    match word {
        "inet" => Some(Family::Ipv4),
        "inet6" => Some(Family::Ipv6),
        _ => None,
    }
}

fn range(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Vec<SocketAddr> {
    let word = &statement.words[0];
    words::extra(lower, statement, 1);
    let Some(port) = address::port(statement.words.get(1)) else {
        let port = &statement.words[1];
        lower.warning(port.at, format!("`{}` is no port: expected one from 1 to 65535; left out", port.text));
        return Vec::new();
    };
    match common::range(&word.text) {
        Err(wrong) => {
            lower.warning(word.at, format!("`{}` {wrong}; left out", word.text));
            Vec::new()
        }
        Ok((first, last)) => match common::all(first, last) {
            Some(all) => all.into_iter().map(|address| SocketAddr::new(address, port)).collect(),
            None => {
                let message =
                    format!("`{}` has more than {MOST_ADDRESSES} addresses; expected a mark instead", word.text);
                lower.error(word.at, message);
                Vec::new()
            }
        },
    }
}
