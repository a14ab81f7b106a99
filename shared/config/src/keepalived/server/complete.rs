//! What the keywords of a virtual server mean together.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use mesh_wire::mesh::Family;

use super::super::lower::Lower;
use super::super::tree::At;
use super::pool::{DEFAULT_PERSISTENCE, HashFlag, Pool, Target, granularity};
use super::real::Declared;
use crate::model::{Endpoint, Forwarding, Protocol, SorryServer, VirtualServer};

/// Puts everything together; `None` when the virtual server has to be left out.
pub(super) fn complete(
    lower: &mut Lower<'_>,
    target: &Target<'_>,
    mut pool: Pool,
    reals: Vec<Declared>,
) -> Option<VirtualServer> {
    let marks_only = match target {
        Target::Address(_) => false,
        Target::Mark(_) => true,
        Target::Group(group, ..) => group.addresses.is_empty(),
    };
    pool.server.name = label(target);
    let mut sorry = sorry(lower, &mut pool);
    let tunnelled = reals.iter().all(|d| is_tunnel(d.real.forwarding))
        && sorry.is_none_or(|(sorry, _)| is_tunnel(sorry.forwarding));
    let family = family(lower, target, &pool, &reals, sorry, tunnelled)?;
    pool.server.family = family;
    pool.server.endpoints = endpoints(target, family);
    defaults(lower, target, &mut pool, marks_only);
    pool.server.name = name(target, &pool);
    flags(lower, &mut pool, marks_only);
    persistence(lower, target, &mut pool);
    if let Some((server, at)) = sorry
        && !is_tunnel(server.forwarding)
        && family_of(server.address) != family
    {
        lower.warning(at, format!("{} is not of the virtual server's family; left out", server.address.ip()));
        sorry = None;
    }
    real_servers(lower, target, &mut pool, reals);
    if pool.server.real_servers.is_empty() {
        lower.warning(pool.at, format!("virtual server {} has no real server; left out", label(target)));
        return None;
    }
    pool.server.sorry_server = sorry.map(|(mut sorry, at)| {
        sorry.address = ported(lower, target, sorry.address, sorry.forwarding, at);
        sorry
    });
    quorum(lower, &mut pool);
    Some(pool.server)
}

/// Notes its endpoints; false when another virtual server has one of them. keepalived would put the
/// real servers of both in one service of ip_vs, and each pool would take out those of the other.
pub(super) fn take(
    lower: &mut Lower<'_>,
    taken: &mut BTreeMap<(Endpoint, Option<Protocol>), String>,
    server: &VirtualServer,
    at: At,
) -> bool {
    let key = |endpoint: &Endpoint| match endpoint {
        Endpoint::Address(_) => (*endpoint, Some(server.protocol)),
        Endpoint::Fwmark(..) => (*endpoint, None),
    };
    if let Some((endpoint, other)) = server.endpoints.iter().find_map(|e| taken.get(&key(e)).map(|other| (e, other))) {
        let what = match endpoint {
            Endpoint::Address(address) => format!("{address}/{}", server.protocol.name()),
            Endpoint::Fwmark(mark, _) => format!("fwmark {mark}"),
        };
        lower.error(at, format!("{what} is already served by virtual server {other}; expected one pool for it"));
        return false;
    }
    taken.extend(server.endpoints.iter().map(|e| (key(e), server.name.clone())));
    true
}

fn is_tunnel(forwarding: Forwarding) -> bool {
    matches!(forwarding, Forwarding::Tunnel(_))
}

fn family_of(address: SocketAddr) -> Family {
    if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
}

/// How messages call it before its protocol is known.
fn label(target: &Target<'_>) -> String {
    match target {
        Target::Address(address) => address.to_string(),
        Target::Mark(mark) => format!("fwmark {mark}"),
        Target::Group(_, name, _) => (*name).to_string(),
    }
}

fn name(target: &Target<'_>, pool: &Pool) -> String {
    let protocol = pool.server.protocol.name();
    match target {
        Target::Address(address) => format!("{address}/{protocol}"),
        Target::Mark(mark) if pool.family.is_some() && pool.server.family == Family::Ipv6 => {
            format!("fwmark {mark} inet6")
        }
        Target::Mark(mark) => format!("fwmark {mark}"),
        Target::Group(_, name, 1) => (*name).to_string(),
        Target::Group(_, name, _) => format!("{name}/{protocol}"),
    }
}

