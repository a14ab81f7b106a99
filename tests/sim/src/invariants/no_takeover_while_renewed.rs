//! I4: an owner that reaches a majority of voters in good order keeps its lease.

use std::collections::BTreeMap;

use mesh_wire::mesh::lease::Verdict;

use super::{Invariant, is_majority, reached};
use crate::clock::{Time, ms};
use crate::cluster::{Cluster, Fact};

/// Beyond a lease, in which an earlier owner's may have to run out: a first, short grant to a rival.
const MARGIN: Time = ms(500);

/// What follows from an order, a failed effect or a worthier router follows at once.
const AT_ONCE: Time = ms(10);

/// Service that ends must have a reason: the host was told something that ends it, or votes were
/// wanting. A voter counts while it is there and did not say lately that it cannot grant.
#[derive(Debug, Default)]
pub(super) struct NoTakeoverWhileRenewed {
    /// Since when each host serves each router.
    serves: BTreeMap<(usize, usize), Time>,
    /// When each voter last refused each owner's router.
    refusals: BTreeMap<(usize, usize, usize), Time>,
    /// Whom each voter last granted each router, and until when; what it grants to itself is not seen.
    grants: BTreeMap<(usize, usize), (usize, Time)>,
}

impl Invariant for NoTakeoverWhileRenewed {
    fn name(&self) -> &'static str {
        "no_takeover_while_renewed"
    }

    fn check(&mut self, world: &Cluster, facts: &[Fact]) -> Result<(), String> {
        for fact in facts {
            if let Fact::Vote { voter, owner, router, verdict, duration } = fact {
                if matches!(verdict, Verdict::Granted { .. }) {
                    self.grants.insert((*voter, *router), (*owner, world.now + *duration));
                }
                // `Stale` asks for another epoch, which is the owner's to find.
                if !matches!(verdict, Verdict::Granted { .. } | Verdict::Stale { .. }) {
                    self.refusals.insert((*voter, *owner, *router), world.now);
                }
            }
        }
        let mut ended = Vec::new();
        for host in 0..world.hosts.len() {
            for router in 0..world.layout.routers {
                if world.serves(host, router) {
                    self.serves.entry((host, router)).or_insert(world.now);
                } else if let Some(since) = self.serves.remove(&(host, router)) {
                    ended.push((host, router, since));
                }
            }
        }
        if world.strays {
            // An answer from before a voter's reboot looks like a clock that jumped.
            return Ok(());
        }
        ended.into_iter().try_for_each(|(host, router, since)| self.judge(world, host, router, since))
    }
}

impl NoTakeoverWhileRenewed {
    /// A host has just ceased to serve a router.
    fn judge(&self, world: &Cluster, host: usize, router: usize, served_since: Time) -> Result<(), String> {
        let since = world.now.saturating_sub(world.layout.lease_time(router) + MARGIN);
        if served_since > since || world.voters_since() > since {
            // It has hardly won, and rivals may still be told so; or there are other voters now.
            return Ok(());
        }
        if !world.well_since(host, since) || world.hosts[host].excused + AT_ONCE > world.now {
            return Ok(());
        }
        let refuses = |voter: &usize| self.refusals.get(&(*voter, host, router)).is_some_and(|at| *at >= since);
        let granted = |voter: &usize| self.grants.get(&(*voter, router)).filter(|(owner, _)| *owner != host);
        let owes = |voter: &usize| granted(voter).is_some_and(|(_, until)| *until >= since);
        let votes = reached(world, host, since).filter(|voter| !refuses(voter) && !owes(voter)).count();
        if is_majority(world, votes) {
            let name = &world.hosts[host].name;
            return Err(format!("{name} lost VI_{} although {votes} voters were there", router + 1));
        }
        Ok(())
    }
}
