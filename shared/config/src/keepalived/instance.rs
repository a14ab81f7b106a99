//! `vrrp_instance`: the keywords. What they mean together is in [`complete`].

mod complete;
pub(super) mod conduct;
mod hmac;
mod vmac;

use std::net::IpAddr;
use std::time::Duration;

use mesh_wire::mesh::Family;

use super::address::{self, Declared};
use super::garp;
use super::global::{self, Globals};
use super::keywords::{AUTHENTICATION, INSTANCE};
use super::lower::Lower;
use super::notify;
use super::routing;
use super::track::{self, Tracking};
use super::tree::{At, Block, Statement};
use super::values;
use crate::model::{Config, GratuitousArp, Notify, Password, Route, Rule, Version};

/// An instance as declared, nothing decided.
struct Draft {
    name: String,
    at: At,
    /// `state MASTER`.
    active: Option<bool>,
    interface: Option<(String, At)>,
    vrid: Option<(u8, At)>,
    priority: Option<u8>,
    advert_interval: Option<(Duration, At)>,
    version: Option<Version>,
    /// `version` of the instance itself, the first one.
    version_at: Option<At>,
    authentication: Authentication,
    nopreempt: Option<At>,
    preempt_delay: Option<(Duration, At)>,
    source: Option<(IpAddr, At)>,
    /// That of its first address, source or peer, whichever stands first.
    family: Option<Family>,
    /// The first keyword that asks for unicast.
    unicast: Option<At>,
    peers: Vec<(IpAddr, At)>,
    addresses: Vec<Declared>,
    excluded: Vec<Declared>,
    track: Tracking,
    dont_track_primary: bool,
    track_source: bool,
    routes: Vec<Route>,
    rules: Vec<Rule>,
    vmac: vmac::Declared,
    vrf: Option<At>,
    garp: GratuitousArp,
    notify: Notify,
    strict: bool,
    skip_check_adv_addr: bool,
    conduct: conduct::Draft,
    hmac: Option<hmac::Draft>,
}

