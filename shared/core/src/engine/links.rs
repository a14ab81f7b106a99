//! What a router needs of its interfaces: that they are there, and an address for its adverts.

use std::iter;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use mesh_config::model::{Hop, Transport, VirtualAddress, VirtualRouter};
use mesh_wire::mesh::{Family, RouterKey};

use super::Engine;
use crate::decision::Decision;
use crate::input::Unusable;
use crate::instance::Instance;
use crate::time::Instant;
use crate::vrrp;

/// Until then an address that was removed may still be known as there.
const REMOVAL: Duration = Duration::from_millis(500);

impl Engine {
    /// Notes which of its addresses the owner of the addresses has anyway.
    pub(super) fn note_own_addresses(&mut self, key: RouterKey) {
        let instance = &self.instances[&key];
        if instance.config.priority != vrrp::OWNER_PRIORITY {
            return;
        }
        let interfaces = &self.interfaces;
        let has = |interface: &str, address: IpAddr| {
            interfaces.get(interface).is_some_and(|i| i.addresses.iter().any(|net| net.addr() == address))
        };
        let own = instance.config.served().filter(|a| has(instance.config.interface_of(a), a.net.addr()));
        let own = own.map(|a| a.net.addr()).collect();
        if instance.own == own {
            return;
        }
        let name = &instance.config.name;
        let text = format!("{name}: this host's own addresses {own:?} are announced, but neither fenced nor removed");
        self.instances.get_mut(&key).expect("looked up above").own = own;
        self.install_fence();
        self.record(Decision::Warning { text });
    }

    /// Tells of addresses that are there though this router does not serve: whoever has an address of its own has to
    /// have priority 255 (RFC 9568 section 5.2.4). What this daemon has put there, or the run before, is gone by then.
    pub(super) fn look_for_own_addresses(&mut self, now: Instant, key: RouterKey) {
        let instance = &self.instances[&key];
        let config = &instance.config;
        let settled = instance.adopted.is_none() && now >= instance.transition.at + REMOVAL;
        if config.priority == vrrp::OWNER_PRIORITY || !instance.vrrp.is_backup() || !settled {
            return;
        }
        let has = |address: &VirtualAddress| {
            let interface = self.interfaces.get(config.interface_of(address));
            interface.is_some_and(|i| i.addresses.iter().any(|net| net.addr() == address.net.addr()))
        };
        let Some(address) = config.served().find(|address| has(address)) else { return };
        let interface = config.interface_of(address).to_owned();
        let reason = format!(
            "{}: {} is there while this router does not serve it; a host's own address needs priority 255, or the \
             router will take it away",
            config.name,
            address.net.addr()
        );
        if let Some((from, reason, _)) = self.count(now, interface, &reason) {
            self.record(Decision::Warning { text: format!("{from}: {reason}") });
        }
    }

    /// Whether one of a router's interfaces is not there, or not known yet.
    pub(super) fn misses_interface(&self, instance: &Instance) -> bool {
        let config = &instance.config;
        let made = config.vmacs().map(|v| v.name.as_str());
        let needed = interfaces(instance).chain(made).chain(routed(config).map(|(name, _)| name));
        needed.into_iter().any(|name| !self.interfaces.contains_key(name))
    }

    /// A router that hears nobody would take every address for vacant.
    pub(super) fn note_hearing(&mut self, now: Instant, place: (String, Family), failure: Option<String>) {
        match failure {
            Some(failure) => self.deaf.insert(place, failure),
            None => self.deaf.remove(&place),
        };
        self.evaluate_all(now);
    }

    /// What is wrong with a router's interfaces.
    pub(super) fn link_fault(&self, instance: &Instance) -> Option<String> {
        let config = &instance.config;
        if let Some(vmac) = config.vmacs().find(|v| self.lacks(v)) {
            return Some(self.absence(vmac));
        }
        for name in interfaces(instance) {
            match self.interfaces.get(name) {
                Some(_) if config.dont_track_primary && *name == config.interface => {}
                None => return Some(format!("interface {name} is not there")),
                Some(interface) if !interface.running => return Some(format!("interface {name} has no link")),
                Some(_) => {}
            }
        }
        for (name, needed_by) in routed(config) {
            match self.interfaces.get(name) {
                None => return Some(format!("interface {name} of {needed_by} is not there")),
                Some(interface) if !interface.running => {
                    return Some(format!("interface {name} of {needed_by} has no link"));
                }
                Some(_) => {}
            }
        }
        if matches!(&config.transport, Transport::Unicast { peers, .. } if peers.is_empty()) {
            return Some("no unicast peer is configured".to_owned());
        }
        if self.source_of(instance).is_none() {
            return Some(self.no_source(config));
        }
        let listens_on = [config.interface.as_str(), config.advert_interface()];
        let listens_on = listens_on.map(|name| (name.to_owned(), config.key.family));
        let deaf = listens_on.iter().find_map(|place| self.deaf.get_key_value(place));
        deaf.map(|((name, _), why)| format!("VRRP cannot be heard on interface {name}: {why}"))
    }

