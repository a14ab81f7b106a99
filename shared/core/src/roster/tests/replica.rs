use std::time::Duration;

use mesh_wire::mesh::consensus::{Consensus, Objection, Step};
use mesh_wire::mesh::lease::Message;

use super::*;
use crate::lease::QUARANTINE;
use crate::roster::replica::{Effect, Event};

fn replica(me: u64, roster: Roster) -> Replica {
    Replica::new(id(me), roster.into(), ms(0), None)
}

fn message(from: u64, ballot: Ballot, step: Step) -> Event {
    Event::Message { from: id(from), message: Consensus { epoch: 11, ballot, step } }
}

fn send(to: u64, ballot: Ballot, step: Step) -> Effect {
    Effect::Send(id(to), Message::Consensus(Consensus { epoch: 11, ballot, step }))
}

fn want(change: Change) -> Event {
    Event::Change { ticket: Some(1), change }
}

/// The ticket of what is to be written, and the rest.
fn split(effects: Vec<Effect>) -> (Option<u64>, Vec<Effect>) {
    let mut ticket = None;
    let rest = effects.into_iter().filter(|e| match e {
        Effect::Store { ticket: t, .. } => {
            ticket = Some(*t);
            false
        }
        _ => true,
    });
    let rest = rest.collect();
    (ticket, rest)
}

#[test]
fn nothing_is_said_before_it_is_on_disk() {
    let mut replica = replica(2, mesh(3, &[1, 2, 3]));
    let (ticket, said) = split(replica.handle(&at(ms(1)), message(1, ballot(1, 1), Step::Prepare)));
    assert_eq!(said, [], "the disk has not answered");
    let said = replica.handle(&at(ms(2)), Event::Stored { ticket: ticket.expect("a promise is written") });
    assert_eq!(said, [send(1, ballot(1, 1), Step::Promise { accepted: None })]);
    let again = replica.handle(&at(ms(3)), message(1, ballot(1, 1), Step::Prepare));
    assert_eq!(again, [send(1, ballot(1, 1), Step::Promise { accepted: None })], "on disk already");
}

#[test]
fn a_disk_that_fails_is_an_objection_and_tried_again() {
    let mut replica = replica(2, mesh(3, &[1, 2, 3]));
    replica.handle(&at(ms(1)), message(1, ballot(1, 1), Step::Prepare));
    let said = replica.handle(&at(ms(2)), Event::NotStored);
    assert_eq!(said, [send(1, ballot(1, 1), Step::Refused(Objection::Storage))]);
    assert_eq!(replica.deadline(), Some(ms(1002)));
    assert_eq!(replica.handle(&at(ms(100)), message(1, ballot(1, 1), Step::Prepare)), [], "not in a loop");
    let (ticket, said) = split(replica.handle(&at(ms(1002)), Event::Timeout));
    assert_eq!(said, []);
    let said = replica.handle(&at(ms(1003)), Event::Stored { ticket: ticket.expect("another try") });
    assert_eq!(said, [send(1, ballot(1, 1), Step::Promise { accepted: None })]);
}

#[test]
fn one_voter_decides_alone() {
    let mut replica = replica(1, mesh(2, &[1]));
    let (ticket, said) = split(replica.handle(&at(ms(0)), want(Change::Promote(id(2)))));
    assert_eq!(said, []);
    let (ticket, said) = split(replica.handle(&at(ms(1)), Event::Stored { ticket: ticket.unwrap() }));
    assert_eq!(said, []);
    let (ticket, said) = split(replica.handle(&at(ms(2)), Event::Stored { ticket: ticket.unwrap() }));
    assert_eq!(voters(replica.roster()), [1, 2]);
    let result = Ok(replica.roster().clone());
    assert_eq!(said, [Effect::Adopt(replica.roster().clone()), Effect::Answer { ticket: 1, result }]);
    assert!(ticket.is_some(), "and kept");
    assert!(!replica.is_busy());
}

