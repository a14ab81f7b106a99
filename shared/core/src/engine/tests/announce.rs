//! The pace of announcements, what is said again, and how others are answered.

use mesh_config::model::{Conduct, GarpGroup, GratuitousArp, Pace, VirtualAddress, Vmac, VrrpSettings};
use mesh_wire::mesh::Family;

use super::actions::*;
use super::adverts::{dropped, multicast};
use super::*;
use crate::input::Datagram;

fn at(millis: u64) -> Instant {
    CLAIM + Duration::from_millis(millis)
}

fn garp_at(interface: &str, address: &str) -> Action {
    Action::Announce { interface: interface.to_owned(), address: address.parse().unwrap(), count: 1 }
}

fn announced(actions: &[Action]) -> Vec<Action> {
    actions.iter().filter(|a| matches!(a, Action::Announce { .. })).cloned().collect()
}

fn paced(vrrp: VrrpSettings, router: VirtualRouter) -> Engine {
    let config = Config { vrrp, ..config(vec![router]) };
    let mut engine = Engine::new(setup(LB1, None), config, Instant::default());
    engine.step(Instant::default(), Input::Interface(eth0(LB1)));
    for name in ["eth1", "eth2"] {
        engine.step(Instant::default(), Input::Interface(Interface { name: name.to_owned(), ..eth0(LB1) }));
    }
    engine
}

fn pace(millis: u64) -> Pace {
    Pace { garp: Duration::from_millis(millis), gna: Duration::ZERO }
}

fn two_addresses() -> VirtualRouter {
    let garp = GratuitousArp { repeat: 2, delay: Duration::ZERO, ..GratuitousArp::default() };
    VirtualRouter { addresses: vec![vip("10.1.1.80/24"), vip("10.1.1.81/24")], garp, ..router(200) }
}

#[test]
fn a_pace_lets_one_packet_go_at_a_time() {
    let mut engine = paced(VrrpSettings { pace: pace(20), ..VrrpSettings::default() }, two_addresses());
    let mut seen = vec![announced(&engine.step(CLAIM, Input::Timeout))];
    for _ in 0..3 {
        let (due, kind) = engine.work_due().unwrap();
        assert_eq!(kind, TimerKind::Announce);
        seen.push(announced(&engine.step(due, Input::Timeout)));
    }
    let [one, two] = ["10.1.1.80", "10.1.1.81"].map(|a| vec![garp_at("eth0", a)]);
    assert_eq!(seen, [one.clone(), two.clone(), one, two]);
    assert_eq!(engine.work_due(), Some((at(1000), TimerKind::Vrrp)), "nothing waits any more");
}

#[test]
fn what_is_late_is_caught_up_for_but_idle_time_is_not_saved() {
    let fast = Pace { garp: Duration::from_micros(100), gna: Duration::ZERO };
    let mut engine = paced(VrrpSettings { pace: fast, ..VrrpSettings::default() }, two_addresses());
    assert_eq!(announced(&engine.step(CLAIM, Input::Timeout)).len(), 1, "idle for seconds");
    assert_eq!(announced(&engine.step(at(1), Input::Timeout)).len(), 3);
    let slow = VrrpSettings { pace: pace(1), ..VrrpSettings::default() };
    let mut engine = paced(slow, two_addresses());
    assert_eq!(announced(&engine.step(CLAIM, Input::Timeout)).len(), 1);
    assert_eq!(announced(&engine.step(at(3), Input::Timeout)).len(), 3, "three are due");
}

