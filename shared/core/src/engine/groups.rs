//! Sync groups: virtual routers that are active together, or not at all.
//!
//! Every member keeps its own lease, so that what the voters promise of an address holds whatever groups
//! other directors have, even while a new configuration goes round. The group is one for everything else:
//!
//! - One claim, in one message to each voter. Nobody serves anything before the voters granted all of it; what
//!   they granted of a claim that they refused in part is given back at once.
//! - No claim while a member has a fault, or follows a worthier router outside the mesh. A member whose turn has
//!   come waits for the others, as with keepalived.
//! - A fault, a lost lease, a hand-over, or a worthier router of one member ends service of all, fences
//!   first; what is given back goes to the voters in one message, and to one successor.
//! - A director is worthier for a group if it is for each member: different priorities within a group make it
//!   stay where it is, instead of pulling it to and fro.
//!
//! A router in no group is here a group of one.

use std::collections::BTreeMap;

use mesh_config::model::{Config, SyncGroup};
use mesh_wire::mesh::{NodeId, RouterKey};

use super::Engine;
use crate::decision::{Decision, GroupState};
use crate::instance::Instance;
use crate::lease::ballot::{Count, Lease};
use crate::time::Instant;

/// All groups of a configuration.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: Vec<Group>,
    /// Which group a router is in.
    of: BTreeMap<RouterKey, usize>,
}

#[derive(Debug)]
struct Group {
    config: SyncGroup,
    /// Its members, as many as there are, at least one.
    members: Vec<RouterKey>,
    /// What was told of it last.
    told: Option<GroupState>,
    /// Why a member changed its state in this step, the first of them.
    news: Option<String>,
}

impl Groups {
    /// The groups of a configuration; what was told of those that stay is kept.
    pub(super) fn configure(&mut self, config: &Config) {
        let before = std::mem::take(self);
        for group in &config.sync_groups {
            let members: Vec<RouterKey> =
                config.routers.iter().filter(|r| group.routers.contains(&r.name)).map(|r| r.key).collect();
            if members.is_empty() {
                continue;
            }
            self.of.extend(members.iter().map(|key| (*key, self.groups.len())));
            let told = before.groups.iter().find(|g| g.config.name == group.name).and_then(|g| g.told);
            self.groups.push(Group { config: group.clone(), members, told, news: None });
        }
    }

    fn of(&self, key: RouterKey) -> Option<&Group> {
        self.of.get(&key).map(|index| &self.groups[*index])
    }

    /// What a router's group says, where it is in one.
    pub(super) fn config_of(&self, key: RouterKey) -> Option<&SyncGroup> {
        self.of(key).map(|group| &group.config)
    }

    /// The routers that move with this one, itself included.
    pub(super) fn members(&self, key: RouterKey) -> Vec<RouterKey> {
        self.of(key).map_or_else(|| vec![key], |group| group.members.clone())
    }

    /// Whether this router stands for its group where each group is to be looked at once.
    pub(super) fn leads(&self, key: RouterKey) -> bool {
        self.of(key).is_none_or(|group| group.members[0] == key)
    }

    /// A member changed its state, and why.
    pub(super) fn note(&mut self, key: RouterKey, member: &str, cause: &str) {
        if let Some(index) = self.of.get(&key) {
            self.groups[*index].news.get_or_insert_with(|| format!("{member}: {cause}"));
        }
    }
}

/// Of this configuration, the routers whose groups are not all among `kept`.
pub(super) fn torn(config: &Config, kept: &dyn Fn(RouterKey) -> bool) -> Vec<RouterKey> {
    let key_of = |name: &String| config.routers.iter().find(|r| r.name == *name).map(|r| r.key);
    let members = config.sync_groups.iter().map(|g| g.routers.iter().filter_map(key_of).collect::<Vec<_>>());
    members.filter(|members| !members.iter().all(|key| kept(*key))).flatten().collect()
}

impl Engine {
    /// The routers that move with this one, itself included; those there are.
    pub(super) fn members(&self, key: RouterKey) -> Vec<RouterKey> {
        let mut members = self.groups.members(key);
        members.retain(|member| self.instances.contains_key(member));
        members
    }

    /// How a change of this router is told of the others of its group.
    pub(super) fn shared(&self, key: RouterKey, cause: &str) -> String {
        let name = self.instances.get(&key).map_or("", |i| i.config.name.as_str());
        let group = self.groups.config_of(key).map_or("", |group| group.name.as_str());
        format!("{name} of its group {group}: {cause}")
    }

    /// Whether a router may claim, whose turn has come: all of its group stand by, and none follows
    /// a router outside the mesh. Without voters to decide, the turn of each has to have come.
    pub(super) fn may_claim(&self, now: Instant, key: RouterKey, members: &[RouterKey]) -> bool {
        let leased = self.leased();
        let idle = |i: &Instance| !leased || matches!(i.lease, Lease::Idle);
        if members.len() == 1 {
            return self.instances.get(&key).is_some_and(idle);
        }
        let turn = |i: &Instance| i.config.key == key || i.wants.is_some() || leased && !i.defers_to_foreign(now);
        members.iter().map(|m| &self.instances[m]).all(|i| i.vrrp.is_backup() && idle(i) && turn(i))
    }

