//! Adverts with every field wrong in turn: dropped, counted by reason, told at a bounded rate.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_config::model::{AntiReplay, AuthHmac, HmacKey, HmacMode, Password, Transport, Version, VirtualRouter};
use mesh_conformance::*;
use mesh_core::input::Datagram;
use mesh_core::{Action, Decision, Input};
use mesh_wire::vrrp::header::{self, Around};
use mesh_wire::vrrp::signature::{self, Signature};
use mesh_wire::vrrp::{self, Authentication, ChecksumForm, GROUP};

/// Each packet a hundred times within a second: none moves the timer, each reason is counted and told once.
fn refused(router: VirtualRouter, cases: Vec<(&str, Input)>) {
    for (reason, input) in cases {
        let mut host = Host::new(router.clone());
        let before = host.deadline();
        let mut told = 0;
        for n in 0..100 {
            host.step(ms(100 + n), input.clone());
            let dropped = |a: &&Action| matches!(a, Action::Record(Decision::Dropped { .. }));
            told += host.actions.iter().filter(dropped).count();
        }
        assert_eq!(host.deadline(), before, "{reason}");
        assert_eq!(host.drops(), [(format!("10.1.1.12: {reason}"), 100)]);
        assert_eq!(told, 1, "{reason}");
    }
}

/// A good packet with some bytes changed.
fn changed(version: Version, at: usize, value: u8) -> Input {
    let good = packet(HIGHER.into(), &advert(version, 200));
    let mut payload = good.payload.clone();
    payload[at] = value;
    Input::Advertisement(Datagram { payload, ..good })
}

/// The same with the checksum right.
fn summed(version: Version, at: usize, value: u8) -> Input {
    let Input::Advertisement(mut datagram) = changed(version, at, value) else { unreachable!() };
    datagram.payload[6..8].fill(0);
    let sum: u32 = datagram.payload.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    datagram.payload[6..8].copy_from_slice(&sum.to_be_bytes());
    Input::Advertisement(datagram)
}

#[test]
fn version_3() {
    let v3 = Version::V3;
    let good = || packet(HIGHER.into(), &advert(v3, 200));
    let cut = |length: usize| Datagram { payload: good().payload[..length].to_vec(), ..good() };
    let longer = || {
        let mut payload = good().payload;
        payload.extend([0, 1]);
        Datagram { payload, ..good() }
    };
    refused(
        router(v3, 150),
        vec![
            ("malformed: version 4", changed(v3, 0, 0x41)),
            (
                "VI_1: other VRRP version than configured",
                Input::Advertisement(packet(HIGHER.into(), &advert(Version::V2, 200))),
            ),
            ("malformed: type 2", changed(v3, 0, 0x32)),
            ("malformed: virtual router identifier 0", changed(v3, 1, 0)),
            ("malformed: 12 bytes where 16 are announced", changed(v3, 3, 2)),
            ("malformed: advertisement interval 0", summed(v3, 5, 0)),
            ("malformed: checksum 0x0000 is wrong", {
                let Input::Advertisement(mut datagram) = changed(v3, 6, 0) else { unreachable!() };
                datagram.payload[7] = 0;
                Input::Advertisement(datagram)
            }),
            ("malformed: 7 bytes, shorter than a VRRP header", Input::Advertisement(cut(7))),
            ("malformed: 11 bytes where 12 are announced", Input::Advertisement(cut(11))),
            ("malformed: 14 bytes where 12 are announced, and the rest is not padding", Input::Advertisement(longer())),
            ("VI_1: TTL or hop limit is not 255", Input::Advertisement(Datagram { ttl: 254, ..good() })),
            ("VI_1: multicast where unicast is configured, or the reverse", {
                let payload = vrrp::emit(&advert(v3, 200), HIGHER, OWN, ChecksumForm::PseudoHeader);
                Input::Advertisement(Datagram { destination: OWN.into(), payload, ..good() })
            }),
        ],
    );
}

