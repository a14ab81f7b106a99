//! Routes and rules as rtnetlink messages.

use std::net::IpAddr;

use ipnet::IpNet;
use mesh_config::model::{Encapsulation, Hop, Outer, Route, Rule, RuleAction};
use mesh_wire::mesh::Family;
use nix::net::if_::if_nametoindex;
use rtnetlink::packet_core::{DefaultNla, Nla};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{
    MplsLabel, RouteAddress, RouteAttribute, RouteFlags, RouteIp6Tunnel, RouteIpTunnel, RouteLwEnCapType,
    RouteLwTunnelEncap, RouteMessage, RouteMetric, RouteMplsIpTunnel, RouteNextHop, RouteNextHopFlags, RouteRealm,
    RouteVia,
};
use rtnetlink::packet_route::rule::{
    RuleAction as Action, RuleAttribute, RuleFlags, RuleMessage, RulePortRange, RuleUidRange,
};

/// Tables from here on do not fit in a header.
const RT_TABLE_COMPAT: u8 = 252;

/// A route to be added or removed.
pub(super) fn route(route: &Route, mark: u8) -> Result<RouteMessage, String> {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = family(route.family);
    header.tos = route.tos;
    header.table = short(route.table);
    header.protocol = route.protocol.filter(|_| !route.track).unwrap_or(mark).into();
    header.scope = route.scope.into();
    header.kind = route.kind.into();
    let attributes = &mut message.attributes;
    attributes.push(RouteAttribute::Table(route.table));
    if let Some(net) = route.destination {
        header.destination_prefix_length = net.prefix_len();
        attributes.push(RouteAttribute::Destination(net.addr().into()));
    }
    if let Some(net) = route.source {
        header.source_prefix_length = net.prefix_len();
        attributes.push(RouteAttribute::Source(net.addr().into()));
    }
    attributes.extend(route.preferred_source.map(|a| RouteAttribute::PrefSource(a.into())));
    attributes.extend(route.metric.map(RouteAttribute::Priority));
    attributes.extend(route.preference.map(|p| RouteAttribute::Preference(p.into())));
    attributes.extend(route.expires.map(RouteAttribute::Expires));
    attributes.extend(route.ttl_propagate.map(|on| RouteAttribute::TtlPropagate(u8::from(on).into())));
    let metrics = metrics(route);
    if !metrics.is_empty() {
        attributes.push(RouteAttribute::Metrics(metrics));
    }
    match &route.hops[..] {
        [] => {}
        [hop] => {
            if hop.onlink {
                header.flags |= RouteFlags::Onlink;
            }
            attributes.extend(index(hop)?.map(RouteAttribute::Oif));
            attributes.extend(hop_attributes(route.family, hop));
        }
        hops => {
            let hops = hops.iter().map(|hop| next_hop(route.family, hop)).collect::<Result<_, _>>()?;
            attributes.push(RouteAttribute::MultiPath(hops));
        }
    }
    Ok(message)
}

/// Whether the kernel tells of this route: by what it tells routes apart.
pub(super) fn is_route(told: &RouteMessage, route: &Route) -> bool {
    let find = |pick: fn(&RouteAttribute) -> Option<u32>| told.attributes.iter().find_map(pick);
    let table = find(|a| if let RouteAttribute::Table(table) = a { Some(*table) } else { None });
    let metric = find(|a| if let RouteAttribute::Priority(metric) = a { Some(*metric) } else { None });
    let destination = told.attributes.iter().find_map(|a| match a {
        RouteAttribute::Destination(RouteAddress::Inet(a)) => Some(IpAddr::from(*a)),
        RouteAttribute::Destination(RouteAddress::Inet6(a)) => Some(IpAddr::from(*a)),
        _ => None,
    });
    let destination = destination.and_then(|a| IpNet::new(a, told.header.destination_prefix_length).ok());
    told.header.address_family == family(route.family)
        && table.unwrap_or(told.header.table.into()) == route.table
        && route.destination.filter(|net| net.prefix_len() > 0) == destination
        && told.header.tos == route.tos
        && route.metric.is_none_or(|wanted| metric.unwrap_or(0) == wanted)
}