#[test]
fn what_a_voter_accepted_is_finished_first() {
    let mut found = mesh(4, &[1, 2, 3]);
    (found.epoch, found.members[3].name) = (11, "found".to_owned());
    let mut replica = replica(1, mesh(4, &[1, 2, 3]));
    let (ticket, asked) = split(replica.handle(&at(ms(0)), want(Change::Promote(id(4)))));
    let mine = ballot(1, 1);
    assert_eq!(asked, [send(2, mine, Step::Prepare), send(3, mine, Step::Prepare)]);
    let promise = Step::Promise { accepted: Some((ballot(0, 3), found.clone())) };
    assert_eq!(split(replica.handle(&at(ms(1)), message(2, mine, promise))).1, [], "its own promise first");
    let (_, asked) = split(replica.handle(&at(ms(2)), Event::Stored { ticket: ticket.unwrap() }));
    let accept = Step::Accept { roster: found.clone() };
    assert_eq!(asked, [send(2, mine, accept.clone()), send(3, mine, accept)]);
    replica.handle(&at(ms(3)), message(2, mine, Step::Accepted));
    let (_, said) = split(replica.handle(&at(ms(4)), message(3, mine, Step::Accepted)));
    assert_eq!(said[0], Effect::Adopt(found.clone()));
    assert_eq!(replica.roster(), &found);
    assert!(replica.is_busy(), "its own change comes on top of it");
    assert!(matches!(&said[1], Effect::Send(_, Message::Consensus(c)) if c.epoch == 12), "{said:?}");
}

/// A ballot that is not on its own disk could be begun again after a restart, with another roster.
#[test]
fn no_proposer_goes_on_before_its_ballot_is_on_its_own_disk() {
    for me in [1, 4] {
        let mut replica = replica(me, mesh(4, &[1, 2, 3]));
        let (ticket, _) = split(replica.handle(&at(ms(0)), want(Change::RemoveMember(id(4)))));
        for voter in [2, 3] {
            let promise = message(voter, ballot(1, me), Step::Promise { accepted: None });
            assert_eq!(split(replica.handle(&at(ms(1)), promise)).1, [], "lb{me}");
        }
        let (_, asked) = split(replica.handle(&at(ms(2)), Event::Stored { ticket: ticket.unwrap() }));
        assert!(
            asked
                .iter()
                .any(|e| matches!(e, Effect::Send(_, Message::Consensus(c)) if matches!(c.step, Step::Accept { .. })))
        );
    }
}

#[test]
fn who_is_behind_or_ahead_is_told() {
    let mut replica = replica(2, mesh(3, &[1, 2, 3]));
    let at_epoch =
        |epoch| Event::Message { from: id(1), message: Consensus { epoch, ballot: ballot(1, 1), step: Step::Prepare } };
    let roster = Message::Roster(replica.roster().clone().into());
    assert_eq!(replica.handle(&at(ms(0)), at_epoch(10)), [Effect::Send(id(1), roster.clone())]);
    let step = Step::Refused(Objection::Behind { epoch: 10 });
    let behind = Message::Consensus(Consensus { epoch: 12, ballot: ballot(1, 1), step: step.clone() });
    assert_eq!(replica.handle(&at(ms(0)), at_epoch(12)), [Effect::Send(id(1), behind)]);
    replica.handle(&at(ms(0)), want(Change::RemoveVoter(id(3))));
    let told = replica.handle(&at(ms(0)), message(3, ballot(1, 2), Step::Refused(Objection::Behind { epoch: 9 })));
    assert_eq!(told, [Effect::Send(id(3), roster)]);
}

