//! The keys of meshd.toml. Defaults, ranges and meaning: deploy/examples/meshd.toml.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::bfd::BfdTable;
use super::conduct::{AuthHmacTable, AuthTypeName, ChecksumName, OldUnicastName, Vrrp};
use super::notify::{Notifications, NotifyTable};
use super::services::{Lvs, MailTable, Server, TlsTable, TrackFileTable};
use super::text::{AddressEntry, Command, PeerEntry, Time, TrackedEntry};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) router_id: Option<String>,
    #[serde(default)]
    pub(super) mesh: Mesh,
    #[serde(default)]
    pub(super) telemetry: Telemetry,
    #[serde(default)]
    pub(super) vrrp: Vrrp,
    #[serde(default)]
    pub(super) host: HostTable,
    #[serde(default)]
    pub(super) vmac: VmacNames,
    #[serde(default)]
    pub(super) scripts: Scripts,
    #[serde(default)]
    pub(super) script: Vec<Script>,
    #[serde(default)]
    pub(super) router: Vec<Router>,
    #[serde(default)]
    pub(super) mail: MailTable,
    #[serde(default)]
    pub(super) notify: Notifications,
    #[serde(default)]
    pub(super) process: ProcessTable,
    #[serde(default)]
    pub(super) dumps: DumpsTable,
    #[serde(default)]
    pub(super) tls: TlsTable,
    #[serde(default)]
    pub(super) lvs: Lvs,
    #[serde(default)]
    pub(super) track_file: Vec<TrackFileTable>,
    #[serde(default)]
    pub(super) track_process: Vec<TrackProcessTable>,
    #[serde(default)]
    pub(super) sync_group: Vec<SyncGroupTable>,
    #[serde(default)]
    pub(super) delays: DelayTable,
    #[serde(default)]
    pub(super) dynamic_interfaces: bool,
    #[serde(default)]
    pub(super) bfd: Vec<BfdTable>,
    #[serde(default)]
    pub(super) virtual_server: Vec<Spanned<Server>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mesh {
    pub(super) name: Option<Spanned<String>>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) profile: Option<Spanned<ProfileName>>,
    pub(super) lease: Option<Spanned<Time>>,
    pub(super) replace_after: Option<Spanned<Time>>,
    pub(super) spread: Option<bool>,
    pub(super) capacity: Option<Spanned<i64>>,
    pub(super) moves_per_minute: Option<Spanned<i64>>,
    pub(super) rebalance_after: Option<Spanned<Time>>,
    pub(super) flap_damping: Option<Spanned<FlapEntry>>,
    pub(super) realtime: Option<bool>,
    pub(super) on_quorum_loss: Option<QuorumLossName>,
    pub(super) quorum_loss_delay: Option<Spanned<Time>>,
    pub(super) trusted_neighbours: Option<Vec<Spanned<String>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Telemetry {
    pub(super) listen: Option<Spanned<SocketAddr>>,
    pub(super) endpoint: Option<Spanned<String>>,
    pub(super) headers_file: Option<Spanned<String>>,
    pub(super) service_name: Option<Spanned<String>>,
    pub(super) sampling: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ProfileName {
    Compat,
    Fast,
    Aggressive,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum QuorumLossName {
    Fence,
    Vrrp,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProcessTable {
    pub(super) instance: Option<Spanned<String>>,
    pub(super) net_namespace: Option<Spanned<String>>,
    pub(super) net_namespace_ipvs: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) use_pid_dir: bool,
    pub(super) umask: Option<Spanned<String>>,
    pub(super) reload_file: Option<Spanned<PathBuf>>,
    pub(super) reload_log: Option<Spanned<PathBuf>>,
    pub(super) reload_time_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    pub(super) reload_repeat: bool,
    pub(super) save_directory: Option<Spanned<PathBuf>>,
    pub(super) name: Option<Spanned<String>>,
    pub(super) most_automatic: Option<Spanned<i64>>,
    pub(super) late: Option<Spanned<Time>>,
    #[serde(default)]
    pub(super) vrrp: SchedulingTable,
    #[serde(default)]
    pub(super) checker: SchedulingTable,
    #[serde(default)]
    pub(super) bfd: SchedulingTable,
}

/// How one kind of threads runs.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SchedulingTable {
    pub(super) nice: Option<Spanned<i64>>,
    pub(super) realtime: Option<Spanned<i64>>,
    pub(super) longest_run: Option<Spanned<Time>>,
    #[serde(default)]
    pub(super) no_swap: bool,
    #[serde(default)]
    pub(super) processors: Vec<Spanned<i64>>,
    pub(super) name: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DumpsTable {
    pub(super) state: Option<Spanned<PathBuf>>,
    pub(super) stats: Option<Spanned<PathBuf>>,
    pub(super) json: Option<Spanned<PathBuf>>,
    pub(super) json_version: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) use_instance: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scripts {
    pub(super) user: Option<Spanned<String>>,
    pub(super) group: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) security: bool,
    #[serde(default)]
    pub(super) symlink_paths: bool,
    #[serde(default)]
    pub(super) supplementary_groups: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Script {
    pub(super) name: Spanned<String>,
    pub(super) command: Spanned<Command>,
    pub(super) interval: Option<Spanned<Time>>,
    pub(super) timeout: Option<Spanned<Time>>,
    pub(super) weight: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) reverse: bool,
    pub(super) rise: Option<Spanned<i64>>,
    pub(super) fall: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) init_fail: bool,
    pub(super) user: Option<String>,
    pub(super) group: Option<Spanned<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Active,
    Backup,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Router {
    pub(super) name: Spanned<String>,
    pub(super) interface: Spanned<String>,
    pub(super) vrid: Spanned<i64>,
    pub(super) state: Option<Spanned<State>>,
    pub(super) priority: Option<Spanned<i64>>,
    pub(super) version: Option<Spanned<i64>>,
    pub(super) advert_interval: Option<Spanned<Time>>,
    pub(super) preempt: Option<Spanned<bool>>,
    pub(super) preempt_delay: Option<Spanned<Time>>,
    pub(super) auth_pass: Option<Spanned<String>>,
    pub(super) auth_type: Option<Spanned<AuthTypeName>>,
    pub(super) auth_hmac: Option<Spanned<AuthHmacTable>>,
    pub(super) unicast: Option<Spanned<Unicast>>,
    pub(super) multicast_source: Option<Spanned<IpAddr>>,
    pub(super) multicast_group: Option<Spanned<IpAddr>>,
    pub(super) addresses: Spanned<Vec<Spanned<AddressEntry>>>,
    #[serde(default)]
    pub(super) excluded_addresses: Vec<Spanned<AddressEntry>>,
    #[serde(default)]
    pub(super) track_interfaces: Vec<Spanned<TrackedEntry>>,
    #[serde(default)]
    pub(super) routes: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) rules: Vec<Spanned<String>>,
    pub(super) vmac: Option<Spanned<VmacEntry>>,
    pub(super) ipvlan: Option<Spanned<IpvlanTable>>,
    #[serde(default)]
    pub(super) vmac_addresses: bool,
    #[serde(default)]
    pub(super) track_scripts: Vec<Spanned<TrackedEntry>>,
    #[serde(default)]
    pub(super) track_files: Vec<Spanned<TrackedEntry>>,
    #[serde(default)]
    pub(super) track_processes: Vec<Spanned<TrackedEntry>>,
    #[serde(default)]
    pub(super) track_bfds: Vec<Spanned<TrackedEntry>>,
    pub(super) track_own_interface: Option<bool>,
    #[serde(default)]
    pub(super) track_source: bool,
    #[serde(default)]
    pub(super) garp: Garp,
    #[serde(default)]
    pub(super) strict: bool,
    #[serde(default)]
    pub(super) skip_address_check: bool,
    pub(super) spread: Option<Spanned<bool>>,
    #[serde(default)]
    pub(super) keep_apart: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) no_addresses: bool,
    pub(super) accept: Option<Spanned<bool>>,
    #[serde(default)]
    pub(super) owner_ignore_adverts: bool,
    pub(super) lower_prio_no_advert: Option<Spanned<bool>>,
    pub(super) higher_prio_send_advert: Option<Spanned<bool>>,
    pub(super) down_timer_adverts: Option<Spanned<i64>>,
    pub(super) late_rival: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) promote_secondaries: bool,
    pub(super) checksum: Option<ChecksumName>,
    pub(super) on_quorum_loss: Option<QuorumLossName>,
    pub(super) quorum_loss_delay: Option<Spanned<Time>>,
    pub(super) trusted_neighbours: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) notify: NotifyTable,
    pub(super) alert: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unicast {
    pub(super) source: Option<Spanned<IpAddr>>,
    pub(super) peers: Spanned<Vec<Spanned<PeerEntry>>>,
    pub(super) ttl: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) fault_without_peers: bool,
    #[serde(default)]
    pub(super) check_source: bool,
    pub(super) old_checksum: Option<OldUnicastName>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ScopeName {
    Global,
    Site,
    Link,
    Host,
    Nowhere,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddressTable {
    pub(super) address: String,
    pub(super) interface: Option<String>,
    pub(super) label: Option<String>,
    pub(super) scope: Option<ScopeName>,
    pub(super) broadcast: Option<Ipv4Addr>,
    #[serde(default)]
    pub(super) vmac: bool,
    pub(super) peer: Option<String>,
    #[serde(default)]
    pub(super) dad: bool,
    #[serde(default)]
    pub(super) home: bool,
    #[serde(default)]
    pub(super) manage_temporary: bool,
    #[serde(default)]
    pub(super) no_prefix_route: bool,
    #[serde(default)]
    pub(super) autojoin: bool,
    pub(super) preferred: Option<Time>,
    pub(super) track: Option<bool>,
}

/// What is there as long as the daemon runs.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HostTable {
    #[serde(default)]
    pub(super) addresses: Vec<Spanned<AddressEntry>>,
    #[serde(default)]
    pub(super) routes: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) rules: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) track_group: Vec<TrackGroupTable>,
}

