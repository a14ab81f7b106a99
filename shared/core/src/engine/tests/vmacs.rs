//! A router on an interface with a virtual MAC address.

use ipnet::IpNet;
use mesh_config::model::{Ipvlan, Transport, Vmac};
use mesh_wire::mesh::Family;

use super::actions::plain;
use super::*;
use crate::action::Effect;

fn vmac() -> Vmac {
    Vmac { name: "vrrp.51".to_owned(), ..Vmac::new("eth0", Family::Ipv4, 51) }
}

fn vrrp51(running: bool) -> Input {
    Input::Interface(Interface { name: "vrrp.51".to_owned(), running, addresses: vec![], unusable: vec![] })
}

fn make() -> Action {
    Action::MakeVmacs { wanted: vec![vmac()] }
}

/// In Backup, each interface told of as the kernel does it: first not up.
fn started() -> Engine {
    let router = VirtualRouter { vmac: Some(vmac()), ..router(200) };
    let mut engine = Engine::new(setup(LB1, None), config(vec![router]), Instant::default());
    let zero = Instant::default();
    assert!(plain(engine.step(zero, Input::Timeout)).contains(&make()));
    assert_eq!(plain(engine.step(zero, Input::Interface(eth0(LB1)))), [make()], "no fault is told of");
    assert_eq!(plain(engine.step(zero, vrrp51(false))), []);
    let ready = plain(engine.step(zero, vrrp51(true)));
    assert!(matches!(&ready[..], [Action::Record(Decision::Router { event: RouterEvent::Backup, .. })]), "{ready:?}");
    engine
}

fn places(actions: &[Action]) -> Vec<(&str, &str)> {
    let place = |action: &'_ Action| match action {
        Action::AddAddress { interface, .. } => Some(("add", interface.clone())),
        Action::DelAddress { interface, .. } => Some(("del", interface.clone())),
        Action::SendAdvertisement { interface, .. } => Some(("advert", interface.clone())),
        Action::Announce { interface, .. } => Some(("announce", interface.clone())),
        Action::MakeVmacs { .. } => Some(("make", String::new())),
        _ => None,
    };
    let found = actions.iter().filter_map(place).map(|(what, on)| (what, on.leak() as &str));
    found.collect()
}

#[test]
fn it_serves_and_resigns_on_it() {
    let mut engine = started();
    let active = engine.step(CLAIM, Input::Timeout);
    assert_eq!(places(&active), [("add", "vrrp.51"), ("advert", "vrrp.51"), ("announce", "vrrp.51")]);
    let stopped = engine.step(ms(3500), Input::Shutdown);
    assert_eq!(places(&stopped), [("del", "vrrp.51"), ("advert", "vrrp.51"), ("make", "")]);
    assert!(stopped.contains(&Action::MakeVmacs { wanted: vec![] }));
}

#[test]
fn adverts_leave_below_it_where_that_is_wanted() {
    let router = VirtualRouter { vmac: Some(vmac()), vmac_transmit_base: true, ..router(200) };
    let mut engine = Engine::new(setup(LB1, None), config(vec![router]), Instant::default());
    engine.step(Instant::default(), Input::Interface(eth0(LB1)));
    engine.step(Instant::default(), vrrp51(true));
    let active = engine.step(CLAIM, Input::Timeout);
    assert_eq!(places(&active), [("add", "vrrp.51"), ("advert", "eth0"), ("announce", "vrrp.51")]);
}

#[test]
fn one_that_somebody_takes_away_is_made_again() {
    let mut engine = started();
    engine.step(CLAIM, Input::Timeout);
    let gone = engine.step(ms(3500), Input::InterfaceGone { name: "vrrp.51".to_owned() });
    assert!(gone.contains(&make()));
    assert_eq!(engine.instances[&KEY].fault.as_deref(), Some("interface vrrp.51 on eth0 is not there"));
    let back = engine.step(ms(3501), vrrp51(true));
    let what = "interface vrrp.51 was removed by somebody else".to_owned();
    assert!(back.contains(&Action::Record(Decision::Repaired { what })));
    assert_eq!(engine.status(ms(3502)).counters["interface_repairs"], 1);
    // Put down, it is put up.
    assert!(engine.step(ms(3600), vrrp51(false)).contains(&make()));
    engine.step(ms(3601), vrrp51(true));

    // With the interface below it goes and comes, which is nobody's doing.
    engine.step(ms(4000), Input::InterfaceGone { name: "vrrp.51".to_owned() });
    let gone = engine.step(ms(4000), Input::InterfaceGone { name: "eth0".to_owned() });
    assert!(!gone.contains(&make()));
    assert!(engine.step(ms(5000), Input::Interface(eth0(LB1))).contains(&make()));
    engine.step(ms(5001), vrrp51(true));
    assert_eq!(engine.status(ms(5002)).counters["interface_repairs"], 1);
}