#[test]
fn a_change_that_finds_no_majority_says_who_is_missing() {
    let mut replica = replica(1, mesh(4, &[1, 2, 3]));
    let (ticket, _) = split(replica.handle(&at(ms(0)), want(Change::Promote(id(4)))));
    replica.handle(&at(ms(1)), Event::Stored { ticket: ticket.unwrap() });
    replica.handle(&at(ms(1)), message(3, ballot(1, 1), Step::Refused(Objection::Storage)));
    for _ in 0..100 {
        let Some(due) = replica.deadline() else { break };
        let effects = replica.handle(&at(due), Event::Timeout);
        let Some(Effect::Answer { result, .. }) = effects.iter().find(|e| matches!(e, Effect::Answer { .. })) else {
            assert!(effects.contains(&send(2, ballot(1, 1), Step::Prepare)), "asked again: {effects:?}");
            continue;
        };
        let error = result.clone().unwrap_err().to_string();
        let expected = "only 1 of the 2 voters needed agreed: no answer from lb2; lb3 cannot write its roster file";
        assert_eq!((error.as_str(), due), (expected, ms(4000)));
        assert!(!replica.is_busy());
        assert_eq!(replica.deadline(), None);
        return;
    }
    panic!("no answer");
}

/// The others would do, and it tries again until the change has taken too long.
#[test]
fn who_cannot_write_its_own_promise_says_so() {
    let mut replica = replica(1, mesh(4, &[1, 2, 3]));
    let (first, _) = split(replica.handle(&at(ms(0)), want(Change::Promote(id(4)))));
    assert_eq!(first, Some(1));
    for voter in [2, 3] {
        assert_eq!(replica.handle(&at(ms(1)), message(voter, ballot(1, 1), Step::Promise { accepted: None })), []);
    }
    replica.handle(&at(ms(2)), Event::NotStored);
    let mut tries = Vec::new();
    for _ in 0..100 {
        let due = replica.deadline().expect("a change is under way");
        let effects = replica.handle(&at(due), Event::Timeout);
        if let Some(Effect::Answer { result, .. }) = effects.iter().find(|e| matches!(e, Effect::Answer { .. })) {
            let error = result.clone().unwrap_err().to_string();
            let agreed = "2 voters agreed, which would do, but not the node that asked them";
            assert_eq!((error, due), (format!("{agreed}: lb1 cannot write its roster file"), ms(4000)));
            assert_eq!(tries, [1002, 2002, 3002].map(ms));
            return;
        }
        if split(effects).0.is_some() {
            tries.push(due);
            replica.handle(&at(due), Event::NotStored);
        }
    }
    panic!("no answer");
}

/// The disk has room again in time.
#[test]
fn what_its_own_disk_refused_first_goes_on_when_it_is_written() {
    let mut replica = replica(1, mesh(4, &[1, 2, 3]));
    replica.handle(&at(ms(0)), want(Change::Promote(id(4))));
    replica.handle(&at(ms(1)), message(2, ballot(1, 1), Step::Promise { accepted: None }));
    replica.handle(&at(ms(2)), Event::NotStored);
    replica.handle(&at(ms(101)), Event::Timeout);
    let (ticket, _) = split(replica.handle(&at(ms(1002)), Event::Timeout));
    let (_, asked) = split(replica.handle(&at(ms(1003)), Event::Stored { ticket: ticket.expect("another try") }));
    let accepts = asked
        .iter()
        .filter(|e| matches!(e, Effect::Send(_, Message::Consensus(Consensus { step: Step::Accept { .. }, .. }))));
    assert_eq!(accepts.count(), 2, "{asked:?}");
}

#[test]
fn the_queue_has_a_limit() {
    let mut replica = replica(1, mesh(4, &[1, 2, 3]));
    for _ in 0..16 {
        let effects = replica.handle(&at(ms(0)), want(Change::Promote(id(4))));
        assert!(!effects.iter().any(|e| matches!(e, Effect::Answer { .. })));
    }
    let refused = replica.handle(&at(ms(0)), Event::Change { ticket: Some(9), change: Change::Promote(id(4)) });
    assert_eq!(refused, [Effect::Answer { ticket: 9, result: Err(ChangeRefusal::Busy) }]);
}

