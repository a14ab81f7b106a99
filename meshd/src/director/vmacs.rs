//! Virtual MAC addresses of the configuration: which interface is below which, and what the fence has to
//! close with which address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mesh_config::model::{Config, Route, Rule, VirtualRouter, Vmac};

use crate::kernel::fence::FenceTarget;

/// What the director looks up.
#[derive(Debug, Default)]
pub(super) struct Vmacs {
    /// The interface below each.
    bases: BTreeMap<String, String>,
    /// By virtual address: the MAC address that is closed with it. One that several routers have, on several
    /// segments, is not closed: it would be for all of them.
    macs: BTreeMap<IpAddr, [u8; 6]>,
    /// Routers that have routes or rules.
    routed: Vec<VirtualRouter>,
}

impl Vmacs {
    pub(super) fn of(config: &Config) -> Vmacs {
        let mut vmacs = Vmacs::default();
        let mut users: BTreeMap<[u8; 6], usize> = BTreeMap::new();
        for vmac in config.routers.iter().flat_map(|r| r.vmacs()) {
            vmacs.bases.insert(vmac.name.clone(), vmac.base.clone());
            if let Some(mac) = vmac.own_mac() {
                *users.entry(mac).or_default() += 1;
            }
        }
        let routed = config.routers.iter().filter(|r| !(r.routes.is_empty() && r.rules.is_empty()));
        vmacs.routed = routed.cloned().collect();
        for router in &config.routers {
            for address in router.served() {
                let on = router.vmacs().find(|v| v.name == router.interface_of(address));
                // That of an ipvlan is the host's own: closed, it would cut the host off.
                let mac = on.and_then(Vmac::own_mac).filter(|mac| users.get(mac) == Some(&1));
                vmacs.macs.extend(mac.map(|mac| (address.net.addr(), mac)));
            }
        }
        vmacs
    }

    /// Routes and rules of the routers that these addresses belong to.
    pub(super) fn routes_with(&self, addresses: &[(String, IpAddr)]) -> (Vec<Route>, Vec<Rule>) {
        let has = |r: &&VirtualRouter| r.served().any(|a| addresses.iter().any(|(_, known)| *known == a.net.addr()));
        let kept: Vec<_> = self.routed.iter().filter(has).collect();
        let routes = kept.iter().flat_map(|r| r.routes.clone()).collect();
        (routes, kept.iter().flat_map(|r| r.rules.clone()).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bases.is_empty()
    }

    /// The interface below a virtual one.
    pub(super) fn base_of(&self, interface: &str) -> Option<&str> {
        self.bases.get(interface).map(String::as_str)
    }

    /// The engine's addresses, as the fence knows them.
    pub(super) fn targets(&self, addresses: &[IpAddr]) -> Vec<FenceTarget> {
        let macs = addresses.iter().filter_map(|address| self.macs.get(address));
        let mut targets: Vec<FenceTarget> = macs.map(|mac| FenceTarget::Mac(*mac)).collect();
        targets.extend(addresses.iter().copied().map(FenceTarget::from));
        targets.sort_unstable();
        targets.dedup();
        targets
    }
}

#[cfg(test)]
mod tests;
