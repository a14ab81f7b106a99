use mesh_wire::mesh::consensus::Objection;

use super::*;

fn next(mut roster: Roster, change: impl FnOnce(&mut Roster)) -> Roster {
    roster.epoch += 1;
    change(&mut roster);
    roster
}

#[test]
fn a_promise_binds() {
    let mut acceptor = Acceptor::default();
    assert_eq!(acceptor.prepare(ballot(5, 2)), Ok(()));
    assert_eq!(acceptor.prepare(ballot(5, 2)), Ok(()), "asked again");
    assert_eq!(acceptor.prepare(ballot(5, 1)), Err(Objection::Promised(ballot(5, 2))), "the proposer breaks ties");
    assert_eq!(acceptor.prepare(ballot(4, 9)), Err(Objection::Promised(ballot(5, 2))));
    let committed = mesh(3, &[1, 2, 3]);
    let low = acceptor.accept(ms(0), &committed, ms(0), ballot(4, 9), next(committed.clone(), |_| ()));
    assert_eq!(low, Err(Objection::Promised(ballot(5, 2))));
    assert_eq!(acceptor.accepted, None);
}

#[test]
fn accepting_promises_too_and_a_higher_ballot_may_change_it() {
    let committed = mesh(3, &[1, 2, 3]);
    let a = next(committed.clone(), |r| r.members[0].name = "a".to_owned());
    let b = next(committed.clone(), |r| r.members[0].name = "b".to_owned());
    let mut acceptor = Acceptor::default();
    assert_eq!(acceptor.accept(ms(0), &committed, ms(0), ballot(3, 1), a.clone()), Ok(()));
    assert_eq!(acceptor.prepare(ballot(2, 3)), Err(Objection::Promised(ballot(3, 1))));
    assert_eq!(acceptor.accepted, Some((ballot(3, 1), a)));
    assert_eq!(acceptor.accept(ms(0), &committed, ms(0), ballot(4, 2), b.clone()), Ok(()));
    assert_eq!(acceptor.accepted, Some((ballot(4, 2), b)));
}

#[test]
fn only_a_successor_is_accepted() {
    let committed = mesh(5, &[1, 2, 3]);
    let cases = [
        next(committed.clone(), |r| r.cluster = "other".to_owned()),
        next(committed.clone(), |r| r.epoch += 1),
        next(committed.clone(), |r| r.epoch -= 1),
        next(committed.clone(), |r| r.members.iter_mut().for_each(|m| m.voter = false)),
        next(committed.clone(), |r| r.members[3..].iter_mut().for_each(|m| m.voter = true)),
        next(committed.clone(), |r| (r.members[0].voter, r.members[3].voter) = (false, true)),
    ];
    for wrong in cases {
        let result = Acceptor::default().accept(ms(0), &committed, ms(0), ballot(1, 1), wrong.clone());
        assert_eq!(result, Err(Objection::NotASuccessor), "{wrong:?}");
    }
    for right in [
        next(committed.clone(), |r| r.members[3].voter = true),
        next(committed.clone(), |r| drop(r.members.remove(0))),
        next(committed.clone(), |r| drop(r.members.remove(4))),
    ] {
        assert_eq!(Acceptor::default().accept(ms(0), &committed, ms(0), ballot(1, 1), right), Ok(()));
    }
}

#[test]
fn voters_change_when_older_leases_have_ended_and_not_before() {
    let committed = mesh(5, &[1, 2, 3]);
    let voters = next(committed.clone(), |r| r.members[3].voter = true);
    let members = next(committed.clone(), |r| drop(r.members.pop()));
    let mut acceptor = Acceptor::default();
    let early = acceptor.accept(ms(999), &committed, ms(1000), ballot(1, 1), voters.clone());
    assert_eq!(early, Err(Objection::Unsettled { remaining_ms: 1 }));
    assert_eq!(acceptor, Acceptor::default(), "nothing was promised");
    assert_eq!(acceptor.accept(ms(0), &committed, ms(1000), ballot(1, 1), members), Ok(()), "nobody new votes");
    assert_eq!(acceptor.accept(ms(1000), &committed, ms(1000), ballot(1, 1), voters), Ok(()));
}