/// What it says to a roster with lb5 as a voter, asked at this time.
fn asked_for_another_voter(replica: &mut Replica, now: Instant) -> Option<Objection> {
    let mut next = replica.roster().clone();
    next.epoch += 1;
    next.members[4].voter = !next.members[4].voter;
    let message = Consensus { epoch: next.epoch, ballot: ballot(9, 5), step: Step::Accept { roster: next } };
    let (ticket, mut said) = split(replica.handle(&at(now), Event::Message { from: id(5), message }));
    if let Some(ticket) = ticket {
        said.extend(replica.handle(&at(now), Event::Stored { ticket }));
    }
    let Effect::Send(_, Message::Consensus(Consensus { step, .. })) = said.pop().expect("an answer") else { panic!() };
    match step {
        Step::Refused(objection) => Some(objection),
        Step::Accepted => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn leases_of_earlier_voters_are_waited_for() {
    let late = ms(10_000);
    let mut replica = replica(2, mesh(5, &[1, 2, 3]));
    let mut four = mesh(5, &[1, 2, 3, 4]);
    four.epoch = 11;
    let granted = Moment { grants_until: Some(late + Duration::from_millis(700)), ..at(late) };
    replica.handle(&granted, Event::Committed(four.clone()));
    let waits = Some(Objection::Unsettled { remaining_ms: 700 });
    assert_eq!(asked_for_another_voter(&mut replica, late), waits);
    // A change of members in between does not make them older.
    let mut renamed = four;
    (renamed.epoch, renamed.members[0].name) = (12, "x".to_owned());
    replica.handle(&at(late), Event::Committed(renamed));
    assert_eq!(asked_for_another_voter(&mut replica, late), waits);
    assert_eq!(asked_for_another_voter(&mut replica, late + Duration::from_millis(700)), None);
}

#[test]
fn after_a_restart_forgotten_leases_are_waited_for() {
    let silent_until = ms(0) + QUARANTINE;
    let mut replica = Replica::new(id(2), mesh(5, &[1, 2, 3]).into(), ms(0), Some(silent_until));
    assert!(matches!(asked_for_another_voter(&mut replica, ms(10)), Some(Objection::Unsettled { .. })));
    assert_eq!(asked_for_another_voter(&mut replica, silent_until), None);
}

#[test]
fn a_mesh_that_grows_to_three_waits_for_nothing() {
    let mut replica = replica(1, mesh(5, &[1]));
    let mut two = mesh(5, &[1, 2]);
    two.epoch = 11;
    replica.handle(&at(ms(1)), Event::Committed(two));
    assert_eq!(asked_for_another_voter(&mut replica, ms(2)), None);
}

/// What others granted under the rosters in between they know themselves.
#[test]
fn who_missed_a_change_waits_for_its_own_grants_only() {
    let mut replica = replica(1, mesh(5, &[1]));
    let mut later = mesh(5, &[1, 2, 3]);
    later.epoch = 13;
    replica.handle(&at(ms(1)), Event::Committed(later));
    assert_eq!(asked_for_another_voter(&mut replica, ms(2)), None);
}

#[test]
fn a_removed_node_changes_nothing_more() {
    let mut replica = replica(3, mesh(3, &[1, 2, 3]));
    let without = Change::RemoveMember(id(3)).apply(replica.roster(), &at(ms(0))).unwrap().unwrap();
    replica.handle(&at(ms(0)), Event::Committed(without.clone()));
    let effects = replica.handle(&at(ms(0)), want(Change::AddVoter(id(1))));
    assert_eq!(effects, [Effect::Answer { ticket: 1, result: Err(ChangeRefusal::NotAMember) }]);
    let next =
        Event::Message { from: id(1), message: Consensus { epoch: 12, ballot: ballot(1, 1), step: Step::Prepare } };
    let refused = Consensus { epoch: 12, ballot: ballot(1, 1), step: Step::Refused(Objection::NotAVoter) };
    let (_, said) = split(replica.handle(&at(ms(0)), Event::Stored { ticket: 1 }));
    assert_eq!(said, []);
    assert_eq!(replica.handle(&at(ms(0)), next), [Effect::Send(id(1), Message::Consensus(refused))]);
}
