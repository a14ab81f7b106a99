//! Ipvlans: interfaces with the MAC address of the one below, which takes what comes for their addresses to them.
//!
//! Virtual addresses are on the interface below. The fence would hold here, too: it knows addresses, and packets, ARP
//! and neighbour discovery pass the same hooks of this network namespace, whichever interface they come by. There is no
//! MAC address to close: it is the host's own. Settings below stay as they are, as whoever answers ARP says the same.

use ipnet::IpNet;
use mesh_config::model::IpvlanMode;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::link::{InfoData, InfoIpVlan, InfoKind, IpVlanFlags, IpVlanMode, LinkInfo};

use crate::kernel::netlink::message;
use crate::kernel::netlink::requests::{Refusal, Requests};

/// What makes one.
pub(super) fn info(mode: IpvlanMode) -> Vec<LinkInfo> {
    let flags = match mode {
        IpvlanMode::Bridge => IpVlanFlags::empty(),
        IpvlanMode::Private => IpVlanFlags::Private,
        IpvlanMode::Vepa => IpVlanFlags::Vepa,
    };
    let data = vec![InfoIpVlan::Mode(IpVlanMode::L2), InfoIpVlan::Flags(flags)];
    vec![LinkInfo::Kind(InfoKind::IpVlan), LinkInfo::Data(InfoData::IpVlan(data))]
}

/// Whether it is one, of a mode that hears ARP.
pub(super) fn is(info: &LinkInfo) -> bool {
    match info {
        LinkInfo::Data(InfoData::IpVlan(data)) => data.contains(&InfoIpVlan::Mode(IpVlanMode::L2)),
        _ => false,
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
