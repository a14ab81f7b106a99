//! I4: an owner that reaches a majority of voters in good order keeps its lease.

use mesh_core::decision::RouterEvent;

use super::{Invariant, router_event};
use crate::clock::{Time, ms};
use crate::cluster::{Cluster, Fact};

/// The lease's second, and what a first, short grant to a rival may add.
const WHILE: Time = ms(1500);

/// An owner says why it lets go. If it is for want of votes, votes must have been wanting.
#[derive(Debug)]
pub(super) struct NoTakeoverWhileRenewed;

impl Invariant for NoTakeoverWhileRenewed {
    fn name(&self) -> &'static str {
        "no_takeover_while_renewed"
    }

    fn check(&mut self, world: &Cluster, facts: &[Fact]) -> Result<(), String> {
        if world.strays {
            // An answer from before a voter's reboot looks like a clock that jumped.
            return Ok(());
        }
        for (host, router, event, cause) in facts.iter().filter_map(router_event) {
            let lost = ["the lease ran out", "a majority of the voters gave", "this host's clock stood still"];
            if !matches!(event, RouterEvent::Backup) || !lost.iter().any(|c| cause.starts_with(c)) {
                continue;
            }
            let since = world.now.saturating_sub(WHILE);
            let votes = |voter: &usize| {
                world.well_since(*voter, since)
                    && (*voter == host || world.network.in_order_since(since, host, *voter))
                    && world.connected_since(host, *voter, since)
            };
            let reached = (0..world.layout.voters).filter(votes).count();
            if world.well_since(host, since) && reached > world.layout.voters / 2 {
                let name = &world.hosts[host].name;
                return Err(format!("{name} lost VI_{} although {reached} voters were there: {cause}", router + 1));
            }
        }
        Ok(())
    }
}