    /// Why there is no address to send from. Netlink tells when there is one.
    fn no_source(&self, config: &VirtualRouter) -> String {
        let name = config.source_interface();
        let (Transport::Multicast { source } | Transport::Unicast { source, .. }) = &config.transport;
        let wanted = |a: &IpAddr| source.map_or_else(|| is_link_local(a), |source| source == *a);
        let unusable = self.interfaces.get(name).into_iter().flat_map(|i| &i.unusable);
        let found = unusable.filter(|_| config.key.family == Family::Ipv6).find(|(a, _)| wanted(&IpAddr::V6(*a)));
        match (found, source, config.key.family) {
            (Some((address, Unusable::Tentative)), ..) => {
                format!("interface {name} cannot send from {address} yet: it is checked for duplicates (tentative)")
            }
            (Some((address, Unusable::Duplicate)), ..) => {
                format!("interface {name} cannot send from {address}: another host has it (dadfailed)")
            }
            (None, Some(_), _) => format!("interface {name} has not the configured source address"),
            (None, None, Family::Ipv4) => format!("interface {name} has no IPv4 address to send from"),
            (None, None, Family::Ipv6) => format!("interface {name} has no link-local IPv6 address to send from"),
        }
    }

    /// Source of adverts: the configured address, which the interface has to have for unicast and where it is tracked
    /// (multicast is sent from any, as keepalived does), else its primary one; in IPv6 that is the first link-local one
    /// (RFC 9568 section 5.1.2.1).
    pub(super) fn source_of(&self, instance: &Instance) -> Option<IpAddr> {
        let config = &instance.config;
        let interface = self.interfaces.get(config.source_interface())?;
        let (Transport::Multicast { source } | Transport::Unicast { source, .. }) = &config.transport;
        let mut addresses = interface.addresses.iter().map(|a| a.addr());
        let unusable = |wanted: &IpAddr| interface.unusable.iter().any(|(a, _)| IpAddr::V6(*a) == *wanted);
        let multicast = matches!(config.transport, Transport::Multicast { .. });
        // An ipvlan gets its own when it is made.
        let anyway = multicast && !config.track_source && config.source_interface() == config.interface;
        match (source, config.key.family) {
            (Some(wanted), _) if anyway => Some(*wanted).filter(|wanted| !unusable(wanted)),
            (Some(wanted), _) => addresses.find(|a| a == wanted),
            (None, Family::Ipv4) => addresses.find(IpAddr::is_ipv4),
            // The kernel lists the newest first: a further one changes nothing.
            (None, Family::Ipv6) => {
                let kept = |a: &IpAddr| instance.source == Some(*a);
                addresses.clone().find(kept).or_else(|| addresses.find(is_link_local))
            }
        }
    }
}

fn is_link_local(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if Ipv6Addr::is_unicast_link_local(address))
}

/// All interfaces of the host a router needs for itself, some of them more than once: its own, and those of addresses
/// that are tracked.
fn interfaces(instance: &Instance) -> impl Iterator<Item = &str> {
    let config = &instance.config;
    let tracked = config.served().filter(|a| a.track).map(|a| config.segment_of(a));
    iter::once(config.interface.as_str()).chain(tracked)
}

/// Interfaces that tracked routes and rules name, each with whose it is. As in keepalived a route with several next
/// hops has none, and `dont_track_primary` is no word on them.
fn routed(config: &VirtualRouter) -> impl Iterator<Item = (&str, String)> {
    let routes = config.routes.iter().filter(|route| route.track);
    let routes = routes.filter_map(|route| match route.hops.as_slice() {
        [Hop { interface: Some(name), .. }] => Some((name.as_str(), route.title())),
        _ => None,
    });
    let rules = config.rules.iter().filter(|rule| rule.track);
    let rules = rules.flat_map(|rule| {
        let names = [&rule.input, &rule.output].into_iter().flatten();
        names.map(|name| (name.as_str(), rule.title()))
    });
    // Its own virtual one is looked at with the one below.
    routes.chain(rules).filter(|(name, _)| !config.vmacs().any(|vmac| vmac.name == *name))
}
