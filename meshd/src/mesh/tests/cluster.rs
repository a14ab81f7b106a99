//! Nodes for tests: a mesh each, and an engine that serves nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_config::model::Config;
use mesh_core::roster::State;
use mesh_core::{Action, Engine, Input, Instant, Setup};
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::roster::{Member, Role, Roster, VotePolicy};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::clock;
use crate::mesh::{Identity, MeshHandle, MeshOptions, enrol, init, load, start};

/// How long tests wait for what should take far less: the machine may be busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// An address nobody else uses: tests run side by side, in several processes.
pub(super) fn fresh_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(n < 255, "more addresses than one byte holds");
    // 127.0.0.0/9 stays free for others.
    SocketAddr::from((Ipv4Addr::new(127, 128 | (high & 0x7f), low, n as u8), 7946))
}

/// A running node.
pub(super) struct Node {
    pub(super) mesh: MeshHandle,
    pub(super) id: NodeId,
    pub(super) address: SocketAddr,
    pub(super) dir: Option<TempDir>,
    pub(super) seen: Arc<Mutex<Vec<(Instant, Input)>>>,
    roster: Arc<Mutex<Roster>>,
    /// Its own, so that it can be stopped dead.
    runtime: Option<Runtime>,
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Node {
    /// Founds a mesh and runs its first node.
    pub(super) async fn found(name: &str) -> Node {
        Node::found_among(name, 1).await
    }

    /// The same in a mesh of so many members, of which the others do not vote and are not there.
    pub(super) async fn found_among(name: &str, members: usize) -> Node {
        let (dir, address) = (tempfile::tempdir().unwrap(), fresh_address());
        let (identity, mut loaded) = init(name, Some(address), &state(&dir)).unwrap();
        for n in 1..members as u64 {
            let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 1), 10_000 + n as u16));
            let (id, name, vote) = (NodeId(n), format!("gone{n}"), VotePolicy::Never);
            loaded.roster.members.push(Member { id, name, address, role: Role::Director, voter: false, vote });
        }
        Node::run(dir, address, identity, loaded).await
    }

    /// Joins with a new token of the seed's and runs.
    pub(super) async fn join(name: &str, seed: &Node) -> Node {
        let token = seed.mesh.create_token(Duration::from_secs(600)).unwrap().text;
        let (dir, address) = (tempfile::tempdir().unwrap(), fresh_address());
        let seed = seed.address.to_string();
        let (identity, loaded) = enrol(&seed, &token, name, Role::Director, Some(address), &state(&dir)).await.unwrap();
        Node::run(dir, address, identity, loaded).await
    }

    pub(super) async fn run(dir: TempDir, address: SocketAddr, identity: Identity, loaded: State) -> Node {
        Node::run_with(dir, address, (identity, loaded), None).await
    }

    /// With services that take what they have room for.
    pub(super) async fn run_with(
        dir: TempDir,
        address: SocketAddr,
        (identity, loaded): (Identity, State),
        services: Option<mpsc::Sender<mesh_core::services::Input>>,
    ) -> Node {
        let id = identity.node;
        let (inputs, queue) = mpsc::channel(1024);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let core = new_engine(id, &loaded);
        let roster = loaded.roster;
        let options = MeshOptions { identity, roster: roster.clone(), listen: address, inputs, services };
        let mesh = runtime.spawn(start(options)).await.unwrap().unwrap();
        let (seen, roster) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(roster)));
        runtime.spawn(engine(mesh.clone(), core, queue, seen.clone(), roster.clone()));
        Node { mesh, id, address, dir: Some(dir), seen, roster, runtime: Some(runtime) }
    }

    /// Where its state is.
    pub(super) fn state(&self) -> PathBuf {
        state(self.dir.as_ref().expect("only a node that vanished has none"))
    }

    /// Ends it as `kill -9` would: without a word. Gives what a restart needs, once the port is free.
    pub(super) async fn vanish(mut self) -> (TempDir, SocketAddr) {
        let (dir, address) = (self.dir.take().unwrap(), self.address);
        drop(self);
        until("the port is free", || std::net::UdpSocket::bind(address).is_ok()).await;
        (dir, address)
    }

    pub(super) fn roster(&self) -> Roster {
        self.roster.lock().unwrap().clone()
    }

    pub(super) fn connected_to(&self, peer: NodeId) -> bool {
        self.mesh.shared.peers.contains_key(&peer)
    }

    /// When the first input that fits came, among those after `from`.
    pub(super) fn find(&self, from: usize, fits: impl Fn(&Input) -> bool) -> Option<Instant> {
        self.seen.lock().unwrap().iter().skip(from).find(|(_, input)| fits(input)).map(|(at, _)| *at)
    }

    /// How many inputs came so far.
    pub(super) fn mark(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Waits for an input after `from`.
    pub(super) async fn wait(&self, from: usize, what: &str, fits: impl Fn(&Input) -> bool) -> Instant {
        until(what, || self.find(from, &fits).is_some()).await;
        self.find(from, &fits).unwrap()
    }

    pub(super) fn counter(&self, name: &str) -> u64 {
        self.mesh.counters().into_iter().find(|(n, _)| *n == name).unwrap().1
    }
}

