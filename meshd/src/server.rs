//! A real server's thread: looks at this host again and again, and does what [`Server`] decides.
//!
//! It is apart from the engine's thread, which votes: nothing here can delay a lease. There is no
//! fence, no VRRP, and nothing for the guard to do: when the daemon dies the host goes on serving, and
//! the next run goes on from what the kernel holds and what [`Legacy`] kept.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mesh_core::server::{Action, Change, Host, Memory, Server, Try};
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::roster::Role;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::kernel::netlink::loopback::Loopback;
use crate::kernel::sysctl;
use crate::legacy::Legacy;
use crate::mesh::MeshHandle;

/// What directors gossip for servers: by node and key.
pub type Told = BTreeMap<(NodeId, String), String>;

/// Between two looks at the host, and two tries of each port.
const PERIOD: Duration = Duration::from_secs(1);

/// A port of this host that has not answered by then has a full backlog.
const TRY_TIME: Duration = Duration::from_millis(500);

/// Ports tried at a time.
const TRIES: usize = 64;

/// Looks in a row: a change needs one for itself and one that finds it done, and there are three kinds
/// that wait for each other.
const LOOKS: usize = 8;

/// Between telling directors and taking the addresses away: gossip takes a tenth of it, and what was
/// on its way is still answered.
const GOODBYE: Duration = Duration::from_millis(500);

/// The thread's state.
pub struct RealServer {
    server: Server,
    loopback: Loopback,
    legacy: Legacy,
    mesh: MeshHandle,
    told: watch::Receiver<Told>,
    /// What the server was told already.
    passed: Told,
    /// Asks for an orderly end.
    leave: oneshot::Receiver<()>,
    tries: JoinSet<(SocketAddr, Try)>,
    /// Ports being tried.
    trying: BTreeSet<SocketAddr>,
    room: Arc<Semaphore>,
    /// Why the last look failed, so that it is told once.
    blind: Option<String>,
}

