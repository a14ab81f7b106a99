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
pub(super) mod words;

use std::collections::BTreeMap;

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
    /// Places of the BFD sessions that checks may refer to, by name.
    sessions: BTreeMap<String, At>,
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
        sessions: sessions(config, statements),
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
    let of_routers = |name: &str| config.bfd_instances.iter().any(|b| b.for_routers && b.name == name);
    let sessions = named(statements, "bfd_instance").filter(|(name, _)| of_routers(name));
    sessions.for_each(|(name, at)| lower.define("bfd_instance", name, at));
    files
}

fn sessions(config: &Config, statements: &[Statement<'_>]) -> BTreeMap<String, At> {
    let of_services = |name: &str| config.bfd_instances.iter().any(|b| b.for_services && b.name == name);
    let named = named(statements, "bfd_instance").filter(|(name, _)| of_services(name));
    named.map(|(name, at)| (name.to_owned(), at)).collect()
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
