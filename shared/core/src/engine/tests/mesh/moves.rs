//! Planned moves between real engines: what an operator orders happens, stays, and costs nothing else.

use mesh_wire::mesh::gossip::Drain;

use super::*;
use crate::decision::MoveEvent;
use crate::orders::Wish;

mod removal;

const SECOND: Duration = Duration::from_secs(1);

impl Mesh {
    /// An operator's order on a node, and what comes of it.
    fn order(&mut self, on: NodeId, wish: Wish) -> Result<Answer, Refused> {
        self.step(on, Input::Order { ticket: 7, wish });
        let begin = self.now;
        while self.nodes[&on].answers.is_empty() {
            assert!(self.now < begin + 20 * SECOND, "no answer");
            self.run_until(self.now + Duration::from_millis(1));
        }
        self.nodes.get_mut(&on).unwrap().answers.remove(0)
    }

    /// The same, done.
    fn ordered(&mut self, on: NodeId, wish: Wish) -> String {
        match self.order(on, wish) {
            Ok(Answer::Done { text, by }) => {
                assert_eq!(by, "lb1", "the lowest identity orders moves");
                text
            }
            other => panic!("{other:?}"),
        }
    }

    /// The same, refused.
    fn refused(&mut self, on: NodeId, wish: Wish) -> String {
        self.order(on, wish).expect_err("it should be refused").text
    }

    fn pass(&mut self, seconds: u32) {
        self.run_until(self.now + seconds * SECOND);
    }

    /// The longest time from here on that nobody serves, until this node does.
    fn gap_until(&mut self, id: NodeId) -> Duration {
        let (begin, mut gap, mut since) = (self.now, Duration::ZERO, None);
        while self.serving() != [id] {
            assert!(self.now < begin + 20 * SECOND, "{:?} instead of {id:?}", self.serving());
            since = self.serving().is_empty().then(|| since.unwrap_or(self.now));
            self.run_until(self.now + Duration::from_micros(100));
            gap = gap.max(since.map_or(Duration::ZERO, |at| self.now.since(at)));
        }
        gap
    }

    fn moves(&self, id: NodeId) -> Vec<(String, String, MoveEvent, String)> {
        let decisions = self.nodes[&id].decisions.iter();
        decisions
            .filter_map(|(_, d)| match d {
                Decision::Move { from, to, event, cause, .. } => {
                    Some((from.clone(), to.clone(), event.clone(), cause.clone()))
                }
                _ => None,
            })
            .collect()
    }

    fn last_cause(&self, id: NodeId) -> String {
        self.nodes[&id].engine.instances[&KEY].transition.cause.clone()
    }

    fn priorities(&self) -> Vec<u8> {
        self.nodes.values().map(|n| n.engine.instances[&KEY].shown_priority()).collect()
    }

    fn vetoes(&self) -> usize {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        ids.iter().flat_map(|id| self.events(*id)).filter(|e| matches!(e, RouterEvent::Vetoed { .. })).count()
    }

    /// Gossip that a node missed while it was away.
    fn catch_up(&mut self, id: NodeId) {
        let others: Vec<NodeId> = self.nodes.keys().copied().filter(|o| *o != id).collect();
        for other in others {
            for (key, value) in self.nodes[&other].engine.published.clone() {
                self.post(Delivery::Gossip { from: other, to: id, key, value: Some(value) });
            }
        }
    }
}

/// Settled, and everybody knows what was gossiped before it was there.
fn acquainted() -> Mesh {
    let mut mesh = settled();
    [LB1, LB2, LB3].into_iter().for_each(|id| mesh.catch_up(id));
    mesh.pass(1);
    mesh
}

fn to(node: &str) -> Wish {
    Wish::Move { what: "10.1.1.80".to_owned(), node: node.to_owned() }
}

fn drain(node: &str) -> Wish {
    Wish::Drain { node: node.to_owned() }
}