#[test]
fn version_2() {
    let v2 = Version::V2;
    let mut pass = advert(v2, 200);
    pass.auth = Authentication::Pass(*b"Secret\0\0");
    refused(
        VirtualRouter { auth_pass: Some(Password::new(b"secret")), ..router(v2, 150) },
        vec![
            ("malformed: authentication type 3", summed(v2, 4, 3)),
            ("VI_1: authentication differs", Input::Advertisement(packet(HIGHER.into(), &advert(v2, 200)))),
            ("VI_1: authentication differs", Input::Advertisement(packet(HIGHER.into(), &pass))),
            ("malformed: advertisement interval 0", summed(v2, 5, 0)),
            ("malformed: 20 bytes where 24 are announced", changed(v2, 3, 2)),
        ],
    );
}

#[test]
fn unicast() {
    let mut router = router(Version::V3, 150);
    router.transport = Transport::Unicast { source: None, peers: vec![HIGHER.into()] };
    router.conduct.peer_ttls = BTreeMap::from([(HIGHER.into(), 254..=255)]);
    let payload = vrrp::emit(&advert(Version::V3, 200), HIGHER, OWN, ChecksumForm::PseudoHeader);
    let good = Datagram { destination: OWN.into(), payload, ..packet(HIGHER.into(), &advert(Version::V3, 200)) };
    refused(
        router.clone(),
        vec![
            (
                "VI_1: TTL or hop limit is not what its sender's has to be",
                Input::Advertisement(Datagram { ttl: 253, ..good.clone() }),
            ),
            (
                "VI_1: multicast where unicast is configured, or the reverse",
                Input::Advertisement(packet(HIGHER.into(), &advert(Version::V3, 200))),
            ),
        ],
    );
    router.transport = Transport::Unicast { source: None, peers: vec![LOWER.into()] };
    router.conduct.check_source = true;
    refused(router, vec![("VI_1: sender is not a unicast peer", Input::Advertisement(good))]);
}

#[test]
fn authentication_header() {
    const KEY: [u8; 8] = *b"secret\0\0";
    let mut inner = advert(Version::V2, 200);
    inner.auth = Authentication::Header;
    let router = VirtualRouter { auth_pass: Some(Password(KEY)), auth_header: true, ..router(Version::V2, 150) };
    let around = Around { source: HIGHER, destination: GROUP, ttl: 255, identification: 7 };
    let sealed = |payload| {
        let datagram = Datagram { payload, ..packet(HIGHER.into(), &inner) };
        Input::SealedAdvertisement { datagram, identification: 7 }
    };
    let message = vrrp::emit(&inner, HIGHER, GROUP, ChecksumForm::Message);
    let good = header::seal(&KEY, &around, 5, &message);
    let spoilt = |at: usize| {
        let mut payload = good.clone();
        payload[at] ^= 1;
        sealed(payload)
    };
    let other = header::seal(b"Secret\0\0", &around, 5, &message);
    refused(
        router.clone(),
        vec![
            ("VI_1: next header 113", spoilt(0)),
            ("VI_1: authentication header of 5 words", spoilt(1)),
            ("VI_1: authentication header with a wrong digest", spoilt(11)),
            ("VI_1: authentication header with a wrong digest", spoilt(40)),
            ("VI_1: authentication header with a wrong digest", sealed(other)),
            ("VI_1: authentication differs", Input::Advertisement(packet(HIGHER.into(), &inner))),
            ("VI_1: authentication differs", Input::Advertisement(packet(HIGHER.into(), &advert(Version::V2, 200)))),
        ],
    );
    // The good one is heard once.
    let mut host = Host::new(router.clone());
    let before = host.deadline();
    host.step(ms(100), sealed(good.clone()));
    assert!(host.deadline() > before && host.drops().is_empty(), "{:?}", host.drops());
    host.step(ms(200), sealed(good.clone()));
    assert_eq!(host.drops(), [("10.1.1.12: VI_1: sequence number was there already".to_owned(), 1)]);
    // Without one configured it is nobody's.
    let plain = VirtualRouter { auth_pass: None, auth_header: false, ..router };
    refused(plain, vec![("VI_1: authentication differs", sealed(good))]);
}

