//! One host: a clock, a kernel, a disk, a link, and perhaps a daemon.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use mesh_config::model::Config;
use mesh_core::damping::Damper;
use mesh_core::input::Interface;
use mesh_core::lease::memory::VoterStart;
use mesh_core::roster::State;
use mesh_core::{Action, Adopted, Engine, Input, Instant, Setup, Will};
use mesh_wire::mesh::roster::{Role, Roster};
use mesh_wire::mesh::{Family, NodeId, RouterKey};

use crate::clock::{HostClock, Time};
use crate::kernel::Kernel;
use crate::layout::{self, INTERFACE, Layout};
use crate::memory::Memory;

/// What the true time zero of a run is on everybody's wall clock, in nanoseconds.
const UNIX_AT_START: i64 = 1_790_000_000 * 1_000_000_000;

/// One machine.
#[derive(Debug)]
pub struct Host {
    /// Its identity.
    pub id: NodeId,
    /// Its name, `lb1` and so on.
    pub name: String,
    /// Which one it is.
    pub index: usize,
    /// Whether it serves.
    pub role: Role,
    /// Its configuration file.
    pub config: Config,
    /// `roster.json` in the state directory, which survives everything.
    pub state: Option<State>,
    /// Its voter's memory.
    pub memory: Memory,
    /// The rest of the runtime directory, which survives the daemon, but no boot.
    pub runtime: RuntimeDir,
    /// Its boot-time clock.
    pub clock: HostClock,
    /// Its kernel.
    pub kernel: Kernel,
    /// The program is there; hosts that join later have it from then on.
    pub installed: bool,
    /// Powered and booted.
    pub up: bool,
    /// A virtual machine that stands still, with its clock at this reading.
    pub paused: Option<Instant>,
    /// The cable is in.
    pub link: bool,
    /// The daemon, while there is a process.
    pub daemon: Option<Daemon>,
    /// The daemon is to be replaced, so long after its end.
    pub restarts: Option<Duration>,
    /// When it last left to a next run what it serves, or went on with that: under leases as long as
    /// there are.
    pub replaced: Time,
    /// Daemons started so far.
    pub run: u32,
    /// When its daemon last started.
    pub started: Time,
    /// When it last came back from a stall, lost its power, or its cable was moved.
    pub disturbed: Time,
    /// When its daemon was last told something that may make it let go.
    pub excused: Time,
    /// Since when no daemon of it has run.
    pub silent_since: Option<Time>,
    /// The fence is not there until the daemon repaired it.
    pub exposed_until: Time,
    /// Until when its disk is slow, and how slow.
    pub slow_disk: (Time, Duration),
    /// Until when it writes what it was asked to.
    pub disk_busy_until: Time,
    /// The routers whose addresses are reached here.
    pub serves: BTreeSet<usize>,
    /// When the kernel is to be looked at again.
    pub look_at: Time,
}

/// `/run/meshd`, but for the voter's memory.
#[derive(Clone, Debug, Default)]
pub struct RuntimeDir {
    /// What is to be done when the daemon dies.
    pub will: Option<Will>,
    /// What the next run may go on with.
    pub adopted: Vec<Adopted>,
    /// What fell, and what is held back for it.
    pub holds: Vec<(RouterKey, Damper)>,
}

/// A running (or stopped) process.
#[derive(Debug)]
pub struct Daemon {
    /// What decides.
    pub engine: Engine,
    /// The roster it goes by.
    pub roster: Option<Roster>,
    /// Since when.
    pub roster_since: Time,
    /// What came in while the process was stopped.
    pub mailbox: VecDeque<Input>,
    /// Stopped until then.
    pub stalled_until: Option<Time>,
    /// To be stopped in the middle of the next actions, for so long.
    pub stall_next: Option<Duration>,
    /// Actions not yet brought about when it was stopped.
    pub unfinished: VecDeque<Action>,
    /// When these were decided.
    pub decided: Instant,
    /// Counts timers set; an older one is void.
    pub timer: u64,
    /// What the timer is set to.
    pub timer_due: Option<Instant>,
    /// Connections to the others, by index.
    pub peers: Vec<Connection>,
    /// Gossip: by node and key, a version and the value.
    pub gossip: BTreeMap<(usize, String), (u64, Option<String>)>,
    /// Changes of `gossip` so far.
    pub gossip_changes: u64,
    /// An address could not be added: it holds back for minutes.
    pub failed: bool,
    /// For a planted bug: whether the first actions are done.
    pub swept: bool,
    /// For another: the last request of each director.
    pub requests: BTreeMap<usize, u64>,
}

