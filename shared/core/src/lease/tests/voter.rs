//! The voter's rules.

use mesh_wire::mesh::lease::{Claim, Release, Vacant, Verdict};

use super::*;
use crate::fixture::{KEY, key, ms};
use crate::lease::EPOCH_REACH;
use crate::lease::memory::VoterStart;
use crate::lease::voter::{Holder, Voter};
use crate::time::Instant;

const GRANTED_1: Option<Verdict> = Some(Verdict::Granted { epoch: 1 });
const GRANTED_2: Option<Verdict> = Some(Verdict::Granted { epoch: 2 });

fn voter() -> Voter {
    Voter::new(Instant::default())
}

fn claim(epoch: u64, duration_ms: u32) -> Claim {
    Claim { router: KEY, epoch, duration_ms }
}

/// After requests up to number 9.
fn release(epoch: u64, successor: Option<NodeId>) -> Release {
    Release { router: KEY, epoch, seq: 9, successor }
}

fn held(owner: NodeId, epoch: u64, remaining_ms: u32) -> Option<Verdict> {
    Some(Verdict::Held { owner, epoch, remaining_ms })
}

fn lapsed(owner: NodeId, epoch: u64) -> Vacant {
    Vacant { router: KEY, owner, epoch, released: false, reserved_for: None }
}

#[test]
fn v1_without_memory_it_grants_nothing() {
    let mut voter = Voter::new(ms(3062));
    let quarantine = |remaining_ms| Some(Verdict::Quarantine { remaining_ms });
    assert_eq!(voter.decide(ms(0), A, 1, &claim(1, 1000)), quarantine(3062));
    assert_eq!(voter.decide(ms(3062) - Duration::from_nanos(1), A, 2, &claim(1, 1000)), quarantine(1), "rounded up");
    assert_eq!(voter.max_epoch(&KEY), 0, "nothing is remembered of it");
    assert_eq!(voter.decide(ms(3062), A, 3, &claim(1, 1000)), GRANTED_1);
}

#[test]
fn v2_held_by_another_changes_nothing() {
    let mut voter = voter();
    assert_eq!(voter.decide(ms(0), A, 1, &claim(1, 1000)), GRANTED_1);
    assert_eq!(voter.decide(ms(400), B, 1, &claim(9, 1000)), held(A, 1, 600));
    assert_eq!(voter.max_epoch(&KEY), 1, "a refused epoch is not remembered");
    assert_eq!(voter.holder(ms(999), &KEY), Some(Holder { owner: A, epoch: 1, expiry: ms(1000) }));
    let just_before = ms(1000) - Duration::from_nanos(1);
    assert_eq!(voter.decide(just_before, B, 2, &claim(9, 1000)), held(A, 1, 1), "rounded up");
    assert_eq!(voter.decide(ms(1000), B, 3, &claim(9, 1000)), Some(Verdict::Granted { epoch: 9 }));
}

#[test]
fn v2_routers_do_not_disturb_each_other() {
    let mut voter = voter();
    assert_eq!(voter.decide(ms(0), A, 1, &claim(1, 1000)), GRANTED_1);
    let other = Claim { router: key(52), ..claim(1, 1000) };
    assert_eq!(voter.decide(ms(0), B, 1, &other), GRANTED_1);
}

#[test]
fn v3_an_old_epoch_is_stale() {
    let mut voter = voter();
    assert_eq!(voter.decide(ms(0), A, 1, &claim(5, 1000)), Some(Verdict::Granted { epoch: 5 }));
    assert_eq!(voter.decide(ms(1), A, 2, &claim(4, 1000)), Some(Verdict::Stale { max_epoch: 5 }), "the owner's own");
    assert_eq!(voter.decide(ms(1000), B, 1, &claim(4, 1000)), Some(Verdict::Stale { max_epoch: 5 }));
    assert_eq!(voter.holder(ms(1000), &KEY), None);
}

/// Two owners must not share an epoch: traces, releases and the status map tell them apart by it.
#[test]
fn v3_an_epoch_belongs_to_one_node() {
    let mut voter = voter();
    assert_eq!(voter.decide(ms(0), A, 1, &claim(5, 1000)), Some(Verdict::Granted { epoch: 5 }));
    assert_eq!(voter.decide(ms(1000), B, 1, &claim(5, 1000)), Some(Verdict::Stale { max_epoch: 5 }));
    assert_eq!(voter.decide(ms(1000), B, 2, &claim(6, 1000)), Some(Verdict::Granted { epoch: 6 }));
}

