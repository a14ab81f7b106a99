//! The cluster-wide map as this node sees it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use mesh_control as control;
use mesh_wire::mesh::gossip::{Drain, HoldReport, RouterReport, RouterState};
use mesh_wire::mesh::roster::{Member, Role, VotePolicy};
use mesh_wire::mesh::{Family, NodeId, RouterKey};

use super::Engine;
use crate::time::Instant;

/// A member's word on a router, and whether that member is there.
pub(super) type Word<'a> = (NodeId, bool, Cow<'a, RouterReport>);

impl Engine {
    /// What `meshctl status` shows; reads only.
    pub fn status(&self, now: Instant) -> control::Status {
        control::Status {
            cluster: self.cluster_status(),
            node: self.setup.name.clone(),
            nodes: self.roster.iter().flat_map(|r| &r.members).map(|m| self.node_status(m)).collect(),
            routers: self.known_routers().into_iter().map(|key| self.router_status(now, key)).collect(),
            // Told by their own machine, see [`crate::services`].
            services: Vec::new(),
            bfd: Vec::new(),
            counters: self.counters(),
            drops: self.drops().map(|(reason, count)| (reason.to_owned(), count)).collect(),
            failovers: self.failovers().map(|(cause, count)| (cause.to_owned(), count)).collect(),
            vetoes: self.vetoes().map(veto_count).collect(),
            drift: self.drift(),
            guard: None,
            config_refused: None,
        }
    }

    fn cluster_status(&self) -> control::Cluster {
        let removed = self.removed_because();
        let unprotected_because = removed.clone().or_else(|| self.unprotected_because());
        let protection = match (&self.roster, &unprotected_because) {
            (None, _) => control::Protection::None,
            (Some(_), Some(_)) if removed.is_some() => control::Protection::None,
            (Some(_), None) => control::Protection::Protected,
            (Some(_), Some(_)) => control::Protection::Unprotected,
        };
        let roster = self.roster.as_ref();
        control::Cluster {
            id: roster.map_or(String::new(), |r| r.cluster.clone()),
            name: roster.and_then(|r| r.members.first()).map_or(String::new(), |m| format!("{}'s mesh", m.name)),
            protection,
            unprotected_because,
            quorum: control::Quorum {
                voters: self.voters().len(),
                needed: roster.map_or(0, |r| r.quorum()),
                reachable: self.reachable_voters(),
                roster_epoch: roster.map_or(0, |r| r.epoch),
            },
        }
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        let unprotected = self.served_without_lease().count() as u64;
        let counters = [
            ("routers_unprotected", unprotected),
            ("foreign_adverts_ignored", self.foreign_ignored),
            ("router_holds", self.holds.count),
        ];
        let counters = counters.into_iter().map(|(name, count)| (name.to_owned(), count));
        counters.chain(self.repairs.counters()).collect()
    }

    /// Whether a member is there.
    pub fn liveness(&self, node: NodeId) -> control::Liveness {
        match self.membership.peer(node) {
            _ if node == self.setup.node => control::Liveness::Alive,
            Some(p) if p.connected => control::Liveness::Alive,
            Some(p) if p.left => control::Liveness::Left,
            Some(p) if p.heard => control::Liveness::Suspect,
            _ => control::Liveness::Dead,
        }
    }

    fn node_status(&self, member: &Member) -> control::Node {
        let own = member.id == self.setup.node;
        let peer = self.membership.peer(member.id);
        let report = peer.and_then(|p| p.report.as_ref());
        let rtt = peer.filter(|p| p.connected).map(|p| (p.rtt.as_secs_f64() * 1e6).round() / 1e3);
        control::Node {
            name: member.name.clone(),
            role: role(member.role).to_owned(),
            voter: member.voter,
            vote: match member.vote {
                VotePolicy::Auto => "auto",
                VotePolicy::Never => "never",
                VotePolicy::Always => "always",
            }
            .to_owned(),
            liveness: self.liveness(member.id),
            address: member.address.to_string(),
            draining: match peer {
                _ if own => self.drains_here(),
                // Who stops says that it is to be empty; only an operator keeps it so.
                Some(peer) if peer.left => self.moves.marks.drain(member.id) == Drain::Draining,
                _ => report.is_some_and(|r| r.draining),
            },
            rtt_ms: rtt,
            config_digest: if own {
                self.digest.clone()
            } else {
                report.map_or(String::new(), |r| r.config_digest.clone())
            },
            version: if own { self.setup.version.clone() } else { report.map_or(String::new(), |r| r.version.clone()) },
        }
    }

