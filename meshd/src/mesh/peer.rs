//! One member as seen from here: the connections to it, and what comes in over them.
//!
//! Each member has one task that owns its connections, so that what the engine hears of it is in
//! order. Both sides dial whom they miss. When both succeed at once there are two connections: the
//! one dialled by the lower id is used by both, and only the lower id closes the other, after a
//! second; until then both sides read both, so that nothing is lost and nothing flaps. Otherwise
//! the newest connection is used: a peer that dials has lost the older one.

use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use mesh_core::{Input, Instant};
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::codec;
use mesh_wire::mesh::roster::{Member, Role};
use quinn::{Connection, ConnectionError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::identity::{SERVER_NAME, node_of};
use super::shared::{
    CLOSE_DUPLICATE, CLOSE_GOODBYE, CLOSE_NOT_A_MEMBER, CLOSE_REMOVED, CLOSE_RESTART, FRAME_HELLO, FRAME_REMOVED,
    MAX_FRAME, Shared,
};
use super::traffic;
use crate::clock;

/// First and longest pause between two attempts to dial. An attempt on a dead member ends by
/// itself after the idle timeout, so a healed partition is noticed within a second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));
/// Connections that began within this time of each other were dialled by both sides at once.
const TOGETHER: Duration = Duration::from_secs(1);
/// More than two connections to one peer make no sense, more than this are not kept.
const MOST_CONNECTIONS: usize = 4;

/// Keeps one task for every other member of the roster, as it changes.
pub(super) async fn manage(shared: Arc<Shared>) -> anyhow::Result<()> {
    let mut rosters = shared.roster.subscribe();
    let mut peers: BTreeMap<NodeId, (Member, CancellationToken)> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let roster = rosters.borrow_and_update().clone();
        // Whoever was removed has nobody to talk to.
        let removed = roster.member(shared.identity.node).is_none();
        peers.retain(|id, (member, stop)| {
            // Another address needs another task; role and vote do not matter here.
            let stays = !removed && roster.member(*id).is_some_and(|m| m.address == member.address);
            if !stays {
                stop.cancel();
            }
            stays
        });
        for member in roster.members.iter().filter(|m| m.id != shared.identity.node && !removed) {
            peers.entry(member.id).or_insert_with(|| {
                let stop = shared.closing.child_token();
                let (sender, arrivals) = mpsc::channel(MOST_CONNECTIONS);
                shared.arrivals.insert(member.id, sender);
                let peer = Peer::new(shared.clone(), member.clone());
                tasks.spawn(peer.run(arrivals, stop.clone()));
                (member.clone(), stop)
            });
        }
        tokio::select! {
            changed = rosters.changed() => changed?,
            Some(ended) = tasks.join_next() => ended.context("the task of a peer died")?,
            () = shared.closing.cancelled() => return Ok(()),
        }
    }
}

struct Live {
    connection: Connection,
    dialled_by_lower: bool,
    since: Instant,
}

type Dial = Pin<Box<dyn Future<Output = anyhow::Result<Connection>> + Send>>;

struct Peer {
    shared: Arc<Shared>,
    member: Member,
    live: Vec<Live>,
    /// It said goodbye over one of the connections it had since it was last down. Others that were
    /// only just being made end without a word, and may be the last to go.
    said_goodbye: bool,
    readers: JoinSet<(usize, ConnectionError)>,
    backoff: Duration,
}

impl Peer {
    fn new(shared: Arc<Shared>, member: Member) -> Peer {
        Peer { shared, member, live: Vec::new(), said_goodbye: false, readers: JoinSet::new(), backoff: BACKOFF.0 }
    }

