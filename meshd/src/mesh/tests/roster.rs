//! Changes of the roster over real connections and disks.

use std::time::Duration;

use mesh_core::Input;
use mesh_core::roster::{Change, State};
use mesh_wire::mesh::roster::{Role, VotePolicy};

use super::cluster::{Node, fresh_address, state, three, until, until_connected, until_voters};
use crate::mesh::{enrol, load};

const HOUR: Duration = Duration::from_secs(3600);

/// The seed's roster knows the joiner, and the joiner never comes: nobody waits for its vote.
#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_breaks_off_leaves_no_voter_behind() {
    let a = Node::found("lb1").await;
    let token = a.mesh.create_token(HOUR).unwrap().text;
    let dir = tempfile::tempdir().unwrap();
    let seed = a.address.to_string();
    enrol(&seed, &token, "gone", Role::Director, Some(fresh_address()), &state(&dir)).await.unwrap();
    assert_eq!(a.roster().members.len(), 2);
    let b = Node::join("lb2", &a).await;
    let c = Node::join("lb3", &a).await;
    until_voters(&[&a, &b, &c], 3).await;
    let gone = a.roster().members[1].id;
    assert!(!a.roster().is_voter(gone));
    let left = b.mesh.change_roster(Change::RemoveMember(gone)).await.unwrap();
    assert!(left.member(gone).is_none() && left.removed_at(gone).is_some());
}

/// A voter that is cut off while somebody joins learns of it afterwards; meanwhile two decide.
#[tokio::test(flavor = "multi_thread")]
async fn a_join_while_a_voter_is_away() {
    let [a, b, c] = three().await;
    let (dir, address) = c.vanish().await;
    let d = Node::join("lb4", &b).await;
    until_connected(&[&a, &b, &d]).await;
    let (identity, loaded) = load(&state(&dir)).unwrap().unwrap();
    assert!(loaded.roster.member(d.id).is_none(), "it does not know yet");
    let c = Node::run(dir, address, identity, loaded).await;
    until_connected(&[&a, &b, &c, &d]).await;
    until("it has learnt", || c.roster() == a.roster() && c.roster().member(d.id).is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_word_on_voters_stays() {
    let [a, b, c] = three().await;
    let changed = a.mesh.change_roster(Change::RemoveVoter(c.id)).await.unwrap();
    assert_eq!((changed.voters().count(), changed.member(c.id).unwrap().vote), (2, VotePolicy::Never));
    until_voters(&[&a, &b, &c], 2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(a.roster().voters().count(), 2, "nobody gives it back");
    let changed = c.mesh.change_roster(Change::AddVoter(c.id)).await.unwrap();
    assert_eq!(changed.voters().count(), 3, "any member may ask");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_node_is_told_and_never_comes_back() {
    let [a, b, c] = three().await;
    let mark = c.mark();
    let without = a.mesh.change_roster(Change::RemoveMember(c.id)).await.unwrap();
    until("it knows", || c.roster().removed_at(c.id) == Some(without.epoch)).await;
    until("it is cut off", || !a.connected_to(c.id) && !b.connected_to(c.id)).await;
    until("its disk knows, too", || load(&c.state()).is_err()).await;
    let error = format!("{:#}", load(&c.state()).unwrap_err());
    assert!(error.contains(&format!("removed from the mesh by roster epoch {}", without.epoch)), "{error}");
    let later = c.mark();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(c.find(later, |i| matches!(i, Input::PeerUp { .. })), None);
    assert!(mark < later);

    // Its old key is refused, whatever token it brings; a new one is welcome under the same name.
    let token = a.mesh.create_token(HOUR).unwrap().text;
    let (seed, address) = (a.address.to_string(), fresh_address());
    std::fs::remove_file(c.state().join("node.crt")).unwrap();
    let result = enrol(&seed, &token, "lb3", Role::Director, Some(address), &c.state()).await;
    let error = format!("{:#}", result.unwrap_err());
    assert!(error.contains("was removed from the mesh"), "{error}");
    let again = Node::join("lb3", &a).await;
    until_voters(&[&a, &b, &again], 3).await;
}

/// It was down when it was removed: the first member it dials tells it.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_removed_while_it_was_down_learns_it_from_any_member() {
    let [a, b, c] = three().await;
    let c_id = c.id;
    let (dir, address) = c.vanish().await;
    until("the loss is noticed", || !a.connected_to(c_id) && !b.connected_to(c_id)).await;
    let without = b.mesh.change_roster(Change::RemoveMember(c_id)).await.unwrap();
    let (identity, loaded) = load(&state(&dir)).unwrap().unwrap();
    let c = Node::run(dir, address, identity, loaded).await;
    c.wait(0, "it is told", |i| matches!(i, Input::Roster(roster) if *roster == without)).await;
    until("it knows", || c.roster() == without).await;
}

/// Its process stood still, say, so that gossip starts anew: with nobody, and that is no failure.
#[tokio::test(flavor = "multi_thread")]
async fn a_removed_node_goes_on_without_gossip() {
    let [a, b, c] = three().await;
    let c_id = c.id;
    let (dir, address) = c.vanish().await;
    until("the loss is noticed", || !a.connected_to(c_id) && !b.connected_to(c_id)).await;
    let without = b.mesh.change_roster(Change::RemoveMember(c_id)).await.unwrap();
    let (identity, loaded) = load(&state(&dir)).unwrap().unwrap();
    let c = Node::run(dir, address, identity, State { roster: without, ..loaded }).await;
    let failed = tokio::time::timeout(Duration::from_secs(3), c.mesh.failed()).await;
    assert!(failed.is_err(), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_of_no_use() {
    let a = Node::found("lb1").await;
    let token = a.mesh.create_token(HOUR).unwrap().text;
    let change = a.mesh.revocation(&token).unwrap();
    a.mesh.change_roster(change).await.unwrap();
    assert_eq!(a.mesh.tokens()[0].state, "revoked");
    let dir = tempfile::tempdir().unwrap();
    let seed = a.address.to_string();
    let result = enrol(&seed, &token, "lb2", Role::Director, Some(fresh_address()), &state(&dir)).await;
    let error = format!("{:#}", result.unwrap_err());
    assert!(error.contains("this token was revoked"), "{error}");
}
