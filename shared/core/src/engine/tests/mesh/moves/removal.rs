//! Members that are removed for good while they serve.

use mesh_control::Protection;

use super::*;
use crate::roster::Change;

impl Mesh {
    /// An operator's change of the roster on a node, and what comes of it.
    fn change(&mut self, on: NodeId, change: Change) -> Result<Roster, ChangeRefusal> {
        self.step(on, Input::ChangeRoster { ticket: 3, change });
        let begin = self.now;
        while self.nodes[&on].changes.is_empty() {
            assert!(self.now < begin + 5 * SECOND, "no answer");
            self.run_until(self.now + Duration::from_millis(1));
        }
        self.nodes.get_mut(&on).unwrap().changes.remove(0)
    }

    /// Nobody keeps a connection to it any more.
    fn cut_off(&mut self, gone: NodeId) {
        let others: Vec<NodeId> = self.nodes.keys().copied().filter(|id| *id != gone).collect();
        others.into_iter().for_each(|other| self.cut(gone, other));
    }
}

fn is_there(mesh: &Mesh, on: NodeId, key: &str) -> bool {
    mesh.nodes[&on].engine.published.contains_key(key)
}

#[test]
fn who_serves_is_removed_once_it_is_empty() {
    let mut mesh = acquainted();
    let routers = vec!["VI_1".to_owned()];
    for on in [LB1, LB3] {
        let refused = mesh.change(on, Change::RemoveIdle(LB1)).unwrap_err();
        assert_eq!(refused, ChangeRefusal::Serves { name: "lb1".to_owned(), routers: routers.clone() });
        let text = "lb1 serves VI_1, which nobody would serve until its leases have run out";
        assert_eq!(refused.to_string(), text);
    }
    assert_eq!(mesh.serving(), [LB1]);
    // What is kept on it goes, too.
    mesh.ordered(LB3, to("lb1"));
    mesh.ordered(LB3, drain("lb1"));
    let gap = mesh.gap_until(LB2);
    assert!(gap < Duration::from_millis(3), "{gap:?}");
    mesh.pass(1);
    let mark = format!("drain/{LB1}");
    assert!(is_there(&mesh, LB3, &mark), "{:?}", mesh.nodes[&LB3].engine.published.keys());
    let roster = mesh.change(LB3, Change::RemoveIdle(LB1)).unwrap();
    assert_eq!((roster.member(LB1), roster.removed_at(LB1)), (None, Some(roster.epoch)));
    mesh.pass(1);
    mesh.cut_off(LB1);
    let begin = mesh.now;
    while mesh.now < begin + 10 * SECOND {
        mesh.run_until(mesh.now + Duration::from_millis(1));
        assert_eq!(mesh.serving(), [LB2]);
    }
    let cluster = mesh.nodes[&LB1].engine.status(mesh.now).cluster;
    let because = format!("this node was removed from the mesh by roster epoch {}", roster.epoch);
    assert_eq!((cluster.protection, cluster.unprotected_because), (Protection::None, Some(because)));
    for id in [LB2, LB3] {
        let marks = &mesh.nodes[&id].engine.moves.marks;
        assert_eq!((marks.drain(LB1), marks.pin(&KEY), marks.any()), (Drain::No, None, false));
        assert!(!is_there(&mesh, id, &mark), "nor is it told to anybody");
    }
    assert_eq!((mesh.last_cause(LB2), mesh.vetoes()), ("taken over from lb1: lb1 is drained".to_owned(), 0));
}

/// `--now`: whoever takes over says after whom, though that is no member any more.
#[test]
fn who_is_removed_while_it_serves_is_still_named() {
    let mut mesh = acquainted();
    mesh.nodes.get_mut(&LB1).unwrap().frozen = true;
    mesh.change(LB3, Change::RemoveMember(LB1)).unwrap();
    mesh.settles_on(LB2, 2 * SECOND);
    assert_eq!(mesh.last_cause(LB2), "lb1's lease ran out");
    let mut engine = started(LB2, vec![router(100)], Some(roster(3)));
    let without = |gone: &[NodeId], epoch| {
        let mut roster = roster(3);
        roster.epoch = epoch;
        roster.members.retain(|m| !gone.contains(&m.id));
        roster.removed = gone.iter().map(|id| mesh_wire::mesh::roster::Tombstone { id: *id, epoch }).collect();
        roster
    };
    engine.step(ms(1), Input::Roster(without(&[LB1], 4)));
    engine.step(ms(2), Input::Roster(without(&[LB1, LB3], 5)));
    assert_eq!([LB1, LB3].map(|id| engine.name_of(id)), ["lb1", "lb3"]);
    // As long as the mesh remembers them.
    engine.step(ms(3), Input::Roster(without(&[LB3], 6)));
    assert_eq!(engine.name_of(LB3), "lb3");
    let mut without_any = without(&[LB3], 7);
    without_any.removed.clear();
    engine.step(ms(4), Input::Roster(without_any));
    assert_eq!(engine.name_of(LB3), LB3.to_string());
}