#[test]
fn v3_duplicates_and_overtaken_requests_are_dropped() {
    let mut voter = voter();
    assert_eq!(voter.decide(ms(0), A, 7, &claim(1, 1000)), GRANTED_1);
    assert_eq!(voter.decide(ms(500), A, 7, &claim(1, 1000)), None);
    assert_eq!(voter.decide(ms(500), A, 6, &claim(1, 1000)), None);
    assert_eq!(voter.holder(ms(500), &KEY).unwrap().expiry, ms(1000));
    assert_eq!(voter.decide(ms(1500), A, 7, &claim(1, 1000)), None, "nor after the grant ran out");
    assert_eq!(voter.holder(ms(1500), &KEY), None);
}

#[test]
fn v4_a_grant_of_the_same_owner_is_never_shortened() {
    let mut voter = voter();
    assert_eq!(voter.decide(ms(0), A, 1, &claim(1, 3000)), GRANTED_1);
    assert_eq!(voter.decide(ms(100), A, 2, &claim(1, 400)), GRANTED_1);
    assert_eq!(voter.holder(ms(100), &KEY).unwrap().expiry, ms(3000));
    assert_eq!(voter.decide(ms(200), A, 3, &claim(2, 400)), GRANTED_2, "nor by a raised epoch");
    assert_eq!(voter.holder(ms(200), &KEY), Some(Holder { owner: A, epoch: 2, expiry: ms(3000) }));
    assert_eq!(voter.decide(ms(2500), A, 4, &claim(2, 1000)), GRANTED_2);
    assert_eq!(voter.holder(ms(2500), &KEY).unwrap().expiry, ms(3500), "but it is extended");
}

#[test]
fn v4_what_no_director_of_ours_sends_is_not_answered() {
    let mut voter = voter();
    assert_eq!(voter.decide(ms(0), A, 1, &claim(1, 3001)), None, "longer than the quarantine covers");
    assert_eq!(voter.decide(ms(0), A, 2, &claim(1, u32::MAX)), None);
    assert_eq!(voter.decide(ms(0), A, 3, &claim(u64::MAX, 1000)), None, "nobody could have a higher epoch");
    assert_eq!(voter.holder(ms(0), &KEY), None);
    assert_eq!(voter.decide(ms(0), A, 4, &claim(1, 3000)), GRANTED_1);
}

#[test]
fn v5_only_the_holder_releases_and_only_the_right_epoch() {
    let mut voter = voter();
    assert_eq!(voter.release(ms(0), A, &release(1, None)), None, "nothing there");
    assert_eq!(voter.decide(ms(0), A, 1, &claim(2, 1000)), GRANTED_2);
    assert_eq!(voter.release(ms(1), B, &release(2, None)), None);
    assert_eq!(voter.release(ms(1), A, &release(1, None)), None);
    assert_eq!(voter.release(ms(1), A, &release(3, None)), None);
    assert!(voter.holder(ms(1), &KEY).is_some());
    let vacant = Vacant { router: KEY, owner: A, epoch: 2, released: true, reserved_for: None };
    assert_eq!(voter.release(ms(1), A, &release(2, None)), Some(vacant));
    assert_eq!(voter.release(ms(1), A, &release(2, None)), None, "once");
    assert_eq!(voter.decide(ms(1), B, 1, &claim(3, 1000)), Some(Verdict::Granted { epoch: 3 }));
}

#[test]
fn v5_a_request_overtaken_by_its_release_takes_nothing() {
    let mut voter = voter();
    assert_eq!(voter.decide(ms(0), A, 1, &claim(1, 1000)), GRANTED_1);
    assert!(voter.release(ms(10), A, &release(1, None)).is_some());
    assert_eq!(voter.decide(ms(11), A, 2, &claim(1, 1000)), None, "sent before the release");
    assert_eq!(voter.holder(ms(11), &KEY), None);
    assert_eq!(voter.decide(ms(12), A, 3, &claim(2, 1000)), GRANTED_2, "a new ballot is another matter");
}

#[test]
fn v5_a_released_lease_waits_for_its_successor() {
    let mut voter = voter();
    assert_eq!(voter.decide(ms(0), A, 1, &claim(1, 1000)), GRANTED_1);
    let vacant = voter.release(ms(10), A, &release(1, Some(B))).unwrap();
    assert_eq!(vacant.reserved_for, Some(B));
    assert_eq!(voter.decide(ms(20), C, 1, &claim(2, 1000)), held(B, 1, 40));
    assert_eq!(voter.decide(ms(20), A, 2, &claim(2, 1000)), held(B, 1, 40), "nor back to whom it was");
    let mut taken = voter.clone();
    assert_eq!(taken.decide(ms(30), B, 1, &claim(2, 1000)), GRANTED_2);
    assert_eq!(taken.decide(ms(31), C, 2, &claim(3, 1000)), held(B, 2, 999));
    assert_eq!(voter.decide(ms(60), C, 2, &claim(2, 1000)), GRANTED_2, "after 50 ms it is anybody's");
}

