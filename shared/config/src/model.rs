//! The one model: what a configuration means, whatever language it was written in.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use mesh_wire::fnv;
use mesh_wire::mesh::{Family, RouterKey};

mod bfd;
mod conduct;
mod damping;
mod ipvlan;
mod mail;
mod notify;
mod process;
mod route;
mod scheduling;
mod service;
mod telemetry;
mod track;
mod vmac;

pub use self::bfd::BfdInstance;
pub use self::conduct::*;
pub use self::damping::FlapDamping;
pub use self::ipvlan::{Ipvlan, IpvlanMode};
pub use self::mail::Mail;
pub use self::notify::{Fifo, Notify, NotifySettings, OnDelete};
pub use self::process::{Dumps, Process};
pub use self::route::*;
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

/// One virtual router on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRouter {
    /// The instance's name.
    pub name: String,
    /// What the lease is about; the same on every director.
    pub key: RouterKey,
    /// Interface for adverts, and for addresses that name none.
    pub interface: String,
    /// `state MASTER`: only matters for an address owner (priority 255), which then does not wait at the start.
    pub initial_active: bool,
    /// Configured priority, 1 to 255; 255 owns the addresses.
    pub priority: u8,
    /// Version on the wire; [`Version::V3`] for IPv6.
    pub version: Version,
    /// `advert_int`: whole seconds 1-255 in version 2, 10 ms to 40.95 s in steps of 10 ms in version 3.
    pub advert_interval: Duration,
    /// False with `nopreempt`.
    pub preempt: bool,
    /// `preempt_delay`, 0 to 1000 s.
    pub preempt_delay: Duration,
    /// `auth_pass` (version 2 only).
    pub auth_pass: Option<Password>,
    /// `auth_type AH`: the password is not sent, but the key of an authentication header (RFC 2402,
    /// RFC 2403).
    pub auth_header: bool,
    /// `auth_hmac`; never together with a password.
    pub auth_hmac: Option<AuthHmac>,
    /// Where adverts go; all its addresses are of `key.family`.
    pub transport: Transport,
    /// What adverts list: `virtual_ipaddress`, in file order, all of `key.family`, as many as fit in an advert
    /// ([`most_addresses`]). None with `no_virtual_ipaddress`: an election and nothing more.
    pub addresses: Vec<VirtualAddress>,
    /// `virtual_ipaddress_excluded`: served, but not in adverts; of either family.
    pub excluded_addresses: Vec<VirtualAddress>,
    /// What it tracks besides.
    pub track: Tracks,
    /// `dont_track_primary`: a lost link on its own interface is no fault.
    pub dont_track_primary: bool,
    /// `track_src_ip`: its own interface has to have the source of multicast adverts that is configured; else they are
    /// sent from it all the same. A source of unicast adverts always has to be there.
    pub track_source: bool,
    /// `virtual_routes`: there while it serves.
    pub routes: Vec<Route>,
    /// `virtual_rules`: there while it serves.
    pub rules: Vec<Rule>,
    /// `use_vmac`: an interface with a virtual MAC address, on which addresses of `key.family` go that
    /// name no other interface.
    pub vmac: Option<Vmac>,
    /// `vmac_xmit_base`: adverts leave by `interface` all the same.
    pub vmac_transmit_base: bool,
    /// `use_vmac_addr`: addresses that do not belong on the router's own one get such interfaces, too.
    pub vmac_addresses: bool,
    /// Those interfaces; found out once a configuration is complete.
    pub address_vmacs: Vec<Vmac>,
    /// `garp_master_*`.
    pub garp: GratuitousArp,
    /// `vrrp_strict` or `strict_mode`. What it changes is done while reading.
    pub strict: bool,
    /// `vrrp_skip_check_adv_addr`: do not compare the address list of a sender already checked.
    pub skip_check_adv_addr: bool,
    /// What else it does as VRRP leaves it open.
    pub conduct: Conduct,
    /// What differs for this router from [`MeshSettings::policy`].
    pub policy: Policy,
    /// Whether the mesh finds its director, whatever its priority; default:
    /// [`Placement::spread`]. Only meshd.toml has it: priorities in a keepalived.conf win.
    pub spread: Option<bool>,
    /// Routers and sync groups, by name, that should be on other directors; only meshd.toml has it.
    pub keep_apart: Vec<String>,
    /// Who is told when its state changes.
    pub notify: Notify,
}