#[test]
fn one_that_cannot_be_made_is_a_fault_with_its_reason_and_tried_again() {
    let router = VirtualRouter { vmac: Some(vmac()), ..router(200) };
    let mut engine = Engine::new(setup(LB1, None), config(vec![router]), Instant::default());
    engine.step(Instant::default(), Input::Interface(eth0(LB1)));
    let effect = Effect::Vmac { name: "vrrp.51".to_owned() };
    engine.step(ms(1), Input::Failed { effect, error: "this kernel has no macvlan".to_owned() });
    let fault = engine.instances[&KEY].fault.as_deref();
    assert_eq!(fault, Some("interface vrrp.51 cannot be made: this kernel has no macvlan"));
    assert_eq!(engine.work_due().map(|(at, _)| at), Some(ms(1001)));
    assert!(engine.step(ms(1001), Input::Timeout).contains(&make()));
    engine.step(ms(1002), vrrp51(true));
    assert_eq!(engine.instances[&KEY].fault, None);
    assert_eq!(engine.step(ms(1003), Input::Timeout), []);
}

#[test]
fn a_new_configuration_says_what_is_there() {
    let mut engine = started();
    let without = config(vec![router(200)]);
    let actions = engine.step(ms(10), Input::Configure(Box::new(without.clone())));
    assert!(actions.contains(&Action::MakeVmacs { wanted: vec![] }));
    // There were none, and there are none.
    assert_eq!(places(&engine.step(ms(11), Input::Configure(Box::new(without)))), []);
}

#[test]
fn a_probe_looks_below_it() {
    let mut engine = Engine::new(
        setup(LB1, Some(roster(2))),
        config(vec![VirtualRouter { vmac: Some(vmac()), ..router(200) }]),
        Instant::default(),
    );
    engine.step(Instant::default(), Input::Interface(eth0(LB1)));
    engine.step(Instant::default(), vrrp51(true));
    let mut probes = Vec::new();
    for at in 1..200 {
        let actions = engine.step(ms(at * 50), Input::Timeout);
        probes.extend(actions.into_iter().filter(|a| matches!(a, Action::ProbeAddresses { .. })));
    }
    assert!(
        probes.contains(&Action::ProbeAddresses { probe: 1, addresses: vec![("eth0".to_owned(), VIP)] }),
        "{probes:?}"
    );
}

/// An ipvlan looks like the interface below on the wire: adverts leave there, with the address that is its own, and
/// that is looked after.
#[test]
fn an_ipvlan_has_the_source_of_adverts() {
    let own: IpNet = "10.1.1.201/24".parse().unwrap();
    let ipvlan = Ipvlan { address: Some(own), ..Ipvlan::default() };
    let made = Vmac { name: "vrrp.51".to_owned(), ..Vmac::ipvlan("eth0", ipvlan) };
    let transport = Transport::Multicast { source: Some(own.addr()) };
    let router = VirtualRouter { vmac: Some(made.clone()), vmac_transmit_base: true, transport, ..router(200) };
    let mut engine = Engine::new(setup(LB1, None), config(vec![router]), Instant::default());
    let make = Action::MakeVmacs { wanted: vec![made] };
    engine.step(Instant::default(), Input::Interface(eth0(LB1)));
    let with = |addresses: Vec<IpNet>| {
        Input::Interface(Interface { name: "vrrp.51".to_owned(), running: true, addresses, unusable: vec![] })
    };
    assert!(engine.step(Instant::default(), with(vec![])).contains(&make));
    let fault = engine.instances[&KEY].fault.clone();
    assert_eq!(fault.as_deref(), Some("interface vrrp.51 has not the configured source address"));
    assert!(!engine.step(ms(1), with(vec![own])).contains(&make));
    let active = engine.step(ms(1) + CLAIM.since(Instant::default()), Input::Timeout);
    assert_eq!(places(&active), [("add", "eth0"), ("advert", "eth0"), ("announce", "eth0")]);
    let from = active.iter().find_map(|action| match action {
        Action::SendAdvertisement { source, .. } => Some(*source),
        _ => None,
    });
    assert_eq!(from, Some(own.addr()));
    assert!(engine.step(ms(4000), with(vec![])).contains(&make), "somebody took it away");
}