    pub(super) fn known_routers(&self) -> BTreeSet<RouterKey> {
        self.instances.keys().copied().chain(self.membership.routers()).collect()
    }

    /// Everybody's report on one router, our own included. Those of members that are gone are kept
    /// for their names and times, not for their state.
    pub(super) fn reports(&self, key: RouterKey) -> Vec<Word<'_>> {
        let own = self.instances.get(&key).map(|i| (self.setup.node, true, Cow::Owned(self.report(i))));
        let alive = |p: &crate::membership::Peer| p.connected || p.heard && !p.left;
        let remote = self.membership.reports(&key).map(|(id, p, r)| (id, alive(p), p.whole(r)));
        own.into_iter().chain(remote).collect()
    }

    pub(super) fn router_status(&self, now: Instant, key: RouterKey) -> control::Router {
        let reports = self.reports(key);
        let lease = self.lease_status(now, key);
        let active = self.active_node(now, key, &reports);
        let here = self.instances.get(&key);
        let shown = reports.iter().find(|(id, ..)| *id == self.setup.node).or(reports.first());
        let (name, interface, vips) =
            shown.map(|(_, _, r)| (r.name.clone(), r.interface.clone(), r.vips.clone())).unwrap_or_default();
        let foreign = reports.iter().filter(|(_, alive, _)| *alive).find_map(|(_, _, r)| r.foreign);
        let all_fault = reports.iter().filter(|(_, alive, _)| *alive).all(|(_, _, r)| r.state == RouterState::Fault);
        let state = match (active, foreign, all_fault) {
            (Some(_), ..) => control::RouterState::Active,
            (None, Some(_), _) => control::RouterState::Foreign,
            (None, None, true) => control::RouterState::Fault,
            (None, None, false) => control::RouterState::Vacant,
        };
        let live = reports.iter().filter(|(_, alive, _)| *alive);
        let held_on = live.clone().filter_map(|(id, _, r)| Some((*id, r.held.as_ref()?)));
        let cannot_tell = if active.is_some() { None } else { self.cannot_tell(now, key) };
        let (faults, lowered) = self.not_well(&reports);
        let lacks = live.clone().filter_map(|(id, _, r)| Some((self.node_name(*id), r.lacks.clone()?)));
        let configured_priority = self.displaced(&reports);
        // Whoever serves says under which epoch, and 0 is none.
        let leased = reports.iter().any(|(id, _, r)| Some(*id) == active && r.epoch > 0);
        // A sync group is pinned as a whole.
        let group = reports.iter().find_map(|(.., r)| r.place.as_ref()?.group).unwrap_or(key);
        control::Router {
            name,
            interface,
            vrid: key.vrid,
            family: match key.family {
                Family::Ipv4 => "ipv4".to_owned(),
                Family::Ipv6 => "ipv6".to_owned(),
            },
            vips,
            state,
            active: active.map(|id| self.node_name(id)),
            here: here.map_or("none", |i| state_word(i.state())).to_owned(),
            lease,
            priority: live.map(|(id, _, r)| (self.node_name(*id), r.priority)).collect::<BTreeMap<_, _>>(),
            last_transition: last_transition(&reports),
            cannot_tell,
            faults,
            lowered,
            lacks: lacks.collect(),
            configured_priority,
            veto: here.and_then(|i| i.veto.as_ref()).map(|v| control::Veto {
                by: v.by.iter().map(|id| self.name_of(*id)).collect(),
                holder: v.holder.map(|id| self.name_of(id)),
                reason: v.reason.clone(),
            }),
            held: here.and_then(|i| self.hold_report(i)).as_ref().map(shown_hold),
            held_on: held_on.map(|(id, held)| (self.node_name(id), shown_hold(held))).collect(),
            foreign: foreign.map(|a| a.to_string()),
            pinned_to: self.moves.marks.pin(&group).map(|id| self.node_name(id)),
            protection: if leased { control::RouterProtection::Lease } else { control::RouterProtection::None },
            unprotected_because: (self.leased() && active.is_some() && !leased).then(|| self.without_lease(now, key)),
        }
    }

    /// Why whoever serves has no lease.
    fn without_lease(&self, now: Instant, key: RouterKey) -> String {
        let since = self.instances.get(&key).and_then(|i| i.silence.unprotected_since);
        match since {
            Some(since) => format!(
                "no majority answers, {} of {} voters reachable; for {} s",
                self.reachable_voters(),
                self.voters().len(),
                now.since(since).as_secs()
            ),
            None => "whoever serves it says that no majority of the voters answers".to_owned(),
        }
    }

    /// Who serves: the holder of an unexpired grant of ours that says so, else the living member
    /// with the highest epoch that says so.
    pub(super) fn active_node(&self, now: Instant, key: RouterKey, reports: &[Word<'_>]) -> Option<NodeId> {
        let says_active = |r: &RouterReport| r.state == RouterState::Active;
        let holder = self.voter.holder(now, &key).map(|h| h.owner);
        let by_grant = reports.iter().find(|(id, _, r)| Some(*id) == holder && says_active(r));
        let by_epoch = || {
            let claims = reports.iter().filter(|(_, alive, r)| *alive && says_active(r));
            claims.max_by_key(|(_, _, r)| (r.epoch, r.transition.at_unix_ms))
        };
        by_grant.or_else(by_epoch).map(|(id, ..)| *id)
    }

    /// Who serves a router, as this node knows.
    pub fn active(&self, now: Instant, router: RouterKey) -> Option<NodeId> {
        self.active_node(now, router, &self.reports(router))
    }

    /// The lease: our own exactly, another's as our vote for it stands.
    fn lease_status(&self, now: Instant, key: RouterKey) -> Option<control::Lease> {
        let own = self.instances.get(&key).filter(|i| i.lease.is_held());
        let (owner, epoch, until) = match own {
            Some(instance) => (self.setup.node, instance.held_epoch(), instance.armed_until?),
            None => self.voter.holder(now, &key).map(|h| (h.owner, h.epoch, h.expiry))?,
        };
        let remaining = until.since(now);
        Some(control::Lease { owner: self.name_of(owner), epoch, remaining_ms: millis(remaining) })
    }

    pub(super) fn node_name(&self, id: NodeId) -> String {
        if id == self.setup.node { self.setup.name.clone() } else { self.name_of(id) }
    }
}

