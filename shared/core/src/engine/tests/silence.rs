//! Voters that do not answer: what a router does with `on_quorum_loss = "vrrp"`.

use mesh_config::model::{Policy, QuorumLoss};
use mesh_wire::mesh::lease::{Claim, Release, Vacant};

use super::actions::*;
use super::*;
use crate::action::Effect;
use crate::input::ProbeAnswer;

const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0b];

fn look(number: u64) -> Action {
    Action::ProbeAddresses { probe: number, addresses: vec![("eth0".to_owned(), VIP)] }
}

fn nobody(probe: u64) -> Input {
    Input::Probed { probe, answer: None }
}

fn somebody(probe: u64) -> Input {
    Input::Probed { probe, answer: Some(ProbeAnswer { address: VIP, mac: MAC }) }
}

fn vetoed(cause: &str) -> Action {
    told(RouterEvent::Vetoed { by: Vec::new() }, cause)
}

/// lb1 of two voters, probing since [`CLAIM`]: lb2 is not there.
fn probing() -> Engine {
    let mut engine = started(LB1, vec![router(200)], Some(roster(2)));
    let actions = plain(engine.step(CLAIM, Input::Timeout));
    assert_eq!(request(&actions).claims[0], Claim { router: KEY, epoch: 1, duration_ms: 400 });
    assert_eq!(actions.last(), Some(&look(1)), "who is not connected is not waited for");
    engine
}

/// lb1 of two voters, serving without a lease since 3260 ms.
pub(super) fn unprotected() -> Engine {
    let mut engine = probing();
    engine.step(ms(3260), nobody(1));
    assert!(engine.instances[&KEY].vrrp.is_active());
    engine
}

/// lb1 of two voters, holding the lease of both until `armed_until`.
fn leased() -> Engine {
    let mut engine = started(LB1, vec![router(200)], Some(roster(2)));
    engine.step(ms(3100), peer_up(LB2));
    engine.step(ms(3100), gossip(&report(LB2, RouterState::Backup, 150, 0), LB2));
    let first = request(&engine.step(CLAIM, Input::Timeout));
    let renewal = request(&engine.step(ms(3220), granted(LB2, ms(3220), &first)));
    engine.step(ms(3221), granted(LB2, ms(3221), &renewal));
    assert_eq!(engine.instances[&KEY].armed_until, Some(ms(3220 + 976)));
    engine
}

/// The same, going on without it: lb2 has been silent.
fn left_alone() -> (Engine, Vec<Action>) {
    let mut engine = leased();
    wait(&mut engine, ms(4096) - Duration::from_nanos(1));
    let actions = plain(engine.step(ms(4096), Input::Timeout));
    (engine, actions)
}

#[test]
fn unanswered_by_voters_and_segment_a_backup_serves_unprotected() {
    let mut engine = probing();
    let actions = plain(engine.step(ms(3260), nobody(1)));
    let taken = [install(&[]), add(5), advert(200), garp(5), told(active(0, &[]), SILENCE)];
    assert_eq!(actions[..5], taken, "out of the fence before it is there");
    assert_eq!(actions[5], told(RouterEvent::Unprotected, "no majority answers, 1 of 2 voters reachable"));
    let asks = request(&actions[6..]);
    assert_eq!(asks.claims[0], Claim { router: KEY, epoch: 1, duration_ms: 1000 }, "a whole lease");
    assert_eq!(actions.len(), 7, "{actions:#?}");
}

#[test]
fn a_connected_voter_is_waited_for() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(2)));
    engine.step(ms(3100), peer_up(LB2));
    assert!(!engine.step(CLAIM, Input::Timeout).contains(&look(1)));
    let late = CLAIM + Duration::from_millis(100);
    wait(&mut engine, late - Duration::from_nanos(1));
    assert!(engine.step(late, Input::Timeout).contains(&look(1)));
}

#[test]
fn who_hangs_up_is_waited_for_no_longer() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(2)));
    engine.step(ms(3100), peer_up(LB2));
    engine.step(CLAIM, Input::Timeout);
    assert!(engine.step(ms(3230), Input::PeerDown { node: LB2, left: true }).contains(&look(1)));
}

