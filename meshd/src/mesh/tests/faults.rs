use std::net::UdpSocket;
use std::time::{Duration, Instant};

use mesh_core::Input;

use super::cluster::{Node, state, three, until, until_connected};
use crate::mesh::load;

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_peer_is_noticed_and_found_again() {
    let [a, b, c] = three().await;
    let (marks, b_id) = ([a.mark(), c.mark()], b.id);
    let died = Instant::now();
    let (dir, address) = b.vanish();
    for (node, mark) in [(&a, marks[0]), (&c, marks[1])] {
        let at = node
            .wait(mark, "the loss is told", |i| matches!(i, Input::PeerDown { node, left: false } if *node == b_id))
            .await;
        let took = at - died;
        println!("loss noticed after {took:?}");
        assert!(took < Duration::from_millis(600), "{took:?}");
    }
    let (identity, roster) = load(&state(&dir)).unwrap().unwrap();
    let back = Instant::now();
    let b = Node::run(dir, address, identity, roster).await;
    until_connected(&[&a, &b, &c]).await;
    println!("connected again after {:?}", back.elapsed());
    assert!(back.elapsed() < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_faster_than_the_loss_is_noticed() {
    let [a, b, c] = three().await;
    let b_id = b.id;
    let (dir, address) = b.vanish();
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

#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_is_told_apart_from_a_loss() {
    let [a, b, c] = three().await;
    let (mark, b_id) = (a.mark(), b.id);
    for n in 0..50 {
        b.mesh.send(a.id, &super::traffic::message(n));
    }
    let started = Instant::now();
    b.mesh.close(true).await;
    println!("closed after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_millis(500));
    a.wait(mark, "the goodbye", |i| matches!(i, Input::PeerDown { node, left: true } if *node == b_id)).await;
    let got = a.seen.lock().unwrap().iter().filter(|(_, i)| matches!(i, Input::Message { .. })).count();
    assert_eq!(got, 50, "what was sent before the goodbye arrives");
    drop(c);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_mesh_is_refused_both_ways() {
    let a = Node::found("lb1").await;
    let b = Node::join("lb2", &a).await;
    until_connected(&[&a, &b]).await;
    let b_id = b.id;
    let (_dir, address) = b.vanish();
    until("the loss is noticed", || !a.connected_to(b_id)).await;

    // A stranger in b's place, who believes that a belongs to its own mesh.
    let dir = tempfile::tempdir().unwrap();
    let (identity, mut roster) = crate::mesh::init("evil", Some(address), &state(&dir)).unwrap();
    let mut victim = a.roster().member(a.id).unwrap().clone();
    victim.name = "victim".into();
    roster.members.push(victim);
    let stranger = Node::run(dir, address, identity, roster).await;

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
    until_connected(&[&a, &b]).await;
    let (mark, mut without) = (b.mark(), a.roster());
    without.epoch += 1;
    without.members.retain(|m| m.id != b.id);
    a.mesh.adopt(&without).unwrap();
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
    for length in 0..400 {
        let bytes: Vec<u8> = (0..length * 3).map(|_| byte()).collect();
        socket.send_to(&bytes, a.address).unwrap();
    }
    until("they are counted", || a.counter("foreign_datagrams") > 300).await;
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
