//! Tells whether a router is configured as it was in the run before, which may have been of another version: by text
//! that is written out here, name by name. What has its usual value is left out, so that a setting that is new does not
//! make a router another one. Where the models get fields, the compiler asks here what becomes of them.

use std::fmt::{Display, Write};

use mesh_config::model::{
    Encapsulation, Hop, Outer, Route, Rule, RuleAction, Scope, Transport, Version, VirtualRouter,
};
use mesh_wire::fnv;
use mesh_wire::mesh::Family;

/// Of all of a router's configuration that the kernel, the segment or the voters know of. (FNV-1a: it guards against
/// change, not against an attacker.)
pub(in crate::engine) fn digest(router: &VirtualRouter) -> u64 {
    let mut text = Text(router.key.to_string());
    text.unless("version", version(router), "3");
    text.part("interface", &router.interface);
    text.part("advert_ms", router.advert_interval.as_millis());
    text.part("priority", router.priority);
    text.unless("auth", router.auth_pass.is_some(), false);
    text.transport(&router.transport);
    text.part("addresses", router.addresses.len());
    for address in router.served() {
        text.part("address", address.net);
        text.part("on", router.interface_of(address));
        text.some("label", address.label.as_ref());
        text.unless("scope", scope(address.scope), "global");
    }
    for vmac in router.vmacs() {
        text.part("vmac", &vmac.name);
        vmac.mac.iter().for_each(|byte| text.part("mac", byte));
    }
    router.routes.iter().for_each(|route| text.route(route));
    router.rules.iter().for_each(|rule| text.rule(rule));
    fnv::hash(text.0.as_bytes())
}

/// Grows by `name=value` for each part.
struct Text(String);

impl Text {
    fn part(&mut self, name: &str, value: impl Display) {
        write!(self.0, " {name}={value}").expect("a string takes everything");
    }

    fn some(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.part(name, value);
        }
    }

    fn unless<T: Display + PartialEq>(&mut self, name: &str, value: T, usual: T) {
        if value != usual {
            self.part(name, value);
        }
    }

    fn pair(&mut self, name: &str, value: Option<(impl Display, impl Display)>) {
        self.some(name, value.map(|(first, second)| format!("{first}-{second}")));
    }

    fn transport(&mut self, transport: &Transport) {
        match transport {
            Transport::Multicast { source } => self.some("source", source.as_ref()),
            Transport::Unicast { source, peers } => {
                self.part("unicast", peers.len());
                self.some("source", source.as_ref());
                peers.iter().for_each(|peer| self.part("peer", peer));
            }
        }
    }

    fn route(&mut self, route: &Route) {
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
            metrics,
            locked,
            congestion_control,
            preference,
            expires,
            ttl_propagate,
            track,
        } = route;
        self.part("route", name(*family));
        self.part("kind", kind);
        self.some("to", destination.as_ref());
        self.some("from", source.as_ref());
        self.some("src", preferred_source.as_ref());
        self.unless("tos", *tos, 0);
        self.part("table", table);
        self.some("protocol", protocol.as_ref());
        self.part("scope", scope);
        self.some("metric", metric.as_ref());
        metrics.iter().for_each(|metric| self.pair("with", Some(*metric)));
        self.unless("locked", *locked, 0);
        self.some("congctl", congestion_control.as_ref());
        self.some("preference", preference.as_ref());
        self.some("expires", expires.as_ref());
        self.some("ttl_propagate", ttl_propagate.as_ref());
        self.unless("track", *track, true);
        hops.iter().for_each(|hop| self.hop(hop));
    }

    fn hop(&mut self, hop: &Hop) {
        let Hop { via, interface, onlink, hops, realms, encapsulation } = hop;
        self.part("hop", hops);
        self.some("via", via.as_ref());
        self.some("dev", interface.as_ref());
        self.unless("onlink", *onlink, false);
        self.pair("realms", *realms);
        match encapsulation {
            None => {}
            Some(Encapsulation::Ip(Outer { family, id, destination, source, ttl, tos })) => {
                self.part("encap", name(*family));
                self.part("id", id);
                self.some("dst", destination.as_ref());
                self.some("src", source.as_ref());
                self.part("ttl", ttl);
                self.part("tos", tos);
            }
            Some(Encapsulation::Mpls { labels, ttl }) => {
                self.part("encap", "mpls");
                labels.iter().for_each(|label| self.part("label", label));
                self.some("ttl", ttl.as_ref());
            }
        }
    }

    fn rule(&mut self, rule: &Rule) {
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
        self.part("rule", name(*family));
        self.part("priority", priority);
        self.unless("not", *invert, false);
        self.some("from", source.as_ref());
        self.some("to", destination.as_ref());
        self.some("iif", input.as_ref());
        self.some("oif", output.as_ref());
        self.unless("tos", *tos, 0);
        self.some("mark", mark.map(|(mark, _)| mark));
        self.some("mask", mark.and_then(|(_, mask)| mask));
        self.pair("realms", *realms);
        self.pair("uids", *uids);
        self.some("ipproto", ip_protocol.as_ref());
        self.pair("sport", *source_ports);
        self.pair("dport", *destination_ports);
        self.some("tunnel", tunnel.as_ref());
        self.some("suppress_prefix", suppress_prefix.as_ref());
        self.some("suppress_group", suppress_group.as_ref());
        self.some("protocol", protocol.as_ref());
        self.unless("track", *track, true);
        match *action {
            RuleAction::Table(table) => self.part("table", table),
            RuleAction::Vrf => self.part("action", "vrf"),
            RuleAction::Goto(priority) => self.part("goto", priority),
            RuleAction::Nothing => self.part("action", "nop"),
            RuleAction::Blackhole => self.part("action", "blackhole"),
            RuleAction::Unreachable => self.part("action", "unreachable"),
            RuleAction::Prohibit => self.part("action", "prohibit"),
        }
    }
}

fn version(router: &VirtualRouter) -> &'static str {
    match router.version {
        Version::V2 => "2",
        Version::V3 => "3",
    }
}

fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Global => "global",
        Scope::Site => "site",
        Scope::Link => "link",
        Scope::Host => "host",
        Scope::Nowhere => "nowhere",
    }
}

fn name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "inet",
        Family::Ipv6 => "inet6",
    }
}
