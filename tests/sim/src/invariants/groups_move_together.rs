//! Who serves one router of a sync group soon serves all of it, or none.

use std::time::Duration;

use super::{Invariant, names};
use crate::clock::{Time, ms};
use crate::cluster::{Cluster, Fact};
use crate::layout::GROUP;

/// Beyond the end of the lease: a daemon that was stopped or killed between two effects leaves a part of the
/// group to its kernel, and one that is there repairs what others remove.
const MARGIN: Duration = ms(500);

/// What is served without a lease ends with the lifetime of its addresses.
const UNLEASED: Duration = ms(8000);

/// Since when each host has served a part of the group.
#[derive(Debug, Default)]
pub(super) struct GroupsMoveTogether {
    torn: Vec<Option<Time>>,
}

impl Invariant for GroupsMoveTogether {
    fn name(&self) -> &'static str {
        "groups_move_together"
    }

    fn check(&mut self, world: &Cluster, _: &[Fact]) -> Result<(), String> {
        self.torn.resize(world.layout.directors, None);
        let serving = GROUP.map(|router| world.serving(router));
        let leased = world.layout.lease_time(GROUP[0]) + MARGIN;
        let patience = if world.layout.is_protected() { leased } else { UNLEASED };
        for (host, torn) in self.torn.iter_mut().enumerate() {
            // A configuration without a part of the group has no such group.
            let whole = world.hosts[host].config.routers.len() > GROUP[1];
            if !whole || serving[0].contains(&host) == serving[1].contains(&host) {
                *torn = None;
                continue;
            }
            let since = *torn.get_or_insert(world.now);
            if world.now > since + patience {
                let name = names(world, &[host]);
                return Err(format!("{name} has served a part of the group for {patience:?}"));
            }
        }
        Ok(())
    }
}
