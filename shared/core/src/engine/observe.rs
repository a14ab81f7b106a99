//! What is heard on the segment and from the mesh, before anything is decided on it.

use std::net::IpAddr;
use std::time::Duration;

use mesh_wire::mesh::roster::FIRST_VOTERS;
use mesh_wire::mesh::{Family, NodeId, RouterKey};

use mesh_wire::vrrp::header::{self, Around};

use super::Engine;
use crate::decision::Decision;
use crate::input::Datagram;
use crate::instance::{Foreign, Instance};
use crate::time::Instant;
use crate::vrrp::{self, Forged, Heard, Sealed, Verdict};

/// A reason for drops is told at most this often.
const TELL_PERIOD: Duration = Duration::from_secs(60);

/// Reasons counted apart, at most; what comes after is a flood of made-up senders, counted as one.
const DROP_KINDS: usize = 256;

/// What an advert says that passes all checks, which is counted, else why it does not.
fn judge(instance: &mut Instance, clock: Duration, from: &Datagram, sealed: &Sealed<'_>) -> Result<Heard, String> {
    let Instance { config, counters, guard, source, .. } = instance;
    let packet = &sealed.received.advertisement;
    let heard = vrrp::check(config, *source, from, packet).map_err(|why| {
        counters.dropped(config, packet, why);
        why.to_string()
    })?;
    guard.judge(config, clock, sealed).map_err(|why| {
        counters.forged(why);
        why.to_string()
    })?;
    counters.heard(heard);
    instance.heard = Some(heard);
    Ok(heard)
}

impl Engine {
    /// A packet of IP protocol 112.
    pub(super) fn receive_advertisement(&mut self, now: Instant, from: &Datagram) {
        self.receive_packet(now, from, None);
    }

    /// A packet of IP protocol 51: what is in its authentication header is for one of our routers, or for
    /// nobody.
    pub(super) fn receive_sealed(&mut self, now: Instant, from: Datagram, identification: u16) {
        let vrid = header::vrid(&from.payload);
        let key = vrid.and_then(|vrid| self.router_for(&from.interface, Family::of(from.source), vrid));
        let Some(instance) = key.and_then(|key| self.instances.get_mut(&key)) else { return };
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (from.source, from.destination) else { return };
        let around = Around { source, destination, ttl: from.ttl, identification };
        let Instance { config, counters, .. } = instance;
        let opened = match config.auth_pass.filter(|_| config.auth_header) {
            None => {
                counters.forged(Forged::Header);
                Err(format!("{}: {}", config.name, Forged::Header))
            }
            Some(password) => header::open(&password.0, &around, &from.payload).map_err(|error| {
                counters.broken(error);
                format!("{}: {error}", config.name)
            }),
        };
        match opened {
            Ok((number, advert)) => {
                let payload = advert.to_vec();
                self.receive_packet(now, &Datagram { payload, ..from }, Some(number));
            }
            Err(error) => self.count_drop(now, from.source.to_string(), &error),
        }
    }

    /// An advert, behind an authentication header of this number where there was one.
    fn receive_packet(&mut self, now: Instant, from: &Datagram, header: Option<u32>) {
        let parsed = mesh_wire::vrrp::parse_signed(&from.payload, from.source, from.destination);
        let received = match parsed {
            Ok(received) => received,
            Err(error) => {
                self.count_malformed(from, error);
                return self.count_drop(now, from.source.to_string(), &format!("malformed: {error}"));
            }
        };
        let packet = &received.advertisement;
        let Some(key) = self.router_for(&from.interface, Family::of(from.source), packet.vrid) else {
            // Another virtual router's: nothing of ours.
            if self.config.vrrp.log_unknown_vrids {
                let reason = format!("{}: VRID {} is not configured", from.interface, packet.vrid);
                self.count_drop(now, from.source.to_string(), &reason);
            }
            return;
        };
        let clock = self.wall_clock();
        let instance = self.instances.get_mut(&key).expect("just found");
        let ignored = instance.vrrp.ignores_adverts();
        let sealed = Sealed { source: from.source, payload: &from.payload, header, received: &received };
        let heard = match judge(instance, clock, from, &sealed) {
            Ok(heard) => {
                instance.heard_at = now;
                heard
            }
            Err(error) => {
                let reason = format!("{}: {error}", instance.config.name);
                return self.count_drop(now, from.source.to_string(), &reason);
            }
        };
        if packet.version() == mesh_wire::vrrp::Version::V3 {
            instance.checksum = vrrp::form(&instance.config, Some(received.form));
        }
        self.compare_addresses(now, key, from.source, packet);
        self.compare_settings(now, key, from.source, packet);
        self.look_for_own_addresses(now, key);
        if !ignored {
            self.receive_heard(now, key, heard);
        }
    }

