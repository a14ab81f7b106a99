//! The checks of RFC 9568 section 7.1 and RFC 3768 section 7.1 that need to know the
//! configuration; what the bytes alone show is checked in mesh-wire.

use std::net::IpAddr;

use mesh_config::model::{Transport, Version, VirtualRouter};
use mesh_wire::vrrp::{Advertisement, Authentication, TTL};

use super::Heard;
use crate::input::Datagram;

/// Why an advertisement was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Drop {
    /// Anything else came through a router (RFC 9568 sections 5.1.1.3 and 5.1.2.3).
    #[error("TTL or hop limit is not 255")]
    Ttl,
    /// `min_ttl` and `max_ttl` of a unicast peer.
    #[error("TTL or hop limit is not what its sender's has to be")]
    PeerTtl,
    /// Sent to a group where peers are configured, or the other way round.
    #[error("multicast where unicast is configured, or the reverse")]
    Transport,
    /// `check_unicast_src`; without it they are taken, as keepalived does.
    #[error("sender is not a unicast peer")]
    NotAPeer,
    /// Version 2 and 3 do not mix.
    #[error("other VRRP version than configured")]
    Version,
    /// Type or password differ.
    #[error("authentication differs")]
    Authentication,
    /// No addresses (RFC 9568 section 5.2.5, erratum 8299), where ours has some.
    #[error("no addresses")]
    NoAddresses,
    /// Strict mode: the first address in IPv6 is not link-local (RFC 9568 section 7.1, erratum 8300), where ours is.
    #[error("the first address is not link-local")]
    FirstAddress,
    /// RFC 3768 section 7.1: version 2 requires equal intervals.
    #[error("advertisement interval differs")]
    Interval,
    /// Our own packet came back.
    #[error("own packet")]
    Own,
}

/// Checks an advertisement against the router it is for.
///
/// A differing address list is not a reason to drop: since keepalived 2.3.3 neither does
/// keepalived, because then both routers serve. Passwords are compared here; what is computed with
/// keys, and what must not come twice, is for [`super::Guard`].
///
/// # Errors
///
/// The first check that failed.
pub fn check(
    router: &VirtualRouter,
    own: Option<IpAddr>,
    from: &Datagram,
    packet: &Advertisement,
) -> Result<Heard, Drop> {
    match &router.transport {
        Transport::Multicast { .. } => {
            if from.destination != router.group() {
                return Err(Drop::Transport);
            }
            if from.ttl != TTL {
                return Err(Drop::Ttl);
            }
        }
        Transport::Unicast { .. } => {
            if from.destination.is_multicast() {
                return Err(Drop::Transport);
            }
            if router.conduct.check_source && is_stranger(router, from.source) {
                return Err(Drop::NotAPeer);
            }
            if router.conduct.peer_ttls.get(&from.source).is_some_and(|ttls| !ttls.contains(&from.ttl)) {
                return Err(Drop::PeerTtl);
            }
        }
    }
    if own == Some(from.source) {
        return Err(Drop::Own);
    }
    let interval = packet.advert_interval();
    match (router.version, packet.version()) {
        (Version::V2, mesh_wire::vrrp::Version::V2) => {
            let expected = authentication(router);
            if packet.auth != expected {
                return Err(Drop::Authentication);
            }
            if interval != router.advert_interval {
                return Err(Drop::Interval);
            }
        }
        (Version::V3, mesh_wire::vrrp::Version::V3) => {}
        _ => return Err(Drop::Version),
    }
    if packet.addresses.is_empty() && !router.addresses.is_empty() {
        return Err(Drop::NoAddresses);
    }
    let known = router.addresses.iter().any(|a| is_link_local(a.net.addr()));
    if router.strict && known && packet.addresses.first().is_some_and(|first| !is_link_local(*first)) {
        return Err(Drop::FirstAddress);
    }
    Ok(Heard { source: from.source, priority: packet.priority, interval })
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// What adverts of version 2 say of their authentication.
pub fn authentication(router: &VirtualRouter) -> Authentication {
    match router.auth_pass {
        None => Authentication::None,
        Some(_) if router.auth_header => Authentication::Header,
        Some(password) => Authentication::Pass(password.0),
    }
}

/// Whether adverts go to unicast peers, and this is none of them.
pub fn is_stranger(router: &VirtualRouter, source: IpAddr) -> bool {
    matches!(&router.transport, Transport::Unicast { peers, .. } if !peers.contains(&source))
}

/// Whether an advert lists other addresses than the router has, in whatever order.
pub fn lists_others(router: &VirtualRouter, packet: &Advertisement) -> bool {
    let sorted = |list: &mut dyn Iterator<Item = IpAddr>| {
        let mut list: Vec<IpAddr> = list.collect();
        list.sort_unstable();
        list
    };
    sorted(&mut router.addresses.iter().map(|a| a.net.addr())) != sorted(&mut packet.addresses.iter().copied())
}