/// Three nodes, all connected.
pub(super) async fn three() -> [Node; 3] {
    let a = Node::found("lb1").await;
    let b = Node::join("lb2", &a).await;
    let c = Node::join("lb3", &a).await;
    until_connected(&[&a, &b, &c]).await;
    until_voters(&[&a, &b, &c], 3).await;
    [a, b, c]
}

pub(super) async fn until_connected(nodes: &[&Node]) {
    until("all are connected", || nodes.iter().all(|n| nodes.iter().all(|m| n.id == m.id || n.connected_to(m.id))))
        .await;
}

/// Waits until all hold a roster with so many voters, and have it on disk.
pub(super) async fn until_voters(nodes: &[&Node], voters: usize) {
    let kept = |n: &&Node| load(&n.state()).is_ok_and(|l| l.is_some_and(|(_, s)| s.roster == n.roster()));
    until("all know who votes", || {
        nodes.iter().all(|n| n.roster().voters().count() == voters && n.roster() == nodes[0].roster() && kept(n))
    })
    .await;
}

/// Waits for a condition.
pub(super) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = clock::now();
    while !condition() {
        assert!(clock::now().since(started) < PATIENCE, "in vain: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Where a node's state is: below the temporary directory, so that it has to be made.
pub(super) fn state(dir: &TempDir) -> PathBuf {
    dir.path().join("state")
}

/// A real engine, without routers.
async fn engine(
    mesh: MeshHandle,
    mut engine: Engine,
    mut queue: mpsc::Receiver<Input>,
    seen: Arc<Mutex<Vec<(Instant, Input)>>>,
    held: Arc<Mutex<Roster>>,
) {
    let mut next = Some(Input::Timeout);
    while let Some(input) = next {
        seen.lock().unwrap().push((clock::now(), input.clone()));
        for action in engine.step(clock::now(), input) {
            match action {
                Action::SendMessage { to, message } => mesh.send(to, &message),
                Action::AdoptRoster(roster) => {
                    mesh.adopt(&roster);
                    *held.lock().unwrap() = roster;
                }
                Action::Publish { key, value } => mesh.publish(key, value),
                Action::StoreRoster { ticket, state } => mesh.store(ticket, state),
                Action::RosterChanged { ticket, result } => mesh.roster_changed(ticket, result),
                Action::Ordered { ticket, result } => mesh.ordered(ticket, result),
                _ => {}
            }
        }
        let wait = engine.deadline().map_or(Duration::from_secs(3600), |(at, _)| at.since(clock::now()));
        next = tokio::select! {
            input = queue.recv() => input,
            () = sleep(wait) => Some(Input::Timeout),
        };
    }
}

fn new_engine(node: NodeId, state: &State) -> Engine {
    let setup = Setup {
        node,
        name: state.roster.member(node).map_or_else(String::new, |m| m.name.clone()),
        roster: Some(state.roster.clone()),
        successor: state.successor.clone(),
        version: "test".to_owned(),
        seed: node.0,
        voter: Default::default(),
        adopted: Vec::new(),
        holds: Vec::new(),
        unix_at_zero: clock::unix_time() - Duration::from_nanos(clock::now().as_nanos()),
    };
    Engine::new(setup, Config::default(), clock::now())
}
