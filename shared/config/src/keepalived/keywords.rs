//! Which keyword belongs where, and what this version does with it.

mod server;

pub(super) use self::server::*;
use super::values;

/// A block, or the top level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    /// How the block is called in messages; the keyword that opens it.
    pub(super) name: &'static str,
    /// Keywords acted upon.
    pub(super) acted: &'static [&'static str],
    /// Keywords without effect here that nobody misses: mail, buffers, scheduling.
    pub(super) harmless: &'static [&'static str],
    /// Keywords whose absence shows, each with what happens instead.
    pub(super) differs: &'static [(&'static str, &'static str)],
}

/// Where what SNMP would show is found.
const SNMP: &str = "there is no SNMP; `/metrics` (`[telemetry] listen` of meshd.toml) and `meshctl --json` show the same, `meshctl events --follow` and a notify_fifo tell what traps do";

pub(super) const ROOT: Context = Context {
    name: "the top level",
    acted: &[
        "global_defs",
        "vrrp_script",
        "vrrp_instance",
        "virtual_server_group",
        "virtual_server",
        "track_file",
        "vrrp_track_file",
        "vrrp_track_process",
        "vrrp_sync_group",
        "interface_up_down_delays",
        "static_ipaddress",
        "static_routes",
        "static_rules",
        "track_group",
        "bfd_instance",
        "SSL",
        "include_check",
        "garp_group",
        "instance",
        "use_pid_dir",
        "net_namespace",
        "net_namespace_ipvs",
    ],
    harmless: &[
        "child_wait_time",
        "linkbeat_use_polling",
        "linkbeat_interfaces",
        "config_save_dir",
        "tmp_config_directory",
        "namespace_with_ipsets",
    ],
    differs: &[],
};

pub(super) const GLOBAL: Context = Context {
    name: "global_defs",
    acted: &[
        "router_id",
        "notification_email",
        "script_user",
        "enable_script_security",
        "vrrp_version",
        "vrrp_strict",
        "vrrp_skip_check_adv_addr",
        "vrrp_garp_master_delay",
        "vrrp_garp_master_repeat",
        "vrrp_garp_master_refresh",
        "vrrp_garp_master_refresh_repeat",
        "vrrp_garp_interval",
        "vrrp_gna_interval",
        "smtp_server",
        "smtp_connect_timeout",
        "vrrp_iptables",
        "vrrp_ipsets",
        "include_check",
        "dynamic_interfaces",
        "vrrp_startup_delay",
        "vrrp_delay_after_boot",
        "notification_email_from",
        "smtp_helo_name",
        "smtp_alert",
        "smtp_alert_vrrp",
        "smtp_alert_checker",
        "no_email_faults",
        "no_checker_emails",
        "checker_log_all_failures",
        "rs_init_notifies",
        "lvs_sync_daemon",
        "lvs_timeouts",
        "lvs_flush",
        "lvs_flush_on_stop",
        "lvs_flush_onstop",
        "lvs_notify_fifo",
        "vmac_prefix",
        "vmac_addr_prefix",
        "notify_fifo",
        "vrrp_notify_fifo",
        "fifo_write_vrrp_states_on_reload",
        "use_symlink_paths",
        "set_supplementary_groups",
        "notify_fifo_script",
        "vrrp_notify_fifo_script",
        "lvs_notify_fifo_script",
        "startup_script_timeout",
        "shutdown_script_timeout",
        "vrrp_notify_priority_changes",
        "startup_script",
        "shutdown_script",
        "vrrp_mcast_group4",
        "vrrp_mcast_group6",
        "vrrp_check_unicast_src",
        "v3_checksum_as_v2",
        "vrrp_lower_prio_no_advert",
        "vrrp_higher_prio_send_advert",
        "vrrp_down_timer_adverts",
        "vrrp_owner_ignore_adverts",
        "vrrp_garp_lower_prio_delay",
        "vrrp_garp_lower_prio_repeat",
        "vrrp_garp_extra_if",
        "vrrp_vmac_garp_intvl",
        "vmac_garp_intvl",
        "vrrp_min_garp",
        "umask",
        "state_dump_file",
        "stats_dump_file",
        "json_dump_file",
        "json_version",
        "data_use_instance",
        "reload_file",
        "instance",
        "use_pid_dir",
        "net_namespace",
        "net_namespace_ipvs",
        "log_unknown_vrids",
        "default_interface",
        "vrrp_priority",
        "checker_priority",
        "bfd_priority",
        "vrrp_rt_priority",
        "checker_rt_priority",
        "bfd_rt_priority",
        "vrrp_rlimit_rttime",
        "checker_rlimit_rttime",
        "bfd_rlimit_rttime",
        "vrrp_rlimit_rtime",
        "checker_rlimit_rtime",
        "bfd_rlimit_rtime",
        "vrrp_no_swap",
        "checker_no_swap",
        "bfd_no_swap",
        "vrrp_cpu_affinity",
        "checker_cpu_affinity",
        "bfd_cpu_affinity",
        "max_auto_priority",
        "min_auto_priority_delay",
        "process_names",
        "process_name",
        "vrrp_process_name",
        "checker_process_name",
        "bfd_process_name",
        "lvs_process_name",
        "random_seed",
        "reload_check_config",
        "reload_repeat",
        "config_save_dir",
        "iproute_usr_dir",
        "iproute_etc_dir",
        "reload_time_file",
    ],
    harmless: &[
        "vrrp_netlink_cmd_rcv_bufs",
        "vrrp_netlink_cmd_rcv_bufs_force",
        "vrrp_netlink_monitor_rcv_bufs",
        "vrrp_netlink_monitor_rcv_bufs_force",
        "lvs_netlink_cmd_rcv_bufs",
        "lvs_netlink_cmd_rcv_bufs_force",
        "lvs_netlink_monitor_rcv_bufs",
        "lvs_netlink_monitor_rcv_bufs_force",
        "process_monitor_rcv_bufs",
        "process_monitor_rcv_bufs_force",
        "vrrp_rx_bufs_policy",
        "vrrp_rx_bufs_multiplier",
        "linkbeat_use_polling",
        "child_wait_time",
        "tmp_config_directory",
        "nftables",
        "nftables_priority",
        "nftables_counters",
        "nftables_ifindex",
        "disable_local_igmp",
        "nftables_ipvs",
        "nftables_ipvs_priority",
        "nftables_ipvs_start_fwmark",
        "snmp_vs_stats_update_interval",
        "snmp_rs_stats_update_interval",
        "snmp_socket",
        "dbus_service_name",
        "dbus_no_interface_name",
        "namespace_with_ipsets",
    ],
    differs: &[
        ("enable_snmp_keepalived", SNMP),
        ("enable_snmp_vrrp", SNMP),
        ("enable_snmp_checker", SNMP),
        ("enable_snmp_rfc", SNMP),
        ("enable_snmp_rfcv2", SNMP),
        ("enable_snmp_rfcv3", SNMP),
        ("enable_traps", SNMP),
        (
            "enable_dbus",
            "there is no D-Bus; notify scripts, FIFOs and `meshctl events --follow` tell the same, `meshctl` does the same",
        ),
    ],
};

