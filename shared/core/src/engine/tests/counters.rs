//! What routers count, and what is told of them when somebody asks.

use mesh_config::model::{Password, Version};
use mesh_wire::vrrp::{Advertisement, Authentication, ChecksumForm, GROUP, Interval, Version as WireVersion, emit};

use super::adverts::multicast;
use super::*;
use crate::counters::Counters;
use crate::input::Datagram;
use crate::vrrp::Heard;

const SECOND: Duration = Duration::from_secs(1);

/// VI_1 in version 2, with a password where there is one.
fn version_2(auth_pass: Option<Password>) -> VirtualRouter {
    VirtualRouter { version: Version::V2, auth_pass, ..router(200) }
}

fn packet() -> Advertisement {
    let interval = Interval::new(WireVersion::V2, SECOND).unwrap();
    Advertisement { vrid: 51, priority: 100, interval, addresses: vec![VIP], auth: Authentication::None }
}

fn arrives(packet: &Advertisement) -> Datagram {
    let (source, destination) = (source(LB2), GROUP.into());
    let payload = emit(packet, source, destination, ChecksumForm::Message);
    Datagram { interface: "eth0".to_owned(), source, destination, ttl: 255, payload }
}

fn counters(engine: &Engine) -> Counters {
    engine.dump(ms(0)).routers[0].counters
}

/// What a backup counts when this comes in.
fn counted(router: VirtualRouter, datagram: Datagram) -> Counters {
    let mut engine = started(LB1, vec![router], None);
    engine.step(ms(10), Input::Advertisement(datagram));
    counters(&engine)
}

#[test]
fn each_fault_has_a_figure_of_its_own() {
    let none = Counters::default();
    let heard = Counters { received: 1, ..none };
    let pass = |byte| Authentication::Pass([byte; 8]);
    let plain = |datagram| counted(version_2(None), datagram);
    assert_eq!(plain(arrives(&packet())), heard);
    let resigns = Advertisement { priority: 0, ..packet() };
    assert_eq!(plain(arrives(&resigns)), Counters { resignations_received: 1, ..heard });
    assert_eq!(plain(Datagram { ttl: 254, ..arrives(&packet()) }), Counters { ttl_errors: 1, ..none });
    let slow = Advertisement { interval: Interval::new(WireVersion::V2, 2 * SECOND).unwrap(), ..packet() };
    assert_eq!(plain(arrives(&slow)), Counters { interval_errors: 1, ..none });
    let other = Advertisement { addresses: vec!["10.1.1.81".parse().unwrap()], ..packet() };
    assert_eq!(plain(arrives(&other)), Counters { address_list_errors: 1, ..heard });
    let nothing = Advertisement { addresses: Vec::new(), ..packet() };
    assert_eq!(plain(arrives(&nothing)), Counters { address_list_errors: 1, ..none });
    let signed = Advertisement { auth: pass(1), ..packet() };
    assert_eq!(plain(arrives(&signed)), Counters { authentication_mismatches: 1, ..none });
    let guarded = |datagram| counted(version_2(Some(Password([2; 8]))), datagram);
    assert_eq!(guarded(arrives(&packet())), Counters { authentication_mismatches: 1, ..none });
    assert_eq!(guarded(arrives(&signed)), Counters { authentication_failures: 1, ..none });
    assert_eq!(guarded(arrives(&Advertisement { auth: pass(2), ..packet() })), heard);
    let third = Advertisement { interval: Interval::new(WireVersion::V3, SECOND).unwrap(), ..packet() };
    assert_eq!(plain(arrives(&third)), none, "keepalived has no figure for another version");
}

