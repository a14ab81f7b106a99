//! keepalived.conf, as keepalived 2.2.7 reads it.
//!
//! ```text
//! text -- tree: words, blocks, places --> lower: global, script, instance, server --> finish --> Config
//!                                              every keyword looked up in keywords
//! ```
//!
//! Behaviour was measured with `keepalived -t` and by starting keepalived. Where the two disagree (a
//! duplicate VRID, a missing VRID, an unknown interface: `-t` calls the file usable, the daemon then
//! refuses it) the daemon is right and the finding is an error. Deliberately stricter than keepalived:
//!
//! - a block or a quote that is not closed: keepalived guesses (or crashes), we stop;
//! - a stray `}` with keywords that have lost their block: the rest of an instance (its password,
//!   its peers, its scripts) would be skipped;
//! - one address in two instances: two elections for one address;
//! - only excluded addresses: adverts would carry none;
//! - two virtual servers for one address and protocol or one mark: each would take out the real
//!   servers of the other;
//! - a range of more than 65536 addresses in a group;
//! - `include`, `@id`, `$X=`, `${X}`, `~SEQ`: not supported yet, and never skipped silently.
//!
//! More lenient: a script or a track file may be defined after what tracks it, `nb_get_retry` is read
//! in every check, and `interval` may have decimals as in later keepalived versions.

mod address;
mod global;
mod instance;
mod keywords;
mod lower;
mod lvs;
mod mail;
mod script;
mod server;
mod tree;
mod values;

use std::path::Path;

use crate::finish;
use crate::model::Config;
use crate::report::Report;
use lower::Lower;
use tree::Tree;

/// Reads a keepalived.conf; `file` is for the report only. No configuration when anything found is
/// an error.
pub fn parse(file: &Path, text: &str) -> (Option<Config>, Report) {
    let mut lower = Lower::new(file, text);
    let config = match Tree::parse(text, keywords::fits) {
        Ok(tree) => root(&mut lower, &tree),
        Err(broken) => {
            lower.error(broken.at, broken.message);
            Config::default()
        }
    };
    finish::finish(config, lower.into_report())
}

/// Blocks of the top level that are read.
const BLOCKS: &[&str] = &[
    "global_defs",
    "vrrp_script",
    "vrrp_instance",
    "virtual_server_group",
    "virtual_server",
    "track_file",
    "vrrp_track_file",
    "SSL",
];

fn root(lower: &mut Lower<'_>, tree: &Tree<'_>) -> Config {
    let mut config = Config::default();
    // Scripts and global settings hold for the whole file, wherever they stand.
    let globals = global::lower(lower, &mut config, &tree.statements);
    script::lower(lower, &mut config, &tree.statements);
    for statement in &tree.statements {
        match (statement.keyword(), &statement.block) {
            ("vrrp_instance", Some(block)) => instance::lower(lower, &mut config, &globals, statement, block),
            (keyword, Some(_)) if BLOCKS.contains(&keyword) => {}
            (keyword, None) if BLOCKS.contains(&keyword) => {
                let keyword = statement.keyword();
                lower.error(statement.at(), format!("`{keyword}` has no block; expected `{{` after it"));
            }
            _ => lower.other(&keywords::ROOT, statement),
        }
    }
    server::lower(lower, &mut config, &tree.statements);
    lvs::check(lower, &mut config, &tree.statements);
    stray_braces(lower, tree);
    config
}

/// keepalived skips a brace too many. That is harmless only while no keyword has lost its block to
/// an earlier one.
fn stray_braces(lower: &mut Lower<'_>, tree: &Tree<'_>) {
    let lost = tree
        .statements
        .iter()
        .find(|s| matches!(keywords::ROOT.standing(s.keyword()), keywords::Standing::Unknown { belongs: Some(_), .. }));
    for at in &tree.stray {
        match lost {
            Some(s) => {
                let (keyword, line) = (s.keyword(), s.at().line);
                let message = format!("`}}` closes nothing: its block ended before `{keyword}` in line {line}");
                lower.error(*at, message);
            }
            None => lower.warning(*at, "`}` closes nothing; skipped".into()),
        }
    }
}

#[cfg(test)]
mod tests;
