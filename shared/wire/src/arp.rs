//! Gratuitous ARP (RFC 5227 section 3, RFC 9568 sections 6.4.1 and 6.4.2).

#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;

use pnet_base::MacAddr;
use pnet_packet::Packet;
use pnet_packet::arp::{Arp, ArpHardwareTypes, ArpOperations, ArpPacket, MutableArpPacket};
use pnet_packet::ethernet::{EtherTypes, Ethernet, EthernetPacket, MutableEthernetPacket};

/// The Ethernet frame that tells all neighbours: `vip` is at `mac` now.
///
/// A broadcast request about oneself, as keepalived sends it: the target's hardware address is
/// broadcast too, where RFC 5227 has zero. Neighbours ignore that field, and monitoring that knows
/// keepalived finds what it looks for.
pub fn gratuitous_request(mac: [u8; 6], vip: Ipv4Addr) -> Vec<u8> {
    let mac = MacAddr::from(mac);
    let arp = Arp {
        hardware_type: ArpHardwareTypes::Ethernet,
        protocol_type: EtherTypes::Ipv4,
        hw_addr_len: 6,
        proto_addr_len: 4,
        operation: ArpOperations::Request,
        sender_hw_addr: mac,
        sender_proto_addr: vip,
        target_hw_addr: MacAddr::broadcast(),
        target_proto_addr: vip,
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
