//! The mesh: one UDP port, QUIC with mutual TLS, and a connection to every other member.
//!
//! ```text
//!  engine's thread                       mesh (tasks on a thread of its own)
//!   send, publish ---> MeshHandle ---> traffic --> datagram or stream --> peer
//!   adopt ----------------+-----------> peer::manage: one task a member, dials and redials
//!   Input <--- mpsc <-- peer: PeerUp, Reconnected, PeerDown; traffic: Message; gossip: Gossip, Heard
//!   Input::ChangeRoster <---- seed, control: a change is wanted --- answered by roster_changed
//!   store ----------------------> storage: the roster file --- answered by Input::RosterStored
//!
//!  state_dir  keys, certificates, roster on disk      token     who may join
//!  identity   the CA, certificates, node ids          enrol     init, and the joiner's side
//!  tls        who is believed                         seed      the seed's side
//!  ca_key     from voter to voter                     limits    for one source address
//!  ask        what other nodes remember               requests  which of these two is asked for
//!  socket     the port, and what on it is not ours    endpoint  accepting
//!  release    the guard's: leases of a dead daemon are given back
//! ```
//!
//! One queue leads to the engine. Messages are put in without waiting and dropped (and counted)
//! when it is full; connections coming and going wait for room, they are never dropped; gossip
//! waits while more than a few inputs are queued, so that it cannot hold up a lease message.

mod ask;
mod ca_key;
mod counters;
mod endpoint;
mod enrol;
mod gossip;
mod identity;
mod limits;
mod peer;
mod release;
mod requests;
mod seed;
mod shared;
mod socket;
mod state_dir;
mod storage;
mod tls;
mod token;
mod traffic;
mod undated;

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::anyhow;
use dashmap::DashMap;
use mesh_core::Input;
use mesh_core::orders::{Answer, Refused, Wish};
use mesh_core::roster::{Change, ChangeRefusal, State};
use mesh_wire::mesh::lease::Message;
use mesh_wire::mesh::roster::Roster;
use mesh_wire::mesh::{NodeId, codec};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::shared::{CLOSE_GOODBYE, CLOSE_RESTART, FRAME_MESSAGE, MAX_FRAME, MOST_ENROLMENTS, MOST_STREAMS, Shared};

pub use self::enrol::{DEFAULT_PORT, enrol, init};
pub use self::identity::Identity;
pub use self::release::release;
pub(crate) use self::state_dir::StateDir;
pub use self::token::Token;

/// Closing takes no longer than this: half of it for what is still queued, half for the goodbye.
const CLOSE_TIME: Duration = Duration::from_millis(200);

/// The engine answers an order within this, if only to say that nobody answered it.
const ORDER_TIME: Duration = Duration::from_secs(20);

/// What a mesh is started with.
#[derive(Debug)]
pub struct MeshOptions {
    /// Who this node is.
    pub identity: Identity,
    /// The roster adopted last.
    pub roster: Roster,
    /// Where to listen (UDP). The port is the one in the roster's address for this node; the
    /// address may be unspecified.
    pub listen: SocketAddr,
    /// The engine's queue. Give it room for a few hundred inputs.
    pub inputs: mpsc::Sender<Input>,
    /// The queue of what is gossiped about services; none where nobody wants to know.
    pub services: Option<mpsc::Sender<mesh_core::services::Input>>,
}

/// The identity and the roster file in a state directory; `None` where there is no identity yet.
///
/// # Errors
/// Something is missing, damaged or cannot be read, or this node was removed from its mesh.
pub fn load(state_dir: &Path) -> anyhow::Result<Option<(Identity, State)>> {
    Identity::load(state_dir)
}

/// Whether a join would find an identity here.
///
/// # Errors
/// As [`load`], but for a certificate that is missing: a join that was broken off is gone on with.
pub fn is_member(state_dir: &Path) -> anyhow::Result<bool> {
    Ok(Identity::find(state_dir)?.is_some())
}

