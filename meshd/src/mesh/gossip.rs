//! Gossip: what every node tells all others, by chitchat over the mesh's own connections.
//!
//! Information only: any member may pass on any other member's values, so nothing here is a vote.
//! A value set here goes out at once to connected peers, to voters first, and with the next rounds to the rest.
//!
//! chitchat reads a process that stood still (SIGSTOP) wrongly: it makes up for all missed rounds at
//! once and takes what waited in the kernel for fresh. So a gap in the clock ends it, before
//! anything is sent or read, and it starts anew under a new generation.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use async_trait::async_trait;
use chitchat::transport::{Socket, Transport};
use chitchat::{
    Chitchat, ChitchatConfig, ChitchatHandle, ChitchatId, ChitchatMessage, Deserializable, FailureDetectorConfig,
    Serializable, spawn_chitchat,
};
use mesh_core::{Input, Instant, services};
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::gossip::{MAX_VALUE, SERVER_PREFIX, SERVICE_PREFIX};
use mesh_wire::mesh::roster::Roster;
use rand::Rng;
use rand::seq::SliceRandom;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{info, warn};

use super::counters::Counter;
use super::shared::{FRAME_GOSSIP, MAX_FRAME, Shared};
use super::traffic;
use crate::clock;

/// A round every 100 ms: a death is seen after 300 to 500 ms, with no false ones under load.
const INTERVAL: Duration = Duration::from_millis(100);
const PHI: f64 = 8.0;
/// Peers that a new value goes to at once; the others learn it from these, within a few rounds. Each such round carries
/// a digest of all members, so that with all of them it would grow with their square.
const AT_ONCE: usize = 16;
/// Rounds that a new value asks for are this far apart.
const ROUND_PAUSE: Duration = Duration::from_millis(20);
/// So long the engine gets to work off what it was told, where it could not be told everything at once.
const ROOM_PAUSE: Duration = Duration::from_millis(5);
/// Nodes are looked at until so many of their values may be news: others carry on below this, on the same thread.
const AT_A_LOOK: usize = 1000;
/// A gap this long between two of the many things that happen here is no scheduling delay.
const STOOD_STILL: Duration = Duration::from_secs(1);
/// Gossip gives way to lease messages: it waits while more inputs than this are queued.
const QUEUE_SHARE: usize = 32;
/// Messages waiting for chitchat; more are dropped, the next round repeats them.
const INBOX: usize = 256;
/// After this many failures in a row the mesh gives up.
const MOST_FAILURES: u32 = 10;
/// A failure this long after the start is not in a row with the one before.
const LASTED: Duration = Duration::from_secs(60);

type Inbox = mpsc::Sender<(SocketAddr, ChitchatMessage)>;

/// The part of gossip other tasks and the engine's thread see.
#[derive(Default)]
pub(super) struct Gossip {
    own: Mutex<BTreeMap<String, String>>,
    wake: Notify,
    inbox: Mutex<Option<Inbox>>,
}

impl Gossip {
    /// Sets or deletes a value of this node.
    pub(super) fn publish(&self, key: String, value: Option<String>) {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        match value {
            // chitchat never passes on one of 64 KiB, nor any after it.
            Some(value) if key.len() + value.len() > MAX_VALUE => {
                warn!(key, bytes = value.len(), limit = MAX_VALUE, "a value is too long for gossip and is not sent");
                return;
            }
            Some(value) => drop(own.insert(key, value)),
            None => drop(own.remove(&key)),
        }
        drop(own);
        self.wake.notify_one();
    }

    /// Gossips with connected peers now.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// A gossip frame from a member.
    pub(super) fn receive(&self, roster: &Roster, from: NodeId, mut body: &[u8]) -> anyhow::Result<()> {
        let message = ChitchatMessage::deserialize(&mut body)?;
        let address = roster.member(from).context("not a member any more")?.address;
        if let Some(inbox) = &*self.inbox.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = inbox.try_send((address, message));
        }
        Ok(())
    }

    fn own(&self) -> BTreeMap<String, String> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Runs gossip, generation after generation.
