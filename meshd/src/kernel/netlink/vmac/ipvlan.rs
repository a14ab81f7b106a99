//! Ipvlans: interfaces with the MAC address of the one below, which takes what comes for their addresses to them.
//!
//! Virtual addresses are on the interface below. The fence would hold here, too: it knows addresses, and packets, ARP
//! and neighbour discovery pass the same hooks of this network namespace, whichever interface they come by. There is no
//! MAC address to close: it is the host's own. Settings below stay as they are, as whoever answers ARP says the same.

use ipnet::IpNet;
use mesh_config::model::{Ipvlan, IpvlanMode};
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::link::{
    InfoData, InfoIpVlan, InfoKind, IpVlanFlags, IpVlanMode, LinkAttribute, LinkInfo, LinkMessage,
};

use super::Found;
use crate::kernel::netlink::requests::{Refusal, Requests};
use crate::kernel::netlink::{message, remove};

/// What the kernel has of its mode. It is one for all ipvlans of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    mode: IpVlanMode,
    flags: IpVlanFlags,
}

impl Kind {
    fn of(mode: IpvlanMode) -> Kind {
        let flags = match mode {
            IpvlanMode::Bridge => IpVlanFlags::empty(),
            IpvlanMode::Private => IpVlanFlags::Private,
            IpvlanMode::Vepa => IpVlanFlags::Vepa,
        };
        Kind { mode: IpVlanMode::L2, flags }
    }

    /// That of a link, where it is an ipvlan.
    pub(super) fn read(info: &LinkInfo) -> Option<Kind> {
        let LinkInfo::Data(InfoData::IpVlan(data)) = info else { return None };
        let mode = data.iter().find_map(|part| match part {
            InfoIpVlan::Mode(mode) => Some(*mode),
            _ => None,
        })?;
        let flags = data.iter().find_map(|part| match part {
            InfoIpVlan::Flags(flags) => Some(*flags),
            _ => None,
        });
        // Kernels before 4.15 have no flags.
        Some(Kind { mode, flags: flags.unwrap_or(IpVlanFlags::empty()) })
    }

    pub(super) fn hears_arp(self) -> bool {
        self.mode == IpVlanMode::L2
    }
}

/// What makes one.
pub(super) fn info(mode: IpvlanMode) -> Vec<LinkInfo> {
    let Kind { mode, flags } = Kind::of(mode);
    let data = vec![InfoIpVlan::Mode(mode), InfoIpVlan::Flags(flags)];
    vec![LinkInfo::Kind(InfoKind::IpVlan), LinkInfo::Data(InfoData::IpVlan(data))]
}

/// Has one that is there have this mode, and not the address any more that was configured before. It stays the same
/// interface, with whatever others put on it.
pub(super) async fn change(requests: &Requests, found: &Found, wanted: Ipvlan) -> Result<(), String> {
    if found.ipvlan != Some(Kind::of(wanted.mode)) {
        let mut message = LinkMessage::default();
        message.header.index = found.index;
        message.attributes = vec![LinkAttribute::LinkInfo(info(wanted.mode))];
        let message = RouteNetlinkMessage::NewLink(message);
        let changed = requests.execute(message, NLM_F_REQUEST | NLM_F_ACK).await;
        changed.map_err(|refusal| format!("mode {}: {refusal}", wanted.mode.name()))?;
    }
    match found.own_address().filter(|old| wanted.address != Some(*old)) {
        Some(old) => match remove(requests, found.index, old).await {
            Err(refusal) if !refusal.is_absence() => Err(format!("{old} does not go: {refusal}")),
            _ => Ok(()),
        },
        None => Ok(()),
    }
}

/// Has it have the address that is its own; nobody else has that, so that nobody has to be asked.
pub(super) async fn address(requests: &Requests, index: u32, net: IpNet) -> Result<(), Refusal> {
    let mut message = message(index, net);
    if net.addr().is_ipv6() {
        message.header.flags = AddressHeaderFlags::Nodad;
    }
    let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    requests.execute(RouteNetlinkMessage::NewAddress(message), flags).await
}
