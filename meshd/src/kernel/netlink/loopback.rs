//! Virtual addresses of a real server on `lo`, and the devices that take tunnelled packets. IPv4 and IPv6.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::{Context, anyhow};
use mesh_core::server::{Address, Device, LOOPBACK};
use nix::libc;
use nix::net::if_::if_nametoindex;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST};
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressHeaderFlags, AddressMessage, AddressProtocol, AddressScope,
};
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::follow::name;
use super::requests::{Requests, local, protocol};
use super::{ADDRESS_PROTOCOL, open_requests};

/// Looks at this host and changes `lo`. Every request has a deadline of a second.
pub struct Loopback {
    requests: Requests,
}

impl Loopback {
    /// Opens a socket; changes take CAP_NET_ADMIN.
    ///
    /// # Errors
    ///
    /// The kernel has none.
    pub fn open() -> anyhow::Result<Loopback> {
        Ok(Loopback { requests: open_requests()? })
    }

    /// Waits until nothing can be asked any more.
    pub async fn ended(&self) {
        self.requests.ended().await;
    }

    /// All addresses of this host, and which tunnel devices exist and are up.
    ///
    /// # Errors
    ///
    /// The kernel does not tell, in words.
    pub async fn look(&self) -> anyhow::Result<(BTreeSet<Address>, BTreeMap<Device, bool>)> {
        let links = self.requests.links().await.context("interfaces cannot be listed")?;
        let names: BTreeMap<u32, String> =
            links.iter().filter_map(|link| Some((link.header.index, name(link)?.to_owned()))).collect();
        let up = |link: &LinkMessage| link.header.flags.contains(LinkFlags::Up);
        let find = |device: Device| links.iter().find(|link| name(link) == Some(device.name()));
        let devices = Device::ALL.into_iter().filter_map(|device| Some((device, up(find(device)?)))).collect();
        let found = self.requests.every_address().await.context("addresses cannot be listed")?;
        let address = |message: &AddressMessage| {
            let interface = names.get(&message.header.index)?.clone();
            let ours = protocol(message) == Some(ADDRESS_PROTOCOL);
            Some(Address { interface, address: local(message)?.addr(), ours })
        };
        Ok((found.iter().filter_map(address).collect(), devices))
    }

    /// Has a virtual address on `lo`, for ever and with our mark.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub async fn add(&self, address: IpAddr) -> anyhow::Result<()> {
        let mut message = message(address)?;
        if address.is_ipv6() {
            // Nobody else on lo can have it, and while that is found out it does not answer.
            message.header.flags = AddressHeaderFlags::Nodad;
        } else {
            // Of this host only: never chosen as a source for what this host begins.
            message.header.scope = AddressScope::Host;
        }
        message.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(ADDRESS_PROTOCOL)));
        let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        Ok(self.requests.execute(RouteNetlinkMessage::NewAddress(message), flags).await?)
    }

    /// Removes one; that it is gone already is no failure.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub async fn remove(&self, address: IpAddr) -> anyhow::Result<()> {
        let message = RouteNetlinkMessage::DelAddress(message(address)?);
        match self.requests.execute(message, NLM_F_REQUEST | NLM_F_ACK).await {
            Err(refusal) if !refusal.is_absence() => Err(refusal.into()),
            _ => Ok(()),
        }
    }

    /// Has a tunnel device, and puts it up.
    ///
    /// # Errors
    ///
    /// The kernel has no such tunnels, or refuses.
    pub async fn up(&self, device: Device) -> anyhow::Result<()> {
        if if_nametoindex(device.name()).is_err() {
            // This loads the module, which makes the device that takes from anybody under this very name.
            let mut message = LinkMessage::default();
            message.attributes = vec![
                LinkAttribute::IfName(device.name().to_owned()),
                LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind(device))]),
            ];
            let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
            match self.requests.execute(RouteNetlinkMessage::NewLink(message), flags).await {
                Err(refusal) if refusal.errno == libc::EEXIST => {}
                made => made.with_context(|| format!("this kernel makes no {} device", device.kind()))?,
            }
        }
        self.put(device, LinkFlags::Up).await
    }

    /// Puts a tunnel device down. It cannot be removed as long as its module is there.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub async fn down(&self, device: Device) -> anyhow::Result<()> {
        self.put(device, LinkFlags::empty()).await
    }

    async fn put(&self, device: Device, flags: LinkFlags) -> anyhow::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index(device.name())?;
        (message.header.flags, message.header.change_mask) = (flags, LinkFlags::Up);
        let flags = NLM_F_REQUEST | NLM_F_ACK;
        Ok(self.requests.execute(RouteNetlinkMessage::NewLink(message), flags).await?)
    }
}

