use std::time::Duration;

use mesh_wire::mesh::roster::Role;
use proptest::prelude::*;

use super::*;
use crate::roster::policy::{Census, Policy, Presence};

/// All that are there were seen at 0 for the first time, and so were those that are not.
fn census(roster: &Roster, there: &[u64]) -> Census {
    let presence = |id: NodeId| if there.contains(&id.0) { Presence::Connected } else { Presence::Gone };
    let members: Vec<_> = roster.members.iter().map(|m| (m.id, presence(m.id))).collect();
    let mut census = Census::default();
    assert!(census.note(ms(0), &members));
    assert!(!census.note(ms(9), &members), "no news");
    census
}

fn policy<'a>(me: u64, roster: &'a Roster, census: &'a Census) -> Policy<'a> {
    Policy { me: id(me), roster, census, replace_after: Duration::from_secs(60) }
}

/// The same roster, where these have another role.
fn with_role(mut roster: Roster, role: Role, who: &[u64]) -> Roster {
    roster.members.iter_mut().filter(|m| who.contains(&m.id.0)).for_each(|m| m.role = role);
    roster
}

/// What lb1 wants at this time, and when it will want something.
fn wants(roster: &Roster, there: &[u64], seconds: u64) -> (Option<Change>, Option<Instant>) {
    let census = census(roster, there);
    let policy = policy(1, roster, &census);
    let now = ms(seconds * 1000);
    (policy.change(now), policy.deadline(now))
}

#[test]
fn the_first_three_vote_at_once() {
    assert_eq!(wants(&mesh(2, &[1]), &[1, 2], 0).0, Some(Change::Promote(id(2))));
    assert_eq!(wants(&mesh(4, &[1, 2]), &[1, 2, 4], 0).0, Some(Change::Promote(id(4))), "who is there");
    assert_eq!(wants(&mesh(3, &[1, 2]), &[1, 2], 100), (None, None), "who never came");
    assert_eq!(wants(&with_role(mesh(3, &[1, 2]), Role::Server, &[3]), &[1, 2, 3], 0).0, Some(Change::Promote(id(3))));
    assert_eq!(wants(&with_policy(mesh(3, &[1, 2]), 3, VotePolicy::Never), &[1, 2, 3], 0), (None, None));
}

#[test]
fn five_vote_when_five_are_there_for_a_while() {
    assert_eq!(wants(&mesh(5, &[1, 2, 3]), &[1, 2, 3, 4, 5], 0), (None, Some(ms(5000))));
    assert_eq!(wants(&mesh(5, &[1, 2, 3]), &[1, 2, 3, 4, 5], 5).0, Some(Change::Promote(id(4))));
    assert_eq!(wants(&mesh(5, &[1, 2, 3, 4]), &[1, 2, 3, 4, 5], 5).0, Some(Change::Promote(id(5))));
    assert_eq!(wants(&mesh(7, &[1, 2, 3, 4, 5]), &[1, 2, 3, 4, 5, 6, 7], 9), (None, None));
    assert_eq!(wants(&mesh(4, &[1, 2, 3]), &[1, 2, 3, 4], 9), (None, None), "four are no better than three");
    let never = with_policy(mesh(5, &[1, 2, 3]), 5, VotePolicy::Never);
    assert_eq!(wants(&never, &[1, 2, 3, 4, 5], 9), (None, None), "the operator took one out");
}

#[test]
fn two_directors_and_two_servers_all_vote() {
    let four = |voters: &[u64]| with_role(mesh(4, voters), Role::Server, &[3, 4]);
    assert_eq!(wants(&four(&[1, 2]), &[1, 2, 3, 4], 0).0, Some(Change::Promote(id(3))));
    assert_eq!(wants(&four(&[1, 2, 3]), &[1, 2, 3, 4], 0), (None, Some(ms(5000))), "not for one that passes by");
    assert_eq!(wants(&four(&[1, 2, 3]), &[1, 2, 3, 4], 5).0, Some(Change::Promote(id(4))));
    assert_eq!(wants(&four(&[1, 2, 3, 4]), &[1, 2, 3, 4], 99), (None, None));
    // One that is gone for long counts no more, so that another one may go.
    assert_eq!(wants(&four(&[1, 2, 3, 4]), &[1, 2, 3], 59), (None, Some(ms(60_000))));
    assert_eq!(wants(&four(&[1, 2, 3, 4]), &[1, 2, 3], 60).0, Some(Change::Demote(id(4))));
    let one = with_role(mesh(4, &[1, 2, 3]), Role::Server, &[4]);
    assert_eq!(wants(&one, &[1, 2, 3, 4], 99), (None, None), "three directors need no server");
    let five = with_role(mesh(5, &[1, 2, 3]), Role::Server, &[4, 5]);
    assert_eq!(wants(&five, &[1, 2, 3, 4, 5], 5).0, Some(Change::Promote(id(4))), "but five survive two losses");
}

#[test]
fn directors_come_before_witnesses_and_witnesses_before_servers() {
    let mixed = with_role(with_role(mesh(5, &[1, 2]), Role::Server, &[3]), Role::Witness, &[4]);
    let first = |there: &[u64]| wants(&mixed, there, 0).0;
    assert_eq!(first(&[1, 2, 3, 4, 5]), Some(Change::Promote(id(5))));
    assert_eq!(first(&[1, 2, 3, 4]), Some(Change::Promote(id(4))));
    assert_eq!(first(&[1, 2, 3]), Some(Change::Promote(id(3))));
    let taken = with_role(mesh(4, &[1, 2, 3]), Role::Server, &[3]);
    assert_eq!(wants(&taken, &[1, 2, 3, 4], 99), (None, None), "who votes stays");
}