#[test]
fn interfaces_of_a_group_share_its_pace_and_others_have_their_own() {
    let mut router = two_addresses();
    router.garp.repeat = 1;
    router.addresses[1].interface = Some("eth1".to_owned());
    router.excluded_addresses = vec![VirtualAddress { interface: Some("eth2".to_owned()), ..vip("10.1.1.82/24") }];
    let group = GarpGroup { interfaces: vec!["eth0".to_owned(), "eth1".to_owned()], pace: pace(50) };
    let settings = VrrpSettings { pace: pace(10), garp_groups: vec![group], ..VrrpSettings::default() };
    let mut engine = paced(settings, router);
    let first = announced(&engine.step(CLAIM, Input::Timeout));
    assert_eq!(first, [garp_at("eth0", "10.1.1.80"), garp_at("eth2", "10.1.1.82")]);
    assert_eq!(engine.work_due(), Some((at(50), TimerKind::Announce)));
    assert_eq!(announced(&engine.step(at(50), Input::Timeout)), [garp_at("eth1", "10.1.1.81")]);
}

#[test]
fn who_yields_announces_nothing_any_more() {
    let mut engine = paced(VrrpSettings { pace: pace(20), ..VrrpSettings::default() }, two_addresses());
    engine.step(CLAIM, Input::Timeout);
    assert!(announced(&engine.step(at(5), multicast(LB2, 201))).is_empty());
    assert!(announced(&engine.step(at(500), Input::Timeout)).is_empty());
    assert!(engine.pacer.deadline().is_none());
}

#[test]
fn addresses_on_other_interfaces_are_announced_again_and_again() {
    let mut router = two_addresses();
    router.addresses[1].interface = Some("eth1".to_owned());
    router.garp = GratuitousArp { extra: Duration::from_secs(30), extra_all: true, ..router.garp };
    let mut engine = paced(VrrpSettings::default(), router.clone());
    engine.step(CLAIM, Input::Timeout);
    let mut times = Vec::new();
    while let Some((due, _)) = engine.work_due().filter(|(due, _)| *due <= at(61_000)) {
        let actions = announced(&engine.step(due, Input::Timeout));
        times.extend(actions.iter().map(|action| (due, action.clone())));
    }
    let extra = garp_at("eth1", "10.1.1.81");
    assert_eq!(times, [(at(30_000), extra.clone()), (at(60_000), extra)]);
    router.garp.extra_all = false;
    let mut engine = paced(VrrpSettings::default(), router.clone());
    engine.step(CLAIM, Input::Timeout);
    assert_eq!(engine.instances[&KEY].extra_at, None, "for virtual MAC addresses only");
    // One address behind a virtual MAC of its own, the other with that of the adverts.
    let vmac = |base: &str, name: &str| Vmac { name: name.to_owned(), ..Vmac::new(base, Family::Ipv4, KEY.vrid) };
    router.vmac = Some(vmac("eth0", "vrrp.51"));
    router.vmac_addresses = true;
    router.address_vmacs = vec![vmac("eth1", "vrrp1.51")];
    let mut engine = paced(VrrpSettings::default(), router.clone());
    let elsewhere = |engine: &Engine| super::super::announce::elsewhere(&engine.instances[&KEY]);
    let second = ("vrrp1.51".to_owned(), "10.1.1.81".parse().unwrap());
    assert_eq!(elsewhere(&engine), std::slice::from_ref(&second));
    // Switches do not hear the first one's either where adverts leave below it.
    router.vmac_transmit_base = true;
    engine = paced(VrrpSettings::default(), router);
    assert_eq!(elsewhere(&engine), [("vrrp.51".to_owned(), "10.1.1.80".parse().unwrap()), second]);
}

fn answering(garp: GratuitousArp, conduct: Conduct) -> Engine {
    let mut engine = started(LB1, vec![VirtualRouter { garp, conduct, ..router(200) }], None);
    engine.step(CLAIM, Input::Timeout);
    engine
}

#[test]
fn a_less_worthy_router_is_answered_as_configured() {
    let garp = GratuitousArp {
        lower_prio_repeat: 3,
        lower_prio_delay: Duration::from_secs(2),
        delay: Duration::ZERO,
        ..GratuitousArp::default()
    };
    let mut engine = answering(garp, Conduct::default());
    assert_eq!(plain(engine.step(at(100), multicast(LB2, 100))), [advert(200), burst(3)]);
    wait(&mut engine, at(2099));
    assert!(plain(engine.step(at(2100), Input::Timeout)).contains(&burst(3)), "and again");
    let none = GratuitousArp { lower_prio_repeat: 0, ..garp };
    let mut engine = answering(none, Conduct::default());
    assert_eq!(plain(engine.step(at(100), multicast(LB2, 100))), [advert(200)]);
    let silent = Conduct { lower_prio_no_advert: true, ..Conduct::default() };
    let mut engine = answering(garp, silent);
    assert_eq!(plain(engine.step(at(100), multicast(LB2, 100))), [burst(3)], "hosts are told all the same");
}