fn veto_count((voter, reason, count): (String, &'static str, u64)) -> control::story::VetoCount {
    control::story::VetoCount { voter, reason: reason.to_owned(), count }
}

fn shown_hold(hold: &HoldReport) -> control::Held {
    let until = Timestamp::from_millisecond(i64::try_from(hold.until_unix_ms).unwrap_or(i64::MAX));
    control::Held { until: until.map_or_else(|_| String::new(), |at| at.to_string()), because: hold.because.clone() }
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

fn state_word(state: RouterState) -> &'static str {
    match state {
        RouterState::Active => "active",
        RouterState::Backup => "backup",
        RouterState::Fault => "fault",
        RouterState::Vetoed => "vetoed",
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Director => "director",
        Role::Witness => "witness",
        Role::Server => "server",
    }
}

/// The newest takeover anywhere; without one, the newest change of any kind.
fn last_transition(reports: &[Word<'_>]) -> Option<control::Transition> {
    let newest = |active: bool| {
        let wanted = reports.iter().filter(|(_, _, r)| !active || r.state == RouterState::Active);
        wanted.max_by_key(|(_, _, r)| r.transition.at_unix_ms)
    };
    let (_, _, report) = newest(true).or_else(|| newest(false))?;
    let at = Timestamp::from_millisecond(i64::try_from(report.transition.at_unix_ms).ok()?).ok()?;
    Some(control::Transition {
        at: at.to_string(),
        cause: report.transition.cause.clone(),
        trace_id: report.transition.trace_id.clone(),
    })
}
