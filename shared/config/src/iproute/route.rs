//! `ip route`.

use std::net::IpAddr;

use mesh_wire::mesh::Family;

use super::{Kind, Names, Words, Wrong, interface, net, number, one_family, protocol};
use crate::model::{Encapsulation, Hop, Outer, Route};

/// RTN_UNICAST.
pub(super) const UNICAST: u8 = 1;
/// Words for RTN_*.
pub(super) const KINDS: &[(&str, u8)] = &[
    ("unicast", 1),
    ("local", 2),
    ("broadcast", 3),
    ("anycast", 4),
    ("multicast", 5),
    ("blackhole", 6),
    ("unreachable", 7),
    ("prohibit", 8),
    ("throw", 9),
];
/// Kinds that lead nowhere.
const NOWHERE: std::ops::RangeInclusive<u8> = 6..=9;
/// Words for RTAX_*, which may have `lock` before their number.
pub(super) const METRICS: &[(&str, u16)] = &[
    ("mtu", 2),
    ("window", 3),
    ("rtt", 4),
    ("rttvar", 5),
    ("ssthresh", 6),
    ("cwnd", 7),
    ("advmss", 8),
    ("reordering", 9),
    ("hoplimit", 10),
    ("initcwnd", 11),
    ("rto_min", 13),
    ("initrwnd", 14),
    ("quickack", 15),
    ("fastopen_no_cookie", 17),
];
pub(super) const RTAX_RTT: u16 = 4;
pub(super) const RTAX_RTTVAR: u16 = 5;
pub(super) const RTAX_FEATURES: u16 = 12;
pub(super) const RTAX_RTO_MIN: u16 = 13;
pub(super) const RTAX_CC_ALGO: u32 = 16;
pub(super) const SCOPES: &[(&str, u32)] =
    &[("global", 0), ("site", 200), ("link", 253), ("host", 254), ("nowhere", 255)];

/// Reads one route.
pub(crate) fn route(words: &[&str], names: &Names<'_>) -> Result<Route, Wrong> {
    let mut words = Words { words, at: 0, names };
    let mut route = Route {
        kind: UNICAST,
        family: Family::Ipv4,
        destination: None,
        source: None,
        preferred_source: None,
        tos: 0,
        table: 254,
        protocol: None,
        scope: 0,
        metric: None,
        hops: Vec::new(),
        metrics: Vec::new(),
        locked: 0,
        congestion_control: None,
        preference: None,
        expires: None,
        ttl_propagate: None,
        track: true,
    };
    let mut family = None;
    let mut direct = Hop::default();
    let mut destination_read = false;
    while let Some(word) = words.next() {
        match word {
            "inet" => one_family(&words, &mut family, Family::Ipv4)?,
            "inet6" => one_family(&words, &mut family, Family::Ipv6)?,
            "src" => {
                let address: IpAddr = words.value("an IP address", |w| w.parse().ok())?;
                one_family(&words, &mut family, Family::of(address))?;
                route.preferred_source = Some(address);
            }
            "from" => {
                let source = words.value("an IPv6 network", |w| net(w).filter(|net| net.addr().is_ipv6()))?;
                one_family(&words, &mut family, Family::Ipv6)?;
                route.source = Some(source);
            }
            "tos" | "dsfield" => route.tos = words.named(Kind::Field, &[])?,
            "table" => route.table = words.table()?,
            "protocol" => route.protocol = Some(protocol(&mut words)?),
            "scope" => route.scope = words.named(Kind::Scope, SCOPES)?,
            "metric" | "priority" | "preference" => route.metric = Some(words.number("a number")?),
            "congctl" => {
                if words.skip("lock") {
                    route.locked |= 1 << RTAX_CC_ALGO;
                }
                route.congestion_control =
                    Some(words.value("the name of an algorithm", |w| (w.len() < 16).then(|| w.to_owned()))?);
            }
            "features" => features(&mut words, &mut route)?,
            "pref" => {
                let read = |w: &str| match w {
                    "low" => Some(3),
                    "medium" => Some(0),
                    "high" => Some(1),
                    _ => None,
                };
                route.preference = Some(words.value("low, medium or high", read)?);
            }
            "expires" => route.expires = Some(words.number("seconds")?),
            "ttl-propagate" => {
                let read = |w: &str| match w {
                    "enabled" => Some(true),
                    "disabled" => Some(false),
                    _ => None,
                };
                route.ttl_propagate = Some(words.value("enabled or disabled", read)?);
            }
            "no_track" => route.track = false,
            "nexthop" => {
                let hop = nexthop(&mut words)?;
                route.hops.push(hop);
            }
            // An old word for a second gateway.
            "or" => {
                let via = words.value("an IP address", |w| w.parse().ok())?;
                route.hops.push(Hop { via: Some(via), ..Hop::default() });
            }
            // What is beside another route of the same destination has a table or a metric of its own.
            "to" | "append" if !destination_read => {}
            word if hop_word(&mut words, &mut direct, word)? => {}
            word if METRICS.iter().any(|(name, _)| *name == word) => metric(&mut words, &mut route, word)?,
            word if !destination_read && KINDS.iter().any(|(name, _)| *name == word) => {
                route.kind = KINDS.iter().find(|(name, _)| *name == word).map_or(UNICAST, |(_, kind)| *kind);
            }
            "default" if !destination_read => destination_read = true,
            word if !destination_read => {
                let Some(net) = net(word) else {
                    return Err(
                        words.wrong(format!("`{word}` is no destination: expected a network, an address or default"))
                    );
                };
                one_family(&words, &mut family, Family::of(net.addr()))?;
                route.destination = Some(net.trunc());
                destination_read = true;
            }
            word => return Err(words.wrong(format!("`{word}` is no word of a route"))),
        }
    }
    if !destination_read {
        return Err(words.wrong("no destination; expected a network, an address or default"));
    }
    finish(&words, route, family, direct)
}

