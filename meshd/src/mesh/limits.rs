//! How much of the few places for handshakes and enrolments one source address may take.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use dashmap::DashMap;

/// Places in use, by source address; never more entries than places.
#[derive(Debug, Default)]
pub(super) struct PerSource {
    used: Arc<DashMap<IpAddr, usize>>,
}

/// One place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    used: Arc<DashMap<IpAddr, usize>>,
    source: IpAddr,
}

impl PerSource {
    /// How many places this source has.
    pub(super) fn count(&self, source: SocketAddr) -> usize {
        self.used.get(&canonical(source)).map_or(0, |n| *n)
    }

    /// Takes a place, unless the source has `most` already.
    pub(super) fn take(&self, source: SocketAddr, most: usize) -> Option<Place> {
        let source = canonical(source);
        let mut used = self.used.entry(source).or_insert(0);
        if *used >= most {
            return None;
        }
        *used += 1;
        Some(Place { used: self.used.clone(), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(mut used) = self.used.get_mut(&self.source) {
            *used -= 1;
        }
        self.used.remove_if(&self.source, |_, n| *n == 0);
    }
}

/// One host has many IPv6 addresses; its network is what it cannot choose.
fn canonical(source: SocketAddr) -> IpAddr {
    match source.ip().to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_takes_no_more_than_its_share() {
        let limits = PerSource::default();
        let (a, b) = (SocketAddr::from(([10, 0, 0, 1], 1)), SocketAddr::from(([10, 0, 0, 2], 1)));
        let first = limits.take(a, 2).expect("free");
        let _second = limits.take(SocketAddr::from(([10, 0, 0, 1], 9)), 2).expect("free");
        assert!(limits.take(a, 2).is_none(), "whatever the port");
        assert!(limits.take(b, 2).is_some(), "others are not affected");
        drop(first);
        assert_eq!((limits.count(a), limits.count(b), limits.used.len()), (1, 0, 1));
        assert!(limits.take(a, 2).is_some());
    }

    #[test]
    fn a_network_of_version_6_is_one_source() {
        let limits = PerSource::default();
        let _first = limits.take("[2001:db8::1]:1".parse().unwrap(), 1).expect("free");
        assert!(limits.take("[2001:db8::2:1]:1".parse().unwrap(), 1).is_none());
        assert!(limits.take("[2001:db8:0:1::1]:1".parse().unwrap(), 1).is_some());
        let _mapped = limits.take("[::ffff:10.0.0.1]:1".parse().unwrap(), 1).expect("free");
        assert!(limits.take("10.0.0.1:1".parse().unwrap(), 1).is_none());
    }
}