/// What routers need of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrackGroupTable {
    pub(super) name: Spanned<String>,
    pub(super) routers: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) addresses: Vec<Spanned<AddressEntry>>,
    #[serde(default)]
    pub(super) routes: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) rules: Vec<Spanned<String>>,
}

/// How virtual interfaces without a name are called.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VmacNames {
    pub(super) prefix: Option<Spanned<String>>,
    pub(super) address_prefix: Option<Spanned<String>>,
}

/// `false` or `true`, or what is not as usual.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected false, or a table with falls, within, hold, max")]
pub(super) enum FlapEntry {
    Switch(bool),
    Table(FlapTable),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FlapTable {
    pub(super) falls: Option<i64>,
    pub(super) within: Option<Time>,
    pub(super) hold: Option<Time>,
    pub(super) max: Option<Time>,
}

/// `true`, or what is not as usual.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected true, or a table with name, mac, group, transmit_base")]
pub(super) enum VmacEntry {
    Switch(bool),
    Table(VmacTable),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IpvlanTable {
    pub(super) name: Option<String>,
    pub(super) address: Option<String>,
    pub(super) mode: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VmacTable {
    pub(super) name: Option<String>,
    pub(super) mac: Option<String>,
    #[serde(default)]
    pub(super) group: u32,
    #[serde(default)]
    pub(super) transmit_base: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrackedTable {
    pub(super) name: String,
    pub(super) weight: Option<i64>,
    #[serde(default)]
    pub(super) reverse: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SyncGroupTable {
    pub(super) name: Spanned<String>,
    pub(super) routers: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) member_weights: bool,
    #[serde(default)]
    pub(super) notify: NotifyTable,
    pub(super) alert: Option<bool>,
    #[serde(default)]
    pub(super) track_interfaces: Vec<Spanned<TrackedEntry>>,
    #[serde(default)]
    pub(super) track_scripts: Vec<Spanned<TrackedEntry>>,
    #[serde(default)]
    pub(super) track_files: Vec<Spanned<TrackedEntry>>,
    #[serde(default)]
    pub(super) track_processes: Vec<Spanned<TrackedEntry>>,
    #[serde(default)]
    pub(super) track_bfds: Vec<Spanned<TrackedEntry>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ParameterName {
    Exact,
    Partial,
    Initial,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrackProcessTable {
    pub(super) name: Spanned<String>,
    pub(super) command: Spanned<Command>,
    pub(super) parameters: Option<ParameterName>,
    #[serde(default)]
    pub(super) full_command: bool,
    pub(super) weight: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) reverse: bool,
    pub(super) quorum: Option<Spanned<i64>>,
    pub(super) quorum_max: Option<Spanned<i64>>,
    pub(super) fork_delay: Option<Spanned<Time>>,
    pub(super) terminate_delay: Option<Spanned<Time>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DelayTable {
    pub(super) startup: Option<Spanned<Time>>,
    pub(super) after_boot: Option<Spanned<Time>>,
    #[serde(default)]
    pub(super) links: Vec<LinkDelayTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkDelayTable {
    pub(super) interface: Spanned<String>,
    pub(super) down: Spanned<Time>,
    pub(super) up: Option<Spanned<Time>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Garp {
    pub(super) repeat: Option<Spanned<i64>>,
    pub(super) delay: Option<Spanned<Time>>,
    pub(super) refresh: Option<Spanned<Time>>,
    pub(super) refresh_repeat: Option<Spanned<i64>>,
    pub(super) lower_prio_repeat: Option<Spanned<i64>>,
    pub(super) lower_prio_delay: Option<Spanned<Time>>,
    pub(super) extra: Option<Spanned<Time>>,
    #[serde(default)]
    pub(super) extra_all: bool,
}
