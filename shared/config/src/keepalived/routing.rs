//! `virtual_routes`, `virtual_rules`, and the blocks of what is static.

use super::address;
use super::lower::Lower;
use super::tree::{Block, Statement};
use crate::iproute::{self, Names, Wrong};
use crate::model::{Route, Rule, VirtualAddress};

pub(super) fn routes(lower: &mut Lower<'_>, block: &Block<'_>) -> Vec<Route> {
    block.statements.iter().filter_map(|statement| one(lower, statement, "route", iproute::route)).collect()
}

pub(super) fn rules(lower: &mut Lower<'_>, block: &Block<'_>) -> Vec<Rule> {
    let rules = block.statements.iter().filter_map(|statement| {
        let rule = one(lower, statement, "rule", iproute::rule)?;
        if rule.priority == 0 {
            lower.warning(statement.at(), "the rule has no `priority`, so that one is chosen for it".into());
        }
        Some(rule)
    });
    rules.collect()
}

pub(super) fn addresses(lower: &mut Lower<'_>, block: &Block<'_>) -> Vec<VirtualAddress> {
    let mut found = Vec::new();
    for statement in &block.statements {
        let Some(declared) = address::parse(lower, statement) else { continue };
        if declared.address.interface.is_none() {
            let net = declared.address.net;
            lower.warning(declared.at, format!("{net} names no interface; expected `dev INTERFACE`; left out"));
        } else {
            found.push(declared.address);
        }
    }
    found
}

/// One line; what is wrong with it is told at its word, and it is left out.
fn one<T>(
    lower: &mut Lower<'_>,
    statement: &Statement<'_>,
    what: &str,
    read: impl Fn(&[&str], &Names<'_>) -> Result<T, Wrong>,
) -> Option<T> {
    if lower.language(statement) {
        return None;
    }
    lower.no_block(statement);
    let mut words = Vec::new();
    let mut places = Vec::new();
    let mut all = statement.words.iter();
    while let Some(word) = all.next() {
        if word.text == "track_group" {
            lower.warning(word.at, "`track_group` is not supported yet: nothing follows the group; skipped".into());
            all.next();
        } else {
            words.push(&*word.text);
            places.push(word.at);
        }
    }
    match read(&words, &lower.names) {
        Ok(found) => Some(found),
        Err(Wrong { word, message }) => {
            let at = places.get(word).copied().unwrap_or(statement.at());
            lower.warning(at, format!("{message}; the {what} is left out"));
            None
        }
    }
}
