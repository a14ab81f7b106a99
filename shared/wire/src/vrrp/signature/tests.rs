use std::time::Duration;

use super::super::{GROUP, GROUP_V6, Interval, Malformed, Received, Version, parse, parse_signed};
use super::*;
use crate::vrrp::Authentication;

/// The key of the published vectors: 00 01 ... 1f.
fn key() -> Vec<u8> {
    (0..32).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn advert(vip: &str) -> Advertisement {
    Advertisement {
        vrid: 51,
        priority: 200,
        interval: Interval::new(Version::V3, Duration::from_secs(1)).unwrap(),
        addresses: vec![vip.parse().unwrap()],
        auth: Authentication::None,
    }
}

/// Of the draft's appendix, as keepalived's own test has them: the sequence is out of any window.
const SEQUENCE: u64 = 0x6800_0000_8000_0000;
const IPV4: &str = "3133c80100644402c0000264 010100006800000080000000 1b84bc4e8e43892dc6d98448f8ee2265";
const IPV6: &str = "3133c8010064a2e9 fe800000000000000000000000000100 010100006800000080000000 \
                    c8c56146ebfd66ee10ec4d8186461b78";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn published_vectors() {
    let signature = Signature { key: 1, sequence: SEQUENCE };
    for (vector, source, destination, form, vip) in [
        (IPV4, ip("198.51.100.10"), GROUP.into(), ChecksumForm::Message, "192.0.2.100"),
        (IPV6, ip("fe80::10"), ip("fe80::20"), ChecksumForm::PseudoHeader, "fe80::100"),
    ] {
        let packet = sign(&advert(vip), source, destination, form, (signature, &key()));
        assert_eq!(packet, bytes(vector));
        assert!(verify(&packet, source, &key()));
        let expected = Received { advertisement: advert(vip), form, signature: Some(signature) };
        assert_eq!(parse_signed(&packet, source, destination), Ok(expected));
        let expected = packet.len() - SIGNATURE;
        let actual = packet.len();
        assert_eq!(parse(&packet, source, destination), Err(Malformed::TrailingBytes { expected, actual }));
        assert_eq!(signature.seconds(), 0x6800_0000);
    }
}

#[test]
fn any_byte_but_the_checksum_is_covered() {
    for (vector, source) in [(IPV4, ip("198.51.100.10")), (IPV6, ip("fe80::10"))] {
        let good = bytes(vector);
        for at in 0..good.len() {
            let mut packet = good.clone();
            packet[at] ^= 1;
            // Of the first byte the version counts, and the type is none of ours.
            assert_eq!(verify(&packet, source, &key()), at == 6 || at == 7, "byte {at}");
        }
        assert!(!verify(&good, ip("198.51.100.11"), &key()), "the source is covered");
        assert!(!verify(&good, source, &[1; 32]), "another key");
        for end in 0..24 {
            assert!(!verify(&good[..end], source, &key()), "cut at {end}");
        }
    }
}

#[test]
fn something_else_behind_an_advert_is_no_signature() {
    let good = bytes(IPV4);
    for at in [12, 14, 15] {
        let mut packet = good.clone();
        packet[at] ^= 2;
        let error = Malformed::TrailingBytes { expected: 12, actual: 40 };
        assert_eq!(parse_signed(&packet, ip("198.51.100.10"), GROUP), Err(error), "byte {at}");
    }
    let cut = &good[..39];
    assert!(matches!(parse_signed(cut, ip("198.51.100.10"), GROUP), Err(Malformed::TrailingBytes { .. })));
}

#[test]
fn version_2_has_it_behind_its_authentication_data() {
    let second = Interval::new(Version::V2, Duration::from_secs(1)).unwrap();
    let advert = Advertisement { interval: second, ..advert("192.0.2.100") };
    let source = ip("198.51.100.10");
    let signature = Signature { key: 9, sequence: 7 };
    let packet = sign(&advert, source, GROUP.into(), ChecksumForm::Message, (signature, &key()));
    assert_eq!(packet.len(), 8 + 4 + 8 + SIGNATURE);
    let received = parse_signed(&packet, source, GROUP).unwrap();
    assert_eq!((received.advertisement, received.signature), (advert, Some(signature)));
    assert!(verify(&packet, source, &key()));
}

#[test]
fn in_ipv6_the_checksum_covers_the_signature() {
    let source = ip("fe80::10");
    let signature = Signature { key: 1, sequence: 1 };
    let mut packet = sign(&advert("fe80::100"), source, GROUP_V6.into(), ChecksumForm::Message, (signature, &key()));
    assert!(parse_signed(&packet, source, GROUP_V6).is_ok());
    *packet.last_mut().unwrap() ^= 1;
    assert!(matches!(parse_signed(&packet, source, GROUP_V6), Err(Malformed::Checksum(_))));
}