/// What its parts mean together.
fn finish(words: &Words<'_>, mut route: Route, family: Option<Family>, direct: Hop) -> Result<Route, Wrong> {
    let via = direct.via.map(Family::of);
    route.family = family.or(via).unwrap_or(Family::Ipv4);
    if !route.hops.is_empty() {
        // `via A or B dev IF`: the interface is that of both.
        if direct.via.is_some() {
            route.hops.insert(0, Hop { interface: None, ..direct.clone() });
        }
        for hop in &mut route.hops {
            hop.interface = hop.interface.take().or_else(|| direct.interface.clone());
        }
    } else if direct != Hop::default() {
        route.hops.push(direct);
    }
    if NOWHERE.contains(&route.kind) && !route.hops.is_empty() {
        return Err(words.wrong("a route that leads nowhere has no `via` and no `dev`"));
    }
    if route.kind == UNICAST && route.hops.is_empty() {
        return Err(words.wrong("the route leads nowhere; expected `via ADDRESS` or `dev INTERFACE`"));
    }
    if route.family == Family::Ipv4 && (route.preference.is_some() || route.expires.is_some()) {
        return Err(words.wrong("`pref` and `expires` are of IPv6 alone"));
    }
    let wrong_gateway = |hop: &Hop| route.family == Family::Ipv6 && hop.via.is_some_and(|via| via.is_ipv4());
    if route.hops.iter().any(wrong_gateway) {
        return Err(words.wrong("an IPv6 route has no IPv4 gateway"));
    }
    Ok(route)
}

/// A word that belongs to one hop; false where it is another.
fn hop_word(words: &mut Words<'_>, hop: &mut Hop, word: &str) -> Result<bool, Wrong> {
    match word {
        "via" | "gw" => {
            let family =
                if words.skip("inet6") { Some(Family::Ipv6) } else { words.skip("inet").then_some(Family::Ipv4) };
            let of_family = |address: &IpAddr| family.is_none_or(|family| Family::of(*address) == family);
            let Some(word) = words.next() else {
                return Err(words.wrong(format!("`{word}` has no value; expected an IP address")));
            };
            let via = word.parse().ok().filter(of_family);
            hop.via = Some(via.ok_or_else(|| words.wrong(format!("`{word}` is no gateway: expected an IP address")))?);
        }
        "dev" | "oif" => hop.interface = Some(words.value("the name of an interface", interface)?),
        "onlink" => hop.onlink = true,
        "weight" => {
            let read = |w: &str| number(w).filter(|n| (1..=256).contains(n)).and_then(|n| u8::try_from(n - 1).ok());
            hop.hops = words.value("a number from 1 to 256", read)?;
        }
        "realms" => hop.realms = Some(words.realms()?),
        "encap" => hop.encapsulation = Some(encapsulation(words)?),
        _ => return Ok(false),
    }
    Ok(true)
}

