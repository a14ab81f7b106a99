//! Another configuration for a router that runs. It keeps its state and its lease, as with keepalived; of its
//! addresses, routes and rules those that differ go and come.

use std::collections::BTreeMap;

use mesh_config::model::{Config, Route, Rule, VirtualAddress, VirtualRouter};
use mesh_wire::mesh::RouterKey;
use mesh_wire::mesh::roster::Role;

use super::routing::{add_routes_of, del_routes_of};
use super::upkeep::add_addresses_of;
use super::{Engine, announce};
use crate::action::Action;
use crate::counters::Counters;
use crate::decision::Decision;
use crate::instance::Instance;
use crate::lease::lease_time;
use crate::membership::router_key;
use crate::time::Instant;
use crate::{tracking, vrrp};

/// With more than these, lifetimes of addresses are longer: renewing a thousand every second costs two
/// hundredths of a processor.
const MANY_ADDRESSES: usize = 200;

/// What comes and goes with a router's state, and one configuration has of it that another has not.
struct Difference {
    addresses: Vec<VirtualAddress>,
    routes: Vec<Route>,
    rules: Vec<Rule>,
}

impl Difference {
    fn of(this: &VirtualRouter, other: &VirtualRouter) -> Difference {
        Difference {
            addresses: missing(this.served(), other.served()),
            routes: missing(&this.routes, &other.routes),
            rules: missing(&this.rules, &other.rules),
        }
    }
}

/// What a router that serves has yet to get of its new configuration.
pub(super) struct Gain {
    key: RouterKey,
    what: Difference,
}

/// Whether a router can go on under another configuration: under the same name, on the same interfaces, with the
/// same version, and what is the host's own stays its own.
fn can_go_on(before: &VirtualRouter, after: &VirtualRouter) -> bool {
    let owner = |router: &VirtualRouter| router.priority == vrrp::OWNER_PRIORITY;
    before.name == after.name
        && before.key == after.key
        && before.interface == after.interface
        && before.version == after.version
        && before.vmac == after.vmac
        && before.vmac_transmit_base == after.vmac_transmit_base
        && before.vmac_addresses == after.vmac_addresses
        && before.address_vmacs == after.address_vmacs
        && owner(before) == owner(after)
}

impl Engine {
    /// Takes over a configuration: routers that did not change are not touched, those that did go on.
    pub(super) fn configure(&mut self, now: Instant, config: Config) {
        let gains = self.set_config(now, config);
        self.install_fence();
        self.evaluate_all(now);
        gains.into_iter().for_each(|gain| self.gain(now, gain));
    }

    /// The same, but for what routers that serve have yet to get.
    pub(super) fn set_config(&mut self, now: Instant, mut config: Config) -> Vec<Gain> {
        if !config.routers.is_empty() && self.role() != Role::Director {
            let text = "this node is no director: it serves none of the virtual routers in its configuration";
            self.record(Decision::Warning { text: text.to_owned() });
            config.routers.clear();
            config.track_scripts.clear();
            config.sync_groups.clear();
        }
        self.configured += 1;
        self.configure_notices(&config);
        let removed = self.remove_routers(now, &config);
        self.groups.configure(&config);
        self.tracking.configure(&config);
        let gains = self.set_routers(now, &config, &removed);
        self.block_removed();
        self.configure_vmacs(&config);
        self.configure_statics(now, &config);
        self.out.push(Action::RunScripts(config.track_scripts.clone()));
        let tracked = tracking::watched(&config);
        if self.watched != tracked {
            self.watched = tracked;
            let (files, processes) = self.watched.clone();
            self.out.push(Action::WatchTracked { files, processes });
        }
        self.digest = self.describe_own(now, &config);
        self.many_addresses = config.routers.iter().map(|r| r.served().count()).sum::<usize>() > MANY_ADDRESSES;
        self.pacer.configure(&config.vrrp);
        self.config = config;
        self.forget_stories();
        self.places.spread_here = self.config.routers.iter().any(|r| self.config.spreads(r));
        self.reported.clear();
        self.instances.touch_all();
        self.note_surroundings(now);
        self.look_at_configurations(now);
        gains
    }

