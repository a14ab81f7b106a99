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
    let what = "the fence's nftables rules were changed by somebody else".to_owned();
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
fn what_the_kernel_lacks_is_no_full_protection() {
    let mut engine = holding();
    let gap = "no nftables family `arp`".to_owned();
    assert_eq!(plain(engine.step(ms(3300), Input::FenceGaps(vec![gap]))), []);
    let cluster = engine.status(ms(3301)).cluster;
    assert_eq!(cluster.protection, Protection::Unprotected);
    assert!(cluster.unprotected_because.is_some_and(|why| why.contains("`arp`")));
    assert_eq!(plain(engine.step(ms(3302), Input::FenceGaps(vec![]))), []);
    assert_eq!(engine.status(ms(3303)).cluster.protection, Protection::Protected);
}

#[test]
fn repairs_are_all_done_and_counted_but_told_at_a_bounded_rate() {
    let mut engine = holding();
    let mut told = Vec::new();
    for at in (3300..4100).step_by(10) {
        let actions = engine.step(ms(at), Input::FenceGone);
        assert!(actions.iter().any(|a| matches!(a, Action::FenceInstall { .. })));
        told.extend(actions.into_iter().filter(|a| matches!(a, Action::Record(Decision::Repaired { .. }))));
        engine.step(ms(at), Input::AddressGone { interface: "eth0".to_owned(), address: VIP });
    }
    assert_eq!(told.len(), 1);
    let counters = engine.status(ms(4100)).counters;
    assert_eq!((counters["fence_repairs"], counters["address_repairs"]), (80, 80));
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

/// Lifetimes asked for in these effects.
fn lifetimes(actions: &[Action]) -> Vec<u32> {
    let of = |action: &Action| match action {
        Action::AddAddress { lifetime_s, .. } => Some(*lifetime_s),
        _ => None,
    };
    actions.iter().filter_map(of).collect()
}

#[test]
fn many_addresses_live_longer_but_only_behind_a_fence_that_works() {
    let mut router = router(200);
    router.excluded_addresses = (0..200).map(|n| vip(&format!("10.7.0.{n}/32"))).collect();
    let mut engine = started(LB1, vec![router], Some(roster(3)));
    let first = request(&engine.step(CLAIM, Input::Timeout));
    let taken = engine.step(ms(3220), granted(LB2, ms(3220), &first));
    assert_eq!(lifetimes(&taken), vec![10; 201]);
    // A failure shortens them at once, and it takes 5 s without another before they are long again.
    assert_eq!(lifetimes(&engine.step(ms(3300), failed("no nf_tables"))), vec![3; 201]);
    assert!(lifetimes(&engine.step(ms(3301), failed("no nf_tables"))).is_empty(), "they are short already");
    let gap = Input::FenceGaps(vec!["no timeouts".to_owned()]);
    assert_eq!(lifetimes(&engine.step(ms(3302), gap)), vec![3; 201]);
}
