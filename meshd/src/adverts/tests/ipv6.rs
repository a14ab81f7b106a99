//! IPv6 on the first cable: link-local addresses that need no detection.

use mesh_wire::ndisc;

use super::*;

const GROUP: IpAddr = IpAddr::V6(GROUP_V6);
const WANTED: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x100);

fn v6(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn adverts(lab: &Lab) -> (Adverts, Adverts) {
    let open = |interface: &str, mac, own: &str| {
        ip(&format!("address add {own}/64 dev {interface} nodad"));
        let mut adverts = Adverts::new().unwrap();
        let families = Ears::from([Family::Ipv4, Family::Ipv6]);
        assert!(adverts.open(interface, if_nametoindex(interface).unwrap(), mac, &families).is_empty());
        adverts
    };
    (lab.here(|| open("l0", MAC_HERE, "fe80::a")), lab.there(|| open("r0", MAC_THERE, "fe80::b")))
}

/// A goodbye is sent when the addresses of a virtual MAC address are gone.
#[test]
fn root_an_advert_leaves_an_interface_without_addresses() {
    Lab::run(async |lab| {
        let (here, mut there) = adverts(&lab);
        lab.here(|| ip("-6 address flush dev l0"));
        here.send("l0", v6("fe80::a"), GROUP, Envelope::default(), b"goodbye").unwrap();
        let heard = next(&mut there).await;
        assert_eq!((heard.source, heard.payload), (v6("fe80::a"), b"goodbye".to_vec()));
    });
}

#[test]
fn root_multicast_leaves_as_keepalived_sends_it_and_arrives_whole() {
    Lab::run(async |lab| {
        let (mut here, mut there) = adverts(&lab);
        let capture = lab.there(Capture::new);
        here.send("l0", v6("fe80::a"), GROUP, Envelope::default(), b"advert").unwrap();
        let expected = Datagram {
            interface: "r0".into(),
            source: v6("fe80::a"),
            destination: GROUP,
            ttl: 255,
            payload: b"advert".into(),
        };
        assert_eq!(next(&mut there).await, expected);
        let frame = capture.next(0x86dd, |packet| packet[6] == 112);
        assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 0x12]);
        assert_eq!(frame[6..12], MAC_HERE);
        assert_eq!(frame[14..22], [0x6c, 0, 0, 0, 0, 6, 112, 255], "traffic class 0xC0, length, hop limit");
        assert_eq!(&frame[54..], b"advert");
        nothing(&mut here).await;

        // Both families on one interface, each by its own socket.
        there.send("r0", THERE, super::GROUP, Envelope::default(), b"four").unwrap();
        there.send("r0", v6("fe80::b"), GROUP, Envelope::default(), b"six").unwrap();
        let mut heard = [next(&mut here).await, next(&mut here).await].map(|d| (d.source, d.payload));
        heard.sort();
        assert_eq!(heard, [(THERE, b"four".to_vec()), (v6("fe80::b"), b"six".to_vec())]);
    });
}

#[test]
fn root_unicast_is_told_with_its_hop_limit() {
    Lab::run(async |lab| {
        let (mut here, there) = adverts(&lab);
        there.send("r0", v6("fe80::b"), v6("fe80::a"), Envelope::default(), b"to one").unwrap();
        let heard = next(&mut here).await;
        assert_eq!((heard.source, heard.destination, heard.ttl), (v6("fe80::b"), v6("fe80::a"), 255));
        // What another program sends with the kernel's default.
        let socket = lab.there(|| Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::from(112)))).unwrap();
        let index = lab.there(|| if_nametoindex("r0")).unwrap();
        let to = std::net::SocketAddrV6::new("fe80::a".parse().unwrap(), 0, 0, index);
        lab.there(|| socket.send_to(b"routed", &to.into())).unwrap();
        assert_eq!(next(&mut here).await.ttl, 64);
    });
}

#[test]
fn root_the_longest_advert_arrives_and_a_longer_one_is_dropped_and_counted() {
    Lab::run(async |lab| {
        lab.here(|| ip("link set l0 mtu 9000"));
        lab.there(|| ip("link set r0 mtu 9000"));
        let (mut here, there) = adverts(&lab);
        there.send("r0", v6("fe80::b"), GROUP, Envelope::default(), &[7; 8 + 255 * 16]).unwrap();
        there.send("r0", v6("fe80::b"), GROUP, Envelope::default(), &[8; BUFFER + 1]).unwrap();
        there.send("r0", v6("fe80::b"), GROUP, Envelope::default(), b"good").unwrap();
        assert_eq!(next(&mut here).await.payload, [7; 8 + 255 * 16]);
        assert_eq!(next(&mut here).await.payload, b"good");
        assert_eq!(here.dropped(), 1);
    });
}