#[derive(Default)]
struct Authentication {
    /// The block's keyword.
    at: Option<At>,
    /// `auth_type`.
    kind: Option<AuthType>,
    password: Option<Password>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AuthType {
    Pass,
    Header,
    Unknown,
}

pub(super) fn lower(
    lower: &mut Lower<'_>,
    config: &mut Config,
    globals: &Globals,
    statement: &Statement<'_>,
    block: &Block<'_>,
) {
    let Some(name) = statement.parameters().first() else {
        let message = "`vrrp_instance` has no name; expected `vrrp_instance NAME {`";
        return lower.error(statement.at(), message.into());
    };
    let mut draft = Draft {
        name: name.text.to_string(),
        at: name.at,
        active: None,
        interface: None,
        vrid: None,
        priority: None,
        advert_interval: None,
        version: globals.version,
        version_at: None,
        authentication: Authentication::default(),
        nopreempt: None,
        preempt_delay: None,
        source: None,
        family: None,
        unicast: None,
        peers: Vec::new(),
        addresses: Vec::new(),
        excluded: Vec::new(),
        track: Tracking::default(),
        dont_track_primary: false,
        track_source: false,
        routes: Vec::new(),
        rules: Vec::new(),
        vmac: vmac::Declared::default(),
        vrf: None,
        garp: globals.garp,
        notify: Notify::default(),
        strict: globals.strict,
        skip_check_adv_addr: globals.skip_check_adv_addr,
        conduct: conduct::Draft::default(),
        hmac: None,
    };
    for statement in &block.statements {
        keyword(lower, &mut draft, statement);
    }
    if lower.places().routers.contains_key(&draft.name) {
        return lower.warning(name.at, format!("a second `vrrp_instance {}`; the first one stays", draft.name));
    }
    complete::complete(lower, config, globals, draft);
}

fn keyword(lower: &mut Lower<'_>, draft: &mut Draft, statement: &Statement<'_>) {
    if lower.language(statement) {
        return;
    }
    match (statement.keyword(), &statement.block) {
        ("authentication", Some(block)) => return authentication(lower, draft, statement, block),
        ("auth_hmac", Some(block)) => return hmac::read(lower, &mut draft.hmac, statement, block),
        ("unicast_peer", Some(block)) => return unicast_peer(lower, draft, statement, block),
        (keyword, Some(block)) if track::is_block(keyword) => return draft.track.read(lower, keyword, block),
        ("virtual_ipaddress", Some(block)) => return listed(lower, draft, block),
        ("virtual_ipaddress_excluded", Some(block)) => return draft.excluded.extend(addresses(lower, block)),
        ("virtual_routes", Some(block)) => return draft.routes.extend(routing::routes(lower, block)),
        ("virtual_rules", Some(block)) => return draft.rules.extend(routing::rules(lower, block)),
        (
            keyword @ ("authentication"
            | "auth_hmac"
            | "unicast_peer"
            | "track_interface"
            | "track_script"
            | "track_file"
            | "track_process"
            | "track_bfd"
            | "virtual_ipaddress"
            | "virtual_ipaddress_excluded"
            | "virtual_routes"
            | "virtual_rules"),
            None,
        ) => lower.error(statement.at(), format!("`{keyword}` has no block; expected `{{` after it")),
        ("state", _) => draft.active = Some(state(lower, statement)),
        ("interface", _) => {
            if let Some(word) = lower.parameter(statement, "the name of an interface") {
                draft.interface = Some((word.text.to_string(), word.at));
            }
        }
        ("virtual_router_id", _) => vrid(lower, draft, statement),
        ("priority", _) => {
            let read = |w: &str| values::unsigned(w).and_then(|n| u8::try_from(n).ok()).filter(|n| *n > 0);
            let priority = lower.value(statement, "a number from 1 to 255", "100 is used", read);
            draft.priority = Some(priority.unwrap_or(100));
        }
        ("advert_int", _) => {
            let (least, most) = (Duration::from_millis(10), Duration::from_secs(255));
            let read = |w: &str| values::seconds(w).filter(|d| (least..=most).contains(d));
            if let Some(interval) = lower.value(statement, "seconds from 0.01 to 255", "skipped", read) {
                draft.advert_interval = Some((interval, statement.parameters()[0].at));
            }
        }
        ("version", _) => version(lower, draft, statement),
        ("nopreempt", _) => draft.nopreempt = Some(statement.at()),
        ("preempt", _) => draft.nopreempt = None,
        ("preempt_delay", _) => {
            let read = |w: &str| values::seconds(w).filter(|d| *d <= Duration::from_secs(1000));
            if let Some(delay) = lower.value(statement, "seconds from 0 to 1000", "skipped", read) {
                draft.preempt_delay = Some((delay, statement.at()));
            }
        }
        ("unicast_src_ip", _) => {
            draft.unicast.get_or_insert(statement.at());
            source(lower, draft, statement);
        }
        ("mcast_src_ip", _) => source(lower, draft, statement),
        ("strict_mode", _) => {
            if let Some(strict) = switch(lower, statement) {
                draft.strict = strict;
            }
        }
        // A configured source that is not there is always a fault.
        ("track_src_ip", _) => draft.track_source = true,
        ("dont_track_primary", _) => draft.dont_track_primary = true,
        ("skip_check_adv_addr", _) => {
            if let Some(skip) = switch(lower, statement) {
                draft.skip_check_adv_addr = skip;
            }
        }
        ("use_vmac", _) => vmac::use_vmac(lower, &mut draft.vmac, statement),
        ("use_ipvlan", _) => vmac::use_ipvlan(lower, &mut draft.vmac, statement),
        ("vrf", _) => draft.vrf = Some(statement.at()),
        ("use_vmac_addr", _) => draft.vmac.addresses = true,
        ("vmac_xmit_base", _) => vmac::transmit_base(&mut draft.vmac, statement),
        // Read with the sync daemon.
        ("lvs_sync_daemon_interface", _) => {}
        ("native_ipv6", _) => {
            let message = "`native_ipv6` is obsolete: the addresses tell the family; skipped";
            lower.ignored(statement.at(), message.into());
        }
        _ if notify::keyword(lower, &mut draft.notify, statement) => return,
        (keyword, _) if garp::keyword(lower, &mut draft.garp, keyword, statement) => {}
        _ if draft.conduct.keyword(lower, statement) => draft.unicast = unicast_keyword(draft, statement),
        _ => return lower.other(&INSTANCE, statement),
    }
    lower.no_block(statement);
}

fn state(lower: &mut Lower<'_>, statement: &Statement<'_>) -> bool {
    let read = |w: &str| match w {
        "MASTER" => Some(true),
        "BACKUP" => Some(false),
        _ => None,
    };
    lower.value(statement, "MASTER or BACKUP", "BACKUP is used", read).unwrap_or(false)
}

/// What has a meaning only where unicast was asked for, and asks for it.
fn unicast_keyword(draft: &Draft, statement: &Statement<'_>) -> Option<At> {
    const ASK: [&str; 3] = ["unicast_fault_no_peer", "check_unicast_src", "old_unicast_checksum"];
    draft.unicast.or_else(|| ASK.contains(&statement.keyword()).then(|| statement.at()))
}

/// keepalived's `-t` lets a bad one pass; the daemon then refuses to start, and so do we.
fn vrid(lower: &mut Lower<'_>, draft: &mut Draft, statement: &Statement<'_>) {
    let expected = "a number from 1 to 255";
    let Some(word) = lower.parameter(statement, expected) else { return };
    // Also when it is wrong, so that it is not called missing.
    let vrid = values::unsigned(&word.text).and_then(|n| u8::try_from(n).ok()).unwrap_or(0);
    if vrid == 0 {
        let message = format!("`{}` is no value for `virtual_router_id`: expected {expected}", word.text);
        lower.error(word.at, message);
    }
    draft.vrid = Some((vrid, word.at));
}

/// A keyword that is on by itself.
pub(super) fn switch(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<bool> {
    if statement.parameters().is_empty() {
        return Some(true);
    }
    lower.value(statement, "on or off", "skipped", values::switch)
}

fn source(lower: &mut Lower<'_>, draft: &mut Draft, statement: &Statement<'_>) {
    let read = |w: &str| w.parse::<IpAddr>().ok();
    let Some(source) = lower.value(statement, "an IP address", "skipped", read) else { return };
    let at = statement.parameters()[0].at;
    if of_family(lower, draft, source, at, "expected an address of that family; skipped") {
        draft.source = Some((source, at));
    }
}

/// As with keepalived the first one stays.
fn version(lower: &mut Lower<'_>, draft: &mut Draft, statement: &Statement<'_>) {
    let Some(version) = lower.value(statement, "2 or 3", "skipped", global::version) else { return };
    match draft.version_at {
        None => (draft.version, draft.version_at) = (Some(version), Some(statement.at())),
        Some(first) if draft.version != Some(version) => {
            let line = lower.line(first, statement.at());
            lower.warning(statement.at(), format!("another `version` than in {line}; the first one stays"));
        }
        Some(_) => {}
    }
}

/// Adverts are of one family: so are all addresses they list, come from or go to. As with keepalived the first one
/// decides, and those of the other are left out.
fn of_family(lower: &mut Lower<'_>, draft: &mut Draft, address: IpAddr, at: At, expected: &str) -> bool {
    let (own, family) = (Family::of(address), *draft.family.get_or_insert(Family::of(address)));
    if own != family {
        lower.warning(at, format!("{address} is {own}, and `{}` is {family}; {expected}", draft.name));
    }
    own == family
}

fn authentication(lower: &mut Lower<'_>, draft: &mut Draft, outer: &Statement<'_>, block: &Block<'_>) {
    draft.authentication.at = Some(outer.at());
    for statement in &block.statements {
        if lower.language(statement) {
            continue;
        }
        match statement.keyword() {
            "auth_type" => auth_type(lower, draft, statement),
            "auth_pass" => {
                if let Some(word) = lower.parameter(statement, "a password of at most 8 bytes") {
                    let bytes = word.text.as_bytes();
                    if bytes.len() > 8 {
                        lower.warning(word.at, "the password is longer than 8 bytes; the first 8 are used".into());
                    }
                    draft.authentication.password = Some(Password::new(bytes));
                }
            }
            _ => {
                lower.other(&AUTHENTICATION, statement);
                continue;
            }
        }
        lower.no_block(statement);
    }
}

fn auth_type(lower: &mut Lower<'_>, draft: &mut Draft, statement: &Statement<'_>) {
    let Some(word) = lower.parameter(statement, "PASS or AH") else { return };
    draft.authentication.kind = Some(match &*word.text {
        "PASS" => AuthType::Pass,
        "AH" => AuthType::Header,
        // It may be the password.
        _ => {
            lower.warning(word.at, "no known authentication: expected PASS or AH; skipped".into());
            AuthType::Unknown
        }
    });
}

fn unicast_peer(lower: &mut Lower<'_>, draft: &mut Draft, outer: &Statement<'_>, block: &Block<'_>) {
    draft.unicast.get_or_insert(outer.at());
    for statement in &block.statements {
        if lower.language(statement) {
            continue;
        }
        lower.no_block(statement);
        let word = &statement.words[0];
        match word.text.parse::<IpAddr>() {
            Ok(peer) if !of_family(lower, draft, peer, word.at, "expected an address of that family; left out") => {}
            Ok(peer) => {
                draft.peers.push((peer, word.at));
                draft.conduct.peer(lower, peer, statement.parameters());
            }
            Err(_) => lower.warning(word.at, format!("`{}` is no IP address; left out", word.text)),
        }
    }
}

fn addresses(lower: &mut Lower<'_>, block: &Block<'_>) -> Vec<Declared> {
    let found = block.statements.iter().filter_map(|statement| {
        routing::only_static(lower, statement);
        address::parse(lower, statement)
    });
    found.collect()
}

/// Those that adverts list.
fn listed(lower: &mut Lower<'_>, draft: &mut Draft, block: &Block<'_>) {
    let expected = "expected one in `virtual_ipaddress_excluded`, or an instance of its own; left out";
    for found in addresses(lower, block) {
        if of_family(lower, draft, found.address.net.addr(), found.at, expected) {
            draft.addresses.push(found);
        }
    }
}
