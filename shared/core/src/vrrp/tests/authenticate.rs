//! Numbers that grow, windows, and the checksum that is sent.

use std::collections::BTreeMap;

use mesh_config::model::{
    AntiReplay, AuthHmac, ChecksumChoice, Conduct, HmacKey, HmacMode, OldUnicast, Password, Transport,
};
use mesh_wire::vrrp::{Advertisement, Authentication, ChecksumForm, Envelope, GROUP, Interval, Received, Signature};
use mesh_wire::vrrp::{header, parse_signed};

use super::*;

const CLOCK: Duration = Duration::from_secs(1_800_000_000);

fn header_router() -> VirtualRouter {
    let (auth_pass, version) = (Some(Password::new(b"secret")), Version::V2);
    VirtualRouter { auth_pass, auth_header: true, version, ..router(100) }
}

fn signed_router(anti_replay: AntiReplay) -> VirtualRouter {
    let keys = BTreeMap::from([(1, HmacKey::read(&"k".repeat(32)).unwrap())]);
    VirtualRouter { auth_hmac: Some(AuthHmac { keys, active: 1, anti_replay, mode: HmacMode::Enforce }), ..router(100) }
}

fn advert(version: mesh_wire::vrrp::Version) -> Advertisement {
    Advertisement {
        vrid: 51,
        priority: 100,
        interval: Interval::new(version, Duration::from_secs(1)).unwrap(),
        addresses: vec![crate::fixture::VIP],
        auth: Authentication::None,
    }
}

/// A sender of which only the number matters.
fn from(guard: &mut Guard, router: &VirtualRouter, source: IpAddr, number: u32) -> Result<(), Forged> {
    let received =
        Received { advertisement: advert(mesh_wire::vrrp::Version::V2), form: ChecksumForm::Message, signature: None };
    guard.judge(router, CLOCK, &Sealed { source, payload: &[], header: Some(number), received: &received })
}

/// Signed by the router itself, with this number.
fn signed(guard: &mut Guard, router: &VirtualRouter, clock: Duration, number: u64) -> Result<(), Forged> {
    let destination = GROUP.into();
    let advert = advert(mesh_wire::vrrp::Version::V3);
    let (_, payload) = packet(router, &advert, (HIGHER, destination), ChecksumForm::PseudoHeader, Some(number));
    let received = parse_signed(&payload, HIGHER, destination).unwrap();
    guard.judge(router, clock, &Sealed { source: HIGHER, payload: &payload, header: None, received: &received })
}

#[test]
fn header_numbers_begin_with_the_clock_and_follow_who_is_ahead() {
    let (router, mut guard) = (header_router(), Guard::default());
    assert_eq!(guard.next(&router, CLOCK), Some(1_800_000_001));
    assert_eq!(guard.next(&router, Duration::ZERO), Some(1_800_000_002), "whatever the clock says later");
    from(&mut guard, &router, HIGHER, 2_000_000_000).unwrap();
    assert_eq!(guard.next(&router, CLOCK), Some(2_000_000_001), "keepalived drops what is not above its own");
    from(&mut guard, &router, HIGHER, u32::MAX).unwrap();
    assert_eq!(guard.next(&router, CLOCK), Some(u32::MAX.into()), "it does not run over");
}

#[test]
fn each_sender_has_its_own_numbers_and_none_comes_twice() {
    let (router, mut guard) = (header_router(), Guard::default());
    assert_eq!(from(&mut guard, &router, HIGHER, 5), Ok(()));
    assert_eq!(from(&mut guard, &router, HIGHER, 5), Err(Forged::Replayed));
    assert_eq!(from(&mut guard, &router, HIGHER, 4), Err(Forged::Replayed));
    assert_eq!(from(&mut guard, &router, LOWER, 1), Ok(()), "a keepalived that has just started");
    assert_eq!(from(&mut guard, &router, HIGHER, 6), Ok(()));
}

#[test]
fn the_sender_that_was_silent_longest_makes_room() {
    let (router, mut guard) = (header_router(), Guard::default());
    let sender = |n: u8| IpAddr::from([10, 1, 2, n]);
    (0..16).for_each(|n| from(&mut guard, &router, sender(n), 9).unwrap());
    from(&mut guard, &router, sender(0), 10).unwrap();
    from(&mut guard, &router, sender(16), 9).unwrap();
    assert_eq!(from(&mut guard, &router, sender(0), 10), Err(Forged::Replayed), "remembered");
    assert_eq!(from(&mut guard, &router, sender(1), 9), Ok(()), "forgotten");
}

#[test]
fn signature_numbers_are_the_clock_and_always_grow() {
    let (router, mut guard) = (signed_router(AntiReplay::Time(Duration::from_secs(5))), Guard::default());
    let half = Duration::from_millis(500);
    let first = 1_800_000_000 << 32 | 0x8000_0000;
    assert_eq!(guard.next(&router, CLOCK + half), Some(first));
    assert_eq!(guard.next(&router, CLOCK + half), Some(first + 1), "twice within a tick");
    assert_eq!(guard.next(&router, CLOCK - Duration::from_secs(4)), Some(first + 2), "set back a little");
    let back = CLOCK - Duration::from_secs(60);
    assert_eq!(guard.next(&router, back), Some(1_799_999_940 << 32), "set back so far that nobody would hear it");
    let monotonic = signed_router(AntiReplay::Monotonic);
    let mut guard = Guard::default();
    guard.next(&monotonic, CLOCK + half);
    assert_eq!(guard.next(&monotonic, back), Some(first + 1), "growth is all there is");
}