    /// Lets go of the routers that are not configured any more, or cannot go on as they are configured now, and
    /// removes them. Returns the highest epoch of each, and what was counted.
    fn remove_routers(&mut self, now: Instant, config: &Config) -> BTreeMap<RouterKey, (u64, Counters)> {
        // Voters were promised how long a lease lasts; without them it is nobody's concern.
        let leased = self.leased();
        let lasts = |router: &VirtualRouter| lease_time(config.mesh.lease, router.advert_interval);
        let after: BTreeMap<RouterKey, &VirtualRouter> = config.routers.iter().map(|r| (r.key, r)).collect();
        let keep = |i: &Instance| {
            let goes_on =
                |after: &&VirtualRouter| (!leased || i.lease_time == lasts(after)) && can_go_on(&i.config, after);
            after.get(&i.config.key).is_some_and(goes_on)
        };
        let gone: Vec<RouterKey> = self.instances.iter().filter(|(_, i)| !keep(i)).map(|(key, _)| *key).collect();
        let mut left = BTreeMap::new();
        for key in gone {
            // Alone: its group may do without it from now on.
            self.retire_one(now, key, "configuration changed", true, None);
            let removed = self.instances.remove(&key);
            self.holds.forget(removed.as_ref());
            left.extend(removed.map(|i| (key, (i.epoch_seen, i.counters))));
            self.reported.remove(&key);
            self.withdraw(router_key(&key));
            self.publish_addresses(key, Vec::new());
        }
        left
    }

    /// Gives the routers that are there their configuration, and makes the others. `removed` is what
    /// [`Engine::remove_routers`] returned.
    fn set_routers(
        &mut self,
        now: Instant,
        config: &Config,
        removed: &BTreeMap<RouterKey, (u64, Counters)>,
    ) -> Vec<Gain> {
        let orphaned: BTreeMap<RouterKey, u64> =
            config.routers.iter().map(|r| (r.key, self.orphaned_epoch(r.key))).collect();
        let mut gains = Vec::new();
        for router in &config.routers {
            if let Some(instance) = self.instances.get_mut(&router.key) {
                instance.lease_time = lease_time(config.mesh.lease, router.advert_interval);
                gains.extend(self.reconfigure(now, router));
                continue;
            }
            // No epoch twice: voters take the second one for what was released before.
            let (epoch_seen, counters) =
                removed.get(&router.key).copied().unwrap_or_else(|| (orphaned[&router.key], Counters::default()));
            let instance = Instance::new(router.clone(), config.mesh.lease, now);
            self.instances.insert(Instance { epoch_seen, counters, ..instance });
        }
        gains
    }

    /// Gives a router that stays its configuration. What it has no more is taken away while the fence still
    /// knows it; what it has to get comes later, by [`Engine::gain`].
    pub(super) fn reconfigure(&mut self, now: Instant, after: &VirtualRouter) -> Option<Gain> {
        let instance = self.instances.get_mut(&after.key)?;
        if instance.config == *after {
            return None;
        }
        let before = std::mem::replace(&mut instance.config, after.clone());
        if instance.base == before.priority {
            instance.base = after.priority;
        }
        instance.vrrp.reconfigure(now, after);
        if (&before.conduct, &before.transport) != (&after.conduct, &after.transport) {
            instance.checksum = vrrp::form(after, None);
        }
        if (before.auth_header, &before.auth_hmac) != (after.auth_header, &after.auth_hmac) {
            instance.guard = vrrp::Guard::default();
        }
        if before.addresses != after.addresses {
            instance.compared = None;
            instance.other_list = None;
        }
        if !instance.vrrp.is_active() {
            return None;
        }
        // What is tracked from now on is no reason to stop before anybody has looked.
        instance.goes_on = true;
        if before.garp != after.garp {
            let refresh = after.garp.refresh;
            instance.garp = (!refresh.is_zero()).then_some((now + refresh, after.garp.refresh_repeat));
            instance.extra_at = announce::first_extra(instance, now);
        }
        self.take_away(now, after.key, &before);
        Some(Gain { key: after.key, what: Difference::of(after, &before) })
    }

