//! What clusters are made of: how many hosts, who votes, and everybody's configuration.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::ValueEnum;
use ipnet::IpNet;
use mesh_config::model::{
    Config, FlapDamping, LeaseTime, MeshSettings, Placement, SyncGroup, TrackScript, Tracked, Tracks, Version,
    VirtualAddress, VirtualRouter,
};
use mesh_wire::mesh::roster::{Member, Role, Roster, VotePolicy};
use mesh_wire::mesh::{Family, NodeId, RouterKey};

use crate::clock::ms;

/// The interface all hosts share a segment on.
pub const INTERFACE: &str = "eth0";

/// The script every router tracks with a weight of minus 110.
pub const SCRIPT: &str = "check";

/// Most send adverts every second, some faster, and their leases are shorter.
const INTERVALS: [Duration; 3] = [ms(1000), ms(300), ms(1000)];

/// Holds are over by the time that all is to be as it was.
const DAMPING: FlapDamping = FlapDamping { falls: 3, within: ms(60_000), hold: ms(1000), max: ms(4000) };

/// Clusters worth simulating.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// Two directors alone.
    #[value(name = "2")]
    Pair,
    /// Two directors and a witness.
    #[value(name = "2w")]
    Witness,
    /// Three directors.
    #[value(name = "3")]
    Three,
    /// Three voters, and a fourth director that joins while the others run.
    #[value(name = "4")]
    Four,
    /// Five voters.
    #[value(name = "5")]
    Five,
    /// Seven directors: all vote, or five do and the others join later.
    #[value(name = "7")]
    Seven,
}

impl Shape {
    /// All of them.
    pub const ALL: [Shape; 6] = [Shape::Pair, Shape::Witness, Shape::Three, Shape::Four, Shape::Five, Shape::Seven];

    /// The cluster of one seed: three routers, the first two with one VRID in both families; now and then with the
    /// longest lease there is, without preemption, or with a sync group.
    pub fn layout(self, seed: u64) -> Layout {
        let (directors, witnesses) = match self {
            Shape::Pair => (2, 0),
            Shape::Witness => (2, 1),
            Shape::Three => (3, 0),
            Shape::Four => (4, 0),
            Shape::Five => (5, 0),
            Shape::Seven => (7, 0),
        };
        let (voters, late) = match self {
            Shape::Pair => (2, 0),
            Shape::Witness | Shape::Three => (3, 0),
            Shape::Four => (3, 1),
            Shape::Five => (5, 0),
            Shape::Seven if seed.is_multiple_of(2) => (5, 2),
            Shape::Seven => (7, 0),
        };
        let lease = if seed % 4 == 3 { LeaseTime::Fixed(ms(3000)) } else { LeaseTime::Fast };
        Layout {
            directors,
            witnesses,
            voters,
            late,
            routers: 3,
            grouped: seed % 3 == 1,
            preempt: seed % 8 != 5,
            intervals: INTERVALS,
            lease,
            spread: seed % 5 == 4,
            moves: 600,
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned())
    }
}

/// What a cluster is made of.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Directors; they come first.
    pub directors: usize,
    /// Voters that never serve.
    pub witnesses: usize,
    /// The first so many of all hosts vote, in the beginning.
    pub voters: usize,
    /// The last so many of all hosts are not there at first, and join later.
    pub late: usize,
    /// Virtual routers: every second one is the IPv6 router with the VRID of the one before.
    pub routers: usize,
    /// Whether the routers of [`GROUP`] are active together or not at all; they have the priorities of the first.
    pub grouped: bool,
    /// Whether a higher priority takes over from a lower one.
    pub preempt: bool,
    /// Between adverts, router by router, and so on from the first.
    pub intervals: [Duration; 3],
    /// How long leases last.
    pub lease: LeaseTime,
    /// Whether the mesh places all routers.
    pub spread: bool,
    /// Planned moves a minute.
    pub moves: u32,
}

impl Layout {
    /// So many directors that all vote; three of them where there are four.
    pub fn of(directors: usize) -> Self {
        let voters = if directors == 4 { 3 } else { directors };
        Layout {
            directors,
            witnesses: 0,
            voters,
            late: 0,
            routers: 2,
            grouped: false,
            preempt: true,
            intervals: [ms(1000); 3],
            lease: LeaseTime::Fast,
            spread: false,
            moves: 600,
        }
    }

    /// Hosts of all roles.
    pub fn hosts(&self) -> usize {
        self.directors + self.witnesses
    }

    /// Whether at most one owner is promised at any instant.
    pub fn is_protected(&self) -> bool {
        self.voters >= 3
    }

    /// What a host does.
    pub fn role(&self, index: usize) -> Role {
        if index < self.directors { Role::Director } else { Role::Witness }
    }

