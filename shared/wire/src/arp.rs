//! Gratuitous ARP (RFC 5227 section 3, RFC 9568 sections 6.4.1 and 6.4.2), and probes (RFC 5227
//! section 2.1.1).

#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;

use pnet_base::MacAddr;
use pnet_packet::Packet;
use pnet_packet::arp::{Arp, ArpHardwareTypes, ArpOperations, ArpPacket, MutableArpPacket};
use pnet_packet::ethernet::{EtherTypes, Ethernet, EthernetPacket, MutableEthernetPacket};

/// The Ethernet frame that tells all neighbours: `vip` is at `mac` now.
///
/// A broadcast request about oneself, as keepalived and FRR send it: the target's hardware address is
/// broadcast too, where RFC 5227 has zero and RFC 9568 the virtual MAC address. Neighbours ignore that field, and
/// monitoring that knows keepalived finds what it looks for.
pub fn gratuitous_request(mac: [u8; 6], vip: Ipv4Addr) -> Vec<u8> {
    broadcast_request(mac, vip, MacAddr::broadcast(), vip)
}

/// A probe (RFC 5227 section 2.1.1): "who has `address`?", from nobody. It enters no neighbour's
/// cache, and whoever has the address answers it.
pub fn probe(mac: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    broadcast_request(mac, Ipv4Addr::UNSPECIFIED, MacAddr::zero(), address)
}

/// Who shows by this frame that it has one of these addresses, or is about to take it (RFC 5227
/// section 2.1.1): the sender's address is one of them, or it is a probe for one. What `mac` sent
/// itself shows nothing; nor does what is no ARP for IPv4 over Ethernet.
pub fn conflict(frame: &[u8], mac: [u8; 6], addresses: &[Ipv4Addr]) -> Option<(Ipv4Addr, [u8; 6])> {
    let frame = EthernetPacket::new(frame).filter(|f| f.get_ethertype() == EtherTypes::Arp)?;
    let arp = ArpPacket::new(frame.payload())?;
    let ipv4_over_ethernet = arp.get_hardware_type() == ArpHardwareTypes::Ethernet
        && arp.get_protocol_type() == EtherTypes::Ipv4
        && (arp.get_hw_addr_len(), arp.get_proto_addr_len()) == (6, 4);
    let sender = arp.get_sender_hw_addr();
    if !ipv4_over_ethernet || sender == MacAddr::from(mac) {
        return None;
    }
    let (from, target) = (arp.get_sender_proto_addr(), arp.get_target_proto_addr());
    let probes = arp.get_operation() == ArpOperations::Request && from.is_unspecified();
    let about = if probes { target } else { from };
    addresses.contains(&about).then_some((about, sender.octets()))
}

fn broadcast_request(mac: [u8; 6], sender: Ipv4Addr, target_mac: MacAddr, target: Ipv4Addr) -> Vec<u8> {
    let mac = MacAddr::from(mac);
    let arp = Arp {
        hardware_type: ArpHardwareTypes::Ethernet,
        protocol_type: EtherTypes::Ipv4,
        hw_addr_len: 6,
        proto_addr_len: 4,
        operation: ArpOperations::Request,
        sender_hw_addr: mac,
        sender_proto_addr: sender,
        target_hw_addr: target_mac,
        target_proto_addr: target,
        payload: Vec::new(),
    };
    let mut bytes = vec![0; ArpPacket::minimum_packet_size()];
    let mut packet = MutableArpPacket::new(&mut bytes).expect("the buffer has the packet's size");
    packet.populate(&arp);

    let frame = Ethernet {
        destination: MacAddr::broadcast(),
        source: mac,
        ethertype: EtherTypes::Arp,
        payload: packet.packet().to_vec(),
    };
    let mut bytes = vec![0; EthernetPacket::packet_size(&frame)];
    MutableEthernetPacket::new(&mut bytes).expect("the buffer has the frame's size").populate(&frame);
    bytes
}
