//! Virtual routers, alone and in groups.

use std::net::IpAddr;
use std::time::Duration;

use mesh_wire::mesh::{Family, RouterKey};

use super::{AuthHmac, Conduct, Notify, Password, Policy, Route, Rule, Tracks, VirtualAddress, Vmac};

/// One virtual router on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRouter {
    /// The instance's name.
    pub name: String,
    /// What the lease is about; the same on every director.
    pub key: RouterKey,
    /// Interface for adverts, and for addresses that name none.
    pub interface: String,
    /// `state MASTER`: only matters for an address owner (priority 255), which then does not wait at the start.
    pub initial_active: bool,
    /// Configured priority, 1 to 255; 255 owns the addresses.
    pub priority: u8,
    /// Version on the wire; [`Version::V3`] for IPv6.
    pub version: Version,
    /// `advert_int`: whole seconds 1-255 in version 2, 10 ms to 40.95 s in steps of 10 ms in version 3.
    pub advert_interval: Duration,
    /// False with `nopreempt`.
    pub preempt: bool,
    /// `preempt_delay`, 0 to 1000 s.
    pub preempt_delay: Duration,
    /// `auth_pass` (version 2 only).
    pub auth_pass: Option<Password>,
    /// `auth_type AH`: the password is not sent, but the key of an authentication header (RFC 2402,
    /// RFC 2403).
    pub auth_header: bool,
    /// `auth_hmac`; never together with a password.
    pub auth_hmac: Option<AuthHmac>,
    /// Where adverts go; all its addresses are of `key.family`.
    pub transport: Transport,
    /// What adverts list: `virtual_ipaddress`, in file order, all of `key.family`, as many as fit in an advert
    /// ([`most_addresses`]). None with `no_virtual_ipaddress`: an election and nothing more.
    pub addresses: Vec<VirtualAddress>,
    /// `virtual_ipaddress_excluded`: served, but not in adverts; of either family.
    pub excluded_addresses: Vec<VirtualAddress>,
    /// What it tracks besides.
    pub track: Tracks,
    /// `dont_track_primary`: a lost link on its own interface is no fault.
    pub dont_track_primary: bool,
    /// `track_src_ip`: its own interface has to have the source of multicast adverts that is configured; else they are
    /// sent from it all the same. A source of unicast adverts always has to be there.
    pub track_source: bool,
    /// `virtual_routes`: there while it serves.
    pub routes: Vec<Route>,
    /// `virtual_rules`: there while it serves.
    pub rules: Vec<Rule>,
    /// `use_vmac`: an interface with a virtual MAC address, on which addresses of `key.family` go that
    /// name no other interface.
    pub vmac: Option<Vmac>,
    /// `vmac_xmit_base`: adverts leave by `interface` all the same.
    pub vmac_transmit_base: bool,
    /// `use_vmac_addr`: addresses that do not belong on the router's own one get such interfaces, too.
    pub vmac_addresses: bool,
    /// Those interfaces; found out once a configuration is complete.
    pub address_vmacs: Vec<Vmac>,
    /// `garp_master_*`.
    pub garp: GratuitousArp,
    /// `vrrp_strict` or `strict_mode`. What it changes is done while reading.
    pub strict: bool,
    /// `vrrp_skip_check_adv_addr`: do not compare the address list of a sender already checked.
    pub skip_check_adv_addr: bool,
    /// What else it does as VRRP leaves it open.
    pub conduct: Conduct,
    /// What differs for this router from [`MeshSettings::policy`](super::MeshSettings::policy).
    pub policy: Policy,
    /// Whether the mesh finds its director, whatever its priority; default:
    /// [`Placement::spread`](super::Placement::spread). Only meshd.toml has it: priorities in a keepalived.conf win.
    pub spread: Option<bool>,
    /// Routers and sync groups, by name, that should be on other directors; only meshd.toml has it.
    pub keep_apart: Vec<String>,
    /// Who is told when its state changes.
    pub notify: Notify,
}

impl VirtualRouter {
    /// A router with no address, and every other value at its default: version 2 for IPv4, as
    /// keepalived has it, and 3 for IPv6.
    pub fn new(name: impl Into<String>, key: RouterKey, interface: impl Into<String>) -> Self {
        VirtualRouter {
            name: name.into(),
            key,
            interface: interface.into(),
            initial_active: false,
            priority: 100,
            version: if key.family == Family::Ipv4 { Version::V2 } else { Version::V3 },
            advert_interval: Duration::from_secs(1),
            preempt: true,
            preempt_delay: Duration::ZERO,
            auth_pass: None,
            auth_header: false,
            auth_hmac: None,
            transport: Transport::Multicast { source: None },
            addresses: Vec::new(),
            excluded_addresses: Vec::new(),
            track: Tracks::default(),
            dont_track_primary: false,
            track_source: false,
            routes: Vec::new(),
            rules: Vec::new(),
            vmac: None,
            vmac_transmit_base: false,
            vmac_addresses: false,
            address_vmacs: Vec::new(),
            garp: GratuitousArp::default(),
            strict: false,
            skip_check_adv_addr: false,
            conduct: Conduct::default(),
            policy: Policy::default(),
            spread: None,
            keep_apart: Vec::new(),
            notify: Notify::default(),
        }
    }