pub(super) const SCRIPT: Context = Context {
    name: "vrrp_script",
    acted: &["script", "interval", "timeout", "weight", "rise", "fall", "user", "init_fail"],
    harmless: &[],
    differs: &[],
};

pub(super) const PROCESS: Context = Context {
    name: "vrrp_track_process",
    acted: &[
        "process",
        "param_match",
        "weight",
        "quorum",
        "quorum_max",
        "fork_delay",
        "terminate_delay",
        "delay",
        "full_command",
    ],
    harmless: &[],
    differs: &[],
};

pub(super) const BFD: Context = Context {
    name: "bfd_instance",
    acted: &[
        "neighbor_ip",
        "neighbour_ip",
        "source_ip",
        "interface",
        "min_rx",
        "min_tx",
        "idle_tx",
        "multiplier",
        "passive",
        "ttl",
        "hoplimit",
        "max_hops",
        "multihop",
        "weight",
        "vrrp",
        "checker",
    ],
    harmless: &[],
    differs: &[],
};

pub(super) const SYNC_GROUP: Context = Context {
    name: "vrrp_sync_group",
    acted: &[
        "group",
        "track_interface",
        "track_script",
        "track_file",
        "track_process",
        "track_bfd",
        "sync_group_tracking_weight",
        "global_tracking",
        "notify",
        "notify_master",
        "notify_backup",
        "notify_fault",
        "notify_stop",
        "notify_deleted",
        "notify_priority_changes",
        "smtp_alert",
    ],
    harmless: &[],
    differs: &[],
};

pub(super) const INSTANCE: Context = Context {
    name: "vrrp_instance",
    acted: &[
        "state",
        "interface",
        "virtual_router_id",
        "priority",
        "advert_int",
        "authentication",
        "nopreempt",
        "preempt",
        "preempt_delay",
        "version",
        "unicast_src_ip",
        "unicast_peer",
        "mcast_src_ip",
        "track_interface",
        "track_script",
        "track_file",
        "track_process",
        "track_bfd",
        "track_src_ip",
        "dont_track_primary",
        "virtual_ipaddress",
        "virtual_ipaddress_excluded",
        "garp_master_delay",
        "garp_master_repeat",
        "garp_master_refresh",
        "garp_master_refresh_repeat",
        "strict_mode",
        "skip_check_adv_addr",
        "native_ipv6",
        "virtual_routes",
        "virtual_rules",
        "use_vmac",
        "use_ipvlan",
        "vrf",
        "use_vmac_addr",
        "vmac_xmit_base",
        "lvs_sync_daemon_interface",
        "notify",
        "notify_master",
        "notify_backup",
        "notify_fault",
        "notify_stop",
        "notify_deleted",
        "notify_master_rx_lower_pri",
        "notify_priority_changes",
        "smtp_alert",
        "vmac_garp_intvl",
        "no_accept",
        "no_virtual_ipaddress",
        "promote_secondaries",
        "mcast_dst_ip",
        "unicast_ttl",
        "check_unicast_src",
        "unicast_fault_no_peer",
        "v3_checksum_as_v2",
        "owner_ignore_adverts",
        "lower_prio_no_advert",
        "higher_prio_send_advert",
        "down_timer_adverts",
        "garp_lower_prio_delay",
        "garp_lower_prio_repeat",
        "garp_extra_if",
        "auth_hmac",
        "accept",
        "old_unicast_checksum",
        "timer_expired_backup",
        "thread_timer_expired",
    ],
    harmless: &["debug", "kernel_rx_buf_size", "linkbeat_use_polling"],
    differs: &[],
};