/// One node's view of its connection to another.
#[derive(Clone, Copy, Debug, Default)]
pub struct Connection {
    /// It stands.
    pub up: bool,
    /// Which run of the peer's daemon it leads to.
    pub run: u32,
    /// Since when `up` has been what it is.
    pub since: Time,
    /// When what `up` says began to be untrue.
    pub changing_since: Option<Time>,
    /// What was gossiped over it: the peer's run, and its changes by then.
    pub gossiped: (u32, u64),
}

impl Host {
    /// A machine with nothing running.
    pub fn new(index: usize, layout: &Layout, clock: HostClock) -> Self {
        Host {
            id: layout::node_id(index),
            name: layout::name(index),
            index,
            role: layout.role(index),
            config: layout.config(index),
            state: None,
            memory: Memory::default(),
            runtime: RuntimeDir::default(),
            clock,
            kernel: Kernel::default(),
            installed: index < layout.hosts() - layout.late,
            up: true,
            paused: None,
            link: true,
            daemon: None,
            restarts: None,
            replaced: Time::ZERO,
            run: 0,
            started: Time::ZERO,
            disturbed: Time::ZERO,
            excused: Time::ZERO,
            silent_since: Some(Time::ZERO),
            exposed_until: Time::ZERO,
            slow_disk: (Time::ZERO, Duration::ZERO),
            disk_busy_until: Time::ZERO,
            serves: BTreeSet::new(),
            look_at: Time::MAX,
        }
    }

    /// The time on its clock.
    pub fn now(&self, at: Time) -> Instant {
        self.clock.read(at)
    }

    /// What an engine is told when the daemon starts.
    pub fn setup(&self, seed: u64) -> Setup {
        let zero = u64::try_from(UNIX_AT_START + self.clock.zero_ns()).unwrap_or(0);
        Setup {
            node: self.id,
            name: self.name.clone(),
            roster: self.state.as_ref().map(|s| s.roster.clone()),
            successor: self.state.as_ref().map(|s| s.successor.clone()).unwrap_or_default(),
            version: "sim".to_owned(),
            seed,
            unix_at_zero: Duration::from_nanos(zero),
            voter: VoterStart::default(),
            adopted: Vec::new(),
            holds: self.runtime.holds.clone(),
        }
    }

    /// Its address on the segment, from which it sends adverts.
    pub fn address(&self, family: Family) -> IpAddr {
        layout::host_address(family, self.index)
    }

    /// What netlink says about the interface.
    pub fn interface(&self) -> Input {
        let net = |family| IpNet::new(self.address(family), 24).expect("24 is a prefix length");
        let addresses = [Family::Ipv4, Family::Ipv6].map(net).to_vec();
        let (name, running) = (INTERFACE.to_owned(), self.link);
        Input::Interface(Interface { name, running, addresses, unusable: Vec::new() })
    }

    /// The daemon, while it is not stopped.
    pub fn running(&self) -> Option<&Daemon> {
        self.daemon.as_ref().filter(|d| d.stalled_until.is_none())
    }

    /// Whether packets get in and out.
    pub fn is_reachable(&self) -> bool {
        self.up && self.link && self.paused.is_none()
    }
}

impl Daemon {
    /// A process that has just begun.
    pub fn new(engine: Engine, roster: Option<Roster>, hosts: usize) -> Self {
        Daemon {
            engine,
            roster,
            roster_since: Time::ZERO,
            mailbox: VecDeque::new(),
            stalled_until: None,
            stall_next: None,
            unfinished: VecDeque::new(),
            decided: Instant::default(),
            timer: 0,
            timer_due: None,
            peers: vec![Connection::default(); hosts],
            gossip: BTreeMap::new(),
            gossip_changes: 0,
            failed: false,
            swept: false,
            requests: BTreeMap::new(),
        }
    }

    /// Takes in a gossiped value.
    pub fn learn(&mut self, node: usize, key: String, version: u64, value: Option<String>) {
        self.gossip_changes += 1;
        self.gossip.insert((node, key), (version, value));
    }
}
