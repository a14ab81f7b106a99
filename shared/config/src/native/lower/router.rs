//! `[[router]]`. What keepalived.conf repairs with a warning is an error here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use ipnet::IpNet;
use mesh_wire::mesh::{Family, RouterKey};
use toml::Spanned;

use super::super::Source;
use super::super::schema::{Router, ScopeName, State, Unicast};
use super::super::text::{AddressEntry, PeerEntry, Time};
use super::track::{Tracking, tracks};
use super::{conduct, filled, notify, number, policy, routing, time, vmac, within};
use crate::common;
use crate::model::{Config, Scope, Transport, Version, VirtualAddress, VirtualRouter, can_be_virtual, most_addresses};
use crate::report::{Place, RouterPlaces, plural};

/// The priority that owns the addresses (RFC 9568 section 5.2.4).
pub(super) const OWNER: u8 = 255;
const LONGEST_NAME: usize = 15;

/// Lowers one router; `None` after an error that leaves nothing to go on with.
pub(super) fn lower(source: &mut Source<'_>, config: &Config, mut router: Router) -> Option<VirtualRouter> {
    let name_span = router.name.span();
    let name_place = source.place(name_span.clone());
    let name = filled(source, router.name.clone());
    if source.report.places.routers.contains_key(&name) {
        source.error(name_span, format!("a second router `{name}`; expected a name of its own"));
        return None;
    }
    let interface = (router.interface.get_ref().clone(), source.place(router.interface.span()));
    if interface.0.is_empty() || interface.0.len() > LONGEST_NAME {
        let message = format!("`{}` is no interface name; expected 1 to {LONGEST_NAME} bytes", interface.0);
        source.error(router.interface.span(), message);
    }
    let vrid_place = source.place(router.vrid.span());
    let vrid = within(source, &router.vrid, 1..=255).and_then(|n| u8::try_from(n).ok())?;
    let priority = number(source, router.priority.as_ref(), 1..=255, 100_u8);
    let active = state(source, router.state.as_ref(), priority, router.strict);
    let (preempt, preempt_delay) =
        preemption(source, &router.preempt, &router.preempt_delay, active, priority, router.strict);

    let mut places =
        RouterPlaces { name: name_place, vrid: vrid_place, addresses: Vec::new(), interfaces: vec![interface.clone()] };
    let list = router.addresses.span();
    let declared = std::mem::take(router.addresses.get_mut());
    let addresses = addresses(source, &mut places, declared);
    let family = family(&router, &addresses);
    let version = version(source, router.version.as_ref(), family);
    let most = most_addresses(family, version, router.auth_hmac.is_some(), common::mtu(source.files, &interface.0));
    listed(source, &router, &addresses, (family, most), list);
    let excluded = std::mem::take(&mut router.excluded_addresses);
    let excluded_addresses = self::addresses(source, &mut places, excluded);
    places.addresses = unique(source, &addresses, &excluded_addresses);
    source.report.places.routers.insert(name.clone(), places);
    let (mut transport, peer_ttls) = transport(source, family, &mut router);
    let frame = conduct::Frame { priority, version, family, transport: &transport, peer_ttls };
    let conduct = conduct::conduct(source, &router, frame);
    let advert_interval = advert_interval(source, router.advert_interval.as_ref(), version);
    let (auth_pass, auth_header) =
        conduct::password(source, router.auth_pass.as_ref(), router.auth_type.as_ref(), version, router.strict);
    let beside = router.auth_pass.as_ref();
    let auth_hmac =
        router.auth_hmac.and_then(|hmac| conduct::auth_hmac(source, hmac, beside, router.strict, advert_interval));
    let segment = (interface.0.as_str(), family, vrid);
    let (vmac, vmac_transmit_base) = match router.ipvlan {
        Some(ipvlan) => (Some(vmac::ipvlan(source, ipvlan, router.vmac.is_some(), segment, &mut transport)), true),
        None => vmac::lower(source, router.vmac, segment, &transport),
    };

    let mut tracking = Tracking {
        interfaces: router.track_interfaces,
        scripts: router.track_scripts,
        files: router.track_files,
        processes: router.track_processes,
        bfds: router.track_bfds,
    };
    tracking.without_own(source, &interface.0);
    Some(VirtualRouter {
        initial_active: active,
        priority,
        version,
        advert_interval,
        preempt,
        preempt_delay,
        auth_pass,
        auth_header,
        auth_hmac,
        transport,
        addresses: addresses.into_iter().map(|(a, _)| a).collect(),
        excluded_addresses: excluded_addresses.into_iter().map(|(a, _)| a).collect(),
        track: tracks(source, config, tracking, &name, priority == OWNER),
        dont_track_primary: router.track_own_interface == Some(false),
        track_source: router.track_source,
        routes: routing::routes(source, &router.routes),
        rules: routing::rules(source, &router.rules),
        vmac,
        vmac_transmit_base,
        vmac_addresses: router.vmac_addresses,
        garp: conduct::garp(source, &router.garp, router.strict),
        strict: router.strict,
        skip_check_adv_addr: router.skip_address_check,
        notify: notify::one(source, router.notify, router.alert),
        conduct,
        policy: policy(source, router.on_quorum_loss, router.quorum_loss_delay, router.trusted_neighbours),
        spread: spread(source, router.spread.as_ref(), priority),
        ..VirtualRouter::new(name, RouterKey { family, vrid, segment: 0 }, interface.0)
    })
}