pub(super) async fn run(shared: Arc<Shared>) -> anyhow::Result<()> {
    let mut view = View::default();
    let (mut generation, mut failures) = (0, 0);
    loop {
        if shared.roster().member(shared.identity.node).is_none() {
            // Whoever was removed has nobody to talk to, and never comes back under this identity.
            shared.closing.cancelled().await;
            return Ok(());
        }
        // A new generation has to be higher than the last, also when the wall clock was set back.
        generation = (generation + 1).max(clock::unix_time().as_millis() as u64);
        let started = clock::now();
        match one_generation(&shared, generation, &mut view).await {
            Ok(Ended::Closing) => return Ok(()),
            Ok(Ended::StoodStill) => {
                info!("this process had stood still: gossip starts anew");
                failures = 0;
            }
            Err(error) => {
                failures = if clock::now().since(started) > LASTED { 1 } else { failures + 1 };
                if failures > MOST_FAILURES {
                    return Err(error.context("gossip ends again and again"));
                }
                warn!(error = %format_args!("{error:#}"), "gossip ended and starts anew");
                sleep(INTERVAL).await;
            }
        }
        shared.counters.count(Counter::GossipRestarts);
    }
}

enum Ended {
    Closing,
    StoodStill,
}

async fn one_generation(shared: &Arc<Shared>, generation: u64, view: &mut View) -> anyhow::Result<Ended> {
    let standstill = Arc::new(Standstill::new());
    let handle = start(shared, generation, standstill.clone()).await?;
    let started = clock::now();
    let learnt = Arc::new(Notify::new());
    let wake = learnt.clone();
    handle
        .with_chitchat(move |c| {
            let wake = wake.clone();
            c.subscribe_event("", move |_| wake.notify_one()).forever();
        })
        .await;
    let mut ended = Box::pin(handle.termination_watcher());
    let mut told_all = true;
    let mut tick = interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let outcome = loop {
        let publish = tokio::select! {
            () = shared.closing.cancelled() => break Ok(Ended::Closing),
            result = &mut ended => break match result {
                _ if standstill.noticed() => Ok(Ended::StoodStill),
                Ok(()) => Err(anyhow::anyhow!("chitchat ended")),
                Err(error) => Err(error.context("chitchat failed")),
            },
            _ = tick.tick() => false,
            () = learnt.notified() => false,
            () = sleep(ROOM_PAUSE), if !told_all => false,
            () = shared.gossip.wake.notified() => true,
        };
        if standstill.noticed() {
            break Ok(Ended::StoodStill);
        }
        if publish {
            set_own(shared, &handle).await;
            // What is published meanwhile goes out together, with the next round.
            sleep(ROUND_PAUSE).await;
        }
        let settled = clock::now().since(started) > STOOD_STILL;
        let (news, all) = handle.with_chitchat(|c| view.look(c, shared, settled)).await;
        told_all = view.tell(shared, news) && all;
    };
    handle.abort();
    outcome
}

async fn start(shared: &Arc<Shared>, generation: u64, standstill: Arc<Standstill>) -> anyhow::Result<ChitchatHandle> {
    let roster = shared.roster();
    let node = shared.identity.node;
    let own_address = roster.member(node).context("this node is not in the roster")?.address;
    let (sender, inbox) = mpsc::channel(INBOX);
    *shared.gossip.inbox.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    let config = ChitchatConfig {
        chitchat_id: ChitchatId::new(node.to_string(), generation, own_address),
        cluster_id: shared.identity.cluster.clone(),
        gossip_interval: INTERVAL,
        listen_addr: own_address,
        seed_nodes: roster.members.iter().filter(|m| m.id != node).map(|m| m.address.to_string()).collect(),
        failure_detector_config: FailureDetectorConfig::new(
            PHI,
            200,
            INTERVAL * 4,
            INTERVAL,
            Duration::from_secs(3600),
        ),
        marked_for_deletion_grace_period: Duration::from_secs(600),
        catchup_callback: None,
        extra_liveness_predicate: None,
    };
    let link = Link { shared: shared.clone(), inbox: Mutex::new(Some(inbox)), standstill };
    spawn_chitchat(config, shared.gossip.own().into_iter().collect(), &link).await
}

/// Brings chitchat's copy of this node's values up to date and gossips with connected peers.
async fn set_own(shared: &Shared, handle: &ChitchatHandle) {
    let own = shared.gossip.own();
    handle
        .with_chitchat(|c| {
            let state = c.self_node_state();
            let gone: Vec<String> =
                state.key_values().filter(|(key, _)| !own.contains_key(*key)).map(|(key, _)| key.to_owned()).collect();
            for key in gone {
                state.delete(&key);
            }
            for (key, value) in
                own.iter().filter(|(key, value)| state.get(key) != Some(value.as_str())).collect::<Vec<_>>()
            {
                state.set(key, value);
            }
        })
        .await;
    for address in told_at_once(shared) {
        // An error means that chitchat has ended, which its watcher tells.
        let _ = handle.gossip(address);
    }
}

