//! I3: after the last fault an owner is there in time, and soon it is the worthiest, or whom it was given to.

use super::{Invariant, names};
use crate::clock::{Time, ms};
use crate::cluster::{Cluster, Fact};

/// A voter's quarantine (3.06 s), a down interval (3.6 s), and a second for collisions.
const OWNED: Time = ms(3062 + 3600 + 1000);

/// The same, and two more down intervals: a claim that came to nothing waits for a whole one, and
/// a higher priority claims before it asks for the handover.
pub(super) const SETTLED: Time = ms(3062 + 3 * 3600 + 1000);

/// When each router was first served after healing.
#[derive(Debug)]
pub(super) struct OwnerAfterHealing {
    served: Vec<Option<Time>>,
}

impl OwnerAfterHealing {
    /// For so many routers.
    pub(super) fn new(routers: usize) -> Self {
        OwnerAfterHealing { served: vec![None; routers] }
    }
}

impl Invariant for OwnerAfterHealing {
    fn name(&self) -> &'static str {
        "owner_after_healing"
    }

    fn check(&mut self, world: &Cluster, _: &[Fact]) -> Result<(), String> {
        let Some(healed) = world.quiet_since else {
            self.served.fill(None);
            return Ok(());
        };
        for router in 0..world.layout.routers {
            let serving = world.serving(router);
            if !serving.is_empty() {
                self.served[router].get_or_insert(world.now);
            }
            if self.served[router].is_none() && world.now > healed + OWNED {
                return Err(format!("nobody serves VI_{} {OWNED:?} after healing", router + 1));
            }
            let worthiest = world.worthiest(router);
            let settled = world.layout.preempt && world.now > healed + SETTLED;
            // Where the mesh or an operator says who serves, that it is one is all that is known here.
            if settled && serving != [worthiest] && !(serving.len() == 1 && world.is_placed(router)) {
                let served_by = if serving.is_empty() { "nobody".to_owned() } else { names(world, &serving) };
                return Err(format!("VI_{} is served by {served_by} {SETTLED:?} after healing", router + 1));
            }
        }
        Ok(())
    }
}
