//! Claims that found no majority are made again as soon as one may be found.

use super::*;

/// lb1 of so many voters whose claim failed at the returned time: nobody was there.
fn unheard(voters: u64) -> (Engine, Instant) {
    let mut engine = started(LB1, vec![router(200)], Some(roster(voters)));
    engine.step(CLAIM, Input::Timeout);
    let failed = CLAIM + Duration::from_millis(100);
    engine.step(failed, Input::Timeout);
    let veto = engine.instances[&KEY].veto.as_ref().unwrap();
    assert_eq!(veto.reason, format!("no majority: 1 of {voters} voters answered"));
    (engine, failed)
}

fn claims(engine: &Engine) -> bool {
    engine.instances[&KEY].lease.ballot().is_some()
}

#[test]
fn a_voter_that_makes_a_majority_is_asked_at_once() {
    let (mut engine, failed) = unheard(3);
    let back = failed + Duration::from_millis(600);
    wait(&mut engine, back);
    assert!(!claims(&engine));
    let claim = request(&engine.step(back, peer_up(LB3)));
    assert_eq!(claim.claims[0].epoch, 2);
    let cause = engine.instances[&KEY].lease.ballot().unwrap().cause.clone();
    assert_eq!(cause, "no advertisement for the whole down interval");
    engine.step(back, granted(LB3, back, &claim));
    assert!(engine.instances[&KEY].vrrp.is_active());
}

#[test]
fn too_few_voters_are_not_asked_before_the_timer() {
    let (mut engine, failed) = unheard(5);
    engine.step(failed + Duration::from_millis(600), peer_up(LB3));
    assert!(!claims(&engine), "two of five");
    engine.step(failed + Duration::from_millis(700), peer_up(NodeId(9)));
    assert!(!claims(&engine), "no voter");
    engine.step(failed + Duration::from_millis(800), peer_up(LB2));
    assert!(claims(&engine));
}

#[test]
fn the_worthiest_asks_first() {
    let (mut engine, failed) = unheard(3);
    let back = failed + Duration::from_millis(600);
    engine.step(failed, gossip(&report(LB2, RouterState::Backup, 250, 0), LB2));
    engine.step(back, peer_up(LB2));
    assert!(!claims(&engine));
    assert_eq!(engine.instances[&KEY].claim_at, Some(back + Duration::from_millis(15)));
}

/// Its connection may never have been lost; it has been restarted.
#[test]
fn a_voter_that_was_restarted_is_asked_at_once() {
    let (mut engine, failed) = unheard(3);
    engine.step(failed, peer_up(LB2));
    let at = engine.instances[&KEY].lease.ballot().unwrap().give_up_at;
    engine.step(at, Input::Timeout);
    assert!(!claims(&engine));
    engine.step(at + Duration::from_millis(10), peer_up(LB2));
    assert!(claims(&engine));
}

/// The request was lost with the connection, and the claim's time is nearly over.
#[test]
fn a_claim_under_way_has_time_for_a_voter_that_comes() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    engine.step(CLAIM, Input::Timeout);
    let late = CLAIM + Duration::from_millis(95);
    let again = request(&engine.step(late, peer_up(LB2)));
    assert_eq!(again.claims[0].epoch, 1);
    let answer = late + Duration::from_millis(20);
    wait(&mut engine, answer);
    engine.step(answer, granted(LB2, answer, &again));
    assert!(engine.instances[&KEY].vrrp.is_active());
}

#[test]
fn where_somebody_holds_or_serves_it_nothing_is_claimed() {
    let (mut engine, first) = asking();
    engine.step(ms(3220), held(LB2, ms(3220), &first, LB3, 900));
    engine.step(ms(3220), held(LB3, ms(3220), &first, LB3, 900));
    engine.step(ms(3500), peer_up(LB2));
    engine.step(ms(3500), peer_up(LB3));
    assert!(!claims(&engine), "refused, and not unheard");

    let (mut engine, failed) = unheard(3);
    engine.step(failed, gossip(&report(LB3, RouterState::Active, 210, 7), LB3));
    engine.step(failed + Duration::from_millis(10), adverts::multicast(LB3, 210));
    engine.step(failed + Duration::from_millis(20), peer_up(LB2));
    assert!(!claims(&engine), "it is heard");

    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    engine.step(ms(100), peer_up(LB2));
    assert!(!claims(&engine), "whoever has just started listens");
}

/// Voters that are reached but silent (frozen, or only datagrams are lost) say nothing when they are
/// back: they are asked again, ever more slowly.
#[test]
fn silent_voters_that_are_connected_are_asked_again_soon() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    engine.step(ms(3100), peer_up(LB2));
    engine.step(ms(3100), peer_up(LB3));
    let mut began = Vec::new();
    let (mut now, mut was) = (ms(3100), false);
    while now < ms(20_000) {
        (now, _) = engine.work_due().unwrap();
        engine.step(now, Input::Timeout);
        if claims(&engine) && !was {
            began.push(now);
        }
        was = claims(&engine);
    }
    let gaps: Vec<Duration> = began.windows(2).map(|w| w[1].since(w[0])).collect();
    assert!(gaps.iter().all(|gap| *gap <= ms(1705).since(ms(0))), "{gaps:?}");
    assert!(gaps[0] < ms(160).since(ms(0)) && gaps.len() < 20, "{gaps:?}");
    assert_eq!(engine.instances[&KEY].state(), RouterState::Vetoed);
}

/// A majority of fewer voters may be there already.
#[test]
fn fewer_voters_are_asked_at_once() {
    let (mut engine, failed) = unheard(3);
    let mut fewer = roster(3);
    fewer.members.truncate(1);
    fewer.epoch = 4;
    engine.step(failed + Duration::from_millis(600), Input::Roster(fewer));
    assert!(engine.instances[&KEY].vrrp.is_active());
}