/// Says where an advert cannot list them as they are.
fn listed(
    source: &mut Source<'_>,
    router: &Router,
    addresses: &Spans,
    (family, most): (Family, usize),
    list: Range<usize>,
) {
    if addresses.is_empty() != router.no_addresses || addresses.len() > most {
        let expected = if router.no_addresses { "none".into() } else { format!("1 to {most}") };
        source.error(list, format!("{}; expected {expected}", plural(addresses.len(), "address")));
    }
    for (address, span) in addresses {
        let expected = "expected one in `excluded_addresses`, or a router of its own";
        of_family(source, family, address.net.addr(), span.clone(), expected);
    }
    link_local_first(source, addresses, router.strict);
}

/// That of the addresses; without any, of where adverts come from or go to.
fn family(router: &Router, addresses: &Spans) -> Family {
    let unicast = router.unicast.as_ref().map(Spanned::get_ref);
    let peer = || unicast?.peers.get_ref().first()?.get_ref().0.address.parse().ok();
    let source = router.multicast_source.as_ref().or_else(|| unicast?.source.as_ref()).map(|s| *s.get_ref());
    let group = || router.multicast_group.as_ref().map(|group| *group.get_ref());
    let served = addresses.first().map(|(a, _)| a.net.addr());
    served.or(source).or_else(peer).or_else(group).map_or(Family::Ipv4, Family::of)
}

fn state(source: &mut Source<'_>, state: Option<&Spanned<State>>, priority: u8, strict: bool) -> bool {
    let owner = priority == OWNER;
    let Some(state) = state else { return owner };
    let active = matches!(state.get_ref(), State::Active);
    if strict && active != owner {
        source.error(state.span(), "strict: state \"active\" belongs to priority 255, and only to it".into());
    }
    active
}

/// Who owns the addresses has them anyway.
fn spread(source: &mut Source<'_>, spread: Option<&Spanned<bool>>, priority: u8) -> Option<bool> {
    let spread = spread?;
    if *spread.get_ref() && priority == OWNER {
        source.error(spread.span(), "`spread` does not work with priority 255: its owner always serves".into());
    }
    Some(*spread.get_ref())
}

fn preemption(
    source: &mut Source<'_>,
    preempt: &Option<Spanned<bool>>,
    delay: &Option<Spanned<Time>>,
    active: bool,
    priority: u8,
    strict: bool,
) -> (bool, Duration) {
    let wanted = preempt.as_ref().is_none_or(|p| *p.get_ref());
    let starts_active = if priority == OWNER { "priority 255" } else { "state \"active\"" };
    if let Some(preempt) = preempt.as_ref().filter(|p| !*p.get_ref() && (active || priority == OWNER)) {
        source.error(preempt.span(), format!("`preempt = false` does not work with {starts_active}"));
    }
    let value = time(source, delay.as_ref(), Duration::ZERO..=Duration::from_secs(1000), Duration::ZERO);
    if let Some(delay) = delay.as_ref().filter(|_| !value.is_zero()) {
        let with = match (active, strict, wanted) {
            (true, _, _) => starts_active,
            (_, true, _) => "strict",
            (_, _, false) => "`preempt = false`",
            (false, false, true) => return (wanted, value),
        };
        source.error(delay.span(), format!("`preempt_delay` does not work with {with}"));
    }
    (wanted, value)
}