#[test]
fn root_an_announcement_is_a_neighbour_advertisement_that_neighbours_learn_from() {
    Lab::run(async |lab| {
        let (mut here, _there) = adverts(&lab);
        let capture = lab.there(Capture::new);
        let is_advert = |packet: &[u8]| packet[6] == 58 && packet[40] == 136;
        lab.there(|| ip("neighbour replace fd77::100 lladdr 02:00:00:00:00:99 dev r0 nud stale"));
        for router in [false, true] {
            lab.here(|| set_forwarding(router));
            lab.here(|| here.announce("l0", WANTED.into(), 2)).unwrap();
            for _ in 0..2 {
                let frame = capture.next(0x86dd, is_advert);
                assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 1]);
                assert_eq!(frame[6..12], MAC_HERE);
                assert_eq!(frame[14..], ndisc::unsolicited_advertisement(MAC_HERE, WANTED, router));
            }
        }
        let output = lab.there(|| Command::new("ip").args(["neighbour", "show", "fd77::100"]).output().unwrap());
        let learnt = String::from_utf8(output.stdout).unwrap();
        assert!(learnt.contains("02:00:00:00:00:0a"), "{learnt}");
    });
}

fn set_forwarding(on: bool) {
    let value = format!("net.ipv6.conf.l0.forwarding={}", u8::from(on));
    assert!(Command::new("sysctl").args(["-qw", &value]).status().unwrap().success());
}

#[test]
fn root_a_closed_fence_keeps_announcements_in() {
    use crate::kernel::fence::{Fence, FenceTarget};
    Lab::run(async |lab| {
        let (mut here, _there) = adverts(&lab);
        let mut fence = lab.here(Fence::probe).unwrap();
        lab.here(|| fence.install(&[FenceTarget::V6(WANTED)], &BTreeSet::new())).unwrap();
        let refused = lab.here(|| here.announce("l0", WANTED.into(), 1)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        let until = crate::clock::now() + LIMIT;
        lab.here(|| fence.arm(&[FenceTarget::V6(WANTED)], until)).unwrap();
        lab.here(|| here.announce("l0", WANTED.into(), 1)).unwrap();
    });
}

#[test]
fn root_a_host_that_has_the_address_answers_a_probe_and_nobody_else() {
    Lab::run(async |lab| {
        let (here, _there) = adverts(&lab);
        let capture = lab.there(Capture::new);
        assert_eq!(probe(&lab, &here, WANTED.into()).await.unwrap(), None);
        // The kernel may still be looking for whoever has the interface's own address.
        let for_wanted = |packet: &[u8]| packet[6] == 58 && packet[40] == 135 && packet[48..64] == WANTED.octets();
        for _ in 0..2 {
            let frame = capture.next(0x86dd, for_wanted);
            assert_eq!(frame, ndisc::probe(MAC_HERE, WANTED));
        }
        lab.there(|| ip("address add fd77::100/64 dev r0 nodad"));
        let answer = probe(&lab, &here, WANTED.into()).await.unwrap();
        assert_eq!(answer, Some(ProbeAnswer { address: WANTED.into(), mac: MAC_THERE }));
        // One of each family in one look.
        let both = [("l0".to_owned(), super::WANTED.into()), ("l0".to_owned(), WANTED.into())];
        let answer = lab.here(|| here.probe(&both)).unwrap().await.unwrap();
        assert_eq!(answer.map(|a| a.address), Some(WANTED.into()));
    });
}

#[test]
fn root_two_that_probe_at_once_stop_each_other() {
    Lab::run(async |lab| {
        let (here, there) = adverts(&lab);
        let rival = lab.there(|| there.probe(&[("r0".to_owned(), WANTED.into())])).unwrap();
        let (ours, theirs) = tokio::join!(probe(&lab, &here, WANTED.into()), rival);
        let answers = [ours.unwrap().map(|a| a.mac), theirs.unwrap().map(|a| a.mac)];
        assert_eq!(answers, [Some(MAC_THERE), Some(MAC_HERE)]);
    });
}

#[test]
fn root_without_ipv6_on_an_interface_ipv4_goes_on() {
    Lab::run(async |lab| {
        let (mut here, mut there) = lab.adverts();
        let bad = Ears::from([Family::Ipv4, Family::Ipv6]);
        assert!(here.open("l0", 0, MAC_HERE, &bad).contains_key(&Family::Ipv6));
        lab.here(|| open(&mut here, "l0", MAC_HERE)).unwrap();
        let error = here.send("l0", v6("fe80::a"), GROUP, Envelope::default(), b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("IPv6"), "{error}");
        here.send("l0", HERE, super::GROUP, Envelope::default(), b"four").unwrap();
        assert_eq!(next(&mut there).await.payload, b"four");
    });
}