    /// The time since 1970.
    pub(super) fn wall_clock(&self) -> Duration {
        self.setup.unix_at_zero + self.now.since(Instant::default())
    }

    /// A checked advertisement. None makes the holder of a lease yield, but one from a router outside
    /// the mesh that is trusted (see [`Engine::trusts`]): between members the voters decide, and anybody on
    /// the segment can send anything. Who is not heeded is answered with announcements. A router
    /// that resigns (late, after a stall) is answered as RFC 9568 section 6.4.3 has it: backups
    /// heard it, too, and would claim.
    ///
    /// Backups, and whoever serves without a lease, do what RFC 9568 says whoever sends: an ordinary
    /// VRRP router that is missing in `trusted_neighbours` must not get a second owner beside it.
    /// So anybody who can send adverts can keep backups from claiming; nobody can take the address
    /// from its owner that way.
    fn receive_heard(&mut self, now: Instant, key: RouterKey, heard: Heard) {
        let member = self.membership.sends_adverts(&key, heard.source);
        self.chronicle.sign(now, key, None);
        if member && heard.priority > 0 {
            self.heard_on_segment(key, heard.source);
        }
        let Some(instance) = self.instances.get_mut(&key) else { return };
        let beside = instance.foreign.is_some_and(|f| f.source == heard.source);
        if !member {
            let until = now + heard.interval * 3 + Duration::from_secs(1);
            instance.foreign =
                (heard.priority > 0).then_some(Foreign { source: heard.source, priority: heard.priority, until });
        }
        let was_active = instance.vrrp.is_active();
        let Some(own) = instance.source else { return };
        let holds = was_active && instance.lease.is_held() && heard.priority > 0;
        let outranked = holds && instance.vrrp.is_outranked(heard, own);
        if was_active && heard.priority > 0 && !instance.vrrp.is_outranked(heard, own) {
            self.note_lower_priority(now, key);
            self.tell_of_rival(now, key, heard);
        }
        if holds && member {
            // It believed in its lease for a moment too long; hosts may have learnt its MAC address.
            return self.answer_rival(now, key);
        }
        if outranked && !self.trusts(key, heard.source) {
            self.ignore_foreign(now, key, heard);
            return self.answer_rival(now, key);
        }
        let Some(instance) = self.instances.get_mut(&key) else { return };
        let verdict = instance.vrrp.receive(now, heard, own);
        // Who resigns now may have served as well: beside a lease that it did not know, or without any.
        let rival = heard.priority > 0 || beside || instance.silence.unprotected_since.is_some();
        let rival = was_active && matches!(verdict, Verdict::Advertise | Verdict::Stay) && rival;
        if matches!(verdict, Verdict::Defer) && !member && instance.lease.ballot().is_some() {
            // A router outside the mesh is worthier: a claim under way is given up.
            self.retire(now, key, "a router outside the mesh is active", false, None);
        }
        self.follow(now, key, verdict);
        if rival {
            self.answer_rival(now, key);
        }
    }

    /// Adverts may come before gossip says that their sender is a member: it is no router outside the mesh
    /// then, and nobody stands back for it.
    pub(super) fn recognise_members(&mut self) {
        let membership = &self.membership;
        let is_member =
            |(key, i): &(&RouterKey, &Instance)| i.foreign.is_some_and(|f| membership.sends_adverts(key, f.source));
        let members: Vec<RouterKey> = self.instances.iter().filter(is_member).map(|(key, _)| *key).collect();
        for key in members {
            self.instances.get_mut(&key).expect("just found").foreign = None;
        }
    }