#[test]
fn an_operator_moves_an_address_from_any_node_and_it_stays() {
    let mut mesh = acquainted();
    mesh.step(LB2, Input::Order { ticket: 1, wish: to("lb3") });
    let gap = mesh.gap_until(LB3);
    assert!(gap < Duration::from_millis(3), "{gap:?} with 0.3 ms between nodes");
    mesh.pass(1);
    let done = Answer::Done { text: "lb3 serves VI_1".to_owned(), by: "lb1".to_owned() };
    assert_eq!(mesh.nodes[&LB2].answers, [Ok(done)]);
    let step = |event| ("lb1".to_owned(), "lb3".to_owned(), event, "moved by operator to lb3".to_owned());
    assert_eq!(mesh.moves(LB1), [step(MoveEvent::Begun), step(MoveEvent::Done)]);
    assert_eq!(mesh.last_cause(LB3), "taken over from lb1: moved by operator to lb3");
    assert_eq!(mesh.last_cause(LB1), "handed over to lb3: moved by operator to lb3");
    assert_eq!(mesh.priorities(), [150, 100, 200], "configured are 200, 150, 100");
    mesh.pass(60);
    assert_eq!((mesh.serving(), mesh.vetoes()), (vec![LB3], 0));
    assert_eq!(mesh.nodes[&LB1].engine.status(mesh.now).routers[0].pinned_to.as_deref(), Some("lb3"));

    // Again: nothing to do.
    mesh.nodes.get_mut(&LB2).unwrap().answers.clear();
    assert_eq!(mesh.ordered(LB1, to("lb3")), "lb3 serves VI_1 already, and keeps it");
    // And back.
    assert_eq!(mesh.ordered(LB3, Wish::Back { what: "VI_1".to_owned() }), "lb1 serves VI_1");
    mesh.pass(60);
    assert_eq!((mesh.serving(), mesh.vetoes(), mesh.priorities()), (vec![LB1], 0, vec![200, 150, 100]));
    assert_eq!(mesh.last_cause(LB1), "taken over from lb3: moved back by operator to lb1");
    let text = mesh.refused(LB2, Wish::Back { what: "VI_1".to_owned() });
    assert_eq!(text, "lb1, which orders moves, refused: VI_1 was not moved by an operator");
}

#[test]
fn a_pinned_address_goes_back_to_its_director_when_that_returns() {
    let mut mesh = acquainted();
    mesh.ordered(LB1, to("lb2"));
    mesh.pass(5);
    mesh.nodes.get_mut(&LB2).unwrap().frozen = true;
    for other in [LB1, LB3] {
        mesh.step(other, Input::PeerDown { node: LB2, left: false });
    }
    mesh.settles_on(LB1, 2 * SECOND);
    mesh.pass(10);
    // It has forgotten everything but the roster.
    mesh.nodes.get_mut(&LB2).unwrap().present.clear();
    mesh.start_again(LB2);
    for other in [LB1, LB3] {
        mesh.step(other, peer_up(LB2));
    }
    mesh.catch_up(LB2);
    mesh.settles_on(LB2, 10 * SECOND);
    assert_eq!(mesh.priorities(), [150, 200, 100]);
}

#[test]
fn a_drained_director_is_empty_and_stays_so_until_the_operator_says_otherwise() {
    let mut mesh = acquainted();
    assert_eq!(mesh.ordered(LB3, drain("lb1")), "lb1 hands over what it serves (1), one after another");
    let gap = mesh.gap_until(LB2);
    assert!(gap < Duration::from_millis(3), "{gap:?}");
    assert_eq!(mesh.last_cause(LB2), "taken over from lb1: lb1 is drained");
    mesh.pass(30);
    assert_eq!((mesh.serving(), mesh.vetoes(), mesh.priorities()), (vec![LB2], 0, vec![100, 200, 150]));
    let draining = |mesh: &Mesh| {
        let status = mesh.nodes[&LB3].engine.status(mesh.now);
        status.nodes.iter().map(|n| n.draining).collect::<Vec<_>>()
    };
    assert_eq!(draining(&mesh), [true, false, false]);
    assert_eq!(
        mesh.refused(LB2, to("lb1")),
        "lb1, which orders moves, refused: lb1 is being emptied (meshctl undrain lb1)"
    );
    assert_eq!(mesh.ordered(LB2, drain("lb1")), "lb1 is being emptied already, or empty");

    // Over a restart, too.
    mesh.step(LB1, Input::Shutdown);
    for other in [LB2, LB3] {
        mesh.step(other, Input::PeerDown { node: LB1, left: true });
    }
    mesh.pass(2);
    mesh.start_again(LB1);
    for other in [LB2, LB3] {
        mesh.step(other, peer_up(LB1));
    }
    mesh.catch_up(LB1);
    mesh.pass(30);
    assert_eq!((mesh.serving(), mesh.vetoes()), (vec![LB2], 0));
    assert_eq!(draining(&mesh), [true, false, false]);

    mesh.ordered(LB2, Wish::Undrain { node: "lb1".to_owned() });
    let gap = mesh.gap_until(LB1);
    assert!(gap < Duration::from_millis(3), "{gap:?}");
    assert_eq!(mesh.last_cause(LB1), "taken over from lb2: lb1 is back from its drain");
    mesh.pass(30);
    assert_eq!((mesh.serving(), mesh.vetoes(), mesh.priorities()), (vec![LB1], 0, vec![200, 150, 100]));
    assert_eq!(mesh.nodes[&LB3].engine.moves.marks.drain(LB1), Drain::No, "and all is as before");
    assert_eq!(draining(&mesh), [false, false, false]);
}

