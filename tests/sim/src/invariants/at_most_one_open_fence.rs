//! I1: at any instant at most one host's kernel lets a router's address be reached.

use super::{Invariant, names};
use crate::cluster::{Cluster, Fact};

/// Exact: service begins at events only, and every one of them is looked at.
#[derive(Debug)]
pub(super) struct AtMostOneOpenFence;

impl Invariant for AtMostOneOpenFence {
    fn name(&self) -> &'static str {
        "at_most_one_open_fence"
    }

    fn check(&mut self, world: &Cluster, _: &[Fact]) -> Result<(), String> {
        for router in 0..world.layout.routers {
            let serving = world.serving(router);
            if serving.len() > 1 {
                return Err(format!("{} serve VI_{} at once", names(world, &serving), router + 1));
            }
        }
        Ok(())
    }
}
