//! From one run to the next: exact actions on both sides.

use std::net::IpAddr;

use mesh_config::model::{Policy, QuorumLoss};
use mesh_wire::mesh::lease::{Release, Vacant};

use super::actions::*;
use super::*;
use crate::action::Effect;
use crate::vrrp;

/// From the moment the old run begins to stop.
const LONG: Duration = Duration::from_micros(2_968_000);

fn placed() -> Vec<(String, IpAddr)> {
    vec![("eth0".to_owned(), VIP)]
}

fn left_by(actions: &[Action]) -> Vec<Adopted> {
    let of = |a: &Action| if let Action::LeaveBehind(left) = a { Some(left.clone()) } else { None };
    actions.iter().find_map(of).unwrap_or_else(|| panic!("nothing left behind by {actions:#?}"))
}

/// lb1's lease under epoch 1, left behind at 3300 ms by [`holding`].
fn left() -> Vec<Adopted> {
    let mut engine = holding();
    let last = request(&engine.step(ms(3300), Input::Keep));
    left_by(&engine.step(ms(3301), granted(LB2, ms(3301), &last)))
}

fn next_run(left: Vec<Adopted>, routers: Vec<VirtualRouter>, voters: Option<u64>, now: Instant) -> Engine {
    let setup = Setup { adopted: left, ..setup(LB1, voters.map(roster)) };
    Engine::new(setup, config(routers), now)
}

fn going_on(epoch: u64) -> Action {
    told(active(epoch, &[]), "goes on with what the run before left")
}

#[test]
fn leases_are_renewed_for_as_long_as_voters_grant_then_left_behind() {
    let mut engine = holding();
    let actions = plain(engine.step(ms(3300), Input::Keep));
    let last = request(&actions);
    assert_eq!(last.claims[0].duration_ms, 3000);
    assert_eq!(actions, to_both(Message::Request(last.clone())), "nothing is removed or given back");

    let until = ms(3300) + LONG;
    let adopted = left();
    let digest = adopted[0].digest;
    assert_eq!(adopted, [Adopted { router: KEY, epochs: Some((1, 1)), until, addresses: placed(), digest }]);
    let expected = [arm(until), add(4), advert(200), Action::LeaveBehind(adopted), Action::Stopped];
    assert_eq!(plain(engine.step(ms(3301), granted(LB2, ms(3301), &last))), expected);
    assert!(engine.work_due().is_some_and(|(at, _)| at > ms(3301)), "it does not spin");
}

#[test]
fn voters_that_do_not_answer_are_asked_again_but_not_waited_for() {
    let mut engine = holding();
    engine.step(ms(3300), Input::Keep);
    assert_eq!(engine.work_due(), Some((ms(3330), TimerKind::LeaseRequest)));
    let mut actions = Vec::new();
    while actions.iter().all(|a| *a != Action::Stopped) {
        let (at, _) = engine.work_due().unwrap();
        assert!(at <= ms(3450));
        actions = engine.step(at, Input::Timeout);
    }
    assert_eq!(left_by(&actions)[0].until, ms(3220 + 976), "what was left of the lease");
}

#[test]
fn without_a_mesh_the_next_advert_is_what_counts() {
    let mut engine = plain_active();
    let actions = plain(engine.step(ms(3300), Input::Keep));
    let left = left_by(&actions);
    assert_eq!((left[0].epochs, left[0].until), (None, ms(6300)));
    assert_eq!(actions, [add(5), advert(200), Action::LeaveBehind(left), Action::Stopped]);
}

#[test]
fn a_claim_is_given_back_and_none_begins() {
    let (mut engine, _) = asking();
    let release = Message::Release(vec![Release { router: KEY, epoch: 1, seq: 0, successor: None }]);
    let mut expected = to_both(release).to_vec();
    expected.extend([Action::LeaveBehind(Vec::new()), Action::Stopped]);
    assert_eq!(plain(engine.step(ms(3220), Input::Keep)), expected);
    wait(&mut engine, ms(9000));
    assert!(!engine.instances[&KEY].vrrp.is_active() && engine.instances[&KEY].lease.ballot().is_none());
}

