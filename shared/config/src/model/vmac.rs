//! Interfaces with a virtual MAC address: a macvlan on one of the host's interfaces, so that an
//! address keeps its MAC address wherever it goes (RFC 9568 section 7.3).

use std::collections::BTreeSet;

use mesh_wire::mesh::{Family, RouterKey};

use super::{Config, Ipvlan, VirtualAddress, VirtualRouter};

/// Longest interface name (IFNAMSIZ less the closing zero).
pub(crate) const LONGEST_NAME: usize = 15;

/// An interface that is made for a virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vmac {
    /// Its name; default `vrrp.` and the VRID. Once a configuration is complete it is never empty.
    pub name: String,
    /// The interface it is made on.
    pub base: String,
    /// Its MAC address, unless it is an ipvlan; default 00-00-5E-00-01 (IPv4) or -02 (IPv6) and the VRID.
    pub mac: [u8; 6],
    /// `group`: the group that `ip link` shows; default 0.
    pub group: u32,
    /// `use_ipvlan`: it is one of these, without a MAC address of its own.
    pub ipvlan: Option<Ipvlan>,
}

impl Vmac {
    /// With the MAC address of RFC 9568 section 7.3, and a name that is still to be found.
    pub fn new(base: impl Into<String>, family: Family, vrid: u8) -> Self {
        Vmac { name: String::new(), base: base.into(), mac: virtual_mac(family, vrid), group: 0, ipvlan: None }
    }
}

/// The MAC address of RFC 9568 section 7.3.
pub fn virtual_mac(family: Family, vrid: u8) -> [u8; 6] {
    let family = match family {
        Family::Ipv4 => 1,
        Family::Ipv6 => 2,
    };
    [0, 0, 0x5e, 0, family, vrid]
}

/// How interfaces are called that have no name in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmacNames {
    /// `vmac_prefix`: before a dot and the VRID; default `vrrp`.
    pub prefix: Option<String>,
    /// `vmac_addr_prefix`: the same for interfaces of single addresses; default as `prefix`.
    pub address_prefix: Option<String>,
}

impl VirtualRouter {
    /// The interface an address goes on.
    pub fn interface_of<'a>(&'a self, address: &'a VirtualAddress) -> &'a str {
        match self.vmac_of(address) {
            Some(vmac) => &vmac.name,
            None => self.segment_of(address),
        }
    }

    /// The host's own interface an address is reached over: that below a virtual one.
    pub fn segment_of<'a>(&'a self, address: &'a VirtualAddress) -> &'a str {
        address.interface.as_deref().unwrap_or(&self.interface)
    }

    /// Where adverts leave.
    pub fn advert_interface(&self) -> &str {
        self.vmac.as_ref().filter(|_| !self.vmac_transmit_base).map_or(&self.interface, |vmac| &vmac.name)
    }

    /// Every interface that is made for it.
    pub fn vmacs(&self) -> impl Iterator<Item = &Vmac> {
        self.vmac.iter().chain(&self.address_vmacs)
    }

    fn vmac_of(&self, address: &VirtualAddress) -> Option<&Vmac> {
        let (base, family) = (self.segment_of(address), Family::of(address.net.addr()));
        let own = self.vmac.as_ref().filter(|v| v.ipvlan.is_none());
        if base == self.interface && family == self.key.family && own.is_some() {
            return own;
        }
        let mac = virtual_mac(family, self.key.vrid);
        self.address_vmacs.iter().find(|v| self.has_own(address) && v.base == base && v.mac == mac)
    }

    /// Whether an address is to be on a virtual interface though the router's own is none for it.
    fn has_own(&self, address: &VirtualAddress) -> bool {
        let apart = self.segment_of(address) != self.interface || Family::of(address.net.addr()) != self.key.family;
        address.vmac || self.vmac_addresses && apart
    }

    /// Finds out which interfaces single addresses need.
    fn complete_vmacs(&mut self) {
        let mut vmacs: Vec<Vmac> = Vec::new();
        for address in self.served().filter(|a| self.has_own(a)) {
            let (base, family) = (self.segment_of(address), Family::of(address.net.addr()));
            let within = self.vmac.as_ref().is_some_and(|v| v.ipvlan.is_none())
                && base == self.interface
                && family == self.key.family;
            let vmac = Vmac::new(base, family, self.key.vrid);
            if !within && !vmacs.contains(&vmac) {
                vmacs.push(vmac);
            }
        }
        self.address_vmacs = vmacs;
    }
}

impl Config {
    /// Gives every virtual interface a name of its own, the ones in the configuration first.
    pub(crate) fn complete_vmacs(&mut self) {
        let mut taken: BTreeSet<String> = self.routers.iter().map(|r| r.interface.clone()).collect();
        for router in &mut self.routers {
            router.complete_vmacs();
            taken.extend(router.vmac.iter().map(|v| v.name.clone()));
        }
        let prefix = self.vmac_names.prefix.as_deref().unwrap_or("vrrp");
        let address_prefix = self.vmac_names.address_prefix.as_deref().unwrap_or(prefix);
        for router in &mut self.routers {
            let key = router.key;
            for vmac in router.vmac.iter_mut().filter(|v| v.name.is_empty()) {
                vmac.name = free_name(&mut taken, prefix, key);
            }
            for vmac in &mut router.address_vmacs {
                let family = if vmac.mac[4] == 2 { Family::Ipv6 } else { Family::Ipv4 };
                vmac.name = free_name(&mut taken, address_prefix, RouterKey { family, ..key });
            }
        }
    }
}

/// `vrrp.51`, `vrrp4.51` where that is taken, `vrrp4.51.1` and so on.
fn free_name(taken: &mut BTreeSet<String>, prefix: &str, key: RouterKey) -> String {
    let family = match key.family {
        Family::Ipv4 => 4,
        Family::Ipv6 => 6,
    };
    let plain = [format!("{prefix}.{}", key.vrid), format!("{prefix}{family}.{}", key.vrid)];
    let numbered = (1_u32..).map(|n| format!("{prefix}{family}.{}.{n}", key.vrid));
    let free = plain.into_iter().chain(numbered).find(|name| !taken.contains(name)).expect("numbers do not end");
    taken.insert(free.clone());
    free
}