fn endpoints(target: &Target<'_>, family: Family) -> Vec<Endpoint> {
    match target {
        Target::Address(address) => vec![Endpoint::Address(*address)],
        Target::Mark(mark) => vec![Endpoint::Fwmark(*mark, family)],
        Target::Group(group, ..) => {
            let addresses = group.addresses.iter().copied().map(Endpoint::Address);
            let marks = group.marks.iter().map(|(mark, own)| Endpoint::Fwmark(*mark, own.unwrap_or(family)));
            addresses.chain(marks).collect()
        }
    }
}

/// The address's, or what is said, or the first real server's that has to agree with it.
fn family(
    lower: &mut Lower<'_>,
    target: &Target<'_>,
    pool: &Pool,
    reals: &[Declared],
    sorry: Option<(SorryServer, At)>,
    tunnelled: bool,
) -> Option<Family> {
    let fixed = match target {
        Target::Address(address) => Some(family_of(*address)),
        Target::Mark(_) => None,
        Target::Group(group, ..) => group.addresses.first().map(|a| family_of(*a)),
    };
    if let (Some(fixed), Some((family, at))) = (fixed, pool.family)
        && family != fixed
    {
        lower.warning(at, "this is not the family of the virtual server's addresses; skipped".into());
    }
    if let Target::Group(group, name, _) = target
        && !mixture(lower, group, name, pool.at, tunnelled)
    {
        return None;
    }
    let declared = fixed.or(pool.family.map(|(family, _)| family));
    let mut all =
        reals.iter().map(|d| (d.real.address, d.real.forwarding)).chain(sorry.map(|(s, _)| (s.address, s.forwarding)));
    let first = all.clone().find(|(_, forwarding)| !is_tunnel(*forwarding)).map(|(address, _)| family_of(address));
    let same =
        if all.all(|(address, _)| !address.is_ipv4()) && !reals.is_empty() { Family::Ipv6 } else { Family::Ipv4 };
    Some(declared.or(first).unwrap_or(same))
}

/// Whether a group's families go together: of both only where everything is tunnelled and marks
/// say which they are of.
fn mixture(lower: &mut Lower<'_>, group: &super::group::Group, name: &str, at: At, tunnelled: bool) -> bool {
    let families: BTreeSet<bool> = group
        .addresses
        .iter()
        .map(SocketAddr::is_ipv4)
        .chain(group.marks.iter().filter_map(|(_, family)| family.map(|f| f == Family::Ipv4)))
        .collect();
    let unclear = group.marks.iter().any(|(_, family)| family.is_none());
    let wrong = match (families.len() > 1, tunnelled, unclear) {
        (true, false, _) => "is of two families, which needs tunnels to all real servers",
        (true, true, true) => "is of two families, and a mark in it says nothing: expected `fwmark NUMBER inet6`",
        _ => return true,
    };
    lower.warning(at, format!("`virtual_server_group {name}` {wrong}; left out"));
    false
}

fn defaults(lower: &mut Lower<'_>, target: &Target<'_>, pool: &mut Pool, marks_only: bool) {
    let label = label(target);
    let mut missing = |what: &str| lower.warning(pool.at, format!("virtual server {label} has no {what} is used"));
    if pool.protocol.is_none() && !marks_only {
        missing("`protocol`: UDP");
    }
    if pool.scheduler.is_none() {
        missing("`lb_algo`: wlc");
    }
    let all_say = pool.forwarding.is_some();
    if !all_say {
        missing("`lb_kind`: NAT");
    }
    pool.server.protocol = match pool.protocol {
        Some((_, at)) if marks_only => {
            lower.ignored(at, "marks are of every protocol; `protocol` has no effect".into());
            Protocol::Tcp
        }
        None if marks_only => Protocol::Tcp,
        protocol => protocol.map_or(Protocol::Udp, |(protocol, _)| protocol),
    };
    pool.server.forwarding = pool.forwarding.unwrap_or(Forwarding::Nat);
    super::words::put(&mut pool.server.scheduler, pool.scheduler.take());
}

fn flags(lower: &mut Lower<'_>, pool: &mut Pool, marks_only: bool) {
    for (flag, at) in &pool.hash_flags {
        match (pool.server.scheduler.as_str(), flag) {
            ("sh" | "mh", HashFlag::Fallback) => pool.server.flag_1 = true,
            ("sh" | "mh", HashFlag::Port) => pool.server.flag_2 = true,
            (other, _) => lower.warning(*at, format!("this is for the schedulers sh and mh, not for {other}; skipped")),
        }
    }
    if let Some(at) = pool.one_packet {
        pool.server.one_packet = marks_only || pool.server.protocol == Protocol::Udp;
        if !pool.server.one_packet {
            lower.warning(at, "`ops` is for UDP only; skipped".into());
        }
    }
}

