//! No address stays on a host that may not serve it, beyond the lifetime the kernel gives it.

use std::collections::BTreeMap;

use super::Invariant;
use crate::clock::{Time, ms};
use crate::cluster::{Cluster, Fact};
use crate::layout::virtual_address;

/// The longest lifetime (without a lease, or left to a next run), removed up to 1.1 s late, and 0.2 %
/// of clock drift.
const BACKSTOP: Time = ms(5000 + 1100 + 15);

/// Since when each host has had an address it may not serve.
#[derive(Debug, Default)]
pub(super) struct AddressImpliesLease {
    useless_since: BTreeMap<(usize, usize), Time>,
}

impl Invariant for AddressImpliesLease {
    fn name(&self) -> &'static str {
        "address_implies_lease"
    }

    fn check(&mut self, world: &Cluster, _: &[Fact]) -> Result<(), String> {
        for router in 0..world.layout.routers {
            let address = virtual_address(router);
            for (index, machine) in world.hosts.iter().enumerate() {
                let there = machine.up && machine.kernel.has(address, machine.now(world.now));
                if !there || world.serves(index, router) {
                    self.useless_since.remove(&(index, router));
                    continue;
                }
                let since = *self.useless_since.entry((index, router)).or_insert(world.now);
                if world.now > since + BACKSTOP {
                    return Err(format!("{} has had {address} without a lease since {since:?}", machine.name));
                }
            }
        }
        Ok(())
    }
}
