//! I5: a host whose daemon is dead or stopped answers for no address longer than its lease lasts.

use mesh_core::lease::MAX_LEASE;

use super::Invariant;
use crate::clock::{Time, ms};
use crate::cluster::{Cluster, Fact};

/// The kernel's precision.
const LATE: Time = ms(10);

/// No matter when the daemon last renewed.
#[derive(Debug)]
pub(super) struct SilentHostCloses;

impl Invariant for SilentHostCloses {
    fn name(&self) -> &'static str {
        "silent_host_closes"
    }

    fn check(&mut self, world: &Cluster, _: &[Fact]) -> Result<(), String> {
        for (host, machine) in world.hosts.iter().enumerate().filter(|(_, h)| !h.serves.is_empty()) {
            let Some(since) = machine.silent_since else { continue };
            for router in (0..world.layout.routers).filter(|r| world.serves(host, *r)) {
                let longest = if since <= machine.replaced + MAX_LEASE { MAX_LEASE } else { Time::ZERO };
                let lease = world.layout.lease_time(router).max(longest);
                if world.now > since + lease + LATE {
                    let name = &machine.name;
                    return Err(format!("{name} serves VI_{}, its daemon silent since {since:?}", router + 1));
                }
            }
        }
        Ok(())
    }
}