/// Binds the mesh port and starts connecting to the other members.
pub async fn start(options: MeshOptions) -> anyhow::Result<MeshHandle> {
    let MeshOptions { identity, roster, listen, inputs, services } = options;
    let counters = Arc::new(counters::Counters::default());
    let socket = socket::bind(listen)?;
    let endpoint = socket::endpoint(socket, tls::server(&identity)?, &identity.key, counters.clone())?;
    let shared = Arc::new(Shared {
        client: tls::member_client(&identity)?,
        roster: watch::Sender::new(Arc::new(roster)),
        endpoint,
        runtime: tokio::runtime::Handle::current(),
        inputs,
        services,
        peers: DashMap::new(),
        arrivals: DashMap::new(),
        gossip: gossip::Gossip::default(),
        tickets: shared::Tickets::default(),
        orders: shared::Tickets::default(),
        streams: Arc::new(Semaphore::new(MOST_STREAMS)),
        enrolments: Arc::new(Semaphore::new(MOST_ENROLMENTS)),
        archive: OnceLock::new(),
        questions: Semaphore::new(ask::MOST_QUESTIONS),
        enrolling: limits::PerSource::default(),
        store: watch::Sender::new(None),
        issued: token::Issued::default(),
        counters,
        log_gate: counters::LogGate::default(),
        closing: CancellationToken::new(),
        farewell: OnceLock::new(),
        failure: watch::Sender::new(None),
        identity,
    });
    supervise(&shared, "accepting connections", endpoint::accept(shared.clone()));
    supervise(&shared, "connecting to members", peer::manage(shared.clone()));
    supervise(&shared, "gossip", gossip::run(shared.clone()));
    supervise(&shared, "writing the roster", storage::run(shared.clone()));
    supervise(&shared, "getting the CA key", ca_key::fetch(shared.clone()));
    Ok(MeshHandle { shared })
}

/// Runs a task the mesh cannot do without, and notices when it ends, also by a panic.
fn supervise(
    shared: &Arc<Shared>,
    what: &'static str,
    task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) {
    let task = tokio::spawn(task);
    let shared = shared.clone();
    tokio::spawn(async move {
        let ended = match task.await {
            Ok(Ok(())) => "it ended".to_owned(),
            Ok(Err(error)) => format!("{error:#}"),
            Err(panic) => panic.to_string(),
        };
        if !shared.closing.is_cancelled() {
            shared.failure.send_replace(Some(format!("the mesh cannot go on ({what}): {ended}")));
        }
    });
}

/// The running mesh. Everything but `close` and `failed` may be called from any thread, with or
/// without a runtime, and does not wait.
#[derive(Clone)]
pub struct MeshHandle {
    shared: Arc<Shared>,
}

impl MeshHandle {
    /// Sends a message, or drops it where there is no connection.
    pub fn send(&self, to: NodeId, message: &Message) {
        let mut frame = vec![FRAME_MESSAGE];
        frame.extend(codec::encode(message));
        if frame.len() > MAX_FRAME {
            tracing::warn!(%to, bytes = frame.len(), "a message is too long and is not sent");
            return;
        }
        if matches!(message, Message::Roster(_) | Message::Move(_)) {
            // Said once: nobody asks for it again.
            return traffic::send_reliably(&self.shared, to, frame);
        }
        if matches!(message, Message::Release(_)) {
            // A lost request is repeated by whoever asks; a lost release would cost a whole lease.
            // The second one to arrive changes nothing. Streams are few: what is only told of it takes none.
            traffic::send_reliably(&self.shared, to, frame.clone());
        }
        traffic::send(&self.shared, to, frame);
    }

    /// Gossips a value of this node, `None` deletes it. Key and value may have 16 KiB together.
    pub fn publish(&self, key: String, value: Option<String>) {
        self.shared.gossip.publish(key, value);
    }

    /// Connects to new members and drops the connections of removed ones.
    pub fn adopt(&self, roster: &Roster) {
        self.shared.roster.send_replace(Arc::new(roster.clone()));
    }

    /// Brings this to the roster file; answered by [`Input::RosterStored`].
    pub fn store(&self, ticket: u64, state: State) {
        self.shared.store.send_replace(Some((ticket, state)));
    }

