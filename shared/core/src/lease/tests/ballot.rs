//! Counting, as owner and as candidate.

use mesh_wire::mesh::lease::Verdict;

use super::*;
use crate::fixture::ms;
use crate::lease::ballot::{Ballot, Count};
use crate::lease::pace::Pace;
use crate::time::Instant;

const T: Duration = Duration::from_secs(1);

fn ballot(epoch: u64) -> Ballot {
    Ballot::new(ms(1000), epoch, "a test".to_owned())
}

fn voters(n: u64) -> Vec<NodeId> {
    (1..=n).map(NodeId).collect()
}

fn grant(ballot: &mut Ballot, voter: u64, sent: u64) {
    let verdict = Verdict::Granted { epoch: ballot.epoch };
    ballot.vote(ms(sent + 1), NodeId(voter), ms(sent), T, verdict);
}

fn held(ballot: &mut Ballot, voter: u64, at: u64, remaining_ms: u32) {
    let verdict = Verdict::Held { owner: NodeId(9), epoch: 1, remaining_ms };
    ballot.vote(ms(at), NodeId(voter), ms(at - 1), T, verdict);
}

/// 996 ms for a second, less the guard of 20 ms.
fn end(sent: u64) -> Instant {
    ms(sent + 976)
}

#[test]
fn the_deadline_is_the_quorum_th_largest_promise() {
    for (n, quorum) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4)] {
        let mut ballot = ballot(1);
        for voter in 1..=n {
            assert_eq!(ballot.deadline(&voters(n)), (voter > quorum).then(|| end(1000 + 10 * (voter - quorum))), "{n}");
            grant(&mut ballot, voter, 1000 + 10 * voter);
        }
        assert_eq!(ballot.deadline(&voters(n)), Some(end(1000 + 10 * (n + 1 - quorum))), "{n} voters");
    }
}

#[test]
fn a_promise_counts_from_sending_whenever_the_answer_comes() {
    let mut ballot = ballot(1);
    ballot.vote(ms(1900), A, ms(1000), T, Verdict::Granted { epoch: 1 });
    assert_eq!(ballot.deadline(&[A]), Some(end(1000)));
}

#[test]
fn answers_out_of_order_do_not_shorten_a_promise() {
    let mut ballot = ballot(1);
    grant(&mut ballot, 1, 1250);
    grant(&mut ballot, 1, 1000);
    assert_eq!(ballot.deadline(&[A]), Some(end(1250)));
}

#[test]
fn only_voters_count() {
    let mut ballot = ballot(1);
    grant(&mut ballot, 1, 1000);
    grant(&mut ballot, 8, 1000);
    grant(&mut ballot, 9, 1000);
    assert_eq!(ballot.deadline(&voters(3)), None);
    assert_eq!(ballot.count(ms(1001), &voters(3)), Count::Open);
}

#[test]
fn no_voters_no_majority() {
    assert_eq!(ballot(1).deadline(&[]), None);
    assert_eq!(ballot(1).count(ms(1001), &[]), Count::Lost);
}

#[test]
fn won_open_and_lost() {
    for (n, quorum) in [(1, 1), (3, 2), (5, 3)] {
        let mut winning = ballot(1);
        let mut losing = ballot(1);
        for voter in 1..=n {
            grant(&mut winning, voter, 1000);
            let expected = if voter >= quorum { Count::Won(end(1000)) } else { Count::Open };
            assert_eq!(winning.count(ms(1001), &voters(n)), expected, "{n} voters, {voter} granted");
            held(&mut losing, voter, 1001, 900);
            let expected = if voter > n - quorum { Count::Lost } else { Count::Open };
            assert_eq!(losing.count(ms(1001), &voters(n)), expected, "{n} voters, {voter} refused");
        }
    }
}

#[test]
fn silence_loses_at_the_time_limit() {
    let mut ballot = ballot(1);
    grant(&mut ballot, 1, 1000);
    assert_eq!(ballot.count(ms(1100) - Duration::from_nanos(1), &voters(3)), Count::Open);
    assert_eq!(ballot.count(ms(1100), &voters(3)), Count::Lost);
}

#[test]
fn a_majority_that_has_run_out_is_none() {
    let mut ballot = ballot(1);
    grant(&mut ballot, 1, 1000);
    grant(&mut ballot, 2, 1000);
    assert_eq!(ballot.count(end(1000), &voters(3)), Count::Lost);
}

#[test]
fn refusals_that_end_soon_are_waited_for() {
    let mut ballot = ballot(1);
    ballot.asked(ms(1000));
    assert_eq!(ballot.ask_at, ms(1030));
    held(&mut ballot, 1, 1001, 10);
    held(&mut ballot, 2, 1001, 10);
    assert_eq!(ballot.count(ms(1001), &voters(3)), Count::Open);
    assert_eq!(ballot.ask_at, ms(1012), "just after the end, not only with the next repetition");
    ballot.asked(ms(1012));
    grant(&mut ballot, 1, 1012);
    grant(&mut ballot, 2, 1012);
    assert_eq!(ballot.count(ms(1013), &voters(3)), Count::Won(end(1012)));
    assert_eq!(ballot.held_by_other().count(), 0, "a grant takes the refusal's place");
}

#[test]
fn quarantine_counts_as_a_refusal_that_names_nobody() {
    let mut ballot = ballot(1);
    for voter in [A, B] {
        ballot.vote(ms(1001), voter, ms(1000), T, Verdict::Quarantine { remaining_ms: 500 });
    }
    assert_eq!(ballot.count(ms(1001), &voters(3)), Count::Lost);
    assert_eq!(ballot.held_by_other().count(), 0);
    assert_eq!(ballot.quarantine_ends(), Some(ms(1501)));
    assert_eq!(ballot.answered(), 2);
}