fn told_at_once(shared: &Shared) -> Vec<SocketAddr> {
    let connected = shared.peers.iter().map(|peer| *peer.key()).collect();
    chosen(&shared.roster(), &connected, &mut rand::rng())
}

/// Voters, and others by chance, so that it is not always the same who wait.
fn chosen(roster: &Roster, connected: &BTreeSet<NodeId>, rng: &mut impl Rng) -> Vec<SocketAddr> {
    let mut members: Vec<_> = roster.members.iter().filter(|member| connected.contains(&member.id)).collect();
    members.shuffle(rng);
    members.sort_by_key(|member| !member.voter);
    members.into_iter().take(AT_ONCE).map(|member| member.address).collect()
}

/// What the engine was told, so that it is told of changes only.
#[derive(Default)]
struct View {
    heard: BTreeMap<NodeId, bool>,
    values: BTreeMap<NodeId, BTreeMap<String, String>>,
    /// Generation and version up to which `values` is complete.
    seen: BTreeMap<NodeId, (u64, u64)>,
    /// The roster whose members these are.
    epoch: u64,
}

/// The state of one node that has to be told.
struct News {
    node: NodeId,
    alive: bool,
    version: (u64, u64),
    /// `None` where nothing changed, or where this is looked at later.
    values: Option<BTreeMap<String, String>>,
}

impl View {
    /// Compares with what chitchat knows, and says whether that is all. Of several generations of a node the newest
    /// counts.
    fn look(&mut self, chitchat: &Chitchat, shared: &Shared, settled: bool) -> (Vec<News>, bool) {
        let roster = shared.roster();
        self.forget_removed(&roster);
        // Of several generations of a node the newest is the last.
        let mut live: Vec<&ChitchatId> = chitchat.live_nodes().collect();
        live.sort_unstable_by_key(|id| id.generation_id);
        let live: BTreeMap<&str, &ChitchatId> = live.into_iter().map(|id| (id.node_id.as_ref(), id)).collect();
        let (mut news, mut taken, mut all) = (Vec::new(), 0, true);
        for member in roster.members.iter().filter(|m| m.id != shared.identity.node) {
            let name = member.id.to_string();
            match live.get(name.as_str()).and_then(|id| Some((id, chitchat.node_state(id)?))) {
                Some((id, state)) => {
                    let version = (id.generation_id, state.max_version());
                    let changed = self.seen.get(&member.id) != Some(&version);
                    let values = (changed && taken < AT_A_LOOK).then(|| owned(state.key_values()));
                    taken += values.as_ref().map_or(0, BTreeMap::len);
                    all &= values.is_some() || !changed;
                    news.push(News { node: member.id, alive: true, version, values });
                }
                // Right after the start nobody was heard yet, which says nothing.
                None if settled => news.push(News { node: member.id, alive: false, version: (0, 0), values: None }),
                None => {}
            }
        }
        (news, all)
    }

    /// Hosts come and go: what those said that are no members any more is nobody's business.
    fn forget_removed(&mut self, roster: &Roster) {
        if std::mem::replace(&mut self.epoch, roster.epoch) == roster.epoch {
            return;
        }
        let members: BTreeSet<NodeId> = roster.members.iter().map(|member| member.id).collect();
        self.heard.retain(|node, _| members.contains(node));
        self.values.retain(|node, _| members.contains(node));
        self.seen.retain(|node, _| members.contains(node));
    }

