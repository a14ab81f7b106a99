use std::io::Read;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use mesh_core::{Input, Will};
use mesh_wire::mesh::lease::{Message, Release};
use mesh_wire::mesh::{Family, NodeId, RouterKey};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cluster::{Node, state, three, until, until_connected, until_voters};
use crate::clock;
use crate::mesh::{load, release};

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_peer_is_noticed_and_found_again() {
    let [a, b, c] = three().await;
    let (marks, b_id) = ([a.mark(), c.mark()], b.id);
    let died = clock::now();
    let (dir, address) = b.vanish().await;
    for (node, mark) in [(&a, marks[0]), (&c, marks[1])] {
        let at = node
            .wait(mark, "the loss is told", |i| matches!(i, Input::PeerDown { node, left: false } if *node == b_id))
            .await;
        let took = at.since(died);
        println!("loss noticed after {took:?}");
        assert!(took < Duration::from_millis(600), "{took:?}");
    }
    let (identity, roster) = load(&state(&dir)).unwrap().unwrap();
    let back = clock::now();
    let b = Node::run(dir, address, identity, roster).await;
    until_connected(&[&a, &b, &c]).await;
    println!("connected again after {:?}", clock::now().since(back));
    assert!(clock::now().since(back) < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_faster_than_the_loss_is_noticed() {
    let [a, b, c] = three().await;
    let b_id = b.id;
    let (dir, address) = b.vanish().await;
    let (identity, roster) = load(&state(&dir)).unwrap().unwrap();
    let b = Node::run(dir, address, identity, roster).await;
    until_connected(&[&b, &a, &c]).await;
    // The message has to arrive in the new run, whichever connection was there first.
    until("a message arrives", || {
        a.mesh.send(b_id, &super::traffic::message(1));
        b.find(0, |i| matches!(i, Input::Message { .. })).is_some()
    })
    .await;
}

/// As the guard does it: the dead daemon's connections are still thought alive.
#[tokio::test(flavor = "multi_thread")]
async fn leases_of_a_dead_node_are_given_back_in_its_name() {
    let [a, b, c] = three().await;
    let (marks, b_id) = ([a.mark(), c.mark()], b.id);
    let router = RouterKey { family: Family::Ipv4, vrid: 51, segment: 0 };
    let releases = vec![Release { router, epoch: 7, seq: Release::LAST, successor: None }];
    // Nobody is there.
    let nobody = (NodeId(99), super::cluster::fresh_address());
    let will = Will {
        releases: releases.clone(),
        voters: vec![(a.id, a.address), (c.id, c.address), nobody],
        ..Will::default()
    };
    let (dir, address) = b.vanish().await;
    let begun = clock::now();
    assert_eq!(release(&state(&dir), &will).await.unwrap(), 2);
    assert!(clock::now().since(begun) < Duration::from_secs(1), "{:?}", clock::now().since(begun));
    for (node, mark) in [(&a, marks[0]), (&c, marks[1])] {
        let expected = Input::Message { from: b_id, message: Message::Release(releases.clone()) };
        let at = node.wait(mark, "the release arrives", |i| *i == expected).await;
        println!("released after {:?}", at.since(begun));
    }
    let (identity, roster) = load(&state(&dir)).unwrap().unwrap();
    let b = Node::run(dir, address, identity, roster).await;
    until_connected(&[&a, &b, &c]).await;
}

/// A node whose id the will names may be another by now.
#[tokio::test(flavor = "multi_thread")]
async fn leases_are_not_given_back_to_somebody_else() {
    let [a, b, _c] = three().await;
    let mark = a.mark();
    let will = Will { releases: Vec::new(), voters: vec![(NodeId(99), a.address)], ..Will::default() };
    assert_eq!(release(&b.state(), &will).await.unwrap(), 0);
    assert!(a.find(mark, |i| matches!(i, Input::Message { message: Message::Release(_), .. })).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_is_told_apart_from_a_loss() {
    let [a, b, c] = three().await;
    let (mark, b_id) = (a.mark(), b.id);
    for n in 1..=50 {
        b.mesh.send(a.id, &super::traffic::message(n));
    }
    tokio::time::timeout(super::cluster::PATIENCE, b.mesh.drained()).await.expect("an empty queue is seen as empty");
    b.mesh.close(true).await;
    a.wait(mark, "the goodbye", |i| matches!(i, Input::PeerDown { node, left: true } if *node == b_id)).await;
    let sent = |i: &Input| matches!(i, Input::Message { message, .. } if !matches!(message, Message::Roster(_) | Message::Consensus(_) | Message::Move(_)));
    let got = a.seen.lock().unwrap().iter().filter(|(_, i)| sent(i)).count();
    assert_eq!(got, 50, "what was sent before the goodbye arrives");
    drop(c);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_mesh_is_refused_both_ways() {
    let a = Node::found("lb1").await;
    let b = Node::join("lb2", &a).await;
    until_connected(&[&a, &b]).await;
    let b_id = b.id;
    let (_dir, address) = b.vanish().await;
    until("the loss is noticed", || !a.connected_to(b_id)).await;

    // A stranger in b's place, who believes that a belongs to its own mesh.
    let dir = tempfile::tempdir().unwrap();
    let (identity, mut loaded) = crate::mesh::init("evil", Some(address), &state(&dir)).unwrap();
    let mut victim = a.roster().member(a.id).unwrap().clone();
    victim.name = "victim".into();
    loaded.roster.members.push(victim);
    let stranger = Node::run(dir, address, identity, loaded).await;

    until("a refuses the stranger's certificate", || a.counter("handshakes_failed") >= 2).await;
    until("the stranger refuses a's certificate", || stranger.counter("handshakes_failed") >= 2).await;
    assert!(!a.connected_to(b_id) && !a.connected_to(stranger.id) && !stranger.connected_to(a.id));
    let up = |i: &Input| matches!(i, Input::PeerUp { .. });
    assert_eq!(stranger.find(0, up), None, "nobody is told of a connection that was never accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_valid_certificate_outside_the_roster_is_refused() {
    let a = Node::found("lb1").await;
    let b = Node::join("lb2", &a).await;
    until_voters(&[&a, &b], 2).await;
    let (mark, mut without) = (b.mark(), a.roster());
    without.epoch += 10;
    without.members.retain(|m| m.id != b.id);
    a.mesh.adopt(&without);
    b.wait(mark, "b is dropped", |i| matches!(i, Input::PeerDown { .. })).await;
    let mark = b.mark();
    until("b is refused", || a.counter("strangers_refused") >= 2).await;
    assert!(!a.connected_to(b.id));
    assert_eq!(b.find(mark, |i| matches!(i, Input::PeerUp { .. })), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bytes_are_counted_and_change_nothing() {
    let [a, b, c] = three().await;
    let mark = a.mark();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // A fixed sequence, so that a failure can be repeated: short and long headers, all lengths.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    let mut length = 0;
    until("they are counted", || {
        length = (length + 1) % 1200;
        let bytes: Vec<u8> = (0..length).map(|_| byte()).collect();
        socket.send_to(&bytes, a.address).unwrap();
        a.counter("foreign_datagrams") > 300
    })
    .await;
    b.mesh.send(a.id, &super::traffic::message(1));
    a.wait(mark, "a message arrives", |i| matches!(i, Input::Message { from, .. } if *from == b.id)).await;
    Node::join("lb4", &a).await;
    drop(c);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_frames_from_a_member_are_counted() {
    let [a, b, _c] = three().await;
    let frames: [&[u8]; 5] = [b"", b"\0", b"\0\xff\xff\xff", b"\x01\xff\xff", b"\x77"];
    for frame in frames {
        crate::mesh::traffic::send(&b.mesh.shared, a.id, frame.to_vec());
    }
    until("they are counted", || a.counter("malformed") >= 5).await;
    assert!(a.connected_to(b.id));
}

/// Tells a copy of this test to be the node whose state is in this directory.
const FROZEN_NODE: &str = "MESHD_TEST_FROZEN_NODE";

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stood_still_comes_back() {
    if let Some(dir) = std::env::var_os(FROZEN_NODE) {
        return be_the_frozen_node(PathBuf::from(dir)).await;
    }
    let [a, b, c] = three().await;
    let b_id = b.id;
    let (dir, _) = b.vanish().await;
    until("the loss of the first run is noticed", || !a.connected_to(b_id)).await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "mesh::tests::faults::a_node_that_stood_still_comes_back"])
        .env(FROZEN_NODE, dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(child.id() as i32);
    for freeze in [Duration::from_millis(800), Duration::from_secs(3)] {
        let heard = |mark| a.wait(mark, "it gossips", move |i| *i == Input::Heard { node: b_id, alive: true });
        heard(0).await;
        until("it is connected", || a.connected_to(b_id) && c.connected_to(b_id)).await;
        let mark = a.mark();
        let frozen = clock::now();
        kill(pid, Signal::SIGSTOP).unwrap();
        let down = |i: &Input| matches!(i, Input::PeerDown { node, left: false } if *node == b_id);
        let lost = a.wait(mark, "the loss", down).await.since(frozen);
        until("the freeze is over", || clock::now().since(frozen) >= freeze).await;
        let (mark, thawed) = (a.mark(), clock::now());
        kill(pid, Signal::SIGCONT).unwrap();
        until("it is connected again", || a.connected_to(b_id) && c.connected_to(b_id)).await;
        let back = clock::now().since(thawed);
        a.mesh.publish("ping".into(), Some(format!("{freeze:?}")));
        // It says what it heard, so both directions work, and under its new generation.
        let pong = format!("{freeze:?}");
        let echo = |i: &Input| matches!(i, Input::Gossip { key, value: Some(v), .. } if key == "pong" && *v == pong);
        let gossips = a.wait(mark, "gossip works", echo).await.since(thawed);
        println!("frozen {freeze:?}: loss after {lost:?}, back after {back:?}, gossip after {gossips:?}");
        assert!(back < Duration::from_secs(2), "{back:?}");
    }
    drop(child.stdin.take());
    let _ = child.wait();
}

/// Answers every "ping" value with a "pong", until its parent closes the pipe or dies.
async fn be_the_frozen_node(dir: PathBuf) {
    let (identity, roster) = load(&dir.join("state")).unwrap().unwrap();
    let address = roster.roster.member(identity.node).unwrap().address;
    let (temp, over) = (tempfile::tempdir().unwrap(), std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let node = Node::run(temp, address, identity, roster).await;
    let set = over.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        set.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let mut from = 0;
    while !over.load(std::sync::atomic::Ordering::Relaxed) {
        let new: Vec<Input> = node.seen.lock().unwrap().iter().skip(from).map(|(_, input)| input.clone()).collect();
        from += new.len();
        for input in new {
            if let Input::Gossip { key, value, .. } = input
                && key == "ping"
            {
                node.mesh.publish("pong".into(), value);
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_without_room_keep_nothing_from_the_engine() {
    let [a, b, c] = three().await;
    let (dir, address) = a.vanish().await;
    let loaded = load(&state(&dir)).unwrap().unwrap();
    let (services, mut queue) = tokio::sync::mpsc::channel(1);
    let a = Node::run_with(dir, address, loaded, Some(services)).await;
    until_connected(&[&a, &b, &c]).await;
    let keys = ["service/one", "service/two", "zone"];
    for key in keys {
        b.mesh.publish(key.to_owned(), Some("{}".to_owned()));
    }
    a.wait(0, "the engine hears", |i| matches!(i, Input::Gossip { key, .. } if key == "zone")).await;
    for wanted in &keys[..2] {
        let told = tokio::time::timeout(Duration::from_secs(5), queue.recv()).await.expect("offered again");
        let value = Some("{}".to_owned());
        assert_eq!(told, Some(mesh_core::services::Input::Gossip { node: b.id, key: (*wanted).to_owned(), value }));
    }
}