#[test]
fn what_proves_nothing_is_a_failure_and_another_kind_of_proof_a_mismatch() {
    use crate::vrrp;
    use mesh_config::model::{AntiReplay, AuthHmac, HmacKey, HmacMode};
    let none = Counters::default();
    let header = VirtualRouter { auth_header: true, ..version_2(Some(Password::new(b"secret"))) };
    let sealed = |byte: usize, change: u8| {
        let advert = Advertisement { auth: Authentication::Header, ..packet() };
        let ends = (source(LB2), GROUP.into());
        let (envelope, mut payload) = vrrp::packet(&header, &advert, ends, ChecksumForm::Message, Some(7));
        payload[byte] ^= change;
        Input::SealedAdvertisement {
            identification: envelope.sealed.unwrap(),
            datagram: Datagram { payload, ..arrives(&advert) },
        }
    };
    let after = |router: &VirtualRouter, inputs: Vec<Input>| {
        let mut engine = started(LB1, vec![router.clone()], None);
        inputs.into_iter().for_each(|input| drop(engine.step(ms(10), input)));
        counters(&engine)
    };
    let failed = Counters { authentication_failures: 1, ..none };
    let other = Counters { authentication_mismatches: 1, ..none };
    assert_eq!(after(&header, vec![sealed(0, 0)]), Counters { received: 1, ..none });
    assert_eq!(after(&header, vec![sealed(12, 1)]), failed, "the digest");
    assert_eq!(after(&header, vec![sealed(0, 0), sealed(0, 0)]), Counters { received: 1, ..failed });
    assert_eq!(after(&header, vec![Input::Advertisement(arrives(&packet()))]), other);
    assert_eq!(after(&version_2(None), vec![sealed(0, 0)]), other);

    let hmac = |key: &str| AuthHmac {
        keys: [(1, HmacKey::read(&key.repeat(32)).unwrap())].into(),
        active: 1,
        anti_replay: AntiReplay::Monotonic,
        mode: HmacMode::Enforce,
    };
    let signs = |key: &str| VirtualRouter { auth_hmac: Some(hmac(key)), ..version_2(None) };
    let signed = |key: &str| {
        let ends = (source(LB2), GROUP.into());
        let (_, payload) = vrrp::packet(&signs(key), &packet(), ends, ChecksumForm::Message, Some(7));
        Input::Advertisement(Datagram { payload, ..arrives(&packet()) })
    };
    assert_eq!(after(&signs("a"), vec![signed("a")]), Counters { received: 1, ..none });
    assert_eq!(after(&signs("a"), vec![signed("b")]), failed);
    assert_eq!(after(&signs("a"), vec![Input::Advertisement(arrives(&packet()))]), other);
    assert_eq!(after(&version_2(None), vec![signed("a")]), other);
}

#[test]
fn what_is_no_advert_counts_for_the_router_it_names() {
    let none = Counters::default();
    let changed = |at: usize, byte: u8| {
        let mut datagram = arrives(&packet());
        datagram.payload[at] = byte;
        counted(version_2(None), datagram)
    };
    assert_eq!(changed(0, 0x22), Counters { invalid_types: 1, ..none });
    assert_eq!(changed(3, 9), Counters { length_errors: 1, ..none });
    assert_eq!(changed(3, 0), none, "no address can be meant, and keepalived has no figure for its checksum");
    let mut long = arrives(&packet());
    long.payload.push(1);
    assert_eq!(counted(version_2(None), long), Counters { length_errors: 1, ..none });
    let empty = arrives(&Advertisement { addresses: Vec::new(), ..packet() });
    assert_eq!(counted(version_2(None), empty), Counters { address_list_errors: 1, ..none });
    assert_eq!(changed(1, 52), none, "another router's");
    let short = Datagram { payload: vec![0x21, 51, 100], ..arrives(&packet()) };
    assert_eq!(counted(version_2(None), short), Counters { length_errors: 1, ..none });
}

#[test]
fn changes_of_state_and_adverts_are_counted_over_a_new_configuration_until_cleared() {
    let mut engine = plain_active();
    assert_eq!(counters(&engine), Counters { sent: 1, became_active: 1, ..Counters::default() });
    wait(&mut engine, CLAIM + 3 * SECOND);
    engine.step(ms(7000), multicast(LB2, 201));
    let once = Counters { received: 1, sent: 4, became_active: 1, released_active: 1, ..Counters::default() };
    assert_eq!(counters(&engine), once);
    let changed = VirtualRouter { preempt: false, ..router(200) };
    engine.step(ms(7001), Input::Configure(Box::new(config(vec![changed]))));
    assert_eq!(counters(&engine), once, "the router is the same, whatever is new about it");
    engine.step(ms(7002), Input::ClearCounters);
    assert_eq!(counters(&engine), Counters::default());
    wait(&mut engine, ms(11_000));
    engine.step(ms(11_000), Input::Shutdown);
    let end = counters(&engine);
    assert_eq!((end.became_active, end.released_active, end.resignations_sent), (1, 1, 1));
}

#[test]
fn a_backup_tells_whom_it_heard_and_when_it_would_act() {
    let mut engine = started(LB1, vec![router(200)], None);
    engine.step(ms(100), multicast(LB2, 250));
    let router = engine.dump(ms(200)).routers.remove(0);
    assert_eq!(router.heard, Some(Heard { source: source(LB2), priority: 250, interval: SECOND }));
    assert_eq!(router.down_interval, Duration::from_micros(3_218_750));
    let start = Duration::from_secs(1_800_000_000);
    assert_eq!(router.due, Some(start + Duration::from_micros(3_318_750)));
    assert_eq!((router.changed, router.fault, router.source), (start, None, Some(source(LB1))));
    let mut active = plain_active();
    active.step(ms(4000), multicast(LB2, 100));
    assert_eq!(active.dump(ms(4000)).routers[0].heard, None, "nobody else is active");
}