    async fn run(mut self, mut arrivals: mpsc::Receiver<Connection>, stop: CancellationToken) {
        let mut dialling: Option<Dial> = None;
        let mut pause = Box::pin(sleep(Duration::ZERO));
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(connection) = arrivals.recv() => self.add(connection, false).await,
                dialled = async { match dialling.as_mut() { Some(dial) => dial.await, None => pending().await } } => {
                    dialling = None;
                    match dialled {
                        Ok(connection) => self.add(connection, true).await,
                        Err(error) => {
                            debug!(peer = %self.member.name, error = %format_args!("{error:#}"), "not connected");
                            pause = Box::pin(sleep(self.next_pause()));
                        }
                    }
                }
                () = pause.as_mut(), if dialling.is_none() && self.live.is_empty() => {
                    dialling = Some(Box::pin(dial(self.shared.clone(), self.member.clone())));
                }
                Some(ended) = self.readers.join_next() => {
                    // A reader that panicked is a bug of ours; its connection is as good as lost.
                    let (which, reason) = ended.unwrap_or((usize::MAX, ConnectionError::LocallyClosed));
                    if let Some(wait) = self.lost(which, reason).await {
                        pause = Box::pin(sleep(wait));
                    }
                }
                _ = second.tick() => self.every_second().await,
            }
        }
        self.leave().await;
    }

    /// A connection stands.
    async fn add(&mut self, connection: Connection, dialled: bool) {
        let dialled_by_lower = dialled == (self.shared.identity.node < self.member.id);
        let first = self.live.is_empty();
        self.live.push(Live { connection: connection.clone(), dialled_by_lower, since: clock::now() });
        if self.live.len() > MOST_CONNECTIONS {
            self.live.remove(0).connection.close(CLOSE_DUPLICATE, b"too many connections");
        }
        self.choose();
        if first {
            info!(peer = %self.member.name, address = %self.member.address, "connected");
            self.tell_up().await;
        } else {
            self.tell(Input::Reconnected { node: self.member.id }).await;
        }
        self.shared.gossip.wake();
        let (shared, from) = (self.shared.clone(), self.member.id);
        self.readers.spawn(async move {
            let which = connection.stable_id();
            (which, traffic::read(shared, from, connection).await)
        });
    }

    /// A connection is gone: how long to wait before dialling, where it was the last one.
    async fn lost(&mut self, which: usize, reason: ConnectionError) -> Option<Duration> {
        let position = match self.live.iter().position(|live| live.connection.stable_id() == which) {
            Some(position) => position,
            None => self.live.iter().position(|live| live.connection.close_reason().is_some())?,
        };
        let lost = self.live.remove(position);
        self.choose();
        self.said_goodbye |=
            matches!(&reason, ConnectionError::ApplicationClosed(close) if close.error_code == CLOSE_GOODBYE);
        if !self.live.is_empty() {
            return None;
        }
        let left = std::mem::take(&mut self.said_goodbye);
        info!(peer = %self.member.name, reason = %reason, "connection lost");
        self.tell(Input::PeerDown { node: self.member.id, left }).await;
        // A connection that had lasted is missed at once; one that fails again and again is not.
        if clock::now().since(lost.since) >= TOGETHER {
            self.backoff = BACKOFF.0;
            return Some(Duration::ZERO);
        }
        Some(self.next_pause())
    }

    async fn every_second(&mut self) {
        if self.live.is_empty() {
            return;
        }
        self.tell_up().await;
        let now = clock::now();
        let settled = self.live.iter().all(|live| now.since(live.since) >= TOGETHER);
        if self.shared.identity.node < self.member.id && self.live.len() > 1 && settled {
            let used = self.preferred();
            for (i, live) in self.live.iter().enumerate().filter(|(i, _)| Some(*i) != used) {
                debug!(peer = %self.member.name, i, "second connection closed");
                live.connection.close(CLOSE_DUPLICATE, b"there is another connection");
            }
        }
    }

    /// The member was removed, or moved to another address, or the daemon ends.
    async fn leave(mut self) {
        if self.shared.closing.is_cancelled() {
            // All of them with the same word.
            let code = self.shared.farewell.get().copied().unwrap_or(CLOSE_RESTART);
            self.live.iter().for_each(|live| live.connection.close(code, b""));
            return;
        }
        // Where the address changed, another task may have put its connection there already.
        let ours = |other: &Connection| self.live.iter().any(|l| l.connection.stable_id() == other.stable_id());
        self.shared.peers.remove_if(&self.member.id, |_, connection| ours(connection));
        let roster = self.shared.roster();
        if roster.member(self.member.id).is_none() {
            self.shared.arrivals.remove(&self.member.id);
        }
        for live in self.live.drain(..) {
            match roster.removed_at(self.member.id) {
                Some(_) => live.connection.close(CLOSE_REMOVED, b"removed from the mesh"),
                None => live.connection.close(CLOSE_NOT_A_MEMBER, b"not in the roster any more"),
            }
        }
        self.tell(Input::PeerDown { node: self.member.id, left: true }).await;
    }

    /// Which connection to use.
    fn preferred(&self) -> Option<usize> {
        let mut best: Option<usize> = None;
        for (i, live) in self.live.iter().enumerate() {
            let stays = best.map(|b| &self.live[b]).is_some_and(|best| {
                live.since.since(best.since) < TOGETHER && best.dialled_by_lower && !live.dialled_by_lower
            });
            if !stays {
                best = Some(i);
            }
        }
        best
    }

    fn choose(&self) {
        match self.preferred() {
            Some(i) => drop(self.shared.peers.insert(self.member.id, self.live[i].connection.clone())),
            None => drop(self.shared.peers.remove(&self.member.id)),
        }
    }

    async fn tell_up(&self) {
        if let Some(i) = self.preferred() {
            self.tell(Input::PeerUp { node: self.member.id, rtt: self.live[i].connection.rtt() }).await;
        }
    }

    /// Unlike messages these are not dropped when the engine is slow: nobody repeats them.
    async fn tell(&self, input: Input) {
        // The engine is gone only when the daemon ends.
        let _ = self.shared.inputs.send(input).await;
    }

    /// The pause before the next attempt: doubles, and is shortened by up to a half by chance so
    /// that two nodes do not go on meeting.
    fn next_pause(&mut self) -> Duration {
        let pause = self.backoff;
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
        let chance = clock::now().as_nanos() / 1000 % 512;
        pause / 2 + pause * chance as u32 / 1024
    }
}

