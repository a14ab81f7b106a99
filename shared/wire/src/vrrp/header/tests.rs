use super::*;

const KEY: [u8; 8] = *b"secret\0\0";

const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

fn multicast() -> Around {
    Around { source: SOURCE, destination: super::super::GROUP, ttl: 255, identification: 7 }
}

fn unicast() -> Around {
    Around { destination: PEER, ..multicast() }
}

#[test]
fn what_is_sealed_opens() {
    for around in [multicast(), unicast()] {
        let packet = seal(&KEY, &around, 41, b"an advert");
        assert_eq!(packet[..12], [112, 4, 0, 0, 10, 77, 0, 1, 0, 0, 0, 41]);
        assert_eq!(packet.len(), LENGTH + 9);
        assert_eq!(open(&KEY, &around, &packet), Ok((41, &b"an advert"[..])));
        assert_eq!(vrid(&packet), Some(b'n'));
    }
}

#[test]
fn all_that_is_covered_is_noticed() {
    for around in [multicast(), unicast()] {
        let good = seal(&KEY, &around, 41, b"an advert");
        for at in 0..good.len() {
            let mut packet = good.clone();
            packet[at] ^= 1;
            let expected = match at {
                0 => Broken::NextHeader(113),
                1 => Broken::Words(5),
                _ => Broken::Digest,
            };
            assert_eq!(open(&KEY, &around, &packet), Err(expected), "byte {at}");
        }
        for other in [
            Around { source: PEER, ..around },
            Around { destination: SOURCE, ..around },
            Around { identification: 8, ..around },
        ] {
            assert_eq!(open(&KEY, &other, &good), Err(Broken::Digest), "{other:?}");
        }
        assert_eq!(open(b"Secret\0\0", &around, &good), Err(Broken::Digest));
    }
}

/// A peer may be some hops away; a group is not.
#[test]
fn the_ttl_is_covered_for_a_group_only() {
    let hop = |around: Around| Around { ttl: 254, ..around };
    assert!(open(&KEY, &hop(unicast()), &seal(&KEY, &unicast(), 1, b"x")).is_ok());
    assert_eq!(open(&KEY, &hop(multicast()), &seal(&KEY, &multicast(), 1, b"x")), Err(Broken::Digest));
}

#[test]
fn a_cut_header_is_too_short_at_every_length() {
    let good = seal(&KEY, &multicast(), 41, b"");
    for end in 0..LENGTH {
        assert_eq!(open(&KEY, &multicast(), &good[..end]), Err(Broken::Length(end)));
    }
    let long = vec![0; 65_516];
    assert_eq!(open(&KEY, &multicast(), &long), Err(Broken::Length(65_516)));
}

/// Another source than the one that signed: only whoever has the key can make such a packet.
#[test]
fn the_index_is_the_source() {
    let around = multicast();
    let mut packet = seal(&KEY, &around, 41, b"x");
    packet[4..8].copy_from_slice(&PEER.octets());
    packet[DIGEST..LENGTH].fill(0);
    let digest = digest(&KEY, &around, &packet).finalize().into_bytes();
    packet[DIGEST..LENGTH].copy_from_slice(&digest[..12]);
    assert_eq!(open(&KEY, &around, &packet), Err(Broken::Index(PEER)));
}
