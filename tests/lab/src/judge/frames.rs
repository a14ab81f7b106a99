//! The judge's questions and their answers, as bytes.

use std::net::Ipv4Addr;

use pnet_base::MacAddr;
use pnet_packet::Packet;
use pnet_packet::arp::{ArpHardwareTypes, ArpOperations, ArpPacket, MutableArpPacket};
use pnet_packet::ethernet::{EtherTypes, EthernetPacket, MutableEthernetPacket};
use pnet_packet::icmp::echo_reply::EchoReplyPacket;
use pnet_packet::icmp::echo_request::MutableEchoRequestPacket;
use pnet_packet::icmp::{IcmpTypes, checksum as icmp_checksum};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::{Ipv4Packet, MutableIpv4Packet, checksum as ipv4_checksum};
use pnet_packet::util::checksum;

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const ARP: usize = 28;
// Header, and the number of the round: 16 bits of sequence would wrap after five minutes.
const ECHO: usize = 8 + 4;
// Identifier of the probe to the first director; the next ones follow.
const PROBE_ID: u16 = 0x4d00;

/// Identifier of the client's own pings.
pub(super) const CLIENT_ID: u16 = 0x4c00;

/// What a frame says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// This director answered the echo request of this round, from its own hardware address.
    Echo { host: usize, round: u32 },
    /// This director says that it has the VIP, to whoever asked from this address.
    Arp { host: usize, asker: Ipv4Addr },
}

/// Makes rounds and reads answers.
pub(super) struct Prober {
    mac: MacAddr,
    address: Ipv4Addr,
    vip: Ipv4Addr,
    hosts: Vec<MacAddr>,
}

impl Prober {
    pub(super) fn new(mac: MacAddr, address: Ipv4Addr, vip: Ipv4Addr, hosts: Vec<MacAddr>) -> Prober {
        Prober { mac, address, vip, hosts }
    }

    /// One frame per director and one for all.
    pub(super) fn round(&self, number: u32) -> Vec<Vec<u8>> {
        self.round_from(number, self.address)
    }

    /// The same, the ARP request in the name of another address: the answer names it, and so tells its round.
    pub(super) fn round_from(&self, number: u32, asker: Ipv4Addr) -> Vec<Vec<u8>> {
        let echoes = (0u16..).zip(&self.hosts).map(|(index, mac)| self.echo(*mac, PROBE_ID + index, number));
        std::iter::once(self.who_has(asker)).chain(echoes).collect()
    }

    /// What `frame` answers, if anything.
    pub(super) fn answer(&self, frame: &[u8]) -> Option<Answer> {
        let ethernet = EthernetPacket::new(frame)?;
        if ethernet.get_destination() != self.mac {
            return None;
        }
        match ethernet.get_ethertype() {
            EtherTypes::Arp => {
                let arp = ArpPacket::new(ethernet.payload())?;
                let says = arp.get_operation() == ArpOperations::Reply && arp.get_sender_proto_addr() == self.vip;
                let host = self.hosts.iter().position(|mac| *mac == arp.get_sender_hw_addr())?;
                says.then(|| Answer::Arp { host, asker: arp.get_target_proto_addr() })
            }
            EtherTypes::Ipv4 => {
                let (id, round) = echo_reply(ethernet.payload(), self.vip)?;
                let host = usize::from(id.checked_sub(PROBE_ID)?);
                // A host that forwards the probe makes the owner answer it: that is the owner's answer, not its own.
                (*self.hosts.get(host)? == ethernet.get_source()).then_some(Answer::Echo { host, round })
            }
            _ => None,
        }
    }

    fn echo(&self, to: MacAddr, id: u16, round: u32) -> Vec<u8> {
        let mut frame = self.frame(to, EtherTypes::Ipv4, IPV4 + ECHO);
        frame[ETHERNET + IPV4..].copy_from_slice(&echo_request(id, round));
        let mut ip = MutableIpv4Packet::new(&mut frame[ETHERNET..]).expect("it is long enough");
        ip.set_version(4);
        ip.set_header_length(5);
        ip.set_total_length((IPV4 + ECHO) as u16);
        ip.set_ttl(64);
        ip.set_next_level_protocol(IpNextHeaderProtocols::Icmp);
        ip.set_source(self.address);
        ip.set_destination(self.vip);
        ip.set_checksum(ipv4_checksum(&ip.to_immutable()));
        frame
    }

    fn who_has(&self, asker: Ipv4Addr) -> Vec<u8> {
        let mut frame = self.frame(MacAddr::broadcast(), EtherTypes::Arp, ARP);
        let mut arp = MutableArpPacket::new(&mut frame[ETHERNET..]).expect("it is long enough");
        arp.set_hardware_type(ArpHardwareTypes::Ethernet);
        arp.set_protocol_type(EtherTypes::Ipv4);
        arp.set_hw_addr_len(6);
        arp.set_proto_addr_len(4);
        arp.set_operation(ArpOperations::Request);
        arp.set_sender_hw_addr(self.mac);
        arp.set_sender_proto_addr(asker);
        arp.set_target_proto_addr(self.vip);
        frame
    }

    fn frame(&self, to: MacAddr, kind: pnet_packet::ethernet::EtherType, payload: usize) -> Vec<u8> {
        let mut frame = vec![0; ETHERNET + payload];
        let mut ethernet = MutableEthernetPacket::new(&mut frame).expect("it is long enough");
        ethernet.set_destination(to);
        ethernet.set_source(self.mac);
        ethernet.set_ethertype(kind);
        frame
    }
}

/// An ICMP echo request without its IP header.
pub(super) fn echo_request(id: u16, round: u32) -> [u8; ECHO] {
    let mut bytes = [0; ECHO];
    let mut echo = MutableEchoRequestPacket::new(&mut bytes).expect("it is long enough");
    echo.set_icmp_type(IcmpTypes::EchoRequest);
    echo.set_identifier(id);
    echo.set_sequence_number(round as u16);
    echo.set_payload(&round.to_be_bytes());
    let sum = checksum(&bytes, 1);
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// Number of the ping that this IPv4 packet answers, if it answers one of the client's.
pub(super) fn client_answer(packet: &[u8], vip: Ipv4Addr) -> Option<u32> {
    echo_reply(packet, vip).filter(|(id, _)| *id == CLIENT_ID).map(|(_, round)| round)
}

fn echo_reply(packet: &[u8], from: Ipv4Addr) -> Option<(u16, u32)> {
    let ip = Ipv4Packet::new(packet)?;
    if ip.get_source() != from || ip.get_next_level_protocol() != IpNextHeaderProtocols::Icmp {
        return None;
    }
    let icmp = pnet_packet::icmp::IcmpPacket::new(ip.payload())?;
    if icmp.get_icmp_type() != IcmpTypes::EchoReply || icmp_checksum(&icmp) != icmp.get_checksum() {
        return None;
    }
    let echo = EchoReplyPacket::new(ip.payload())?;
    let round = echo.payload().get(..4)?.try_into().ok()?;
    Some((echo.get_identifier(), u32::from_be_bytes(round)))
}

#[cfg(test)]
mod tests;
