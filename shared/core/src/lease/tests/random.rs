//! Random sequences of everything that can happen to a voter.

use std::collections::BTreeMap;

use mesh_wire::mesh::RouterKey;
use mesh_wire::mesh::lease::{Claim, Release, Verdict};
use proptest::prelude::*;

use super::*;
use crate::fixture::{KEY, ms};
use crate::lease::memory::{Slot, VoterStart};
use crate::lease::voter::Voter;
use crate::time::Instant;

#[derive(Clone, Debug)]
enum Op {
    Wait(u64),
    Ask { node: u64, epoch: u64, seq: u64, duration_ms: u32 },
    Release { node: u64, epoch: u64, seq: u64, successor: Option<u64> },
    Expire,
}

fn op() -> impl Strategy<Value = Op> {
    let node = 1..4u64;
    prop_oneof![
        2 => (0..800u64).prop_map(Op::Wait),
        4 => (node.clone(), 1..6u64, 0..30u64, 0..3200u32)
            .prop_map(|(node, epoch, seq, duration_ms)| Op::Ask { node, epoch, seq, duration_ms }),
        2 => (node.clone(), 1..6u64, 0..30u64, proptest::option::of(node))
            .prop_map(|(node, epoch, seq, successor)| Op::Release { node, epoch, seq, successor }),
        1 => Just(Op::Expire),
    ]
}

proptest! {
    /// What each node was promised, kept apart from the voter, never overlaps another node's.
    #[test]
    fn no_two_nodes_are_promised_the_same_time(ops in proptest::collection::vec(op(), 1..80)) {
        let mut voter = Voter::new(ms(100));
        let mut now = 0;
        let mut promise: Option<(NodeId, u64, u64)> = None;
        for op in ops {
            match op {
                Op::Wait(n) => now += n,
                Op::Ask { node, epoch, seq, duration_ms } => {
                    let node = NodeId(node);
                    let before = voter.holder(ms(now), &KEY);
                    let verdict = voter.decide(ms(now), node, seq, &Claim { router: KEY, epoch, duration_ms });
                    let after = voter.holder(ms(now), &KEY);
                    if let Some(Verdict::Granted { epoch: granted }) = verdict {
                        prop_assert_eq!(granted, epoch);
                        prop_assert!(now >= 100, "granted in quarantine");
                        prop_assert!(u128::from(duration_ms) <= MAX_LEASE.as_millis());
                        if let Some((owner, last, until)) = promise.filter(|(_, _, until)| *until > now) {
                            prop_assert_eq!(owner, node, "promised to both until {}", until);
                            prop_assert!(epoch >= last);
                        }
                        let kept = promise.filter(|(owner, ..)| *owner == node).map_or(0, |(_, _, until)| until);
                        promise = Some((node, epoch, kept.max(now + u64::from(duration_ms))));
                        if let (Some(before), Some(after)) = (before, after) {
                            prop_assert!(after.expiry >= before.expiry, "shortened");
                        }
                    } else {
                        prop_assert_eq!(before, after, "{:?} changed the grant", verdict);
                    }
                }
                Op::Release { node, epoch, seq, successor } => {
                    let release = Release { router: KEY, epoch, seq, successor: successor.map(NodeId) };
                    let before = voter.holder(ms(now), &KEY);
                    let vacant = voter.release(ms(now), NodeId(node), &release);
                    if vacant.is_some() {
                        let (owner, held, _) = promise.take().expect("only what was granted can be released");
                        prop_assert_eq!((owner, held), (NodeId(node), epoch));
                    } else {
                        prop_assert_eq!(voter.holder(ms(now), &KEY), before);
                    }
                }
                Op::Expire => {
                    let alive = voter.holder(ms(now), &KEY).is_some();
                    for vacant in voter.expire(ms(now)) {
                        prop_assert!(!alive);
                        prop_assert_eq!(promise.map(|(owner, epoch, _)| (owner, epoch)), Some((vacant.owner, vacant.epoch)));
                    }
                    prop_assert!(voter.deadline().is_none_or(|t| t > ms(now)));
                }
            }
            let model = promise.filter(|(_, _, until)| *until > now).map(|(owner, ..)| owner);
            prop_assert_eq!(voter.holder(ms(now), &KEY).map(|h| h.owner), model);
        }
    }
}