#[test]
fn what_cannot_be_left_behind_is_handed_over() {
    let mut engine = plain_active();
    engine.step(ms(5000), Input::Keep);
    let failed = Input::Failed { effect: Effect::LeaveBehind, error: "disk full".to_owned() };
    let actions = plain(engine.step(ms(5001), failed));
    let text = "cannot leave anything to the next run, so it is handed over: disk full".to_owned();
    let expected = [
        Action::Record(Decision::Warning { text }),
        del(),
        advert(0),
        told(RouterEvent::Backup, "this director is stopping"),
        install(&[]),
        Action::Stopped,
    ];
    assert_eq!(actions, expected);
}

#[test]
fn the_next_run_goes_on_without_a_gap() {
    let until = ms(3300) + LONG;
    let mut engine = next_run(left(), vec![router(200)], Some(3), ms(3500));
    let kernel = [
        Action::SweepAddresses { except: placed(), configured: vec![("eth0".to_owned(), vip("10.1.1.80/24").net)] },
        Action::FenceAdopt { addresses: vec![VIP], until },
        run(&[]),
        install(&[VIP]),
    ];
    assert_eq!(plain(engine.step(ms(3500), Input::Timeout)), kernel);
    assert!(engine.instances[&KEY].vrrp.is_active());

    let actions = plain(engine.step(ms(3510), Input::Interface(eth0(LB1))));
    let renewal = request(&actions);
    assert_eq!((renewal.claims[0].epoch, renewal.claims[0].duration_ms), (1, 1000));
    let mut expected = vec![add(3), advert(200), going_on(1)];
    expected.extend(to_both(Message::Request(renewal)));
    assert_eq!(actions, expected);

    // Nobody was connected: who comes is asked at once, and the lease goes on as any other.
    let asked = plain(engine.step(ms(3520), peer_up(LB2)));
    let renewal = request(&asked);
    assert_eq!(plain(engine.step(ms(3521), granted(LB2, ms(3521), &renewal))), [], "the fence is open longer anyway");
    assert_eq!(engine.instances[&KEY].armed_until, Some(until));
}

#[test]
fn the_next_run_lets_go_in_time_when_nobody_renews() {
    let until = ms(3300) + LONG;
    let mut engine = next_run(left(), vec![router(200)], Some(3), ms(3500));
    engine.step(ms(3510), Input::Interface(eth0(LB1)));
    wait(&mut engine, until - Duration::from_nanos(1));
    assert!(engine.instances[&KEY].vrrp.is_active());
    let actions = plain(engine.step(until, Input::Timeout));
    assert_eq!(actions[..3], [close(), del(), advert(0)]);
}

/// The kernel may have lost the interface for ever.
#[test]
fn an_interface_that_does_not_come_back_ends_it() {
    let until = ms(3300) + LONG;
    let mut engine = next_run(left(), vec![router(200)], Some(3), ms(3500));
    engine.step(ms(3500), Input::Timeout);
    wait(&mut engine, until - Duration::from_nanos(1));
    let release = Message::Release(vec![Release { router: KEY, epoch: 1, seq: 0, successor: None }]);
    let mut expected = vec![close(), del()];
    expected.extend(to_both(release));
    expected.push(told(RouterEvent::Backup, "its interface did not appear in time to go on"));
    assert_eq!(plain(engine.step(until, Input::Timeout)), expected);
    assert_eq!(engine.instances[&KEY].vrrp.state(), vrrp::State::Initialize);
}

