//! Rosters: who may propose what, and a mesh that grows and shrinks while it serves.

use mesh_wire::mesh::lease::Claim;

use super::actions::*;
use super::*;

fn offered(ticket: Option<u64>, roster: Roster) -> Input {
    Input::Roster { ticket, roster }
}

fn verdict(ticket: u64, verdict: Result<(), Roster>) -> Action {
    Action::RosterVerdict { ticket, verdict }
}

fn adopted(roster: &Roster) -> [Action; 2] {
    let voters = roster.voters().map(|m| m.name.clone()).collect();
    [Action::AdoptRoster(roster.clone()), Action::Record(Decision::Roster { epoch: roster.epoch, voters })]
}

#[test]
fn a_proposal_is_one_epoch_ahead() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(1)));
    let mut expected = adopted(&roster(2)).to_vec();
    let text = "UNPROTECTED: 2 of 3 voters have joined; until then VRRP decides alone whenever no majority answers";
    expected.push(Action::Record(Decision::Warning { text: text.to_owned() }));
    expected.push(verdict(7, Ok(())));
    assert_eq!(plain(engine.step(ms(1), offered(Some(7), roster(2)))), expected, "adopted before the yes");
    assert_eq!(plain(engine.step(ms(2), offered(Some(8), roster(2)))), [verdict(8, Ok(()))], "asked again");

    let mut other = roster(2);
    other.members[1].name = "lb9".to_owned();
    assert_eq!(plain(engine.step(ms(3), offered(Some(9), other))), [verdict(9, Err(roster(2)))], "one per epoch");
    assert_eq!(plain(engine.step(ms(3), offered(Some(9), roster(1)))), [verdict(9, Err(roster(2)))]);
    assert_eq!(plain(engine.step(ms(3), offered(Some(9), roster(4)))), [verdict(9, Err(roster(2)))]);
    let foreign = Roster { cluster: "other".to_owned(), ..roster(3) };
    assert_eq!(plain(engine.step(ms(3), offered(Some(9), foreign.clone()))), [verdict(9, Err(roster(2)))]);
    assert_eq!(plain(engine.step(ms(3), offered(None, foreign))), []);
}

#[test]
fn what_a_majority_agreed_on_may_be_any_newer_one() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(1)));
    engine.step(ms(0), peer_up(LB2));
    assert_eq!(plain(engine.step(ms(1), offered(None, roster(1)))), []);
    engine.step(ms(1), offered(None, roster(2)));
    engine.step(ms(1), peer_up(LB2));
    let actions = plain(engine.step(ms(2), message(LB2, Message::Roster(roster(3)))));
    assert_eq!(actions[..2], adopted(&roster(3)));
    assert_eq!(actions[2], send(LB2, Message::Roster(roster(3))), "passed on");
    assert_eq!(actions.len(), 3, "fenced since the start: {actions:#?}");
}

#[test]
fn without_a_mesh_there_is_nothing_to_change() {
    let mut engine = plain_active();
    assert_eq!(plain(engine.step(ms(3300), offered(None, roster(3)))), []);
}

#[test]
fn a_request_under_another_roster_is_refused_and_the_newer_roster_sent() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    engine.step(ms(3100), peer_up(LB2));
    let old = Request { roster_epoch: 2, seq: 5, claims: vec![Claim { router: KEY, epoch: 1, duration_ms: 400 }] };
    let reply =
        Reply { seq: 5, clock_ns: ms(3100).as_nanos(), roster_epoch: 3, verdicts: vec![(KEY, Vote::WrongRoster)] };
    let expected = [send(LB2, Message::Roster(roster(3))), send(LB2, Message::Reply(reply))];
    assert_eq!(plain(engine.step(ms(3100), message(LB2, Message::Request(old)))), expected);
    assert_eq!(engine.voter.holder(ms(3100), &KEY), None);
}

/// lb1 alone, holding the lease by its own vote, then a second member joins.
fn joined_by_one() -> (Engine, Vec<Action>) {
    let mut engine = started(LB1, vec![router(200)], Some(roster(1)));
    engine.step(CLAIM, Input::Timeout);
    assert!(engine.instances[&KEY].lease.is_held());
    wait(&mut engine, ms(4000));
    let actions = plain(engine.step(ms(4000), offered(Some(1), roster(2))));
    (engine, actions)
}

/// The same, and a third before the second has answered anything.
fn grown() -> (Engine, Vec<Action>) {
    let (mut engine, _) = joined_by_one();
    wait(&mut engine, ms(5000));
    let actions = plain(engine.step(ms(5000), offered(Some(2), roster(3))));
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
    engine.step(ms(3300), offered(None, roster(4)));
    wait(&mut engine, ms(4300));
    assert!(!engine.instances[&KEY].vrrp.is_active());
}

#[test]
fn shrinking_below_three_voters_keeps_the_lease() {
    let mut engine = holding();
    let two = Roster { epoch: 4, ..roster(2) };
    let actions = plain(engine.step(ms(3300), offered(None, two)));
    assert!(!actions.iter().any(|a| matches!(a, Action::FenceInstall { .. })), "{actions:#?}");
    let renewal = request(&actions);
    assert_eq!(plain(engine.step(ms(3301), granted(LB2, ms(3301), &renewal))), [arm(ms(3300 + 976))]);
    wait(&mut engine, ms(7300));
    assert!(engine.instances[&KEY].vrrp.is_active(), "and two voters may go on when one is silent");
    assert_eq!(plain(engine.step(ms(7300), Input::Shutdown))[0], del());
}

#[test]
fn a_roster_without_voters_is_survived() {
    let (mut engine, _) = asking();
    let none = Roster { epoch: 9, members: Vec::new(), ..roster(3) };
    engine.step(ms(3230), offered(None, none));
    for n in 0..10 {
        engine.step(ms(3300 + 1000 * n), Input::Timeout);
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
    engine.step(ms(3221), offered(None, four));
    engine.step(ms(3222), granted(LB2, ms(3222), &first));
    assert!(!engine.instances[&KEY].vrrp.is_active(), "two of four");
    engine.step(ms(3223), granted(LB3, ms(3223), &first));
    assert!(engine.instances[&KEY].vrrp.is_active(), "three of four");
}
