//! What is remembered, when, and what a node does that cannot.

use mesh_wire::mesh::lease::{Release, Vacant};

use super::actions::*;
use super::*;
use crate::action::Effect;
use crate::lease::memory::{Changes, MEMORY_RETRY};

fn asks(from: NodeId, seq: u64, epoch: u64) -> Input {
    let claims = vec![Claim { router: KEY, epoch, duration_ms: 1000 }];
    message(from, Message::Request(Request { roster_epoch: 3, seq, claims }))
}

fn remembered(actions: &[Action]) -> Vec<&Changes> {
    actions.iter().filter_map(|a| if let Action::Remember(changes) = a { Some(changes) } else { None }).collect()
}

fn verdict(actions: &[Action]) -> Option<Vote> {
    actions.iter().find_map(|a| match a {
        Action::SendMessage { message: Message::Reply(reply), .. } => reply.verdicts.first().map(|(_, v)| *v),
        _ => None,
    })
}

fn position(actions: &[Action], what: impl Fn(&Action) -> bool) -> usize {
    actions.iter().position(what).unwrap_or_else(|| panic!("not among {actions:#?}"))
}

fn failed() -> Input {
    Input::Failed { effect: Effect::Memory, error: "read-only file system".to_owned() }
}

#[test]
fn a_grant_is_remembered_before_the_reply() {
    let mut engine = started(LB1, Vec::new(), Some(roster(3)));
    let actions = engine.step(ms(3100), asks(LB2, 1, 1));
    assert_eq!(remembered(&actions).len(), 1);
    let remember = position(&actions, |a| matches!(a, Action::Remember(_)));
    let reply = position(&actions, |a| matches!(a, Action::SendMessage { .. }));
    assert!(remember < reply);
    let again = engine.step(ms(3100), asks(LB2, 1, 1));
    assert_eq!(remembered(&again).len(), 0, "a duplicate changes nothing");
}

#[test]
fn our_own_vote_is_remembered_before_the_fence_opens_by_it() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    let asked = engine.step(CLAIM, Input::Timeout);
    let first = request(&asked);
    assert_eq!(remembered(&asked).len(), 1, "one for a step");
    let remember = position(&asked, |a| matches!(a, Action::Remember(_)));
    let sent = position(&asked, |a| matches!(a, Action::SendMessage { .. }));
    assert!(remember < sent, "an epoch is asked for once, also after a restart");
    let won = engine.step(ms(3220), granted(LB2, ms(3220), &first));
    let remember = position(&won, |a| matches!(a, Action::Remember(_)));
    assert!(remember < position(&won, |a| matches!(a, Action::FenceArm { .. })), "our renewal's grant");
}

#[test]
fn a_restart_goes_on_where_the_run_before_was() {
    let mut before = started(LB1, vec![router(200)], Some(roster(3)));
    let mut slots = BTreeMap::new();
    let mut run = |now, input| {
        let actions = before.step(now, input);
        slots.extend(remembered(&actions).into_iter().flat_map(|c| c.slots.clone()));
        actions
    };
    let two = Request { roster_epoch: 3, seq: 7, claims: vec![Claim { router: key(52), epoch: 5, duration_ms: 1000 }] };
    run(ms(3100), message(LB2, Message::Request(two)));
    let first = request(&run(CLAIM, Input::Timeout));
    run(ms(3220), granted(LB2, ms(3220), &first));

    let voter = VoterStart::remembered(slots.into_iter().collect());
    let setup = Setup { voter, ..setup(LB1, Some(roster(3))) };
    let mut after = Engine::new(setup, config(vec![router(200)]), ms(3300));
    let actions = after.step(ms(3300), Input::Interface(eth0(LB1)));
    assert_eq!(plain(actions)[..3], [sweep(), run_nothing(), install(&[VIP])], "first of all");
    assert_eq!(after.voter.holder(ms(3300), &KEY), None, "its own lease ended with the run before");
    let actions = after.step(ms(3301), asks(LB3, 1, 2));
    assert_eq!(verdict(&actions), Some(Vote::Granted { epoch: 2 }), "so that another may have it");
    let other = Request { seq: 1, claims: vec![Claim { router: key(52), epoch: 6, duration_ms: 400 }], ..first };
    let veto = Vote::Held { owner: LB2, epoch: 5, remaining_ms: 798 };
    assert_eq!(verdict(&after.step(ms(3302), message(LB3, Message::Request(other)))), Some(veto), "no quarantine");
}