/// `meshctl undrain` waits until nothing is planned any more.
#[test]
fn what_is_pinned_to_a_drained_director_comes_back_by_plan() {
    let mut mesh = acquainted();
    mesh.ordered(LB1, to("lb2"));
    mesh.pass(5);
    mesh.ordered(LB1, drain("lb2"));
    mesh.settles_on(LB1, SECOND);
    mesh.pass(30);
    assert_eq!((mesh.serving(), mesh.priorities()), (vec![LB1], vec![200, 100, 150]));
    mesh.ordered(LB3, Wish::Undrain { node: "lb2".to_owned() });
    let Ok(Answer::Plan(plan)) = mesh.order(LB3, Wish::Plan { drain: None }) else { panic!("no plan") };
    let moves: Vec<_> = plan.moves.iter().map(|m| (m.from.as_str(), m.to.as_str(), m.because.as_str())).collect();
    assert_eq!(moves, [("lb1", "lb2", "lb2 is back from its drain")]);
    let (begin, gap) = (mesh.now, mesh.gap_until(LB2));
    let took = mesh.now.since(begin);
    assert!(gap < Duration::from_millis(3) && took < Duration::from_millis(100), "{gap:?}, after {took:?}");
    assert_eq!(mesh.last_cause(LB2), "taken over from lb1: lb2 is back from its drain");
    mesh.pass(30);
    assert_eq!((mesh.serving(), mesh.vetoes(), mesh.priorities()), (vec![LB2], 0, vec![150, 200, 100]));
    let marks = &mesh.nodes[&LB1].engine.moves.marks;
    assert_eq!((marks.drain(LB2), marks.pin(&KEY)), (Drain::No, Some(LB2)));
}

impl Mesh {
    /// `kill -9` and a new process at once: the others have only noticed that there is another connection.
    fn replace(&mut self, id: NodeId) {
        self.nodes.get_mut(&id).unwrap().present.clear();
        self.start_again(id);
        let others: Vec<NodeId> = self.nodes.keys().copied().filter(|o| *o != id).collect();
        for other in others {
            self.step(other, Input::Reconnected { node: id });
        }
    }
}

#[test]
fn who_starts_again_knows_of_its_drain_before_gossip_tells() {
    let mut mesh = acquainted();
    mesh.ordered(LB3, drain("lb1"));
    mesh.ordered(LB3, to("lb3"));
    mesh.pass(5);
    mesh.replace(LB1);
    assert_eq!(mesh.nodes[&LB1].engine.moves.marks.drain(LB1), Drain::No, "it remembers nothing");
    mesh.run_until(mesh.now + Duration::from_millis(1));
    let marks = &mesh.nodes[&LB1].engine.moves.marks;
    assert_eq!((marks.drain(LB1), marks.pin(&KEY)), (Drain::Draining, Some(LB3)));
    mesh.pass(30);
    assert_eq!((mesh.serving(), mesh.vetoes()), (vec![LB3], 0));
}

