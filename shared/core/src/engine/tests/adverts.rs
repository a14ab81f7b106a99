//! What is heard on the segment.

use mesh_wire::vrrp::GROUP;

use super::actions::*;
use super::*;
use crate::input::Datagram;

/// An advertisement of VI_1, as it arrives.
pub(super) fn multicast(from: NodeId, priority: u8) -> Input {
    Input::Advertisement(Datagram {
        interface: "eth0".to_owned(),
        source: source(from),
        destination: GROUP.into(),
        ttl: 255,
        payload: advert_bytes(from, priority),
    })
}

pub(super) fn dropped(from: NodeId, reason: &str, count: u64) -> Action {
    Action::Record(Decision::Dropped { from: source(from).to_string(), reason: reason.to_owned(), count })
}

fn garbage(n: u8) -> Input {
    Input::Advertisement(Datagram {
        interface: "eth0".to_owned(),
        source: source(LB2),
        destination: GROUP.into(),
        ttl: 255,
        payload: vec![0x31, 51, n],
    })
}

#[test]
fn without_a_mesh_the_worthier_router_decides() {
    let mut engine = plain_active();
    let cause = "a router with a higher priority is active";
    let expected = [del(), told(RouterEvent::Backup, cause)];
    assert_eq!(plain(engine.step(ms(4000), multicast(LB2, 201))), expected, "no resignation: the other is there");
    assert_eq!(plain(engine.step(ms(5000), multicast(LB2, 201))), []);
    assert_eq!(engine.instances[&KEY].vrrp.deadline(), Some(us(5_000_000 + 3_218_750)));
}

#[test]
fn a_less_worthy_router_is_answered_and_hosts_are_told_once_a_second() {
    let mut engine = plain_active();
    assert_eq!(plain(engine.step(ms(3300), multicast(LB2, 199))), [advert(200), garp(1)]);
    assert_eq!(plain(engine.step(ms(3400), multicast(LB2, 199))), [advert(200)]);
    assert_eq!(plain(engine.step(ms(4301), multicast(LB2, 199)))[..2], [advert(200), garp(1)]);
    assert_eq!(plain(engine.step(ms(4302), multicast(LB2, 0))), [advert(200)], "giving up is no rivalry");
}

#[test]
fn preempt_delay_ends_while_a_less_worthy_router_is_active() {
    let delayed = VirtualRouter { preempt_delay: Duration::from_secs(10), ..router(200) };
    let mut engine = started(LB1, vec![delayed], None);
    for second in 1..=14 {
        wait(&mut engine, ms(second * 1000));
        engine.step(ms(second * 1000), multicast(LB2, 100));
    }
    assert!(engine.instances[&KEY].vrrp.is_active());
}

#[test]
fn a_member_cannot_demote_the_holder_of_a_lease() {
    let mut engine = holding();
    engine.step(ms(3300), gossip(&report(LB2, RouterState::Backup, 250, 0), LB2));
    let answer = Action::Announce { interface: "eth0".to_owned(), address: VIP, count: 1 };
    assert_eq!(plain(engine.step(ms(3301), multicast(LB2, 250))), [answer], "hosts may have learnt its MAC address");
    assert_eq!(plain(engine.step(ms(3302), multicast(LB2, 250))), [], "once a second");
    assert!(engine.instances[&KEY].vrrp.is_active());
}

/// Backups heard the resignation, too, and would claim after the skew alone.
#[test]
fn a_member_that_resigns_late_is_answered() {
    let mut engine = holding();
    engine.step(ms(3300), gossip(&report(LB2, RouterState::Backup, 150, 0), LB2));
    assert_eq!(plain(engine.step(ms(3301), multicast(LB2, 0))), [advert(200)]);
}

#[test]
fn a_router_outside_the_mesh_stops_a_claim() {
    let (mut engine, first) = asking();
    let actions = plain(engine.step(ms(3219), multicast(NodeId(9), 250)));
    assert!(matches!(actions[0], Action::SendMessage { message: Message::Release(_), .. }), "{actions:#?}");
    assert_eq!(plain(engine.step(ms(3220), granted(LB2, ms(3220), &first))), []);
    assert!(!engine.instances[&KEY].vrrp.is_active());
}

#[test]
fn a_members_advert_does_not_stop_a_claim() {
    let (mut engine, first) = asking();
    engine.step(ms(3219), gossip(&report(LB2, RouterState::Active, 250, 0), LB2));
    engine.step(ms(3219), multicast(LB2, 250));
    engine.step(ms(3220), granted(LB3, ms(3220), &first));
    assert!(engine.instances[&KEY].vrrp.is_active(), "the voters decide between members");
}

