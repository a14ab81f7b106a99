//! What the keywords of an instance mean together, in the order in which keepalived decides it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use mesh_wire::mesh::{Family, RouterKey};

use super::super::address::Declared;
use super::super::global::Globals;
use super::super::lower::Lower;
use super::super::tree::At;
use super::{AuthType, Draft, conduct, vmac};
use crate::common;
use crate::model::{Config, Password, Transport, Version, VirtualRouter, most_addresses};
use crate::report::RouterPlaces;

/// The priority that owns the addresses (RFC 9568 section 5.2.4).
pub(super) const OWNER: u8 = 255;

/// Adds the router, or says why not.
pub(super) fn complete(lower: &mut Lower<'_>, config: &mut Config, globals: &Globals, mut draft: Draft) {
    let Some((interface, (vrid, vrid_at))) = required(lower, globals, &mut draft) else { return };
    let family = draft.family.unwrap_or(Family::Ipv4);
    let version = version(lower, &draft, family);
    let priority = priority(lower, &mut draft);
    let auth_pass = auth_pass(lower, &draft, version);
    let mut transport = transport(lower, &draft);
    if draft.strict && matches!(transport, Transport::Unicast { .. }) {
        let message = format!("`{}`: strict VRRP has no unicast peers; adverts go to them all the same", draft.name);
        lower.warning(draft.unicast.unwrap_or(draft.at), message);
    }
    let most = most_addresses(family, version, draft.hmac.is_some(), common::mtu(lower.files, &interface.0));
    if !addresses(lower, &mut draft, most) {
        return;
    }
    let frame = conduct::Frame { strict: draft.strict, priority, version, family, transport: &transport };
    let mut conduct = std::mem::take(&mut draft.conduct).complete(lower, globals.choices, &frame);
    if matches!(transport, Transport::Multicast { .. }) {
        conduct.group = conduct.group.or(globals.group(family));
    }
    let garp = if draft.strict { conduct::strict_garp(draft.garp) } else { draft.garp };
    let (preempt, preempt_delay) = preemption(lower, &draft, priority);
    let advert_interval = advert_interval(lower, &draft, version);
    let auth_hmac = draft.hmac.take().and_then(|hmac| hmac.complete(lower, draft.strict, advert_interval));
    draft.track.without_own(lower, &interface.0);
    for (interface, at) in draft.track.interfaces() {
        let place = lower.place(at);
        lower.places().tracked_interfaces.push((draft.name.clone(), interface.to_owned(), place));
    }
    let track = std::mem::take(&mut draft.track).resolve(lower, config, priority == OWNER);

    let vmac_addresses = draft.vmac.addresses;
    let (vmac, vmac_transmit_base) =
        vmac::complete(lower, config, &mut draft, (&interface.0, family, vrid), &mut transport);

    note_places(lower, &draft, &interface, vrid_at);
    config.routers.push(VirtualRouter {
        initial_active: draft.active == Some(true),
        priority,
        version,
        advert_interval,
        preempt,
        preempt_delay,
        auth_pass: auth_pass.map(|(password, _)| password),
        auth_header: auth_pass.is_some_and(|(_, kind)| kind == AuthType::Header),
        auth_hmac,
        transport,
        addresses: draft.addresses.into_iter().map(|d| d.address).collect(),
        excluded_addresses: draft.excluded.into_iter().map(|d| d.address).collect(),
        track,
        dont_track_primary: draft.dont_track_primary,
        track_source: draft.track_source,
        routes: draft.routes,
        rules: draft.rules,
        vmac,
        vmac_transmit_base,
        vmac_addresses,
        garp,
        notify: draft.notify,
        strict: draft.strict,
        skip_check_adv_addr: draft.skip_check_adv_addr,
        conduct,
        ..VirtualRouter::new(draft.name, RouterKey { family, vrid, segment: 0 }, interface.0)
    });
}

/// What no instance goes without. Both are looked at even when one is missing, to report all at once.
fn required(lower: &mut Lower<'_>, globals: &Globals, draft: &mut Draft) -> Option<((String, At), (u8, At))> {
    let interface = draft.interface.take().or_else(|| globals.interface.clone());
    if let Some(at) = draft.vrf.filter(|_| interface.is_some()) {
        lower.warning(at, "`vrf` has no place beside an interface, whose VRF is used anyway; skipped".into());
    }
    if interface.is_none() {
        let which = if draft.vrf.is_some() { ", one of the VRF: without one no instance is served" } else { "" };
        let message = format!("`{}` has no `interface`; expected `interface NAME`{which}", draft.name);
        lower.error(draft.at, message);
    }
    if draft.vrid.is_none() {
        let message = format!("`{}` has no `virtual_router_id`; expected a number from 1 to 255", draft.name);
        lower.error(draft.at, message);
    }
    interface.zip(draft.vrid)
}