#[test]
fn an_address_that_answers_is_a_veto_and_looked_for_again_later_each_time() {
    let mut engine = probing();
    let cause = "10.1.1.80 answers at 02:00:00:00:00:0b";
    let actions = plain(engine.step(ms(3260), somebody(1)));
    let release = Message::Release(vec![Release { router: KEY, epoch: 1, seq: 0, successor: None }]);
    assert_eq!(actions, [send(LB2, release), vetoed(cause)]);
    assert_eq!(engine.instances[&KEY].state(), RouterState::Vetoed);
    assert_eq!(engine.status(ms(3260)).routers[0].veto.as_ref().unwrap().reason, cause);

    let mut last = ms(3260);
    let down = Duration::from_micros(3_218_750);
    for (number, wait) in (2..).zip([1, 2, 4, 8, 16, 19, 19]) {
        let (at, told) = next_look(&mut engine, number);
        let waited = at.since(last);
        let least = (down * wait).min(Duration::from_secs(60));
        assert!(least <= waited && waited <= least * 5 / 4 + down, "{waited:?} after {number} looks");
        assert_eq!(told, Vec::<Decision>::new(), "it is told once");
        engine.step(at, somebody(number));
        last = at;
    }
}

/// Lets timers run until the segment is looked at again: when, and what was told until then.
fn next_look(engine: &mut Engine, number: u64) -> (Instant, Vec<Decision>) {
    let mut told = Vec::new();
    for _ in 0..10_000 {
        let (at, _) = engine.work_due().unwrap();
        for action in engine.step(at, Input::Timeout) {
            if action == look(number) {
                return (at, told);
            }
            told.extend(if let Action::Record(decision) = action { Some(decision) } else { None });
        }
    }
    panic!("it does not look again");
}

#[test]
fn a_daemon_that_does_not_look_ends_the_claim() {
    let mut engine = probing();
    wait(&mut engine, CLAIM + Duration::from_millis(400));
    assert_eq!(engine.instances[&KEY].state(), RouterState::Vetoed);
    assert_eq!(plain(engine.step(ms(3700), nobody(1))), [], "too late");

    let mut engine = probing();
    let failed = Input::Failed { effect: Effect::Probe { probe: 1 }, error: "no buffers".to_owned() };
    let cause = "whether its addresses are in use cannot be found out: no buffers";
    assert_eq!(plain(engine.step(ms(3230), failed)).last(), Some(&vetoed(cause)));
}

#[test]
fn a_majority_that_answers_while_the_segment_is_looked_at_decides() {
    let mut engine = probing();
    let again = request(&engine.step(CLAIM + Duration::from_millis(30), Input::Timeout));
    let at = ms(3250);
    let actions = plain(engine.step(at, granted(LB2, at, &again)));
    assert!(actions.contains(&told(active(1, &["lb1", "lb2"]), SILENCE)), "{actions:#?}");
    assert_eq!(plain(engine.step(ms(3260), somebody(1))), [], "nobody asked any more");

    for remaining_ms in [5, 900] {
        let mut engine = probing();
        let again = request(&engine.step(CLAIM + Duration::from_millis(30), Input::Timeout));
        engine.step(at, held(LB2, at, &again, LB2, remaining_ms));
        engine.step(ms(3260), nobody(1));
        assert!(engine.instances[&KEY].vrrp.is_backup(), "an answer, whatever the segment says");
    }
}

/// One voter that knows a holder outweighs the silence of the others.
#[test]
fn a_holder_that_one_voter_knows_wins_over_silence() {
    let policy = Policy { on_quorum_loss: Some(QuorumLoss::Vrrp), ..Policy::default() };
    let mut engine = started(LB1, vec![VirtualRouter { policy, ..router(200) }], Some(roster(5)));
    engine.step(ms(3100), peer_up(LB2));
    let claim = request(&engine.step(CLAIM, Input::Timeout));
    engine.step(ms(3220), held(LB2, ms(3220), &claim, LB3, 900));
    for n in 0..200 {
        assert!(!engine.step(ms(3220 + n), Input::Timeout).iter().any(is_look));
    }
    assert_eq!(engine.instances[&KEY].veto.as_ref().unwrap().holder, Some(LB3));
}

