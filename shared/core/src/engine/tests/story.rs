//! Spans: one trace for one takeover, whichever node tells of it.

use mesh_wire::mesh::lease::{Preempt, Release, Vacant};

use super::*;
use crate::story::{Span, Told, Value, names, request_id, root_id};

/// What a span is, without ids: its name, from when to when, and one attribute.
fn brief(told: &[Told], attribute: &str) -> Vec<(&'static str, Instant, Instant, Option<String>)> {
    spans(told).iter().map(|s| (s.name, s.begin, s.end, attribute_of(s, attribute))).collect()
}

fn spans(told: &[Told]) -> Vec<&Span> {
    let span = |t: &'_ Told| matches!(t, Told::Span(_));
    told.iter().filter(|t| span(t)).map(|t| if let Told::Span(s) = t { s } else { unreachable!() }).collect()
}

fn attribute_of(span: &Span, name: &str) -> Option<String> {
    span.attributes.iter().find(|(n, _)| *n == name).map(|(_, value)| match value {
        Value::Text(text) => text.clone(),
        Value::Number(number) => number.to_string(),
    })
}

fn heard(engine: &mut Engine, at: Instant) {
    engine.step(at, adverts::multicast(LB3, 210));
}

/// lb1 after lb3 was heard at 2 s for the last time, asking since 5.21875 s.
fn asking_after_silence() -> (Engine, Request, Instant) {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    engine.step(ms(1), gossip(&report(LB3, RouterState::Active, 210, 7), LB3));
    heard(&mut engine, ms(2000));
    engine.take_story();
    let at = engine.work_due().unwrap().0;
    let request = request(&engine.step(at, Input::Timeout));
    (engine, request, at)
}

#[test]
fn a_takeover_is_a_root_with_its_detection_and_every_voters_reply() {
    let (mut engine, first, claimed) = asking_after_silence();
    let (lb2, lb3) = (claimed + Duration::from_millis(2), claimed + Duration::from_millis(5));
    engine.step(lb2, granted(LB2, lb2, &first));
    let told = engine.take_story();
    let expected = [
        (names::DETECTION, ms(2000), claimed, None),
        (names::LEASE_REQUEST, claimed, claimed, Some("lb1".to_owned())),
        (names::LEASE_REQUEST, claimed, lb2, Some("lb2".to_owned())),
        (names::TAKEOVER, ms(2000), lb2, None),
    ];
    assert_eq!(brief(&told, names::VOTER), expected);
    let found = spans(&told);
    let root = found[3];
    assert_eq!(root.trace_id, engine.instances[&KEY].transition.trace_id);
    assert_eq!((root.id, root.parent), (root_id(&root.trace_id, LB1), None));
    assert!(found[..3].iter().all(|s| s.parent == Some(root.id) && s.trace_id == root.trace_id));
    assert_eq!(found[2].id, request_id(&root.trace_id, LB1, LB2));
    assert_eq!(root.addresses, [VIP]);
    let attributes = [names::ROUTER, names::VIP, names::VRID, names::EPOCH, names::TO, names::OUTCOME];
    let values = attributes.map(|name| attribute_of(root, name).unwrap());
    assert_eq!(values, ["VI_1", "10.1.1.80", "51", "8", "lb1", "active"]);

    // The third voter's answer was not needed; it belongs to the trace all the same, once.
    engine.step(lb3, granted(LB3, lb3, &first));
    engine.step(lb3, granted(LB3, lb3, &first));
    let told = engine.take_story();
    assert_eq!(brief(&told, names::VOTER), [(names::LEASE_REQUEST, claimed, lb3, Some("lb3".to_owned()))]);
    assert_eq!(spans(&told)[0].parent, Some(root_id(&engine.instances[&KEY].transition.trace_id, LB1)));
}

#[test]
fn a_voter_tells_of_the_same_trace_and_of_no_renewal() {
    let mut engine = started(LB2, Vec::new(), Some(roster(3)));
    let claims = |epoch| vec![Claim { router: KEY, epoch, duration_ms: 1000 }];
    let asks = |seq, epoch| Message::Request(Request { roster_epoch: 3, seq, claims: claims(epoch) });
    engine.step(ms(3100), message(LB1, asks(1, 8)));
    let told = engine.take_story();
    let vote = spans(&told)[0];
    let trace = asking_after_silence().0.trace_id(ms(3100), KEY, 8);
    assert_eq!(vote.trace_id, trace, "though it is another node");
    assert_eq!(vote.parent, Some(request_id(&trace, LB1, LB2)));
    let words = [names::VERDICT, names::REASON, names::TO].map(|name| attribute_of(vote, name).unwrap());
    assert_eq!(words, ["granted", "granted under epoch 8", "lb1"]);
    engine.step(ms(3350), message(LB1, asks(2, 8)));
    assert_eq!(engine.take_story(), [], "a renewal");

    engine.step(ms(3400), message(LB3, asks(1, 9)));
    let told = engine.take_story();
    let refused = attribute_of(spans(&told)[0], names::REASON).unwrap();
    assert_eq!(refused, "lb1 holds it under epoch 8 for another 950 ms");
    engine.step(ms(3430), message(LB3, asks(2, 10)));
    assert_eq!(engine.take_story(), [], "told already");
}