impl RealServer {
    /// Opens a socket to the kernel. To be called within the thread's runtime.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn new(
        legacy: Legacy,
        mesh: MeshHandle,
        told: watch::Receiver<Told>,
        leave: oneshot::Receiver<()>,
    ) -> anyhow::Result<RealServer> {
        let loopback = Loopback::open().context("cannot talk to the kernel's rtnetlink")?;
        let memory = legacy.server().unwrap_or_else(|error| {
            tracing::warn!("what an earlier run changed on this host will not be put back: {error}");
            Memory::default()
        });
        Ok(RealServer {
            server: Server::new(memory),
            loopback,
            legacy,
            mesh,
            told,
            passed: Told::new(),
            leave,
            tries: JoinSet::new(),
            trying: BTreeSet::new(),
            room: Arc::new(Semaphore::new(TRIES)),
            blind: None,
        })
    }

    /// Runs until it is asked to leave and has done so, or whoever could ask is gone, or the kernel can be asked no
    /// more: then everything stays as it is.
    pub async fn run(mut self) {
        let mut tick = interval(PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                asked = &mut self.leave => {
                    if asked.is_ok() {
                        self.leave().await;
                    }
                    return;
                }
                _ = tick.tick() => {
                    self.look().await;
                    self.try_ports();
                }
                () = self.loopback.ended() => return,
                Ok(()) = self.told.changed() => self.look().await,
                Some(tried) = self.tries.join_next() => self.tried(tried).await,
            }
        }
    }

    /// Looks and acts until nothing more is to be done, or what is to be done fails.
    async fn look(&mut self) {
        self.hear();
        for _ in 0..LOOKS {
            let host = match self.host().await {
                Ok(host) => host,
                Err(error) => {
                    let error = format!("{error:#}");
                    if self.blind.as_ref() != Some(&error) {
                        tracing::warn!("this host cannot be looked at: {error}");
                    }
                    self.blind = Some(error);
                    return;
                }
            };
            self.blind = None;
            let actions = self.server.look(&host);
            let done = self.act(actions).await;
            if self.server.is_settled() || !done {
                return;
            }
        }
    }

    /// Passes on what directors told since.
    fn hear(&mut self) {
        let now = self.told.borrow_and_update().clone();
        let gone: Vec<_> = self.passed.keys().filter(|entry| !now.contains_key(*entry)).cloned().collect();
        for (node, key) in gone {
            self.server.gossip(node, &key, None);
        }
        for ((node, key), value) in &now {
            if self.passed.get(&(*node, key.clone())) != Some(value) {
                self.server.gossip(*node, key, Some(value));
            }
        }
        self.passed = now;
        let roster = self.mesh.roster();
        let directors = roster.members.iter().filter(|m| m.role == Role::Director).map(|m| m.id);
        self.server.directors(&directors.collect());
    }

    async fn host(&self) -> anyhow::Result<Host> {
        let (addresses, devices) = self.loopback.look().await?;
        let mut settings = BTreeMap::new();
        for setting in Server::settings() {
            if let Some(value) = sysctl::read(&setting)? {
                settings.insert(setting, value);
            }
        }
        Ok(Host { addresses, settings, devices })
    }

    /// Whether everything was done.
    async fn act(&mut self, actions: Vec<Action>) -> bool {
        let mut all = true;
        let mut kept = true;
        for action in actions {
            match action {
                Action::Remember(memory) => {
                    if let Err(error) = self.legacy.keep_server(&memory) {
                        (all, kept) = (false, false);
                        self.server.forgot(error.to_string()).into_iter().for_each(tell);
                    }
                }
                // It could not be put back.
                Action::Change(_) if !kept => {}
                Action::Change(change) => match self.change(&change).await {
                    Ok(()) => tracing::info!("{change}"),
                    Err(error) => {
                        all = false;
                        self.server.failed(&change, format!("{error:#}")).into_iter().for_each(tell);
                    }
                },
                Action::Publish { key, value } => self.mesh.publish(key, value),
                told @ (Action::Tell(_) | Action::Warn(_)) => tell(told),
            }
        }
        all
    }

    async fn change(&self, change: &Change) -> anyhow::Result<()> {
        match change {
            Change::Set { setting, value } => sysctl::write(setting, *value),
            Change::Up(device) => self.loopback.up(*device).await,
            Change::Down(device) => self.loopback.down(*device).await,
            Change::Add(address) => self.loopback.add(*address).await,
            Change::Remove(address) => self.loopback.remove(*address).await,
        }
    }

    /// Starts a try of every port that none is under way of.
    fn try_ports(&mut self) {
        for port in self.server.ports() {
            if self.trying.insert(port) {
                let room = self.room.clone();
                self.tries.spawn(async move {
                    let _place = room.acquire().await;
                    (port, try_port(port).await)
                });
            }
        }
    }

    async fn tried(&mut self, tried: Result<(SocketAddr, Try), tokio::task::JoinError>) {
        match tried {
            Ok((port, how)) => {
                self.trying.remove(&port);
                let actions = self.server.tried(port, how);
                self.act(actions).await;
            }
            // It panicked: all ports are tried anew.
            Err(error) => {
                tracing::error!(%error, "a try of a port died");
                self.tries = JoinSet::new();
                self.trying.clear();
            }
        }
    }

    /// Directors first, then the host.
    async fn leave(&mut self) {
        let actions = self.server.leave();
        self.act(actions).await;
        sleep(GOODBYE).await;
        self.look().await;
        if self.server.has_left() {
            tracing::info!("everything on this host is as it was");
        } else {
            tracing::error!("not everything on this host could be put back; the next run tries again");
        }
    }
}

/// A connection to itself is what a director would try, without the way in between.
async fn try_port(port: SocketAddr) -> Try {
    match timeout(TRY_TIME, TcpStream::connect(port)).await {
        Ok(Ok(_)) => Try::Accepted,
        Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => Try::Silent,
        Ok(Err(_)) => Try::Refused,
        Err(_) => Try::Silent,
    }
}

fn tell(action: Action) {
    match action {
        Action::Warn(text) => tracing::warn!("{text}"),
        Action::Tell(text) => tracing::info!("{text}"),
        other => unreachable!("{other:?} is no line for the log"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_port_is_tried_by_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap();
        assert_eq!(try_port(port).await, Try::Accepted);
        drop(listener);
        assert_eq!(try_port(port).await, Try::Refused);
    }

    /// Nobody accepts, and no more fit.
    #[tokio::test]
    async fn a_full_backlog_is_silence() {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap();
        let _first = TcpStream::connect(port).await.unwrap();
        let mut held = Vec::new();
        for _ in 0..8 {
            if let Ok(Ok(more)) = timeout(Duration::from_millis(100), TcpStream::connect(port)).await {
                held.push(more);
            }
        }
        assert_eq!(try_port(port).await, Try::Silent);
    }
}
