//! What must hold, one file each.

mod address_implies_lease;
mod at_most_one_open_fence;
mod brief_overlap;
mod closed_before_release;
mod grants_are_kept;
mod groups_move_together;
mod members_only;
mod no_flapping_without_faults;
mod no_takeover_while_renewed;
mod one_owner_while_connected;
mod owner_after_healing;
mod owner_while_majority;
mod promises_never_go_back;
mod silent_host_closes;

use std::fmt::Debug;

use mesh_core::Decision;
use mesh_core::decision::RouterEvent;

use crate::clock::Time;
use crate::cluster::{Cluster, Fact};
use crate::layout::router_of;
use crate::run::Beyond;

/// A property of a run, watched from event to event. The world changes at events only (a fence or
/// a lifetime that ends by itself is one), so that nothing between two events can escape; what
/// takes time is looked at twenty times a second.
pub trait Invariant: Debug {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Looks at the world after an event.
    ///
    /// # Errors
    /// What is wrong, in words.
    fn check(&mut self, world: &Cluster, facts: &[Fact]) -> Result<(), String>;
}

/// All that are promised for such a cluster under such faults.
pub fn all(world: &Cluster, beyond: Option<Beyond>) -> Vec<Box<dyn Invariant>> {
    let routers = world.layout.routers;
    let mut all: Vec<Box<dyn Invariant>> = vec![
        Box::new(address_implies_lease::AddressImpliesLease::default()),
        Box::new(members_only::MembersOnly::default()),
        Box::new(no_flapping_without_faults::NoFlappingWithoutFaults),
        Box::new(owner_after_healing::OwnerAfterHealing::new(routers)),
    ];
    if world.layout.grouped {
        all.push(Box::new(groups_move_together::GroupsMoveTogether::default()));
    }
    if !world.layout.is_protected() {
        all.push(Box::new(one_owner_while_connected::OneOwnerWhileConnected::new(routers)));
        return all;
    }
    if beyond == Some(Beyond::Pause) {
        all.push(Box::new(brief_overlap::BriefOverlap::new(routers)));
        return all;
    }
    all.push(Box::new(at_most_one_open_fence::AtMostOneOpenFence));
    all.push(Box::new(closed_before_release::ClosedBeforeRelease));
    all.push(Box::new(grants_are_kept::GrantsAreKept::default()));
    all.push(Box::new(promises_never_go_back::PromisesNeverGoBack::new(routers)));
    all.push(Box::new(silent_host_closes::SilentHostCloses));
    if beyond.is_none() {
        all.push(Box::new(no_takeover_while_renewed::NoTakeoverWhileRenewed::default()));
        all.push(Box::new(owner_while_majority::OwnerWhileMajority::new(routers)));
    }
    all
}

/// When, after the last fault, the cluster must have come to rest with the worthiest owners.
const SETTLED: Time = owner_after_healing::SETTLED;

/// The router and event of a decision about a router.
fn router_event(fact: &Fact) -> Option<(usize, usize, &RouterEvent, &str)> {
    let Fact::Decision(host, Decision::Router { key, event, cause, .. }) = fact else { return None };
    Some((*host, router_of(key)?, event, cause))
}

/// Voters that were there for a host since then, itself included: running, under the newest roster,
/// and connected without a disturbance of the wire.
fn reached(world: &Cluster, host: usize, since: Time) -> impl Iterator<Item = usize> + '_ {
    let there = move |voter: &usize| {
        (world.is_up_to_date(host, since) && world.is_up_to_date(*voter, since))
            && world.well_since(*voter, since)
            && (*voter == host || world.network.in_order_since(since, host, *voter))
            && world.connected_since(host, *voter, since)
    };
    world.voters().into_iter().filter(there)
}

/// Whether so many voters are a majority.
fn is_majority(world: &Cluster, votes: usize) -> bool {
    votes > world.voters().len() / 2
}

/// Names of hosts, for people.
fn names(world: &Cluster, hosts: &[usize]) -> String {
    hosts.iter().map(|h| world.hosts[*h].name.as_str()).collect::<Vec<_>>().join(" and ")
}