#[test]
fn a_refused_claim_fails_once_and_every_refusal_is_counted() {
    let (mut engine, first, at) = asking_after_silence();
    engine.step(at, held(LB2, at, &first, LB3, 900));
    engine.step(at, held(LB3, at, &first, LB3, 900));
    let told = engine.take_story();
    let root = *spans(&told).last().unwrap();
    assert_eq!((root.name, root.failed.as_deref()), (names::TAKEOVER, Some("lb3 holds the lease")));
    assert_eq!(attribute_of(root, names::OUTCOME).as_deref(), Some("vetoed"));
    assert_eq!(spans(&told).len(), 5, "detection, three voters, root");
    assert!(root.addresses.is_empty(), "no effect is a part of it");
    let next = engine.work_due().unwrap().0;
    let second = request(&engine.step(next, Input::Timeout));
    engine.step(next, held(LB2, next, &second, LB3, 900));
    engine.step(next, held(LB3, next, &second, LB3, 900));
    assert_eq!(engine.take_story(), [], "the same veto is told once");
    let counted: Vec<_> = engine.vetoes().collect();
    assert_eq!(counted, [("lb2".to_owned(), "held", 2), ("lb3".to_owned(), "held", 2)]);
}

#[test]
fn who_was_asked_to_hand_over_is_a_part_of_its_successors_trace() {
    let mut engine = holding();
    engine.take_story();
    engine.step(ms(3300), peer_up(LB2));
    engine.step(ms(3310), message(LB2, Message::Preempt(Preempt { router: KEY, priority: 250 })));
    let told = engine.take_story();
    let retired = spans(&told)[0];
    assert_eq!((retired.name, retired.begin, retired.waits), (names::RETIREMENT, ms(3310), true));
    assert_eq!(retired.addresses, [VIP]);
    assert_eq!(retired.trace_id, engine.trace_id(ms(0), KEY, 2), "where the next claim wins");

    engine.step(ms(3400), gossip(&report(LB2, RouterState::Active, 250, 1), LB2));
    assert_eq!(engine.take_story(), [], "an older epoch's");
    engine.step(ms(3500), gossip(&report(LB2, RouterState::Active, 250, 3), LB2));
    let trace_id = engine.trace_id(ms(0), KEY, 3);
    let parent = root_id(&trace_id, LB2);
    assert_eq!(engine.take_story(), [Told::Successor { router: KEY, trace_id, parent }]);
    engine.step(ms(3600), gossip(&report(LB2, RouterState::Active, 251, 3), LB2));
    assert_eq!(engine.take_story(), [], "known already");
}

#[test]
fn a_lease_kept_free_for_this_node_is_a_planned_move() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    engine.step(ms(1), gossip(&report(LB3, RouterState::Active, 210, 7), LB3));
    heard(&mut engine, ms(3100));
    engine.take_story();
    let vacant = Vacant { router: KEY, owner: LB3, epoch: 7, released: true, reserved_for: Some(LB1) };
    let first = request(&engine.step(ms(4000), message(LB2, Message::Vacant(vec![vacant]))));
    engine.step(ms(4002), granted(LB2, ms(4002), &first));
    let told = engine.take_story();
    let root = *spans(&told).last().unwrap();
    assert_eq!((root.name, root.begin, root.end), (names::PLANNED_MOVE, ms(4000), ms(4002)));
    assert_eq!(attribute_of(root, names::FROM).as_deref(), Some("lb3"));
    assert_eq!(attribute_of(root, names::CAUSE).as_deref(), Some("lb3 released the lease"));
}

#[test]
fn a_voter_explains_what_it_would_answer_and_promises_nothing_by_it() {
    let engine = holding();
    let explained = engine.explain(ms(3300), "10.1.1.80").unwrap();
    let answers = explained.opinion.unwrap().answers;
    let no = "no: lb1 holds it under epoch 1 for another 920 ms";
    let words = ["yes, renewed: it holds the lease under epoch 1, 920 ms left", no, no];
    assert_eq!(answers.into_values().collect::<Vec<_>>(), words);
    assert_eq!((explained.key.as_str(), explained.router.active.as_deref()), ("4.51", Some("lb1")));
    assert_eq!(engine.explain(ms(3300), "VI_1").unwrap().key, "4.51");
    assert_eq!(engine.explain(ms(3300), "10.1.1.81"), None);
    assert_eq!(engine.voter.holder(ms(3300), &KEY).unwrap().owner, LB1);
}