/// Connects to a member, and waits until it has said that it accepts us: TLS alone lets the
/// dialling side believe so before its certificate was looked at.
async fn dial(shared: Arc<Shared>, member: Member) -> anyhow::Result<Connection> {
    let attempt = async {
        let connection = shared.endpoint.connect_with(shared.client.clone(), member.address, SERVER_NAME)?.await?;
        ensure!(
            peer_node(&connection)? == member.id,
            "another node answers at {}: two hosts with one address?",
            member.address
        );
        let mut hello = connection.accept_uni().await?;
        match hello.read_to_end(MAX_FRAME).await?.split_first() {
            Some((&FRAME_HELLO, [])) => Ok(connection),
            Some((&FRAME_REMOVED, roster)) => {
                // As in the engine, no web host without a vote has a word on rosters.
                ensure!(member.voter || member.role != Role::Server, "a server says that this node was removed");
                // The engine looks at epoch and cluster.
                let _ = shared.inputs.send(Input::Roster(codec::decode_value(roster)?)).await;
                bail!("this node was removed from the mesh")
            }
            _ => bail!("unexpected greeting"),
        }
    };
    timeout(Duration::from_secs(2), attempt).await.context("no answer")?
}

/// The node at the other end of a connection, by its certificate.
pub(super) fn peer_node(connection: &Connection) -> anyhow::Result<NodeId> {
    let identity = connection.peer_identity().context("no certificate")?;
    let chain = identity
        .downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>()
        .map_err(|_| anyhow::anyhow!("not a certificate chain"))?;
    node_of(chain.first().context("no certificate")?)
}