#[test]
fn a_sender_whose_clock_was_set_back_is_heard_when_the_window_is_over() {
    let (router, mut guard) = (signed_router(AntiReplay::Time(Duration::from_secs(5))), Guard::default());
    let at = |seconds: u64| (1_800_000_000 + seconds) << 32;
    assert_eq!(signed(&mut guard, &router, CLOCK, at(5)), Ok(()));
    assert_eq!(signed(&mut guard, &router, CLOCK, at(4)), Err(Forged::Replayed));
    assert_eq!(signed(&mut guard, &router, CLOCK + Duration::from_secs(10), at(5)), Err(Forged::Replayed));
    assert_eq!(signed(&mut guard, &router, CLOCK + Duration::from_secs(11), at(6)), Ok(()));
    assert_eq!(signed(&mut guard, &router, CLOCK, at(6)), Err(Forged::Stale));
}

#[test]
fn a_last_word_made_in_advance_has_a_number_above_all_that_follow_until_it_is_made_again() {
    let (router, mut guard) = (header_router(), Guard::default());
    let mut made = Vec::new();
    for _ in 0..48 {
        let ahead = guard.ahead(&router, CLOCK).unwrap();
        let sent = guard.next(&router, CLOCK).unwrap();
        assert!((sent + 16..=sent + 32).contains(&ahead), "{ahead} after {sent}");
        made.push(ahead);
    }
    made.dedup();
    assert_eq!(made, [1_800_000_032, 1_800_000_048, 1_800_000_064], "not for each advert");
    from(&mut guard, &router, HIGHER, u32::MAX - 3).unwrap();
    assert_eq!(
        guard.ahead(&router, CLOCK),
        Some(u32::MAX.into()),
        "it follows who is ahead, and ends where numbers do"
    );
    assert_eq!(guard.ahead(&super::router(1), CLOCK), None);
}

#[test]
fn numbers_may_run_over() {
    let (router, mut guard) = (signed_router(AntiReplay::Monotonic), Guard::default());
    for number in [u64::MAX - 1, u64::MAX, 0, 1] {
        assert_eq!(signed(&mut guard, &router, CLOCK, number), Ok(()), "{number}");
    }
    assert_eq!(signed(&mut guard, &router, CLOCK, u64::MAX), Err(Forged::Replayed));
}

#[test]
fn a_header_is_made_for_each_destination_and_a_number_is_not_needed_without() {
    let router = header_router();
    let advert = advert(mesh_wire::vrrp::Version::V2);
    let (envelope, payload) = packet(&router, &advert, (OWN, GROUP.into()), ChecksumForm::Message, Some(0x10007));
    assert_eq!(envelope, Envelope { ttl: 255, sealed: Some(7) });
    let (IpAddr::V4(source), key) = (OWN, b"secret\0\0") else { unreachable!() };
    let around = header::Around { source, destination: GROUP, ttl: 255, identification: 7 };
    let (number, inner) = header::open(key, &around, &payload).unwrap();
    assert_eq!((number, inner.len()), (0x10007, 20));
    let (envelope, _) = packet(&router, &advert, (OWN, GROUP.into()), ChecksumForm::Message, Some(0x10000));
    assert_eq!(envelope.sealed, Some(1), "0 would be for the kernel to fill in");
    assert_eq!(Guard::default().next(&super::router(1), CLOCK), None);
}

#[test]
fn the_checksum_sent_is_chosen_or_observed() {
    use ChecksumForm::{GroupPseudoHeader, Message, PseudoHeader};
    let with = |checksum, old_unicast_checksum| VirtualRouter {
        conduct: Conduct { checksum, old_unicast_checksum, ..Conduct::default() },
        ..router(100)
    };
    let observed = with(ChecksumChoice::Observed, OldUnicast::Detect);
    assert_eq!(form(&observed, None), PseudoHeader);
    for heard in [PseudoHeader, Message, GroupPseudoHeader] {
        assert_eq!(form(&observed, Some(heard)), heard);
        assert_eq!(form(&with(ChecksumChoice::Message, OldUnicast::Detect), Some(heard)), Message);
        let multicast = with(ChecksumChoice::Observed, OldUnicast::Always);
        let transport = Transport::Unicast { source: None, peers: vec![HIGHER] };
        assert_eq!(form(&VirtualRouter { transport, ..multicast.clone() }, Some(heard)), GroupPseudoHeader);
        assert_eq!(form(&multicast, Some(heard)), heard, "unicast alone had it");
    }
    let never = with(ChecksumChoice::Observed, OldUnicast::Never);
    let received =
        Received { advertisement: advert(mesh_wire::vrrp::Version::V3), form: GroupPseudoHeader, signature: None };
    let sealed = Sealed { source: HIGHER, payload: &[], header: None, received: &received };
    assert_eq!(Guard::default().judge(&never, CLOCK, &sealed), Err(Forged::OldChecksum));
    assert_eq!(Guard::default().judge(&observed, CLOCK, &sealed), Ok(()));
}

#[test]
fn unicast_adverts_have_the_ttl_that_is_configured() {
    let conduct = Conduct { unicast_ttl: 9, ..Conduct::default() };
    let unicast =
        VirtualRouter { transport: Transport::Unicast { source: None, peers: vec![HIGHER] }, conduct, ..router(100) };
    let ttl = |destination| {
        let advert = advert(mesh_wire::vrrp::Version::V3);
        packet(&unicast, &advert, (OWN, destination), ChecksumForm::PseudoHeader, None).0.ttl
    };
    assert_eq!((ttl(HIGHER), ttl(GROUP.into())), (9, 255));
    assert!(matches!(Signature { key: 1, sequence: 7 << 32 }.seconds(), 7));
}
