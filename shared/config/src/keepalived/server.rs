//! `virtual_server`, and what it refers to: `virtual_server_group`, `track_file`, `SSL`.
//!
//! ```text
//! group ----+                        real -- check -- http, kinds
//! file, ssl-+--> pool: keywords, in any order --> complete: what they mean together
//! ```
//!
//! A block is read twice: first what holds for the whole pool, then its real servers, for which that
//! is the default, wherever it stands.

mod address;
mod check;
mod complete;
mod file;
mod forwarding;
mod group;
mod pool;
mod real;
mod ssl;
mod timing;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use super::lower::Lower;
use super::tree::{At, Statement};
use crate::model::{Config, Endpoint, Protocol};
use group::Group;

/// What virtual servers refer to, and what they have taken.
struct Names {
    groups: BTreeMap<String, Group>,
    /// How many virtual servers use each group.
    uses: BTreeMap<String, usize>,
    /// Places of the track files, and which of the model they are, by name.
    files: BTreeMap<String, (At, usize)>,
    /// `bfd_instance` blocks.
    sessions: BTreeSet<String>,
    /// Which virtual server has an endpoint; marks are the same for all protocols.
    taken: BTreeMap<(Endpoint, Option<Protocol>), String>,
}

/// Reads all virtual servers and what they refer to.
pub(super) fn lower(
    lower: &mut Lower<'_>,
    config: &mut Config,
    statements: &[Statement<'_>],
    files: BTreeMap<String, (At, usize)>,
) {
    ssl::lower(lower, config, statements);
    let mut names = Names {
        groups: group::lower(lower, statements),
        uses: uses(statements),
        files,
        sessions: named(statements, "bfd_instance").map(|(name, _)| name.to_string()).collect(),
        taken: BTreeMap::new(),
    };
    for statement in statements.iter().filter(|s| s.keyword() == "virtual_server") {
        if let Some(block) = &statement.block {
            pool::lower(lower, config, &mut names, statement, block);
        }
    }
}

/// What can be tracked: files, which it reads, and the names of BFD sessions.
pub(super) fn track_files(
    lower: &mut Lower<'_>,
    config: &mut Config,
    statements: &[Statement<'_>],
) -> BTreeMap<String, (At, usize)> {
    let files = file::lower(lower, config, statements);
    files.iter().for_each(|(name, (at, _))| lower.define("track_file", name, *at));
    named(statements, "bfd_instance").for_each(|(name, at)| lower.define("bfd_instance", name, at));
    files
}

fn uses(statements: &[Statement<'_>]) -> BTreeMap<String, usize> {
    let mut uses = BTreeMap::new();
    for statement in statements.iter().filter(|s| s.keyword() == "virtual_server") {
        if let [kind, name, ..] = statement.parameters()
            && kind.text == "group"
        {
            *uses.entry(name.text.to_string()).or_default() += 1;
        }
    }
    uses
}

/// Names and places of all blocks of a keyword.
fn named<'s>(statements: &'s [Statement<'_>], keyword: &'s str) -> impl Iterator<Item = (&'s str, At)> {
    statements
        .iter()
        .filter(move |s| s.keyword() == keyword && s.block.is_some())
        .filter_map(|s| s.parameters().first().map(|w| (&*w.text, w.at)))
}
