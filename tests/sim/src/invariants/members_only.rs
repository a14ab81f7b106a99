//! No witness serves, and nobody who was removed from the mesh, once a majority of the voters knows.

use super::Invariant;
use crate::clock::{Time, ms};
use crate::cluster::{Cluster, Fact};

/// Beyond the lease it may have had.
const MARGIN: Time = ms(100);

/// Since when a majority of the voters has gone by the newest roster.
#[derive(Debug, Default)]
pub(super) struct MembersOnly {
    agreed_since: Option<(Time, Time)>,
}

impl Invariant for MembersOnly {
    fn name(&self) -> &'static str {
        "members_only"
    }

    fn check(&mut self, world: &Cluster, _: &[Fact]) -> Result<(), String> {
        let newest = world.voters_since();
        if self.agreed_since.is_none_or(|(roster, _)| roster != newest) {
            self.agreed_since = world.is_agreed().then_some((newest, world.now));
        }
        let Some((_, agreed)) = self.agreed_since else { return Ok(()) };
        for (host, machine) in world.hosts.iter().enumerate().filter(|(_, h)| !h.serves.is_empty()) {
            for router in (0..world.layout.routers).filter(|r| world.serves(host, *r)) {
                let over = world.now > agreed + world.layout.lease_time(router) + MARGIN;
                if host >= world.layout.directors || over && !world.is_director(host) {
                    return Err(format!("{} serves VI_{} and is no director of the mesh", machine.name, router + 1));
                }
            }
        }
        Ok(())
    }
}
