//! Rosters: what a new one changes, and a mesh that grows and shrinks while it serves.

use mesh_control::Protection;
use mesh_wire::mesh::consensus::{Consensus, Step};
use mesh_wire::mesh::roster::{Ballot, Tombstone};

use mesh_wire::mesh::lease::Claim;

use super::actions::*;
use super::*;
use crate::action::Effect;
use crate::roster::{Change, ChangeRefusal, State};

fn adopted(roster: &Roster) -> [Action; 2] {
    let voters = roster.voters().map(|m| m.name.clone()).collect();
    [Action::AdoptRoster(roster.clone()), Action::Record(Decision::Roster { epoch: roster.epoch, voters })]
}

fn store(ticket: u64, roster: Roster) -> Action {
    Action::StoreRoster { ticket, state: State::from(roster) }
}

#[test]
fn a_committed_roster_is_adopted_kept_and_passed_on() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(1)));
    assert_eq!(plain(engine.step(ms(1), Input::Roster(roster(1)))), [], "known");
    let foreign = Roster { cluster: "other".to_owned(), ..roster(3) };
    assert_eq!(plain(engine.step(ms(1), Input::Roster(foreign))), []);
    let mut expected = adopted(&roster(2)).to_vec();
    expected.push(store(1, roster(2)));
    assert_eq!(plain(engine.step(ms(1), Input::Roster(roster(2)))), expected);
    engine.step(ms(1), peer_up(LB2));
    let actions = plain(engine.step(ms(2), message(LB2, Message::Roster(roster(3).into()))));
    let mut expected = adopted(&roster(3)).to_vec();
    expected.extend([send(LB2, Message::Roster(roster(3).into())), store(2, roster(3))]);
    assert_eq!(actions, expected, "fenced since the start");
}

/// A voter's promise leaves when it is on disk; the disk keeps nothing else waiting.
#[test]
fn a_promise_waits_for_the_disk() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    engine.step(ms(1), peer_up(LB2));
    let ballot = Ballot { round: 1, proposer: LB2 };
    let ask = Message::Consensus(Consensus { epoch: 4, ballot, step: Step::Prepare });
    let mut state = State::from(roster(3));
    state.successor.promised = Some(ballot);
    let actions = plain(engine.step(ms(2), message(LB2, ask)));
    assert_eq!(actions, [Action::StoreRoster { ticket: 1, state }]);
    let promise = Message::Consensus(Consensus { epoch: 4, ballot, step: Step::Promise { accepted: None } });
    assert_eq!(plain(engine.step(ms(3), Input::RosterStored { ticket: 1 })), [send(LB2, promise)]);
}

#[test]
fn a_disk_that_fails_is_told_once() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(1)));
    engine.step(ms(1), Input::Roster(roster(2)));
    let failed = || Input::Failed { effect: Effect::Roster, error: "no space".to_owned() };
    let text = "the roster cannot be written to disk, this node does not vote on rosters: no space".to_owned();
    assert_eq!(plain(engine.step(ms(2), failed())), [Action::Record(Decision::Warning { text })]);
    assert_eq!(plain(engine.step(ms(1002), Input::Timeout)), [store(1, roster(2))], "and tried again");
    assert_eq!(plain(engine.step(ms(1003), failed())), []);
}

#[test]
fn a_member_that_is_there_gets_a_vote_when_there_are_few() {
    let mut two = roster(2);
    two.members[1].voter = false;
    let mut engine = started(LB1, vec![router(200)], Some(two));
    // The host has just booted: this voter may have granted something before.
    let asked = plain(engine.step(ms(3100), peer_up(LB2)));
    assert!(matches!(asked.last(), Some(Action::StoreRoster { ticket: 1, .. })), "{asked:#?}");
    engine.step(ms(3101), Input::RosterStored { ticket: 1 });
    let actions = plain(engine.step(ms(3102), Input::RosterStored { ticket: 2 }));
    assert_eq!(actions[..2], adopted(&Roster { epoch: 3, ..roster(2) }), "{actions:#?}");
}

