//! Refused claims: who refused, for whom, and what follows.

use mesh_wire::mesh::lease::{Preempt, Release, Vacant};

use super::actions::*;
use super::*;
use crate::lease::voter::Voter;

fn released(epoch: u64) -> [Action; 2] {
    to_both(Message::Release(vec![Release { router: KEY, epoch, seq: 0, successor: None }]))
}

fn vetoed(by: &[&str], cause: &str) -> Action {
    told(RouterEvent::Vetoed { by: by.iter().map(|v| (*v).to_owned()).collect() }, cause)
}

#[test]
fn a_majority_that_owes_it_to_another_is_a_veto() {
    let (mut engine, first) = asking();
    assert_eq!(plain(engine.step(ms(3220), held(LB2, ms(3220), &first, LB3, 900))), []);
    let mut expected = released(1).to_vec();
    expected.push(vetoed(&["lb2", "lb3"], "lb3 holds the lease, say lb2 and lb3"));
    assert_eq!(plain(engine.step(ms(3221), held(LB3, ms(3221), &first, LB3, 900))), expected);

    let shown = engine.status(ms(3222)).routers.remove(0);
    assert_eq!(shown.here, "vetoed");
    let veto = shown.veto.unwrap();
    assert_eq!((veto.by, veto.holder.as_deref()), (vec!["lb2".to_owned(), "lb3".to_owned()], Some("lb3")));
}

#[test]
fn the_same_veto_is_told_once() {
    let (mut engine, first) = asking();
    let mut round = |request: &Request, at: u64, owner: NodeId| {
        engine.step(ms(at), held(LB2, ms(at), request, owner, 900));
        let actions = engine.step(ms(at), held(LB3, ms(at), request, owner, 900));
        let told = actions.iter().filter(|a| matches!(a, Action::Record(_))).count();
        (told, engine.work_due().unwrap().0)
    };
    let (told, next) = round(&first, 3220, LB3);
    assert_eq!(told, 1);
    let second = request(&engine.step(next, Input::Timeout));
    let mut round = |request: &Request, at: Instant, owner: NodeId| {
        engine.step(at, held(LB2, at, request, owner, 900));
        let actions = engine.step(at, held(LB3, at, request, owner, 900));
        (actions.iter().filter(|a| matches!(a, Action::Record(_))).count(), engine.work_due().unwrap().0)
    };
    let (told, next) = round(&second, next, LB3);
    assert_eq!(told, 0, "nothing new");
    let third = request(&engine.step(next, Input::Timeout));
    engine.step(next, held(LB2, next, &third, LB2, 900));
    let actions = engine.step(next, held(LB3, next, &third, LB2, 900));
    assert!(plain(actions).contains(&vetoed(&["lb2", "lb3"], "lb2 holds the lease, say lb2 and lb3")));
}

#[test]
fn the_veto_ends_when_the_owner_is_heard_again() {
    let (mut engine, first) = asking();
    engine.step(ms(3220), held(LB2, ms(3220), &first, LB3, 900));
    engine.step(ms(3220), held(LB3, ms(3220), &first, LB3, 900));
    engine.step(ms(3221), gossip(&report(LB3, RouterState::Active, 210, 7), LB3));
    let heard = adverts::multicast(LB3, 210);
    let expected = [told(RouterEvent::Backup, "the active router is heard again")];
    assert_eq!(plain(engine.step(ms(3300), heard.clone())), expected);
    assert_eq!(plain(engine.step(ms(4300), heard)), []);
    assert_eq!(engine.instances[&KEY].state(), RouterState::Backup);
}

#[test]
fn the_veto_ends_with_a_fault() {
    let (mut engine, first) = asking();
    engine.step(ms(3220), held(LB2, ms(3220), &first, LB3, 900));
    engine.step(ms(3220), held(LB3, ms(3220), &first, LB3, 900));
    engine.step(ms(3300), Input::InterfaceGone { name: "eth0".into() });
    engine.step(ms(3301), Input::Interface(eth0(LB1)));
    assert_eq!(engine.instances[&KEY].state(), RouterState::Backup);
}

#[test]
fn a_less_worthy_owner_is_asked_to_hand_over() {
    let owner_is_lower = |preempt| {
        let mut engine = started(LB1, vec![VirtualRouter { preempt, ..router(200) }], Some(roster(3)));
        engine.step(ms(1), gossip(&report(LB3, RouterState::Active, 100, 7), LB3));
        let first = request(&engine.step(CLAIM, Input::Timeout));
        engine.step(ms(3220), held(LB2, ms(3220), &first, LB3, 900));
        plain(engine.step(ms(3221), held(LB3, ms(3221), &first, LB3, 900)))
    };
    let wish = send(LB3, Message::Preempt(Preempt { router: KEY, priority: 200 }));
    let asked = owner_is_lower(true);
    assert_eq!(asked.last(), Some(&wish), "no veto is shown: it is on its way");
    assert_eq!(asked.len(), 3);
    let refused = owner_is_lower(false);
    assert!(!refused.contains(&wish));
    assert_eq!(refused.last(), Some(&vetoed(&["lb2", "lb3"], "lb3 holds the lease, say lb2 and lb3")));
}