fn advert_interval(source: &mut Source<'_>, interval: Option<&Spanned<Time>>, version: Version) -> Duration {
    let (least, most) = match version {
        Version::V2 => (Duration::from_secs(1), Duration::from_secs(255)),
        Version::V3 => (Duration::from_millis(10), Duration::from_millis(40_950)),
    };
    let value = time(source, interval, least..=most, Duration::from_secs(1));
    if let Some(interval) = interval.filter(|_| !value.as_micros().is_multiple_of(least.as_micros())) {
        source.error(interval.span(), format!("{value:?} is no multiple of {least:?}, the step of this version"));
    }
    value
}

/// IPv6 has version 3 alone.
fn version(source: &mut Source<'_>, version: Option<&Spanned<i64>>, family: Family) -> Version {
    let default = if family == Family::Ipv6 { 3 } else { 2 };
    let number = number(source, version, 2..=3, default);
    match (number, family, version) {
        (2, Family::Ipv6, Some(version)) => {
            source.error(version.span(), "VRRP version 2 has no IPv6; expected 3".into());
            Version::V3
        }
        (3_u8, ..) => Version::V3,
        _ => Version::V2,
    }
}

/// Adverts are of one family: so are all addresses they list, come from or go to.
fn of_family(source: &mut Source<'_>, family: Family, address: IpAddr, span: Range<usize>, expected: &str) {
    if Family::of(address) != family {
        source.error(span, format!("{address} is {}, and this router is {family}; {expected}", Family::of(address)));
    }
}

/// RFC 9568 section 5.2.9: adverts over IPv6 begin with a link-local address. Where there is one, they do.
fn link_local_first(source: &mut Source<'_>, addresses: &Spans, strict: bool) {
    let link_local = |a: &VirtualAddress| matches!(a.net.addr(), IpAddr::V6(a) if a.is_unicast_link_local());
    let Some((first, span)) = addresses.first().filter(|(a, _)| a.net.addr().is_ipv6()) else { return };
    if addresses.iter().any(|(a, _)| link_local(a)) {
        return;
    }
    if strict {
        let message = format!("strict: adverts would begin with {}; expected a link-local address", first.net.addr());
        source.error(span.clone(), message);
    } else {
        source.ignored(span.clone(), common::NO_LINK_LOCAL.into());
    }
}

type Ttls = BTreeMap<IpAddr, RangeInclusive<u8>>;

/// Where adverts go, and what TTLs of peers have to be within.
fn transport(source: &mut Source<'_>, family: Family, router: &mut Router) -> (Transport, Ttls) {
    let multicast = router.multicast_source.as_ref();
    let Some(unicast) = &mut router.unicast else {
        let source = multicast.map(|s| checked(source, family, s));
        return (Transport::Multicast { source }, Ttls::new());
    };
    if let Some(multicast) = multicast {
        source.error(multicast.span(), "`multicast_source` together with `unicast`; expected one of them".into());
    }
    let Unicast { source: from, peers, fault_without_peers, .. } = unicast.get_mut();
    let from = from.as_ref().map(|s| checked(source, family, s));
    if peers.get_ref().is_empty() && !*fault_without_peers {
        source.error(peers.span(), "no peer; expected at least one address, or `fault_without_peers`".into());
    }
    let (mut list, mut ttls, mut seen) = (Vec::new(), Ttls::new(), BTreeSet::new());
    for entry in std::mem::take(peers.get_mut()) {
        let span = entry.span();
        let PeerEntry(table) = entry.into_inner();
        let Some((address, ttl)) = conduct::peer(source, Spanned::new(span.clone(), table)) else { continue };
        of_family(source, family, address, span.clone(), "expected an address of that family");
        if Some(address) == from || !seen.insert(address) {
            let whose = if Some(address) == from { "this host's own `source`" } else { "already a peer" };
            source.error(span, format!("{address} is {whose}"));
        }
        list.push(address);
        ttls.extend(ttl.map(|ttl| (address, ttl)));
    }
    (Transport::Unicast { source: from, peers: list }, ttls)
}