pub(super) const AUTHENTICATION: Context =
    Context { name: "authentication", acted: &["auth_type", "auth_pass"], harmless: &[], differs: &[] };

pub(super) const AUTH_HMAC: Context = Context {
    name: "auth_hmac",
    acted: &["key", "active_key", "anti_replay", "time_window", "mode"],
    harmless: &[],
    differs: &[],
};

pub(super) const GARP_GROUP: Context = Context {
    name: "garp_group",
    acted: &["garp_interval", "gna_interval", "interface", "interfaces"],
    harmless: &[],
    differs: &[],
};

pub(super) const TRACK_GROUP: Context = Context { name: "track_group", acted: &["group"], harmless: &[], differs: &[] };

/// Lists of free words.
const fn list(name: &'static str) -> Context {
    Context { name, acted: &[], harmless: &[], differs: &[] }
}

const LISTS: &[Context] = &[
    list("notification_email"),
    list("unicast_peer"),
    list("interfaces"),
    list("group"),
    list("track_interface"),
    list("track_script"),
    list("track_process"),
    list("track_bfd"),
    list("interface_up_down_delays"),
    list("virtual_ipaddress"),
    list("virtual_ipaddress_excluded"),
    list("virtual_server_group"),
    list("virtual_routes"),
    list("virtual_rules"),
    list("static_ipaddress"),
    list("static_routes"),
    list("static_rules"),
];

const CONTEXTS: &[Context] =
    &[GLOBAL, SCRIPT, SYNC_GROUP, INSTANCE, AUTHENTICATION, AUTH_HMAC, GARP_GROUP, BFD, TRACK_GROUP];

/// Blocks whose keywords are those of others, too, which are meant where they are misplaced.
const LAST: &[Context] = &[PROCESS];

/// Keywords that read other files.
pub(super) const INCLUDES: &[&str] = &["include", "includer", "includem", "includew", "includeb", "includea"];

/// What this version does with a keyword in a context.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Acted,
    Harmless,
    /// What happens instead.
    Differs(&'static str),
    /// The block it belongs in, or the nearest keyword of this one.
    Unknown {
        belongs: Option<&'static str>,
        meant: Option<&'static str>,
    },
}

impl Context {
    fn knows(&self, keyword: &str) -> bool {
        self.keywords().any(|k| k == keyword)
    }

    fn keywords(&self) -> impl Iterator<Item = &'static str> {
        self.acted.iter().chain(self.harmless).copied().chain(self.differs.iter().map(|(k, _)| *k))
    }

    /// Whether a word out of place may be a part of a password or a key: it is not shown.
    pub(super) fn holds_secrets(&self) -> bool {
        [AUTHENTICATION.name, AUTH_HMAC.name].contains(&self.name)
    }

    /// Looks a keyword up.
    pub(super) fn standing(&self, keyword: &str) -> Standing {
        if self.acted.contains(&keyword) {
            return Standing::Acted;
        }
        if self.harmless.contains(&keyword) {
            return Standing::Harmless;
        }
        if let Some((_, instead)) = self.differs.iter().find(|(k, _)| *k == keyword) {
            return Standing::Differs(instead);
        }
        let mut contexts = std::iter::once(&ROOT).chain(CONTEXTS).chain(server::CONTEXTS).chain(LAST);
        let belongs = contexts.find(|c| c.knows(keyword)).map(|c| c.name);
        let meant = if belongs.is_some() { None } else { values::nearest(keyword, self.keywords()) };
        Standing::Unknown { belongs, meant }
    }
}

/// Whether a block may stand in another (`None`: at the top level). Blocks nobody knows may stand anywhere.
pub(super) fn fits(parent: Option<&str>, child: &str) -> bool {
    let Some(parent) = parent else { return ROOT.knows(child) };
    if parent == "SSL_GET" {
        return HTTP_CHECK.knows(child);
    }
    match CONTEXTS.iter().chain(server::CONTEXTS).chain(LAST).chain(LISTS).find(|c| c.name == parent) {
        Some(context) => context.knows(child),
        None => true,
    }
}