fn hop_attributes(of: Family, hop: &Hop) -> Vec<RouteAttribute> {
    let mut attributes = Vec::new();
    match hop.via {
        Some(via) if Family::of(via) == of => attributes.push(RouteAttribute::Gateway(via.into())),
        Some(IpAddr::V4(via)) => attributes.push(RouteAttribute::Via(RouteVia::Inet(via))),
        Some(IpAddr::V6(via)) => attributes.push(RouteAttribute::Via(RouteVia::Inet6(via))),
        None => {}
    }
    attributes.extend(hop.realms.map(|r| RouteAttribute::Realm(realm(r))));
    if let Some(encapsulation) = &hop.encapsulation {
        let (kind, parts) = match encapsulation {
            Encapsulation::Ip(outer) if outer.family == Family::Ipv4 => (RouteLwEnCapType::Ip, tunnel(outer)),
            Encapsulation::Ip(outer) => (RouteLwEnCapType::Ip6, tunnel(outer)),
            Encapsulation::Mpls { labels, ttl } => (RouteLwEnCapType::Mpls, stack(labels, *ttl)),
        };
        attributes.push(RouteAttribute::EncapType(kind));
        attributes.push(RouteAttribute::Encap(parts));
    }
    attributes
}

fn next_hop(of: Family, hop: &Hop) -> Result<RouteNextHop, String> {
    let mut next = RouteNextHop::default();
    if hop.onlink {
        next.flags = RouteNextHopFlags::Onlink;
    }
    next.hops = hop.hops;
    next.interface_index = index(hop)?.unwrap_or(0);
    next.attributes = hop_attributes(of, hop);
    Ok(next)
}

fn index(hop: &Hop) -> Result<Option<u32>, String> {
    let Some(name) = &hop.interface else { return Ok(None) };
    if_nametoindex(name.as_str()).map(Some).map_err(|_| format!("there is no interface {name}"))
}

/// The last label is marked as such.
fn stack(labels: &[u32], ttl: Option<u8>) -> Vec<RouteLwTunnelEncap> {
    const SHIFT: u32 = 12;
    const BOTTOM: u32 = 1 << 8;
    let mut entries: Vec<u32> = labels.iter().map(|label| label << SHIFT).collect();
    entries.iter_mut().rev().take(1).for_each(|last| *last |= BOTTOM);
    let destination = RouteMplsIpTunnel::Destination(entries.into_iter().map(MplsLabel::from).collect());
    let ttl = ttl.map(RouteMplsIpTunnel::Ttl);
    std::iter::once(destination).chain(ttl).map(RouteLwTunnelEncap::Mpls).collect()
}

fn tunnel(outer: &Outer) -> Vec<RouteLwTunnelEncap> {
    let mut parts = Vec::new();
    match outer.family {
        Family::Ipv4 => {
            parts.push(RouteIpTunnel::Id(outer.id));
            let v4 = |address: Option<IpAddr>| match address {
                Some(IpAddr::V4(address)) => Some(address),
                _ => None,
            };
            parts.extend(v4(outer.destination).map(RouteIpTunnel::Destination));
            parts.extend(v4(outer.source).map(RouteIpTunnel::Source));
            parts.extend([RouteIpTunnel::Ttl(outer.ttl), RouteIpTunnel::Tos(outer.tos)]);
            parts.into_iter().map(RouteLwTunnelEncap::Ip).collect()
        }
        Family::Ipv6 => {
            let mut parts = vec![RouteIp6Tunnel::Id(outer.id)];
            let v6 = |address: Option<IpAddr>| match address {
                Some(IpAddr::V6(address)) => Some(address),
                _ => None,
            };
            parts.extend(v6(outer.destination).map(RouteIp6Tunnel::Destination));
            parts.extend(v6(outer.source).map(RouteIp6Tunnel::Source));
            parts.extend([RouteIp6Tunnel::Hoplimit(outer.ttl), RouteIp6Tunnel::Tc(outer.tos)]);
            parts.into_iter().map(RouteLwTunnelEncap::Ip6).collect()
        }
    }
}