#[test]
fn a_link_that_went_down_meanwhile_ends_it() {
    let mut engine = next_run(left(), vec![router(200)], Some(3), ms(3500));
    engine.step(ms(3500), Input::Timeout);
    let down = Interface { running: false, ..eth0(LB1) };
    let actions = plain(engine.step(ms(3510), Input::Interface(down)));
    assert_eq!(actions[..2], [close(), del()]);
    assert_eq!(actions.last(), Some(&told(RouterEvent::Fault, "interface eth0 has no link")));
}

#[test]
fn without_a_mesh_the_next_run_goes_on_too() {
    let mut before = plain_active();
    let left = left_by(&before.step(ms(5000), Input::Keep));
    let mut engine = next_run(left.clone(), vec![router(200)], None, ms(5200));
    let kernel = [
        Action::SweepAddresses { except: placed(), configured: vec![("eth0".to_owned(), vip("10.1.1.80/24").net)] },
        run(&[]),
        install(&[]),
    ];
    assert_eq!(plain(engine.step(ms(5200), Input::Timeout)), kernel);
    let actions = plain(engine.step(ms(5210), Input::Interface(eth0(LB1))));
    assert_eq!(actions, [add(5), advert(200), going_on(0)]);

    let mut late = next_run(left, vec![router(200)], None, ms(7950));
    assert_eq!(plain(late.step(ms(7950), Input::Timeout)), [sweep(), run(&[]), install(&[])]);
}

/// Closed and swept as at any start, then given back, under an epoch that is not used again.
#[test]
fn what_does_not_match_is_given_back() {
    let other_address = VirtualRouter { addresses: vec![vip("10.1.1.81/24")], ..router(200) };
    let other = IpAddr::from([10, 1, 1, 81]);
    let late = ms(3300) + LONG - Duration::from_millis(50);
    for (router, fenced, now) in [(other_address, other, ms(3500)), (router(200), VIP, late)] {
        let configured = vec![("eth0".to_owned(), router.addresses[0].net)];
        let swept = Action::SweepAddresses { except: Vec::new(), configured };
        let mut engine = next_run(left(), vec![router], Some(3), now);
        assert_eq!(plain(engine.step(now, Input::Timeout)), [swept, run(&[]), install(&[fenced])]);
        assert!(!engine.instances[&KEY].vrrp.is_active());
        let release = Message::Release(vec![Release { router: KEY, epoch: 1, seq: 0, successor: None }]);
        let told: Vec<Action> = plain(engine.step(now, peer_up(LB2)));
        assert!(told.contains(&send(LB2, release.clone())), "{told:#?}");
        engine.step(now, Input::Interface(eth0(LB1)));
        wait(&mut engine, now + Duration::from_millis(3300));
        assert!(engine.instances[&KEY].lease.ballot().is_some_and(|b| b.epoch > 1));
        let late: Vec<Action> = plain(engine.step(now + Duration::from_secs(4), peer_up(LB3)));
        assert!(!late.contains(&send(LB3, release)), "it has run out");
    }
}

#[test]
fn what_is_claimed_anew_is_not_given_back() {
    let other_address = VirtualRouter { addresses: vec![vip("10.1.1.81/24")], ..router(200) };
    let mut engine = next_run(left(), vec![other_address], Some(3), ms(3500));
    engine.step(ms(3500), Input::Interface(eth0(LB1)));
    let release = Message::Release(vec![Release { router: KEY, epoch: 1, seq: 0, successor: None }]);
    let told: Vec<Action> = plain(engine.step(ms(3510), peer_up(LB2)));
    assert!(told.contains(&send(LB2, release.clone())), "{told:#?}");
    let vacant = Vacant { router: KEY, owner: LB1, epoch: 1, released: true, reserved_for: None };
    engine.step(ms(3520), message(LB2, Message::Vacant(vec![vacant])));
    wait(&mut engine, ms(3530));
    assert!(engine.instances[&KEY].lease.ballot().is_some_and(|b| b.epoch > 1));
    let told: Vec<Action> = plain(engine.step(ms(3540), peer_up(LB3)));
    assert!(!told.contains(&send(LB3, release)), "{told:#?}");
}