#[test]
fn a_refused_change_is_answered() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(1)));
    let change = Change::RemoveVoter(LB1);
    let actions = plain(engine.step(ms(1), Input::ChangeRoster { ticket: 7, change }));
    let result = Err(ChangeRefusal::LastVoter { name: "lb1".to_owned() });
    assert_eq!(actions, [Action::RosterChanged { ticket: 7, result }]);
}

/// lb1's roster without lb1.
fn without_lb1(voters: u64) -> Roster {
    let mut next = Roster { epoch: 9, ..roster(voters + 1) };
    next.members.remove(0);
    next.removed = vec![Tombstone { id: LB1, epoch: 9 }];
    next
}

#[test]
fn who_was_removed_lets_go_at_once_and_for_good() {
    let cause = "this node was removed from the mesh by roster epoch 9";
    for left in [2, 3] {
        let mut engine = holding();
        let actions = plain(engine.step(ms(3300), Input::Roster(without_lb1(left))));
        let expected = [close(), del(), advert(0)];
        assert_eq!(actions[..3], expected, "{actions:#?}");
        assert!(actions.contains(&told(RouterEvent::Fault, cause)));
        let warned = actions.iter().any(|a| matches!(a, Action::Record(Decision::Warning { .. })));
        assert!(!warned, "who serves nothing needs no protection: {actions:#?}");
        for n in 0..60 {
            let later = engine.step(ms(4000 + 1000 * n), Input::Interface(eth0(LB1)));
            assert!(!later.iter().any(|a| matches!(a, Action::AddAddress { .. } | Action::FenceArm { .. })));
        }
        assert_eq!(engine.instances[&KEY].fault.as_deref(), Some(cause));
        engine.step(ms(70_000), Input::Configure(Box::new(config(vec![router(100)]))));
        assert_eq!(engine.instances[&KEY].fault.as_deref(), Some(cause), "a new configuration helps nothing");
        let cluster = engine.status(ms(70_000)).cluster;
        assert_eq!((cluster.protection, cluster.unprotected_because.as_deref()), (Protection::None, Some(cause)));
        // Nor does it vote.
        let asked =
            Request { roster_epoch: 9, seq: 5, claims: vec![Claim { router: KEY, epoch: 9, duration_ms: 400 }] };
        engine.step(ms(70_001), message(LB2, Message::Request(asked)));
        assert_eq!(engine.voter.holder(ms(70_001), &KEY), None);
    }
}

#[test]
fn a_removed_member_is_told_before_it_is_cut_off() {
    let mut engine = started(LB2, vec![router(100)], Some(roster(3)));
    engine.step(ms(1), peer_up(LB1));
    let without = without_lb1(2);
    let actions = plain(engine.step(ms(2), Input::Roster(without.clone())));
    let told = actions.iter().position(|a| *a == send(LB1, Message::Roster(without.clone().into())));
    let adopted = actions.iter().position(|a| *a == Action::AdoptRoster(without.clone()));
    assert!(told.unwrap() < adopted.unwrap(), "{actions:#?}");
}

#[test]
fn without_a_mesh_there_is_nothing_to_change() {
    let mut engine = plain_active();
    assert_eq!(plain(engine.step(ms(3300), Input::Roster(roster(3)))), []);
}

#[test]
fn a_request_under_another_roster_is_refused_and_the_newer_roster_sent() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    engine.step(ms(3100), peer_up(LB2));
    let old = Request { roster_epoch: 2, seq: 5, claims: vec![Claim { router: KEY, epoch: 1, duration_ms: 400 }] };
    let reply =
        Reply { seq: 5, clock_ns: ms(3100).as_nanos(), roster_epoch: 3, verdicts: vec![(KEY, Vote::WrongRoster)] };
    let expected = [send(LB2, Message::Roster(roster(3).into())), send(LB2, Message::Reply(reply))];
    assert_eq!(plain(engine.step(ms(3100), message(LB2, Message::Request(old)))), expected);
    assert_eq!(engine.voter.holder(ms(3100), &KEY), None);
}

