//! Facts for [`super`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use mesh_config::model::Config;
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::roster::Role;

use crate::ipvs::{Change, SyncDaemon, SyncRole, Table, Timeouts};

/// One fact.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The time that `deadline` named has come, or nothing at all: always harmless.
    Timeout,
    /// Who is there, and who serves what; in place of what was said before.
    Surroundings(Surroundings),
    /// The addresses this host has, virtual ones included; in place of what was said before.
    Addresses(BTreeSet<IpAddr>),
    /// A gossiped value of another node about services changed; `None` where it was deleted.
    Gossip {
        /// Whose value.
        node: NodeId,
        /// Its key, which begins with `service/` or `server/`.
        key: String,
        /// The value.
        value: Option<String>,
    },
    /// An [`super::Action::Check`] ended. Every one of them ends, at its timeout at the latest.
    Checked {
        /// Which one.
        run: CheckRun,
        /// How.
        outcome: Outcome,
    },
    /// The number in a tracked file, or `None` where there is none.
    File {
        /// Name of the `track_file`.
        name: String,
        /// Its number.
        value: Option<i64>,
    },
    /// A BFD session came up or went down.
    Bfd {
        /// Name of the `bfd_instance`.
        name: String,
        /// Whether it is up.
        up: bool,
    },
    /// The answer to [`super::Action::ReadKernel`]: what ip_vs holds, or why that is not known.
    Kernel(Result<Kernel, String>),
    /// The answer to [`super::Action::Apply`]: what failed of it, and why, in words.
    Applied {
        /// Steps that failed; all others were done.
        failed: Vec<(Change, String)>,
    },
    /// A new configuration.
    Configure(Box<Config>),
    /// Stop: take out of ip_vs what `lvs_flush_on_stop` says. With `keep`, leave it to the next run.
    Shutdown {
        /// Whether another run goes on at once.
        keep: bool,
    },
}

/// What ip_vs holds, whoever made it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kernel {
    /// Services and destinations.
    pub table: Table,
    /// Timeouts of connections.
    pub timeouts: Timeouts,
    /// Synchronisation daemons that run.
    pub sync: BTreeMap<SyncRole, SyncDaemon>,
}

/// One start of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CheckRun {
    /// Which check; never used again for another one.
    pub check: u64,
    /// Grows with every start.
    pub number: u64,
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The real server answers as wanted.
    Success,
    /// The same, and a `misc_dynamic` check says which weight it should have.
    Weight(u32),
    /// It does not, in words: `connection refused`, `status 503`, `no answer in 3 s`.
    Failure(String),
}

/// The mesh around this node, as far as services are concerned. Without a mesh there is only this
/// node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// All members, this node included.
    pub members: BTreeMap<NodeId, Member>,
    /// Which member serves a virtual address; none where nobody does.
    pub owners: BTreeMap<IpAddr, NodeId>,
    /// Names of the virtual routers that are active here.
    pub active_here: BTreeSet<String>,
}

/// A member of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// It is connected, or is this node, and neither left nor is being emptied.
    pub alive: bool,
}
