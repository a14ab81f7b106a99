//! `global_defs`.

use std::time::Duration;

use super::keywords::GLOBAL;
use super::language::Checks;
use super::lower::Lower;
use super::tree::Statement;
use super::{lvs, mail, notify, values};
use crate::common;
use crate::model::{Config, GratuitousArp, Version};

/// Defaults for instances.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Globals {
    pub(super) version: Option<Version>,
    pub(super) strict: bool,
    pub(super) skip_check_adv_addr: bool,
    pub(super) garp: GratuitousArp,
}

/// Reads every `global_defs`, wherever it stands: they hold for instances above them, too.
pub(super) fn lower(lower: &mut Lower<'_>, config: &mut Config, statements: &[Statement<'_>]) -> Globals {
    let mut globals = Globals::default();
    let mut readers = notify::Readers::default();
    for block in statements.iter().filter(|s| s.keyword() == "global_defs").filter_map(|s| s.block.as_ref()) {
        for statement in &block.statements {
            keyword(lower, config, &mut globals, &mut readers, statement);
        }
    }
    notify::finish(lower, config, readers, statements);
    globals
}

fn keyword(
    lower: &mut Lower<'_>,
    config: &mut Config,
    globals: &mut Globals,
    readers: &mut notify::Readers,
    statement: &Statement<'_>,
) {
    if lower.language(statement) {
        return;
    }
    if mail::keyword(lower, &mut config.mail, statement) {
        return;
    }
    match (statement.keyword(), &statement.block) {
        ("router_id", _) => router_id(lower, config, statement),
        ("script_user", _) => {
            config.scripts.user = user(lower, statement);
            if let Some(word) = statement.parameters().first() {
                lower.places().script_user = Some(lower.place(word.at));
            }
        }
        ("enable_script_security", _) => config.scripts.enable = true,
        ("vrrp_version", _) => {
            if let Some(version) = lower.value(statement, "2 or 3", "skipped", version) {
                globals.version = Some(version);
            }
        }
        ("vrrp_strict", _) => {
            globals.strict = true;
            accepts(lower, statement);
        }
        ("vrrp_skip_check_adv_addr", _) => globals.skip_check_adv_addr = true,
        ("vrrp_startup_delay", _) => set(&mut config.delays.startup, start_delay(lower, statement)),
        ("vrrp_delay_after_boot", _) => set(&mut config.delays.after_boot, start_delay(lower, statement)),
        ("dynamic_interfaces", _) => {
            config.dynamic_interfaces = true;
            // Without it keepalived holds to what an interface was like at the start; this daemon never does.
            if let Some(word) = statement.parameters().first().filter(|w| w.text != "allow_if_changes") {
                let message =
                    format!("`{}` is no option of `dynamic_interfaces` (allow_if_changes); skipped", word.text);
                lower.warning(word.at, message);
            }
        }
        ("vrrp_garp_interval" | "vrrp_gna_interval", _) => {
            if pause(lower, statement).is_some() {
                lower.ignored(statement.at(), format!("`{}` has no effect in this version", statement.keyword()));
            }
        }
        ("vmac_prefix", _) => config.vmac_names.prefix = prefix(lower, statement),
        ("vmac_addr_prefix", _) => config.vmac_names.address_prefix = prefix(lower, statement),
        ("include_check", _) => include_check(lower, statement),
        ("vrrp_iptables" | "vrrp_ipsets", _) => {
            let keyword = statement.keyword();
            lower.warning(statement.at(), format!("`{keyword}` is obsolete: no iptables rules are made; skipped"));
        }
        _ if lvs::keyword(lower, config, statement) => {}
        _ if notify::global(lower, config, readers, statement) => {}
        (keyword, _) => match keyword.strip_prefix("vrrp_") {
            Some(rest) if garp(lower, &mut globals.garp, rest, statement) => {}
            _ => return lower.other(&GLOBAL, statement),
        },
    }
    lower.no_block(statement);
}