/// The order goes to a process that is gone, and the one after it does not know yet what was drained.
#[test]
fn what_a_director_that_is_restarted_was_asked_is_asked_again() {
    let mut mesh = acquainted();
    mesh.ordered(LB3, drain("lb1"));
    mesh.pass(5);
    mesh.nodes.get_mut(&LB1).unwrap().frozen = true;
    mesh.step(LB2, Input::Order { ticket: 9, wish: Wish::Undrain { node: "lb1".to_owned() } });
    mesh.run_until(mesh.now + Duration::from_millis(100));
    mesh.replace(LB1);
    mesh.run_until(mesh.now + Duration::from_millis(200));
    mesh.catch_up(LB1);
    mesh.pass(2);
    let text = "lb1 serves again; what belongs to it comes back one after another".to_owned();
    assert_eq!(mesh.nodes[&LB2].answers, [Ok(Answer::Done { text, by: "lb1".to_owned() })]);
    mesh.settles_on(LB1, SECOND);
    assert_eq!(mesh.last_cause(LB1), "taken over from lb2: lb1 is back from its drain");
}

/// What it says is no guess: it waits for the others' words, and for gossip on what they serve.
#[test]
fn who_has_just_started_plans_when_it_knows() {
    let mut mesh = acquainted();
    mesh.ordered(LB3, drain("lb1"));
    mesh.pass(5);
    mesh.replace(LB3);
    mesh.step(LB3, Input::Order { ticket: 9, wish: Wish::Plan { drain: Some("lb2".to_owned()) } });
    mesh.run_until(mesh.now + Duration::from_millis(500));
    assert_eq!(mesh.nodes[&LB3].answers, []);
    mesh.catch_up(LB3);
    mesh.run_until(mesh.now + Duration::from_millis(1));
    let [Ok(Answer::Plan(plan))] = mesh.nodes[&LB3].answers.as_slice() else { panic!("no plan") };
    let moves: Vec<_> = plan.moves.iter().map(|m| (m.from.as_str(), m.to.as_str())).collect();
    assert_eq!(moves, [("lb2", "lb3")], "lb1 is drained, too");
    // Whoever says nothing is not waited for.
    mesh.nodes.get_mut(&LB3).unwrap().answers.clear();
    for other in [LB1, LB2] {
        mesh.cut.insert((other, LB3));
    }
    mesh.replace(LB3);
    mesh.step(LB3, Input::Order { ticket: 9, wish: Wish::Plan { drain: None } });
    mesh.run_until(mesh.now + Duration::from_millis(1990));
    assert_eq!(mesh.nodes[&LB3].answers, []);
    mesh.run_until(mesh.now + Duration::from_millis(20));
    assert_eq!(mesh.nodes[&LB3].answers.len(), 1);
}

#[test]
fn without_a_majority_nobody_knows_what_would_move() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    wait(&mut engine, ms(10_000));
    let actions = engine.step(ms(10_001), Input::Order { ticket: 1, wish: Wish::Plan { drain: None } });
    let text = "lb1 cannot know what would move: it reaches no majority of the voters, 1 of 3".to_owned();
    assert!(actions.contains(&Action::Ordered { ticket: 1, result: Err(Refused { text, unknown: false }) }));
}

#[test]
fn nothing_moves_where_the_successor_cannot() {
    let mut mesh = acquainted();
    let before = mesh.nodes[&LB1].decisions.len();
    assert_eq!(mesh.refused(LB2, to("lb9")), "no director \"lb9\"; there is lb1, lb2, lb3");
    let nothing = Wish::Move { what: "VI_9".to_owned(), node: "lb2".to_owned() };
    assert_eq!(mesh.refused(LB2, nothing), "no virtual router or address \"VI_9\"");
    // Who orders moves for the first time waits a moment, in which gossip would tell.
    let back = Wish::Back { what: "VI_1".to_owned() };
    assert_eq!(mesh.refused(LB2, back), "lb1, which orders moves, refused: VI_1 was not moved by an operator");
    mesh.step(LB3, Input::Interface(Interface { running: false, ..eth0(LB3) }));
    // Said by the successor, before gossip has told of it.
    let refusal = mesh.refused(LB1, to("lb3"));
    assert!(refusal.starts_with("lb3 refused: VI_1 is in fault there: interface eth0 has no link"), "{refusal}");
    mesh.pass(1);
    assert_eq!(mesh.refused(LB2, to("lb3")), "lb1, which orders moves, refused: VI_1 is in fault on lb3");
    mesh.step(LB3, Input::Interface(eth0(LB3)));
    mesh.pass(6);
    // It does not answer.
    mesh.nodes.get_mut(&LB3).unwrap().frozen = true;
    let refusal = mesh.refused(LB2, to("lb3"));
    assert_eq!(refusal, "lb3 did not say within 300ms that it is ready; nothing moved");
    mesh.step(LB1, Input::PeerDown { node: LB3, left: false });
    assert_eq!(mesh.refused(LB2, to("lb3")), "lb1, which orders moves, refused: lb3 is not there");
    assert_eq!(mesh.serving(), [LB1]);
    let since = mesh.nodes[&LB1].decisions[before..].iter().filter(|(_, d)| matches!(d, Decision::Router { .. }));
    assert_eq!(since.count(), 0, "it served all the time");
}

