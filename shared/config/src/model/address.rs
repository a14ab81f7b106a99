//! Virtual addresses.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

/// One virtual address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualAddress {
    /// Address with prefix length; default /32 or /128.
    pub net: IpNet,
    /// `dev`: default the router's interface.
    pub interface: Option<String>,
    /// `label`, at most 15 bytes; IPv4 only.
    pub label: Option<String>,
    /// `scope`; in IPv6 the address itself tells.
    pub scope: Scope,
    /// `brd`; IPv4 only.
    pub broadcast: Option<Ipv4Addr>,
    /// `use_vmac`: on an interface with a virtual MAC address.
    pub vmac: bool,
    /// `peer`: the other end of a point-to-point link, of the address's family; `net` has its prefix length.
    pub peer: Option<IpAddr>,
    /// `-nodad`: duplicate address detection as usual; IPv6 only.
    pub dad: bool,
    /// `home`: the home address of mobile IPv6.
    pub home: bool,
    /// `mngtmpaddr`: temporary addresses are made from it (RFC 8981).
    pub manage_temporary: bool,
    /// `noprefixroute`: without a route to its network.
    pub no_prefix_route: bool,
    /// `autojoin`: a multicast address is joined.
    pub autojoin: bool,
    /// `preferred_lft`: seconds for which the host chooses it for connections of its own; default: as long
    /// as it is there.
    pub preferred_s: Option<u32>,
    /// Put back at once when somebody removes it; false with `no_track`: with the next renewal.
    pub track: bool,
}

impl VirtualAddress {
    /// On the router's interface, of global scope, nothing more.
    pub fn new(net: IpNet) -> Self {
        VirtualAddress {
            net,
            interface: None,
            label: None,
            scope: Scope::Global,
            broadcast: None,
            vmac: false,
            peer: None,
            dad: false,
            home: false,
            manage_temporary: false,
            no_prefix_route: false,
            autojoin: false,
            preferred_s: None,
            track: true,
        }
    }

    /// What it is called where it cannot be put in, as a static one.
    pub fn static_title(&self) -> String {
        format!("static address {} on {}", self.net, self.interface.as_deref().unwrap_or_default())
    }
}

/// Scope of an address (RT_SCOPE_*).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Valid everywhere.
    #[default]
    Global,
    /// Valid in this site (IPv6, deprecated).
    Site,
    /// Valid on this link.
    Link,
    /// Valid on this host.
    Host,
    /// Nowhere.
    Nowhere,
}

/// Whether this can be a virtual address: a unicast address that one host at a time can have.
pub(crate) fn can_be_virtual(address: IpAddr) -> bool {
    let mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback() || mapped)
}