fn persistence(lower: &mut Lower<'_>, target: &Target<'_>, pool: &mut Pool) {
    if let Some((text, at)) = &pool.granularity {
        pool.server.granularity = granularity(lower, pool.server.family, text, *at);
    }
    let any_port = match target {
        Target::Address(address) => address.port() == 0,
        Target::Mark(_) => false,
        Target::Group(group, ..) => group.ports.contains(&0),
    };
    if pool.server.persistence.is_some() {
        return;
    }
    let why = match (any_port, &pool.server.granularity, &pool.server.persistence_engine) {
        (true, _, _) => "a service of all ports",
        (_, Some(_), _) => "a granularity",
        (_, _, Some(_)) => "a persistence engine",
        (false, None, None) => return,
    };
    let message = format!("{why} needs persistence; `persistence_timeout {DEFAULT_PERSISTENCE}` is used");
    lower.warning(pool.at, message);
    pool.server.persistence = Some(DEFAULT_PERSISTENCE);
}

fn sorry(lower: &mut Lower<'_>, pool: &mut Pool) -> Option<(SorryServer, At)> {
    let default = pool.forwarding.unwrap_or(Forwarding::Nat);
    if let Some((address, at)) = pool.sorry {
        let forwarding = pool.sorry_forwarding.and_then(|(f, _)| f).unwrap_or(default);
        return Some((SorryServer { address, forwarding, inhibit: pool.sorry_inhibit.is_some() }, at));
    }
    for at in [pool.sorry_inhibit, pool.sorry_forwarding.map(|(_, at)| at)].into_iter().flatten() {
        lower.warning(at, "there is no `sorry_server`; skipped".into());
    }
    None
}

fn real_servers(lower: &mut Lower<'_>, target: &Target<'_>, pool: &mut Pool, reals: Vec<Declared>) {
    let mut seen = BTreeSet::new();
    for Declared { mut real, at, checks } in reals {
        if !is_tunnel(real.forwarding) && family_of(real.address) != pool.server.family {
            let message = format!(
                "{} and {} are of two families; the real server is left out",
                real.address.ip(),
                pool.server.name
            );
            lower.warning(at, message);
            continue;
        }
        real.address = ported(lower, target, real.address, real.forwarding, at);
        if seen.insert(real.address) {
            let checks = checks.into_iter().map(|at| lower.place(at)).collect();
            lower.places().checks.insert((pool.server.name.clone(), real.address), checks);
            pool.server.real_servers.push(real);
        } else {
            lower.warning(at, format!("{} is already a real server of this one; left out", real.address));
        }
    }
}

/// Direct routing and tunnels leave the port alone.
fn ported(
    lower: &mut Lower<'_>,
    target: &Target<'_>,
    mut address: SocketAddr,
    forwarding: Forwarding,
    at: At,
) -> SocketAddr {
    let port = match target {
        _ if forwarding == Forwarding::Nat => return address,
        Target::Address(service) => service.port(),
        Target::Mark(_) => 0,
        Target::Group(group, ..) => {
            if address.port() != 0 && group.ports.iter().any(|port| *port != address.port()) {
                let message = format!(
                    "port {} is not that of all addresses of the group: without NAT, it has no effect",
                    address.port()
                );
                lower.warning(at, message);
            }
            return address;
        }
    };
    if address.port() != port && address.port() != 0 {
        let instead = if port == 0 { "no port".into() } else { format!("port {port}") };
        lower.warning(
            at,
            format!("port {}: without NAT the port stays the service's; {instead} is used", address.port()),
        );
    }
    address.set_port(port);
    address
}

fn quorum(lower: &mut Lower<'_>, pool: &mut Pool) {
    let server = &mut pool.server;
    let total = server.real_servers.iter().map(|r| u64::from(r.weight)).sum::<u64>();
    if u64::from(server.quorum) > total && total > 0 {
        let message = format!("quorum {} is more than the weight of all real servers; {total} is used", server.quorum);
        lower.warning(pool.quorum_at, message);
        server.quorum = u32::try_from(total).unwrap_or(u32::MAX);
    } else if total == 0 && !server.real_servers.is_empty() {
        let message = format!("quorum {} is more than the weight of all real servers, which is 0", server.quorum);
        lower.warning(pool.quorum_at, message);
    }
    if server.hysteresis >= server.quorum && server.hysteresis > 0 {
        let message = format!("hysteresis {} is not below the quorum {}; 0 is used", server.hysteresis, server.quorum);
        lower.warning(pool.hysteresis_at, message);
        server.hysteresis = 0;
    }
}