/// lb1 alone, holding the lease by its own vote, then a second member joins.
fn joined_by_one() -> (Engine, Vec<Action>) {
    let mut engine = started(LB1, vec![router(200)], Some(roster(1)));
    engine.step(CLAIM, Input::Timeout);
    assert!(engine.instances[&KEY].lease.is_held());
    wait(&mut engine, ms(4000));
    let actions = plain(engine.step(ms(4000), Input::Roster(roster(2))));
    (engine, actions)
}

/// The same, and a third before the second has answered anything.
fn grown() -> (Engine, Vec<Action>) {
    let (mut engine, _) = joined_by_one();
    wait(&mut engine, ms(5000));
    let actions = plain(engine.step(ms(5000), Input::Roster(roster(3))));
    (engine, actions)
}

#[test]
fn a_founder_holds_the_lease_by_its_own_vote() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(1)));
    let actions = plain(engine.step(CLAIM, Input::Timeout));
    let until = CLAIM + Duration::from_micros(378_400);
    assert_eq!(actions[..5], [arm(until), add(3), advert(200), garp(5), told(active(1, &["lb1"]), SILENCE)]);
    assert_eq!(actions[5..], [arm(CLAIM + Duration::from_millis(976))], "renewed at once, by nobody else");
    wait(&mut engine, ms(60_000));
    assert!(engine.instances[&KEY].lease.is_held());
}

#[test]
fn a_lease_goes_on_under_the_next_roster() {
    let (mut engine, actions) = joined_by_one();
    let renewal = request(&actions);
    assert_eq!((renewal.roster_epoch, renewal.claims[0].epoch, renewal.claims[0].duration_ms), (2, 1, 1000));
    let opened = plain(engine.step(ms(4001), granted(LB2, ms(4001), &renewal)));
    assert_eq!(opened, [arm(ms(4000 + 976))], "two of two");
}

#[test]
fn an_owner_whose_new_peer_is_silent_goes_on_and_takes_its_address_out_of_the_fence_in_time() {
    let (mut engine, _) = joined_by_one();
    let end = engine.instances[&KEY].armed_until.unwrap();
    let decides = end - Duration::from_millis(100);
    wait(&mut engine, decides - Duration::from_nanos(1));
    let actions = plain(engine.step(decides, Input::Timeout));
    let cause = "no majority answers, 1 of 2 voters reachable";
    assert_eq!(actions[..2], [install(&[]), told(RouterEvent::Unprotected, cause)]);
    assert_eq!(request(&actions).claims[0], Claim { router: KEY, epoch: 1, duration_ms: 1000 }, "and asks on");
}

#[test]
fn growing_to_three_voters_goes_on_serving_and_asks() {
    let (mut engine, actions) = grown();
    assert!(engine.instances[&KEY].silence.unprotected_since.is_some());
    let first = request(&actions);
    assert_eq!(first.claims[0], Claim { router: KEY, epoch: 1, duration_ms: 1000 });
    let renewed = plain(engine.step(ms(5001), granted(LB2, ms(5001), &first)));
    let protected = RouterEvent::Protected { epoch: 1, voters: vec!["lb1".to_owned(), "lb2".to_owned()] };
    let cause = "a majority of the voters answers again";
    assert_eq!(renewed[..4], [install(&[VIP]), arm(ms(5000 + 976)), garp(5), told(protected, cause)]);
    assert!(!renewed.iter().any(|a| matches!(a, Action::AddAddress { .. } | Action::DelAddress { .. })), "untouched");
    assert_eq!(engine.instances[&KEY].silence.unprotected_since, None);
}

/// Whoever served without a lease and lets go is fenced from then on: the lease it gets later has
/// to be enforced.
#[test]
fn letting_go_without_a_lease_closes_the_fence_too() {
    let (mut engine, actions) = grown();
    let first = request(&actions);
    let actions = plain(engine.step(ms(5001), held(LB3, ms(5001), &first, LB3, 900)));
    assert_eq!(actions[..3], [install(&[VIP]), del(), advert(0)]);
    assert!(actions.contains(&told(RouterEvent::Backup, "lb3 holds the lease")), "{actions:#?}");
}

#[test]
fn the_grace_without_a_lease_ends() {
    let (mut engine, _) = grown();
    wait(&mut engine, ms(10_000) - Duration::from_nanos(1));
    assert!(engine.instances[&KEY].vrrp.is_active());
    wait(&mut engine, ms(10_000));
    assert!(!engine.instances[&KEY].vrrp.is_active());
}

