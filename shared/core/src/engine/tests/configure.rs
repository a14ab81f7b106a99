//! A new configuration touches what changed and nothing else.

use mesh_config::model::{Version, VirtualAddress};

use super::actions::*;
use super::*;

fn second() -> VirtualRouter {
    VirtualRouter { name: "VI_2".into(), key: key(52), addresses: vec![vip("10.1.1.81/24")], ..router(100) }
}

const VIP_2: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 1, 81));

#[test]
fn the_same_again_changes_nothing() {
    let mut engine = holding();
    let before = engine.work_due();
    let actions = plain(engine.step(ms(3300), Input::Configure(Box::new(config(vec![router(200)])))));
    assert_eq!(actions, [run(&[]), install(&[VIP])], "what is armed stays armed");
    assert_eq!(engine.work_due(), before);
}

#[test]
fn a_new_router_leaves_the_others_alone() {
    let mut engine = holding();
    let actions = plain(engine.step(ms(3300), Input::Configure(Box::new(config(vec![router(200), second()])))));
    assert_eq!(actions[..2], [run(&[]), install(&[VIP, VIP_2])]);
    let Action::Record(Decision::Router { name, event: RouterEvent::Backup, .. }) = &actions[2] else {
        panic!("{actions:#?}")
    };
    assert_eq!((name.as_str(), actions.len()), ("VI_2", 3));
    assert!(engine.instances[&KEY].vrrp.is_active());
}

/// As keepalived: another priority, interval or password is no reason to let go.
#[test]
fn a_changed_router_goes_on() {
    let mut engine = holding();
    let epoch = engine.instances[&KEY].held_epoch();
    let changed = VirtualRouter { advert_interval: Duration::from_secs(2), preempt: false, ..router(150) };
    let actions = plain(engine.step(ms(3300), Input::Configure(Box::new(config(vec![changed])))));
    assert_eq!(actions, [run(&[]), install(&[VIP])], "what is armed stays armed");
    let instance = &engine.instances[&KEY];
    assert_eq!((instance.vrrp.is_active(), instance.vrrp.priority(), instance.held_epoch()), (true, 150, epoch));
}

#[test]
fn an_address_more_is_served_at_once_and_one_less_no_longer() {
    let mut engine = holding();
    let until = engine.instances[&KEY].armed_until.expect("it holds a lease");
    let both = VirtualRouter { addresses: vec![vip("10.1.1.80/24"), vip("10.1.1.81/24")], ..router(200) };
    let actions = plain(engine.step(ms(3300), Input::Configure(Box::new(config(vec![both])))));
    let add = |vip_: &str| Action::AddAddress { interface: "eth0".into(), address: vip(vip_), lifetime_s: 3 };
    assert_eq!(
        actions[..4],
        [run(&[]), install(&[VIP, VIP_2]), Action::FenceArm { addresses: vec![VIP_2], until }, add("10.1.1.81/24")]
    );
    let announced = |a: &Action| matches!(a, Action::Announce { address, .. } if *address == VIP_2);
    assert!(actions[4..].iter().all(announced) && actions.len() > 4, "{actions:#?}");

    let one = VirtualRouter { addresses: vec![vip("10.1.1.81/24")], ..router(200) };
    let actions = plain(engine.step(ms(3310), Input::Configure(Box::new(config(vec![one])))));
    assert_eq!(
        actions,
        [
            Action::FenceClose { addresses: vec![VIP] },
            del(),
            run(&[]),
            install(&[VIP_2]),
            // The kernel may have removed it together with the first of its subnet.
            add("10.1.1.81/24")
        ]
    );
}

#[test]
fn a_fault_that_comes_with_a_configuration_ends_service() {
    let mut engine = holding();
    let elsewhere = VirtualAddress { interface: Some("eth9".into()), ..vip("10.1.1.81/24") };
    let changed = VirtualRouter { addresses: vec![vip("10.1.1.80/24"), elsewhere], ..router(200) };
    let actions = plain(engine.step(ms(3300), Input::Configure(Box::new(config(vec![changed])))));
    assert!(!actions.iter().any(|a| matches!(a, Action::AddAddress { .. } | Action::FenceArm { .. })), "{actions:#?}");
    assert!(actions.contains(&told(RouterEvent::Fault, "interface eth9 is not there")), "{actions:#?}");
}

#[test]
fn a_router_of_another_version_starts_anew() {
    let mut engine = holding();
    let other = VirtualRouter { version: Version::V2, ..router(200) };
    let actions = engine.step(ms(3300), Input::Configure(Box::new(config(vec![other]))));
    let deleted = Action::Publish { key: "router/4.51".to_owned(), value: None };
    assert!(actions.contains(&deleted));
    let actions = plain(actions);
    assert_eq!(actions[..3], [close(), del(), advert(0)]);
    assert_eq!(
        actions[5..],
        [
            told(RouterEvent::Backup, "configuration changed"),
            run(&[]),
            install(&[VIP]),
            told(RouterEvent::Backup, "ready")
        ]
    );
    assert!(engine.instances[&KEY].vrrp.is_backup());
}