/// What names of virtual interfaces begin with; a dot, a family's digit and the VRID follow.
fn prefix(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<String> {
    let read = |w: &str| common::is_vmac_prefix(w).then(|| w.to_owned());
    lower.value(statement, "1 to 8 bytes without `/`", "skipped", read)
}

/// The language has acted upon it; what it did not understand is said here.
pub(super) fn include_check(lower: &mut Lower<'_>, statement: &Statement<'_>) {
    for word in statement.parameters().iter().filter(|word| !Checks::knows(&word.text)) {
        let expected = "readable, match, wildcard_match or brace_match, each with + or - before it";
        lower.warning(word.at, format!("`{}` is no check of includes: expected {expected}; skipped", word.text));
    }
}

fn router_id(lower: &mut Lower<'_>, config: &mut Config, statement: &Statement<'_>) {
    match statement.parameters().first() {
        Some(word) => config.router_id = Some(word.text.to_string()),
        // keepalived goes on here, other than with most keywords without a value.
        None => lower.warning(statement.at(), "`router_id` has no value; expected a name; skipped".into()),
    }
}

/// keepalived has `vrrp_strict` drop what is sent to the addresses.
pub(super) fn accepts(lower: &mut Lower<'_>, statement: &Statement<'_>) {
    let keyword = statement.keyword();
    lower.ignored(
        statement.at(),
        format!("`{keyword}`: packets to the virtual addresses are accepted (keepalived would drop them)"),
    );
}

fn pause(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<Duration> {
    lower.value(statement, "seconds above 0, at most 4294.967295", "skipped", |word| {
        values::seconds(word).filter(|d| !d.is_zero() && *d <= Duration::from_micros(u32::MAX.into()))
    })
}

/// Up to what keepalived takes for a delay of minutes.
fn start_delay(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<Duration> {
    let longest = Duration::from_micros(u32::MAX.into());
    let read = |word: &str| values::seconds(word).filter(|d| *d <= longest);
    lower.value(statement, "seconds from 0 to 4294.967295", "skipped", read)
}

/// `2` or `3`.
pub(super) fn version(word: &str) -> Option<Version> {
    match values::unsigned(word) {
        Some(2) => Some(Version::V2),
        Some(3) => Some(Version::V3),
        _ => None,
    }
}

/// `script_user NAME [GROUP]` and `user NAME [GROUP]`. That they exist is for the host to check.
pub(super) fn user(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<(String, Option<String>)> {
    match statement.parameters() {
        [] => {
            let message =
                format!("`{}` has no value; expected a user and perhaps a group; skipped", statement.keyword());
            lower.warning(statement.at(), message);
            None
        }
        [user] => Some((user.text.to_string(), None)),
        [user, group, ..] => Some((user.text.to_string(), Some(group.text.to_string()))),
    }
}

/// `garp_master_*`; false for any other keyword.
pub(super) fn garp(lower: &mut Lower<'_>, garp: &mut GratuitousArp, keyword: &str, statement: &Statement<'_>) -> bool {
    let whole = |word: &str| values::unsigned(word).filter(|n| *n <= 4294).map(Duration::from_secs);
    let seconds = "whole seconds, at most 4294";
    match keyword {
        "garp_master_delay" => set(&mut garp.delay, lower.value(statement, seconds, "skipped", whole)),
        "garp_master_refresh" => set(&mut garp.refresh, lower.value(statement, seconds, "skipped", whole)),
        "garp_master_repeat" => set(&mut garp.repeat, packets(lower, statement)),
        "garp_master_refresh_repeat" => set(&mut garp.refresh_repeat, packets(lower, statement)),
        _ => return false,
    }
    true
}

fn set<T>(to: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *to = value;
    }
}

/// A burst is bounded here: keepalived takes any 32 bit number, which would keep a host sending for ever.
fn packets(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<u32> {
    const MOST: u32 = 1000;
    let n = lower.value(statement, "a number of packets", "skipped", values::unsigned)?;
    let bounded = u32::try_from(n).unwrap_or(MOST).clamp(1, MOST);
    if u64::from(bounded) != n {
        let message = format!("`{}` is out of range 1 to {MOST}; {bounded} is used", statement.keyword());
        lower.warning(statement.parameters()[0].at, message);
    }
    Some(bounded)
}
