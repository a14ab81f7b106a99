//! Nothing moves in a cluster that nobody disturbs.

use mesh_core::decision::RouterEvent;

use super::{Invariant, SETTLED, router_event};
use crate::cluster::{Cluster, Fact};

/// No router changes its state anywhere once all has settled.
#[derive(Debug)]
pub(super) struct NoFlappingWithoutFaults;

impl Invariant for NoFlappingWithoutFaults {
    fn name(&self) -> &'static str {
        "no_flapping_without_faults"
    }

    fn check(&mut self, world: &Cluster, facts: &[Fact]) -> Result<(), String> {
        if world.quiet_since.is_none_or(|since| world.now <= since + SETTLED) {
            return Ok(());
        }
        for (host, router, event, cause) in facts.iter().filter_map(router_event) {
            if matches!(event, RouterEvent::Active { .. } | RouterEvent::Backup | RouterEvent::Fault) {
                let name = &world.hosts[host].name;
                return Err(format!("{name} moved VI_{} to {event:?} without a fault: {cause}", router + 1));
            }
        }
        Ok(())
    }
}
