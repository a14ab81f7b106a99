use pnet_packet::Packet;
use pnet_packet::ethernet::{EtherTypes, EthernetPacket};
use pnet_packet::icmpv6::ndp::{NdpOptionTypes, NeighborAdvertPacket, NeighborSolicitPacket};
use pnet_packet::icmpv6::{self, Icmpv6Packet, Icmpv6Types};
use pnet_packet::ipv6::Ipv6Packet;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 2];

fn vip() -> Ipv6Addr {
    "2001:db8:77::12:3480".parse().unwrap()
}

/// What another host's kernel would send: an Ethernet frame around an IPv6 packet.
fn frame(from: [u8; 6], packet: &[u8]) -> Vec<u8> {
    [&[0x33, 0x33, 0, 0, 0, 1], &from[..], &ETHERTYPE_IPV6, packet].concat()
}

// Read by a library that did not write it.

#[test]
fn an_advertisement_says_what_rfc_9568_wants() {
    for router in [false, true] {
        let bytes = unsolicited_advertisement(MAC, vip(), router);
        let ip = Ipv6Packet::new(&bytes).unwrap();
        assert_eq!((ip.get_version(), ip.get_hop_limit(), ip.get_next_header()), (6, 255, Icmpv6));
        assert_eq!((ip.get_source(), ip.get_destination()), (vip(), ALL_NODES));
        assert_eq!(usize::from(ip.get_payload_length()), ip.payload().len());
        let icmp = Icmpv6Packet::new(ip.payload()).unwrap();
        assert_eq!(icmp.get_icmpv6_type(), Icmpv6Types::NeighborAdvert);
        assert_eq!(icmp.get_checksum(), icmpv6::checksum(&icmp, &vip(), &ALL_NODES));
        let advert = NeighborAdvertPacket::new(ip.payload()).unwrap();
        assert_eq!(advert.get_flags(), if router { 0xa0 } else { 0x20 }, "R, not S, O");
        assert_eq!(advert.get_target_addr(), vip());
        let [option] = &advert.get_options()[..] else { panic!("one option") };
        assert_eq!((option.option_type, option.length, &option.data[..]), (NdpOptionTypes::TargetLLAddr, 1, &MAC[..]));
    }
}

#[test]
fn a_probe_is_duplicate_address_detection() {
    let bytes = probe(MAC, vip());
    let ethernet = EthernetPacket::new(&bytes).unwrap();
    assert_eq!(ethernet.get_ethertype(), EtherTypes::Ipv6);
    assert_eq!(ethernet.get_source().octets(), MAC);
    assert_eq!(ethernet.get_destination().octets(), [0x33, 0x33, 0xff, 0x12, 0x34, 0x80]);
    let ip = Ipv6Packet::new(ethernet.payload()).unwrap();
    let group: Ipv6Addr = "ff02::1:ff12:3480".parse().unwrap();
    assert_eq!(solicited_node(vip()), group);
    assert_eq!((ip.get_source(), ip.get_destination()), (Ipv6Addr::UNSPECIFIED, group));
    assert_eq!((ip.get_hop_limit(), ip.get_next_header()), (255, Icmpv6));
    let icmp = Icmpv6Packet::new(ip.payload()).unwrap();
    assert_eq!(icmp.get_checksum(), icmpv6::checksum(&icmp, &Ipv6Addr::UNSPECIFIED, &group));
    let solicit = NeighborSolicitPacket::new(ip.payload()).unwrap();
    assert_eq!(solicit.get_icmpv6_type(), Icmpv6Types::NeighborSolicit);
    assert_eq!(solicit.get_target_addr(), vip());
    assert_eq!(ip.payload().len(), MESSAGE, "no option: nobody asks");
}

#[test]
fn whoever_shows_the_address_has_it() {
    let wanted = [vip()];
    let elsewhere: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let group = solicited_node(elsewhere);
    let shown = Some((vip(), OTHER));
    let advert = unsolicited_advertisement(OTHER, vip(), false);
    assert_eq!(conflict(&frame(OTHER, &advert), MAC, &wanted), shown);
    assert_eq!(conflict(&probe(OTHER, vip()), MAC, &wanted), shown, "about to take it");
    let asks = packet(vip(), group, SOLICITATION, 0, elsewhere, &[1, 1, 2, 0, 0, 0, 0, 2]);
    assert_eq!(conflict(&frame(OTHER, &asks), MAC, &wanted), shown, "speaks from it");

    assert_eq!(conflict(&frame(MAC, &advert), MAC, &wanted), None, "our own");
    assert_eq!(conflict(&probe(MAC, vip()), MAC, &wanted), None, "our own");
    assert_eq!(conflict(&frame(OTHER, &advert), MAC, &[elsewhere]), None, "another address");
    let asked = packet(elsewhere, solicited_node(vip()), SOLICITATION, 0, vip(), &[]);
    assert_eq!(conflict(&frame(OTHER, &asked), MAC, &wanted), None, "a client asks for it");
}

#[test]
fn what_is_no_neighbour_discovery_of_this_link_shows_nothing() {
    let good = frame(OTHER, &unsolicited_advertisement(OTHER, vip(), false));
    for end in 0..good.len() {
        assert_eq!(conflict(&good[..end], MAC, &[vip()]), None, "cut at {end}");
    }
    // Ether type, IP version, next header, hop limit, checksum, ICMPv6 type.
    for at in [12, ETHERNET, ETHERNET + 6, ETHERNET + 7, ETHERNET + IPV6 + 2, ETHERNET + IPV6] {
        let mut bad = good.clone();
        bad[at] ^= 0x11;
        assert_eq!(conflict(&bad, MAC, &[vip()]), None, "byte {at}");
    }
    let padded = [&good[..], &[0; 8]].concat();
    assert_eq!(conflict(&padded, MAC, &[vip()]), Some((vip(), OTHER)));
}

proptest! {
    #[test]
    fn arbitrary_frames_never_panic(frame in vec(any::<u8>(), 0..200)) {
        let _ = conflict(&frame, MAC, &[vip()]);
    }
}