/// Where findings of the host, or of all routers together, are shown.
fn note_places(lower: &mut Lower<'_>, draft: &Draft, interface: &(String, At), vrid: At) {
    let served = draft.addresses.iter().filter(|d| !d.again).chain(&draft.excluded);
    let devices = served.clone().filter_map(|d| d.address.interface.clone().zip(d.device_at));
    let places = RouterPlaces {
        name: lower.place(draft.at),
        vrid: lower.place(vrid),
        addresses: served.map(|d| lower.place(d.at)).collect(),
        interfaces: std::iter::once(interface.clone()).chain(devices).map(|(i, at)| (i, lower.place(at))).collect(),
    };
    lower.places().routers.insert(draft.name.clone(), places);
}

/// IPv6 has version 3 alone, whatever `vrrp_version` says.
fn version(lower: &mut Lower<'_>, draft: &Draft, family: Family) -> Version {
    match (family, draft.version) {
        (Family::Ipv4, version) => version.unwrap_or(Version::V2),
        (Family::Ipv6, Some(Version::V2)) => {
            if let Some(at) = draft.version_at {
                lower.warning(at, "VRRP version 2 has no IPv6; version 3 is used".into());
            }
            Version::V3
        }
        (Family::Ipv6, None | Some(Version::V3)) => Version::V3,
    }
}

/// MASTER without a priority owns the addresses, an owner without a state is MASTER; strict wants
/// the two to agree.
fn priority(lower: &mut Lower<'_>, draft: &mut Draft) -> u8 {
    let priority = draft.priority.unwrap_or(if draft.active == Some(true) { OWNER } else { 100 });
    let owner = priority == OWNER;
    if draft.strict && draft.active.is_some_and(|active| active != owner) {
        let state = if owner { "MASTER" } else { "BACKUP" };
        let message =
            format!("`{}`: strict mode and priority {priority} need state {state}; {state} is used", draft.name);
        lower.warning(draft.at, message);
        draft.active = Some(owner);
    }
    draft.active.get_or_insert(owner);
    priority
}

fn auth_pass(lower: &mut Lower<'_>, draft: &Draft, version: Version) -> Option<(Password, AuthType)> {
    let authentication = &draft.authentication;
    let at = authentication.at?;
    let kind = match (authentication.kind, authentication.password) {
        (Some(kind @ (AuthType::Pass | AuthType::Header)), _) => kind,
        (None, Some(_)) => {
            lower.ignored(at, "a password without `auth_type PASS` is not used".into());
            return None;
        }
        (Some(AuthType::Unknown), _) | (None, None) => return None,
    };
    if draft.hmac.is_some() {
        lower.warning(at, "`authentication` has no place beside `auth_hmac`; the password is not used".into());
        return None;
    }
    if draft.strict {
        lower.warning(at, "strict mode has no authentication; the password is not used".into());
        return None;
    }
    if version == Version::V3 {
        lower.warning(at, "VRRP version 3 has no authentication; the password is not used".into());
        return None;
    }
    let password = authentication.password.filter(|password| password.0[0] != 0);
    if password.is_none() {
        let name = if kind == AuthType::Pass { "PASS" } else { "AH" };
        lower.warning(at, format!("`auth_type {name}` without `auth_pass`; no authentication is used"));
    }
    password.map(|password| (password, kind))
}

fn transport(lower: &mut Lower<'_>, draft: &Draft) -> Transport {
    let source = draft.source.map(|(source, _)| source);
    let mut peers: Vec<IpAddr> = Vec::new();
    let mut seen = BTreeSet::new();
    for (peer, at) in &draft.peers {
        if Some(*peer) == source {
            lower.ignored(*at, format!("{peer} is this host's own `unicast_src_ip`; left out"));
        } else if seen.insert(*peer) {
            peers.push(*peer);
        } else {
            lower.ignored(*at, format!("{peer} is already a peer; left out"));
        }
    }
    if !peers.is_empty() {
        return Transport::Unicast { source, peers };
    }
    if let Some(at) = draft.unicast {
        if draft.conduct.fault_no_peer {
            lower.warning(at, "unicast without a peer in `unicast_peer`; the instance is in fault".into());
            return Transport::Unicast { source, peers };
        }
        lower.warning(at, "unicast without a peer in `unicast_peer`; adverts are multicast".into());
    }
    Transport::Multicast { source }
}

