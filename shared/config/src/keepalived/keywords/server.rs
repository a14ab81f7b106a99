//! Keywords of virtual servers, and of what they refer to.

use super::Context;

/// A block all of whose keywords are acted upon, or are without effect everywhere.
const fn block(name: &'static str, acted: &'static [&'static str], harmless: &'static [&'static str]) -> Context {
    Context { name, acted, harmless, differs: &[] }
}

pub(in super::super) const VIRTUAL_SERVER: Context = block(
    "virtual_server",
    &[
        "delay_loop",
        "lb_algo",
        "lvs_sched",
        "lb_kind",
        "lvs_method",
        "nat_mask",
        "ops",
        "flag-1",
        "flag-2",
        "flag-3",
        "sh-port",
        "sh-fallback",
        "mh-port",
        "mh-fallback",
        "ip_family",
        "persistence_timeout",
        "persistence_granularity",
        "persistence_engine",
        "protocol",
        "ha_suspend",
        "smtp_alert",
        "virtualhost",
        "alpha",
        "omega",
        "quorum",
        "hysteresis",
        "quorum_up",
        "quorum_down",
        "sorry_server",
        "sorry_server_inhibit",
        "sorry_server_lvs_method",
        "inhibit_on_failure",
        "weight",
        "connect_timeout",
        "retry",
        "delay_before_retry",
        "warmup",
        "real_server",
    ],
    &["snmp_name", "hashed"],
);

pub(in super::super) const REAL_SERVER: Context = block(
    "real_server",
    &[
        "weight",
        "lvs_method",
        "uthreshold",
        "lthreshold",
        "inhibit_on_failure",
        "notify_up",
        "notify_down",
        "smtp_alert",
        "virtualhost",
        "alpha",
        "delay_loop",
        "connect_timeout",
        "retry",
        "delay_before_retry",
        "warmup",
        "TCP_CHECK",
        "HTTP_GET",
        "SSL_GET",
        "SMTP_CHECK",
        "DNS_CHECK",
        "MISC_CHECK",
        "PING_CHECK",
        "UDP_CHECK",
        "FILE_CHECK",
        "BFD_CHECK",
    ],
    &["snmp_name"],
);

/// A check that connects: what all of them have, and its own keywords.
macro_rules! connecting {
    ($name:literal $(, $own:literal)*) => {
        block(
            $name,
            &[
                $($own,)*
                "connect_ip",
                "connect_port",
                "bindto",
                "bind_if",
                "bind_port",
                "fwmark",
                "connect_timeout",
                "alpha",
                "delay_loop",
                "warmup",
                "retry",
                "nb_get_retry",
                "delay_before_retry",
                "log_all_failures",
            ],
            &[],
        )
    };
}

pub(in super::super) const TCP_CHECK: Context = connecting!("TCP_CHECK");
pub(in super::super) const PING_CHECK: Context = connecting!("PING_CHECK");
pub(in super::super) const HTTP_CHECK: Context =
    connecting!("HTTP_GET", "url", "virtualhost", "http_protocol", "fast_recovery", "enable_sni", "sni_name");
pub(in super::super) const SMTP_CHECK: Context = connecting!("SMTP_CHECK", "helo_name", "host");
pub(in super::super) const SMTP_HOST: Context = connecting!("host");
pub(in super::super) const DNS_CHECK: Context = connecting!("DNS_CHECK", "type", "name");
pub(in super::super) const UDP_CHECK: Context =
    connecting!("UDP_CHECK", "payload", "require_reply", "min_reply_length", "max_reply_length");

pub(in super::super) const MISC_CHECK: Context = block(
    "MISC_CHECK",
    &[
        "misc_path",
        "misc_timeout",
        "misc_dynamic",
        "user",
        "alpha",
        "delay_loop",
        "warmup",
        "retry",
        "nb_get_retry",
        "delay_before_retry",
        "log_all_failures",
    ],
    &[],
);
pub(in super::super) const FILE_CHECK: Context = block("FILE_CHECK", &["track_file", "weight", "dynamic"], &[]);
pub(in super::super) const BFD_CHECK: Context = block("BFD_CHECK", &["name", "alpha"], &[]);

pub(in super::super) const URL: Context = block(
    "url",
    &[
        "path",
        "digest",
        "status_code",
        "virtualhost",
        "regex",
        "regex_no_match",
        "regex_options",
        "regex_min_offset",
        "regex_max_offset",
    ],
    &["regex_stack", "tls_compliant"],
);

pub(in super::super) const SSL: Context = block("SSL", &["password", "ca", "certificate", "key"], &[]);
pub(in super::super) const TRACK_FILE: Context = block("track_file", &["file", "weight", "init_file"], &[]);
pub(in super::super) const OLD_TRACK_FILE: Context = block("vrrp_track_file", &["file", "weight", "init_file"], &[]);

pub(super) const CONTEXTS: &[Context] = &[
    VIRTUAL_SERVER,
    REAL_SERVER,
    TCP_CHECK,
    HTTP_CHECK,
    SMTP_CHECK,
    SMTP_HOST,
    DNS_CHECK,
    MISC_CHECK,
    PING_CHECK,
    UDP_CHECK,
    FILE_CHECK,
    BFD_CHECK,
    URL,
    SSL,
    TRACK_FILE,
    OLD_TRACK_FILE,
];