/// The worst moment: the successor said yes, and is gone when the lease is given back for it.
#[test]
fn an_owner_takes_back_what_its_successor_did_not_take() {
    let mut mesh = acquainted();
    mesh.cut.extend([(LB3, LB1), (LB3, LB2)]);
    mesh.step(LB1, Input::Order { ticket: 1, wish: to("lb3") });
    let ready = |mesh: &Mesh| mesh.moves(LB1).len() == 1;
    while !ready(&mesh) {
        mesh.run_until(mesh.now + Duration::from_millis(1));
    }
    mesh.cut.remove(&(LB3, LB1));
    while mesh.serving() == [LB1] && mesh.nodes[&LB1].answers.is_empty() {
        mesh.run_until(mesh.now + Duration::from_micros(100));
        if mesh.serving().is_empty() {
            mesh.nodes.get_mut(&LB3).unwrap().frozen = true;
        }
    }
    if mesh.nodes[&LB1].answers.is_empty() {
        let gap = mesh.gap_until(LB1);
        assert!(gap < Duration::from_millis(400), "{gap:?}");
        mesh.pass(1);
        let failed = "lb3 was ready and did not serve within 250ms; lb1 claims it again";
        let refused = Refused { text: failed.to_owned(), unknown: false };
        assert_eq!(mesh.nodes[&LB1].answers, [Err(refused)]);
    }
    mesh.pass(30);
    assert_eq!(mesh.serving(), [LB1]);
    assert_eq!(mesh.nodes[&LB1].engine.moves.marks.pin(&KEY), None, "the pin is gone again");
}

#[test]
fn moves_are_spaced_and_orders_wait_their_turn() {
    let mut mesh = acquainted();
    for id in [LB1, LB2, LB3] {
        let mut config = config(vec![router((250 - 50 * id.0) as u8)]);
        config.mesh.placement.moves_per_minute = 12;
        mesh.step(id, Input::Configure(Box::new(config)));
    }
    mesh.pass(10);
    mesh.ordered(LB1, to("lb2"));
    let first = mesh.now;
    mesh.ordered(LB1, to("lb3"));
    let apart = mesh.now.since(first);
    assert!(apart >= Duration::from_millis(4900) && apart < Duration::from_millis(5100), "{apart:?}");
    mesh.step(LB1, Input::Order { ticket: 1, wish: to("lb1") });
    mesh.step(LB1, Input::Order { ticket: 2, wish: to("lb2") });
    mesh.step(LB1, Input::Order { ticket: 3, wish: to("lb1") });
    mesh.pass(20);
    let texts: Vec<String> = mesh.nodes[&LB1]
        .answers
        .iter()
        .map(|a| match a {
            Ok(Answer::Done { text, .. }) | Err(Refused { text, .. }) => text.clone(),
            Ok(Answer::Plan(_)) => "a plan".to_owned(),
        })
        .collect();
    let late = "lb1, which orders moves, refused: 12 moves a minute leave no turn within 10s";
    assert_eq!(texts, ["lb1 serves VI_1", "lb2 serves VI_1", late]);
}