/// The kinds are those of the kernel already.
fn metrics(route: &Route) -> Vec<RouteMetric> {
    let number = |(kind, value): &(u16, u32)| RouteMetric::Other(DefaultNla::new(*kind, value.to_ne_bytes().to_vec()));
    let mut metrics: Vec<RouteMetric> = Vec::new();
    if route.locked != 0 {
        metrics.push(RouteMetric::Lock(route.locked));
    }
    metrics.extend(route.metrics.iter().map(number));
    metrics.extend(route.congestion_control.clone().map(RouteMetric::CcAlgo));
    metrics
}

/// A rule to be added or removed.
pub(super) fn rule(rule: &Rule, mark: u8) -> RuleMessage {
    let mut message = RuleMessage::default();
    let header = &mut message.header;
    header.family = family(rule.family);
    header.tos = rule.tos;
    header.src_len = rule.source.map_or(0, |net| net.prefix_len());
    header.dst_len = rule.destination.map_or(0, |net| net.prefix_len());
    if rule.invert {
        header.flags = RuleFlags::Invert;
    }
    let attributes = &mut message.attributes;
    attributes.extend(rule.source.map(|net| RuleAttribute::Source(net.addr())));
    attributes.extend(rule.destination.map(|net| RuleAttribute::Destination(net.addr())));
    attributes.extend(rule.input.clone().map(RuleAttribute::Iifname));
    attributes.extend(rule.output.clone().map(RuleAttribute::Oifname));
    attributes.push(RuleAttribute::Priority(rule.priority));
    if let Some((mark, mask)) = rule.mark {
        attributes.push(RuleAttribute::FwMark(mark));
        attributes.extend(mask.map(RuleAttribute::FwMask));
    }
    attributes.extend(rule.realms.map(|r| RuleAttribute::Realm(realm(r))));
    attributes.extend(rule.uids.map(|(start, end)| RuleAttribute::UidRange(RuleUidRange { start, end })));
    attributes.extend(rule.ip_protocol.map(|p| RuleAttribute::IpProtocol(i32::from(p).into())));
    let ports = |(start, end)| RulePortRange { start, end };
    attributes.extend(rule.source_ports.map(|p| RuleAttribute::SourcePortRange(ports(p))));
    attributes.extend(rule.destination_ports.map(|p| RuleAttribute::DestinationPortRange(ports(p))));
    attributes.extend(rule.tunnel.map(RuleAttribute::TunId));
    attributes.extend(rule.suppress_prefix.map(RuleAttribute::SuppressPrefixLen));
    attributes.extend(rule.suppress_group.map(RuleAttribute::SuppressIfGroup));
    attributes.push(RuleAttribute::Protocol(rule.protocol.filter(|_| !rule.track).unwrap_or(mark).into()));
    header.action = match rule.action {
        RuleAction::Table(table) => {
            header.table = short(table);
            attributes.push(RuleAttribute::Table(table));
            Action::ToTable
        }
        RuleAction::Vrf => {
            attributes.push(RuleAttribute::L3MDev(true));
            Action::ToTable
        }
        RuleAction::Goto(target) => {
            attributes.push(RuleAttribute::Goto(target));
            Action::Goto
        }
        RuleAction::Nothing => Action::Nop,
        RuleAction::Blackhole => Action::Blackhole,
        RuleAction::Unreachable => Action::Unreachable,
        RuleAction::Prohibit => Action::Prohibit,
    };
    message
}

/// Whether the kernel tells of this rule.
pub(super) fn is_rule(told: &RuleMessage, wanted: &Rule) -> bool {
    // What the kernel adds says nothing about which one it is.
    let said = rule(wanted, 0);
    let known =
        |a: &RuleAttribute| !matches!(a, RuleAttribute::Protocol(_) | RuleAttribute::Table(_)) && a.value_len() > 0;
    told.header.family == said.header.family
        && told.header.action == said.header.action
        && told.header.tos == said.header.tos
        && said.attributes.iter().filter(|a| known(a)).all(|a| told.attributes.contains(a))
}

fn family(family: Family) -> AddressFamily {
    match family {
        Family::Ipv4 => AddressFamily::Inet,
        Family::Ipv6 => AddressFamily::Inet6,
    }
}

fn short(table: u32) -> u8 {
    u8::try_from(table).unwrap_or(RT_TABLE_COMPAT)
}

fn realm((source, destination): (u16, u16)) -> RouteRealm {
    RouteRealm { source, destination }
}
