//! What only a mesh has; meshd.toml alone says it.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::FlapDamping;

/// `[mesh]` of meshd.toml; every value overrides what the state directory says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshSettings {
    /// Node name.
    pub name: Option<String>,
    /// Address and UDP port to listen on.
    pub listen: Option<SocketAddr>,
    /// How long a granted lease lives.
    pub lease: LeaseTime,
    /// Run the threads that renew leases with real-time priority, and lock memory, where that is
    /// allowed; on by default. Read at the start only. (keepalived: `vrrp_rt_priority`, `vrrp_no_swap`)
    pub realtime: bool,
    /// For every router that does not say otherwise.
    pub policy: Policy,
    /// How long a voter has to be gone before another member gets its vote; default 60 s. 1 s to a
    /// day.
    pub replace_after: Option<Duration>,
    /// Which director serves what, where configured priorities do not decide, and how fast that changes.
    pub placement: Placement,
    /// What becomes of a router whose link or tracked object comes and goes; `None` is nothing.
    pub damping: Option<FlapDamping>,
}

/// Which director serves what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// For every router that does not say otherwise; default: false, configured priorities decide.
    pub spread: bool,
    /// This director's share, beside the others'; default 100, 1 to 10 000.
    pub capacity: u32,
    /// Planned moves of the whole mesh, one after another and evenly spaced; default 60, 1 to 6000.
    pub moves_per_minute: u32,
    /// How long the same directors have to be there before anything moves for balance; default
    /// 10 s, 1 s to an hour.
    pub rebalance_after: Duration,
}

impl Default for Placement {
    fn default() -> Self {
        Placement { spread: false, capacity: 100, moves_per_minute: 60, rebalance_after: Duration::from_secs(10) }
    }
}

impl Default for MeshSettings {
    fn default() -> Self {
        MeshSettings {
            name: None,
            listen: None,
            lease: LeaseTime::default(),
            realtime: true,
            policy: Policy::default(),
            replace_after: None,
            placement: Placement::default(),
            damping: Some(FlapDamping::default()),
        }
    }
}

/// How long a granted lease lives: what a failover costs, and how long a silence of the mesh is survived. Directors
/// need not agree; what counts is what the owner asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeaseTime {
    /// `profile = "compat"`: three advert intervals, the patience of VRRP.
    Compat,
    /// `profile = "fast"`: 1 s, or three advert intervals where those are shorter.
    #[default]
    Fast,
    /// `profile = "aggressive"`: 500 ms, or three advert intervals where those are shorter.
    Aggressive,
    /// `lease`: this long, whatever the advert interval. 300 ms to 3 s.
    Fixed(Duration),
}

/// How a router of a mesh behaves where leases alone do not decide; `None` is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What happens while no majority of the voters answers; default: [`QuorumLoss::Fence`] with
    /// three voters or more, [`QuorumLoss::Vrrp`] with fewer.
    pub on_quorum_loss: Option<QuorumLoss>,
    /// With [`QuorumLoss::Vrrp`]: how long no majority has to have answered before; up to 300 s.
    /// Default: none with fewer than three voters, else the router's Active_Down_Interval.
    pub quorum_loss_delay: Option<Duration>,
    /// Routers outside the mesh, by source address of their adverts, to which the holder of a lease
    /// yields as VRRP has it, when they are worthier. Default: none with three voters or more, and
    /// all with fewer, as beside a keepalived that is about to be replaced.
    pub trusted_neighbours: Option<Vec<IpNet>>,
}

/// What a router does while no majority of the voters answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuorumLoss {
    /// Serves nothing: never two owners.
    Fence,
    /// What VRRP would do, after a probe for the addresses: UNPROTECTED.
    Vrrp,
}
