use mesh_wire::mesh::gossip::{RouterState, Transition};
use mesh_wire::mesh::roster::Role;

use super::*;
use crate::fixture::{KEY, key};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

fn report(router: RouterKey, priority: u8, epoch: u64) -> String {
    let report = RouterReport {
        key: router,
        name: "VI_1".to_owned(),
        interface: "eth0".to_owned(),
        vips: vec!["10.1.1.80/24".to_owned()],
        vips_parts: 0,
        state: RouterState::Backup,
        priority,
        epoch,
        source: Some(IpAddr::from([10, 1, 1, 11])),
        foreign: None,
        transition: Transition { at_unix_ms: 0, cause: "started".to_owned(), trace_id: String::new() },
        because: None,
        lacks: None,
        held: None,
        place: None,
    };
    serde_json::to_string(&report).unwrap()
}

fn node(draining: bool) -> String {
    let report = NodeReport {
        role: Role::Director,
        version: "1".to_owned(),
        config_digest: String::new(),
        draining,
        fits_since_unix_ms: 0,
        hearing: Vec::new(),
        mute: Vec::new(),
        roster_epoch: 1,
        capacity: 100,
        routers: 0,
    };
    serde_json::to_string(&report).unwrap()
}

fn up(membership: &mut Membership, id: NodeId, priority: u8) {
    membership.peer_mut(id).connected = true;
    membership.gossip(id, &router_key(&KEY), Some(&report(KEY, priority, 0)));
}

#[test]
fn candidates_are_connected_able_and_staying() {
    let mut members = Membership::default();
    up(&mut members, A, 200);
    up(&mut members, B, 150);
    let candidates = |m: &Membership| m.candidates(&KEY).collect::<Vec<_>>();
    assert_eq!(candidates(&members), [(A, 200), (B, 150)]);

    members.gossip(A, NODE_KEY, Some(&node(true)));
    assert_eq!(candidates(&members), [(B, 150)], "A drains");
    members.gossip(A, NODE_KEY, Some(&node(false)));
    members.gossip(A, &router_key(&KEY), Some(&report(KEY, 0, 0)));
    assert_eq!(candidates(&members), [(B, 150)], "A is in fault");
    members.peer_mut(B).connected = false;
    assert_eq!(candidates(&members), []);
}

#[test]
fn a_deleted_or_unintelligible_value_is_absent() {
    let mut members = Membership::default();
    for value in [None, Some("{"), Some("null"), Some(r#"{"key":7}"#)] {
        up(&mut members, A, 200);
        members.gossip(A, NODE_KEY, Some(&node(true)));
        members.gossip(A, &router_key(&KEY), value);
        members.gossip(A, NODE_KEY, value);
        assert_eq!(members.router(A, &KEY), None, "{value:?}");
        assert_eq!(members.peer(A).unwrap().report, None, "{value:?}");
    }
}

#[test]
fn each_router_has_its_own_value() {
    let mut members = Membership::default();
    up(&mut members, A, 200);
    members.gossip(A, &router_key(&key(52)), Some(&report(key(52), 10, 0)));
    members.gossip(A, &router_key(&KEY), None);
    assert_eq!(members.router(A, &KEY), None);
    assert_eq!(members.router(A, &key(52)).map(|r| r.priority), Some(10));
}

#[test]
fn unknown_keys_are_somebody_elses() {
    let mut members = Membership::default();
    members.gossip(A, "weather", Some("fine"));
    assert_eq!(members.peer(A).unwrap().report, None);
    assert!(members.peer(A).unwrap().routers.is_empty());
}

#[test]
fn adverts_of_members_are_known_by_their_source() {
    let mut members = Membership::default();
    up(&mut members, A, 200);
    assert!(members.sends_adverts(&KEY, IpAddr::from([10, 1, 1, 11])));
    assert!(!members.sends_adverts(&KEY, IpAddr::from([10, 1, 1, 12])));
    assert!(!members.sends_adverts(&key(52), IpAddr::from([10, 1, 1, 11])));
}

#[test]
fn the_highest_epoch_of_anybody_counts() {
    let mut members = Membership::default();
    assert_eq!(members.max_epoch(&KEY), 0);
    members.gossip(A, &router_key(&KEY), Some(&report(KEY, 100, 7)));
    members.gossip(B, &router_key(&KEY), Some(&report(KEY, 100, 5)));
    assert_eq!(members.max_epoch(&KEY), 7);
    members.retain(|id| id != A);
    assert_eq!(members.max_epoch(&KEY), 5);
    assert!(!members.is_connected(B));
}

#[test]
fn whoever_has_nothing_to_say_of_a_router_is_not_asked_about_it() {
    let mut members = Membership::default();
    let speakers = |m: &Membership| m.reports(&KEY).map(|(id, ..)| id).collect::<Vec<_>>();
    up(&mut members, B, 150);
    up(&mut members, A, 200);
    assert_eq!((speakers(&members), members.routers().collect::<Vec<_>>()), (vec![A, B], vec![KEY]));
    members.gossip(A, &router_key(&KEY), None);
    assert_eq!(speakers(&members), [B], "withdrawn");
    members.gossip(B, &router_key(&KEY), Some("of another version"));
    assert_eq!((speakers(&members), members.routers().count()), (vec![], 0));
    up(&mut members, A, 200);
    up(&mut members, B, 150);
    members.retain(|id| id == B);
    assert_eq!(speakers(&members), [B], "removed from the mesh");
    members.retain(|_| false);
    assert_eq!(members.routers().count(), 0);
}
