//! The start, and links that come and go, have to last.

use mesh_config::model::{Delays, LinkDelay};

use super::actions::*;
use super::*;

fn delayed(delays: Delays) -> Config {
    Config { delays, ..config(vec![router(200)]) }
}

#[test]
fn routers_begin_after_the_start_has_been_waited_for() {
    let second = Duration::from_secs(1);
    // For a delay after the start and one after the boot, at 10 s on the host's clock: when they begin.
    let table = [(second * 5, Duration::ZERO, 15), (Duration::ZERO, second * 12, 12), (second * 5, second * 12, 15)];
    for (startup, after_boot, begins) in table {
        let delays = Delays { startup, after_boot, ..Delays::default() };
        let mut engine = Engine::new(setup(LB1, None), delayed(delays), ms(10_000));
        assert_eq!(plain(engine.step(ms(10_000), Input::Interface(eth0(LB1)))), [sweep(), run(&[]), install(&[])]);
        assert_eq!(engine.work_due(), Some((ms(begins * 1000), TimerKind::Delay)));
        assert_eq!(plain(engine.step(ms(begins * 1000), Input::Timeout)), [told(RouterEvent::Backup, "ready")]);
        assert_eq!(engine.work_due(), Some((ms(begins * 1000) + CLAIM.since(ms(0)), TimerKind::Vrrp)));
    }
    let delays = Delays { after_boot: second * 9, ..Delays::default() };
    let mut engine = Engine::new(setup(LB1, None), delayed(delays), ms(10_000));
    engine.step(ms(10_000), Input::Interface(eth0(LB1)));
    assert!(engine.instances[&KEY].vrrp.is_backup(), "the host has been up for longer");
}

#[test]
fn a_link_has_to_stay_down_or_up() {
    let links = [("eth0".to_owned(), LinkDelay { down: Duration::from_secs(2), up: Duration::from_secs(3) })].into();
    let mut engine = Engine::new(setup(LB1, None), delayed(Delays { links, ..Delays::default() }), ms(0));
    engine.step(ms(0), Input::Interface(eth0(LB1)));
    assert!(engine.instances[&KEY].vrrp.is_backup(), "a new one counts as it is");
    let down = || Input::Interface(Interface { running: false, ..eth0(LB1) });
    engine.step(ms(100), down());
    // Told again, for another reason: that is no new change.
    engine.step(ms(1500), down());
    wait(&mut engine, ms(2099));
    assert_eq!(engine.instances[&KEY].fault, None);
    let fault = told(RouterEvent::Fault, "interface eth0 has no link");
    assert_eq!(plain(engine.step(ms(2100), Input::Timeout)), [fault]);
    engine.step(ms(2200), Input::Interface(eth0(LB1)));
    engine.step(ms(4000), down());
    engine.step(ms(4100), Input::Interface(eth0(LB1)));
    wait(&mut engine, ms(7099));
    assert!(engine.instances[&KEY].fault.is_some(), "it began anew");
    assert_eq!(plain(engine.step(ms(7100), Input::Timeout)), [told(RouterEvent::Backup, "ready")]);
    engine.step(ms(7200), down());
    engine.step(ms(7300), Input::Interface(eth0(LB1)));
    wait(&mut engine, ms(9900));
    assert_eq!(engine.instances[&KEY].fault, None, "a moment without a link was none");
    assert_eq!(plain(engine.step(ms(9950), Input::InterfaceGone { name: "eth0".to_owned() })).len(), 1, "gone is gone");
}

/// Deleted and made again with another index and address: it is only its name that counts.
#[test]
fn an_interface_that_comes_again_is_used_again() {
    let mut engine = plain_active();
    let gone = plain(engine.step(ms(5000), Input::InterfaceGone { name: "eth0".to_owned() }));
    assert_eq!(gone.last(), Some(&told(RouterEvent::Fault, "interface eth0 is not there")));
    let moved = Interface { addresses: vec!["10.1.1.77/24".parse().unwrap()], ..eth0(LB1) };
    let back = plain(engine.step(ms(6000), Input::Interface(moved)));
    assert_eq!(back, [told(RouterEvent::Backup, "ready")]);
    assert_eq!(engine.instances[&KEY].source, Some(IpAddr::from([10, 1, 1, 77])));
}

#[test]
fn a_lost_link_may_be_no_fault() {
    let router = VirtualRouter { dont_track_primary: true, ..router(200) };
    let mut engine = started(LB1, vec![router], None);
    engine.step(CLAIM, Input::Timeout);
    engine.step(ms(5000), Input::Interface(Interface { running: false, ..eth0(LB1) }));
    assert!(engine.instances[&KEY].vrrp.is_active());
    engine.step(ms(6000), Input::InterfaceGone { name: "eth0".to_owned() });
    assert!(!engine.instances[&KEY].vrrp.is_active(), "it has no address to send from");
}