#[test]
fn a_lease_is_nothing_to_a_run_that_needs_none_and_the_reverse() {
    let mut engine = next_run(left(), vec![router(200)], None, ms(3500));
    assert_eq!(plain(engine.step(ms(3500), Input::Timeout)), [sweep(), run(&[]), install(&[])]);
    let unleased = left_by(&plain_active().step(ms(3400), Input::Keep));
    let mut engine = next_run(unleased, vec![router(200)], Some(3), ms(3500));
    assert_eq!(plain(engine.step(ms(3500), Input::Timeout)), [sweep(), run(&[]), install(&[VIP])]);
}

/// Two voters, and the other one does not answer: as without a restart, it goes on without a lease
/// before that ends.
#[test]
fn of_two_voters_the_next_run_goes_on_when_the_other_is_silent() {
    let left: Vec<Adopted> = left();
    let until = left[0].until;
    let mut engine = next_run(left, vec![router(200)], Some(2), ms(3500));
    engine.step(ms(3510), Input::Interface(eth0(LB1)));
    wait(&mut engine, until + Duration::from_millis(500));
    let instance = &engine.instances[&KEY];
    assert!(instance.vrrp.is_active(), "{}", instance.transition.cause);
    assert!(instance.silence.unprotected_since.is_some_and(|since| since < until));
}

/// Its interfaces become known one after another.
#[test]
fn an_interface_that_is_not_known_yet_is_waited_for() {
    let two = || {
        let outer = mesh_config::model::VirtualAddress { interface: Some("eth1".to_owned()), ..vip("10.2.1.80/24") };
        VirtualRouter { addresses: vec![vip("10.1.1.80/24"), outer], ..router(200) }
    };
    let eth1 = || Interface { name: "eth1".to_owned(), ..eth0(LB1) };
    let mut engine = started(LB1, vec![two()], Some(roster(3)));
    engine.step(Instant::default(), Input::Interface(eth1()));
    let claim = request(&engine.step(CLAIM, Input::Timeout));
    engine.step(ms(3220), granted(LB2, ms(3220), &claim));
    let last = request(&engine.step(ms(3300), Input::Keep));
    let left = left_by(&engine.step(ms(3301), granted(LB2, ms(3301), &last)));

    let mut engine = next_run(left.clone(), vec![two()], Some(3), ms(3500));
    engine.step(ms(3510), Input::Interface(eth0(LB1)));
    assert!(engine.instances[&KEY].vrrp.is_active());
    let actions = plain(engine.step(ms(3511), Input::Interface(eth1())));
    assert!(actions.contains(&going_on(1)), "{actions:#?}");

    let mut engine = next_run(left.clone(), vec![two()], Some(3), ms(3500));
    engine.step(ms(3510), Input::Interface(eth0(LB1)));
    wait(&mut engine, left[0].until);
    assert!(!engine.instances[&KEY].vrrp.is_active(), "but not for ever");
}

/// What [`silence::unprotected`] leaves behind.
fn left_unprotected() -> Vec<Adopted> {
    let mut engine = silence::unprotected();
    let actions = plain(engine.step(ms(3300), Input::Keep));
    let left = left_by(&actions);
    assert_eq!((left[0].epochs, left[0].until), (None, ms(6300)), "as without a mesh");
    assert_eq!(actions, [add(5), advert(200), Action::LeaveBehind(left.clone()), Action::Stopped]);
    left
}