fn burst(count: u32) -> Action {
    garp(count)
}

#[test]
fn a_last_advert_before_a_worthier_router_gets_its_way() {
    let conduct = Conduct { higher_prio_send_advert: true, ..Conduct::default() };
    let mut engine = answering(GratuitousArp::default(), conduct);
    let cause = "a router with a higher priority is active";
    let expected = [advert(200), del(), told(RouterEvent::Backup, cause)];
    assert_eq!(plain(engine.step(at(100), multicast(LB2, 201))), expected);
}

#[test]
fn an_unknown_virtual_router_is_told_where_that_is_wanted() {
    let settings = VrrpSettings { log_unknown_vrids: true, ..VrrpSettings::default() };
    let mut engine = paced(settings, router(200));
    let Input::Advertisement(datagram) = multicast(LB2, 250) else { unreachable!() };
    let elsewhere = Input::Advertisement(Datagram { interface: "eth1".to_owned(), ..datagram });
    let reason = "eth1: VRID 51 is not configured";
    assert_eq!(plain(engine.step(ms(10), elsewhere.clone())), [dropped(LB2, reason, 1)]);
    assert_eq!(plain(engine.step(ms(11), elsewhere)), [], "at a bounded rate");
}

#[test]
fn the_list_of_a_known_sender_need_not_be_compared() {
    let told = |skip| {
        let skipping = VirtualRouter { skip_check_adv_addr: skip, addresses: vec![vip("10.1.1.99/24")], ..router(100) };
        let mut engine = started(LB1, vec![skipping], None);
        let mut told = Vec::new();
        for (n, from) in [(0, LB2), (61, LB2), (122, LB3), (183, LB2)] {
            let warned = |a: &Action| matches!(a, Action::Record(Decision::Warning { .. }));
            told.push(engine.step(ms(n * 1000), multicast(from, 200)).iter().any(warned));
        }
        told
    };
    assert_eq!(told(false), [true, true, true, true], "once a minute");
    assert_eq!(told(true), [true, false, true, true], "only of a new sender");
}

#[test]
fn a_neighbour_with_another_list_will_not_take_ours_where_it_is_an_old_keepalived() {
    let lists = |engine: &Engine, now| engine.status(now).drift.lines().collect::<Vec<_>>();
    let ours = VirtualRouter { addresses: vec![vip("10.1.1.80/24"), vip("10.1.1.99/24")], ..router(100) };
    let mut engine = started(LB1, vec![ours], None);
    let told = engine.step(ms(0), multicast(LB2, 200)).into_iter().find_map(|a| match a {
        Action::Record(Decision::Warning { text }) => Some(text),
        _ => None,
    });
    let other = "VI_1: it advertises other addresses than are configured here";
    assert_eq!(told.unwrap(), format!("10.1.1.12: {other}: 10.1.1.99 only here"));
    let line = "VI_1: adverts of lb1 will be dropped by 10.1.1.12 if it is keepalived before 2.3.3: \
                10.1.1.99 only at lb1";
    assert_eq!(lists(&engine, ms(0)), [line]);
    assert_eq!(engine.explain(ms(0), "VI_1").unwrap().drift.lines().collect::<Vec<_>>(), [line]);
    wait(&mut engine, ms(5000));
    assert_eq!(lists(&engine, ms(5000)), Vec::<String>::new(), "it is gone");
    engine.step(ms(5001), multicast(LB2, 200));
    assert_eq!(lists(&engine, ms(5001)), [line]);
    engine.step(ms(5002), Input::Configure(Box::new(config(vec![router(100)]))));
    engine.step(ms(5003), multicast(LB2, 200));
    assert_eq!(lists(&engine, ms(5003)), Vec::<String>::new(), "the lists are equal");
}