#[test]
fn a_voter_that_is_gone_is_replaced() {
    let three = mesh(4, &[1, 2, 3]);
    assert_eq!(wants(&three, &[1, 2, 4], 59), (None, Some(ms(60_000))));
    assert_eq!(wants(&three, &[1, 2, 4], 60).0, Some(Change::Promote(id(4))), "first the new one");
    assert_eq!(wants(&mesh(4, &[1, 2, 3, 4]), &[1, 2, 4], 60).0, Some(Change::Demote(id(3))), "then the old one");
    assert_eq!(wants(&mesh(4, &[1, 2, 4]), &[1, 2, 4], 99), (None, None), "and that is all");
    let always = with_policy(three, 3, VotePolicy::Always);
    assert_eq!(wants(&always, &[1, 2, 4], 99), (None, None), "not against the operator");

    let five = mesh(6, &[1, 2, 3, 4, 5]);
    assert_eq!(wants(&five, &[1, 2, 3, 4, 6], 60).0, Some(Change::Promote(id(6))));
    assert_eq!(wants(&mesh(6, &[1, 2, 3, 4, 5, 6]), &[1, 2, 3, 4, 6], 60).0, Some(Change::Demote(id(5))));
}

#[test]
fn without_a_spare_the_voters_become_fewer_but_not_below_three() {
    assert_eq!(wants(&mesh(5, &[1, 2, 3, 4, 5]), &[1, 2, 3, 4], 60).0, Some(Change::Demote(id(5))));
    assert_eq!(wants(&mesh(5, &[1, 2, 3, 4]), &[1, 2, 3], 60).0, Some(Change::Demote(id(4))));
    assert_eq!(wants(&mesh(5, &[1, 2, 3]), &[1, 2], 60), (None, None));
}

#[test]
fn only_the_first_voter_that_is_there_proposes_and_only_with_a_majority() {
    let roster = mesh(4, &[1, 2, 3]);
    let without_first = census(&roster, &[2, 3, 4]);
    assert_eq!(policy(1, &roster, &without_first).change(ms(60_000)), None);
    assert_eq!(policy(2, &roster, &without_first).change(ms(60_000)), Some(Change::Promote(id(4))));
    assert_eq!(policy(3, &roster, &without_first).change(ms(60_000)), None);
    assert_eq!(policy(4, &roster, &without_first).change(ms(60_000)), None, "does not vote");
    let alone = census(&roster, &[1, 4]);
    assert_eq!(policy(1, &roster, &alone).change(ms(99_000)), None);
}

#[test]
fn who_is_heard_through_others_is_not_gone() {
    let roster = mesh(4, &[1, 2, 3]);
    let mut census = census(&roster, &[1, 2, 4]);
    let now = [
        (id(1), Presence::Connected),
        (id(2), Presence::Connected),
        (id(3), Presence::Heard),
        (id(4), Presence::Connected),
    ];
    census.note(ms(30_000), &now);
    assert_eq!(policy(1, &roster, &census).change(ms(99_000)), None);
    let mut again = now;
    again[2].1 = Presence::Gone;
    census.note(ms(100_000), &again);
    assert_eq!(policy(1, &roster, &census).change(ms(159_999)), None, "counted anew");
    assert_eq!(policy(1, &roster, &census).change(ms(160_000)), Some(Change::Promote(id(4))));
}

#[test]
fn nothing_is_due_where_time_alone_changes_nothing() {
    let all: Vec<u64> = (1..=9).collect();
    assert_eq!(wants(&mesh(9, &[1, 2, 3, 4, 5]), &all, 0), (None, None), "as many vote as ever do");
    let roster = mesh(4, &[1, 2, 3]);
    let without_third = census(&roster, &[1, 2, 4]);
    assert_eq!(policy(1, &roster, &without_third).deadline(ms(0)), Some(ms(60_000)));
    assert_eq!(policy(2, &roster, &without_third).deadline(ms(0)), None, "it is not up to it");
}

proptest! {
    /// Not every member's time is tried, and none that counts is missed.
    #[test]
    fn what_time_alone_brings_is_due_when_it_comes(
        members in prop::collection::vec((any::<bool>(), 0..4u8, 0..4u8, 0..40u64), 3..10),
    ) {
        let number = members.len() as u64;
        let voters: Vec<u64> = (1..=number).zip(&members).filter(|(_, m)| m.0).map(|(n, _)| n).collect();
        let mut roster = mesh(number, &voters);
        let mut census = Census::default();
        for (member, (_, kind, presence, since)) in roster.members.iter_mut().zip(&members) {
            match kind {
                0 => member.role = Role::Server,
                1 if !member.voter => member.vote = VotePolicy::Never,
                _ => {}
            }
            let presence = match presence {
                0 => Presence::Gone,
                1 => Presence::Heard,
                _ => Presence::Connected,
            };
            census.note_one(ms(since * 1000), member.id, presence);
        }
        for me in &voters {
            let policy = policy(*me, &roster, &census);
            if policy.change(ms(40_000)).is_none() {
                let tried = (41..=120).map(|second| ms(second * 1000)).find(|at| policy.change(*at).is_some());
                prop_assert_eq!(policy.deadline(ms(40_000)), tried);
            }
        }
    }
}