fn is_look(action: &Action) -> bool {
    matches!(action, Action::ProbeAddresses { .. })
}

#[test]
fn our_own_vote_for_another_is_a_refusal_until_it_has_run_out() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(2)));
    let claims = vec![Claim { router: KEY, epoch: 4, duration_ms: 1000 }];
    engine.step(ms(3100), message(LB2, Message::Request(Request { roster_epoch: 2, seq: 1, claims })));
    let at = ms(4100);
    for n in 0..1000 {
        let now = ms(3100 + n);
        assert!(!engine.step(now, Input::Timeout).iter().any(is_look), "at {now:?}");
    }
    let actions = plain(engine.step(at, Input::Timeout));
    assert_eq!(request(&actions).claims[0].epoch, 6, "5 was refused");
    assert!(actions.contains(&look(1)), "it ran out, lb2 is not there: no need to wait for VRRP's timer");
    engine.step(ms(4140), nobody(1));
    let vacancy = &engine.instances[&KEY].transition.cause;
    assert!(engine.instances[&KEY].vrrp.is_active(), "{vacancy}");
}

#[test]
fn a_voter_that_may_have_forgotten_a_grant_is_no_silence() {
    let owner = router(255);
    let mut engine = started(LB1, vec![owner], Some(roster(2)));
    assert!(engine.instances[&KEY].vrrp.is_backup(), "our own voter has just started");
    let at = engine.instances[&KEY].claim_at.unwrap();
    assert!((ms(3062)..ms(3067)).contains(&at), "{at:?}");
    assert!(engine.step(at, Input::Timeout).contains(&look(1)));
}

#[test]
fn an_advert_of_a_worthier_router_ends_the_claim() {
    for from in [LB2, NodeId(9)] {
        let mut engine = probing();
        engine.step(ms(3230), gossip(&report(LB2, RouterState::Active, 250, 0), LB2));
        engine.step(ms(3240), adverts::multicast(from, 250));
        assert!(engine.instances[&KEY].lease.ballot().is_none());
        assert_eq!(plain(engine.step(ms(3260), nobody(1))), []);
        assert!(engine.instances[&KEY].vrrp.is_backup());
    }
}

#[test]
fn an_owner_goes_on_without_a_gap_and_leaves_the_fence_before_its_lease_ends() {
    let (engine, actions) = left_alone();
    assert_eq!(actions[0], install(&[]));
    assert_eq!(actions[1], told(RouterEvent::Unprotected, "no majority answers, 2 of 2 voters reachable"));
    let asks = request(&actions);
    assert_eq!(asks.claims[0], Claim { router: KEY, epoch: 1, duration_ms: 1000 }, "the same ballot");
    assert_eq!(actions.len(), 3, "nothing else changes: {actions:#?}");
    let status = engine.status(ms(4100));
    assert_eq!(status.cluster.protection, mesh_control::Protection::Unprotected);
    assert_eq!(status.routers[0].protection, mesh_control::RouterProtection::None);
    assert_eq!(status.counters["routers_unprotected"], 1);
    let because = status.routers[0].unprotected_because.as_deref();
    assert_eq!(because, Some("no majority answers, 2 of 2 voters reachable; for 0 s"));
}

#[test]
fn a_lease_that_is_renewed_at_the_last_moment_stays() {
    let mut engine = leased();
    let renewal = request(&engine.step(ms(3970), Input::Timeout));
    wait(&mut engine, ms(4090));
    engine.step(ms(4090), granted(LB2, ms(4090), &renewal));
    wait(&mut engine, ms(4200));
    assert!(engine.instances[&KEY].lease.is_held());
    let status = engine.status(ms(4200));
    assert_eq!(status.routers[0].protection, mesh_control::RouterProtection::Lease);
    assert_eq!(status.counters["routers_unprotected"], 0);
}

