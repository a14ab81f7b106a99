//! The fence touched or refused by the kernel.

use super::actions::*;
use super::*;
use crate::action::Effect;
use mesh_control::Protection;

fn failed(error: &str) -> Input {
    Input::Failed { effect: Effect::Fence, error: error.to_owned() }
}

fn warning(error: &str) -> Action {
    Action::Record(Decision::Warning { text: format!("the kernel does not enforce leases: {error}") })
}

#[test]
fn a_removed_fence_is_put_back_and_opened_where_a_lease_lives() {
    let mut engine = holding();
    let what = "the fence's nftables rules were removed by somebody else".to_owned();
    let expected = [install(&[VIP]), arm(ms(3220 + 976)), Action::Record(Decision::Repaired { what })];
    assert_eq!(plain(engine.step(ms(3300), Input::FenceGone)), expected);
    assert_eq!(plain(plain_active().step(ms(3300), Input::FenceGone)), [], "without leases there is none");
}

#[test]
fn a_fence_that_fails_is_told_once_and_tried_again() {
    let mut engine = holding();
    assert_eq!(plain(engine.step(ms(3300), failed("no nf_tables"))), [warning("no nf_tables")]);
    assert_eq!(plain(engine.step(ms(3301), failed("no nf_tables"))), []);
    assert_eq!(engine.status(ms(3301)).cluster.protection, Protection::Unprotected);
    let actions = plain(engine.step(ms(3550), Input::Timeout));
    // The renewal due since 3470 ms goes first: two messages.
    assert_eq!(actions[2..4], [install(&[VIP]), arm(ms(3220 + 976))]);
    assert_eq!(plain(engine.step(ms(3551), failed("no nf_tables"))), [], "still the same");
    assert_eq!(plain(engine.step(ms(3552), failed("busy"))), [warning("busy")]);
}

#[test]
fn a_fence_that_works_again_protects_again() {
    let mut engine = holding();
    engine.step(ms(3300), failed("no nf_tables"));
    engine.step(ms(3550), Input::Timeout);
    assert_eq!(engine.status(ms(3551)).cluster.protection, Protection::Protected);
}

/// A voter that contradicts itself in one message first extends the lease, then ends it.
#[test]
fn the_fence_of_a_retired_router_stays_closed_within_the_step() {
    let mut engine = holding();
    let renewal = request(&engine.step(ms(3470), Input::Timeout));
    engine.step(ms(3471), held(LB2, ms(3471), &renewal, LB3, 900));
    let Input::Message { message: Message::Reply(mut both), .. } = granted(LB3, ms(3472), &renewal) else {
        unreachable!()
    };
    both.verdicts.push((KEY, Vote::Held { owner: LB2, epoch: 7, remaining_ms: 900 }));
    let actions = plain(engine.step(ms(3472), message(LB3, Message::Reply(both))));
    assert_eq!(actions[0], close());
    assert!(!actions.iter().any(|a| matches!(a, Action::FenceArm { .. })), "{actions:#?}");
}
