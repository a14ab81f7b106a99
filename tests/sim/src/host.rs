//! One host: a clock, a kernel, a link, and perhaps a daemon.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;
use mesh_config::model::{
    Config, GratuitousArp, MeshSettings, Scope, TrackScript, TrackedScript, Transport, Version, VirtualAddress,
    VirtualRouter,
};
use mesh_core::input::Interface;
use mesh_core::{Action, Engine, Input, Instant, Setup};
use mesh_wire::mesh::roster::{Member, Role, Roster};
use mesh_wire::mesh::{Family, NodeId, RouterKey};

use crate::clock::{HostClock, Time};
use crate::kernel::Kernel;
use crate::memory::Memory;

/// The interface all hosts share a segment on.
pub const INTERFACE: &str = "eth0";

/// The script every router tracks with a weight of minus 110.
pub const SCRIPT: &str = "check";

/// What the true time zero of a run is on everybody's wall clock.
const UNIX_AT_START: Duration = Duration::from_secs(1_790_000_000);

/// One machine.
#[derive(Debug)]
pub struct Host {
    /// Its identity.
    pub id: NodeId,
    /// Its name, `lb1` and so on.
    pub name: String,
    /// Its address on the segment.
    pub address: Ipv4Addr,
    /// Its configuration file.
    pub config: Config,
    /// Its roster file.
    pub roster: Option<Roster>,
    /// Its boot-time clock.
    pub clock: HostClock,
    /// Its kernel.
    pub kernel: Kernel,
    /// Its voter's memory.
    pub memory: Memory,
    /// Powered and booted.
    pub up: bool,
    /// The cable is in.
    pub link: bool,
    /// The daemon, while there is a process.
    pub daemon: Option<Daemon>,
    /// Daemons started so far.
    pub run: u32,
    /// When its daemon last started.
    pub started: Time,
    /// When it last came back from a stall, or its cable was moved.
    pub disturbed: Time,
    /// The fence is not there until the daemon repaired it.
    pub exposed_until: Time,
}

/// A running (or stopped) process.
#[derive(Debug)]
pub struct Daemon {
    /// What decides.
    pub engine: Engine,
    /// What came in while the process was stopped.
    pub mailbox: VecDeque<Input>,
    /// Stopped until then.
    pub stalled_until: Option<Time>,
    /// To be stopped in the middle of the next actions, for so long.
    pub stall_next: Option<Duration>,
    /// Actions not yet brought about when it was stopped.
    pub unfinished: VecDeque<Action>,
    /// Counts timers set; an older one is void.
    pub timer: u64,
    /// Connections to the others, by index.
    pub peers: Vec<Connection>,
    /// Gossip: by node and key, a version and the value.
    pub gossip: BTreeMap<(usize, String), (u64, Option<String>)>,
    /// Effects seen so far of those a start begins with (for a mutant).
    pub swept: u32,
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
}

impl Host {
    /// A machine that is off.
    pub fn new(index: usize, nodes: usize, routers: usize, preempt: bool, clock: HostClock) -> Self {
        Host {
            id: node_id(index),
            name: format!("lb{}", index + 1),
            address: Ipv4Addr::new(10, 1, 1, 11 + index as u8),
            config: config(index, nodes, routers, preempt),
            roster: None,
            clock,
            kernel: Kernel::default(),
            memory: Memory::default(),
            up: true,
            link: true,
            daemon: None,
            run: 0,
            started: Time::ZERO,
            disturbed: Time::ZERO,
            exposed_until: Time::ZERO,
        }
    }

    /// The time on its clock.
    pub fn now(&self, at: Time) -> Instant {
        self.clock.read(at)
    }

    /// What an engine is told when the daemon starts.
    pub fn setup(&self, seed: u64) -> Setup {
        let zero = UNIX_AT_START.as_nanos() as i128 + self.clock.zero_ns();
        Setup {
            node: self.id,
            name: self.name.clone(),
            roster: self.roster.clone(),
            version: "sim".to_owned(),
            seed,
            unix_at_zero: Duration::from_nanos(u64::try_from(zero).unwrap_or(0)),
            voter: mesh_core::lease::memory::VoterStart::default(),
        }
    }

    /// What netlink says about the interface.
    pub fn interface(&self) -> Input {
        let net = Ipv4Net::new(self.address, 24).expect("24 is a prefix length");
        Input::Interface(Interface { name: INTERFACE.to_owned(), running: self.link, addresses: vec![net] })
    }

    /// The daemon, while it is not stopped.
    pub fn running(&self) -> Option<&Daemon> {
        self.daemon.as_ref().filter(|d| d.stalled_until.is_none())
    }
}

/// Identity of a host.
pub fn node_id(index: usize) -> NodeId {
    NodeId(0x1000 + index as u64)
}

/// Address of a virtual router.
pub fn virtual_address(router: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, 1, 80 + router as u8)
}

/// Key of a virtual router.
pub fn router_key(router: usize) -> RouterKey {
    RouterKey { family: Family::Ipv4, vrid: 51 + router as u8, segment: 0 }
}

/// Priority of a host: falling with its index for even routers, rising for odd ones.
pub fn priority(index: usize, nodes: usize, router: usize) -> u8 {
    let rank = if router.is_multiple_of(2) { index } else { nodes - 1 - index };
    200 - 20 * rank as u8
}

/// The host that should own a router when all is well.
pub fn worthiest(nodes: usize, router: usize) -> usize {
    if router.is_multiple_of(2) { 0 } else { nodes - 1 }
}

/// The first `members` hosts as a mesh, of which the first `voters` vote.
pub fn roster(members: usize, voters: usize) -> Roster {
    let member = |index: usize| Member {
        id: node_id(index),
        name: format!("lb{}", index + 1),
        address: std::net::SocketAddr::from(([10, 1, 1, 11 + index as u8], 7946)),
        role: Role::Director,
        voter: index < voters,
    };
    Roster {
        cluster: "5eed".to_owned(),
        epoch: members as u64,
        members: (0..members).map(member).collect(),
        used_tokens: Vec::new(),
    }
}

fn config(index: usize, nodes: usize, routers: usize, preempt: bool) -> Config {
    let router = |r: usize| VirtualRouter {
        name: format!("VI_{}", r + 1),
        key: router_key(r),
        interface: INTERFACE.to_owned(),
        initial_active: false,
        priority: priority(index, nodes, r),
        version: Version::V3,
        advert_interval: Duration::from_secs(1),
        preempt,
        preempt_delay: Duration::ZERO,
        auth_pass: None,
        transport: Transport::Multicast { source: None },
        addresses: vec![VirtualAddress {
            net: ipnet::IpNet::new(virtual_address(r).into(), 24).expect("24 is a prefix length"),
            interface: None,
            label: None,
            scope: Scope::Global,
            broadcast: None,
        }],
        excluded_addresses: Vec::new(),
        track_scripts: vec![TrackedScript { name: SCRIPT.to_owned(), weight: None }],
        garp: GratuitousArp::default(),
        strict: false,
        skip_check_adv_addr: false,
    };
    Config {
        track_scripts: vec![TrackScript {
            name: SCRIPT.to_owned(),
            command: vec!["/bin/true".to_owned()],
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            weight: -110,
            rise: 1,
            fall: 1,
            init_fail: false,
            user: None,
        }],
        routers: (0..routers).map(router).collect(),
        mesh: MeshSettings::default(),
        ..Config::default()
    }
}