/// What was promised for the lease that ended is no new lease; what comes later is.
#[test]
fn an_answer_makes_a_leased_owner_of_it_again() {
    let (mut engine, actions) = left_alone();
    let asks = request(&actions);
    assert!(engine.instances[&KEY].silence.unprotected_since.is_some());
    engine.take_story();
    let began = engine.instances[&KEY].transition.clone();
    let actions = plain(engine.step(ms(4100), granted(LB2, ms(4100), &asks)));
    let voters = vec!["lb1".to_owned(), "lb2".to_owned()];
    let event = RouterEvent::Protected { epoch: 1, voters };
    let cause = "a majority of the voters answers again";
    assert_eq!(
        actions[..4],
        [install(&[VIP]), arm(ms(4096 + 976)), garp(5), told(event, cause)],
        "hosts may know another"
    );
    assert!(engine.instances[&KEY].lease.is_held());
    assert_eq!(engine.take_story(), [], "no takeover: it has served all the time");
    assert_eq!(engine.instances[&KEY].transition, began);
    assert_eq!(engine.status(ms(4101)).routers[0].protection, mesh_control::RouterProtection::Lease);
}

#[test]
fn a_voter_that_comes_back_is_asked_at_once() {
    let mut engine = unprotected();
    engine.step(ms(3300), Input::Timeout);
    let asks = request(&engine.step(ms(3301), peer_up(LB2)));
    let actions = plain(engine.step(ms(3302), granted(LB2, ms(3302), &asks)));
    assert_eq!(actions[..2], [install(&[VIP]), arm(ms(3301 + 976))]);
}

/// lb2 serves without a lease as well, and each has but its own vote.
#[test]
fn of_two_owners_without_a_lease_the_worthier_stays() {
    let meets = |theirs: u8| {
        let (mut engine, actions) = left_alone();
        engine.step(ms(4097), gossip(&report(LB2, RouterState::Active, theirs, 0), LB2));
        let actions = plain(engine.step(ms(4098), held(LB2, ms(4098), &request(&actions), LB2, 900)));
        (engine, actions)
    };
    let (engine, actions) = meets(150);
    assert_eq!(actions, []);
    assert!(engine.instances[&KEY].vrrp.is_active());

    let (engine, actions) = meets(250);
    assert_eq!(actions[..3], [install(&[VIP]), del(), advert(0)]);
    let release = Message::Release(vec![Release { router: KEY, epoch: 1, seq: 0, successor: None }]);
    assert!(actions.contains(&send(LB2, release)), "{actions:#?}");
    assert!(actions.contains(&told(RouterEvent::Backup, "lb2 serves without a lease, too, and is worthier")));
    assert!(engine.instances[&KEY].vrrp.is_backup());
}

/// Where it is not certain that the other has no majority, it may have one.
#[test]
fn a_holder_that_may_have_a_majority_ends_it() {
    let policy =
        Policy { on_quorum_loss: Some(QuorumLoss::Vrrp), quorum_loss_delay: Some(Duration::ZERO), ..Policy::default() };
    let mut engine = started(LB1, vec![VirtualRouter { policy, ..router(200) }], Some(roster(3)));
    engine.step(CLAIM, Input::Timeout);
    let asks = request(&engine.step(ms(3260), nobody(1)));
    assert!(engine.instances[&KEY].vrrp.is_active());
    engine.step(ms(3261), gossip(&report(LB2, RouterState::Active, 100, 0), LB2));
    let actions = plain(engine.step(ms(3262), held(LB2, ms(3262), &asks, LB2, 900)));
    assert!(actions.contains(&told(RouterEvent::Backup, "lb2 holds the lease")), "lb3 may vote for it: {actions:#?}");
}

#[test]
fn an_owner_that_was_refused_does_not_go_on() {
    let mut engine = leased();
    let renewal = request(&engine.step(ms(3970), Input::Timeout));
    engine.step(ms(3971), held(LB2, ms(3971), &renewal, LB2, 900));
    wait(&mut engine, ms(4196));
    assert!(engine.instances[&KEY].vrrp.is_backup());
}

#[test]
fn after_its_end_a_lease_is_retired_as_ever() {
    let mut engine = leased();
    wait(&mut engine, ms(4095));
    let actions = plain(engine.step(ms(4196), Input::Timeout));
    assert_eq!(actions[..3], [close(), del(), advert(0)], "the kernel's fence has closed");
    assert!(!actions.iter().any(is_look));
    assert!(engine.instances[&KEY].vrrp.is_backup());
}