/// Whoever serves because nobody else is there does so over a restart, too.
#[test]
fn a_router_without_a_lease_is_gone_on_with() {
    let mut engine = next_run(left_unprotected(), vec![router(200)], Some(2), ms(3500));
    let actions = plain(engine.step(ms(3500), Input::Timeout));
    let warning = actions.iter().position(|a| matches!(a, Action::Record(Decision::Warning { .. })));
    let kernel: Vec<&Action> =
        actions.iter().enumerate().filter(|(n, _)| Some(*n) != warning).map(|(_, a)| a).collect();
    assert_eq!(
        kernel,
        [
            &Action::SweepAddresses {
                except: placed(),
                configured: vec![("eth0".to_owned(), vip("10.1.1.80/24").net)]
            },
            &run(&[]),
            &install(&[])
        ],
        "not fenced"
    );

    let actions = plain(engine.step(ms(3510), Input::Interface(eth0(LB1))));
    assert_eq!(actions[..3], [add(5), advert(200), going_on(0)]);
    let asks = request(&actions);
    assert_eq!(asks.claims[0].duration_ms, 1000, "it goes on asking for a lease");
    wait(&mut engine, ms(9000));
    assert!(engine.instances[&KEY].vrrp.is_active());
    assert_eq!(engine.status(ms(9000)).counters["routers_unprotected"], 1);

    // Our own vote is taken: who comes back does not win it beside us, but gives its own.
    let asks = request(&engine.step(ms(9001), peer_up(LB2)));
    let actions = plain(engine.step(ms(9002), granted(LB2, ms(9002), &asks)));
    assert_eq!(actions[..2], [install(&[VIP]), arm(ms(9001 + 976))]);
    assert!(engine.instances[&KEY].held_epoch() > 0);
}

#[test]
fn a_router_without_a_lease_is_not_gone_on_with_where_leases_are_needed() {
    let strict = Policy { on_quorum_loss: Some(QuorumLoss::Fence), ..Policy::default() };
    let late = ms(6260);
    for (policy, voters, now) in [(Policy::default(), 3, ms(3500)), (strict, 2, ms(3500)), (Policy::default(), 2, late)]
    {
        let router = VirtualRouter { policy, ..router(200) };
        let mut engine = next_run(left_unprotected(), vec![router], Some(voters), now);
        let actions = plain(engine.step(now, Input::Timeout));
        assert!(actions.contains(&sweep()) && actions.contains(&install(&[VIP])), "{actions:#?}");
        assert!(!engine.instances[&KEY].vrrp.is_active());
    }
}

/// Another took over while nobody was there to say no.
#[test]
fn a_holder_ends_what_is_gone_on_with_without_a_lease() {
    let mut engine = next_run(left_unprotected(), vec![router(200)], Some(2), ms(3500));
    let asks = request(&engine.step(ms(3510), Input::Interface(eth0(LB1))));
    engine.step(ms(3511), gossip(&report(LB2, RouterState::Active, 250, 0), LB2));
    let actions = plain(engine.step(ms(3512), held(LB2, ms(3512), &asks, LB2, 900)));
    assert_eq!(actions[..3], [install(&[VIP]), del(), advert(0)]);
}

/// The lease of two voters ends while the last renewal is waited for.
#[test]
fn what_loses_its_lease_while_it_is_kept_is_left_behind_without() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(2)));
    engine.step(ms(3100), peer_up(LB2));
    let first = request(&engine.step(CLAIM, Input::Timeout));
    engine.step(ms(3220), granted(LB2, ms(3220), &first));
    let end = engine.instances[&KEY].armed_until.unwrap();
    wait(&mut engine, end - Duration::from_millis(120));
    engine.step(end - Duration::from_millis(110), Input::Keep);
    let mut actions = Vec::new();
    while actions.iter().all(|a| *a != Action::Stopped) {
        let (at, _) = engine.work_due().unwrap();
        actions = plain(engine.step(at, Input::Timeout));
    }
    let left = left_by(&actions);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].epochs, None);
}

