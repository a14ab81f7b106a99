use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mesh_core::admission::MAX_MEMBERS;
use mesh_wire::mesh::roster::Role;

use tokio::net::UdpSocket;

use super::cluster::{Node, fresh_address, state, three, until, until_connected, until_voters};
use crate::clock;
use crate::mesh::{MeshOptions, enrol, init, is_member, load, start};

const HOUR: Duration = Duration::from_secs(3600);

async fn refusal(seed: &Node, token: &str, name: &str, listen: SocketAddr) -> String {
    let dir = tempfile::tempdir().unwrap();
    let seed = seed.address.to_string();
    let result = enrol(&seed, token, name, Role::Director, Some(listen), &state(&dir)).await;
    let error = format!("{:#}", result.expect_err("has to be refused"));
    assert!(load(&state(&dir)).unwrap().is_none(), "a refused machine has no identity");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_form_a_mesh() {
    let [a, b, c] = three().await;
    let roster = c.roster();
    assert_eq!(roster.voters().count(), 3);
    assert_eq!(roster.members.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["lb1", "lb2", "lb3"]);
    for node in [&a, &b, &c] {
        until("voters get the CA key, and need no restart for it", || node.mesh.create_token(HOUR).is_ok()).await;
        let (identity, kept) = load(&node.state()).unwrap().unwrap();
        assert_eq!((identity.node, kept.roster), (node.id, roster.clone()));
        assert!(identity.signs(), "it is on disk, too");
    }
    let fourth = Node::join("lb4", &b).await;
    assert!(!fourth.roster().is_voter(fourth.id));
    let error = format!("{:#}", fourth.mesh.create_token(HOUR).unwrap_err());
    assert!(error.contains("lb1") && error.contains("lb3"), "{error}");
    until_connected(&[&a, &b, &c, &fourth]).await;

    let token = a.mesh.create_token(HOUR).unwrap().text;
    let error = refusal(&fourth, &token, "lb5", fresh_address()).await;
    assert!(error.contains("does not hold the CA key") && error.contains(&a.address.to_string()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_token_is_told_apart() {
    let a = Node::found("lb1").await;
    let other = Node::found("lb1").await;
    let before = a.roster();

    let expired = a.mesh.create_token(Duration::ZERO).unwrap().text;
    let error = refusal(&a, &expired, "lb2", fresh_address()).await;
    assert!(error.contains("expired") && error.contains("meshctl token create"), "{error}");

    let foreign = other.mesh.create_token(HOUR).unwrap().text;
    let error = refusal(&a, &foreign, "lb2", fresh_address()).await;
    assert!(error.contains("another cluster"), "{error}");

    let mut forged = a.mesh.create_token(HOUR).unwrap().text.into_bytes();
    let last = forged.len() - 2;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let error = refusal(&a, &String::from_utf8(forged).unwrap(), "lb2", fresh_address()).await;
    assert!(error.contains("not made by this cluster"), "{error}");

    let error = refusal(&a, "abc", "lb2", fresh_address()).await;
    assert!(error.contains("no token"), "{error}");
    assert_eq!(a.roster(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_works_once_but_a_lost_answer_is_given_again() {
    let a = Node::found("lb1").await;
    let token = a.mesh.create_token(HOUR).unwrap().text;
    let (dir, address) = (tempfile::tempdir().unwrap(), fresh_address());
    let seed = a.address.to_string();
    let first = enrol(&seed, &token, "lb2", Role::Director, Some(address), &state(&dir)).await.unwrap();

    // As if the answer had been lost: the key is there, the certificate is not.
    std::fs::remove_file(state(&dir).join("node.crt")).unwrap();
    assert!(!is_member(&state(&dir)).unwrap());
    let error = format!("{:#}", load(&state(&dir)).unwrap_err());
    assert!(error.contains("incomplete (roster.json is there, node.crt is missing)"), "{error}");
    let again = enrol(&seed, &token, "lb2", Role::Director, Some(address), &state(&dir)).await.unwrap();
    assert_eq!((first.0.node, first.1), (again.0.node, again.1.clone()));
    assert_eq!(a.roster(), again.1.roster);

    let error = refusal(&a, &token, "lb3", fresh_address()).await;
    assert!(error.contains("used already (by lb2)"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sixty_fifth_is_told_what_to_do() {
    let a = Node::found_among("lb1", MAX_MEMBERS).await;
    let token = a.mesh.create_token(HOUR).unwrap().text;
    let error = refusal(&a, &token, "lb65", fresh_address()).await;
    let told = ["has 64 members", "each pair keeps a connection", "`meshctl nodes remove NODE`", "`meshd init`"];
    assert!(told.iter().all(|words| error.contains(words)), "{error}");
    assert_eq!(a.roster().members.len(), MAX_MEMBERS);
    // The token is still good, once there is room.
    let b = Node::found_among("lb1", MAX_MEMBERS - 1).await;
    let token = b.mesh.create_token(HOUR).unwrap().text;
    let (dir, seed) = (tempfile::tempdir().unwrap(), b.address.to_string());
    enrol(&seed, &token, "lb64", Role::Director, Some(fresh_address()), &state(&dir)).await.unwrap();
    assert_eq!(b.roster().members.len(), MAX_MEMBERS);
}

/// Passes on packets between joiners and a seed that answers nobody at first, and the first it answers no more once it
/// has taken the request. Counts the sockets that joiners asked from.
async fn slow_to_answer(a: &Node, from: SocketAddr) -> Arc<AtomicUsize> {
    let (seed, mesh) = (a.address, a.mesh.clone());
    let front = Arc::new(UdpSocket::bind(from).await.unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    tokio::spawn(async move {
        let (mut ways, mut buffer) = (BTreeMap::new(), [0; 2048]);
        let silent_until = clock::now() + Duration::from_millis(700);
        loop {
            let (length, joiner) = front.recv_from(&mut buffer).await.unwrap();
            if clock::now() < silent_until {
                continue;
            }
            let way = match ways.entry(joiner) {
                Entry::Occupied(way) => way.into_mut(),
                Entry::Vacant(place) => {
                    let way = Arc::new(UdpSocket::bind((from.ip(), 0)).await.unwrap());
                    way.connect(seed).await.unwrap();
                    let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
                    let (back, front, mesh) = (Arc::clone(&way), Arc::clone(&front), mesh.clone());
                    tokio::spawn(async move {
                        let mut buffer = [0; 2048];
                        while let Ok(length) = back.recv(&mut buffer).await {
                            if !first || mesh.roster().members.len() == 1 {
                                front.send_to(&buffer[..length], joiner).await.unwrap();
                            }
                        }
                    });
                    place.insert(way)
                }
            };
            way.send(&buffer[..length]).await.unwrap();
        }
    });
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_asks_again_where_the_seed_is_slow_and_becomes_one_member() {
    let a = Node::found("lb1").await;
    let token = a.mesh.create_token(HOUR).unwrap().text;
    let (dir, between) = (tempfile::tempdir().unwrap(), fresh_address());
    let asked = slow_to_answer(&a, between).await;
    let joined = enrol(&between.to_string(), &token, "lb2", Role::Director, Some(fresh_address()), &state(&dir)).await;
    let (identity, kept) = joined.unwrap();
    assert!(asked.load(Ordering::Relaxed) >= 2, "the first answer was lost");
    assert_eq!(a.roster().members.len(), 2);
    assert_eq!((kept.roster.member(identity.node).is_some(), kept.roster.cluster), (true, a.roster().cluster));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_addresses_are_taken_once() {
    let a = Node::found("lb1").await;
    let token = a.mesh.create_token(HOUR).unwrap().text;
    let error = refusal(&a, &token, "lb1", fresh_address()).await;
    assert!(error.contains("lb1 is taken") && error.contains("--name"), "{error}");
    let error = refusal(&a, &token, "l b", fresh_address()).await;
    assert!(error.contains("cannot be a name"), "{error}");
    let error = refusal(&a, &token, "lb2", a.address).await;
    assert!(error.contains("7946") && error.contains("taken") && error.contains("--listen"), "{error}");
    assert_eq!(a.roster().members.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nobody_joins() {
    let a = Node::found("lb1").await;
    let b = Node::join("lb2", &a).await;
    until_connected(&[&a, &b]).await;
    until_voters(&[&a, &b], 2).await;
    let b_id = b.id;
    b.vanish().await;
    until("the loss is noticed", || !a.connected_to(b_id)).await;
    let token = a.mesh.create_token(HOUR).unwrap().text;
    let error = refusal(&a, &token, "lb3", fresh_address()).await;
    assert!(error.contains("of the 2 voters needed"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_that_is_not_there_is_named() {
    let a = Node::found("lb1").await;
    let token = a.mesh.create_token(HOUR).unwrap().text;
    let dir = tempfile::tempdir().unwrap();
    let nobody = fresh_address().to_string();
    let result = enrol(&nobody, &token, "lb2", Role::Director, Some(fresh_address()), &state(&dir)).await;
    let error = format!("{:#}", result.unwrap_err());
    assert!(error.contains(&nobody), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_that_cannot_be_used_are_left_alone() {
    let a = Node::found("lb1").await;
    let message = |result: anyhow::Result<_>| format!("{:#}", result.map(|_: (_, _)| ()).unwrap_err());

    let error = message(init("x", Some(fresh_address()), &a.state()));
    assert!(error.contains("already") && error.contains("--state-dir"), "{error}");

    let below_a_file: &Path = &a.state().join("node.crt").join("x");
    let error = message(init("x", Some(fresh_address()), below_a_file));
    assert!(error.contains("--state-dir"), "{error}");

    let other = Node::found("lb1").await;
    let token = other.mesh.create_token(HOUR).unwrap().text;
    let seed = other.address.to_string();
    let error = message(enrol(&seed, &token, "x", Role::Director, None, &a.state()).await);
    assert!(error.contains("another cluster"), "{error}");

    std::fs::remove_file(a.state().join("ca.crt")).unwrap();
    let error = format!("{:#}", load(&a.state()).unwrap_err());
    assert!(error.contains("incomplete") && error.contains("ca.crt"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named() {
    let a = Node::found("lb1").await;
    let (identity, loaded) = load(&a.state()).unwrap().unwrap();
    let roster = loaded.roster;
    let (inputs, _queue) = tokio::sync::mpsc::channel(1);
    let result = start(MeshOptions { identity, roster, listen: a.address, inputs, services: None }).await;
    let error = format!("{:#}", result.map(|_| ()).unwrap_err());
    assert!(error.contains("7946") && error.contains("--listen"), "{error}");
}
