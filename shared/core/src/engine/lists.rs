//! Neighbours whose adverts tell of another configuration than ours: other addresses, another interval, a second owner.
//!
//! They are heeded all the same: both would serve otherwise. keepalived before 2.3.3 drops such adverts and
//! serves beside us, so that this is foreseen of a neighbour that is no member; members that differ tell each
//! other, see [`super::drift`].

use std::net::IpAddr;

use mesh_control::drift::{LostAdverts, apart};
use mesh_wire::mesh::RouterKey;
use mesh_wire::vrrp::Advertisement;

use super::Engine;
use crate::decision::Decision;
use crate::instance::Instance;
use crate::time::Instant;
use crate::vrrp::{self, Heard, OWNER_PRIORITY};

/// Who drops adverts that list other addresses, though all else is right.
const CHECKS_LISTS: &str = "keepalived before 2.3.3";

impl Engine {
    /// Tells of a neighbour whose addresses are not ours, which RFC 9568 section 7.1 has logged.
    pub(super) fn compare_addresses(&mut self, now: Instant, key: RouterKey, source: IpAddr, packet: &Advertisement) {
        let instance = self.instances.get_mut(&key).expect("the packet is for it");
        let again = instance.compared.replace(source) == Some(source);
        if again && instance.config.skip_check_adv_addr {
            return;
        }
        if !vrrp::lists_others(&instance.config, packet) {
            instance.other_list = instance.other_list.take().filter(|(from, _)| *from != source);
            return;
        }
        instance.other_list = Some((source, packet.addresses.clone()));
        instance.counters.address_list_errors += 1;
        let reason = format!("{}: it advertises other addresses than are configured here", instance.config.name);
        self.warn_of(now, source, &reason, |engine| {
            format!(": {}", difference(&engine.instances[&key], &packet.addresses, "here", "there"))
        });
    }

    /// Tells of a neighbour whose interval is not ours (RFC 9568 section 7.1; version 2 does not get here), of a
    /// second owner of the addresses (section 8.3.2), of whoever advertises beside an owner that serves
    /// (section 7.1, erratum 8298), and of whoever is no unicast peer.
    pub(super) fn compare_settings(&mut self, now: Instant, key: RouterKey, source: IpAddr, packet: &Advertisement) {
        let Instance { config, vrrp, .. } = self.instances.get(&key).expect("the packet is for it");
        let (theirs, ours) = (packet.advert_interval(), config.advert_interval);
        let interval = (theirs != ours)
            .then(|| format!("{}: it advertises every {theirs:?}, and every {ours:?} is configured here", config.name));
        let owner = match packet.priority {
            _ if config.priority != OWNER_PRIORITY => None,
            OWNER_PRIORITY => Some("has priority 255, too, and only one can own the addresses"),
            _ => vrrp.is_active().then_some("advertises the addresses that this host owns and serves"),
        };
        let owner = owner.map(|what| format!("{}: it {what}", config.name));
        let stranger = vrrp::is_stranger(config, source).then(|| {
            format!("{}: it is no unicast peer, and its adverts are taken; `check_unicast_src` drops them", config.name)
        });
        for reason in interval.into_iter().chain(owner).chain(stranger) {
            self.warn_of(now, source, &reason, |_| String::new());
        }
    }

    /// Tells of a backup that claims beside this router (RFC 9568 section 2.5): our adverts do not reach it, or too
    /// late. Who has just taken over may hear the last advert of the one before.
    pub(super) fn tell_of_rival(&mut self, now: Instant, key: RouterKey, heard: Heard) {
        let Instance { config, vrrp, transition, .. } = self.instances.get(&key).expect("it heard an advert");
        // An owner tells of everybody, see above.
        let settled = now >= transition.at + vrrp.down_interval() && config.priority != OWNER_PRIORITY;
        if !settled {
            return;
        }
        let (theirs, ours, late) = (heard.priority, vrrp.priority(), vrrp.lateness(now));
        let late = if late > config.advert_interval { format!(", the last one {late:?} late") } else { String::new() };
        let reason = format!("{}: it claims the addresses, and our adverts should keep it from that", config.name);
        self.warn_of(now, heard.source, &reason, |_| format!(": they have priority {ours}, its own {theirs}{late}"));
    }

    /// A warning about a neighbour, at a bounded rate; `more` is not counted by.
    fn warn_of(&mut self, now: Instant, source: IpAddr, reason: &str, more: impl FnOnce(&Self) -> String) {
        if let Some((from, reason, count)) = self.count(now, source.to_string(), reason) {
            let more = more(self);
            let times = if count > 1 { format!(" ({count} times)") } else { String::new() };
            self.record(Decision::Warning { text: format!("{from}: {reason}{more}{times}") });
        }
    }

    /// Our adverts that neighbours outside the mesh will not take because of their addresses.
    pub(super) fn lost_outside(&self) -> impl Iterator<Item = LostAdverts> + '_ {
        let here = &self.setup.name;
        self.instances.iter().filter_map(move |(key, instance)| {
            let (from, list) = instance.other_list.as_ref()?;
            let beside = instance.foreign.is_some_and(|foreign| foreign.source == *from);
            let to = from.to_string();
            beside.then(|| LostAdverts {
                subject: key.to_string(),
                name: instance.config.name.clone(),
                from: here.clone(),
                dropped: true,
                provided: Some(CHECKS_LISTS.to_owned()),
                because: difference(instance, list, &format!("at {here}"), &format!("at {to}")),
                to,
            })
        })
    }
}

/// Which addresses only one of the two lists has.
fn difference(instance: &Instance, list: &[IpAddr], here: &str, there: &str) -> String {
    let own = instance.config.addresses.iter().map(|a| a.net.addr().to_string()).collect();
    let theirs = list.iter().map(ToString::to_string).collect();
    apart((&own, here), (&theirs, there))
}
