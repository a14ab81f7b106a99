//! What one host's kernel does by itself: it serves, drops and forgets, whether a daemon runs or not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use mesh_core::Instant;

/// How late the kernel may remove an address whose lifetime is over: it looks once a second, and
/// staggered addresses were measured up to 1.10 s late. The simulator always takes the worst.
pub const LIFETIME_LATE: Duration = Duration::from_millis(1100);

/// An arming shorter than the longest tick of a kernel is none: a timeout of zero ticks means forever.
const LONGEST_TICK: Duration = Duration::from_millis(10);

/// Addresses and the fence of one host. All instants are readings of the host's own clock.
#[derive(Clone, Debug, Default)]
pub struct Kernel {
    /// Virtual addresses, and when the kernel removes each.
    addresses: BTreeMap<IpAddr, Instant>,
    /// The set `vips`: dropped unless armed.
    vips: BTreeSet<IpAddr>,
    /// The set `leased`, with its elements' timeouts, and which run of the daemon put them there.
    armed: BTreeMap<IpAddr, (Instant, u32)>,
}

impl Kernel {
    /// Whether an address is reachable here.
    pub fn serves(&self, address: IpAddr, now: Instant) -> bool {
        self.has(address, now) && (!self.vips.contains(&address) || self.is_armed(address, now))
    }

    /// Whether an address is there, reachable or not.
    pub fn has(&self, address: IpAddr, now: Instant) -> bool {
        self.addresses.get(&address).is_some_and(|until| *until > now)
    }

    /// Whether what comes for this address is let through.
    pub fn is_armed(&self, address: IpAddr, now: Instant) -> bool {
        self.armed.get(&address).is_some_and(|(until, _)| *until > now)
    }

    /// When something ends by itself next.
    pub fn next_end(&self, now: Instant) -> Option<Instant> {
        let armed = self.armed.values().map(|(until, _)| until);
        self.addresses.values().chain(armed).filter(|until| **until > now).min().copied()
    }

    /// Adds an address or renews its lifetime.
    pub fn add(&mut self, address: IpAddr, now: Instant, lifetime: Duration) {
        self.addresses.insert(address, now + lifetime + LIFETIME_LATE);
    }

    /// Removes an address; whether it was there.
    pub fn delete(&mut self, address: IpAddr, now: Instant) -> bool {
        self.addresses.remove(&address).is_some_and(|until| until > now)
    }

    /// Takes out the addresses whose lifetime is over, and names them.
    pub fn expire(&mut self, now: Instant) -> Vec<IpAddr> {
        self.addresses.extract_if(.., |_, until| *until <= now).map(|(address, _)| address).collect()
    }

    /// Removes all addresses with this program's mark, but these.
    pub fn sweep(&mut self, except: &[IpAddr]) {
        self.addresses.retain(|address, _| except.contains(address));
    }

    /// Replaces the fenced addresses; what stays and was armed by this run stays armed.
    pub fn fence(&mut self, addresses: &[IpAddr], run: u32) {
        self.vips = addresses.iter().copied().collect();
        self.armed.retain(|address, (_, by)| addresses.contains(address) && *by == run);
    }

    /// Takes what another run armed for this run's.
    pub fn adopt(&mut self, addresses: &[IpAddr], until: Instant, run: u32) {
        self.armed.extend(addresses.iter().map(|a| (*a, (until, run))));
    }

    /// Opens the fence until then; a point in the past closes it.
    ///
    /// # Errors
    /// An address is not fenced, or the sets are gone.
    pub fn arm(&mut self, addresses: &[IpAddr], now: Instant, until: Instant, run: u32) -> Result<(), String> {
        if let Some(stranger) = addresses.iter().find(|a| !self.vips.contains(a)) {
            return Err(format!("{stranger} is not fenced"));
        }
        if until < now + LONGEST_TICK {
            self.close(addresses);
        } else {
            self.armed.extend(addresses.iter().map(|a| (*a, (until, run))));
        }
        Ok(())
    }

    /// Closes the fence.
    pub fn close(&mut self, addresses: &[IpAddr]) {
        self.armed.retain(|address, _| !addresses.contains(address));
    }

    /// Closes the fence for all addresses.
    pub fn close_all(&mut self) {
        self.armed.clear();
    }

    /// `nft flush ruleset`.
    pub fn flush(&mut self) {
        self.vips.clear();
        self.armed.clear();
    }
}