#[test]
fn v6_an_end_is_told_once() {
    let mut voter = voter();
    assert_eq!(voter.deadline(), None);
    assert_eq!(voter.decide(ms(0), A, 1, &claim(1, 1000)), GRANTED_1);
    assert_eq!(voter.deadline(), Some(ms(1000)));
    assert_eq!(voter.expire(ms(999)), []);
    assert_eq!(voter.expire(ms(1000)), [lapsed(A, 1)]);
    assert_eq!(voter.expire(ms(1000)), []);
    assert_eq!(voter.deadline(), None);
    assert_eq!(voter.release(ms(1001), A, &release(1, None)), None, "it is over already");
}

#[test]
fn v6_a_renewal_after_the_end_begins_a_new_one() {
    let mut voter = voter();
    assert_eq!(voter.decide(ms(0), A, 1, &claim(1, 1000)), GRANTED_1);
    assert_eq!(voter.expire(ms(1000)), [lapsed(A, 1)]);
    assert_eq!(voter.decide(ms(1100), A, 2, &claim(1, 1000)), GRANTED_1);
    assert_eq!(voter.expire(ms(2100)), [lapsed(A, 1)]);
}

#[test]
fn the_earliest_end_is_the_deadline() {
    let mut voter = voter();
    voter.decide(ms(0), A, 1, &claim(1, 1000));
    voter.decide(ms(0), B, 1, &Claim { router: key(52), ..claim(1, 700) });
    assert_eq!(voter.deadline(), Some(ms(700)));
}

#[test]
fn the_latest_expiry_is_over_all_grants_that_bind() {
    let mut voter = voter();
    assert_eq!(voter.latest_expiry(ms(0)), None);
    assert_eq!(voter.decide(ms(0), A, 1, &claim(1, 1000)), GRANTED_1);
    let other = Claim { router: key(52), ..claim(1, 3000) };
    assert_eq!(voter.decide(ms(0), B, 1, &other), GRANTED_1);
    assert_eq!(voter.latest_expiry(ms(999)), Some(ms(3000)));
    let end = Release { router: key(52), ..release(1, None) };
    assert!(voter.release(ms(1), B, &end).is_some());
    assert_eq!(voter.latest_expiry(ms(999)), Some(ms(1000)), "a released grant binds no more");
    assert_eq!(voter.latest_expiry(ms(1000)), None);
}

/// Whoever asks so far above all that is known was led there: granted, it would lead everybody there.
#[test]
fn v3_an_epoch_beyond_reach_is_refused_with_the_one_that_is_known() {
    let mut voter = voter();
    let beyond = claim(1 + EPOCH_REACH + 1, 1000);
    assert_eq!(voter.decide(ms(0), A, 1, &claim(1, 1000)), GRANTED_1);
    assert_eq!(voter.decide(ms(1), B, 1, &beyond), held(A, 1, 999), "the holder comes first");
    assert_eq!(voter.decide(ms(1000), B, 2, &beyond), Some(Verdict::Stale { max_epoch: 1 }));
    assert_eq!((voter.max_epoch(&KEY), voter.holder(ms(1000), &KEY)), (1, None), "nothing changed");
    let at_the_edge = claim(1 + EPOCH_REACH, 1000);
    assert_eq!(voter.decide(ms(1000), B, 3, &at_the_edge), Some(Verdict::Granted { epoch: 1 + EPOCH_REACH }));
    let next = claim(2 + EPOCH_REACH + EPOCH_REACH, 1000);
    assert_eq!(voter.decide(ms(2000), A, 2, &next), Some(Verdict::Stale { max_epoch: 1 + EPOCH_REACH }));
}

/// What it forgot is known by a bound, and counts as known.
#[test]
fn v3_reach_begins_at_the_bound_of_what_was_forgotten() {
    let floor = EPOCH_REACH * 3;
    let mut voter = Voter::start(ms(0), VoterStart::default().above(floor, floor));
    assert_eq!(voter.decide(ms(0), A, 1, &claim(floor, 1000)), Some(Verdict::Stale { max_epoch: floor }));
    assert_eq!(
        voter.decide(ms(0), A, 2, &claim(floor + EPOCH_REACH + 1, 1000)),
        Some(Verdict::Stale { max_epoch: floor })
    );
    assert_eq!(voter.decide(ms(0), A, 3, &claim(floor + 1, 1000)), Some(Verdict::Granted { epoch: floor + 1 }));
}
