//! What the daemon does around voter and ballot: `mesh_core::engine::{leases, takeover}` in the
//! same order of effects, for one router and without VRRP. When to ask is nobody's decision here:
//! the search tries every moment.

use std::collections::BTreeSet;
use std::time::Duration;

use mesh_core::Instant;
use mesh_core::lease::ballot::{Ballot, Count, Lease};
use mesh_core::lease::memory::{VoterStart, ceiling_above};
use mesh_core::lease::voter::Voter;
use mesh_core::lease::{GUARD, QUARANTINE, worth};
use mesh_wire::mesh::lease::{Claim, Release, Verdict};
use mesh_wire::mesh::{Family, NodeId, RouterKey};

use super::mutant::Mutant;
use super::world::{CANDIDATES, Content, Director, Milestone, Packet, Place, Sent, World};

/// The one virtual router.
const ROUTER: RouterKey = RouterKey { family: Family::Ipv4, vrid: 51, segment: 0 };

const VOTERS: [NodeId; 3] = [Place(0).id(), Place(1).id(), Place(2).id()];

/// What does not change in a run.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// T of the router.
    pub lease: Duration,
    /// Messages in flight at once; what is sent beyond is lost.
    pub in_flight: usize,
    /// The planted bug.
    pub mutant: Option<Mutant>,
}

impl World {
    /// A new ballot, asked for at once.
    pub(super) fn claim(&mut self, at: Place, rules: &Rules, asks: u8) {
        let host = self.host(at);
        let director = &mut host.director;
        director.epoch_seen = director.epoch_seen.max(host.voter.max_epoch(&ROUTER));
        director.lease = Lease::Asking(Ballot::new(host.now, director.epoch_seen + 1, String::new()));
        self.left.claims -= 1;
        self.left.asks[at.0] = asks;
        self.ask(at, rules);
    }

    /// Asks all voters, for a short lease until a majority granted.
    pub(super) fn ask(&mut self, at: Place, rules: &Rules) {
        let host = self.host(at);
        let duration = match &host.director.lease {
            Lease::Idle => return,
            Lease::Asking(ballot) => ballot.first_duration(rules.lease),
            Lease::Held(_) => rules.lease,
        };
        let Some(epoch) = host.director.lease.ballot().map(|b| b.epoch) else { return };
        host.seq += 1;
        let (seq, now) = (host.seq, host.now);
        host.director.epoch_seen = host.director.epoch_seen.max(epoch);
        host.voter.note_claim(ROUTER, epoch);
        host.director.sent.push(Sent { seq, at: now, duration });
        self.left.asks[at.0] -= 1;
        let claim = Claim { router: ROUTER, epoch, duration_ms: duration.as_millis() as u32 };
        for to in Place::all().filter(|to| *to != at) {
            self.send(rules, Packet { from: at, to, content: Content::Request { seq, claim } });
        }
        if let Some(verdict) = self.decide(at, at, seq, &claim, rules) {
            self.receive_reply(at, at, seq, verdict, rules);
        }
    }

    /// A message arrives.
    pub(super) fn receive(&mut self, packet: &Packet, rules: &Rules) {
        let Packet { from, to, content } = packet;
        match content {
            Content::Request { seq, claim } => {
                if let Some(verdict) = self.decide(*to, *from, *seq, claim, rules) {
                    let content = Content::Reply { seq: *seq, verdict };
                    self.send(rules, Packet { from: *to, to: *from, content });
                }
            }
            Content::Reply { seq, verdict } => self.receive_reply(*to, *from, *seq, *verdict, rules),
            Content::Release(releases) => self.receive_releases(*to, *from, releases),
        }
    }

    /// The daemon looks at its clock.
    pub(super) fn run_timers(&mut self, at: Place, rules: &Rules) {
        let host = self.host(at);
        let now = host.now;
        host.voter.expire(now);
        if host.director.armed_until.is_some_and(|until| until <= now) {
            self.retire(at, None, rules);
        }
        self.settle(at, rules);
    }