#[test]
fn signatures() {
    let key: Vec<u8> = (0..32).collect();
    let text = "hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let hmac = |mode, anti_replay| AuthHmac {
        keys: BTreeMap::from([(1, HmacKey::read(text).unwrap())]),
        active: 1,
        anti_replay,
        mode,
    };
    let window = AntiReplay::Time(Duration::from_secs(5));
    let with = |hmac| VirtualRouter { auth_hmac: Some(hmac), ..router(Version::V3, 150) };
    let signed = |id: u8, key: &[u8], seconds: u64, count: u64| {
        let signature = Signature { key: id, sequence: seconds << 32 | count };
        let destination = GROUP.into();
        let payload = signature::sign(
            &advert(Version::V3, 200),
            HIGHER.into(),
            destination,
            ChecksumForm::PseudoHeader,
            (signature, key),
        );
        Input::Advertisement(Datagram { payload, ..packet(HIGHER.into(), &advert(Version::V3, 200)) })
    };
    // What the wall clock reads at the zero of the other one.
    const ZERO: u64 = 1_800_000_000;
    refused(
        with(hmac(HmacMode::Enforce, window)),
        vec![
            ("VI_1: not signed", Input::Advertisement(packet(HIGHER.into(), &advert(Version::V3, 200)))),
            ("VI_1: signed with an unknown key", signed(2, &key, ZERO, 0)),
            ("VI_1: wrong signature", signed(1, &[1; 32], ZERO, 0)),
            ("VI_1: signature out of the time window", signed(1, &key, ZERO - 6, 0)),
            ("VI_1: signature out of the time window", signed(1, &key, ZERO + 6, 0)),
        ],
    );
    let plain = router(Version::V3, 150);
    refused(plain, vec![("VI_1: signed, and no `auth_hmac` is configured", signed(1, &key, ZERO, 0))]);
    for (mode, unsigned) in [(HmacMode::Enforce, false), (HmacMode::Permissive, true), (HmacMode::ReceiveOnly, true)] {
        let mut host = Host::new(with(hmac(mode, window)));
        let before = host.deadline();
        host.step(ms(100), signed(1, &key, ZERO + 3, 1));
        let heard = host.deadline();
        assert!(heard > before && host.drops().is_empty(), "{:?}", host.drops());
        host.step(ms(200), signed(1, &key, ZERO + 3, 1));
        assert_eq!(host.drops(), [("10.1.1.12: VI_1: sequence number was there already".to_owned(), 1)]);
        host.step(ms(300), signed(1, &key, ZERO + 3, 2));
        assert!(host.deadline() > heard, "it grew");
        let heard = host.deadline();
        host.hears(ms(400), HIGHER, &advert(Version::V3, 200));
        assert_eq!(host.deadline() > heard, unsigned, "{mode:?}");
    }
    // What is sent is signed, with a number that grows, and accepted by the like; not by who only receives.
    let (mut host, at) = Host::active(with(hmac(HmacMode::Enforce, window)));
    let first = host.sent().remove(0);
    assert!(signature::verify(&first.payload, OWN.into(), &key));
    let number = |sent: &Sent| vrrp::parse_signed(&sent.payload, sent.source, sent.destination).unwrap().signature;
    let told = number(&first).unwrap();
    assert_eq!(u64::from(told.seconds()), ZERO + 3, "the clock, 3.4 s after the start");
    host.step(at + Duration::from_secs(1), Input::Timeout);
    assert!(number(&host.sent()[0]).unwrap().sequence > told.sequence);
    let (host, _) = Host::active(with(hmac(HmacMode::ReceiveOnly, window)));
    assert_eq!(number(&host.sent()[0]), None);
    // Without clocks, only growth counts.
    let mut host = Host::new(with(hmac(HmacMode::Enforce, AntiReplay::Monotonic)));
    host.step(ms(100), signed(1, &key, 10, 0));
    host.step(ms(200), signed(1, &key, 9, 0));
    assert_eq!(host.drops(), [("10.1.1.12: VI_1: sequence number was there already".to_owned(), 1)]);
}
