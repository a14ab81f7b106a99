//! The sizes of gossip that fleets are simulated with, against chitchat itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use chitchat::transport::{Socket, Transport};
use chitchat::{
    ChitchatConfig, ChitchatHandle, ChitchatId, ChitchatMessage, Deserializable, FailureDetectorConfig, Serializable,
    spawn_chitchat,
};
use mesh_sim::fleet::sizes::{ACK, DELTA, DIGEST, SYN, SYN_ACK, VALUE};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// As long as meshd's.
const CLUSTER: &str = "00000000000f1ee7";

/// What one node sends and receives, in the hands of the test.
struct Link {
    sent: UnboundedSender<Vec<u8>>,
    inbox: Mutex<Option<UnboundedReceiver<ChitchatMessage>>>,
}

struct End {
    sent: UnboundedSender<Vec<u8>>,
    inbox: UnboundedReceiver<ChitchatMessage>,
}

#[async_trait]
impl Transport for Link {
    async fn open(&self, _listen: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let inbox = self.inbox.lock().expect("no test panics with it").take().expect("it is opened once");
        Ok(Box::new(End { sent: self.sent.clone(), inbox }))
    }
}

#[async_trait]
impl Socket for End {
    async fn send(&mut self, _to: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        Ok(self.sent.send(message.serialize_to_vec())?)
    }

    async fn recv(&mut self) -> anyhow::Result<(SocketAddr, ChitchatMessage)> {
        Ok((address(1), self.inbox.recv().await.expect("the test holds the other end")))
    }
}

fn address(node: u16) -> SocketAddr {
    let [high, low] = node.to_be_bytes();
    (Ipv4Addr::new(10, 1, high, low), 7946).into()
}

fn id(node: u16) -> ChitchatId {
    ChitchatId::new(format!("{node:016x}"), 1_790_000_000_000, address(node))
}

/// A digest of so many nodes, none of which has told anything.
fn digest(nodes: u16) -> Vec<u8> {
    let mut bytes = nodes.to_le_bytes().to_vec();
    for node in 1..=nodes {
        id(node).serialize(&mut bytes);
        [7, 0, 0].iter().for_each(|number: &u64| number.serialize(&mut bytes));
    }
    bytes
}

/// Behind magic number and version.
const KIND_AT: usize = 3;

fn message(kind: u8, rest: &[&[u8]]) -> ChitchatMessage {
    let bytes = [&[0x53, 0xb0, 0, kind], rest.concat().as_slice()].concat();
    ChitchatMessage::deserialize(&mut bytes.as_slice()).expect("it is one of chitchat's")
}

/// Node 0, what it sends, and how to send something to it.
async fn node(
    values: &[(String, String)],
) -> (ChitchatHandle, UnboundedReceiver<Vec<u8>>, UnboundedSender<ChitchatMessage>) {
    let (sent, sends) = unbounded_channel();
    let (inbox, received) = unbounded_channel();
    let hour = Duration::from_secs(3600);
    let config = ChitchatConfig {
        chitchat_id: id(0),
        cluster_id: CLUSTER.to_owned(),
        // No rounds of its own.
        gossip_interval: hour,
        listen_addr: address(0),
        seed_nodes: Vec::new(),
        failure_detector_config: FailureDetectorConfig::new(8.0, 200, hour, hour, hour),
        marked_for_deletion_grace_period: hour,
        catchup_callback: None,
        extra_liveness_predicate: None,
    };
    let link = Link { sent, inbox: Mutex::new(Some(received)) };
    let handle = spawn_chitchat(config, values.to_vec(), &link).await.expect("it starts");
    (handle, sends, inbox)
}

const FIRST: u8 = 0;
const SECOND: u8 = 1;
const THIRD: u8 = 2;

/// Bytes of its next message of this kind, with the one that tells meshd's frames apart. It may begin an exchange
/// of its own at any time.
async fn next(sends: &mut UnboundedReceiver<Vec<u8>>, kind: u8) -> usize {
    loop {
        let sent = timeout(Duration::from_secs(20), sends.recv()).await;
        let sent = sent.expect("it answers").expect("it lives");
        if sent[KIND_AT] == kind {
            return sent.len() + 1;
        }
    }
}

#[tokio::test]
async fn messages_of_an_exchange_are_as_long_as_the_model_has_them() {
    for others in [10, 1000] {
        let (handle, mut sends, inbox) = node(&[]).await;
        let cluster = CLUSTER.to_owned().serialize_to_vec();
        inbox.send(message(FIRST, &[&digest(others), &cluster])).expect("it lives");
        let all = DIGEST * (usize::from(others) + 1);
        assert_eq!(next(&mut sends, SECOND).await, SYN_ACK + all, "{others}");
        handle.gossip(address(1)).expect("it lives");
        assert_eq!(next(&mut sends, FIRST).await, SYN + all, "{others}");
        inbox.send(message(SECOND, &[&digest(others), &[0]])).expect("it lives");
        assert_eq!(next(&mut sends, THIRD).await, ACK, "{others}");
    }
}

#[tokio::test]
async fn news_are_not_longer_than_the_model_has_them() {
    // What has no pattern, so that hardly anything of it is compressed.
    let noise = |seed: u64| (0..300).map(|n| char::from(b'!' + (n * n * seed % 89) as u8)).collect::<String>();
    let values: Vec<(String, String)> = (1..=20).map(|n| (format!("router/{n}"), noise(n))).collect();
    let (_handle, mut sends, inbox) = node(&values).await;
    let cluster = CLUSTER.to_owned().serialize_to_vec();
    inbox.send(message(FIRST, &[&digest(1), &cluster])).expect("it lives");
    let model = values.iter().map(|(key, value)| VALUE + key.len() + value.len()).sum::<usize>() + DELTA;
    let sent = next(&mut sends, SECOND).await - SYN_ACK - DIGEST * 2;
    // A block of news has three bytes of its own, where it is not compressed.
    assert!(sent <= model + 3, "{sent} {model}");
    assert!(sent * 4 > model, "{sent} {model}");
}
