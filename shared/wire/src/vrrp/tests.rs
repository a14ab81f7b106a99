use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);

fn advertisement(version: Version, interval_ms: u64) -> Advertisement {
    Advertisement {
        vrid: 51,
        priority: 150,
        interval: Interval::new(version, Duration::from_millis(interval_ms)).unwrap(),
        addresses: vec![VIP.into()],
        auth: Authentication::None,
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Both ways: the value gives these bytes, and these bytes give the value.
#[track_caller]
fn same(advertisement: &Advertisement, destination: Ipv4Addr, form: ChecksumForm, hex: &str) {
    assert_eq!(emit(advertisement, SOURCE, destination, form), bytes(hex));
    assert_eq!(parse(&bytes(hex), SOURCE, destination), Ok((advertisement.clone(), form)));
}

// Captured from keepalived 2.2.7 on a wire; checksums recomputed independently.

#[test]
fn keepalived_v2_two_addresses() {
    let two = Advertisement {
        addresses: vec![VIP.into(), Ipv4Addr::new(10, 77, 0, 101).into()],
        ..advertisement(Version::V2, 1000)
    };
    same(&two, GROUP, ChecksumForm::Message, "2133 9602 0001 3366 0a4d0064 0a4d0065 0000000000000000");
}

#[test]
fn keepalived_v2_password() {
    let pass = Advertisement { auth: Authentication::Pass(*b"secret12"), ..advertisement(Version::V2, 1000) };
    same(&pass, GROUP, ChecksumForm::Message, "2133 9601 0101 cf9a 0a4d0064 7365637265743132");
}

#[test]
fn keepalived_v3_multicast_with_pseudo_header() {
    let half = advertisement(Version::V3, 500);
    same(&half, GROUP, ChecksumForm::PseudoHeader, "3133 9601 0032 430b 0a4d0064");
}

/// What keepalived up to 1.3.6 sent to a peer: the checksum of an advert to the group.
#[test]
fn old_keepalived_v3_unicast_has_the_group_in_the_pseudo_header() {
    let half = advertisement(Version::V3, 500);
    same(&half, PEER, ChecksumForm::GroupPseudoHeader, "3133 9601 0032 430b 0a4d0064");
    let packet = emit(&half, SOURCE, GROUP, ChecksumForm::GroupPseudoHeader);
    assert_eq!(parse(&packet, SOURCE, GROUP), Ok((half, ChecksumForm::PseudoHeader)), "to the group it is the same");
}

/// keepalived with `no_virtual_ipaddress`.
#[test]
fn an_election_has_no_addresses() {
    for (version, form) in [(Version::V2, ChecksumForm::Message), (Version::V3, ChecksumForm::PseudoHeader)] {
        let none = Advertisement { addresses: Vec::new(), ..advertisement(version, 1000) };
        assert_eq!(parse(&emit(&none, SOURCE, GROUP, form), SOURCE, GROUP), Ok((none, form)));
    }
}

#[test]
fn rfc_9568_multicast_without_pseudo_header() {
    let half = advertisement(Version::V3, 500);
    same(&half, GROUP, ChecksumForm::Message, "3133 9601 0032 2de8 0a4d0064");
}

#[test]
fn keepalived_v3_unicast_has_the_real_destination_in_the_pseudo_header() {
    let half = advertisement(Version::V3, 500);
    same(&half, PEER, ChecksumForm::PseudoHeader, "3133 9601 0032 18cf 0a4d0064");
    same(&half, Ipv4Addr::new(10, 77, 0, 3), ChecksumForm::PseudoHeader, "3133 9601 0032 18ce 0a4d0064");
}

/// A good packet with one byte changed, its checksum made right again unless that is the byte.
fn spoilt(version: Version, at: usize, value: u8) -> Vec<u8> {
    let mut packet = emit(&advertisement(version, 1000), SOURCE, GROUP, ChecksumForm::Message);
    packet[at] = value;
    if !(6..8).contains(&at) {
        packet[6..8].fill(0);
        let sum = util::checksum(&packet, 3);
        packet[6..8].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

#[track_caller]
fn refused(packet: &[u8], expected: Malformed) {
    assert_eq!(parse(packet, SOURCE, GROUP), Err(expected));
}

#[test]
fn every_rule_has_its_error() {
    refused(&[], Malformed::TooShort(0));
    refused(&spoilt(Version::V2, 0, 0x21)[..7], Malformed::TooShort(7));
    for version in [0, 1, 4, 15] {
        refused(&spoilt(Version::V2, 0, version << 4 | 1), Malformed::Version(version));
    }
    for version in [Version::V2, Version::V3] {
        let number = if version == Version::V2 { 0x20 } else { 0x30 };
        refused(&spoilt(version, 0, number | 2), Malformed::Type(2));
        refused(&spoilt(version, 0, number), Malformed::Type(0));
        refused(&spoilt(version, 1, 0), Malformed::Vrid);
    }
    refused(&spoilt(Version::V3, 3, 0), Malformed::TrailingBytes { expected: 8, actual: 12 });
    refused(&spoilt(Version::V2, 5, 0), Malformed::Interval);
    refused(&spoilt(Version::V3, 5, 0), Malformed::Interval);
    refused(&spoilt(Version::V2, 4, 3), Malformed::AuthenticationType(3));
    refused(&spoilt(Version::V2, 4, 255), Malformed::AuthenticationType(255));
}

#[test]
fn a_cut_packet_is_truncated_at_every_length() {
    for (version, expected) in [(Version::V2, 20), (Version::V3, 12)] {
        let packet = emit(&advertisement(version, 1000), SOURCE, GROUP, ChecksumForm::Message);
        assert_eq!(packet.len(), expected);
        for actual in HEADER..expected {
            refused(&packet[..actual], Malformed::Truncated { expected, actual });
        }
        refused(&spoilt(version, 3, 2), Malformed::Truncated { expected: expected + 4, actual: expected });
    }
}

#[test]
fn any_wrong_bit_of_the_checksum_is_noticed() {
    for form in [ChecksumForm::Message, ChecksumForm::PseudoHeader] {
        for version in [Version::V2, Version::V3] {
            let good = emit(&advertisement(version, 1000), SOURCE, GROUP, form);
            for bit in 0..16 {
                let mut packet = good.clone();
                packet[6 + bit / 8] ^= 1 << (bit % 8);
                let sum = u16::from_be_bytes([packet[6], packet[7]]);
                refused(&packet, Malformed::Checksum(sum));
            }
        }
    }
}

#[test]
fn a_pseudo_header_of_other_addresses_is_a_wrong_checksum() {
    let packet = emit(&advertisement(Version::V3, 1000), SOURCE, GROUP, ChecksumForm::PseudoHeader);
    assert!(matches!(parse(&packet, PEER, GROUP), Err(Malformed::Checksum(_))));
    assert!(matches!(parse(&packet, SOURCE, PEER), Ok((_, ChecksumForm::GroupPseudoHeader))), "old keepalived's");
    let packet = emit(&advertisement(Version::V3, 1000), SOURCE, PEER, ChecksumForm::PseudoHeader);
    assert!(matches!(parse(&packet, SOURCE, GROUP), Err(Malformed::Checksum(_))));
}

#[test]
fn zero_padding_is_accepted_and_nothing_else_behind_the_end() {
    for (version, form) in [(Version::V2, ChecksumForm::Message), (Version::V3, ChecksumForm::PseudoHeader)] {
        let sent = advertisement(version, 1000);
        let mut packet = emit(&sent, SOURCE, GROUP, form);
        let expected = packet.len();
        packet.resize(46 - 20, 0);
        assert_eq!(parse(&packet, SOURCE, GROUP), Ok((sent, form)));
        *packet.last_mut().unwrap() = 1;
        refused(&packet, Malformed::TrailingBytes { expected, actual: 26 });
    }
}

#[test]
fn what_has_to_be_ignored_is_ignored() {
    let v3 = advertisement(Version::V3, 1000);
    assert_eq!(parse(&spoilt(Version::V3, 4, 0xf0), SOURCE, GROUP), Ok((v3, ChecksumForm::Message)));
    let v2 = advertisement(Version::V2, 1000);
    assert_eq!(parse(&spoilt(Version::V2, 19, 0x55), SOURCE, GROUP), Ok((v2, ChecksumForm::Message)));
}

#[test]
fn intervals_are_exact_or_refused() {
    let new = |version, nanos| Interval::new(version, Duration::from_nanos(nanos));
    for (version, unit, max) in [(Version::V2, 1_000_000_000, 255), (Version::V3, 10_000_000, 4095)] {
        for good in [1, 2, max] {
            let interval = new(version, good * unit).unwrap();
            assert_eq!((interval.version(), interval.duration()), (version, Duration::from_nanos(good * unit)));
        }
        for bad in [0, 1, unit - 1, unit + 1, max * unit + 1, (max + 1) * unit, u64::MAX] {
            assert!(new(version, bad).is_err(), "{version:?} {bad} ns");
        }
    }
    assert!(Interval::new(Version::V2, Duration::MAX).is_err());
    // A count that would wrap around to 1 in the width of the field.
    assert!(Interval::new(Version::V2, Duration::from_secs(257)).is_err());
    assert!(Interval::new(Version::V3, Duration::from_millis((65536 + 1) * 10)).is_err());
}

#[test]
fn lists_as_many_addresses_as_the_count_can_say() {
    let addresses: Vec<_> = (0..300u32).map(|n| IpAddr::from(Ipv4Addr::from(0x0a00_0000 + n))).collect();
    let many = Advertisement { addresses: addresses.clone(), ..advertisement(Version::V3, 1000) };
    let (heard, _) = parse(&emit(&many, SOURCE, GROUP, ChecksumForm::Message), SOURCE, GROUP).unwrap();
    assert_eq!(heard.addresses, addresses[..MAX_ADDRESSES]);
}

// IPv6 (RFC 9568), captured from keepalived 2.2.7 likewise.

fn link_local() -> Ipv6Addr {
    "fe80::bc85:32ff:fe20:afcd".parse().unwrap()
}

fn v6(addresses: &[&str]) -> Advertisement {
    let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
    Advertisement { vrid: 52, addresses, ..advertisement(Version::V3, 1000) }
}

const KEEPALIVED_V6: &str = "3134 9602 0064 6e9b fe800000000000000000000000000077 20010db8007700000000000000000100";

#[test]
fn keepalived_v3_ipv6() {
    let sent = v6(&["fe80::77", "2001:db8:77::100"]);
    for form in [ChecksumForm::PseudoHeader, ChecksumForm::Message] {
        assert_eq!(emit(&sent, link_local(), GROUP_V6, form), bytes(KEEPALIVED_V6), "IPv6 has one form");
    }
    let heard = parse(&bytes(KEEPALIVED_V6), link_local(), GROUP_V6);
    assert_eq!(heard, Ok((sent, ChecksumForm::PseudoHeader)));
}

#[test]
fn the_first_ipv6_address_sent_is_link_local_and_the_rest_keep_their_order() {
    let list = ["2001:db8::1", "2001:db8::2", "fe80::9", "fe80::8", "10.0.0.1", "2001:db8::3"];
    let (heard, _) =
        parse(&emit(&v6(&list), link_local(), GROUP_V6, ChecksumForm::PseudoHeader), link_local(), GROUP_V6).unwrap();
    assert_eq!(heard, v6(&["fe80::9", "2001:db8::1", "2001:db8::2", "fe80::8", "2001:db8::3"]));
    let (heard, _) = parse(&emit(&v6(&list), SOURCE, GROUP, ChecksumForm::PseudoHeader), SOURCE, GROUP).unwrap();
    assert_eq!(heard, v6(&["10.0.0.1"]), "only those of the packet's family");
}

#[test]
fn a_link_local_address_is_listed_however_many_come_before_it() {
    let many = (1..=255u16).map(|n| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n).into());
    let last: IpAddr = "fe80::1".parse().unwrap();
    let sent = Advertisement { addresses: many.chain([last]).collect(), ..v6(&[]) };
    let packet = emit(&sent, link_local(), GROUP_V6, ChecksumForm::PseudoHeader);
    let (heard, _) = parse(&packet, link_local(), GROUP_V6).unwrap();
    assert_eq!((heard.addresses.len(), heard.addresses[0]), (255, last));
}

#[test]
fn ipv6_packets_break_the_same_rules() {
    let spoilt = |at: usize, value| {
        let mut packet = bytes(KEEPALIVED_V6);
        packet[at] = value;
        packet[6..8].fill(0);
        let protocol = IpNextHeaderProtocol(IP_PROTOCOL);
        let sum = util::ipv6_checksum(&packet, 3, &[], &link_local(), &GROUP_V6, protocol);
        packet[6..8].copy_from_slice(&sum.to_be_bytes());
        parse(&packet, link_local(), GROUP_V6)
    };
    assert_eq!(spoilt(0, 0x21), Err(Malformed::Version2OverIpv6));
    assert_eq!(spoilt(0, 0x32), Err(Malformed::Type(2)));
    assert_eq!(spoilt(1, 0), Err(Malformed::Vrid));
    assert!(matches!(spoilt(3, 0), Err(Malformed::TrailingBytes { expected: 8, actual: 40 })));
    assert_eq!(spoilt(3, 3), Err(Malformed::Truncated { expected: 56, actual: 40 }));
    assert_eq!(spoilt(5, 0), Err(Malformed::Interval));
    assert!(matches!(spoilt(3, 1), Err(Malformed::TrailingBytes { expected: 24, actual: 40 })));
    // The form that IPv4 may have, too, is wrong here; so is another destination.
    let mut packet = bytes(KEEPALIVED_V6);
    assert!(matches!(parse(&packet, link_local(), link_local()), Err(Malformed::Checksum(0x6e9b))));
    packet[6..8].fill(0);
    let sum = util::checksum(&packet, 3);
    packet[6..8].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(parse(&packet, link_local(), GROUP_V6), Err(Malformed::Checksum(sum)));
}

prop_compose! {
    fn any_advertisement()(
        v2 in any::<bool>(),
        vrid in 1..=255u8,
        priority in any::<u8>(),
        seconds in 1..=255u64,
        centiseconds in 1..=4095u64,
        addresses in vec(any::<Ipv4Addr>().prop_map(IpAddr::from), 1..=MAX_ADDRESSES),
        password in proptest::option::of(any::<[u8; 8]>()),
    ) -> Advertisement {
        let (version, interval) = if v2 {
            (Version::V2, Duration::from_secs(seconds))
        } else {
            (Version::V3, Duration::from_millis(centiseconds * 10))
        };
        Advertisement {
            vrid,
            priority,
            interval: Interval::new(version, interval).unwrap(),
            addresses,
            auth: password.filter(|_| v2).map_or(Authentication::None, Authentication::Pass),
        }
    }
}

proptest! {
    #[test]
    fn what_is_emitted_parses_to_the_same(
        sent in any_advertisement(), source: Ipv4Addr, destination: Ipv4Addr, pseudo: bool,
    ) {
        let form = if pseudo { ChecksumForm::PseudoHeader } else { ChecksumForm::Message };
        let packet = emit(&sent, source, destination, form);
        let (heard, seen) = parse(&packet, source, destination).unwrap();
        // The form seen may be the other one where both give the same checksum.
        prop_assert_eq!(emit(&heard, source, destination, seen), packet);
        prop_assert_eq!(heard, sent);
    }

    #[test]
    fn what_is_emitted_over_ipv6_parses_to_the_same(
        sent in any_advertisement(),
        centiseconds in 1..=4095u64,
        addresses in vec(any::<Ipv6Addr>().prop_map(IpAddr::from), 1..=MAX_ADDRESSES),
        source: Ipv6Addr,
        destination: Ipv6Addr,
    ) {
        let interval = Interval::new(Version::V3, Duration::from_millis(centiseconds * 10)).unwrap();
        let sent = Advertisement { interval, addresses, auth: Authentication::None, ..sent };
        let packet = emit(&sent, source, destination, ChecksumForm::PseudoHeader);
        let (heard, form) = parse(&packet, source, destination).unwrap();
        prop_assert_eq!(form, ChecksumForm::PseudoHeader);
        prop_assert_eq!(Advertisement { addresses: listed(&sent.addresses, source.into()), ..sent }, heard);
    }

    #[test]
    fn arbitrary_bytes_never_panic(packet in vec(any::<u8>(), 0..1500), source: IpAddr, destination: IpAddr) {
        let _ = parse(&packet, source, destination);
    }

    /// Random bytes hardly ever have a good checksum: here it is made right, so that what follows
    /// is reached.
    #[test]
    fn what_parses_is_valid(mut packet in vec(any::<u8>(), 8..60), v2: bool, count in 0..12u8) {
        packet[0] = if v2 { 0x21 } else { 0x31 };
        packet[3] = count;
        let expected = HEADER + 4 * usize::from(count) + if v2 { 8 } else { 0 };
        packet.resize(expected, 7);
        packet[6..8].fill(0);
        let sum = util::checksum(&packet, 3);
        packet[6..8].copy_from_slice(&sum.to_be_bytes());
        match parse(&packet, SOURCE, GROUP) {
            Ok((heard, _)) => {
                prop_assert!(heard.vrid > 0 && heard.addresses.len() == usize::from(count));
                prop_assert!(heard.advert_interval() >= Duration::from_millis(10));
            }
            Err(error) => prop_assert!(matches!(
                error,
                Malformed::Vrid | Malformed::Interval | Malformed::AuthenticationType(_)
            ), "{error}"),
        }
    }
}
