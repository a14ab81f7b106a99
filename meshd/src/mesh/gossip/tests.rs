use mesh_wire::mesh::roster::{Member, Role, VotePolicy};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

/// 40 members, of which the last five vote.
fn roster() -> Roster {
    let member = |id: u8| Member {
        id: NodeId(id.into()),
        name: format!("lb{id}"),
        address: SocketAddr::from(([10, 1, 1, id], 7946)),
        role: Role::Director,
        voter: id > 35,
        vote: VotePolicy::Auto,
    };
    Roster { members: (1..=40).map(member).collect(), ..Roster::default() }
}

fn told(connected: impl Iterator<Item = u64>, seed: u64) -> BTreeSet<u8> {
    let connected = connected.map(NodeId).collect();
    let addresses = chosen(&roster(), &connected, &mut StdRng::seed_from_u64(seed));
    let last = |address: &SocketAddr| address.to_string().trim_end_matches(":7946").rsplit('.').next().unwrap().parse();
    addresses.iter().map(|address| last(address).unwrap()).collect()
}

#[test]
fn voters_and_some_others_are_told_at_once() {
    let (some, others) = (told(1..=40, 1), told(1..=40, 2));
    assert_eq!((some.len(), others.len()), (AT_ONCE, AT_ONCE));
    assert!((36..=40).all(|voter| some.contains(&voter) && others.contains(&voter)), "{some:?} {others:?}");
    assert_ne!(some, others);
    assert_eq!(told([3, 4, 38, 99].into_iter(), 1), BTreeSet::from([3, 4, 38]), "members that are connected");
}

#[test]
fn who_was_removed_is_forgotten() {
    let mut view = View::default();
    for id in [1, 40, 41, 99].map(NodeId) {
        view.heard.insert(id, true);
        view.values.insert(id, BTreeMap::from([("node".to_owned(), "{}".to_owned())]));
        view.seen.insert(id, (1, 1));
    }
    let known = |view: &View| {
        let ids = |ids: Vec<&NodeId>| ids.into_iter().map(|id| id.0).collect::<Vec<_>>();
        [ids(view.heard.keys().collect()), ids(view.values.keys().collect()), ids(view.seen.keys().collect())]
    };
    view.forget_removed(&Roster { epoch: 7, ..roster() });
    assert_eq!(known(&view), [[1, 40]; 3].map(Vec::from));
    let mut fewer = Roster { epoch: 8, ..roster() };
    fewer.members.retain(|member| member.id != NodeId(40));
    view.forget_removed(&fewer);
    assert_eq!(known(&view), [[1]; 3].map(Vec::from));
}