/// A voter whose process may die after any operation: what was to be remembered and was, is back.
struct Mortal {
    voter: Voter,
    disk: BTreeMap<RouterKey, Slot>,
}

impl Mortal {
    fn remember(&mut self) {
        self.disk.extend(self.voter.take_changes().into_iter().flat_map(|c| c.slots));
    }

    fn die(&mut self, now: Instant) {
        let slots = self.disk.iter().map(|(router, slot)| (*router, *slot)).collect();
        self.voter = Voter::start(now, VoterStart::remembered(slots));
    }
}

/// When the process dies while it handles a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Death {
    Never,
    /// Nothing was remembered, and nobody was told.
    BeforeRemember,
    /// Remembered, but nobody was told.
    BeforeReply,
    AfterReply,
}

fn death() -> impl Strategy<Value = Death> {
    prop_oneof![
        2 => Just(Death::Never),
        1 => Just(Death::BeforeRemember),
        1 => Just(Death::BeforeReply),
        1 => Just(Death::AfterReply),
    ]
}

proptest! {
    /// Whenever it dies, whoever was told of a grant has it to the end; and as long as it dies after
    /// what it did was remembered, it answers as one that never died.
    #[test]
    fn a_restart_breaks_no_promise(ops in proptest::collection::vec((op(), death()), 1..80)) {
        let mut mortal = Mortal { voter: Voter::new(Instant::default()), disk: BTreeMap::new() };
        let mut eternal = Voter::new(Instant::default());
        let mut same = true;
        let mut now = 0;
        let mut told: Option<(NodeId, u64)> = None;
        for (op, death) in ops {
            match op {
                Op::Wait(n) => now += n,
                Op::Ask { node, epoch, seq, duration_ms } => {
                    let node = NodeId(node);
                    let claim = Claim { router: KEY, epoch, duration_ms };
                    let verdict = mortal.voter.decide(ms(now), node, seq, &claim);
                    let expected = eternal.decide(ms(now), node, seq, &claim);
                    prop_assert!(!same || verdict == expected, "{:?} instead of {:?}", verdict, expected);
                    same &= death != Death::BeforeRemember;
                    if death == Death::BeforeRemember {
                        mortal.die(ms(now));
                    }
                    mortal.remember();
                    let reaches = matches!(death, Death::Never | Death::AfterReply);
                    if let (Some(Verdict::Granted { .. }), true) = (verdict, reaches) {
                        if let Some((owner, until)) = told.filter(|(_, until)| *until > now) {
                            prop_assert_eq!(owner, node, "promised to both until {}", until);
                        }
                        let kept = told.filter(|(owner, _)| *owner == node).map_or(0, |(_, until)| until);
                        told = Some((node, kept.max(now + u64::from(duration_ms))));
                    }
                }
                Op::Release { node, epoch, seq, successor } => {
                    let release = Release { router: KEY, epoch, seq, successor: successor.map(NodeId) };
                    let ended = mortal.voter.release(ms(now), NodeId(node), &release);
                    eternal.release(ms(now), NodeId(node), &release);
                    if death == Death::BeforeRemember {
                        same = false;
                        mortal.die(ms(now));
                    }
                    mortal.remember();
                    // Whoever releases closed its fence before it did.
                    if ended.is_some() && told.is_some_and(|(owner, _)| owner == NodeId(node)) {
                        told = None;
                    }
                }
                Op::Expire => {
                    mortal.voter.expire(ms(now));
                    eternal.expire(ms(now));
                }
            }
            if matches!(death, Death::BeforeReply | Death::AfterReply) {
                mortal.die(ms(now));
            }
            if same {
                prop_assert_eq!(mortal.voter.holder(ms(now), &KEY), eternal.holder(ms(now), &KEY));
                prop_assert_eq!(mortal.voter.max_epoch(&KEY), eternal.max_epoch(&KEY));
            }
            if let Some((owner, _)) = told.filter(|(_, until)| *until > now) {
                prop_assert_eq!(mortal.voter.holder(ms(now), &KEY).map(|h| h.owner), Some(owner), "forgotten");
            }
        }
    }
}