impl VirtualRouter {
    /// A router with no address, and every other value at its default: version 2 for IPv4, as
    /// keepalived has it, and 3 for IPv6.
    pub fn new(name: impl Into<String>, key: RouterKey, interface: impl Into<String>) -> Self {
        VirtualRouter {
            name: name.into(),
            key,
            interface: interface.into(),
            initial_active: false,
            priority: 100,
            version: if key.family == Family::Ipv4 { Version::V2 } else { Version::V3 },
            advert_interval: Duration::from_secs(1),
            preempt: true,
            preempt_delay: Duration::ZERO,
            auth_pass: None,
            auth_header: false,
            auth_hmac: None,
            transport: Transport::Multicast { source: None },
            addresses: Vec::new(),
            excluded_addresses: Vec::new(),
            track: Tracks::default(),
            dont_track_primary: false,
            track_source: false,
            routes: Vec::new(),
            rules: Vec::new(),
            vmac: None,
            vmac_transmit_base: false,
            vmac_addresses: false,
            address_vmacs: Vec::new(),
            garp: GratuitousArp::default(),
            strict: false,
            skip_check_adv_addr: false,
            conduct: Conduct::default(),
            policy: Policy::default(),
            spread: None,
            keep_apart: Vec::new(),
            notify: Notify::default(),
        }
    }

    /// Served addresses: those in adverts, then the excluded ones. Each is there once, also where adverts
    /// list it more often.
    pub fn served(&self) -> impl Iterator<Item = &VirtualAddress> {
        let again =
            |i: usize, address: &VirtualAddress| self.addresses[..i].iter().any(|a| a.net.addr() == address.net.addr());
        let listed = self.addresses.iter().enumerate().filter(move |(i, address)| !again(*i, address));
        listed.map(|(_, address)| address).chain(&self.excluded_addresses)
    }

    /// The group multicast adverts go to.
    pub fn group(&self) -> IpAddr {
        self.conduct.group.unwrap_or_else(|| mesh_wire::vrrp::group(self.key.family))
    }

    /// Whether this host takes packets for the served addresses.
    pub fn accepts(&self) -> bool {
        self.conduct.accept || self.priority == u8::MAX
    }
}

/// Virtual routers that are Active together, or not at all (`vrrp_sync_group`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncGroup {
    /// Unique name.
    pub name: String,
    /// `group`: names of its members, in file order, each a router of the configuration.
    pub routers: Vec<String>,
    /// What all members track: faults of one are faults of all, weights change all priorities.
    pub track: Tracks,
    /// `sync_group_tracking_weight`: what single members track with a weight counts. Without it that is not
    /// tracked: different priorities within a group would pull it apart.
    pub member_weights: bool,
    /// Who is told when its state changes.
    pub notify: Notify,
}

impl SyncGroup {
    /// A group that tracks nothing of its own, and tells nobody.
    pub fn new(name: impl Into<String>, routers: Vec<String>) -> Self {
        SyncGroup {
            name: name.into(),
            routers,
            track: Tracks::default(),
            member_weights: false,
            notify: Notify::default(),
        }
    }
}

/// How many addresses fit in an advert. Its count is one byte, and no advert is fragmented: the MTU of
/// its interface may hold fewer, and still fewer before a signature. As many as keepalived lists, which leaves
/// room for an authentication header in every version.
pub fn most_addresses(family: Family, version: Version, signed: bool, mtu: usize) -> usize {
    let (headers, length) = match (family, version) {
        (Family::Ipv4, Version::V2) => (20 + 24 + 8, 4),
        (Family::Ipv4, Version::V3) => (20 + 24, 4),
        (Family::Ipv6, _) => (40 + 24, 16),
    };
    let signature = if signed { mesh_wire::vrrp::SIGNATURE } else { 0 };
    (mtu.saturating_sub(headers + signature) / length).min(usize::from(u8::MAX))
}

/// Whether this can be a virtual address: a unicast address that one host at a time can have.
pub(crate) fn can_be_virtual(address: IpAddr) -> bool {
    let mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback() || mapped)
}

/// VRRP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 3768, with the PASS authentication of RFC 2338.
    V2,
    /// RFC 9568.
    V3,
}