    /// A host's priority for a router: falling with the index, rising with it, or from the second
    /// host on round to the first.
    pub fn priority(&self, index: usize, router: usize) -> u8 {
        let last = self.directors - 1;
        let router = if self.grouped && GROUP.contains(&router) { GROUP[0] } else { router };
        let rank = match router % 3 {
            0 => index,
            1 => last - index,
            _ => (index + last) % self.directors,
        };
        200 - 20 * rank as u8
    }

    /// Between two adverts of a router.
    pub fn interval(&self, router: usize) -> Duration {
        self.intervals[router % self.intervals.len()]
    }

    /// How long a router's lease lasts.
    pub fn lease_time(&self, router: usize) -> Duration {
        mesh_core::lease::lease_time(self.lease, self.interval(router))
    }

    /// The mesh of the first `members` hosts.
    pub fn roster(&self, members: usize) -> Roster {
        Roster {
            cluster: "5eed".to_owned(),
            epoch: members as u64,
            members: (0..members).map(|index| self.member(index)).collect(),
            ..Roster::default()
        }
    }

    fn member(&self, index: usize) -> Member {
        let address = SocketAddr::from((host_address(Family::Ipv4, index), 7946));
        Member {
            id: node_id(index),
            name: name(index),
            address,
            role: self.role(index),
            voter: index < self.voters,
            vote: VotePolicy::Auto,
        }
    }

    /// A host's configuration file.
    pub fn config(&self, index: usize) -> Config {
        let routers = if index < self.directors { self.routers } else { 0 };
        let script = TrackScript {
            name: SCRIPT.to_owned(),
            command: vec!["/bin/true".to_owned()],
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            weight: -110,
            reverse: false,
            rise: 1,
            fall: 1,
            init_fail: false,
            user: None,
        };
        Config {
            track_scripts: vec![script],
            routers: (0..routers).map(|router| self.router(index, router)).collect(),
            sync_groups: self.groups(routers),
            mesh: MeshSettings {
                lease: self.lease,
                placement: self.placement(),
                damping: Some(DAMPING),
                ..MeshSettings::default()
            },
            ..Config::default()
        }
    }

    fn placement(&self) -> Placement {
        let (spread, moves_per_minute) = (self.spread, self.moves);
        Placement { spread, moves_per_minute, rebalance_after: ms(2000), ..Placement::default() }
    }

    /// What its scripts weigh they weigh for all of a group.
    fn groups(&self, routers: usize) -> Vec<SyncGroup> {
        if !self.grouped || routers == 0 {
            return Vec::new();
        }
        let names = GROUP.map(|router| format!("VI_{}", router + 1)).to_vec();
        vec![SyncGroup { track: tracks(), ..SyncGroup::new("G", names) }]
    }

    /// One router of a host's configuration.
    pub fn router(&self, index: usize, router: usize) -> VirtualRouter {
        VirtualRouter {
            priority: self.priority(index, router),
            version: Version::V3,
            advert_interval: self.interval(router),
            preempt: self.preempt,
            addresses: vec![VirtualAddress::new(
                IpNet::new(virtual_address(router), 24).expect("24 is a prefix length"),
            )],
            track: tracks(),
            ..VirtualRouter::new(format!("VI_{}", router + 1), router_key(router), INTERFACE)
        }
    }
}

/// The routers of the sync group, in layouts that have one; as often advertised as each other.
pub const GROUP: [usize; 2] = [0, 2];

fn tracks() -> Tracks {
    Tracks { scripts: vec![Tracked::new(SCRIPT)], ..Tracks::default() }
}

/// Of the first two virtual routers.
const FIRST_VRID: u8 = 51;

/// Name of a host.
pub fn name(index: usize) -> String {
    format!("lb{}", index + 1)
}

/// Identity of a host.
pub fn node_id(index: usize) -> NodeId {
    NodeId(0x1000 + index as u64)
}

/// Address of a host on the segment, from which it sends adverts.
pub fn host_address(family: Family, index: usize) -> IpAddr {
    let last = 11 + index as u8;
    match family {
        Family::Ipv4 => IpAddr::from([10, 1, 1, last]),
        Family::Ipv6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last.into()).into(),
    }
}

/// Address of a virtual router.
pub fn virtual_address(router: usize) -> IpAddr {
    let last = 80 + router as u16;
    let [high, low] = last.to_be_bytes();
    match router_key(router).family {
        Family::Ipv4 => IpAddr::from([10, 1, 1 + high, low]),
        Family::Ipv6 => Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, last).into(),
    }
}

/// Key of a virtual router.
pub fn router_key(router: usize) -> RouterKey {
    let family = if router.is_multiple_of(2) { Family::Ipv4 } else { Family::Ipv6 };
    RouterKey { family, vrid: FIRST_VRID + router as u8 / 2, segment: 0 }
}

/// The router with this key.
pub fn router_of(key: &RouterKey) -> Option<usize> {
    let pair = usize::from(key.vrid.checked_sub(FIRST_VRID)?) * 2;
    Some(if key.family == Family::Ipv4 { pair } else { pair + 1 })
}