/// What both adding and removing say: one address, and nothing beside it.
fn message(address: IpAddr) -> anyhow::Result<AddressMessage> {
    let mut message = AddressMessage::default();
    let (family, prefix) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    (message.header.family, message.header.prefix_len) = (family, prefix);
    message.header.index = index(LOOPBACK)?;
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    Ok(message)
}

fn index(interface: &str) -> anyhow::Result<u32> {
    if_nametoindex(interface).map_err(|_| anyhow!("there is no interface {interface}"))
}

fn kind(device: Device) -> InfoKind {
    match device {
        Device::Tunl0 => InfoKind::IpIp,
        Device::Sit0 => InfoKind::SitTun,
        Device::Ip6tnl0 => InfoKind::Ip6Tnl,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::{runtime, sh, with_neighbour};

    #[test]
    fn root_an_address_is_on_lo_with_our_mark_alone_and_quiet() {
        with_neighbour(|_| {
            runtime().block_on(async {
                let loopback = Loopback::open().unwrap();
                let (v4, v6): (IpAddr, IpAddr) = ("10.77.9.80".parse().unwrap(), "2001:db8::80".parse().unwrap());
                for address in [v4, v6, v4, v6] {
                    loopback.add(address).await.unwrap();
                }
                let shown = sh("ip -o address show dev lo");
                assert!(shown.contains("10.77.9.80/32 scope host"), "{shown}");
                let six = shown.lines().find(|line| line.contains("2001:db8::80/128")).unwrap();
                assert!(six.contains("nodad") && !six.contains("tentative"), "{six}");
                let (found, devices) = loopback.look().await.unwrap();
                let of = |address: &str, interface: &str, ours| Address {
                    interface: interface.to_owned(),
                    address: address.parse().unwrap(),
                    ours,
                };
                for known in [
                    of("10.77.9.80", "lo", true),
                    of("2001:db8::80", "lo", true),
                    of("127.0.0.1", "lo", false),
                    of("10.77.0.1", "veth0", false),
                ] {
                    assert!(found.contains(&known), "{known:?} in {found:#?}");
                }
                assert_eq!(devices.values().filter(|up| **up).count(), 0);
                for address in [v4, v6, v4] {
                    loopback.remove(address).await.unwrap();
                }
                let (left, _) = loopback.look().await.unwrap();
                assert!(!left.iter().any(|a| a.ours), "{left:#?}");
            });
        });
    }

    #[test]
    fn root_a_kernel_without_tunnels_says_so() {
        with_neighbour(|_| {
            runtime().block_on(async {
                let loopback = Loopback::open().unwrap();
                match loopback.up(Device::Tunl0).await {
                    Ok(()) => {
                        assert!(loopback.look().await.unwrap().1[&Device::Tunl0]);
                        loopback.down(Device::Tunl0).await.unwrap();
                        assert!(!loopback.look().await.unwrap().1[&Device::Tunl0]);
                    }
                    Err(error) => {
                        let error = format!("{error:#}");
                        assert!(error.starts_with("this kernel makes no ipip device: "), "{error}");
                    }
                }
            });
        });
    }
}
