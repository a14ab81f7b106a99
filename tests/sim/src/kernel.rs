//! What one host's kernel does by itself: it serves, drops and forgets, whether a daemon runs or not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use mesh_core::Instant;

/// How late the kernel may remove an address whose lifetime is over: it looks once a second, and
/// staggered addresses were measured up to 1.10 s late. The simulator always takes the worst.
pub const LIFETIME_LATE: Duration = Duration::from_millis(1100);

/// Addresses and the fence of one host. All instants are readings of the host's own clock.
#[derive(Clone, Debug, Default)]
pub struct Kernel {
    /// Virtual addresses, and when the kernel removes each.
    addresses: BTreeMap<Ipv4Addr, Instant>,
    /// The set `vips`: dropped unless armed.
    vips: BTreeSet<Ipv4Addr>,
    /// The set `leased`, with its elements' timeouts.
    armed: BTreeMap<Ipv4Addr, Instant>,
}

impl Kernel {
    /// Whether an address is reachable here.
    pub fn serves(&self, address: Ipv4Addr, now: Instant) -> bool {
        self.has(address, now) && (!self.vips.contains(&address) || self.is_armed(address, now))
    }

    /// Whether an address is there, reachable or not.
    pub fn has(&self, address: Ipv4Addr, now: Instant) -> bool {
        self.addresses.get(&address).is_some_and(|until| *until > now)
    }

    fn is_armed(&self, address: Ipv4Addr, now: Instant) -> bool {
        self.armed.get(&address).is_some_and(|until| *until > now)
    }

    /// Adds an address or renews its lifetime; tells when it will go by itself.
    pub fn add(&mut self, address: Ipv4Addr, now: Instant, lifetime: Duration) -> Instant {
        let until = now + lifetime + LIFETIME_LATE;
        self.addresses.insert(address, until);
        until
    }

    /// Removes an address; whether it was there.
    pub fn delete(&mut self, address: Ipv4Addr, now: Instant) -> bool {
        self.addresses.remove(&address).is_some_and(|until| until > now)
    }

    /// Takes the address out whose lifetime is over.
    pub fn expire(&mut self, address: Ipv4Addr, now: Instant) -> bool {
        let over = self.addresses.get(&address).is_some_and(|until| *until <= now);
        if over {
            self.addresses.remove(&address);
        }
        over
    }

    /// Removes all addresses with this program's mark.
    pub fn sweep(&mut self) {
        self.addresses.clear();
    }

    /// Replaces the fenced addresses; what stays and was armed stays armed.
    pub fn fence(&mut self, addresses: &[Ipv4Addr]) {
        self.vips = addresses.iter().copied().collect();
        self.armed.retain(|address, _| addresses.contains(address));
    }

    /// Opens the fence until then; a point in the past closes it.
    pub fn arm(&mut self, addresses: &[Ipv4Addr], until: Instant) {
        self.armed.extend(addresses.iter().map(|a| (*a, until)));
    }

    /// Closes the fence.
    pub fn close(&mut self, addresses: &[Ipv4Addr]) {
        self.armed.retain(|address, _| !addresses.contains(address));
    }

    /// `nft flush ruleset`.
    pub fn flush(&mut self) {
        self.vips.clear();
        self.armed.clear();
    }
}