#[test]
fn a_stale_epoch_is_raised_and_a_majority_asked_under_it() {
    let mut ballot = ballot(3);
    ballot.asked(ms(1000));
    grant(&mut ballot, 1, 1000);
    ballot.vote(ms(1002), B, ms(1000), T, Verdict::Stale { max_epoch: 7 });
    assert_eq!((ballot.epoch, ballot.ask_at), (8, ms(1002)), "asked again at once");
    ballot.vote(ms(1003), B, ms(1002), T, Verdict::Granted { epoch: 8 });
    assert_eq!(ballot.count(ms(1003), &voters(3)), Count::Open, "A does not know epoch 8");
    ballot.vote(ms(1003), A, ms(1002), T, Verdict::Granted { epoch: 8 });
    assert_eq!(ballot.count(ms(1003), &voters(3)), Count::Won(end(1002)));
    ballot.vote(ms(1004), C, ms(1000), T, Verdict::Stale { max_epoch: 7 });
    assert_eq!(ballot.epoch, 8, "once");
    assert_eq!(ballot.epochs().collect::<Vec<_>>(), [5, 6, 7, 8]);
}

#[test]
fn the_highest_epoch_of_all_does_not_overflow() {
    let mut ballot = ballot(3);
    ballot.asked(ms(1000));
    ballot.vote(ms(1002), B, ms(1000), T, Verdict::Stale { max_epoch: u64::MAX });
    assert!(ballot.ask_at > ms(1002), "not asked for ever in one step");
}

#[test]
fn answers_of_other_ballots_do_not_count() {
    let mut ballot = ballot(5);
    ballot.vote(ms(1001), A, ms(1000), T, Verdict::Granted { epoch: 4 });
    ballot.vote(ms(1001), B, ms(1000), T, Verdict::Granted { epoch: 6 });
    assert_eq!(ballot.granted_by().count(), 0);
}

/// After a restart or a reload an epoch may be used again: what was promised before this ballot
/// began was given back.
#[test]
fn answers_to_requests_sent_before_the_ballot_began_do_not_count() {
    let mut ballot = ballot(5);
    ballot.vote(ms(1001), A, ms(999), T, Verdict::Granted { epoch: 5 });
    ballot.vote(ms(1001), B, ms(999), T, Verdict::Held { owner: C, epoch: 9, remaining_ms: 900 });
    ballot.vote(ms(1001), C, ms(999), T, Verdict::Stale { max_epoch: 9 });
    assert_eq!((ballot.answered(), ballot.epoch), (0, 5));
}

/// A refusal that was overtaken by the grant after it.
#[test]
fn a_late_refusal_does_not_undo_a_promise() {
    let mut ballot = ballot(1);
    for voter in [2, 3] {
        grant(&mut ballot, voter, 1030);
        held(&mut ballot, voter, 1030, 20);
    }
    assert_eq!(ballot.held_by_other().count(), 0);
    // Sent after the grant: our clock stood still, the voter knows better.
    held(&mut ballot, 2, 1032, 500);
    assert_eq!(ballot.held_by_other().collect::<Vec<_>>(), [(B, NodeId(9), 1)]);
}

#[test]
fn collisions_are_short_grants_only() {
    let mut short = ballot(1);
    held(&mut short, 1, 1001, 390);
    held(&mut short, 2, 1005, 300);
    assert_eq!(short.collision_ends(FIRST_LEASE), Some(ms(1391)));
    held(&mut short, 3, 1001, 401);
    assert_eq!(short.collision_ends(FIRST_LEASE), None, "an owner renews");
    assert_eq!(short.vetoes().len(), 3);
}

/// A duplicate of an old request, answered after the owner had gone on to a higher epoch.
#[test]
fn a_late_stale_does_not_raise_the_epoch() {
    let mut ballot = ballot(3);
    ballot.vote(ms(1002), B, ms(1000), T, Verdict::Stale { max_epoch: 5 });
    grant(&mut ballot, 2, 1002);
    ballot.vote(ms(1004), B, ms(1000), T, Verdict::Stale { max_epoch: 6 });
    assert_eq!(ballot.epoch, 6);
}

#[test]
fn a_ballot_keeps_to_the_voters_pace() {
    let pace = Pace::new(Duration::from_millis(200));
    let mut ballot = ballot(1).paced(pace, T);
    assert_eq!(ballot.give_up_at, ms(1400));
    ballot.asked(ms(1000));
    assert_eq!(ballot.ask_at, ms(1200));
    assert_eq!(ballot.first_duration(T), T, "a shorter one would end before its renewal is granted");
    assert_eq!(ballot.collision(T), T / 2);
    grant(&mut ballot, 1, 1000);
    assert_eq!(ballot.count(ms(1399), &voters(3)), Count::Open);
    assert_eq!(ballot.count(ms(1400), &voters(3)), Count::Lost);
}

/// With a lease of 300 ms every grant is short; what an owner renews has three quarters left.
#[test]
fn the_owner_of_a_short_lease_is_no_collision() {
    let lease = Duration::from_millis(300);
    let mut ballot = ballot(1);
    held(&mut ballot, 1, 1001, 226);
    held(&mut ballot, 2, 1001, 299);
    assert_eq!(ballot.collision_ends(ballot.collision(lease)), None);
    let mut rivals = Ballot::new(ms(1000), 1, "a test".to_owned());
    held(&mut rivals, 1, 1001, 150);
    assert_eq!(rivals.collision_ends(rivals.collision(lease)), Some(ms(1151)));
}