/// `nexthop via A dev IF weight N ...`, up to the next one or the end.
fn nexthop(words: &mut Words<'_>) -> Result<Hop, Wrong> {
    let mut hop = Hop::default();
    while let Some(word) = words.peek().filter(|w| *w != "nexthop") {
        words.next();
        if word == "no_track" || !hop_word(words, &mut hop, word)? {
            words.at -= 1;
            break;
        }
    }
    if hop.via.is_none() && hop.interface.is_none() {
        return Err(words.wrong("`nexthop` without `via` and without `dev`"));
    }
    Ok(hop)
}

fn metric(words: &mut Words<'_>, route: &mut Route, word: &str) -> Result<(), Wrong> {
    let kind = METRICS.iter().find(|(name, _)| *name == word).map_or(0, |(_, kind)| *kind);
    let locked = words.skip("lock");
    let value = match kind {
        // In milliseconds, or with a unit; the kernel counts eighths and quarters of them.
        RTAX_RTT => words.value("milliseconds, or a time such as 2s", milliseconds)?.saturating_mul(8),
        RTAX_RTTVAR => words.value("milliseconds, or a time such as 2s", milliseconds)?.saturating_mul(4),
        RTAX_RTO_MIN => words.value("milliseconds, or a time such as 2s", milliseconds)?,
        _ => words.number("a number")?,
    };
    route.metrics.retain(|(known, _)| *known != kind);
    route.metrics.push((kind, value));
    if locked {
        route.locked |= 1 << kind;
    }
    Ok(())
}

fn milliseconds(word: &str) -> Option<u32> {
    let digits = word.strip_suffix("ms");
    let (digits, times) = match (digits, word.strip_suffix('s')) {
        (Some(digits), _) => (digits, 1),
        (None, Some(digits)) => (digits, 1000),
        (None, None) => (word, 1),
    };
    u32::try_from(number(digits)?).ok()?.checked_mul(times)
}

/// `features ecn`.
fn features(words: &mut Words<'_>, route: &mut Route) -> Result<(), Wrong> {
    const ECN: u32 = 1;
    words.value("ecn", |w| (w == "ecn").then_some(()))?;
    route.metrics.push((RTAX_FEATURES, ECN));
    Ok(())
}

/// `encap mpls LABEL/LABEL ttl N`, or `encap ip` and `encap ip6`.
fn encapsulation(words: &mut Words<'_>) -> Result<Encapsulation, Wrong> {
    let read = |w: &str| match w {
        "ip" => Some(Some(Family::Ipv4)),
        "ip6" => Some(Some(Family::Ipv6)),
        "mpls" => Some(None),
        _ => None,
    };
    let Some(family) = words.value("ip, ip6 or mpls (others are not supported)", read)? else {
        let labels = words.value("labels from 0 to 1048575 with `/` between them", labels)?;
        let ttl = if words.skip("ttl") { Some(words.number("a number to 255")?) } else { None };
        return Ok(Encapsulation::Mpls { labels, ttl });
    };
    outer(words, family).map(Encapsulation::Ip)
}

/// Labels of 20 bits, as many as the kernel takes.
fn labels(word: &str) -> Option<Vec<u32>> {
    const MOST: usize = 30;
    let read = |label: &str| number(label).filter(|n| *n < 1 << 20).and_then(|n| u32::try_from(n).ok());
    word.split('/').map(read).collect::<Option<Vec<u32>>>().filter(|labels| labels.len() <= MOST)
}

/// `id N dst A src A ttl N tos N`, or with `hoplimit N tc N`.
fn outer(words: &mut Words<'_>, family: Family) -> Result<Outer, Wrong> {
    let mut found = Outer { family, id: 0, destination: None, source: None, ttl: 0, tos: 0 };
    let address = |w: &str| w.parse::<IpAddr>().ok().filter(|a| Family::of(*a) == family);
    while let Some(word) = words.peek() {
        words.next();
        match word {
            "id" => found.id = words.number("a number")?,
            "dst" => found.destination = Some(words.value("an address of that family", address)?),
            "src" => found.source = Some(words.value("an address of that family", address)?),
            "ttl" | "hoplimit" => found.ttl = words.number("a number to 255")?,
            "tos" | "tc" => found.tos = words.number("a number to 255")?,
            _ => {
                words.at -= 1;
                break;
            }
        }
    }
    Ok(found)
}