    /// The daemon starts anew. Whatever an earlier run left in the kernel is closed before anything
    /// is sent.
    pub(super) fn restart(&mut self, at: Place, forgets: bool, rules: &Rules) {
        let host = self.host(at);
        host.running = true;
        host.director = Director::default();
        if rules.mutant != Some(Mutant::NoStartSweep) {
            host.fence = None;
        }
        let kept = host.kept.clone();
        let start = if forgets {
            let silent = if rules.mutant == Some(Mutant::NoQuarantine) { Duration::ZERO } else { QUARANTINE };
            VoterStart::silent_until(host.now + silent).above(kept.epoch_ceiling, ceiling_above(kept.epoch_ceiling))
        } else {
            kept
        };
        host.voter = Voter::start(host.now, start.clone());
        host.voter.release_own(at.id(), &BTreeSet::new());
        host.kept = start;
        self.history.forgot |= forgets;
        if let Some(own) = self.history.promised[at.0].get_mut(at.0) {
            *own = Instant::default();
        }
        self.forget_replies(at);
    }

    /// Serves no longer, or gives up a claim: the fence is closed before anybody hears of it.
    pub(super) fn retire(&mut self, at: Place, successor: Option<Place>, rules: &Rules) {
        let host = self.host(at);
        let lease = std::mem::take(&mut host.director.lease);
        if host.director.armed_until.take().is_some() && rules.mutant != Some(Mutant::ReleaseBeforeClosing) {
            host.fence = None;
        }
        if let Some(ballot) = lease.ballot() {
            self.history.released |= lease.is_held() && successor.is_some();
            self.release(at, ballot, successor, rules);
        }
    }

    fn send(&mut self, rules: &Rules, packet: Packet) {
        let to_nobody = matches!(packet.content, Content::Reply { seq, .. } if !self.awaits(packet.to, seq));
        if !to_nobody && self.network.len() < rules.in_flight && !self.network.contains(&packet) {
            self.network.push(packet);
        }
    }

    /// Whether a candidate would listen to the answer to a request.
    fn awaits(&self, at: Place, seq: u64) -> bool {
        self.hosts[at.0].director.sent.iter().any(|s| s.seq == seq)
    }

    /// As a voter: the real one, and whatever a planted bug makes of it.
    fn decide(&mut self, at: Place, from: Place, seq: u64, claim: &Claim, rules: &Rules) -> Option<Verdict> {
        let host = self.host(at);
        let (voter, now) = (&mut host.voter, host.now);
        if let Some(held) = voter.holder(now, &ROUTER) {
            match rules.mutant {
                Some(Mutant::OverwriteGrants) if held.owner != from.id() => {
                    let seq = voter.latest_seq(held.owner).unwrap_or(0);
                    voter.release(
                        now,
                        held.owner,
                        &Release { router: ROUTER, epoch: held.epoch, seq, successor: None },
                    );
                }
                Some(Mutant::DuplicateShortens) if held.owner == from.id() && held.epoch == claim.epoch => {
                    *voter = Voter::new(Instant::default());
                }
                _ => {}
            }
        }
        let verdict = voter.decide(now, from.id(), seq, claim);
        if let Some(Verdict::Granted { .. }) = verdict {
            let until = now + Duration::from_millis(u64::from(claim.duration_ms));
            let promised = &mut self.history.promised[at.0][from.0];
            *promised = (*promised).max(until);
            if self.history.forgot {
                self.history.just = Some(Milestone::SpokeAgain);
            }
        }
        verdict
    }

    /// As a candidate: takes in an answer.
    fn receive_reply(&mut self, at: Place, voter: Place, seq: u64, verdict: Verdict, rules: &Rules) {
        let host = self.host(at);
        let director = &mut host.director;
        let epoch = match verdict {
            Verdict::Granted { epoch } | Verdict::Held { epoch, .. } => epoch,
            Verdict::Stale { max_epoch } => max_epoch,
            Verdict::WrongRoster | Verdict::Quarantine { .. } => 0,
        };
        let Some(sent) = director.sent.iter().find(|s| s.seq == seq) else { return };
        director.epoch_seen = director.epoch_seen.max(epoch);
        if let Some(ballot) = director.lease.ballot_mut() {
            let before = ballot.epoch;
            let counted_from = if rules.mutant == Some(Mutant::DeadlineFromArrival) { host.now } else { sent.at };
            ballot.vote(host.now, voter.id(), counted_from, sent.duration, verdict);
            if ballot.epoch > before {
                self.history.just = Some(Milestone::Raised);
            }
        }
        self.settle(at, rules);
    }

