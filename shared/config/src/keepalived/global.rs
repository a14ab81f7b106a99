//! `global_defs`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use mesh_wire::mesh::Family;

use super::instance::conduct::Choices;
use super::keywords::GLOBAL;
use super::language::Checks;
use super::lower::Lower;
use super::tree::{At, Statement};
use super::{garp, instance, lvs, mail, notify, process, values};
use crate::common;
use crate::model::{Config, GratuitousArp, Version};

/// Defaults for instances.
#[derive(Clone, Debug, Default)]
pub(super) struct Globals {
    pub(super) version: Option<Version>,
    pub(super) strict: bool,
    pub(super) skip_check_adv_addr: bool,
    pub(super) garp: GratuitousArp,
    pub(super) choices: Choices,
    /// `default_interface`.
    pub(super) interface: Option<(String, At)>,
    groups: [Option<IpAddr>; 2],
    min_garp: bool,
    /// Which of `vrrp_garp_lower_prio_repeat` and `_delay` are there.
    lower_prio: [bool; 2],
}

impl Globals {
    /// `vrrp_mcast_group4` or `vrrp_mcast_group6`.
    pub(super) fn group(&self, family: Family) -> Option<IpAddr> {
        self.groups.into_iter().flatten().find(|group| Family::of(*group) == family)
    }
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
    if globals.min_garp {
        garp::minimal(&mut globals.garp);
    }
    garp::less_worthy(&mut globals.garp, globals.lower_prio);
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
        }
        ("vrrp_skip_check_adv_addr", _) => globals.skip_check_adv_addr = true,
        ("vrrp_garp_interval", _) => set(&mut config.vrrp.pace.garp, garp::pause(lower, statement, true)),
        ("vrrp_gna_interval", _) => set(&mut config.vrrp.pace.gna, garp::pause(lower, statement, true)),
        ("vrrp_min_garp", _) => set(&mut globals.min_garp, instance::switch(lower, statement)),
        ("log_unknown_vrids", _) => config.vrrp.log_unknown_vrids = true,
        ("default_interface", _) => {
            if let Some(word) = lower.parameter(statement, "the name of an interface") {
                globals.interface = Some((word.text.to_string(), word.at));
            }
        }
        ("vrrp_mcast_group4", _) => set(&mut globals.groups[0], group(lower, statement, Family::Ipv4)),
        ("vrrp_mcast_group6", _) => set(&mut globals.groups[1], group(lower, statement, Family::Ipv6)),
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
        ("vmac_prefix", _) => config.vmac_names.prefix = prefix(lower, statement),
        ("vmac_addr_prefix", _) => config.vmac_names.address_prefix = prefix(lower, statement),
        ("include_check", _) => include_check(lower, statement),
        ("iproute_usr_dir" | "iproute_etc_dir", _) => {
            let absolute = |word: &str| Some(PathBuf::from(word)).filter(|path| path.is_absolute());
            match (statement.keyword(), lower.value(statement, "a directory with its whole path", "skipped", absolute))
            {
                (_, None) => {}
                ("iproute_usr_dir", Some(path)) => lower.names.of_distribution(path),
                (_, Some(path)) => lower.names.of_operator(path),
            }
        }
        ("vrrp_iptables" | "vrrp_ipsets", _) => {
            let keyword = statement.keyword();
            lower.warning(statement.at(), format!("`{keyword}` is obsolete: no iptables rules are made; skipped"));
        }
        _ if lvs::keyword(lower, config, statement) => {}
        _ if notify::global(lower, config, readers, statement) => {}
        _ if process::keyword(lower, &mut config.process, statement) => {}
        _ if process::root(lower, &mut config.process, statement) => return,
        (keyword, _) => match keyword.strip_prefix("vrrp_") {
            Some(rest) if garp::keyword(lower, &mut globals.garp, rest, statement) => {
                globals.lower_prio[0] |= rest == "garp_lower_prio_repeat";
                globals.lower_prio[1] |= rest == "garp_lower_prio_delay";
            }
            Some(rest) if globals.choices.keyword(lower, rest, statement) => {}
            // Of instances; in older versions global, too.
            None if keyword == "vmac_garp_intvl" => drop(garp::keyword(lower, &mut globals.garp, keyword, statement)),
            None if keyword == "v3_checksum_as_v2" => drop(globals.choices.keyword(lower, keyword, statement)),
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

fn group(lower: &mut Lower<'_>, statement: &Statement<'_>, family: Family) -> Option<Option<IpAddr>> {
    let read = |w: &str| w.parse().ok().filter(|group| common::is_group(group) && Family::of(*group) == family);
    let expected = match family {
        Family::Ipv4 => "a multicast address of IPv4",
        Family::Ipv6 => "a multicast address of IPv6, of link-local scope",
    };
    lower.value(statement, expected, "skipped", read).map(Some)
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

/// Takes a value over where there is one.
pub(super) fn set<T>(to: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *to = value;
    }
}