    /// The engine's answer to an [`Input::ChangeRoster`] with this ticket.
    pub fn roster_changed(&self, ticket: u64, result: Result<Roster, ChangeRefusal>) {
        self.shared.tickets.answer(ticket, result);
    }

    /// The roster adopted last.
    pub fn roster(&self) -> Arc<Roster> {
        self.shared.roster()
    }

    /// Has the voters change the roster; the roster the change is in.
    ///
    /// # Errors
    /// It cannot be, or no majority agreed within some seconds.
    pub async fn change_roster(&self, change: Change) -> Result<Roster, ChangeRefusal> {
        seed::change_roster(&self.shared, change).await
    }

    /// The engine's answer to an [`Input::Order`] with this ticket.
    pub fn ordered(&self, ticket: u64, result: Result<Answer, Refused>) {
        self.shared.orders.answer(ticket, result);
    }

    /// Has the mesh move something, or say what would move.
    ///
    /// # Errors
    /// Somebody refused, or nobody answered in time.
    pub async fn order(&self, wish: Wish) -> Result<Answer, Refused> {
        let (ticket, answer) = self.shared.orders.open();
        let ask = async {
            self.shared.inputs.send(Input::Order { ticket, wish }).await.ok()?;
            answer.await.ok()
        };
        let answer = timeout(ORDER_TIME, ask).await;
        self.shared.orders.forget(ticket);
        let late = || Refused { text: "this node's engine did not answer in time".to_owned(), unknown: false };
        answer.ok().flatten().unwrap_or_else(|| Err(late()))
    }

    /// What is known about tokens.
    pub fn tokens(&self) -> Vec<mesh_control::TokenInfo> {
        self.shared.issued.list(&self.shared.roster(), crate::clock::unix_time())
    }

    /// What makes a token useless: by the token itself, or by its id.
    ///
    /// # Errors
    /// It is neither, or a token of another cluster.
    pub fn revocation(&self, token: &str) -> anyhow::Result<Change> {
        let fingerprint = token::fingerprint(&self.shared.identity.ca_certificate);
        self.shared.issued.revocation(token, fingerprint, crate::clock::unix_time())
    }

    /// A token that lets one machine join within `ttl`. Only holders of the CA key can make it.
    pub fn create_token(&self, ttl: Duration) -> anyhow::Result<Token> {
        if !self.shared.identity.signs() {
            let others = seed::signers(&self.shared.roster()).join(", ");
            return Err(anyhow!("this node does not hold the CA key: create the token on one of {others}"));
        }
        let token = self.shared.identity.create_token(ttl)?;
        self.shared.issued.note(&token, crate::clock::unix_time());
        Ok(token)
    }

    /// What was dropped, refused or malformed so far, by name.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.shared.counters.all()
    }

    /// Ends all connections, within 200 ms. What was sent before leaves first. With `goodbye` the
    /// peers know at once that this node left on purpose.
    pub async fn close(&self, goodbye: bool) {
        let _ = timeout(CLOSE_TIME / 2, self.drained()).await;
        let code = *self.shared.farewell.get_or_init(|| if goodbye { CLOSE_GOODBYE } else { CLOSE_RESTART });
        self.shared.closing.cancel();
        self.shared.endpoint.close(code, b"");
        let _ = timeout(CLOSE_TIME / 2, self.shared.endpoint.wait_idle()).await;
    }

    /// Resolves when a task died that the mesh cannot do without: the daemon should end then.
    pub async fn failed(&self) -> anyhow::Error {
        let mut failure = self.shared.failure.subscribe();
        match failure.wait_for(Option::is_some).await {
            Ok(text) => anyhow!(text.clone().unwrap_or_default()),
            Err(_) => anyhow!("the mesh is gone"),
        }
    }

    /// Waits until all datagrams left and all streams were acknowledged.
    async fn drained(&self) {
        let waiting = |peer: &quinn::Connection| peer.datagram_send_buffer_space() < tls::DATAGRAM_BUFFER_EMPTY;
        while self.shared.streams.available_permits() < MOST_STREAMS
            || self.shared.peers.iter().any(|peer| waiting(peer.value()))
        {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

#[cfg(test)]
mod tests;