    /// Whether the holder of a lease yields to adverts from this address. With fewer than three
    /// voters, where leases protect little, to any unless the configuration says to whom: that is how
    /// a mesh begins beside a running keepalived.
    fn trusts(&self, key: RouterKey, source: IpAddr) -> bool {
        let Some(instance) = self.instances.get(&key) else { return false };
        match self.policy(instance, |p| p.trusted_neighbours.as_ref()) {
            Some(nets) => nets.iter().any(|net| net.contains(&source)),
            None => self.voters().len() < FIRST_VOTERS,
        }
    }

    /// Tells of a router outside the mesh that thinks it is worthier, at a bounded rate.
    fn ignore_foreign(&mut self, now: Instant, key: RouterKey, heard: Heard) {
        self.foreign_ignored += 1;
        let name = self.instances[&key].config.name.clone();
        let reason = format!("{name}: it advertises a higher priority, but is no member and no trusted neighbour");
        self.count_drop(now, heard.source.to_string(), &reason);
    }

    pub(super) fn router_for(&self, interface: &str, family: Family, vrid: u8) -> Option<RouterKey> {
        let named = |segment| RouterKey { family, vrid, segment };
        let mut found = self.instances.range(named(0)..=named(u32::MAX));
        found.find(|(_, i)| i.config.interface == interface).map(|(key, _)| *key)
    }

    /// A connection to a peer stands.
    pub(super) fn peer_up(&mut self, now: Instant, node: NodeId, rtt: Duration) {
        let peer = self.membership.peer_mut(node);
        peer.rtt = rtt;
        peer.left = false;
        if std::mem::replace(&mut peer.connected, true) {
            // A restart may be over before the loss is noticed, and what was sent meanwhile lost.
            let theirs = peer.report.as_ref().map(|r| r.roster_epoch);
            if theirs.is_some_and(|epoch| self.roster.as_ref().is_some_and(|r| epoch < r.epoch)) {
                self.send_roster(node);
            }
            return;
        }
        self.send_roster(node);
        self.acquaint(now, node);
        self.ask_again(now);
        let event = "connected".to_owned();
        self.record(Decision::Peer { node, name: self.name_of(node), event });
    }

    /// A peer is gone.
    pub(super) fn peer_down(&mut self, node: NodeId, left: bool) {
        let peer = self.membership.peer_mut(node);
        peer.left = left;
        if !std::mem::replace(&mut peer.connected, false) {
            return;
        }
        let event = if left { "left" } else { "lost" }.to_owned();
        self.record(Decision::Peer { node, name: self.name_of(node), event });
    }

    /// Counts a dropped packet, and tells of it at a bounded rate.
    pub(super) fn count_drop(&mut self, now: Instant, from: String, reason: &str) {
        if let Some((from, reason, count)) = self.count(now, from, reason) {
            self.record(Decision::Dropped { from, reason, count });
        }
    }

    /// Counts something that a sender did, and says whether it is time to tell, and for how many times.
    pub(super) fn count(&mut self, now: Instant, mut from: String, mut reason: &str) -> Option<(String, String, u64)> {
        let mut key = format!("{from}: {reason}");
        if self.drops.len() >= DROP_KINDS && !self.drops.contains_key(&key) {
            (from, reason) = ("many senders".to_owned(), "various reasons");
            key = format!("{from}: {reason}");
        }
        let count = self.drops.entry(key).or_default();
        count.total += 1;
        count.untold += 1;
        count.told_at.is_none_or(|t| now >= t + TELL_PERIOD).then(|| {
            count.told_at = Some(now);
            (from, reason.to_owned(), std::mem::take(&mut count.untold))
        })
    }

    /// Packets dropped so far, by sender and reason.
    pub fn drops(&self) -> impl Iterator<Item = (&str, u64)> {
        self.drops.iter().map(|(key, count)| (key.as_str(), count.total))
    }
}