/// Where adverts go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// To 224.0.0.18 or ff02::12.
    Multicast {
        /// `mcast_src_ip`: source address; default the interface's primary address, in IPv6 its
        /// link-local one.
        source: Option<IpAddr>,
    },
    /// To each peer.
    Unicast {
        /// `unicast_src_ip`: the default is as for multicast.
        source: Option<IpAddr>,
        /// `unicast_peer`. None with `unicast_fault_no_peer`: the router is in fault.
        peers: Vec<IpAddr>,
    },
}

/// One virtual address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualAddress {
    /// Address with prefix length; default /32 or /128.
    pub net: IpNet,
    /// `dev`: default the router's interface.
    pub interface: Option<String>,
    /// `label`, at most 15 bytes; IPv4 only.
    pub label: Option<String>,
    /// `scope`; in IPv6 the address itself tells.
    pub scope: Scope,
    /// `brd`; IPv4 only.
    pub broadcast: Option<Ipv4Addr>,
    /// `use_vmac`: on an interface with a virtual MAC address.
    pub vmac: bool,
    /// `peer`: the other end of a point-to-point link, of the address's family; `net` has its prefix length.
    pub peer: Option<IpAddr>,
    /// `-nodad`: duplicate address detection as usual; IPv6 only.
    pub dad: bool,
    /// `home`: the home address of mobile IPv6.
    pub home: bool,
    /// `mngtmpaddr`: temporary addresses are made from it (RFC 8981).
    pub manage_temporary: bool,
    /// `noprefixroute`: without a route to its network.
    pub no_prefix_route: bool,
    /// `autojoin`: a multicast address is joined.
    pub autojoin: bool,
    /// `preferred_lft`: seconds for which the host chooses it for connections of its own; default: as long
    /// as it is there.
    pub preferred_s: Option<u32>,
    /// Put back at once when somebody removes it; false with `no_track`: with the next renewal.
    pub track: bool,
}

impl VirtualAddress {
    /// On the router's interface, of global scope, nothing more.
    pub fn new(net: IpNet) -> Self {
        VirtualAddress {
            net,
            interface: None,
            label: None,
            scope: Scope::Global,
            broadcast: None,
            vmac: false,
            peer: None,
            dad: false,
            home: false,
            manage_temporary: false,
            no_prefix_route: false,
            autojoin: false,
            preferred_s: None,
            track: true,
        }
    }
}

impl VirtualAddress {
    /// What it is called where it cannot be put in, as a static one.
    pub fn static_title(&self) -> String {
        format!("static address {} on {}", self.net, self.interface.as_deref().unwrap_or_default())
    }
}

/// Scope of an address (RT_SCOPE_*).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Valid everywhere.
    #[default]
    Global,
    /// Valid in this site (IPv6, deprecated).
    Site,
    /// Valid on this link.
    Link,
    /// Valid on this host.
    Host,
    /// Nowhere.
    Nowhere,
}

/// When addresses are announced, by gratuitous ARP or neighbour advertisements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GratuitousArp {
    /// `garp_master_repeat`: packets in a burst; default 5.
    pub repeat: u32,
    /// `garp_master_delay`: until the second burst; default 5 s, zero for none.
    pub delay: Duration,
    /// `garp_master_refresh`: between later bursts; default zero, none.
    pub refresh: Duration,
    /// `garp_master_refresh_repeat`: packets in those; default 1.
    pub refresh_repeat: u32,
    /// `garp_lower_prio_repeat`: packets when a less worthy router was heard; default 5.
    pub lower_prio_repeat: u32,
    /// `garp_lower_prio_delay`: until the second burst of those; default 5 s, zero for none.
    pub lower_prio_delay: Duration,
    /// `garp_extra_if`: between packets on interfaces of addresses that are not the router's own; to a
    /// day, default zero, none.
    pub extra: Duration,
    /// `garp_extra_if all`: on all such interfaces, not only on those with a virtual MAC.
    pub extra_all: bool,
}

impl Default for GratuitousArp {
    fn default() -> Self {
        GratuitousArp {
            repeat: 5,
            delay: Duration::from_secs(5),
            refresh: Duration::ZERO,
            refresh_repeat: 1,
            lower_prio_repeat: 5,
            lower_prio_delay: Duration::from_secs(5),
            extra: Duration::ZERO,
            extra_all: false,
        }
    }
}

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

/// How long a granted lease lives: what a failover costs, and how long a silence of the mesh is survived. Directors need
/// not agree; what counts is what the owner asks for.
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
