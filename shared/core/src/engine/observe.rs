//! What is heard on the segment and from the mesh, before anything is decided on it.

use std::net::IpAddr;
use std::time::Duration;

use mesh_wire::mesh::roster::FIRST_VOTERS;
use mesh_wire::mesh::{Family, NodeId, RouterKey};

use super::Engine;
use crate::action::Action;
use crate::decision::Decision;
use crate::input::Datagram;
use crate::instance::Foreign;
use crate::time::Instant;
use crate::vrrp::{self, Heard, Verdict};

/// A reason for drops is told at most this often.
const TELL_PERIOD: Duration = Duration::from_secs(60);

/// Reasons counted apart, at most; what comes after is a flood of made-up senders, counted as one.
const DROP_KINDS: usize = 256;

impl Engine {
    /// A packet of IP protocol 112.
    pub(super) fn receive_advertisement(&mut self, now: Instant, from: &Datagram) {
        let parsed = mesh_wire::vrrp::parse(&from.payload, from.source, from.destination);
        let (packet, checksum) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return self.count_drop(now, from.source.to_string(), &format!("malformed: {error}")),
        };
        let Some(key) = self.router_for(&from.interface, Family::of(from.source), packet.vrid) else {
            return; // Another virtual router's: nothing of ours.
        };
        let instance = &self.instances[&key];
        let heard = match vrrp::check(&instance.config, instance.source, from, &packet) {
            Ok(heard) => heard,
            Err(error) => {
                return self.count_drop(now, from.source.to_string(), &format!("{}: {error}", instance.config.name));
            }
        };
        let instance = self.instances.get_mut(&key).expect("looked up above");
        if packet.version() == mesh_wire::vrrp::Version::V3 {
            instance.checksum = checksum;
        }
        self.receive_heard(now, key, heard);
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
        let rival = was_active && verdict == Verdict::Advertise && rival;
        if matches!(verdict, Verdict::Defer) && !member && instance.lease.ballot().is_some() {
            // A router outside the mesh is worthier: a claim under way is given up.
            self.retire(now, key, "a router outside the mesh is active", false, None);
        }
        self.follow(now, key, verdict);
        if rival {
            self.answer_rival(now, key);
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

    fn router_for(&self, interface: &str, family: Family, vrid: u8) -> Option<RouterKey> {
        let ours = |key: &RouterKey| key.family == family && key.vrid == vrid;
        let found = self.instances.iter().find(|(key, i)| ours(key) && i.config.interface == interface);
        found.map(|(key, _)| *key)
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
        let mut from = from;
        let mut reason = reason;
        let mut key = format!("{from}: {reason}");
        if self.drops.len() >= DROP_KINDS && !self.drops.contains_key(&key) {
            (from, reason) = ("many senders".to_owned(), "various reasons");
            key = format!("{from}: {reason}");
        }
        let count = self.drops.entry(key).or_default();
        count.total += 1;
        count.untold += 1;
        if count.told_at.is_none_or(|t| now >= t + TELL_PERIOD) {
            count.told_at = Some(now);
            let untold = std::mem::take(&mut count.untold);
            let decision = Decision::Dropped { from, reason: reason.to_owned(), count: untold };
            self.out.push(Action::Record(decision));
        }
    }

    /// Packets dropped so far, by sender and reason.
    pub fn drops(&self) -> impl Iterator<Item = (&str, u64)> {
        self.drops.iter().map(|(key, count)| (key.as_str(), count.total))
    }
}
