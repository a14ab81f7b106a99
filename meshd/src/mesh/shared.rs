//! What the tasks of one mesh share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use dashmap::DashMap;
use mesh_core::Input;
use mesh_core::orders::{Answer, Refused};
use mesh_core::roster::{ChangeRefusal, State};
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::roster::Roster;
use quinn::{Connection, VarInt};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::counters::{Counters, LogGate};
use super::gossip::Gossip;
use super::identity::Identity;
use super::limits::PerSource;
use super::token::Issued;
use crate::telemetry::Archive;

/// What the first byte of a frame says: a lease message, gossip, "you are accepted", or "you were
/// removed" and the roster that says so.
pub(super) const FRAME_MESSAGE: u8 = 0;
pub(super) const FRAME_GOSSIP: u8 = 1;
pub(super) const FRAME_HELLO: u8 = 2;
pub(super) const FRAME_REMOVED: u8 = 3;
/// The longest frame: gossip makes up to 64 KiB, a full roster a tenth of it.
pub(super) const MAX_FRAME: usize = 128 * 1024;

/// Why a connection is closed, as QUIC application error codes.
pub(super) const CLOSE_GOODBYE: VarInt = VarInt::from_u32(1);
pub(super) const CLOSE_RESTART: VarInt = VarInt::from_u32(2);
pub(super) const CLOSE_DUPLICATE: VarInt = VarInt::from_u32(3);
pub(super) const CLOSE_NOT_A_MEMBER: VarInt = VarInt::from_u32(4);
pub(super) const CLOSE_BUSY: VarInt = VarInt::from_u32(5);
pub(super) const CLOSE_DONE: VarInt = VarInt::from_u32(6);
pub(super) const CLOSE_REMOVED: VarInt = VarInt::from_u32(7);

/// Messages too long for a datagram on their way at a time; more are dropped.
pub(super) const MOST_STREAMS: usize = 64;
/// Enrolments served at a time, and for one source address.
pub(super) const MOST_ENROLMENTS: usize = 8;
pub(super) const ENROLMENTS_PER_SOURCE: usize = 2;

pub(super) struct Shared {
    pub(super) identity: Identity,
    pub(super) roster: watch::Sender<Arc<Roster>>,
    pub(super) endpoint: quinn::Endpoint,
    pub(super) client: quinn::ClientConfig,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) services: Option<mpsc::Sender<mesh_core::services::Input>>,
    /// The connection to use for each peer that has one.
    pub(super) peers: DashMap<NodeId, Connection>,
    /// Where accepted connections of a member go.
    pub(super) arrivals: DashMap<NodeId, mpsc::Sender<Connection>>,
    pub(super) gossip: Gossip,
    pub(super) tickets: Tickets<Result<Roster, ChangeRefusal>>,
    pub(super) orders: Tickets<Result<Answer, Refused>>,
    pub(super) streams: Arc<Semaphore>,
    pub(super) enrolments: Arc<Semaphore>,
    pub(super) enrolling: PerSource,
    /// What questions of other nodes are answered from; set once.
    pub(super) archive: OnceLock<Archive>,
    /// Questions answered at a time.
    pub(super) questions: Semaphore,
    /// What the roster file is to hold, and the ticket of it.
    pub(super) store: watch::Sender<Option<(u64, State)>>,
    /// Tokens made here, for `meshctl token list`.
    pub(super) issued: Issued,
    pub(super) counters: Arc<Counters>,
    pub(super) log_gate: LogGate,
    pub(super) closing: CancellationToken,
    /// With which code connections are closed then; set before `closing`.
    pub(super) farewell: OnceLock<VarInt>,
    /// Set once a task died that the mesh cannot do without.
    pub(super) failure: watch::Sender<Option<String>>,
}

impl Shared {
    /// The roster adopted last.
    pub(super) fn roster(&self) -> Arc<Roster> {
        self.roster.borrow().clone()
    }
}

/// Questions to the engine that wait for its answer.
pub(super) struct Tickets<T> {
    next: AtomicU64,
    open: DashMap<u64, oneshot::Sender<T>>,
}

impl<T> Default for Tickets<T> {
    fn default() -> Self {
        Tickets { next: AtomicU64::default(), open: DashMap::default() }
    }
}

impl<T> Tickets<T> {
    pub(super) fn open(&self) -> (u64, oneshot::Receiver<T>) {
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.open.insert(ticket, sender);
        (ticket, receiver)
    }

    /// The engine's answer; one that comes too late is of no use to anybody.
    pub(super) fn answer(&self, ticket: u64, result: T) {
        if let Some((_, sender)) = self.open.remove(&ticket) {
            let _ = sender.send(result);
        }
    }

    pub(super) fn forget(&self, ticket: u64) {
        self.open.remove(&ticket);
    }
}