fn run_nothing() -> Action {
    run(&[])
}

/// Its wall clock may have been set back: what it sends must still come after what it sent.
#[test]
fn requests_of_the_next_run_follow_those_of_the_one_before() {
    let (mut before, first) = asking();
    let slots = before.voter.latest_seq(LB1);
    assert_eq!(slots, Some(first.seq));
    before.voter.remember_all();
    let slots = before.voter.take_changes().unwrap().slots;
    let setup =
        Setup { voter: VoterStart::remembered(slots), unix_at_zero: Duration::ZERO, ..setup(LB1, Some(roster(3))) };
    let mut after = Engine::new(setup, config(vec![router(200)]), ms(4000));
    after.step(ms(4000), Input::Interface(eth0(LB1)));
    let second = request(&after.step(ms(7300), Input::Timeout));
    assert!(second.seq > first.seq);
    assert_eq!(second.claims[0].epoch, 2, "another takeover");
}

#[test]
fn who_cannot_remember_votes_no_more_until_it_can() {
    let mut engine = started(LB1, Vec::new(), Some(roster(3)));
    engine.step(ms(3100), asks(LB2, 1, 1));
    let text = "this voter is silent, for it cannot remember what it grants: read-only file system";
    let warning = Action::Record(Decision::Warning { text: text.to_owned() });
    assert_eq!(plain(engine.step(ms(3100), failed())), [warning]);
    assert_eq!(engine.work_due(), Some((ms(4100), TimerKind::GrantEnd)));
    let answer = engine.step(ms(3101), asks(LB2, 2, 1));
    assert_eq!(remembered(&answer).len(), 0);
    assert!(matches!(verdict(&answer), Some(Vote::Quarantine { remaining_ms: 999 | 1000 })), "{answer:?}");

    let retry = ms(3100) + MEMORY_RETRY;
    let actions = engine.step(retry, Input::Timeout);
    assert_eq!(remembered(&actions)[0].slots.len(), 1, "all of it, not only what changed");
    assert_eq!(plain(engine.step(retry, failed())), [], "told once");
    let retry = retry + MEMORY_RETRY;
    assert_eq!(engine.work_due(), Some((retry, TimerKind::Memory)));
    engine.step(retry, Input::Timeout);
    let answer = engine.step(retry + Duration::from_millis(1), asks(LB3, 1, 2));
    assert_eq!(verdict(&answer), Some(Vote::Granted { epoch: 2 }), "it worked: nobody said otherwise");
}

#[test]
fn what_our_own_forgotten_vote_carries_is_let_go() {
    let mut engine = holding();
    let actions = plain(engine.step(ms(3300), failed()));
    assert_eq!(actions[1..4], [close(), del(), advert(0)], "after the warning");
    // And the next claim is not carried by it.
    let at = engine.instances[&KEY].vrrp.deadline().unwrap();
    wait(&mut engine, at - Duration::from_millis(1));
    engine.step(at - Duration::from_millis(1), failed());
    let claim = request(&engine.step(at, Input::Timeout));
    engine.step(at, granted(LB2, at, &claim));
    assert!(!engine.instances[&KEY].vrrp.is_active());
    engine.step(at, granted(LB3, at, &claim));
    assert!(engine.instances[&KEY].vrrp.is_active(), "two others are a majority");
}

#[test]
fn more_routers_than_there_is_room_for_are_dropped_and_counted() {
    let mut engine = started(LB1, Vec::new(), Some(roster(3)));
    let claim = |segment| Claim { router: RouterKey { segment, ..KEY }, epoch: 1, duration_ms: 1000 };
    let claims = (0..5000).map(claim).collect();
    let answer = engine.step(ms(3100), message(LB2, Message::Request(Request { roster_epoch: 3, seq: 1, claims })));
    let Some(Action::SendMessage { message: Message::Reply(reply), .. }) =
        answer.iter().find(|a| matches!(a, Action::SendMessage { .. }))
    else {
        panic!("no reply")
    };
    assert_eq!(reply.verdicts.len(), crate::lease::voter::MAX_ROUTERS);
    let (reason, count) = engine.drops().next().unwrap();
    assert!(reason.ends_with("a request for more virtual routers than a voter has room for"), "{reason}");
    assert_eq!(count, 904);
}

