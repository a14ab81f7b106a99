//! What is told of the mesh as a whole: once, a moment after it changed, and again when it is over.

use super::*;

const UNPROTECTED: &str =
    "UNPROTECTED: 2 of 3 voters have joined; until then VRRP decides alone whenever no majority answers";
const PROTECTED: &str = "protected again: at most one director serves each address";

fn told(actions: Vec<Action>) -> Vec<(bool, String)> {
    let of = |a| if let Action::Record(Decision::Standing { good, text }) = a { Some((good, text)) } else { None };
    actions.into_iter().filter_map(of).collect()
}

fn is(good: bool, text: &str) -> Vec<(bool, String)> {
    vec![(good, text.to_owned())]
}

/// lb1 of as many voters, connected to the others, with nothing to tell.
fn settled(voters: u64) -> Engine {
    let mut engine = started(LB1, vec![router(200)], Some(roster(voters)));
    [LB2, LB3].into_iter().take(voters as usize - 1).for_each(|peer| drop(engine.step(ms(100), peer_up(peer))));
    engine
}

fn down(node: NodeId) -> Input {
    Input::PeerDown { node, left: false }
}

#[test]
fn a_majority_that_is_lost_and_comes_back() {
    let mut engine = settled(3);
    let mut at = |time, input| told(engine.step(ms(time), input));
    assert_eq!(at(2000, Input::Timeout), []);
    assert_eq!(at(2100, down(LB3)), []);
    assert_eq!(at(2300, Input::Timeout), [], "two of three are one");
    assert_eq!(at(2500, down(LB2)), []);
    let lost = "NO MAJORITY: 1 of 3 voters reached, not lb2, lb3: no lease is granted here";
    assert_eq!(at(2700, Input::Timeout), is(false, lost));
    assert_eq!(at(3000, Input::Timeout), [], "once");
    assert_eq!(at(3100, peer_up(LB2)), []);
    let again = "a majority of the voters is reached again, 2 of 3, after 600ms";
    assert_eq!(at(3300, Input::Timeout), is(true, again));
    assert_eq!(at(3400, down(LB2)), []);
    assert_eq!(at(3500, peer_up(LB2)), []);
    assert_eq!(at(3600, Input::Timeout), [], "over before it was told");
}

#[test]
fn a_start_has_time_to_connect() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    assert_eq!(engine.deadline(), Some((ms(2000), TimerKind::Standing)));
    assert_eq!(told(engine.step(ms(1999), Input::Timeout)), []);
    let [(good, text)] = &told(engine.step(ms(2000), Input::Timeout))[..] else { panic!() };
    assert!(!good && text.starts_with("NO MAJORITY: 1 of 3 voters reached, not lb2, lb3"), "{text}");
}

#[test]
fn protection_comes_with_the_third_voter() {
    let mut engine = settled(2);
    assert_eq!(told(engine.step(ms(2000), Input::Timeout)), is(false, UNPROTECTED));
    engine.step(ms(3000), Input::Roster(roster(3)));
    assert_eq!(told(engine.step(ms(3200), Input::Timeout)), is(true, PROTECTED));
}

#[test]
fn another_reason_is_told_ten_seconds_later() {
    let mut engine = settled(3);
    assert_eq!(told(engine.step(ms(2000), Input::Timeout)), []);
    let mut at = |time, gap: &str| {
        let gaps = [gap].iter().filter(|g| !g.is_empty()).map(|g| (*g).to_owned()).collect();
        assert_eq!(told(engine.step(ms(time), Input::FenceGaps(gaps))), []);
        told(engine.step(ms(time + 200), Input::Timeout))
    };
    let reason = |gap| format!("UNPROTECTED: the kernel enforces leases in part: {gap}");
    assert_eq!(at(2500, "no `arp`"), is(false, &reason("no `arp`")));
    assert_eq!(at(3000, "no `bridge`"), []);
    assert_eq!(at(12_400, "no `bridge`"), []);
    assert_eq!(at(12_500, "no `bridge`"), is(false, &reason("no `bridge`")));
    assert_eq!(at(13_000, ""), is(true, PROTECTED));
    assert_eq!(at(13_500, ""), []);
}

#[test]
fn without_a_mesh_and_after_the_end_nothing_is_told() {
    let mut engine = plain_active();
    assert_eq!(engine.standing.look_at, None);
    engine.step(ms(4000), down(LB2));
    assert_eq!(engine.standing.look_at, None);
    let mut engine = settled(3);
    engine.step(ms(2000), down(LB2));
    engine.step(ms(2000), down(LB3));
    engine.step(ms(2100), Input::Shutdown);
    assert_eq!(told(engine.step(ms(2200), Input::Timeout)), []);
}