#[test]
fn without_peers_and_with_a_fault_for_that_it_is_in_fault() {
    let transport = mesh_config::model::Transport::Unicast { source: None, peers: Vec::new() };
    let engine = started(LB1, vec![VirtualRouter { transport, ..router(200) }], None);
    assert_eq!(engine.instances[&KEY].fault.as_deref(), Some("no unicast peer is configured"));
}

#[test]
fn addresses_that_only_forward_are_told_with_the_fence() {
    let conduct = Conduct { accept: false, ..Conduct::default() };
    let shut = VirtualRouter { conduct, ..router(200) };
    let mut engine = Engine::new(setup(LB1, None), config(vec![shut]), Instant::default());
    let actions = engine.step(Instant::default(), Input::Interface(eth0(LB1)));
    let installed = |addresses: &[IpAddr], unaccepted: &[IpAddr]| Action::FenceInstall {
        addresses: addresses.to_vec(),
        unaccepted: unaccepted.to_vec(),
    };
    assert!(actions.contains(&installed(&[], &[VIP])), "{actions:#?}");
    assert!(engine.step(ms(1), Input::FenceGone).contains(&installed(&[], &[VIP])), "put back");
    let actions = engine.step(ms(2), Input::Shutdown);
    assert!(actions.contains(&installed(&[], &[])), "{actions:#?}");
}

#[test]
fn signed_adverts_follow_the_wall_clock_and_the_last_one_is_signed_by_who_sends_it() {
    use mesh_config::model::{AntiReplay, AuthHmac, HmacKey, HmacMode};
    let hmac = AuthHmac {
        keys: BTreeMap::from([(1, HmacKey::read(&"k".repeat(32)).unwrap())]),
        active: 1,
        anti_replay: AntiReplay::Time(Duration::from_secs(5)),
        mode: HmacMode::Enforce,
    };
    let mut engine = started(LB1, vec![VirtualRouter { auth_hmac: Some(hmac), ..router(200) }], None);
    let seconds = |actions: &[Action]| {
        let payload = actions.iter().find_map(|a| match a {
            Action::SendAdvertisement { payload, .. } => Some(payload),
            _ => None,
        });
        let received = mesh_wire::vrrp::parse_signed(payload.unwrap(), source(LB1), mesh_wire::vrrp::GROUP).unwrap();
        received.signature.unwrap().seconds()
    };
    let actions = engine.step(CLAIM, Input::Timeout);
    assert_eq!(seconds(&actions), 1_800_000_003);
    let wills = actions.iter().filter_map(|a| if let Action::KeepWill(will) = a { Some(will) } else { None });
    let [will] = &wills.collect::<Vec<_>>()[..] else { panic!("{actions:#?}") };
    let [unsigned] = &will.unsigned[..] else { panic!("{will:#?}") };
    assert_eq!(will.resignations, []);
    assert!(!format!("{unsigned:?}").contains("107, 107"), "it does not show the key: {unsigned:?}");
    let last = unsigned.sign(Duration::from_millis(1_800_000_777_500)).unwrap();
    let (group, source) = (mesh_wire::vrrp::GROUP, source(LB1));
    let received = mesh_wire::vrrp::parse_signed(&last.payload, source, group).unwrap();
    assert_eq!((received.advertisement.priority, last.destination), (0, group.into()));
    let signature = received.signature.unwrap();
    assert_eq!((signature.key, signature.sequence), (1, 1_800_000_777 << 32 | 0x8000_0000));
    assert!(mesh_wire::vrrp::signature::verify(&last.payload, source, "k".repeat(32).as_bytes()));
    engine.step(at(10), Input::WallClock(Duration::from_secs(1_900_000_000)));
    assert_eq!(seconds(&engine.step(at(1000), Input::Timeout)), 1_900_000_004);
}