fn many(n: u8) -> Vec<VirtualRouter> {
    let vi = |vrid: u8| VirtualRouter {
        name: format!("VI_{vrid}"),
        key: key(vrid),
        addresses: vec![vip(&format!("10.2.0.{vrid}/24"))],
        ..router(200)
    };
    (1..=n).map(vi).collect()
}

fn messages_to(to: NodeId, actions: &[Action]) -> Vec<&Message> {
    let of = |a: &'_ Action| matches!(a, Action::SendMessage { to: t, .. } if *t == to);
    actions
        .iter()
        .filter(|a| of(a))
        .filter_map(|a| if let Action::SendMessage { message, .. } = a { Some(message) } else { None })
        .collect()
}

#[test]
fn all_leases_of_a_stopping_node_are_given_back_in_one_message() {
    let mut engine = started(LB1, many(200), Some(roster(3)));
    engine.step(ms(3100), peer_up(LB2));
    let first = request(&engine.step(CLAIM, Input::Timeout));
    let won = engine.step(ms(3220), granted(LB2, ms(3220), &first));
    assert_eq!(engine.instances.values().filter(|i| i.vrrp.is_active()).count(), 200);
    let renewal = request(&won);
    let actions = engine.step(ms(3300), Input::Shutdown);
    let [Message::Parting(parting), Message::Vacant(vacancies), Message::Release(releases)] =
        messages_to(LB2, &actions)[..]
    else {
        panic!("{:?}", messages_to(LB2, &actions))
    };
    assert_eq!((parting.leases.len(), vacancies.len(), releases.len()), (200, 200, 200));
    assert!(releases.iter().all(|r| r.seq == renewal.seq), "the last request");
    assert_eq!(messages_to(LB3, &actions).len(), 1, "not connected: a voter, but not told of vacancies");
    let last_close = actions.iter().rposition(|a| matches!(a, Action::FenceClose { .. } | Action::DelAddress { .. }));
    let first_release = position(&actions, |a| matches!(a, Action::SendMessage { message: Message::Release(_), .. }));
    assert!(last_close.unwrap() < first_release, "given away once nothing is served");
}

#[test]
fn all_leases_of_a_dead_node_are_told_in_one_message() {
    let mut engine = started(LB1, Vec::new(), Some(roster(3)));
    engine.step(ms(3100), peer_up(LB3));
    let claims = (1..=200).map(|vrid| Claim { router: key(vrid), epoch: 1, duration_ms: 1000 }).collect();
    engine.step(ms(3100), message(LB2, Message::Request(Request { roster_epoch: 3, seq: 1, claims })));
    let actions = engine.step(ms(4100), Input::Timeout);
    let [Message::Vacant(vacancies)] = messages_to(LB3, &actions)[..] else { panic!("{actions:?}") };
    assert_eq!(vacancies.len(), 200);
    assert_eq!(vacancies[0], Vacant { router: key(1), owner: LB2, epoch: 1, released: false, reserved_for: None });
}

#[test]
fn renewals_go_out_before_the_advertisement_of_the_same_tick() {
    let mut engine = holding();
    let at = ms(4220);
    for n in 1..4 {
        let now = ms(3220 + 250 * n);
        let renewal = request(&engine.step(now, Input::Timeout));
        engine.step(now, granted(LB2, now, &renewal));
    }
    let (due, _) = engine.work_due().unwrap();
    let actions = engine.step(due.max(at), Input::Timeout);
    let renewal = position(&actions, |a| matches!(a, Action::SendMessage { message: Message::Request(_), .. }));
    let advert = position(&actions, |a| matches!(a, Action::SendAdvertisement { .. }));
    assert!(renewal < advert);
}

#[test]
fn a_release_carries_the_number_of_the_last_request() {
    let (mut engine, first) = asking();
    let again = request(&engine.step(CLAIM + Duration::from_millis(30), Input::Timeout));
    assert!(again.seq > first.seq);
    let gone = engine.step(ms(3260), Input::InterfaceGone { name: "eth0".into() });
    let expected = Message::Release(vec![Release { router: KEY, epoch: 1, seq: again.seq, successor: None }]);
    assert_eq!(messages_to(LB2, &gone), [&expected]);
}
