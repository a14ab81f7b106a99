//! From nothing to Backup.

use super::actions::*;
use super::*;

#[test]
fn what_an_earlier_run_left_goes_before_anything_else() {
    let mut engine = Engine::new(setup(LB1, Some(roster(3))), config(vec![router(200)]), ms(0));
    let expected = [sweep(), run(&[]), install(&[VIP]), told(RouterEvent::Backup, "ready")];
    assert_eq!(plain(engine.step(ms(0), Input::Interface(eth0(LB1)))), expected);
    assert_eq!(engine.work_due(), Some((CLAIM, TimerKind::Vrrp)));
}

#[test]
fn without_a_mesh_nothing_is_fenced() {
    let mut engine = Engine::new(setup(LB1, None), config(vec![router(200)]), ms(0));
    let expected = [sweep(), run(&[]), install(&[]), told(RouterEvent::Backup, "ready")];
    assert_eq!(engine.step(ms(0), Input::Interface(eth0(LB1))).len(), expected.len() + 1, "a will, no gossip");
    let mut engine = Engine::new(setup(LB1, None), config(vec![router(200)]), ms(0));
    assert_eq!(plain(engine.step(ms(0), Input::Interface(eth0(LB1)))), expected);
}

#[test]
fn it_waits_for_its_interface() {
    let mut engine = Engine::new(setup(LB1, None), config(vec![router(200)]), ms(0));
    assert_eq!(plain(engine.step(ms(0), Input::Timeout)), [sweep(), run(&[]), install(&[])]);
    assert_eq!(engine.work_due(), None);

    let down = Interface { running: false, ..eth0(LB1) };
    let fault = "interface eth0 has no link";
    assert_eq!(plain(engine.step(ms(1), Input::Interface(down))), [told(RouterEvent::Fault, fault)]);
    let bare = Interface { addresses: Vec::new(), ..eth0(LB1) };
    let fault = "interface eth0 has no IPv4 address to send from";
    assert_eq!(plain(engine.step(ms(2), Input::Interface(bare))), [told(RouterEvent::Fault, fault)]);
    assert_eq!(plain(engine.step(ms(3), Input::Interface(eth0(LB1)))), [told(RouterEvent::Backup, "ready")]);
    assert_eq!(plain(engine.step(ms(4), Input::Interface(eth0(LB1)))), []);
}

#[test]
fn a_configured_source_address_has_to_be_there() {
    let wanted = IpAddr::from([10, 1, 1, 99]);
    let transport = mesh_config::model::Transport::Multicast { source: Some(wanted) };
    let mut lax = Engine::new(
        setup(LB1, None),
        config(vec![VirtualRouter { transport: transport.clone(), ..router(200) }]),
        ms(0),
    );
    assert_eq!(plain(lax.step(ms(0), Input::Interface(eth0(LB1)))).last(), Some(&told(RouterEvent::Backup, "ready")));
    assert_eq!(lax.instances[&KEY].source, Some(wanted), "multicast is sent from any address");

    let strict = VirtualRouter { transport, track_source: true, ..router(200) };
    let mut engine = Engine::new(setup(LB1, None), config(vec![strict]), ms(0));
    let fault = told(RouterEvent::Fault, "interface eth0 has not the configured source address");
    assert_eq!(plain(engine.step(ms(0), Input::Interface(eth0(LB1)))).last(), Some(&fault));

    let both = vec!["10.1.1.11/24".parse().unwrap(), "10.1.1.99/24".parse().unwrap()];
    engine.step(ms(1), Input::Interface(Interface { addresses: both, ..eth0(LB1) }));
    assert_eq!(engine.instances[&KEY].source, Some(IpAddr::from([10, 1, 1, 99])));
}

/// Interfaces that are told of together are looked at together: a notify script hears of no fault at every start.
#[test]
fn a_tracked_interface_that_comes_second_is_no_fault() {
    let tracked = mesh_config::model::Tracked::new("eth1");
    let track = mesh_config::model::Tracks { interfaces: vec![tracked], ..Default::default() };
    let begin = || {
        let mut engine =
            Engine::new(setup(LB1, None), config(vec![VirtualRouter { track: track.clone(), ..router(200) }]), ms(0));
        engine.step(ms(0), Input::Timeout);
        engine
    };
    let eth1 = || Input::Interface(Interface { name: "eth1".to_owned(), addresses: Vec::new(), ..eth0(LB1) });
    let together = plain(begin().step_all(ms(1), [Input::Interface(eth0(LB1)), eth1()]));
    assert_eq!(together, [told(RouterEvent::Backup, "ready")]);
    let alone = plain(begin().step(ms(1), Input::Interface(eth0(LB1))));
    assert_eq!(alone, [told(RouterEvent::Fault, "interface eth1 has no link")]);
}

#[test]
fn the_address_owner_does_not_wait() {
    let mut engine = Engine::new(setup(LB1, None), config(vec![router(255)]), ms(0));
    let expected = [
        Action::SweepAddresses { except: Vec::new(), configured: Vec::new() },
        run(&[]),
        install(&[]),
        told(RouterEvent::Backup, "ready"),
        // Without leases the lifetime is what backups wait, and 2 s.
        add(5),
        advert(255),
        garp(5),
        told(active(0, &[]), "owner of the addresses started"),
    ];
    assert_eq!(plain(engine.step(ms(0), Input::Interface(eth0(LB1)))), expected);
}

/// The voters have the last word also on an address owner; quarantined ones ask it to wait.
#[test]
fn in_a_mesh_the_address_owner_asks() {
    let mut engine = Engine::new(setup(LB1, Some(roster(3))), config(vec![router(255)]), ms(0));
    let actions = plain(engine.step(ms(0), Input::Interface(eth0(LB1))));
    let first = request(&actions);
    assert_eq!(actions[4..], to_both(Message::Request(first.clone())));
    for voter in [LB2, LB3] {
        let verdict = Vote::Quarantine { remaining_ms: 3062 };
        engine.step(ms(1), reply(voter, ms(1), &first, verdict));
    }
    let (at, kind) = engine.work_due().unwrap();
    assert_eq!(kind, TimerKind::Vrrp, "its own down timer comes first");
    assert!(at < ms(3062));
    assert!(engine.instances[&KEY].claim_at.unwrap() >= ms(3062));
}

#[test]
fn each_run_numbers_its_requests_anew() {
    let (_, first) = asking();
    let mut second = Engine::new(setup(LB1, Some(roster(3))), config(vec![router(200)]), ms(4000));
    second.step(ms(4000), Input::Interface(eth0(LB1)));
    let claim = request(&second.step(ms(7300), Input::Timeout));
    assert_eq!(claim.claims, first.claims, "the epoch may be used again");
    second.step(ms(7301), granted(LB2, ms(7301), &first));
    assert!(!second.instances[&KEY].vrrp.is_active(), "that was granted to the run before");
    second.step(ms(7301), granted(LB2, ms(7301), &claim));
    assert!(second.instances[&KEY].vrrp.is_active());
}

#[test]
fn equal_inputs_give_equal_actions() {
    let run = || {
        let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
        let mut all = Vec::new();
        for n in 0..2000 {
            all.extend(engine.step(ms(n * 7), Input::Timeout));
        }
        format!("{all:?}")
    };
    assert_eq!(run(), run());
}