/// Whoever was stopped begins with listening, and then looks.
#[test]
fn a_node_that_stood_still_does_not_go_on_unprotected() {
    let mut engine = unprotected();
    let now = ms(20_000);
    let actions = plain(engine.step(now, Input::Timeout));
    assert_eq!(actions[..3], [install(&[VIP]), del(), advert(0)]);
    let listens = engine.instances[&KEY].vrrp.deadline().unwrap();
    assert_eq!(listens, now + Duration::from_micros(3_218_750));
    wait(&mut engine, listens - Duration::from_nanos(1));
    assert!(engine.instances[&KEY].lease.ballot().is_none());
    assert!(engine.step(listens, Input::Timeout).contains(&look(2)));

    // Amid a claim.
    let mut engine = probing();
    engine.step(now, nobody(1));
    assert!(engine.instances[&KEY].vrrp.is_backup(), "that was before it stood still");
    assert!(engine.instances[&KEY].lease.ballot().is_none());
}

#[test]
fn a_daemon_that_stood_still_amid_effects_begins_anew() {
    let mut engine = unprotected();
    let actions = plain(engine.step(ms(3261), Input::Stalled));
    assert_eq!(actions[..3], [install(&[VIP]), del(), advert(0)]);
    assert_eq!(actions.last(), Some(&install(&[VIP])), "whatever was left out");

    let mut engine = holding();
    let end = engine.instances[&KEY].armed_until.unwrap();
    assert_eq!(plain(engine.step(ms(3300), Input::Stalled)), [install(&[VIP]), arm(end)]);
}

#[test]
fn three_voters_fall_back_only_where_that_is_wanted_and_after_the_delay() {
    let with = |loss, delay| {
        let policy = Policy { on_quorum_loss: loss, quorum_loss_delay: delay, ..Policy::default() };
        started(LB1, vec![VirtualRouter { policy, ..router(200) }], Some(roster(3)))
    };
    let first_look = |mut engine: Engine| {
        while let Some((at, _)) = engine.work_due().filter(|(at, _)| *at < ms(30_000)) {
            if engine.step(at, Input::Timeout).iter().any(is_look) {
                return Some(at);
            }
        }
        None
    };
    assert_eq!(first_look(with(None, None)), None);
    assert_eq!(first_look(with(Some(QuorumLoss::Fence), Some(Duration::ZERO))), None);
    let vrrp = Some(QuorumLoss::Vrrp);
    assert_eq!(first_look(with(vrrp, None)), Some(CLAIM), "three adverts and the skew after the start");
    assert_eq!(first_look(with(vrrp, Some(Duration::ZERO))), Some(CLAIM));
    let late = first_look(with(vrrp, Some(Duration::from_secs(10)))).unwrap();
    assert!((ms(10_000)..ms(13_400)).contains(&late), "{late:?}");
}

/// With three voters the others may have a majority: an owner lets go, and comes back by listening.
#[test]
fn an_owner_among_three_lets_go_before_it_falls_back() {
    let policy = Policy { on_quorum_loss: Some(QuorumLoss::Vrrp), ..Policy::default() };
    let mut engine = started(LB1, vec![VirtualRouter { policy, ..router(200) }], Some(roster(3)));
    engine.step(ms(3100), peer_up(LB2));
    let first = request(&engine.step(CLAIM, Input::Timeout));
    engine.step(ms(3220), granted(LB2, ms(3220), &first));
    let end = engine.instances[&KEY].armed_until.unwrap();
    wait(&mut engine, end);
    assert!(engine.instances[&KEY].vrrp.is_backup());
    engine.step(end, Input::PeerDown { node: LB2, left: false });
    let (at, _) = next_look(&mut engine, 1);
    assert!(at >= end + Duration::from_micros(3_218_750), "{at:?}");
}

#[test]
fn the_mesh_s_word_holds_where_a_router_has_none() {
    let mut all = config(vec![router(200)]);
    all.mesh.policy.on_quorum_loss = Some(QuorumLoss::Fence);
    let mut engine = Engine::new(setup(LB1, Some(roster(2))), all, Instant::default());
    engine.step(Instant::default(), Input::Interface(eth0(LB1)));
    for n in 0..200 {
        assert!(!engine.step(ms(100 * n), Input::Timeout).iter().any(is_look));
    }
}