    /// Takes away what the configuration before had and this one has not.
    fn take_away(&mut self, now: Instant, key: RouterKey, before: &VirtualRouter) {
        let instance = &self.instances[&key];
        let Difference { mut addresses, routes, rules } = Difference::of(before, &instance.config);
        addresses.retain(|a| !instance.own.contains(&a.net.addr()));
        let plain: Vec<_> = addresses.iter().map(|a| a.net.addr()).collect();
        let fenced = instance.armed_until.is_some();
        del_routes_of(&mut self.out, routes, rules);
        if addresses.is_empty() {
            return;
        }
        self.pacer.forget(&plain);
        self.fence.keep_closed(&plain);
        if fenced {
            self.out.push(Action::FenceClose { addresses: plain });
        }
        for address in addresses {
            let interface = before.interface_of(&address).to_owned();
            self.out.push(Action::DelAddress { interface, address });
        }
        // With the first address of a subnet the kernel may remove the others of it.
        self.instances.get_mut(&key).expect("looked up above").refresh_at = Some(now);
    }

    /// Serves what is new, where the router serves still: the fence is opened first, as in a takeover.
    pub(super) fn gain(&mut self, now: Instant, gain: Gain) {
        let backstop = self.backstop(now);
        let Some(instance) = self.instances.get_mut(&gain.key).filter(|i| i.vrrp.is_active()) else { return };
        let Difference { mut addresses, routes, rules } = gain.what;
        addresses.retain(|a| !instance.own.contains(&a.net.addr()));
        let garp = instance.config.garp;
        if !addresses.is_empty() && !garp.delay.is_zero() {
            instance.garp = Some((now + garp.delay, garp.repeat));
        }
        let plain = || addresses.iter().map(|a| a.net.addr()).collect();
        if let Some(until) = instance.armed_until.filter(|_| !addresses.is_empty()) {
            self.out.push(Action::FenceArm { addresses: plain(), until });
        }
        let lifetime_s = instance.lifetime_s(backstop);
        let places: Vec<_> =
            addresses.iter().map(|a| (instance.config.interface_of(a).to_owned(), a.net.addr())).collect();
        add_addresses_of(&mut self.out, instance, addresses.iter(), lifetime_s);
        add_routes_of(&mut self.out, routes, rules, false);
        for (interface, address) in places {
            self.announce_one(interface, address, garp.repeat);
        }
    }
}

/// Those of `all` that are not among `others`.
fn missing<'a, T: Clone + PartialEq + 'a>(
    all: impl IntoIterator<Item = &'a T>,
    others: impl IntoIterator<Item = &'a T>,
) -> Vec<T> {
    let others: Vec<&T> = others.into_iter().collect();
    all.into_iter().filter(|one| !others.contains(one)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh_wire::mesh::Family;

    use super::*;

    #[test]
    fn what_makes_another_router_of_it() {
        let second = Duration::from_secs(1);
        let key = RouterKey { family: Family::Ipv4, vrid: 51, segment: 0 };
        let router = VirtualRouter::new("VI_1", key, "eth0");
        let goes_on = |after: VirtualRouter| can_go_on(&router, &after);
        assert!(goes_on(VirtualRouter { priority: 90, preempt: false, advert_interval: second * 2, ..router.clone() }));
        assert!(!goes_on(VirtualRouter { name: "VI_2".to_owned(), ..router.clone() }));
        assert!(!goes_on(VirtualRouter { interface: "eth1".to_owned(), ..router.clone() }));
        assert!(!goes_on(VirtualRouter { priority: 255, ..router.clone() }), "its addresses are the host's own then");
    }
}