/// Only a mesh that had too few voters until then has to wait for new ones.
#[test]
fn there_is_no_grace_beyond_three_voters() {
    let mut engine = holding();
    engine.step(ms(3300), Input::Roster(roster(4)));
    wait(&mut engine, ms(4300));
    assert!(!engine.instances[&KEY].vrrp.is_active());
}

#[test]
fn shrinking_below_three_voters_keeps_the_lease() {
    let mut engine = holding();
    let two = Roster { epoch: 4, ..roster(2) };
    let actions = plain(engine.step(ms(3300), Input::Roster(two)));
    assert!(!actions.iter().any(|a| matches!(a, Action::FenceInstall { .. })), "{actions:#?}");
    let renewal = request(&actions);
    assert_eq!(plain(engine.step(ms(3301), granted(LB2, ms(3301), &renewal))), [arm(ms(3300 + 976))]);
    wait(&mut engine, ms(7300));
    assert!(engine.instances[&KEY].vrrp.is_active(), "and two voters may go on when one is silent");
    assert_eq!(plain(engine.step(ms(7300), Input::Shutdown))[0], del());
}

/// Neither one that lists nobody, this node included, nor one in which nobody votes has it serve.
#[test]
fn a_roster_without_voters_is_survived() {
    let mut silent = Roster { epoch: 9, ..roster(3) };
    silent.members.iter_mut().for_each(|member| member.voter = false);
    let empty = Roster { members: Vec::new(), ..silent.clone() };
    let removed = "this node was removed from the mesh by roster epoch 9";
    let too_few = "0 of 3 voters have joined; until then VRRP decides alone whenever no majority answers";
    for (roster, why) in [(empty, removed), (silent, too_few)] {
        let (mut engine, _) = asking();
        engine.step(ms(3230), Input::Roster(roster));
        for n in 0..10 {
            let now = ms(3300 + 1000 * n);
            assert_eq!(plain(engine.step(now, Input::Timeout)), [], "{why}");
            let cluster = engine.status(now).cluster;
            assert_eq!(cluster.unprotected_because.as_deref(), Some(why));
            assert_eq!((cluster.quorum.voters, cluster.quorum.needed), (0, 1));
        }
        assert!(!engine.instances[&KEY].vrrp.is_active(), "{why}");
    }
}

/// Promises of a node that does not vote any more do not count.
#[test]
fn a_roster_that_changes_while_asking_counts_its_own_voters() {
    let five = Roster { epoch: 5, ..roster(5) };
    let mut engine = started(LB1, vec![router(200)], Some(five.clone()));
    let first = request(&engine.step(CLAIM, Input::Timeout));
    engine.step(ms(3220), granted(NodeId(5), ms(3220), &first));
    let mut four = Roster { epoch: 6, ..five };
    four.members[4].voter = false;
    engine.step(ms(3221), Input::Roster(four));
    engine.step(ms(3222), granted(LB2, ms(3222), &first));
    assert!(!engine.instances[&KEY].vrrp.is_active(), "two of four");
    engine.step(ms(3223), granted(LB3, ms(3223), &first));
    assert!(engine.instances[&KEY].vrrp.is_active(), "three of four");
}

/// A restart can be over before anybody notices the loss: no connection comes up anew then.
#[test]
fn a_connected_member_with_an_older_roster_is_sent_the_newer() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    engine.step(ms(1), peer_up(LB2));
    let says = |roster_epoch| {
        let value = format!(
            r#"{{"role":"director","version":"1","config_digest":"","draining":false,"roster_epoch":{roster_epoch}}}"#
        );
        Input::Gossip { node: LB2, key: NODE_KEY.to_owned(), value: Some(value) }
    };
    engine.step(ms(2), says(3));
    assert_eq!(plain(engine.step(ms(3), peer_up(LB2))), []);
    engine.step(ms(4), says(2));
    assert_eq!(plain(engine.step(ms(5), peer_up(LB2))), [send(LB2, Message::Roster(roster(3).into()))]);
}
