//! Facts: all that can make the engine decide anything.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use mesh_config::model::Config;
use mesh_wire::mesh::{Family, NodeId, lease::Message, roster::Roster};

use crate::action::Effect;
use crate::drift::Description;
use crate::orders::Wish;
use crate::roster::Change;
use crate::tracking::Kind;

/// One fact.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The time [`crate::Engine::deadline`] named has come, or nothing at all: always harmless.
    Timeout,
    /// An interface of this host is there, or changed.
    Interface(Interface),
    /// An interface is gone.
    InterfaceGone {
        /// Its name.
        name: String,
    },
    /// Adverts can be heard on an interface again, or cannot.
    Hearing {
        /// Its name.
        interface: String,
        /// Those of this family.
        family: Family,
        /// What is wrong, in words.
        failure: Option<String>,
    },
    /// A packet of IP protocol 112.
    Advertisement(Datagram),
    /// A packet of IP protocol 51 over IPv4.
    SealedAdvertisement {
        /// The packet; its payload begins with the authentication header.
        datagram: Datagram,
        /// Of the IP header, which has no options.
        identification: u16,
    },
    /// The wall clock was set: what it reads at the zero of the boot-time clock.
    WallClock(Duration),
    /// A virtual address of ours went away and not by us.
    AddressGone {
        /// The interface it was on.
        interface: String,
        /// The address.
        address: IpAddr,
    },
    /// Somebody else removed the fence's tables, or part of them.
    FenceGone,
    /// What of the fence this kernel cannot do, in words; nothing where it can do all that is needed.
    FenceGaps(Vec<String>),
    /// A message from a peer whose certificate was checked.
    Message {
        /// Whose certificate it was.
        from: NodeId,
        /// What it says.
        message: Message,
    },
    /// A connection to a peer stands; told again and again, with its latest round trip.
    PeerUp {
        /// Which peer.
        node: NodeId,
        /// Round trip measured so far.
        rtt: Duration,
    },
    /// A further connection to a peer stands: it may be another process now, whose end was not noticed.
    Reconnected {
        /// Which peer.
        node: NodeId,
    },
    /// The last connection to a peer is gone.
    PeerDown {
        /// Which peer.
        node: NodeId,
        /// It said goodbye.
        left: bool,
    },
    /// A gossiped value of another node changed; `None` where it was deleted.
    Gossip {
        /// Whose value.
        node: NodeId,
        /// Its key.
        key: String,
        /// The value.
        value: Option<String>,
    },
    /// Gossip's second opinion: whether anybody still hears this node.
    Heard {
        /// Which node.
        node: NodeId,
        /// Whether it is alive according to gossip.
        alive: bool,
    },
    /// [`crate::Action::ProbeAddresses`] has been brought about.
    Probed {
        /// The number of the probe.
        probe: u64,
        /// Who showed that it has one of the addresses, the first of them.
        answer: Option<ProbeAnswer>,
    },
    /// The daemon stood still in the middle of bringing about effects, and left out what must not
    /// be done late.
    Stalled,
    /// If this step is late, the daemon was busy and did not stand still: all that came meanwhile is in
    /// this step, and nothing of it was lost. Has to come first in a step.
    Listened,
    /// A tracked script ended.
    Script {
        /// Its name.
        name: String,
        /// How it ended.
        outcome: ScriptOutcome,
    },
    /// A tracked object was looked at ([`crate::Action::WatchTracked`]; BFD sessions have their own way).
    Tracked {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: String,
        /// What its kind says.
        value: i64,
    },
    /// [`crate::services::Action::Unfit`]: addresses that others reach services behind better.
    Unfit(BTreeMap<IpAddr, String>),
    /// An operator asks for a move, or what would move; answered by [`crate::Action::Ordered`].
    Order {
        /// What the answer refers to.
        ticket: u64,
        /// What is wanted.
        wish: Wish,
    },
    /// The answer to an [`crate::Action::AskSettings`].
    Settings {
        /// Who was asked.
        node: NodeId,
        /// How it is configured, or why that is not known, in words.
        answer: Result<Box<Description>, String>,
    },
    /// A committed roster became known otherwise than by [`Input::Message`].
    Roster(Roster),
    /// Somebody wants the roster changed; answered by [`crate::Action::RosterChanged`].
    ChangeRoster {
        /// What the answer refers to.
        ticket: u64,
        /// What is wanted.
        change: Change,
    },
    /// The state of this [`crate::Action::StoreRoster`], or of a later one, is on disk.
    RosterStored {
        /// Its ticket.
        ticket: u64,
    },
    /// An effect could not be brought about.
    Failed {
        /// Which one.
        effect: Effect,
        /// Why, in words.
        error: String,
    },
    /// A new configuration.
    Configure(Box<Config>),
    /// Routers count from zero again.
    ClearCounters,
    /// Hand everything over and stop.
    Shutdown,
    /// Stop, and leave what is served to the next run of this daemon on this host.
    Keep,
}

/// Who has an address that was probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeAnswer {
    /// The address.
    pub address: IpAddr,
    /// The MAC address that showed it.
    pub mac: [u8; 6],
}

/// What is known about an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Administratively up, and with a carrier.
    pub running: bool,
    /// Its addresses that can be used, in the kernel's order, without those this program put there.
    pub addresses: Vec<IpNet>,
    /// IPv6 addresses that cannot be used.
    pub unusable: Vec<(Ipv6Addr, Unusable)>,
}

/// Why an IPv6 address cannot be used (RFC 4862 section 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Whether another host has it is being found out.
    Tentative,
    /// Another host has it.
    Duplicate,
}

/// A received packet of IP protocol 112.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// The interface it came in on.
    pub interface: String,
    /// IP source.
    pub source: IpAddr,
    /// IP destination.
    pub destination: IpAddr,
    /// IP time to live, or hop limit.
    pub ttl: u8,
    /// What follows the IP header.
    pub payload: Vec<u8>,
}

/// How a run of a tracked script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptOutcome {
    /// Exit status 0.
    Success,
    /// Another exit status.
    Exit(i32),
    /// A signal.
    Signal(i32),
    /// It took longer than its timeout and was killed.
    TimedOut,
    /// It could not be started.
    NotStarted,
}
