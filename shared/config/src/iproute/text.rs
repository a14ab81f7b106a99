//! Routes and rules as text, which the readers beside this understand.

use std::fmt::Display;

use mesh_wire::mesh::Family;

use super::Names;
use super::route::{KINDS, METRICS, RTAX_CC_ALGO, RTAX_FEATURES, RTAX_RTO_MIN, RTAX_RTT, RTAX_RTTVAR, SCOPES, UNICAST};
use crate::model::{Encapsulation, Hop, Outer, Route, Rule, RuleAction};

/// The main table.
const MAIN: u32 = 254;

/// Words, one after another.
#[derive(Default)]
struct Line(Vec<String>);

impl Line {
    fn word(&mut self, word: impl Display) {
        self.0.push(word.to_string());
    }

    fn when(&mut self, on: bool, word: &str) {
        if on {
            self.word(word);
        }
    }

    fn pair(&mut self, keyword: &str, value: impl Display) {
        self.word(keyword);
        self.word(value);
    }

    fn some(&mut self, keyword: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.pair(keyword, value);
        }
    }

    fn unless<T: Display + PartialEq>(&mut self, keyword: &str, value: T, default: T) {
        if value != default {
            self.pair(keyword, value);
        }
    }

    /// The text, where `read` makes the same of it: a name with a blank in it has none.
    fn checked<T: PartialEq, E>(self, meant: &T, read: impl Fn(&[&str]) -> Result<T, E>) -> Option<String> {
        let text = self.0.join(" ");
        let words: Vec<&str> = text.split_whitespace().collect();
        read(&words).is_ok_and(|found| found == *meant).then_some(text)
    }
}

/// A route in the words of `ip route`; none where they do not suffice.
pub(crate) fn route_text(route: &Route) -> Option<String> {
    let Route {
        kind,
        family,
        destination,
        source,
        preferred_source,
        tos,
        table,
        protocol,
        scope,
        metric,
        hops,
        metrics: _, // with their locks
        locked: _,
        congestion_control: _,
        preference,
        expires,
        ttl_propagate,
        track,
    } = route;
    let mut line = Line::default();
    let shown = destination.is_some() || source.is_some() || preferred_source.is_some();
    let other_gateway = hops.iter().filter_map(|hop| hop.via).any(|via| Family::of(via) != *family);
    line.when(!shown && *family == Family::Ipv6, "inet6");
    line.when(!shown && *family == Family::Ipv4 && other_gateway, "inet");
    if *kind != UNICAST {
        line.word(KINDS.iter().find(|(_, number)| number == kind)?.0);
    }
    match destination {
        Some(net) => line.word(net),
        None => line.word("default"),
    }
    line.some("from", *source);
    line.some("src", *preferred_source);
    line.unless("tos", *tos, 0);
    line.unless("table", *table, MAIN);
    line.some("protocol", *protocol);
    if *scope != 0 {
        let known = SCOPES.iter().find(|(_, number)| *number == u32::from(*scope));
        line.pair("scope", known.map_or_else(|| scope.to_string(), |(name, _)| (*name).to_owned()));
    }
    line.some("metric", *metric);
    metrics(&mut line, route)?;
    let preference = preference.map(|preference| match preference {
        3 => "low",
        1 => "high",
        _ => "medium",
    });
    line.some("pref", preference);
    line.some("expires", *expires);
    line.some("ttl-propagate", ttl_propagate.map(|on| if on { "enabled" } else { "disabled" }));
    line.when(!track, "no_track");
    // They come last: what follows a `nexthop` is of that one.
    for hop in hops {
        line.when(hops.len() > 1, "nexthop");
        self::hop(&mut line, *family, hop);
    }
    line.checked(route, |words| super::route(words, &Names::none()))
}

