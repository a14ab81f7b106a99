//! The engine as a voter: several routers in one message, hints to candidates.

use mesh_wire::mesh::lease::{Release, Vacant};

use super::actions::*;
use super::*;

fn asks(seq: u64, claims: &[(u8, u64)]) -> Message {
    let claim = |(vrid, epoch): &(u8, u64)| Claim { router: key(*vrid), epoch: *epoch, duration_ms: 1000 };
    Message::Request(Request { roster_epoch: 3, seq, claims: claims.iter().map(claim).collect() })
}

fn verdicts(actions: &[Action]) -> Vec<(u8, Vote)> {
    let replies = actions.iter().filter_map(|a| match a {
        Action::SendMessage { message: Message::Reply(reply), .. } => Some(&reply.verdicts),
        _ => None,
    });
    replies.flatten().map(|(router, verdict)| (router.vrid, *verdict)).collect()
}

#[test]
fn it_votes_on_routers_it_does_not_have() {
    let mut engine = started(LB1, Vec::new(), Some(roster(3)));
    let answer = engine.step(ms(3100), message(LB2, asks(1, &[(51, 1), (52, 4)])));
    assert_eq!(verdicts(&answer), [(51, Vote::Granted { epoch: 1 }), (52, Vote::Granted { epoch: 4 })]);
    let answer = engine.step(ms(3200), message(LB3, asks(9, &[(51, 2), (53, 1)])));
    let veto = Vote::Held { owner: LB2, epoch: 1, remaining_ms: 900 };
    assert_eq!(verdicts(&answer), [(51, veto), (53, Vote::Granted { epoch: 1 })]);
}

#[test]
fn a_duplicate_is_answered_without_a_verdict() {
    let mut engine = started(LB1, Vec::new(), Some(roster(3)));
    engine.step(ms(3100), message(LB2, asks(1, &[(51, 1)])));
    let answer = engine.step(ms(3200), message(LB2, asks(1, &[(51, 1)])));
    assert_eq!(verdicts(&answer), []);
    assert_eq!(engine.voter.holder(ms(3200), &KEY).unwrap().expiry, ms(4100));
}

#[test]
fn in_quarantine_it_says_so() {
    let mut engine = started(LB1, Vec::new(), Some(roster(3)));
    let answer = engine.step(ms(100), message(LB2, asks(1, &[(51, 1)])));
    assert_eq!(verdicts(&answer), [(51, Vote::Quarantine { remaining_ms: 2962 })]);
}

#[test]
fn who_does_not_vote_grants_nothing() {
    let mut roster = roster(4);
    roster.epoch = 3;
    roster.members[3].voter = false;
    let mut engine = started(NodeId(4), Vec::new(), Some(roster));
    let answer = engine.step(ms(3100), message(LB2, asks(1, &[(51, 1)])));
    assert_eq!(verdicts(&answer), [(51, Vote::WrongRoster)]);
}

#[test]
fn a_release_is_told_and_taken_up() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    engine.step(ms(3100), peer_up(LB3));
    engine.step(ms(3100), message(LB2, asks(1, &[(51, 1)])));
    let release = |epoch| Message::Release(vec![Release { router: KEY, epoch, seq: 1, successor: None }]);
    assert_eq!(plain(engine.step(ms(3110), message(LB3, release(1)))), [], "not its own");
    let actions = plain(engine.step(ms(3110), message(LB2, release(1))));
    let vacant = Vacant { router: KEY, owner: LB2, epoch: 1, released: true, reserved_for: None };
    let claim = request(&actions);
    let mut expected = vec![send(LB3, Message::Vacant(vec![vacant]))];
    expected.extend(to_both(Message::Request(claim.clone())));
    assert_eq!(actions, expected);
    assert_eq!(claim.claims[0].epoch, 2);
}

/// A request that its release has overtaken is void: it neither blocks the router nor makes the
/// releasing node an owner again.
#[test]
fn a_request_after_its_release_makes_no_owner() {
    let (mut owner, first) = asking();
    owner.step(ms(3219), Input::InterfaceGone { name: "eth0".into() });
    let mut voter = started(LB2, Vec::new(), Some(roster(3)));
    let release = Message::Release(vec![Release { router: KEY, epoch: 1, seq: first.seq, successor: None }]);
    voter.step(ms(3220), message(LB1, release));
    let answer = voter.step(ms(3221), message(LB1, Message::Request(first)));
    let Some(Action::SendMessage { message: late, .. }) = answer.into_iter().next() else { panic!("no answer") };
    assert_eq!(plain(owner.step(ms(3222), message(LB2, late))), []);
    assert_eq!(voter.deadline(), None, "nothing was granted");
}
