//! What keeps in the kernel what a router has there: lifetimes of addresses, and what follows when an effect could not
//! be brought about.

use std::net::IpAddr;
use std::time::Duration;

use mesh_config::model::VirtualAddress;
use mesh_wire::mesh::RouterKey;

use super::Engine;
use super::repairs::Repair;
use super::routing::{LOOK, add_routes, refusal};
use crate::action::{Action, Effect};
use crate::decision::Decision;
use crate::instance::{Backstop, Instance};
use crate::time::Instant;

/// After an effect failed, before the router tries again.
const BLOCK: Duration = Duration::from_secs(5);

/// The same after many failures: it doubles until then.
const LONGEST_BLOCK: Duration = Duration::from_secs(300);

impl Engine {
    /// How long addresses are to outlive this daemon at present.
    pub(super) fn backstop(&self, now: Instant) -> Backstop {
        match self.leased() {
            false => Backstop::NoLease,
            true if self.fence.works(now) && self.many_addresses => Backstop::Long,
            true => Backstop::Short,
        }
    }

    /// Lifetimes that were long because of the fence are shortened at once.
    pub(super) fn shorten_lifetimes(&mut self, now: Instant) {
        for instance in self.instances.values_mut().filter(|i| i.vrrp.is_active()) {
            instance.refresh_at = Some(now);
        }
    }

    /// Renews address lifetimes, the backstop behind the fence.
    pub(super) fn refresh_addresses(&mut self, now: Instant, key: RouterKey) {
        let backstop = self.backstop(now);
        let Some(instance) = self.instances.get_mut(&key) else { return };
        if instance.refresh_at.is_some_and(|t| t <= now) {
            instance.refresh_at = Some(now + backstop.refresh());
            let lifetime_s = instance.lifetime_s(backstop);
            add_addresses(&mut self.out, instance, lifetime_s);
            add_routes(&mut self.out, instance, true);
            let there = instance.lacks.look_again();
            self.forget_refusals(&there);
        }
    }

    /// An address of ours vanished: it is put back at once.
    pub(super) fn address_gone(&mut self, now: Instant, interface: &str, address: IpAddr) {
        let backstop = self.backstop(now);
        let serving = |i: &&Instance| {
            i.vrrp.is_active()
                && i.config
                    .served()
                    .any(|a| a.track && a.net.addr() == address && i.config.interface_of(a) == interface)
        };
        let Some(instance) = self.instances.values().find(serving) else { return };
        let (key, lifetime_s) = (instance.config.key, instance.lifetime_s(backstop));
        add_addresses(&mut self.out, instance, lifetime_s);
        add_routes(&mut self.out, instance, true);
        self.announce(key, 1);
        self.instances.get_mut(&key).expect("found above").refresh_at = Some(now + backstop.refresh());
        let what = format!("address {address} on {interface} was removed by somebody else");
        self.repaired(now, Repair::Address, what);
    }

    /// The kernel refused an address. The router goes on without it, as in keepalived, and tries it again; one that has
    /// none at all makes room for another director.
    fn address_failed(&mut self, now: Instant, interface: &str, address: IpAddr, error: &str) {
        let owner = |i: &&mut Instance| i.vrrp.is_active() && i.addresses().contains(&address);
        let Some(instance) = self.instances.values_mut().find(owner) else { return };
        let what = |interface: &str, address: IpAddr| format!("address {address} on {interface}");
        instance.lacks.refuse(what(interface, address), error);
        let config = &instance.config;
        if instance.moving().any(|a| !instance.lacks.has(&what(config.interface_of(a), a.net.addr()))) {
            instance.refresh_at = Some(instance.refresh_at.map_or(now + LOOK, |at| at.min(now + LOOK)));
            return self.tell_refusal(refusal(&what(interface, address), error));
        }
        // Longer each time: every try takes the address from a director that may well have it.
        let wait = instance.block_time.unwrap_or(BLOCK);
        instance.block_time = Some((wait * 2).min(LONGEST_BLOCK));
        instance.blocked = Some((now + wait, format!("address {address} cannot be put on {interface}: {error}")));
        let key = instance.config.key;
        self.evaluate(now, key);
    }

    /// An effect could not be brought about.
    pub(super) fn effect_failed(&mut self, now: Instant, effect: Effect, error: String) {
        match effect {
            Effect::Fence => self.fence_failed(now, error),
            Effect::Address { interface, address } => self.address_failed(now, &interface, address, &error),
            Effect::Removal { interface, address } => {
                let text =
                    format!("address {address} cannot be removed from {interface}: {error}; it expires by itself");
                self.record(Decision::Warning { text });
            }
            Effect::Vmac { name } => self.vmac_failed(now, name, error),
            Effect::Route { what } => self.route_failed(now, &what, &error),
            Effect::Probe { probe } => self.probe_failed(now, probe, &error),
            Effect::Roster => self.roster_not_stored(now, &error),
            Effect::Memory => self.memory_failed(now, &error),
            Effect::LeaveBehind => self.keeping_failed(now, &error),
            Effect::Advertisement { interface } => {
                self.count_drop(now, interface, &format!("advertisement could not be sent: {error}"));
            }
        }
    }
}

pub(super) fn add_addresses(out: &mut Vec<Action>, instance: &Instance, lifetime_s: u32) {
    add_addresses_of(out, instance, instance.moving(), lifetime_s);
}

/// The same for some of its addresses.
pub(super) fn add_addresses_of<'a>(
    out: &mut Vec<Action>,
    instance: &Instance,
    addresses: impl Iterator<Item = &'a VirtualAddress>,
    lifetime_s: u32,
) {
    for address in addresses {
        let interface = instance.config.interface_of(address).to_owned();
        out.push(Action::AddAddress { interface, address: address.clone(), lifetime_s });
    }
}
