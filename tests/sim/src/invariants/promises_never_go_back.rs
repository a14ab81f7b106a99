//! I2: every takeover has a higher epoch than the one before it.
//!
//! Two quorums share a voter, and that one has seen the earlier epoch, or has lost its memory since
//! and grants no epoch up to the ceiling it had noted.

use mesh_core::decision::RouterEvent;

use super::{Invariant, router_event};
use crate::cluster::{Cluster, Fact};

/// The last owner and epoch of each router.
#[derive(Debug)]
pub(super) struct PromisesNeverGoBack {
    last: Vec<Option<(usize, u64)>>,
}

impl PromisesNeverGoBack {
    /// For so many routers.
    pub(super) fn new(routers: usize) -> Self {
        PromisesNeverGoBack { last: vec![None; routers] }
    }
}

impl Invariant for PromisesNeverGoBack {
    fn name(&self) -> &'static str {
        "promises_never_go_back"
    }

    fn check(&mut self, world: &Cluster, facts: &[Fact]) -> Result<(), String> {
        for fact in facts {
            let Some((host, router, RouterEvent::Active { epoch, .. }, _)) = router_event(fact) else { continue };
            if *epoch == 0 {
                // Without a lease, for want of voters.
                continue;
            }
            let last = self.last[router].replace((host, *epoch));
            // A run goes on with what the one before it on the same host left.
            if last.is_some_and(|last| *epoch <= last.1 && last != (host, *epoch)) {
                let name = &world.hosts[host].name;
                return Err(format!("{name} took VI_{} under {epoch} after {last:?}", router + 1));
            }
        }
        Ok(())
    }
}
