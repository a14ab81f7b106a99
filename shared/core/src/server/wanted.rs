//! What the virtual servers that name this host ask of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::gossip::{Forwarding, Protocol, Served};

use super::{Device, Host, LOOPBACK};

/// What keeps virtual addresses from the network, and which values do. The kernel takes the greater of
/// `all` and the interface, so that `all` is enough for every interface there is or will be; `lo` is
/// set as well because everybody's instructions say so, and people look there.
const SILENT: [(&str, &[u32]); 4] = [
    // 2 and 8 answer less still. 3 goes by the address's scope, and the rest is not defined.
    ("net.ipv4.conf.all.arp_ignore", &[1, 2, 8]),
    ("net.ipv4.conf.all.arp_announce", &[2]),
    ("net.ipv4.conf.lo.arp_ignore", &[1, 2, 8]),
    ("net.ipv4.conf.lo.arp_announce", &[2]),
];

/// Loose: what comes out of a tunnel is from clients that are reached by another interface. As the
/// kernel takes the greater of this and `all`, 0 would leave a strict `all` in force.
const LOOSE: &[u32] = &[2];

/// What this host should have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Addresses on `lo`.
    pub(super) addresses: BTreeSet<IpAddr>,
    /// Settings, and the values that are as good as the first of them.
    pub(super) settings: BTreeMap<String, &'static [u32]>,
    /// Tunnel devices that are up.
    pub(super) devices: BTreeSet<Device>,
    /// TCP ports behind virtual servers.
    pub(super) ports: BTreeSet<SocketAddr>,
    /// What this program cannot do for the operator.
    pub(super) warnings: BTreeSet<String>,
}

impl Wanted {
    /// By what any director told.
    pub(super) fn find(told: &BTreeMap<NodeId, Vec<Served>>, host: &Host) -> Wanted {
        let own: BTreeSet<IpAddr> =
            host.addresses.iter().filter(|a| !a.ours).map(|a| a.address).filter(is_unicast).collect();
        let mut wanted = Wanted::default();
        for served in told.values().flatten() {
            for (real, forwarding) in served.real_servers.iter().filter(|(real, _)| own.contains(&real.ip())) {
                wanted.serve(served, *real, *forwarding, host);
            }
        }
        if wanted.addresses.iter().any(IpAddr::is_ipv4) {
            wanted.settings.extend(SILENT.map(|(setting, fits)| (setting.to_owned(), fits)));
        }
        wanted
    }

    /// Takes packets of this virtual server, at this address of ours.
    fn serve(&mut self, served: &Served, real: SocketAddr, forwarding: Forwarding, host: &Host) {
        if served.protocol == Protocol::Tcp {
            let ports = if real.port() != 0 { vec![real] } else { served.endpoints.clone() };
            let at = ports.iter().map(|at| SocketAddr::new(real.ip(), at.port()));
            self.ports.extend(at.filter(|at| at.port() != 0));
        }
        if forwarding == Forwarding::Nat {
            return;
        }
        if served.endpoints.is_empty() {
            self.warnings.insert(format!(
                "{} is known by a firewall mark only: put the addresses it is for on {LOOPBACK} of this host yourself",
                served.name
            ));
        }
        for vip in served.endpoints.iter().map(SocketAddr::ip).filter(is_unicast) {
            let elsewhere = |a: &&super::Address| a.address == vip && !a.ours && a.interface != LOOPBACK;
            if let Some(found) = host.addresses.iter().find(elsewhere) {
                self.warnings.insert(format!(
                    "{vip} of {} is on {} of this host, where the network can see it: remove it there",
                    served.name, found.interface
                ));
            }
            self.addresses.insert(vip);
            self.tunnel(served, real.ip(), vip, forwarding);
        }
    }

    fn tunnel(&mut self, served: &Served, outer: IpAddr, inner: IpAddr, forwarding: Forwarding) {
        let device = match (forwarding, outer, inner) {
            (Forwarding::Nat | Forwarding::Dr, ..) => return,
            (Forwarding::Gue | Forwarding::Gre, ..) => {
                self.warnings.insert(format!(
                    "{} forwards by GUE or GRE: make the device that takes it on this host yourself",
                    served.name
                ));
                return;
            }
            (Forwarding::Tun, IpAddr::V4(_), IpAddr::V4(_)) => Device::Tunl0,
            (Forwarding::Tun, IpAddr::V4(_), IpAddr::V6(_)) => Device::Sit0,
            (Forwarding::Tun, IpAddr::V6(_), _) => Device::Ip6tnl0,
        };
        self.devices.insert(device);
        if inner.is_ipv4() {
            self.settings.insert(rp_filter(device), LOOSE);
        }
    }

    /// Whether the network cannot learn IPv4 addresses of `lo`.
    pub(super) fn is_silent(&self, host: &Host) -> bool {
        SILENT.iter().all(|(setting, fits)| host.settings.get(*setting).is_some_and(|value| fits.contains(value)))
    }
}

/// All settings that any look may need.
pub(super) fn settings() -> impl Iterator<Item = String> {
    SILENT.iter().map(|(setting, _)| (*setting).to_owned()).chain(Device::ALL.map(rp_filter))
}

/// Whether a setting is there only as long as its tunnel device is.
pub(super) fn is_of_device(setting: &str) -> bool {
    Device::ALL.iter().any(|device| rp_filter(*device) == setting)
}

fn rp_filter(device: Device) -> String {
    format!("net.ipv4.conf.{}.rp_filter", device.name())
}

/// Addresses that can mean one host: every host has loopback addresses.
fn is_unicast(address: &IpAddr) -> bool {
    let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    !(address.is_loopback() || address.is_unspecified() || address.is_multicast() || link_local)
}
