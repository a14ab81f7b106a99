//! Random sequences of everything that can happen to a voter.

use mesh_wire::mesh::lease::{Claim, Release, Verdict};
use proptest::prelude::*;

use super::*;
use crate::fixture::{KEY, ms};
use crate::lease::voter::Voter;

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