#[test]
fn what_would_happen_if_this_node_died() {
    let mut engine = holding();
    let died = |engine: &Engine| engine.explain(ms(3300), "VI_1").unwrap().if_died;
    assert_eq!(died(&engine), "nobody could take over: 0 of 3 voters would be left, 2 are needed");
    engine.step(ms(3300), peer_up(LB2));
    engine.step(ms(3300), peer_up(LB3));
    let alone = "nobody could take over: no other director that is there can serve it; ";
    assert_eq!(died(&engine), format!("{alone}2 of 3 voters would be left, 2 are needed"));
    engine.step(ms(3300), gossip(&report(LB3, RouterState::Backup, 150, 0), LB3));
    let lb3 = "lb3 (priority 150) would take over: at once where the guard lives, else when the lease ends, at most \
               1000 ms later; 2 of 3 voters would be left, 2 are needed";
    assert_eq!(died(&engine), lb3);
}

/// Asked anywhere, with one voter less: with a pair, the other goes on, or begins, without a lease.
#[test]
fn what_would_happen_if_one_of_a_pair_died() {
    let mut owner = silence::unprotected();
    owner.step(ms(3300), peer_up(LB2));
    let died = |engine: &Engine| {
        let explained = engine.explain(ms(3301), "VI_1").unwrap();
        (explained.if_died, explained.if_owner_died)
    };
    let voters = "1 of 2 voters would be left, 2 are needed";
    let nobody = format!("nobody could take over: no other director that is there can serve it; {voters}");
    assert_eq!(died(&owner), (nobody, None));
    owner.step(ms(3300), gossip(&report(LB2, RouterState::Backup, 150, 0), LB2));
    let other = format!("lb2 would take over without a lease, if a probe finds the address free; {voters}");
    assert_eq!(died(&owner), (other, None));

    let mut backup = started(LB1, vec![router(200)], Some(roster(2)));
    backup.step(ms(1), peer_up(LB2));
    backup.step(ms(1), gossip(&report(LB2, RouterState::Active, 250, 4), LB2));
    let this = format!("lb2 would go on, UNPROTECTED: {voters}");
    let owner = format!("lb1 would take over without a lease, if a probe finds the address free; {voters}");
    assert_eq!(died(&backup), (this, Some(owner)));
}

#[test]
fn what_would_happen_if_another_node_died() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    let died = |engine: &Engine| {
        let explained = engine.explain(ms(9), "VI_1").unwrap();
        (explained.if_died, explained.if_owner_died)
    };
    let known = "that cannot be told while it is not known who serves; 0 of 3 voters would be left, 2 are needed";
    assert_eq!(died(&engine), (known.to_owned(), None));
    for node in [LB2, LB3] {
        engine.step(ms(1), peer_up(node));
    }
    engine.step(ms(1), gossip(&report(LB2, RouterState::Active, 250, 4), LB2));
    engine.step(ms(1), gossip(&report(LB3, RouterState::Backup, 210, 0), LB3));
    let voters = "2 of 3 voters would be left, 2 are needed";
    let heir = |heir: &str| {
        format!(
            "{heir} would take over: at once where the guard lives, else when the lease ends, at most 1000 ms later; \
             {voters}"
        )
    };
    let nothing = format!("nothing would change for this router: {voters}");
    assert_eq!(died(&engine), (nothing.clone(), Some(heir("lb3 (priority 210)"))));
    engine.step(ms(2), gossip(&report(LB3, RouterState::Backup, 190, 0), LB3));
    assert_eq!(died(&engine), (nothing, Some(heir("lb1 (priority 200)"))), "it may be the node that is asked");
    engine.step(ms(3), Input::PeerDown { node: LB3, left: false });
    let voters = "1 of 3 voters would be left, 2 are needed";
    let this = format!("its lease could not be renewed any more: {voters}");
    assert_eq!(died(&engine), (this, Some(format!("nobody could take over: {voters}"))));
}

#[test]
fn a_member_that_speaks_of_many_routers_fills_no_memory() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    let before = engine.chronicle.routers.len();
    let vacant = |segment| Vacant {
        router: RouterKey { segment, ..KEY },
        owner: LB3,
        epoch: 7,
        released: true,
        reserved_for: None,
    };
    engine.step(ms(10), message(LB2, Message::Vacant((1..1000).map(vacant).collect())));
    let releases =
        (1..1000).map(|segment| Release { router: RouterKey { segment, ..KEY }, epoch: 1, seq: 1, successor: None });
    engine.step(ms(11), message(LB2, Message::Release(releases.collect())));
    assert_eq!(engine.chronicle.routers.len(), before);
}
