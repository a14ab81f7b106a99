use std::sync::Arc;
use std::time::Duration;

use mesh_core::Input;
use mesh_wire::mesh::lease::{Claim, Message, Preempt, Request};
use mesh_wire::mesh::roster::Role;
use mesh_wire::mesh::{Family, NodeId, RouterKey};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::cluster::{Node, PATIENCE, three, until, until_connected};
use crate::clock;
use crate::telemetry::{Archive, Asked, Journal, Telemetry, collect, otlp::Exporter};

pub(super) fn message(n: u8) -> Message {
    Message::Preempt(Preempt { router: RouterKey { family: Family::Ipv4, vrid: n, segment: 0 }, priority: n })
}

/// A request with this many claims: 256 of them do not fit a datagram.
fn long_message(claims: u32) -> Message {
    let claim = |n| Claim {
        router: RouterKey { family: Family::Ipv4, vrid: 7, segment: n },
        epoch: u64::MAX - u64::from(n),
        duration_ms: 1000,
    };
    Message::Request(Request { roster_epoch: 1, seq: 1, claims: (0..claims).map(claim).collect() })
}

fn is_message(input: &Input, sender: NodeId, wanted: &Message) -> bool {
    matches!(input, Input::Message { from, message } if *from == sender && message == wanted)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_every_length_arrive() {
    let [a, b, _c] = three().await;
    for claims in [0, 1, 60, 70, 256, 2000] {
        let sent = long_message(claims);
        a.mesh.send(b.id, &sent);
        b.wait(0, &format!("{claims} claims"), |i| is_message(i, a.id, &sent)).await;
    }
    // Nobody there: dropped and counted, without waiting.
    a.mesh.send(NodeId(1), &message(1));
    assert_eq!(a.counter("unsent"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_may_be_sent_from_a_thread_without_a_runtime() {
    let [a, b, _c] = three().await;
    let (mesh, to, long) = (a.mesh.clone(), b.id, long_message(256));
    let sent = long.clone();
    std::thread::spawn(move || {
        mesh.send(to, &message(9));
        mesh.send(to, &sent);
        mesh.publish("k".into(), Some("v".into()));
    })
    .join()
    .unwrap();
    b.wait(0, "the short one", |i| is_message(i, a.id, &message(9))).await;
    b.wait(0, "the long one", |i| is_message(i, a.id, &long)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_arrives_at_once() {
    let [a, b, _c] = three().await;
    let mut took = Vec::new();
    for n in 0..100 {
        let (mark, sent) = (b.mark(), clock::now());
        a.mesh.send(b.id, &message(n));
        // A datagram may be lost on a busy machine; then the next one is measured.
        let arrived = || b.find(mark, |i| is_message(i, a.id, &message(n)));
        while arrived().is_none() && clock::now().since(sent) < Duration::from_secs(1) {
            sleep(Duration::from_millis(1)).await;
        }
        took.extend(arrived().map(|at| at.since(sent)));
    }
    took.sort();
    assert!(took.len() > 90, "{} of 100 arrived", took.len());
    println!("message p50 {:?}, max {:?}", took[took.len() / 2], took.last().unwrap());
    assert!(took[took.len() / 2] < Duration::from_millis(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_reaches_everybody() {
    let [a, b, c] = three().await;
    let told = |node: NodeId, key: &'static str, value: Option<&'static str>| move |i: &Input| matches!(i, Input::Gossip { node: n, key: k, value: v } if *n == node && k == key && v.as_deref() == value);
    for node in [&b, &c] {
        node.wait(0, "a is heard", |i| *i == Input::Heard { node: a.id, alive: true }).await;
    }
    let set = clock::now();
    a.mesh.publish("router/4.51".into(), Some("active".into()));
    for node in [&b, &c] {
        let at = node.wait(0, "the value", told(a.id, "router/4.51", Some("active"))).await;
        println!("gossip value after {:?}", at.since(set));
        assert!(at.since(set) < Duration::from_secs(1));
    }
    let marks = [b.mark(), c.mark()];
    a.mesh.publish("router/4.51".into(), Some("active".into()));
    a.mesh.publish("later".into(), Some("x".into()));
    for (node, mark) in [(&b, marks[0]), (&c, marks[1])] {
        node.wait(mark, "the other value", told(a.id, "later", Some("x"))).await;
        assert_eq!(node.find(mark, told(a.id, "router/4.51", Some("active"))), None, "told of changes only");
    }
    a.mesh.publish("router/4.51".into(), None);
    for node in [&b, &c] {
        node.wait(0, "the deletion", told(a.id, "router/4.51", None)).await;
    }
}

/// As many as a director with four interfaces full of virtual routers says when it starts; the engine takes a few dozen
/// at a time, and its peers shall not wait a round for each.
#[tokio::test(flavor = "multi_thread")]
async fn many_values_reach_everybody_soon() {
    let [a, b, c] = three().await;
    let last = "router/9.999";
    let set = clock::now();
    for n in 0..1000 {
        a.mesh.publish(format!("router/9.{n:03}"), Some("backup".into()));
    }
    for node in [&b, &c] {
        let at = node.wait(0, "the last value", |i| matches!(i, Input::Gossip { key, .. } if key == last)).await;
        println!("1,000 gossip values after {:?}", at.since(set));
        assert!(at.since(set) < Duration::from_millis(1500));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_too_long_is_refused_and_blocks_nothing() {
    let [a, b, _c] = three().await;
    a.mesh.publish("huge".into(), Some("x".repeat(70_000)));
    a.mesh.publish("large".into(), Some("y".repeat(16_000)));
    a.mesh.publish("small".into(), Some("z".into()));
    for key in ["large", "small"] {
        b.wait(0, key, |i| matches!(i, Input::Gossip { key: k, .. } if k == key)).await;
    }
    assert_eq!(b.find(0, |i| matches!(i, Input::Gossip { key, .. } if key == "huge")), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn gossip_tells_who_is_heard() {
    let [a, b, c] = three().await;
    let b_id = b.id;
    a.wait(0, "b is heard", |i| *i == Input::Heard { node: b_id, alive: true }).await;
    let mark = a.mark();
    b.vanish().await;
    a.wait(mark, "b is not heard any more", |i| *i == Input::Heard { node: b_id, alive: false }).await;
    assert!(a.connected_to(c.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_settle_on_one_and_stay() {
    let [a, b, c] = three().await;
    let which = |n: &Node, m: &Node| n.mesh.shared.peers.get(&m.id).map(|connection| connection.stable_id());
    let before = || [which(&a, &b), which(&b, &a), which(&a, &c), which(&c, &a), which(&b, &c), which(&c, &b)];
    // A second connection is closed after one to two seconds.
    let (mut last, mut since) = (before(), clock::now());
    let started = clock::now();
    while clock::now().since(since) < Duration::from_millis(2500) {
        sleep(Duration::from_millis(50)).await;
        if before() != last {
            (last, since) = (before(), clock::now());
        }
        assert!(clock::now().since(started) < PATIENCE * 3, "connections go on changing");
    }
    until_connected(&[&a, &b, &c]).await;
    until("one connection a pair", || [&a, &b, &c].iter().all(|n| n.mesh.shared.endpoint.open_connections() == 2))
        .await;
}

/// A node's memory, with one warning in it.
async fn archive(node: &Node, name: &str) -> Archive {
    let journal = Arc::new(Journal::new(name, 0));
    let (telemetry, reports) = Telemetry::new();
    tokio::spawn(collect(node.id, Arc::clone(&journal), Exporter::default(), reports, CancellationToken::new()));
    telemetry.record(mesh_core::Decision::Warning { text: format!("{name} warns") });
    until("it is remembered", || !journal.events(0, 0, 1).events.is_empty()).await;
    Archive { journal, engine: tokio::sync::mpsc::channel(1).0, mesh: Some(node.mesh.clone()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_nodes_remember_is_asked_for_and_who_does_not_answer_is_named() {
    let [a, b, c] = three().await;
    let name = |node: &Node| a.mesh.roster().member(node.id).unwrap().name.clone();
    let (mine, theirs) = (archive(&a, &name(&a)).await, archive(&b, &name(&b)).await);
    b.mesh.answer_from(theirs);
    let found = mine.events(0, 10).await;
    let mut told: Vec<_> = found.events.iter().map(|e| e.text.clone()).collect();
    told.sort();
    assert_eq!(told, [format!("{} warns", name(&a)), format!("{} warns", name(&b))]);
    let missing: Vec<_> = found.unreachable.iter().map(|u| (u.node.clone(), u.because.as_str())).collect();
    assert_eq!(missing, [(name(&c), "it is of a version that remembers nothing")]);
    let limited = mine.events(0, 1).await.events;
    assert_eq!(limited.len(), 1, "the newest of all");
}

#[tokio::test(flavor = "multi_thread")]
async fn directors_tell_each_other_how_they_are_configured_and_witnesses_all_but_keys() {
    let [a, b, _c] = three().await;
    let (engine, mut asked) = tokio::sync::mpsc::channel(1);
    b.mesh.answer_from(Archive { engine, ..archive(&b, "b").await });
    let settings: Arc<mesh_config::settings::Settings> = Arc::default();
    let nonces = tokio::spawn(async move {
        let mut nonces = Vec::new();
        while let Some(Asked::Settings { nonce, answer }) = asked.recv().await {
            let secrets = mesh_config::settings::Secrets { nonce, ..Default::default() };
            let _ = answer.send((Arc::clone(&settings), secrets));
            nonces.push(nonce);
            if nonces.len() == 3 {
                break;
            }
        }
        nonces
    });
    let told = |i: &Input| matches!(i, Input::Settings { node, answer: Ok(_) } if *node == b.id);
    let (b_id, first) = (b.id, a.mark());
    a.mesh.ask_settings(b_id);
    a.wait(first, "the settings", told).await;
    let second = a.mark();
    a.mesh.ask_settings(b_id);
    a.wait(second, "the settings again", told).await;
    let is_now = |role| {
        let mut roster = (*b.mesh.roster()).clone();
        roster.members.iter_mut().filter(|m| m.id == a.id).for_each(|m| m.role = role);
        b.mesh.adopt(&roster);
        a.mark()
    };
    let mark = is_now(Role::Witness);
    a.mesh.ask_settings(b_id);
    let without_keys = |i: &Input| {
        let nonce = if let Input::Settings { answer: Ok(there), .. } = i { Some(there.secrets.nonce) } else { None };
        nonce == Some([0; 32])
    };
    a.wait(mark, "the settings without tags", without_keys).await;
    let nonces = nonces.await.unwrap();
    assert!(nonces[0] != nonces[1] && nonces[0] != [0; 32], "tags of two answers say nothing about each other");

    let mark = is_now(Role::Server);
    a.mesh.ask_settings(b_id);
    let refused = |i: &Input| matches!(i, Input::Settings { answer: Err(_), .. });
    a.wait(mark, "a refusal", refused).await;
}