#[test]
fn a_removed_router_is_retired_and_its_fence_removed() {
    let mut engine = holding();
    let actions = plain(engine.step(ms(3300), Input::Configure(Box::new(config(Vec::new())))));
    assert_eq!(actions[..3], [close(), del(), advert(0)]);
    assert_eq!(actions.last(), Some(&install(&[])));
    assert_eq!(engine.work_due(), None);
}

/// A voter takes a used epoch for a duplicate of what was released.
#[test]
fn a_changed_router_goes_on_counting_epochs() {
    // Not a voter: its own voter cannot remember for it.
    let mut four = roster(4);
    four.members[3].voter = false;
    let mut engine = started(NodeId(4), vec![router(200)], Some(four));
    let first = request(&engine.step(CLAIM, Input::Timeout));
    engine.step(ms(3220), granted(LB2, ms(3220), &first));
    engine.step(ms(3220), granted(LB3, ms(3220), &first));
    assert!(engine.instances[&KEY].vrrp.is_active());
    let other = VirtualRouter { version: Version::V2, ..router(200) };
    engine.step(ms(3300), Input::Configure(Box::new(config(vec![other]))));
    let again = request(&engine.step(ms(6600), Input::Timeout));
    assert!(again.claims[0].epoch > first.claims[0].epoch);
}

#[test]
fn a_changed_lease_duration_starts_all_anew() {
    let mut engine = holding();
    let mut longer = config(vec![router(200)]);
    longer.mesh.lease = LeaseTime::Compat;
    let actions = plain(engine.step(ms(3300), Input::Configure(Box::new(longer))));
    assert_eq!(actions[0], close());
    assert_eq!(engine.instances[&KEY].lease_time, Duration::from_secs(3));
}

#[test]
fn without_leases_another_interval_lets_nothing_go() {
    let quick = |millis| VirtualRouter { advert_interval: Duration::from_millis(millis), ..router(200) };
    let mut engine = started(LB1, vec![quick(250)], None);
    wait(&mut engine, ms(3000));
    assert!(engine.instances[&KEY].vrrp.is_active());
    let before = engine.instances[&KEY].lease_time;
    let actions = engine.step(ms(3001), Input::Configure(Box::new(config(vec![quick(400)]))));
    let ends = |a: &&Action| matches!(a, Action::DelAddress { .. } | Action::SendAdvertisement { .. });
    assert_eq!(actions.iter().find(ends), None);
    let instance = &engine.instances[&KEY];
    assert!(instance.vrrp.is_active() && instance.lease_time > before, "as long as a lease would last now");
}

#[test]
fn the_same_lease_duration_by_another_name_changes_nothing() {
    let mut engine = holding();
    let mut same = config(vec![router(200)]);
    same.mesh.lease = LeaseTime::Fixed(Duration::from_secs(1));
    let actions = engine.step(ms(3300), Input::Configure(Box::new(same)));
    assert!(!actions.contains(&close()) && engine.instances[&KEY].lease.is_held());
}

#[test]
fn two_routers_on_one_interface_do_not_share_anything() {
    let policy = neighbours::trusting("10.1.1.19");
    let both = vec![VirtualRouter { policy, ..router(200) }, VirtualRouter { priority: 200, ..second() }];
    let mut engine = started(LB1, both, Some(roster(3)));
    let first = request(&engine.step(CLAIM, Input::Timeout));
    engine.step(ms(3220), granted(LB2, ms(3220), &first));
    let actions = plain(engine.step(ms(3300), adverts::multicast(NodeId(9), 250)));
    assert_eq!(actions[..2], [close(), del()], "only VI_1 yields");
    assert!(engine.instances[&key(52)].vrrp.is_active());
}

#[test]
fn one_vrid_on_two_interfaces_is_two_routers() {
    let eth1 = VirtualRouter { name: "VI_2".into(), interface: "eth1".into(), ..second() };
    let mut both = config(vec![router(200), VirtualRouter { key: KEY, ..eth1 }]);
    both.assign_keys();
    let mut engine = Engine::new(setup(LB1, None), both, ms(0));
    engine.step(ms(0), Input::Interface(eth0(LB1)));
    engine.step(ms(0), Input::Interface(Interface { name: "eth1".into(), ..eth0(LB1) }));
    assert_eq!(engine.instances.len(), 2);
    let higher = adverts::multicast(LB2, 250);
    engine.step(ms(1000), higher);
    let active: Vec<String> = {
        engine.step(ms(3700), Input::Timeout);
        engine.instances.values().filter(|i| i.vrrp.is_active()).map(|i| i.config.name.clone()).collect()
    };
    assert_eq!(active, ["VI_2"], "the advert was heard on eth0 only");
}

#[test]
fn a_witness_serves_nothing() {
    let mut members = roster(3);
    members.members[0].role = Role::Witness;
    let mut engine = started(LB1, vec![router(200)], Some(members));
    assert!(engine.instances.is_empty());
    let actions = engine.step(CLAIM, Input::Timeout);
    assert!(!actions.iter().any(|a| matches!(a, Action::AddAddress { .. } | Action::FenceArm { .. })), "{actions:#?}");
}