    /// Draws the consequence of the votes so far.
    fn settle(&mut self, at: Place, rules: &Rules) {
        let host = self.host(at);
        let now = host.now;
        match &mut host.director.lease {
            Lease::Idle => {}
            Lease::Asking(ballot) => {
                // When to ask again is left to the search.
                ballot.ask_at = ballot.give_up_at;
                match ballot.count(now, &VOTERS) {
                    Count::Won(deadline) => self.win(at, deadline, rules),
                    Count::Lost => self.retire(at, None, rules),
                    Count::Open => {}
                }
            }
            Lease::Held(ballot) => {
                ballot.ask_at = ballot.give_up_at;
                let elsewhere = ballot.vetoes().into_values().filter(|until| *until > now).count();
                if let Some(deadline) = ballot.deadline(&VOTERS)
                    && host.director.armed_until.is_none_or(|armed| deadline > armed)
                {
                    self.open(at, deadline, rules);
                }
                if elsewhere + VOTERS.len() / 2 + 1 > VOTERS.len() {
                    self.retire(at, None, rules);
                }
            }
        }
    }

    /// A majority granted.
    fn win(&mut self, at: Place, deadline: Instant, rules: &Rules) {
        let Lease::Asking(ballot) = std::mem::take(&mut self.host(at).director.lease) else { return };
        let epoch = ballot.epoch;
        self.host(at).director.lease = Lease::Held(ballot);
        self.open(at, deadline, rules);
        let history = &mut self.history;
        history.just = match history.owner {
            Some((_, last)) if epoch <= last => Some(Milestone::EpochFell),
            Some((before, _)) if before != at && history.released => Some(Milestone::MovedByRelease),
            Some((before, _)) if before != at => Some(Milestone::MovedByExpiry),
            Some(_) | None => None,
        };
        history.owner = Some((at, epoch));
        history.released = false;
    }

    /// The kernel opens the fence for as long as it is told to; what lies in the past closes it.
    fn open(&mut self, at: Place, deadline: Instant, rules: &Rules) {
        let margin = GUARD + (rules.lease - worth(rules.lease));
        let until = if rules.mutant == Some(Mutant::NoMargin) { deadline + margin } else { deadline };
        let host = self.host(at);
        host.director.armed_until = Some(until);
        host.fence = Some(until).filter(|until| *until > host.now);
    }

    /// Tells all voters that a ballot is over.
    fn release(&mut self, at: Place, ballot: &Ballot, successor: Option<Place>, rules: &Rules) {
        let host = self.host(at);
        host.director.epoch_seen = host.director.epoch_seen.max(ballot.epoch);
        let seq = host.seq;
        self.forget_replies(at);
        let successor = successor.map(Place::id);
        let releases: Vec<Release> =
            ballot.epochs().map(|epoch| Release { router: ROUTER, epoch, seq, successor }).collect();
        for to in Place::all() {
            if to == at {
                self.receive_releases(at, at, &releases);
            } else {
                self.send(rules, Packet { from: at, to, content: Content::Release(releases.clone()) });
            }
        }
    }

    /// As a voter: another node gives leases back.
    fn receive_releases(&mut self, at: Place, from: Place, releases: &[Release]) {
        let host = self.host(at);
        let now = host.now;
        let ended = releases.iter().filter_map(|r| host.voter.release(now, from.id(), r)).count();
        if ended > 0 {
            self.history.promised[at.0][from.0] = Instant::default();
        }
    }

    /// No answer to an ended ballot matters: one state instead of many.
    fn forget_replies(&mut self, at: Place) {
        self.host(at).director.sent.clear();
        self.network.retain(|p| p.to != at || !matches!(p.content, Content::Reply { .. }));
        if at.0 < CANDIDATES {
            self.left.asks[at.0] = 0;
        }
    }
}
