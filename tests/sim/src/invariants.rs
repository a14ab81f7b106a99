//! What must hold, one file each.

mod address_implies_lease;
mod at_most_one_open_fence;
mod no_flapping_without_faults;
mod no_takeover_while_renewed;
mod owner_after_healing;
mod promises_never_go_back;

use std::fmt::Debug;

use mesh_core::Decision;
use mesh_core::decision::RouterEvent;

use crate::clock::Time;
use crate::cluster::{Cluster, Fact};
use crate::host;

/// A property of a run, watched from event to event. The world changes at events only (a fence or
/// a lifetime that ends by itself is one), so that nothing between two events can escape.
pub trait Invariant: Debug {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Looks at the world after an event.
    ///
    /// # Errors
    /// What is wrong, in words.
    fn check(&mut self, world: &Cluster, facts: &[Fact]) -> Result<(), String>;
}

/// All of them.
pub fn all(world: &Cluster) -> Vec<Box<dyn Invariant>> {
    let routers = world.layout.routers;
    vec![
        Box::new(at_most_one_open_fence::AtMostOneOpenFence),
        Box::new(address_implies_lease::AddressImpliesLease::default()),
        Box::new(promises_never_go_back::PromisesNeverGoBack::new(routers)),
        Box::new(no_takeover_while_renewed::NoTakeoverWhileRenewed),
        Box::new(no_flapping_without_faults::NoFlappingWithoutFaults),
        Box::new(owner_after_healing::OwnerAfterHealing::new(routers)),
    ]
}

/// When, after the last fault, the cluster must have come to rest with the worthiest owners.
const SETTLED: Time = owner_after_healing::SETTLED;

/// The router and event of a decision about a router.
fn router_event(fact: &Fact) -> Option<(usize, usize, &RouterEvent, &str)> {
    let Fact::Decision(host, Decision::Router { key, event, cause, .. }) = fact else { return None };
    let router = usize::from(key.vrid).checked_sub(usize::from(host::router_key(0).vrid))?;
    Some((*host, router, event, cause))
}

/// Names of hosts, for people.
fn names(world: &Cluster, hosts: &[usize]) -> String {
    hosts.iter().map(|h| world.hosts[*h].name.as_str()).collect::<Vec<_>>().join(" and ")
}