/// The successor it hands over to says nothing: who went on has served, so that this is no cold start.
#[test]
fn what_nobody_takes_is_taken_back_at_once() {
    let mut engine = next_run(left(), vec![router(200)], Some(3), ms(3400));
    engine.step(ms(3400), Input::Interface(eth0(LB1)));
    assert!(engine.instances[&KEY].vrrp.is_active());
    engine.step(ms(3401), peer_up(LB2));
    engine.step(ms(3401), gossip(&report(LB2, RouterState::Backup, 250, 0), LB2));
    let preempt = Message::Preempt(mesh_wire::mesh::lease::Preempt { router: KEY, priority: 250 });
    engine.step(ms(3402), message(LB2, preempt));
    assert!(engine.instances[&KEY].vrrp.is_backup());
    let vacant = Vacant { router: KEY, owner: LB1, epoch: 1, released: true, reserved_for: Some(LB2) };
    engine.step(ms(3403), message(LB3, Message::Vacant(vec![vacant])));
    wait(&mut engine, ms(3500));
    assert!(engine.instances[&KEY].lease.ballot().is_some());
}

/// Interfaces become known one after another: what is wrong with the first is acted on once the last is there.
#[test]
fn a_fault_found_while_an_interface_is_waited_for_ends_it_then() {
    let mut vi_1 = router(200);
    vi_1.excluded_addresses = vec![vip("10.2.0.80/24")];
    vi_1.excluded_addresses[0].interface = Some("eth1".to_owned());
    let mut engine = started(LB1, vec![vi_1.clone()], None);
    let eth1 = || Interface { name: "eth1".to_owned(), addresses: Vec::new(), ..eth0(LB1) };
    engine.step(ms(0), Input::Interface(eth1()));
    engine.step(CLAIM, Input::Timeout);
    let mut actions = engine.step(ms(4000), Input::Keep);
    actions.extend(engine.step(ms(4200), Input::Timeout));
    let left = actions.into_iter().find_map(|a| if let Action::LeaveBehind(left) = a { Some(left) } else { None });

    let setup = Setup { adopted: left.unwrap(), ..setup(LB1, None) };
    let mut engine = Engine::new(setup, config(vec![vi_1]), ms(4300));
    engine.step(ms(4300), Input::Interface(Interface { running: false, ..eth0(LB1) }));
    assert!(engine.instances[&KEY].vrrp.is_active(), "eth1 is not known yet");
    engine.step(ms(4301), Input::Interface(eth1()));
    assert!(!engine.instances[&KEY].vrrp.is_active());
    assert_eq!(engine.instances[&KEY].transition.cause, "interface eth0 has no link");
}

const DIGEST: u64 = 0x4250_eacc_4ae8_7916;

/// What was written by one version is read by the next: this number must never change.
#[test]
fn a_router_has_the_digest_that_it_always_had() {
    use crate::engine::adopt::digest::digest;
    use crate::engine::adopt::former_digest;
    assert_eq!(digest(&router(200)), DIGEST);
    let others = [
        router(199),
        VirtualRouter { interface: "eth1".to_owned(), ..router(200) },
        VirtualRouter { advert_interval: Duration::from_millis(999), ..router(200) },
        VirtualRouter { version: mesh_config::model::Version::V2, ..router(200) },
        VirtualRouter { addresses: vec![vip("10.1.1.80/25")], ..router(200) },
        VirtualRouter { addresses: vec![vip("10.1.1.80/24"), vip("10.1.1.81/24")], ..router(200) },
    ];
    let digests: BTreeSet<u64> = others.iter().map(digest).chain([DIGEST]).collect();
    assert_eq!(digests.len(), others.len() + 1, "each difference shows");

    let mut left = left();
    left[0].digest = former_digest(&router(200));
    let mut engine = next_run(left.clone(), vec![router(200)], Some(3), ms(3500));
    engine.step(ms(3500), Input::Timeout);
    assert!(engine.instances[&KEY].lease.is_held(), "an older version's is known, too");
    left[0].digest += 1;
    let mut engine = next_run(left, vec![router(200)], Some(3), ms(3500));
    engine.step(ms(3500), Input::Timeout);
    assert!(!engine.instances[&KEY].lease.is_held());
}