    /// Served addresses: those in adverts, then the excluded ones. Each is there once, also where adverts
    /// list it more often.
    pub fn served(&self) -> impl Iterator<Item = &VirtualAddress> {
        let again =
            |i: usize, address: &VirtualAddress| self.addresses[..i].iter().any(|a| a.net.addr() == address.net.addr());
        let listed = self.addresses.iter().enumerate().filter(move |(i, address)| !again(*i, address));
        listed.map(|(_, address)| address).chain(&self.excluded_addresses)
    }

    /// The group multicast adverts go to.
    pub fn group(&self) -> IpAddr {
        self.conduct.group.unwrap_or_else(|| mesh_wire::vrrp::group(self.key.family))
    }

    /// Whether this host takes packets for the served addresses.
    pub fn accepts(&self) -> bool {
        self.conduct.accept || self.priority == u8::MAX
    }
}

/// Virtual routers that are Active together, or not at all (`vrrp_sync_group`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncGroup {
    /// Unique name.
    pub name: String,
    /// `group`: names of its members, in file order, each a router of the configuration.
    pub routers: Vec<String>,
    /// What all members track: faults of one are faults of all, weights change all priorities.
    pub track: Tracks,
    /// `sync_group_tracking_weight`: what single members track with a weight counts. Without it that is not
    /// tracked: different priorities within a group would pull it apart.
    pub member_weights: bool,
    /// Who is told when its state changes.
    pub notify: Notify,
}

impl SyncGroup {
    /// A group that tracks nothing of its own, and tells nobody.
    pub fn new(name: impl Into<String>, routers: Vec<String>) -> Self {
        SyncGroup {
            name: name.into(),
            routers,
            track: Tracks::default(),
            member_weights: false,
            notify: Notify::default(),
        }
    }
}

/// How many addresses fit in an advert. Its count is one byte, and no advert is fragmented: the MTU of
/// its interface may hold fewer, and still fewer before a signature. As many as keepalived lists, which leaves
/// room for an authentication header in every version.
pub fn most_addresses(family: Family, version: Version, signed: bool, mtu: usize) -> usize {
    let (headers, length) = match (family, version) {
        (Family::Ipv4, Version::V2) => (20 + 24 + 8, 4),
        (Family::Ipv4, Version::V3) => (20 + 24, 4),
        (Family::Ipv6, _) => (40 + 24, 16),
    };
    let signature = if signed { mesh_wire::vrrp::SIGNATURE } else { 0 };
    (mtu.saturating_sub(headers + signature) / length).min(usize::from(u8::MAX))
}

/// VRRP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 3768, with the PASS authentication of RFC 2338.
    V2,
    /// RFC 9568.
    V3,
}

/// Where adverts go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// To 224.0.0.18 or ff02::12.
    Multicast {
        /// `mcast_src_ip`: source address; default the interface's primary address, in IPv6 its
        /// link-local one.
        source: Option<IpAddr>,
    },
    /// To each peer.
    Unicast {
        /// `unicast_src_ip`: the default is as for multicast.
        source: Option<IpAddr>,
        /// `unicast_peer`. None with `unicast_fault_no_peer`: the router is in fault.
        peers: Vec<IpAddr>,
    },
}

/// When addresses are announced, by gratuitous ARP or neighbour advertisements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GratuitousArp {
    /// `garp_master_repeat`: packets in a burst; default 5.
    pub repeat: u32,
    /// `garp_master_delay`: until the second burst; default 5 s, zero for none.
    pub delay: Duration,
    /// `garp_master_refresh`: between later bursts; default zero, none.
    pub refresh: Duration,
    /// `garp_master_refresh_repeat`: packets in those; default 1.
    pub refresh_repeat: u32,
    /// `garp_lower_prio_repeat`: packets when a less worthy router was heard; default 5.
    pub lower_prio_repeat: u32,
    /// `garp_lower_prio_delay`: until the second burst of those; default 5 s, zero for none.
    pub lower_prio_delay: Duration,
    /// `garp_extra_if`: between packets on interfaces of addresses that are not the router's own; to a
    /// day, default zero, none.
    pub extra: Duration,
    /// `garp_extra_if all`: on all such interfaces, not only on those with a virtual MAC.
    pub extra_all: bool,
}

impl Default for GratuitousArp {
    fn default() -> Self {
        GratuitousArp {
            repeat: 5,
            delay: Duration::from_secs(5),
            refresh: Duration::ZERO,
            refresh_repeat: 1,
            lower_prio_repeat: 5,
            lower_prio_delay: Duration::from_secs(5),
            extra: Duration::ZERO,
            extra_all: false,
        }
    }
}