/// Half of an even number of voters decide that a claim is lost: the rest need not be heard.
#[test]
fn a_less_worthy_owner_is_asked_by_one_of_four_voters_too() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(4)));
    engine.step(ms(1), gossip(&report(LB3, RouterState::Active, 100, 7), LB3));
    let first = request(&engine.step(CLAIM, Input::Timeout));
    assert_eq!(plain(engine.step(ms(3220), held(LB2, ms(3220), &first, LB3, 900))), []);
    let asked = plain(engine.step(ms(3221), held(LB3, ms(3221), &first, LB3, 900)));
    assert_eq!(asked.last(), Some(&send(LB3, Message::Preempt(Preempt { router: KEY, priority: 200 }))));
}

#[test]
fn a_vacancy_is_claimed_when_no_voter_objects_any_more() {
    let (mut engine, first) = asking();
    engine.step(ms(3220), held(LB2, ms(3220), &first, LB3, 900));
    engine.step(ms(3220), held(LB3, ms(3220), &first, LB3, 900));
    let vacant = Vacant { router: KEY, owner: LB3, epoch: 7, released: false, reserved_for: None };
    let hint = |from| message(from, Message::Vacant(vec![vacant]));
    assert_eq!(plain(engine.step(ms(3300), hint(LB2))), [], "lb3 still owes it");
    let claim = request(&engine.step(ms(3301), hint(LB3)));
    assert_eq!(claim.claims[0].epoch, 8);
    assert_eq!(engine.instances[&KEY].lease.ballot().unwrap().cause, "lb3's lease ran out");
}

#[test]
fn candidates_in_each_others_way_try_again_when_the_short_grants_end() {
    let (mut engine, first) = asking();
    engine.step(ms(3220), held(LB2, ms(3220), &first, LB2, 390));
    engine.step(ms(3220), held(LB3, ms(3220), &first, LB2, 395));
    let at = engine.instances[&KEY].claim_at.unwrap();
    assert!((ms(3615)..ms(3619)).contains(&at), "{at:?}");
    engine.step(at, Input::Timeout);
    assert!(engine.instances[&KEY].lease.ballot().is_some());
}

#[test]
fn a_stale_epoch_is_raised_at_once() {
    let (mut engine, first) = asking();
    let stale = reply(LB2, ms(3220), &first, Vote::Stale { max_epoch: 41 });
    let again = request(&engine.step(ms(3220), stale));
    assert_eq!(again.claims[0].epoch, 42);
    engine.step(ms(3221), granted(LB2, ms(3221), &again));
    assert_eq!(engine.instances[&KEY].held_epoch(), 42);
}

#[test]
fn no_epoch_anybody_can_send_stops_the_engine() {
    let (mut engine, first) = asking();
    engine.step(ms(3220), reply(LB2, ms(3220), &first, Vote::Stale { max_epoch: u64::MAX }));
    let vacant = Vacant { router: KEY, owner: LB2, epoch: u64::MAX, released: true, reserved_for: None };
    engine.step(ms(3221), message(LB2, Message::Vacant(vec![vacant])));
    engine.step(ms(3222), gossip(&report(LB3, RouterState::Active, 210, u64::MAX), LB3));
    engine.step(ms(3223), gossip(&report(LB3, RouterState::Backup, 210, 0), LB3));
    // lb2 goes on with that, and is faster than lb3, which has never been asked before.
    let mut honest = Voter::new(Instant::default());
    let requests = |actions: &[Action]| -> Vec<Request> {
        let mut found = actions.iter().filter_map(|a| match a {
            Action::SendMessage { to: LB3, message: Message::Request(request) } => Some(request.clone()),
            _ => None,
        });
        found.by_ref().collect()
    };
    for n in 0..40 {
        let at = ms(3230 + n * 50);
        let mut asked = VecDeque::from(requests(&engine.step(at, Input::Timeout)));
        while let Some(request) = asked.pop_front() {
            let lie = reply(LB2, at, &request, Vote::Stale { max_epoch: u64::MAX });
            asked.extend(requests(&engine.step(at, lie)));
            if let Some(verdict) = honest.decide(at, LB1, request.seq, &request.claims[0]) {
                asked.extend(requests(&engine.step(at, reply(LB3, at, &request, verdict))));
            }
        }
    }
    let lease = &engine.instances[&KEY].lease;
    assert!(lease.is_held(), "{lease:#?}");
    assert!(lease.ballot().unwrap().epoch < u64::MAX >> 30, "few are spent");
}

/// What is given back right after a failed claim was mostly given back by others that failed, too.
#[test]
fn each_failed_claim_doubles_the_wait_after_a_release_but_not_after_an_end() {
    let (mut engine, _) = asking();
    let vacant = |epoch, released| {
        message(LB2, Message::Vacant(vec![Vacant { router: KEY, owner: LB2, epoch, released, reserved_for: None }]))
    };
    let mut at = CLAIM + Duration::from_millis(100);
    for wait in [50, 100, 200, 400, 800, 1600, 1600] {
        engine.step(at, Input::Timeout);
        assert!(engine.instances[&KEY].lease.ballot().is_none(), "failed");
        let mut ended = engine.voter.max_epoch(&KEY) + 1;
        engine.step(at, vacant(ended, true));
        assert_eq!(engine.instances[&KEY].claim_at, Some(at + Duration::from_millis(wait)));
        ended += 1;
        engine.step(at, vacant(ended, false));
        assert!(engine.instances[&KEY].lease.ballot().is_some(), "what ran out is claimed at once");
        at = at + Duration::from_millis(100);
    }
}