fn metrics(line: &mut Line, route: &Route) -> Option<()> {
    let locked = |kind: u32| route.locked & (1 << kind) != 0;
    for (kind, value) in &route.metrics {
        if *kind == RTAX_FEATURES {
            line.pair("features", "ecn");
            continue;
        }
        line.word(METRICS.iter().find(|(_, number)| number == kind)?.0);
        line.when(locked((*kind).into()), "lock");
        match *kind {
            // The reader counts eighths and quarters, up to the largest number there is.
            RTAX_RTT => line.word(format!("{}ms", value.div_ceil(8))),
            RTAX_RTTVAR => line.word(format!("{}ms", value.div_ceil(4))),
            RTAX_RTO_MIN => line.word(format!("{value}ms")),
            _ => line.word(value),
        }
    }
    if let Some(algorithm) = &route.congestion_control {
        line.word("congctl");
        line.when(locked(RTAX_CC_ALGO), "lock");
        line.word(algorithm);
    }
    Some(())
}

fn hop(line: &mut Line, family: Family, hop: &Hop) {
    let Hop { via, interface, onlink, hops, realms, encapsulation } = hop;
    if let Some(via) = via {
        line.word("via");
        line.when(Family::of(*via) != family, if via.is_ipv6() { "inet6" } else { "inet" });
        line.word(via);
    }
    line.some("dev", interface.as_ref());
    line.when(*onlink, "onlink");
    line.unless("weight", u16::from(*hops) + 1, 1);
    line.some("realms", realms.map(self::realms));
    // Last, since `src` and `tos` that follow it are its own.
    match encapsulation {
        Some(Encapsulation::Ip(Outer { family, id, destination, source, ttl, tos })) => {
            line.pair("encap", if *family == Family::Ipv4 { "ip" } else { "ip6" });
            line.unless("id", *id, 0);
            line.some("dst", *destination);
            line.some("src", *source);
            line.unless("ttl", *ttl, 0);
            line.unless("tos", *tos, 0);
        }
        Some(Encapsulation::Mpls { labels, ttl }) => {
            line.pair("encap", "mpls");
            line.word(labels.iter().map(u32::to_string).collect::<Vec<_>>().join("/"));
            line.some("ttl", *ttl);
        }
        None => {}
    }
}

/// A rule in the words of `ip rule`; none where they do not suffice.
pub(crate) fn rule_text(rule: &Rule) -> Option<String> {
    let Rule {
        family,
        invert,
        source,
        destination,
        input,
        output,
        tos,
        mark,
        priority,
        realms,
        uids,
        ip_protocol,
        source_ports,
        destination_ports,
        tunnel,
        suppress_prefix,
        suppress_group,
        protocol,
        action,
        track,
    } = rule;
    let mut line = Line::default();
    line.when(source.is_none() && destination.is_none() && *family == Family::Ipv6, "inet6");
    line.when(*invert, "not");
    line.some("from", *source);
    line.some("to", *destination);
    line.some("iif", input.as_ref());
    line.some("oif", output.as_ref());
    line.unless("tos", *tos, 0);
    line.some(
        "fwmark",
        mark.map(|(mark, mask)| mask.map_or_else(|| mark.to_string(), |mask| format!("{mark}/{mask}"))),
    );
    line.some("realms", realms.map(self::realms));
    line.some("uidrange", uids.map(|(first, last)| format!("{first}-{last}")));
    line.some("ipproto", *ip_protocol);
    line.some("sport", source_ports.map(|(first, last)| format!("{first}-{last}")));
    line.some("dport", destination_ports.map(|(first, last)| format!("{first}-{last}")));
    line.some("tun_id", *tunnel);
    line.some("suppress_prefixlength", *suppress_prefix);
    line.some("suppress_ifgroup", *suppress_group);
    line.some("protocol", *protocol);
    match action {
        RuleAction::Table(table) => line.pair("table", table),
        RuleAction::Vrf => line.word("l3mdev"),
        RuleAction::Goto(target) => line.pair("goto", target),
        RuleAction::Nothing => line.word("nop"),
        RuleAction::Blackhole => line.word("blackhole"),
        RuleAction::Unreachable => line.word("unreachable"),
        RuleAction::Prohibit => line.word("prohibit"),
    }
    line.unless("priority", *priority, 0);
    line.when(!track, "no_track");
    line.checked(rule, |words| super::rule(words, &Names::none()))
}

fn realms((from, to): (u16, u16)) -> String {
    if from == 0 { to.to_string() } else { format!("{from}/{to}") }
}

#[cfg(test)]
mod tests;