#[test]
fn vacancies_are_left_to_a_worthier_router_outside() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    engine.step(ms(3100), multicast(NodeId(9), 250));
    let vacant =
        mesh_wire::mesh::lease::Vacant { router: KEY, owner: LB2, epoch: 4, released: true, reserved_for: Some(LB1) };
    assert_eq!(plain(engine.step(ms(3110), message(LB2, Message::Vacant(vec![vacant])))), []);
    assert!(engine.instances[&KEY].lease.ballot().is_none());
}

#[test]
fn the_checksum_follows_what_others_send() {
    use mesh_wire::vrrp::{Advertisement, Authentication, ChecksumForm, Interval, Version, emit};
    let packet = Advertisement {
        vrid: 51,
        priority: 10,
        interval: Interval::new(Version::V3, Duration::from_secs(1)).unwrap(),
        addresses: vec![VIP],
        auth: Authentication::None,
    };
    let mut engine = plain_active();
    let payload = emit(&packet, source(LB2), GROUP, ChecksumForm::Message);
    let Input::Advertisement(datagram) = multicast(LB2, 10) else { unreachable!() };
    engine.step(ms(3300), Input::Advertisement(Datagram { payload, ..datagram }));
    assert_eq!(engine.instances[&KEY].checksum, ChecksumForm::Message);
}

#[test]
fn bad_packets_are_counted_and_told_once_a_minute() {
    let mut engine = plain_active();
    let reason = "malformed: 3 bytes, shorter than a VRRP header";
    assert_eq!(plain(engine.step(ms(3300), garbage(0))), [dropped(LB2, reason, 1)]);
    for n in 0..50 {
        assert_eq!(plain(engine.step(ms(3301 + n), garbage(1))), []);
    }
    let actions = plain(engine.step(ms(63_300), garbage(2)));
    assert!(actions.contains(&dropped(LB2, reason, 51)), "{actions:#?}");
    assert_eq!(engine.drops().map(|(_, n)| n).sum::<u64>(), 52);
}

#[test]
fn what_came_together_does_what_one_after_the_other_does() {
    let heard = || vec![multicast(LB2, 199), garbage(0), multicast(LB2, 201), multicast(LB2, 199), garbage(1)];
    for starts in [plain_active, holding] {
        let (mut singly, mut together) = (starts(), starts());
        let actions: Vec<Action> = heard().into_iter().flat_map(|input| singly.step(ms(3300), input)).collect();
        assert!(actions.len() > 2, "{actions:#?}");
        assert_eq!(plain(together.step_all(ms(3300), heard())), plain(actions));
        assert_eq!(together.status(ms(3300)), singly.status(ms(3300)));
        assert_eq!(together.deadline(), singly.deadline());
    }
}

#[test]
fn a_refused_packet_names_router_and_rule() {
    let mut engine = plain_active();
    let Input::Advertisement(datagram) = multicast(LB2, 250) else { unreachable!() };
    let routed = Input::Advertisement(Datagram { ttl: 64, ..datagram });
    assert_eq!(plain(engine.step(ms(3300), routed)), [dropped(LB2, "VI_1: TTL or hop limit is not 255", 1)]);
}

#[test]
fn other_virtual_routers_are_nobodys_business() {
    let mut engine = plain_active();
    let Input::Advertisement(datagram) = multicast(LB2, 250) else { unreachable!() };
    let elsewhere = Input::Advertisement(Datagram { interface: "eth1".to_owned(), ..datagram });
    assert_eq!(plain(engine.step(ms(3300), elsewhere)), []);
    assert_eq!(engine.drops().count(), 0);
}

/// A flood of made-up senders neither fills the memory nor hides what comes after it.
#[test]
fn a_flood_is_bounded() {
    let mut engine = plain_active();
    let mut told = 0;
    for n in 0..5000_u32 {
        let Input::Advertisement(datagram) = garbage(0) else { unreachable!() };
        let source = IpAddr::from(Ipv4Addr::from(0x0a02_0000 + n));
        let actions = engine.step(ms(3300), Input::Advertisement(Datagram { source, ..datagram }));
        told += actions.len();
    }
    assert!(told <= 300, "{told} lines");
    assert!(engine.drops().count() <= 300);
    assert_eq!(engine.drops().map(|(_, n)| n).sum::<u64>(), 5000, "all are counted");
}

#[test]
fn strangers_messages_are_dropped() {
    let mut engine = holding();
    let stranger = NodeId(77);
    let preempt = mesh_wire::mesh::lease::Preempt { router: KEY, priority: 255 };
    let reason = "mesh message from a node that is not in the roster";
    let expected =
        Action::Record(Decision::Dropped { from: stranger.to_string(), reason: reason.to_owned(), count: 1 });
    assert_eq!(plain(engine.step(ms(3300), message(stranger, Message::Preempt(preempt)))), [expected]);
}