/// Drops what cannot be served; false when the instance is left out.
fn addresses(lower: &mut Lower<'_>, draft: &mut Draft, most: usize) -> bool {
    repeated(lower, draft);
    if let Some(at) = draft.conduct.no_addresses.filter(|_| draft.strict) {
        lower.warning(at, "strict mode wants an address; `no_virtual_ipaddress` is not used".into());
        draft.conduct.no_addresses = None;
    }
    if draft.addresses.is_empty() && draft.conduct.no_addresses.is_none() {
        if draft.strict {
            lower.warning(draft.at, format!("`{}` has no address to serve; the instance is left out", draft.name));
            return false;
        }
        // Notify scripts may be all that is wanted, in a cloud for example.
        let what = if draft.excluded.is_empty() { "an election and nothing more" } else { "adverts list none" };
        let how = "expected one in `virtual_ipaddress`, or `no_virtual_ipaddress`";
        lower.warning(draft.at, format!("`{}` has no virtual address: {what}; {how}", draft.name));
    }
    link_local_first(lower, draft);
    if draft.addresses.len() > most {
        let excess = draft.addresses.split_off(most);
        let message = format!("{} addresses are more than the {most} of an advert", excess.len() + most);
        lower.warning(excess[0].at, format!("{message}; from here on they are served as excluded ones"));
        let excess = excess.into_iter().filter(|d| !d.again).collect();
        let further: Vec<Declared> = std::mem::replace(&mut draft.excluded, excess);
        draft.excluded.extend(further);
    }
    true
}

/// What is listed twice is in adverts twice: a keepalived with the same file counts the addresses of ours, and takes
/// no others. It is served once.
fn repeated(lower: &mut Lower<'_>, draft: &mut Draft) {
    let mut seen = BTreeSet::new();
    for d in &mut draft.addresses {
        let address = d.address.net.addr();
        d.again = !seen.insert(address);
        if d.again {
            let message =
                format!("{address} is already an address of this instance; adverts list it twice, as it is here");
            lower.warning(d.at, message);
        }
    }
    draft.excluded.retain(|d| {
        let address = d.address.net.addr();
        let new = seen.insert(address);
        if !new {
            lower.warning(d.at, format!("{address} is already an address of this instance; left out"));
        }
        new
    });
}

/// RFC 9568 section 5.2.9 wants a link-local address first. Where there is one it becomes the first;
/// where there is none, keepalived sends what there is, and minds it in strict mode.
fn link_local_first(lower: &mut Lower<'_>, draft: &mut Draft) {
    let found = draft.addresses.iter().position(|d| is_link_local(d.address.net.addr()));
    match (draft.addresses.first(), found) {
        (Some(first), None) if first.address.net.addr().is_ipv6() => {
            let message = common::NO_LINK_LOCAL;
            if draft.strict {
                lower.warning(first.at, format!("strict mode: {message}"));
            } else {
                lower.ignored(first.at, message.into());
            }
        }
        (_, Some(at)) => draft.addresses[..=at].rotate_right(1),
        (_, None) => {}
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

fn preemption(lower: &mut Lower<'_>, draft: &Draft, priority: u8) -> (bool, Duration) {
    let active = draft.active == Some(true);
    let mut preempt = draft.nopreempt.is_none();
    if let Some(at) = draft.nopreempt {
        let why = match (priority == OWNER, active) {
            (true, _) => Some("an owner of the addresses (priority 255)"),
            (false, true) => Some("state MASTER"),
            (false, false) => None,
        };
        if let Some(why) = why {
            lower.warning(at, format!("`nopreempt` does not work with {why}; not used"));
            preempt = true;
        }
    }
    let Some((delay, at)) = draft.preempt_delay.filter(|(delay, _)| !delay.is_zero()) else {
        return (preempt, Duration::ZERO);
    };
    let why = match (active, draft.strict, preempt) {
        (true, _, _) => "state MASTER",
        (_, true, _) => "strict mode",
        (_, _, false) => "`nopreempt`",
        (false, false, true) => return (preempt, delay),
    };
    lower.warning(at, format!("`preempt_delay` does not work with {why}; not used"));
    (preempt, Duration::ZERO)
}

/// To the steps a packet can carry, half a step upwards.
fn advert_interval(lower: &mut Lower<'_>, draft: &Draft, version: Version) -> Duration {
    let Some((declared, at)) = draft.advert_interval else { return Duration::from_secs(1) };
    let (step, most) = match version {
        Version::V2 => (Duration::from_secs(1), Duration::from_secs(255)),
        Version::V3 => (Duration::from_millis(10), Duration::from_millis(40_950)),
    };
    let steps = (declared + step / 2).as_micros() / step.as_micros();
    let rounded = (step * u32::try_from(steps).unwrap_or(u32::MAX)).clamp(step, most);
    if rounded != declared {
        let message = format!(
            "`advert_int` of version {} has steps of {step:?} up to {most:?}; {rounded:?} is used",
            match version {
                Version::V2 => 2,
                Version::V3 => 3,
            }
        );
        lower.warning(at, message);
    }
    rounded
}