#[test]
fn a_plan_is_what_happens() {
    let mut mesh = acquainted();
    let plan =
        |mesh: &mut Mesh, drain: Option<&str>| match mesh.order(LB3, Wish::Plan { drain: drain.map(str::to_owned) }) {
            Ok(Answer::Plan(plan)) => plan,
            other => panic!("{other:?}"),
        };
    assert_eq!(plan(&mut mesh, None).moves, []);
    let planned = plan(&mut mesh, Some("lb1"));
    let step = mesh_control::PlannedMove {
        routers: vec!["VI_1".to_owned()],
        from: "lb1".to_owned(),
        to: "lb2".to_owned(),
        because: "lb1 is drained".to_owned(),
    };
    assert_eq!((planned.moves.clone(), planned.ordered_by.as_deref()), (vec![step], Some("lb1")));
    mesh.ordered(LB2, drain("lb1"));
    mesh.pass(10);
    let happened: Vec<_> = mesh.moves(LB1).into_iter().filter(|m| m.2 == MoveEvent::Done).collect();
    let shown: Vec<_> = planned.moves.into_iter().map(|m| (m.from, m.to, MoveEvent::Done, m.because)).collect();
    assert_eq!(happened, shown);
    assert_eq!(plan(&mut mesh, None).moves, []);
}

#[test]
fn the_last_director_is_not_drained() {
    let mut mesh = acquainted();
    mesh.step(LB3, Input::Interface(Interface { running: false, ..eth0(LB3) }));
    mesh.step(LB2, Input::Interface(Interface { running: false, ..eth0(LB2) }));
    mesh.pass(1);
    assert_eq!(
        mesh.refused(LB2, drain("lb1")),
        "lb1, which orders moves, refused: VI_1: no other director can serve it"
    );
    assert_eq!(mesh.serving(), [LB1]);
}

#[test]
fn only_directors_have_a_say() {
    let mut mesh = acquainted();
    let mut roster = three_vote(3);
    roster.epoch += 1;
    roster.members[1].role = Role::Server;
    mesh.step(LB1, Input::Roster(roster));
    let message =
        mesh_wire::mesh::moves::MoveMessage::Order { id: 1, order: mesh_wire::mesh::moves::Order::Drain { node: LB1 } };
    mesh.step(LB1, Input::Message { from: LB2, message: Message::Move(message) });
    assert_eq!(mesh.nodes[&LB1].engine.moves.marks.drain(LB1), Drain::No);
    let reason = "a message about moves from a node that has no say in them";
    let dropped = |d: &Decision| matches!(d, Decision::Dropped { reason: r, .. } if r == reason);
    assert!(mesh.nodes[&LB1].decisions.iter().any(|(_, d)| dropped(d)));
}

/// Of five voters three hear the successor before they hear the owner.
#[test]
fn a_claim_that_outruns_the_release_is_not_lost() {
    use mesh_wire::mesh::lease::Vacant;
    use mesh_wire::mesh::moves::{MoveMessage, Pin};
    let (lb4, lb5) = (NodeId(4), NodeId(5));
    let asked = |engine: &Engine| {
        let sent = engine.sent.back().unwrap();
        Request { roster_epoch: 5, seq: sent.seq, claims: sent.claims.clone() }
    };
    let vacant = |by| {
        let vacant = Vacant { router: KEY, owner: LB1, epoch: 7, released: true, reserved_for: Some(LB3) };
        message(by, Message::Vacant(vec![vacant]))
    };
    for planned in [true, false] {
        let mut engine = started(LB3, vec![router(100)], Some(roster(5)));
        for voter in [LB1, LB2, lb4, lb5] {
            engine.step(ms(100), peer_up(voter));
        }
        engine.step(ms(100), gossip(&report(LB1, RouterState::Active, 200, 7), LB1));
        if planned {
            let (routers, cause) = (vec![KEY], "moved by operator".to_owned());
            let prepare = MoveMessage::Prepare { id: 1, routers, pin: Pin::Keep, cause };
            engine.step(ms(200), message(LB1, Message::Move(prepare)));
        }
        engine.step(ms(201), vacant(LB1));
        let request = asked(&engine);
        for voter in [LB2, lb4, lb5] {
            engine.step(ms(202), held(voter, ms(202), &request, LB1, 900));
        }
        assert_eq!(engine.instances[&KEY].lease.ballot().is_some(), planned);
        if planned {
            engine.step(ms(203), vacant(LB2));
            let request = asked(&engine);
            // Our own voter has just started, and says nothing yet.
            for voter in [LB2, lb4, lb5] {
                engine.step(ms(204), granted(voter, ms(204), &request));
            }
            assert_eq!(engine.instances[&KEY].state(), RouterState::Active);
        }
    }
}
