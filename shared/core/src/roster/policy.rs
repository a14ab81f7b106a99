//! Who should vote, where the operator has not said so.
//!
//! The first three members that may vote do so as soon as they are there. Five that have been there
//! for a while all vote, and so do four of which two are servers. A voter that is gone for long is
//! replaced by a member that is there (which comes before it goes), and where there is none the
//! voters become fewer, but not below three. Nothing is proposed without a majority that could agree.
//!
//! Directors come first, then witnesses, then servers: a web host is restarted for reasons of its own.
//! Who votes already is not replaced by who would have come first.
//!
//! It is up to the first voter of the roster that is there to propose: the others would only be in
//! its way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::roster::{FIRST_VOTERS, Member, Role, Roster, VotePolicy};

use super::change::{Change, is_eligible};
use crate::time::Instant;

/// So many vote where so many are there.
pub const MANY_VOTERS: usize = 5;

/// Two directors and two servers: neither server is the one whose restart would count.
const MIXED_VOTERS: usize = 4;

/// How long members have to be there before the mesh fills up to [`MANY_VOTERS`].
pub const FILL_AFTER: Duration = Duration::from_secs(5);

/// How long a voter has to be gone before it is replaced, unless `[mesh] replace_after` says otherwise.
pub const REPLACE_AFTER: Duration = Duration::from_secs(60);

/// How a member is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// There is a connection.
    Connected,
    /// Not connected, but others hear it.
    Heard,
    /// Neither.
    Gone,
}

/// How all members have been seen, and since when, as long as this node is running.
#[derive(Clone, Debug, Default)]
pub struct Census {
    seen: BTreeMap<NodeId, (Presence, Instant)>,
}

impl Census {
    /// Notes who is there now, and whether that is news; who is not in the list is forgotten.
    pub fn note(&mut self, now: Instant, members: &[(NodeId, Presence)]) -> bool {
        let mut news = false;
        for (id, presence) in members {
            news |= self.note_one(now, *id, *presence);
        }
        if self.seen.len() > members.len() {
            let there: BTreeSet<NodeId> = members.iter().map(|(id, _)| *id).collect();
            self.seen.retain(|id, _| there.contains(id));
            news = true;
        }
        news
    }

    /// The same of one member.
    pub fn note_one(&mut self, now: Instant, id: NodeId, presence: Presence) -> bool {
        let news = !self.is(id, presence);
        if news {
            self.seen.insert(id, (presence, now));
        }
        news
    }

    fn is(&self, id: NodeId, presence: Presence) -> bool {
        self.seen.get(&id).is_some_and(|(known, _)| *known == presence)
    }

    fn is_for(&self, id: NodeId, presence: Presence, now: Instant, time: Duration) -> bool {
        self.seen.get(&id).is_some_and(|(known, since)| *known == presence && *since + time <= now)
    }
}

/// All that decides.
#[derive(Clone, Debug)]
pub struct Policy<'a> {
    /// The node that asks.
    pub me: NodeId,
    /// The roster committed last.
    pub roster: &'a Roster,
    /// Who is there.
    pub census: &'a Census,
    /// How long a voter may be gone.
    pub replace_after: Duration,
}

impl Policy<'_> {
    /// The change to propose now.
    pub fn change(&self, now: Instant) -> Option<Change> {
        let voters: Vec<&Member> = self.roster.voters().collect();
        if !self.proposes(&voters) {
            return None;
        }
        let spare = |time| {
            let candidates = self.roster.members.iter().filter(|m| !m.voter && is_eligible(m));
            let there = candidates.filter(|m| self.census.is_for(m.id, Presence::Connected, now, time));
            // Of several it is the one that joined first.
            there.min_by_key(|m| rank(m.role)).map(|m| m.id)
        };
        if voters.len() < FIRST_VOTERS
            && let Some(id) = spare(Duration::ZERO)
        {
            return Some(Change::Promote(id));
        }
        let target = self.target(now);
        let gone = voters
            .iter()
            .filter(|m| m.vote != VotePolicy::Always)
            .find(|m| self.census.is_for(m.id, Presence::Gone, now, self.replace_after));
        match gone {
            Some(gone) if voters.len() > target => Some(Change::Demote(gone.id)),
            Some(_) => spare(FILL_AFTER).map(Change::Promote),
            None if voters.len() < target => spare(FILL_AFTER).map(Change::Promote),
            None => None,
        }
    }

    /// Whether it is up to this node, and a majority could agree.
    fn proposes(&self, voters: &[&Member]) -> bool {
        let there = || voters.iter().filter(|m| self.census.is(m.id, Presence::Connected));
        there().next().is_some_and(|first| first.id == self.me) && there().count() >= self.roster.quorum()
    }

    /// When [`Policy::change`] will want something, if nothing happens before.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let voters: Vec<&Member> = self.roster.voters().collect();
        let complete = voters.len() >= MANY_VOTERS && voters.iter().all(|m| self.census.is(m.id, Presence::Connected));
        // Neither changes with time alone; without them all members would have to be looked at again and again.
        if complete || !self.proposes(&voters) {
            return None;
        }
        let mut times = self.turns(&voters);
        times.retain(|t| *t > now);
        times.sort_unstable();
        times.into_iter().find(|t| self.change(*t).is_some())
    }

    /// When what [`Policy::change`] wants may become something else: a voter has been gone for long, somebody has been
    /// there for long enough to vote, or so many have that it does not matter how many more. Members are many, and each
    /// of these times is tried.
    fn turns(&self, voters: &[&Member]) -> Vec<Instant> {
        let seen = |member: &Member| self.census.seen.get(&member.id).copied();
        let gone = voters.iter().filter_map(|m| Some(seen(m).filter(|(p, _)| *p == Presence::Gone)?.1));
        let mut turns: Vec<Instant> = gone.map(|since| since + self.replace_after).collect();
        let eligible = self.roster.members.iter().filter(|m| is_eligible(m));
        let there = eligible.filter_map(|m| Some((seen(m).filter(|(p, _)| *p == Presence::Connected)?.1, m.voter)));
        let mut there: Vec<(Instant, bool)> = there.map(|(since, voter)| (since + FILL_AFTER, voter)).collect();
        there.sort_unstable();
        turns.extend(there.iter().find(|(_, voter)| !voter).map(|(t, _)| *t));
        turns.extend(there.iter().take(MANY_VOTERS).map(|(t, _)| *t));
        turns
    }

    /// How many should vote, by the members that may and have been there for a while.
    fn target(&self, now: Instant) -> usize {
        let eligible = self.roster.members.iter().filter(|m| is_eligible(m));
        let steady = eligible.filter(|m| self.census.is_for(m.id, Presence::Connected, now, FILL_AFTER));
        // More would not change it.
        let (servers, others): (Vec<&Member>, Vec<&Member>) =
            steady.take(MANY_VOTERS).partition(|m| m.role == Role::Server);
        match servers.len() + others.len() {
            MANY_VOTERS.. => MANY_VOTERS,
            MIXED_VOTERS if servers.len() >= 2 => MIXED_VOTERS,
            _ => FIRST_VOTERS,
        }
    }
}

/// Who is asked to vote first.
fn rank(role: Role) -> u8 {
    match role {
        Role::Director => 0,
        Role::Witness => 1,
        Role::Server => 2,
    }
}
