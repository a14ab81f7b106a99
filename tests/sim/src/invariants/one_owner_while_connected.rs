//! Two directors alone promise less: two owners only while the two cannot reach each other.

use super::{Invariant, names};
use crate::clock::{Time, ms};
use crate::cluster::{Cluster, Fact};

/// What it may take to hear of each other and let go.
const SETTLES: Time = ms(2000);

/// Since when each router has had two owners that are connected.
#[derive(Debug)]
pub(super) struct OneOwnerWhileConnected {
    since: Vec<Option<Time>>,
}

impl OneOwnerWhileConnected {
    /// For so many routers.
    pub(super) fn new(routers: usize) -> Self {
        OneOwnerWhileConnected { since: vec![None; routers] }
    }
}

impl Invariant for OneOwnerWhileConnected {
    fn name(&self) -> &'static str {
        "one_owner_while_connected"
    }

    fn check(&mut self, world: &Cluster, _: &[Fact]) -> Result<(), String> {
        for router in 0..world.layout.routers {
            let serving = world.serving(router);
            let running = serving.iter().all(|h| world.hosts[*h].running().is_some());
            let connected = |from: &usize| serving.iter().all(|to| world.connected_since(*from, *to, world.now));
            if serving.len() < 2 || !running || !serving.iter().all(connected) {
                self.since[router] = None;
                continue;
            }
            let since = *self.since[router].get_or_insert(world.now);
            if world.now > since + SETTLES {
                let both = names(world, &serving);
                return Err(format!("{both} serve VI_{} since {since:?} and reach each other", router + 1));
            }
        }
        Ok(())
    }
}
