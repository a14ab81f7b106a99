//! I6: a lease is given back only once its fence is closed.

use super::Invariant;
use crate::cluster::{Cluster, Fact};

/// Looked at when the message leaves.
#[derive(Debug)]
pub(super) struct ClosedBeforeRelease;

impl Invariant for ClosedBeforeRelease {
    fn name(&self) -> &'static str {
        "closed_before_release"
    }

    fn check(&mut self, world: &Cluster, facts: &[Fact]) -> Result<(), String> {
        for fact in facts {
            if let Fact::Released { host, router, epoch, open: true } = fact {
                let name = &world.hosts[*host].name;
                return Err(format!("{name} gives VI_{} back (epoch {epoch}) while it serves it", router + 1));
            }
        }
        Ok(())
    }
}
