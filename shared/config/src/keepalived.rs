//! keepalived.conf, as keepalived 2.2.7 reads it.
//!
//! ```text
//! files -- language: one text --> tree: words, blocks, places --> lower: global, script, instance, server --> finish --> Config
//!          @id, ${X}, ~SEQ, include                                 every keyword looked up in keywords
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
//! - a variable that is not defined, outside quotes: its braces would be a block;
//! - includes and variables without an end, for which keepalived runs out of files, or for ever;
//! - `auth_hmac` without a usable active key: adverts would neither be signed nor have to be;
//! - two virtual servers for one address and protocol or one mark: each would take out the real
//!   servers of the other;
//! - a range of more than 65536 addresses in a group;
//! - Latin-1 in what adverts carry or are signed with, which would be other bytes.
//!
//! deploy/CONFIGURATION.md lists them for whoever migrates.
//!
//! More lenient: an instance without an interface has `default_interface`, a script or a track file may be defined
//! after what tracks it, a script's parameters need no quotes (keepalived 2.2.7 loses those outside), `nb_get_retry` is
//! read in every check, and `interval` may have decimals as in later keepalived versions.

mod address;
mod bfd;
mod garp;
mod global;
mod instance;
mod keywords;
mod language;
mod lower;
mod lvs;
mod mail;
mod notify;
mod process;
mod routing;
mod scheduling;
mod script;
mod server;
mod sync_group;
mod track;
mod track_process;
mod tree;
mod values;

use std::path::Path;

use crate::finish;
use crate::host::Host;
use crate::model::Config;
use crate::report::Report;
use language::Expansion;
pub(crate) use language::{NO_TEXT, decode};
use lower::Lower;
use tree::Tree;

/// Reads a keepalived.conf and what it includes; `file` is for the report, and tells where relative
/// names start. No configuration when anything found is an error.
pub fn parse(file: &Path, text: &str, host: &Host<'_>) -> (Option<Config>, Report) {
    let Expansion { source, findings, complete } = language::expand(file, text, host);
    let mut lower = Lower::new(&source, host.files, findings);
    let mut config = Config::default();
    if complete {
        match Tree::parse(&source.text, keywords::fits) {
            Ok(tree) => config = root(&mut lower, &tree),
            Err(broken) => lower.broken(broken),
        }
    }
    finish::finish(config, lower.into_report())
}

fn root(lower: &mut Lower<'_>, tree: &Tree<'_>) -> Config {
    let mut config = Config::default();
    // Scripts and global settings hold for the whole file, wherever they stand.
    let globals = global::lower(lower, &mut config, &tree.statements);
    script::lower(lower, &mut config, &tree.statements);
    track_process::lower(lower, &mut config, &tree.statements);
    bfd::lower(lower, &mut config, &tree.statements);
    garp::groups(lower, &mut config, &tree.statements);
    routing::groups(lower, &mut config.statics, &tree.statements);
    let files = server::track_files(lower, &mut config, &tree.statements);
    for statement in &tree.statements {
        match (statement.keyword(), &statement.block) {
            ("vrrp_instance", Some(block)) => instance::lower(lower, &mut config, &globals, statement, block),
            ("interface_up_down_delays", Some(block)) => sync_group::link_delays(lower, &mut config, block),
            (keyword, Some(block)) if routing::statics(lower, &mut config.statics, keyword, block) => {}
            ("include_check", None) => global::include_check(lower, statement),
            ("include_check", Some(_)) => lower.other(&keywords::ROOT, statement),
            _ if process::root(lower, &mut config.process, statement) => {}
            // All others of the top level are blocks, read before or after these.
            (keyword, Some(_)) if keywords::ROOT.acted.contains(&keyword) => {}
            (keyword, None) if keywords::ROOT.acted.contains(&keyword) => {
                lower.error(statement.at(), format!("`{keyword}` has no block; expected `{{` after it"));
            }
            _ => lower.other(&keywords::ROOT, statement),
        }
    }
    routing::known_members(lower, &mut config, &tree.statements);
    sync_group::lower(lower, &mut config, &tree.statements);
    server::lower(lower, &mut config, &tree.statements, files);
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
                let (keyword, line) = (s.keyword(), lower.line(s.at(), *at));
                let message = format!("`}}` closes nothing: its block ended before `{keyword}` in {line}");
                lower.error(*at, message);
            }
            None => lower.warning(*at, "`}` closes nothing; skipped".into()),
        }
    }
}

#[cfg(test)]
mod tests;
