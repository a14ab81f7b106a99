//! I3: where a majority of voters and a candidate have been well and connected for long enough,
//! somebody serves.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_config::model::Version;
use mesh_core::decision::RouterEvent;
use mesh_core::vrrp::down_interval;

use super::{Invariant, is_majority, reached, router_event};
use crate::clock::{Time, ms};
use crate::cluster::{Cluster, Fact};
use crate::layout::GROUP;

/// Beyond the down interval of the lowest priority.
const MARGIN: Duration = ms(1000);

/// When each router was last served, or could not be.
#[derive(Debug)]
pub(super) struct OwnerWhileMajority {
    served: Vec<Time>,
    ready: Ready,
}

impl OwnerWhileMajority {
    /// For so many routers.
    pub(super) fn new(routers: usize) -> Self {
        OwnerWhileMajority { served: vec![Time::ZERO; routers], ready: Ready::default() }
    }
}

impl Invariant for OwnerWhileMajority {
    fn name(&self) -> &'static str {
        "owner_while_majority"
    }

    fn check(&mut self, world: &Cluster, facts: &[Fact]) -> Result<(), String> {
        self.ready.note(world, facts);
        for router in 0..world.layout.routers {
            if !world.serving(router).is_empty() || is_torn(world, router) {
                self.served[router] = world.now;
            }
            let patience = down_interval(Version::V3, 1, world.layout.interval(router), 3)
                + world.layout.lease_time(router)
                + MARGIN;
            let since = world.now.saturating_sub(patience);
            if self.served[router] >= since
                || world.voters_since() > since
                || world.foreign_until + patience > world.now
            {
                continue;
            }
            // An effect that failed keeps a host away for a while.
            let ready = |host: usize| self.ready.since(host, router).is_some_and(|t| t < since);
            let able = |host: &usize| ready(*host) && is_able(world, *host, router, since);
            if let Some(host) = (0..world.layout.directors).find(|h| world.is_director(*h) && able(h)) {
                let name = &world.hosts[host].name;
                return Err(format!("nobody has served VI_{} for {patience:?}, and {name} could", router + 1));
            }
        }
        Ok(())
    }
}

/// Since when each host has been without a fault for each router, as it says itself.
#[derive(Debug, Default)]
struct Ready(BTreeMap<(usize, usize), Option<Time>>);

impl Ready {
    fn note(&mut self, world: &Cluster, facts: &[Fact]) {
        for (host, router, event, _) in facts.iter().filter_map(router_event) {
            let ready = self.0.entry((host, router)).or_default();
            *ready = (*event != RouterEvent::Fault).then(|| ready.unwrap_or(world.now));
        }
    }

    fn since(&self, host: usize, router: usize) -> Option<Time> {
        self.0.get(&(host, router)).copied().flatten()
    }
}

/// Whether a director serves another router of its group and has not this one in its configuration: a group
/// is served as a whole, so the others have to wait until they all have the same.
fn is_torn(world: &Cluster, router: usize) -> bool {
    let lacks = |host: &usize| world.hosts[*host].config.routers.len() <= router;
    let mut others = GROUP.into_iter().filter(|other| *other != router);
    world.layout.grouped && GROUP.contains(&router) && others.any(|other| world.serving(other).iter().any(lacks))
}

/// Whether a host could have served all the time.
fn is_able(world: &Cluster, host: usize, router: usize, since: Time) -> bool {
    let machine = &world.hosts[host];
    if !world.well_since(host, since) || machine.excused >= since || machine.config.routers.len() <= router {
        return false;
    }
    is_majority(world, reached(world, host, since).count())
}
