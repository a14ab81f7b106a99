//! Virtual MAC addresses of the configuration: which interface is below which, and what the fence has to
//! close with which address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mesh_config::model::Config;

use crate::kernel::fence::FenceTarget;

/// What the director looks up.
#[derive(Debug, Default)]
pub(super) struct Vmacs {
    /// The interface below each.
    bases: BTreeMap<String, String>,
    /// By virtual address: the MAC address that is closed with it. One that several routers have, on several
    /// segments, is not closed: it would be for all of them.
    macs: BTreeMap<IpAddr, [u8; 6]>,
}

impl Vmacs {
    pub(super) fn of(config: &Config) -> Vmacs {
        let mut vmacs = Vmacs::default();
        let mut users: BTreeMap<[u8; 6], usize> = BTreeMap::new();
        for vmac in config.routers.iter().flat_map(|r| r.vmacs()) {
            vmacs.bases.insert(vmac.name.clone(), vmac.base.clone());
            *users.entry(vmac.mac).or_default() += 1;
        }
        for router in &config.routers {
            for address in router.served() {
                let on = router.vmacs().find(|v| v.name == router.interface_of(address));
                let mac = on.map(|v| v.mac).filter(|mac| users.get(mac) == Some(&1));
                vmacs.macs.extend(mac.map(|mac| (address.net.addr(), mac)));
            }
        }
        vmacs
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
