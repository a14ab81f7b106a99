//! The one model: what a configuration means, whatever language it was written in.

use std::time::Duration;

use mesh_wire::fnv;
use mesh_wire::mesh::Family;

mod address;
mod bfd;
mod conduct;
mod damping;
mod ipvlan;
mod mail;
mod mesh;
mod notify;
mod process;
mod route;
mod router;
mod scheduling;
mod service;
mod telemetry;
mod track;
mod vmac;

pub(crate) use self::address::can_be_virtual;
pub use self::address::{Scope, VirtualAddress};
pub use self::bfd::BfdInstance;
pub use self::conduct::*;
pub use self::damping::FlapDamping;
pub use self::ipvlan::{Ipvlan, IpvlanMode};
pub use self::mail::Mail;
pub use self::mesh::{LeaseTime, MeshSettings, Placement, Policy, QuorumLoss};
pub use self::notify::{Fifo, Notify, NotifySettings, OnDelete};
pub use self::process::{Dumps, Process};
pub use self::route::*;
pub use self::router::{GratuitousArp, SyncGroup, Transport, Version, VirtualRouter, most_addresses};
pub use self::scheduling::{LONGEST_RUN, Scheduling, Threads};
pub use self::service::*;
pub use self::telemetry::TelemetrySettings;
pub use self::track::*;
pub use self::vmac::*;

/// A whole configuration, every value checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `router_id`: the name this host calls itself in mail.
    pub router_id: Option<String>,
    /// Who runs scripts, and whether insecure ones are refused.
    pub scripts: ScriptSecurity,
    /// `vrrp_script` blocks, in file order, names unique.
    pub track_scripts: Vec<TrackScript>,
    /// `vrrp_instance` blocks, in file order, names unique.
    pub routers: Vec<VirtualRouter>,
    /// `vrrp_sync_group` blocks, in file order, names unique; no router is in two of them.
    pub sync_groups: Vec<SyncGroup>,
    /// `virtual_server` blocks, names unique.
    pub virtual_servers: Vec<VirtualServer>,
    /// `track_file` blocks, in file order, names unique.
    pub track_files: Vec<TrackFile>,
    /// `vrrp_track_process` blocks, in file order, names unique.
    pub track_processes: Vec<TrackProcess>,
    /// How changes of interfaces and the start are waited for.
    pub delays: Delays,
    /// `dynamic_interfaces`: interfaces need not exist at the start.
    pub dynamic_interfaces: bool,
    /// `bfd_instance` blocks, in file order, names unique.
    pub bfd_instances: Vec<BfdInstance>,
    /// What holds for all virtual servers.
    pub lvs: LvsSettings,
    /// What holds for all virtual routers.
    pub vrrp: VrrpSettings,
    /// Addresses, routes and rules that are there as long as the daemon runs.
    pub statics: Statics,
    /// How virtual interfaces are called.
    pub vmac_names: VmacNames,
    /// Mail about what happens.
    pub mail: Mail,
    /// FIFOs, and scripts of the start and the end.
    pub notify: NotifySettings,
    /// How the daemon runs, and its dumps.
    pub process: Process,
    /// Settings of the mesh; only meshd.toml has them.
    pub mesh: MeshSettings,
    /// Where it tells what happens; only meshd.toml has it. Read at the start only.
    pub telemetry: TelemetrySettings,
}

/// `script_user`, `enable_script_security` and what else holds for every script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptSecurity {
    /// User and group to run scripts as; keepalived's default is `keepalived_script` where that
    /// user exists, otherwise root.
    pub user: Option<(String, Option<String>)>,
    /// Refuse scripts that somebody else than root can write, when run by root.
    pub enable: bool,
    /// `use_symlink_paths`: a program is started by the name it was given, not by the one its symbolic links lead to.
    pub symlink_paths: bool,
    /// `set_supplementary_groups`: scripts have all groups of their user, not its own alone.
    pub supplementary_groups: bool,
}

/// One tracked script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackScript {
    /// Unique name.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Between two starts; default 1 s.
    pub interval: Duration,
    /// A run longer than this is a failure and is killed; default: the interval.
    pub timeout: Duration,
    /// -253 to 253, added to priority while up (positive) or down (negative). Zero: down means fault.
    pub weight: i16,
    /// `weight ... reverse`, see [`Weight`].
    pub reverse: bool,
    /// Successes in a row before it counts as up; default 1.
    pub rise: u32,
    /// Failures in a row before it counts as down; default 1.
    pub fall: u32,
    /// `init_fail`: counts as down until the first success.
    pub init_fail: bool,
    /// `user`: overrides `script_user`.
    pub user: Option<(String, Option<String>)>,
}

impl TrackScript {
    /// What counts where whoever tracks it says nothing.
    pub fn own_weight(&self) -> Weight {
        Weight { by: self.weight.into(), reverse: self.reverse }
    }
}

impl Config {
    /// Whether the mesh finds this router's director.
    pub fn spreads(&self, router: &VirtualRouter) -> bool {
        router.spread.unwrap_or(self.mesh.placement.spread)
    }

    /// The sync group a router is in.
    pub fn group_of(&self, router: &VirtualRouter) -> Option<&SyncGroup> {
        self.sync_groups.iter().find(|group| group.routers.contains(&router.name))
    }

    /// The routers a name means: one, or those of a sync group.
    pub fn routers_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a VirtualRouter> {
        let group = self.sync_groups.iter().find(|group| group.name == name);
        self.routers.iter().filter(move |r| r.name == name || group.is_some_and(|g| g.routers.contains(&r.name)))
    }

    /// Gives every router the key all directors agree on: family and VRID, and the interface's
    /// name only where one VRID is used on several interfaces of this host.
    pub fn assign_keys(&mut self) {
        let used: Vec<(Family, u8)> = self.routers.iter().map(|r| (r.key.family, r.key.vrid)).collect();
        for (router, id) in self.routers.iter_mut().zip(&used) {
            let shared = used.iter().filter(|other| *other == id).count() > 1;
            router.key.segment = if shared { segment_of(&router.interface) } else { 0 };
        }
    }
}

/// A number for an interface's name, never zero.
fn segment_of(interface: &str) -> u32 {
    fnv::hash32(interface.as_bytes()).max(1)
}
