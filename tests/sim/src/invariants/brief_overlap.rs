//! Rule D6: a host that goes on after a pause it could not notice serves beside the new owner only
//! until it hears from voters, whose clocks did not stand still.

use mesh_core::lease::renew_period;

use super::{Invariant, is_majority, names, reached};
use crate::clock::{Time, ms};
use crate::cluster::{Cluster, Fact};

/// Beyond a renewal's period: a connection's making, a round trip, and what a tick takes.
const MARGIN: Time = ms(200);

/// Since when each router has had more than one owner.
#[derive(Debug)]
pub(super) struct BriefOverlap {
    since: Vec<Option<Time>>,
}

impl BriefOverlap {
    /// For so many routers.
    pub(super) fn new(routers: usize) -> Self {
        BriefOverlap { since: vec![None; routers] }
    }
}

impl Invariant for BriefOverlap {
    fn name(&self) -> &'static str {
        "brief_overlap"
    }

    fn check(&mut self, world: &Cluster, _: &[Fact]) -> Result<(), String> {
        for router in 0..world.layout.routers {
            let serving = world.serving(router);
            if serving.len() < 2 {
                self.since[router] = None;
                continue;
            }
            let since = *self.since[router].get_or_insert(world.now);
            let both = names(world, &serving);
            // The rest of a lease, on a clock that may be slow, and what the guard leaves over.
            if world.now > since + world.layout.lease_time(router) {
                return Err(format!("{both} have served VI_{} since {since:?}", router + 1));
            }
            let noticed = renew_period(world.layout.lease_time(router)) + MARGIN;
            let heard = |host: &usize| reached(world, *host, world.now.saturating_sub(noticed)).count();
            let told = serving.iter().map(heard).min().unwrap_or(0);
            if world.now > since + noticed && is_majority(world, told) {
                return Err(format!("{both} have served VI_{} since {since:?}, and hear voters", router + 1));
            }
        }
        Ok(())
    }
}