    /// Tells the engine and the services. What finds no room is found again at the next look, which is wanted soon where
    /// it is the engine that has none, and this says `false`; services without room keep nothing from the engine.
    fn tell(&mut self, shared: &Shared, news: Vec<News>) -> bool {
        for News { node, alive, version, values } in news {
            if self.heard.get(&node).copied().unwrap_or(false) != alive {
                if !offer(shared, Input::Heard { node, alive }) {
                    return false;
                }
                self.heard.insert(node, alive);
            }
            let Some(values) = values else { continue };
            let told = self.values.entry(node).or_default();
            let mut complete = true;
            let gone: Vec<String> = told.keys().filter(|key| !values.contains_key(*key)).cloned().collect();
            for key in gone {
                match offer_value(shared, node, &key, None) {
                    Offered::Taken => drop(told.remove(&key)),
                    Offered::Later => complete = false,
                    Offered::Stop => return false,
                }
            }
            for (key, value) in values {
                if told.get(&key) != Some(&value) {
                    match offer_value(shared, node, &key, Some(&value)) {
                        Offered::Taken => drop(told.insert(key, value)),
                        Offered::Later => complete = false,
                        Offered::Stop => return false,
                    }
                }
            }
            if complete {
                self.seen.insert(node, version);
            }
        }
        true
    }
}

fn owned<'a>(values: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    values.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// What became of a value.
enum Offered {
    Taken,
    /// The services have no room.
    Later,
    /// The engine has none.
    Stop,
}

/// A value goes to whom it concerns: services have a machine of their own.
fn offer_value(shared: &Shared, node: NodeId, key: &str, value: Option<&String>) -> Offered {
    let (key, value) = (key.to_owned(), value.cloned());
    if ![SERVER_PREFIX, SERVICE_PREFIX].iter().any(|prefix| key.starts_with(prefix)) {
        return if offer(shared, Input::Gossip { node, key, value }) { Offered::Taken } else { Offered::Stop };
    }
    // Without services there is nobody to tell, and after their end neither.
    let Some(services) = &shared.services else { return Offered::Taken };
    match services.try_send(services::Input::Gossip { node, key, value }) {
        Err(TrySendError::Full(_)) => Offered::Later,
        Ok(()) | Err(TrySendError::Closed(_)) => Offered::Taken,
    }
}

fn offer(shared: &Shared, input: Input) -> bool {
    let queued = shared.inputs.max_capacity() - shared.inputs.capacity();
    queued < QUEUE_SHARE && shared.inputs.try_send(input).is_ok()
}

/// Notices that gossip stood still, with the process or alone: chitchat judges others by when it was told of them.
/// Whoever asks first notices, and it stays noticed.
struct Standstill {
    last: AtomicU64,
    stopped: AtomicBool,
}

impl Standstill {
    fn new() -> Standstill {
        Standstill { last: AtomicU64::new(clock::now().as_nanos()), stopped: AtomicBool::new(false) }
    }

    fn noticed(&self) -> bool {
        let now = clock::now();
        let last = Instant::from_nanos(self.last.swap(now.as_nanos(), Ordering::Relaxed));
        if now.since(last) > STOOD_STILL {
            self.stopped.store(true, Ordering::Relaxed);
        }
        self.stopped.load(Ordering::Relaxed)
    }
}

/// chitchat's transport: frames on the mesh connections. An address stands for a member.
struct Link {
    shared: Arc<Shared>,
    inbox: Mutex<Option<mpsc::Receiver<(SocketAddr, ChitchatMessage)>>>,
    standstill: Arc<Standstill>,
}

struct LinkSocket {
    shared: Arc<Shared>,
    inbox: mpsc::Receiver<(SocketAddr, ChitchatMessage)>,
    standstill: Arc<Standstill>,
}

#[async_trait]
impl Transport for Link {
    async fn open(&self, _listen: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take();
        let inbox = inbox.context("gossip is open already")?;
        Ok(Box::new(LinkSocket { shared: self.shared.clone(), inbox, standstill: self.standstill.clone() }))
    }
}

#[async_trait]
impl Socket for LinkSocket {
    async fn send(&mut self, to: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        if self.standstill.noticed() {
            return Ok(());
        }
        let roster = self.shared.roster();
        let member = roster.members.iter().find(|m| m.address == to);
        // Without a connection there is nobody to gossip with, which is not worth counting.
        let Some(member) = member.filter(|m| self.shared.peers.contains_key(&m.id)) else { return Ok(()) };
        let mut frame = vec![FRAME_GOSSIP];
        message.serialize(&mut frame);
        if frame.len() > MAX_FRAME {
            bail!("a gossip message of {} bytes", frame.len());
        }
        traffic::send(&self.shared, member.id, frame);
        Ok(())
    }

    async fn recv(&mut self) -> anyhow::Result<(SocketAddr, ChitchatMessage)> {
        let message = self.inbox.recv().await.context("the mesh is closed")?;
        if self.standstill.noticed() {
            bail!("the process had stood still");
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests;
