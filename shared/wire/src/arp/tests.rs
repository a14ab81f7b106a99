use super::*;

#[test]
fn announces_as_keepalived_does() {
    let frame = gratuitous_request([0x02, 0, 0, 0, 0, 0x0a], Ipv4Addr::new(10, 77, 0, 100));
    #[rustfmt::skip]
    let expected = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // to everybody
        0x02, 0x00, 0x00, 0x00, 0x00, 0x0a, // from
        0x08, 0x06,                         // ARP
        0x00, 0x01, 0x08, 0x00, 6, 4,       // Ethernet, IPv4
        0x00, 0x01,                         // request
        0x02, 0x00, 0x00, 0x00, 0x00, 0x0a, 10, 77, 0, 100,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 10, 77, 0, 100,
    ];
    assert_eq!(frame, expected);
}

const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0a];
const OTHER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0b];
const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);

#[test]
fn a_probe_comes_from_nobody() {
    let frame = probe(MAC, VIP);
    assert_eq!(frame[..14], gratuitous_request(MAC, VIP)[..14]);
    #[rustfmt::skip]
    let expected = [
        0x00, 0x01, 0x08, 0x00, 6, 4,
        0x00, 0x01, // request
        0x02, 0x00, 0x00, 0x00, 0x00, 0x0a, 0, 0, 0, 0,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 10, 77, 0, 100,
    ];
    assert_eq!(frame[14..], expected);
}

/// An answer to [`probe`], as a host that has the address sends it.
fn answer() -> Vec<u8> {
    let mut frame = gratuitous_request(OTHER, VIP);
    frame[21] = 2;
    frame[32..38].copy_from_slice(&MAC);
    frame[38..42].copy_from_slice(&[0; 4]);
    frame
}

#[test]
fn answers_announcements_and_probes_of_others_show_a_conflict() {
    let seen = |frame: &[u8]| conflict(frame, MAC, &[Ipv4Addr::new(10, 77, 0, 99), VIP]);
    for frame in [answer(), gratuitous_request(OTHER, VIP), probe(OTHER, VIP)] {
        assert_eq!(seen(&frame), Some((VIP, OTHER)), "{frame:x?}");
    }
    for frame in [gratuitous_request(MAC, VIP), probe(MAC, VIP)] {
        assert_eq!(seen(&frame), None, "our own: {frame:x?}");
    }
    let elsewhere = Ipv4Addr::new(10, 77, 0, 1);
    for frame in [gratuitous_request(OTHER, elsewhere), probe(OTHER, elsewhere)] {
        assert_eq!(seen(&frame), None, "another address: {frame:x?}");
    }
    // Who asks for it does not have it.
    let mut asks = probe(OTHER, VIP);
    asks[28..32].copy_from_slice(&[10, 77, 0, 7]);
    assert_eq!(seen(&asks), None);
}

#[test]
fn what_is_no_arp_is_no_conflict() {
    let good = answer();
    for end in 0..42 {
        assert_eq!(conflict(&good[..end], MAC, &[VIP]), None, "cut at {end}");
    }
    for (at, value) in [(12, 0x86), (15, 6), (16, 0x86), (18, 8), (19, 16)] {
        let mut frame = good.clone();
        frame[at] = value;
        assert_eq!(conflict(&frame, MAC, &[VIP]), None, "{value:#x} at {at}");
    }
}
