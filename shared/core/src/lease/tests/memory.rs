//! What a voter remembers, forgets, and refuses for it.

use mesh_wire::mesh::RouterKey;
use mesh_wire::mesh::lease::{Claim, Release, Verdict};

use super::*;
use crate::fixture::{KEY, key, ms};
use crate::lease::memory::{Changes, EPOCH_STEP, Ended, Slot, VoterStart, ceiling_above};
use crate::lease::voter::{MAX_ROUTERS, Voter};
use crate::time::Instant;

fn claim(epoch: u64) -> Claim {
    Claim { router: KEY, epoch, duration_ms: 1000 }
}

fn release(epoch: u64, seq: u64) -> Release {
    Release { router: KEY, epoch, seq, successor: None }
}

/// The only slot among the changes.
fn slot(changes: Option<Changes>) -> Slot {
    let changes = changes.expect("something changed");
    assert_eq!(changes.slots.len(), 1);
    changes.slots[0].1
}

fn restarted(now: Instant, slots: Vec<(RouterKey, Slot)>) -> Voter {
    Voter::start(now, VoterStart::remembered(slots))
}

#[test]
fn grants_and_releases_are_to_be_remembered_refusals_and_ends_are_not() {
    let mut voter = Voter::new(Instant::default());
    assert_eq!(voter.take_changes(), None);
    voter.decide(ms(0), A, 1, &claim(1));
    let granted = slot(voter.take_changes());
    assert_eq!((granted.live, granted.last.map(|g| (g.owner, g.expiry))), (true, Some((A, ms(1000)))));
    voter.decide(ms(1), A, 1, &claim(1));
    voter.decide(ms(1), B, 1, &claim(2));
    assert_eq!(voter.take_changes(), None, "a duplicate and a refusal");
    voter.decide(ms(250), A, 2, &claim(1));
    assert_eq!(slot(voter.take_changes()).last.map(|g| g.expiry), Some(ms(1250)));
    voter.release(ms(300), A, &release(1, 2));
    assert!(!slot(voter.take_changes()).live);
    voter.release(ms(300), A, &release(1, 2));
    assert_eq!(voter.take_changes(), None, "once");
    voter.decide(ms(300), B, 3, &claim(2));
    voter.take_changes();
    voter.expire(ms(1300));
    assert_eq!(voter.take_changes(), None, "memory holds the time of the end");
}

#[test]
fn a_restarted_voter_refuses_as_before() {
    let mut voter = Voter::new(Instant::default());
    voter.decide(ms(0), A, 7, &claim(3));
    let mut again = restarted(ms(400), voter.take_changes().unwrap().slots);
    let held = Some(Verdict::Held { owner: A, epoch: 3, remaining_ms: 600 });
    assert_eq!(again.decide(ms(400), B, 1, &claim(4)), held);
    assert_eq!(again.decide(ms(400), A, 7, &claim(3)), None, "a duplicate");
    assert_eq!(again.decide(ms(400), A, 8, &claim(3)), Some(Verdict::Granted { epoch: 3 }));
    assert_eq!(again.max_epoch(&KEY), 3);
    assert_eq!(again.latest_seq(A), Some(8));
}

#[test]
fn what_ran_out_while_it_was_away_is_not_told() {
    let mut voter = Voter::new(Instant::default());
    voter.decide(ms(0), A, 7, &claim(3));
    let mut again = restarted(ms(1000), voter.take_changes().unwrap().slots);
    assert_eq!((again.expire(ms(1000)), again.deadline()), (Vec::new(), None));
    assert_eq!(again.decide(ms(1000), B, 1, &claim(3)), Some(Verdict::Stale { max_epoch: 3 }));
    assert_eq!(again.decide(ms(1000), B, 2, &claim(4)), Some(Verdict::Granted { epoch: 4 }));
}

#[test]
fn its_own_grants_of_the_run_before_are_over() {
    let mut voter = Voter::new(Instant::default());
    voter.decide(ms(0), A, 7, &claim(3));
    voter.decide(ms(0), B, 7, &Claim { router: key(52), ..claim(3) });
    let mut again = restarted(ms(10), voter.take_changes().unwrap().slots);
    again.release_own(A);
    assert_eq!((again.holder(ms(10), &KEY), again.holder(ms(10), &key(52)).map(|h| h.owner)), (None, Some(B)));
    assert!(!slot(again.take_changes()).live, "and that is remembered");
}

#[test]
fn a_voter_that_starts_again_in_silence_stays_silent() {
    let start = VoterStart { silent_until: ms(500), ..VoterStart::remembered(Vec::new()) };
    let mut voter = Voter::start(ms(100), start);
    assert_eq!(voter.decide(ms(100), A, 1, &claim(1)), Some(Verdict::Quarantine { remaining_ms: 400 }));
    assert_eq!(voter.latest_expiry(ms(100)), Some(ms(500)), "what it may have forgotten");
}