#[test]
fn a_release_is_taken_up_at_once() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(2)));
    engine.step(ms(3100), peer_up(LB2));
    let claims = vec![Claim { router: KEY, epoch: 4, duration_ms: 1000 }];
    engine.step(ms(3100), message(LB2, Message::Request(Request { roster_epoch: 2, seq: 1, claims })));
    let release = vec![Release { router: KEY, epoch: 4, seq: u64::MAX, successor: Some(LB1) }];
    let claim = request(&engine.step(ms(3200), message(LB2, Message::Release(release))));
    assert_eq!(claim.claims[0].epoch, 5);
    assert!(engine.step(ms(3202), Input::PeerDown { node: LB2, left: true }).contains(&look(1)));
    let actions = plain(engine.step(ms(3243), nobody(1)));
    assert!(actions.contains(&told(active(0, &[]), "lb2 released the lease")), "{actions:#?}");
}

#[test]
fn a_stop_without_a_lease_gives_everything_back() {
    let mut engine = unprotected();
    let actions = plain(engine.step(ms(3300), Input::Shutdown));
    let vacant = Vacant { router: KEY, owner: LB1, epoch: 1, released: true, reserved_for: None };
    assert!(!actions.contains(&send(LB2, Message::Vacant(vec![vacant]))), "not connected");
    assert_eq!(actions[..2], [del(), advert(0)]);
    assert_eq!(actions[actions.len() - 2..], [install(&[]), Action::Stopped]);
}

/// Two served; whoever stays tells hosts where the address is, though it never heard the other's adverts.
#[test]
fn one_that_yields_without_a_lease_says_so_and_the_other_announces_itself() {
    let mut engine = unprotected();
    let actions = plain(engine.step(ms(3400), adverts::multicast(LB2, 250)));
    assert_eq!(actions[..3], [install(&[VIP]), del(), advert(0)]);
    let mut engine = unprotected();
    assert_eq!(plain(engine.step(ms(3400), adverts::multicast(LB2, 0))), [advert(200), garp(1)]);
}

/// lb2 votes under an epoch that lb3 raised, lb1 itself under the one before: no epoch has a majority.
#[test]
fn a_majority_after_silence_is_one_under_a_single_epoch() {
    let policy =
        Policy { on_quorum_loss: Some(QuorumLoss::Vrrp), quorum_loss_delay: Some(Duration::ZERO), ..Policy::default() };
    let mut engine = started(LB1, vec![VirtualRouter { policy, ..router(200) }], Some(roster(5)));
    engine.step(CLAIM, Input::Timeout);
    let asks = request(&engine.step(ms(3260), nobody(1)));
    engine.step(ms(3261), granted(LB2, ms(3261), &asks));
    let again = request(&engine.step(ms(3262), reply(LB3, ms(3262), &asks, Vote::Stale { max_epoch: 9 })));
    assert_eq!(again.claims[0].epoch, 10);
    engine.step(ms(3263), granted(LB3, ms(3263), &again));
    assert!(!engine.instances[&KEY].lease.is_held(), "lb2 knows nothing of epoch 10, and may grant 2 to another");
    engine.step(ms(3264), granted(LB2, ms(3264), &again));
    assert_eq!(engine.instances[&KEY].held_epoch(), 10);
}

/// Who said "never two owners" gets that also while the third voter is new.
#[test]
fn the_third_voter_s_time_is_no_excuse_where_a_fence_is_wanted() {
    for (word, serves) in [(Some(QuorumLoss::Fence), false), (None, true)] {
        let policy = Policy { on_quorum_loss: word, ..Policy::default() };
        let mut engine = started(LB1, vec![VirtualRouter { policy, ..router(200) }], Some(roster(2)));
        engine.step(ms(3100), peer_up(LB2));
        let first = request(&engine.step(CLAIM, Input::Timeout));
        engine.step(ms(3220), granted(LB2, ms(3220), &first));
        let end = engine.instances[&KEY].armed_until.unwrap();
        engine.step(ms(3300), Input::Roster(roster(3)));
        wait(&mut engine, end + Duration::from_millis(1));
        assert_eq!(engine.instances[&KEY].vrrp.is_active(), serves, "{word:?}");
    }
}
