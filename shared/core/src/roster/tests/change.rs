use mesh_wire::mesh::enrol::Refusal;
use mesh_wire::mesh::roster::{MAX_TOMBSTONES, Tombstone, UNKNOWN_EXPIRY, UsedToken};

use super::*;
use crate::roster::change::LONGEST_TOKEN;

fn apply(change: &Change, roster: &Roster) -> Option<Roster> {
    change.apply(roster, &at(ms(0))).unwrap()
}

fn refused(change: &Change, roster: &Roster, connected: &[u64]) -> String {
    let moment = Moment { connected: ids(connected.iter().copied()), ..at(ms(0)) };
    change.apply(roster, &moment).unwrap_err().to_string()
}

#[test]
fn every_change_is_one_epoch_and_asked_twice_it_is_none() {
    let roster = mesh(4, &[1, 2, 3]);
    let revoke = Change::RevokeToken { nonce: 5, expires_unix: UNIX + 60 };
    let changes = [
        Change::Promote(id(4)),
        Change::Demote(id(3)),
        Change::AddVoter(id(4)),
        Change::AddVoter(id(3)),
        Change::RemoveVoter(id(3)),
        Change::RemoveVoter(id(4)),
        Change::RemoveMember(id(3)),
        Change::RemoveMember(id(4)),
        Change::RemoveIdle(id(4)),
        revoke,
    ];
    for change in changes {
        let next = apply(&change, &roster).unwrap_or_else(|| panic!("{change:?} changes something"));
        assert_eq!(next.epoch, 11);
        assert!(crate::roster::acceptor::is_successor(&roster, &next), "{change:?}");
        assert_eq!(apply(&change, &next), None, "{change:?} again");
    }
    assert_eq!(apply(&Change::Finish, &roster), None);
}

#[test]
fn the_operators_word_stays() {
    let roster = mesh(4, &[1, 2, 3]);
    let without = apply(&Change::RemoveVoter(id(3)), &roster).unwrap();
    assert_eq!((voters(&without), without.members[2].vote), (vec![1, 2], VotePolicy::Never));
    assert_eq!(refused(&Change::Promote(id(3)), &without, &[1]), "the operator decides whether lb3 votes");
    let with = apply(&Change::AddVoter(id(3)), &without).unwrap();
    assert_eq!((voters(&with), with.members[2].vote), (vec![1, 2, 3], VotePolicy::Always));
    assert_eq!(refused(&Change::Demote(id(3)), &with, &[1]), "the operator decides whether lb3 votes");
}

#[test]
fn votes_that_are_needed_are_not_taken() {
    let three = mesh(3, &[1, 2, 3]);
    for change in [Change::RemoveVoter(id(3)), Change::RemoveMember(id(3))] {
        let error = refused(&change, &three, &[1, 3]);
        assert_eq!(error, "without lb3 only 1 voters are connected, and 2 are needed: bring back others first");
        let gone = Moment { connected: ids([1, 2]), ..at(ms(0)) };
        assert!(change.apply(&three, &gone).unwrap().is_some(), "one that is gone");
        assert_eq!(refused(&change, &mesh(3, &[3]), &[1, 2, 3]), "lb3 is the last voter");
    }
    assert_eq!(refused(&Change::AddVoter(id(9)), &three, &[]), "no member has the identity 0000000000000009");
    let seven = mesh(8, &[1, 2, 3, 4, 5, 6, 7]);
    let error = refused(&Change::AddVoter(id(8)), &seven, &[]);
    assert_eq!(error, "there are 7 voters, more are not possible: take the vote of another one first");
}

#[test]
fn of_many_routers_a_refusal_names_the_first() {
    let says = |count: usize| {
        let routers = (1..=count).map(|n| format!("VI_{n}")).collect();
        ChangeRefusal::Serves { name: "lb3".to_owned(), routers }.to_string()
    };
    let after = "which nobody would serve until its leases have run out";
    assert_eq!(says(3), format!("lb3 serves VI_1, VI_2, VI_3, {after}"));
    assert_eq!(says(200), format!("lb3 serves VI_1, VI_2, VI_3 and 197 more, {after}"));
}

#[test]
fn a_removed_member_leaves_a_tombstone() {
    let mut roster = mesh(4, &[1, 2, 3]);
    let old = |n: u64| Tombstone { id: id(1000 + n), epoch: 1 };
    roster.removed = (0..MAX_TOMBSTONES as u64).map(old).collect();
    let next = apply(&Change::RemoveMember(id(3)), &roster).unwrap();
    assert_eq!(next.removed_at(id(3)), Some(11));
    assert_eq!((next.removed.len(), next.removed_at(id(1000)), next.removed_at(id(1001))), (1024, None, Some(1)));
    assert_eq!(voters(&next), [1, 2]);
}

#[test]
fn tokens_are_forgotten_when_they_have_expired() {
    let used = |nonce, expires_unix| UsedToken { nonce, expires_unix, by: Some(id(2)) };
    let mut roster = mesh(3, &[1, 2, 3]);
    roster.used_tokens = vec![used(1, UNIX - 3600), used(2, UNIX - 3599), used(3, UNKNOWN_EXPIRY)];
    let next = apply(&Change::RevokeToken { nonce: 4, expires_unix: UNIX + 9 }, &roster).unwrap();
    let revoked = UsedToken { nonce: 4, expires_unix: UNIX + 9, by: None };
    assert_eq!(next.used_tokens, [used(2, UNIX - 3599), used(3, UNIX + LONGEST_TOKEN), revoked]);
    let error = Change::RevokeToken { nonce: 2, expires_unix: UNIX }.apply(&next, &at(ms(0))).unwrap_err();
    assert_eq!(error, ChangeRefusal::Admission(Refusal::TokenUsed { by: Some("lb2".to_owned()) }));
}

#[test]
fn a_refusal_names_the_voters() {
    use mesh_wire::mesh::consensus::Objection;
    let refusal = ChangeRefusal::NoMajority {
        accepted: 1,
        needed: 3,
        silent: vec!["lb4".to_owned(), "lb5".to_owned()],
        objections: vec![
            ("lb2".to_owned(), Objection::Storage),
            ("lb3".to_owned(), Objection::Unsettled { remaining_ms: 40 }),
        ],
    };
    assert_eq!(
        refusal.to_string(),
        "only 1 of the 3 voters needed agreed: no answer from lb4, lb5; lb2 cannot write its roster file; \
         lb3 waits 40 ms for leases older than the last change of voters"
    );
}