    /// Counts the votes for a claim: all of a group win, or none.
    pub(super) fn settle_claim(&mut self, now: Instant, key: RouterKey) {
        let voters = self.voters();
        let members = self.members(key);
        let count = |member: &RouterKey| match &self.instances[member].lease {
            Lease::Asking(ballot) => ballot.count(now, &voters),
            // Its members are no group since the claim was made.
            Lease::Idle | Lease::Held(_) => Count::Lost,
        };
        let counts: Vec<Count> = members.iter().map(count).collect();
        if counts.contains(&Count::Lost) {
            if !self.outran_release(now, &members) && !self.probe_instead(now, key) {
                self.lose(now, key, None);
            }
        } else if let Some(open) = counts.iter().position(|count| *count == Count::Open) {
            if self.nobody_left_to_answer(now, members[open]) && !self.probe_instead(now, key) {
                self.lose(now, key, None);
            }
        } else {
            for (member, count) in members.into_iter().zip(counts) {
                if let Count::Won(deadline) = count {
                    self.win(now, member, deadline);
                }
            }
        }
    }

    /// Whether a claim that a planned move called for reached voters before the owner's release did: they will say
    /// that the lease is free, and are asked again then.
    fn outran_release(&self, now: Instant, members: &[RouterKey]) -> bool {
        let Some(from) = members.first().and_then(|member| self.expected_from(member)) else { return false };
        let mut ballots = members.iter().map(|member| self.instances[member].lease.ballot());
        ballots.all(|ballot| {
            ballot.is_some_and(|b| now < b.give_up_at && b.held_by_other().all(|(_, owner, _)| owner == from))
        })
    }

    /// Serves no longer, with all of its group, or gives up a claim: closes the fence before anybody else may
    /// open theirs. `resign` sends an advertisement with priority 0.
    pub(super) fn retire(
        &mut self,
        now: Instant,
        key: RouterKey,
        cause: &str,
        resign: bool,
        successor: Option<NodeId>,
    ) {
        self.retire_one(now, key, cause, resign, successor);
        let engaged = |i: &Instance| i.vrrp.is_active() || i.lease.ballot().is_some();
        let mut others = self.members(key);
        others.retain(|member| *member != key && engaged(&self.instances[member]));
        if others.is_empty() {
            return;
        }
        let cause = self.shared(key, cause);
        for member in others {
            self.retire_one(now, member, &cause, true, successor);
        }
    }

    /// Members of the mesh that could serve a router and all of its group, each with its lowest priority.
    pub(super) fn group_candidates(&self, key: RouterKey) -> Vec<(NodeId, u8)> {
        let mut candidates: Vec<(NodeId, u8)> = self.membership.candidates(&key).collect();
        for member in self.groups.members(key).iter().filter(|m| **m != key) {
            let theirs: BTreeMap<NodeId, u8> = self.membership.candidates(member).collect();
            candidates.retain(|(node, _)| theirs.contains_key(node));
            candidates.iter_mut().for_each(|(node, priority)| *priority = theirs[node].min(*priority));
        }
        candidates
    }

    /// The lowest priority of ours in a router's group.
    pub(super) fn group_priority(&self, key: RouterKey) -> u8 {
        let members = self.members(key);
        members.iter().map(|m| self.instances[m].shown_priority()).min().unwrap_or_default()
    }

    /// Whether `node` says that it comes before this one for all of a router's group. What it says of `key`
    /// is known already.
    pub(super) fn comes_first_elsewhere(&self, node: NodeId, key: RouterKey) -> bool {
        let theirs = |member: &RouterKey| self.membership.router(node, member).map(|r| r.priority);
        let mut others = self.members(key).into_iter().filter(|m| *m != key);
        others.all(|m| theirs(&m).is_some_and(|p| p > self.instances[&m].vrrp.priority()))
    }

    /// Whatever came about in this step: groups are one again, claims that waited for a member are made, and
    /// changes of groups are told.
    pub(super) fn run_groups(&mut self, now: Instant) {
        for index in 0..self.groups.groups.len() {
            let mut members = self.groups.groups[index].members.clone();
            members.retain(|member| self.instances.contains_key(member));
            if members.is_empty() {
                continue;
            }
            self.keep_together(now, &members);
            let wants = members.iter().find_map(|m| Some((*m, self.instances[m].wants?)));
            if let Some((key, cause)) = wants.filter(|_| members.len() > 1)
                && self.may_claim(now, key, &members)
            {
                self.claim(now, key, cause.to_owned());
            }
            self.tell_group(index, &members);
        }
    }

    /// Groups that a new configuration made of routers which are active here, and others which are not, begin
    /// again with none.
    fn keep_together(&mut self, now: Instant, members: &[RouterKey]) {
        let active = members.iter().filter(|m| self.instances[m].vrrp.is_active()).count();
        if (1..members.len()).contains(&active) {
            for member in members {
                self.retire_one(now, *member, "its group is not active as a whole", true, None);
            }
        }
    }

    fn tell_group(&mut self, index: usize, members: &[RouterKey]) {
        let Some(cause) = self.groups.groups[index].news.take() else { return };
        let of = |test: &dyn Fn(&Instance) -> bool| members.iter().filter(|m| test(&self.instances[m])).count();
        let state = if of(&|i| i.vrrp.is_active()) == members.len() {
            GroupState::Active
        } else if of(&|i| i.fault.is_some()) > 0 {
            GroupState::Fault
        } else {
            GroupState::Backup
        };
        let priority = self.group_priority(members[0]);
        let group = &mut self.groups.groups[index];
        if group.told.replace(state) == Some(state) {
            return;
        }
        let name = group.config.name.clone();
        self.record(Decision::Group { name, state, priority, cause });
    }
}