fn checked(source: &mut Source<'_>, family: Family, address: &Spanned<IpAddr>) -> IpAddr {
    of_family(source, family, *address.get_ref(), address.span(), "expected an address of that family");
    *address.get_ref()
}

fn addresses(
    source: &mut Source<'_>,
    places: &mut RouterPlaces,
    entries: Vec<Spanned<AddressEntry>>,
) -> Vec<(VirtualAddress, Range<usize>)> {
    let mut list = Vec::new();
    for entry in entries {
        let span = entry.span();
        let Some(address) = address(source, entry.into_inner(), span.clone()) else { continue };
        let place: Place = source.place(span.clone());
        if let Some(interface) = &address.interface {
            places.interfaces.push((interface.clone(), place.clone()));
        }
        list.push((address, span));
    }
    list
}

pub(super) fn address(
    source: &mut Source<'_>,
    AddressEntry(entry): AddressEntry,
    span: Range<usize>,
) -> Option<VirtualAddress> {
    let net = match (entry.address.parse::<IpNet>(), entry.address.parse::<IpAddr>()) {
        (Ok(net), _) => net,
        (_, Ok(address)) => IpNet::from(address),
        _ => {
            let message = format!("`{}` is no address; expected one such as \"10.0.0.1/24\"", entry.address);
            source.error(span, message);
            return None;
        }
    };
    let place = span.clone();
    let address = net.addr();
    if address.is_ipv6() && (entry.label.is_some() || entry.scope.is_some() || entry.broadcast.is_some()) {
        source.error(span.clone(), format!("{address}: an IPv6 address has no label, scope or broadcast of its own"));
    }
    if !can_be_virtual(address) {
        source.error(span.clone(), format!("{address} cannot be a virtual address"));
    }
    if let Some(label) = entry.label.as_ref().filter(|l| l.is_empty() || l.len() > LONGEST_NAME) {
        source.error(span, format!("label `{label}`; expected 1 to {LONGEST_NAME} bytes"));
    }
    let other_end = entry.peer.as_deref().map(|text| {
        let peer = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        (text, peer.filter(|peer| peer.addr().is_ipv4() == address.is_ipv4()))
    });
    let (net, peer) = match other_end {
        Some((_, Some(peer))) => (IpNet::new(address, peer.prefix_len()).unwrap_or(net), Some(peer.addr())),
        Some((text, None)) => {
            source.error(place, format!("`{text}` is no peer; expected an address of the same family"));
            (net, None)
        }
        None => (net, None),
    };
    let scope = match entry.scope {
        None | Some(ScopeName::Global) => Scope::Global,
        Some(ScopeName::Site) => Scope::Site,
        Some(ScopeName::Link) => Scope::Link,
        Some(ScopeName::Host) => Scope::Host,
        Some(ScopeName::Nowhere) => Scope::Nowhere,
    };
    Some(VirtualAddress {
        interface: entry.interface,
        label: entry.label,
        scope,
        broadcast: entry.broadcast,
        vmac: entry.vmac,
        peer,
        dad: entry.dad,
        home: entry.home,
        manage_temporary: entry.manage_temporary,
        no_prefix_route: entry.no_prefix_route,
        autojoin: entry.autojoin,
        preferred_s: entry.preferred.map(|time| u32::try_from(time.0.as_secs()).unwrap_or(u32::MAX)),
        track: entry.track.unwrap_or(true),
        ..VirtualAddress::new(net)
    })
}

type Spans = [(VirtualAddress, Range<usize>)];

/// Where each address is served from. One that adverts list twice is as keepalived has it: a neighbour of the same
/// list counts them, and takes no others.
fn unique(source: &mut Source<'_>, addresses: &Spans, excluded: &Spans) -> Vec<Place> {
    let mut seen = BTreeSet::new();
    let mut places = Vec::new();
    for (i, (address, span)) in addresses.iter().chain(excluded).enumerate() {
        let known = format!("{} is already an address of this router", address.net.addr());
        if seen.insert(address.net.addr()) {
            places.push(source.place(span.clone()));
        } else if i < addresses.len() {
            source.warning(span.clone(), format!("{known}; adverts list it twice, as it is here"));
        } else {
            source.error(span.clone(), known);
        }
    }
    places
}