#[test]
fn changes_that_were_lost_come_again_with_the_next() {
    let mut voter = Voter::new(Instant::default());
    voter.decide(ms(0), A, 1, &claim(1));
    voter.take_changes();
    voter.changes_lost();
    assert_eq!(voter.take_changes(), None, "not by themselves: the failure would repeat for ever");
    voter.decide(ms(1), A, 1, &Claim { router: key(52), ..claim(1) });
    let all = voter.take_changes().unwrap();
    assert_eq!((all.slots.len(), all.epoch_ceiling), (2, Some(EPOCH_STEP)));
    voter.remember_all();
    assert_eq!(voter.take_changes().unwrap().slots.len(), 2);
}

#[test]
fn a_release_ends_nothing_that_was_asked_for_after_it() {
    let mut voter = Voter::new(Instant::default());
    voter.decide(ms(0), A, 5, &claim(1));
    voter.decide(ms(250), A, 6, &claim(1));
    assert_eq!(voter.release(ms(251), A, &release(1, 5)), None, "of an earlier run, say");
    assert!(voter.holder(ms(251), &KEY).is_some());
    assert!(voter.release(ms(252), A, &release(1, 6)).is_some());
}

#[test]
fn a_request_that_a_release_overtook_takes_nothing_even_where_nothing_was_granted() {
    let mut voter = Voter::new(Instant::default());
    assert_eq!(voter.release(ms(0), A, &release(4, 9)), None);
    assert_eq!(slot(voter.take_changes()).ended, Some(Ended { node: A, epoch: 4, seq: 9 }));
    for (epoch, seq) in [(4, 9), (4, 8), (3, 9), (1, 1)] {
        assert_eq!(voter.decide(ms(1), A, seq, &claim(epoch)), None, "{epoch} {seq}");
    }
    assert_eq!(voter.release(ms(1), A, &release(2, 3)), None);
    assert_eq!(voter.decide(ms(1), A, 9, &claim(4)), None, "an older release does not undo a newer one");
    let mut other = voter.clone();
    assert_eq!(other.decide(ms(2), B, 1, &claim(1)), Some(Verdict::Granted { epoch: 1 }), "another node's");
    let mut later = voter.clone();
    assert_eq!(later.decide(ms(2), A, 10, &claim(4)), Some(Verdict::Granted { epoch: 4 }), "a later request");
    assert_eq!(voter.decide(ms(2), A, 1, &claim(5)), Some(Verdict::Granted { epoch: 5 }), "another ballot");
}

#[test]
fn a_voter_that_forgot_grants_no_epoch_it_may_have_granted() {
    let mut voter = Voter::start(ms(0), VoterStart::default().above(3000, 4000));
    assert_eq!(voter.max_epoch(&KEY), 3000);
    assert_eq!(voter.decide(ms(0), A, 1, &claim(3000)), Some(Verdict::Stale { max_epoch: 3000 }));
    assert_eq!(voter.decide(ms(0), A, 2, &claim(3001)), Some(Verdict::Granted { epoch: 3001 }));
    assert_eq!(voter.take_changes().unwrap().epoch_ceiling, None, "there is room up to 4000");
    assert_eq!(voter.decide(ms(0), A, 3, &claim(4001)), Some(Verdict::Granted { epoch: 4001 }));
    assert_eq!(voter.take_changes().unwrap().epoch_ceiling, Some(5000));
}

#[test]
fn what_this_node_asked_for_is_remembered_as_well() {
    let mut voter = Voter::new(Instant::default());
    voter.note_claim(KEY, 7);
    let noted = voter.take_changes().unwrap();
    assert_eq!((noted.slots[0].1.claimed, noted.epoch_ceiling), (7, Some(EPOCH_STEP)));
    voter.note_claim(KEY, 7);
    assert_eq!(voter.take_changes(), None);
    assert_eq!(restarted(ms(0), noted.slots).max_epoch(&KEY), 7, "the next takeover is under another one");
    assert_eq!(voter.decide(ms(0), A, 1, &claim(1)), Some(Verdict::Granted { epoch: 1 }), "no reason to refuse");
}

#[test]
fn ceilings() {
    assert_eq!([0, 1, 999, 1000, 1001].map(ceiling_above), [1000, 1000, 1000, 2000, 2000]);
    assert_eq!(ceiling_above(u64::MAX), u64::MAX);
}

#[test]
fn a_voter_has_room_for_so_many_routers() {
    let mut voter = Voter::new(Instant::default());
    let router = |n: usize| RouterKey { segment: n as u32, ..KEY };
    let ask = |voter: &mut Voter, n, seq| voter.decide(ms(0), A, seq, &Claim { router: router(n), ..claim(1) });
    for n in 0..MAX_ROUTERS {
        assert_eq!(ask(&mut voter, n, 1), Some(Verdict::Granted { epoch: 1 }));
    }
    assert_eq!(ask(&mut voter, MAX_ROUTERS, 1), None);
    let beyond = Release { router: router(MAX_ROUTERS), ..release(1, 1) };
    assert_eq!(voter.release(ms(0), A, &beyond), None);
    assert_eq!(ask(&mut voter, 0, 2), Some(Verdict::Granted { epoch: 1 }), "those it has go on");
    assert_eq!(voter.take_changes().unwrap().slots.len(), MAX_ROUTERS);
}
