//! The keys of meshd.toml about virtual servers. Defaults, ranges and meaning:
//! deploy/examples/meshd.toml.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::text::{EndpointEntry, FifoEntry, ScriptEntry, Time};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lvs {
    pub(super) check_scope: Option<ScopeName>,
    pub(super) timeouts: Option<Spanned<Timeouts>>,
    pub(super) sync: Option<Sync>,
    #[serde(default)]
    pub(super) flush: bool,
    pub(super) flush_on_stop: Option<FlushName>,
    pub(super) notify_fifo: Option<FifoEntry>,
    #[serde(default)]
    pub(super) init_notifies: bool,
    #[serde(default)]
    pub(super) log_all_failures: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ScopeName {
    Mesh,
    Local,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FlushName {
    Own,
    All,
    VirtualServers,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Timeouts {
    pub(super) tcp: Option<Spanned<Time>>,
    pub(super) tcp_fin: Option<Spanned<Time>>,
    pub(super) udp: Option<Spanned<Time>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sync {
    pub(super) interface: Spanned<String>,
    pub(super) router: Option<Spanned<String>>,
    pub(super) id: Option<Spanned<i64>>,
    pub(super) max_length: Option<Spanned<i64>>,
    pub(super) port: Option<Spanned<i64>>,
    pub(super) group: Option<Spanned<IpAddr>>,
    pub(super) ttl: Option<Spanned<i64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsTable {
    pub(super) ca: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) password: Option<String>,
}

/// Without the password.
impl std::fmt::Debug for TlsTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let TlsTable { ca, certificate, key, password: _ } = self;
        f.debug_struct("TlsTable").field("ca", ca).field("certificate", certificate).field("key", key).finish()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MailTable {
    #[serde(default)]
    pub(super) to: Vec<Spanned<String>>,
    pub(super) from: Option<Spanned<String>>,
    pub(super) server: Option<Spanned<String>>,
    pub(super) helo_name: Option<Spanned<String>>,
    pub(super) connect_timeout: Option<Spanned<Time>>,
    pub(super) alert: Option<bool>,
    pub(super) alert_routers: Option<bool>,
    pub(super) alert_servers: Option<bool>,
    #[serde(default)]
    pub(super) no_faults: bool,
    #[serde(default)]
    pub(super) changes_only: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrackFileTable {
    pub(super) name: Spanned<String>,
    pub(super) path: Spanned<String>,
    pub(super) weight: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) reverse: bool,
    pub(super) init: Option<Init>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Init {
    #[serde(default)]
    pub(super) value: i64,
    #[serde(default)]
    pub(super) overwrite: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ProtocolName {
    Tcp,
    Udp,
    Sctp,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FamilyName {
    Ipv4,
    Ipv6,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ForwardingName {
    Nat,
    Dr,
    Tun,
    Gue,
    Gre,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ChecksumName {
    None,
    Full,
    Remote,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scheduler {
    Rr,
    Wrr,
    Lc,
    Wlc,
    Lblc,
    Lblcr,
    Sh,
    Mh,
    Dh,
    Fo,
    Ovf,
    Sed,
    Nq,
    Twos,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FlagName {
    #[serde(rename = "flag-1")]
    One,
    #[serde(rename = "flag-2")]
    Two,
    #[serde(rename = "flag-3")]
    Three,
    Port,
    Fallback,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum EngineName {
    Sip,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    pub(super) name: Option<Spanned<String>>,
    pub(super) address: Option<Spanned<SocketAddr>>,
    pub(super) fwmark: Option<Spanned<i64>>,
    pub(super) endpoints: Option<Spanned<Vec<Spanned<EndpointEntry>>>>,
    pub(super) family: Option<Spanned<FamilyName>>,
    pub(super) protocol: Option<Spanned<ProtocolName>>,
    pub(super) scheduler: Scheduler,
    #[serde(default)]
    pub(super) flags: Vec<Spanned<FlagName>>,
    pub(super) one_packet: Option<Spanned<bool>>,
    pub(super) forwarding: Spanned<ForwardingName>,
    pub(super) tunnel_port: Option<Spanned<i64>>,
    pub(super) tunnel_checksum: Option<Spanned<ChecksumName>>,
    pub(super) persistence: Option<Spanned<Time>>,
    pub(super) granularity: Option<Spanned<i64>>,
    pub(super) persistence_engine: Option<Spanned<EngineName>>,
    #[serde(default)]
    pub(super) ha_suspend: bool,
    #[serde(default)]
    pub(super) alpha: bool,
    #[serde(default)]
    pub(super) omega: bool,
    pub(super) quorum: Option<Spanned<i64>>,
    pub(super) hysteresis: Option<Spanned<i64>>,
    pub(super) quorum_up: Option<Spanned<ScriptEntry>>,
    pub(super) quorum_down: Option<Spanned<ScriptEntry>>,
    pub(super) sorry_server: Option<Sorry>,
    pub(super) alert: Option<bool>,
    pub(super) check_scope: Option<ScopeName>,
    pub(super) inhibit_on_failure: Option<bool>,
    pub(super) virtualhost: Option<String>,
    pub(super) delay_loop: Option<Spanned<Time>>,
    pub(super) warmup: Option<Spanned<Time>>,
    pub(super) retry: Option<Spanned<i64>>,
    pub(super) delay_before_retry: Option<Spanned<Time>>,
    pub(super) timeout: Option<Spanned<Time>>,
    pub(super) real_server: Vec<RealServerTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointTable {
    pub(super) fwmark: Option<Spanned<i64>>,
    pub(super) family: Option<FamilyName>,
    pub(super) range: Option<Spanned<String>>,
    pub(super) port: Option<Spanned<i64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScriptTable {
    pub(super) command: super::text::Command,
    pub(super) user: Option<String>,
    pub(super) group: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sorry {
    pub(super) address: Spanned<SocketAddr>,
    pub(super) forwarding: Option<Spanned<ForwardingName>>,
    pub(super) tunnel_port: Option<Spanned<i64>>,
    pub(super) tunnel_checksum: Option<Spanned<ChecksumName>>,
    #[serde(default)]
    pub(super) inhibit: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RealServerTable {
    pub(super) address: Spanned<SocketAddr>,
    pub(super) weight: Option<Spanned<i64>>,
    pub(super) forwarding: Option<Spanned<ForwardingName>>,
    pub(super) tunnel_port: Option<Spanned<i64>>,
    pub(super) tunnel_checksum: Option<Spanned<ChecksumName>>,
    pub(super) upper_threshold: Option<Spanned<i64>>,
    pub(super) lower_threshold: Option<Spanned<i64>>,
    pub(super) inhibit_on_failure: Option<bool>,
    pub(super) notify_up: Option<Spanned<ScriptEntry>>,
    pub(super) notify_down: Option<Spanned<ScriptEntry>>,
    pub(super) alert: Option<bool>,
    pub(super) virtualhost: Option<String>,
    pub(super) alpha: Option<bool>,
    pub(super) delay_loop: Option<Spanned<Time>>,
    pub(super) warmup: Option<Spanned<Time>>,
    pub(super) retry: Option<Spanned<i64>>,
    pub(super) delay_before_retry: Option<Spanned<Time>>,
    pub(super) timeout: Option<Spanned<Time>>,
    #[serde(default)]
    pub(super) check: Vec<CheckTable>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum CheckType {
    Tcp,
    Http,
    Https,
    Smtp,
    Dns,
    Script,
    Ping,
    Udp,
    File,
    Bfd,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckTable {
    #[serde(rename = "type")]
    pub(super) kind: Spanned<CheckType>,
    // Connections.
    pub(super) address: Option<Spanned<IpAddr>>,
    pub(super) port: Option<Spanned<i64>>,
    pub(super) source: Option<Spanned<IpAddr>>,
    pub(super) source_port: Option<Spanned<i64>>,
    pub(super) interface: Option<Spanned<String>>,
    pub(super) fwmark: Option<Spanned<i64>>,
    pub(super) timeout: Option<Spanned<Time>>,
    // Times.
    pub(super) alpha: Option<Spanned<bool>>,
    pub(super) delay_loop: Option<Spanned<Time>>,
    pub(super) warmup: Option<Spanned<Time>>,
    pub(super) retry: Option<Spanned<i64>>,
    pub(super) delay_before_retry: Option<Spanned<Time>>,
    pub(super) log_all_failures: Option<Spanned<bool>>,
    // HTTP and HTTPS.
    pub(super) url: Option<Spanned<Vec<UrlTable>>>,
    pub(super) http_version: Option<Spanned<HttpVersion>>,
    pub(super) virtualhost: Option<Spanned<String>>,
    pub(super) fast_recovery: Option<Spanned<bool>>,
    pub(super) sni: Option<Spanned<bool>>,
    pub(super) sni_name: Option<Spanned<String>>,
    // SMTP.
    pub(super) helo_name: Option<Spanned<String>>,
    pub(super) host: Option<Spanned<Vec<HostTable>>>,
    // DNS.
    pub(super) record: Option<Spanned<RecordName>>,
    pub(super) domain: Option<Spanned<String>>,
    // Scripts.
    pub(super) run: Option<Spanned<ScriptEntry>>,
    pub(super) run_timeout: Option<Spanned<Time>>,
    // UDP.
    pub(super) payload: Option<Spanned<String>>,
    pub(super) reply: Option<Spanned<String>>,
    pub(super) min_reply: Option<Spanned<i64>>,
    pub(super) max_reply: Option<Spanned<i64>>,
    // Files.
    pub(super) file: Option<Spanned<String>>,
    pub(super) weight: Option<Spanned<i64>>,
    pub(super) reverse: Option<Spanned<bool>>,
    pub(super) dynamic: Option<Spanned<bool>>,
    // BFD.
    pub(super) session: Option<Spanned<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) enum HttpVersion {
    #[serde(rename = "1.0")]
    V10,
    #[serde(rename = "1.0-close")]
    V10Close,
    #[serde(rename = "1.1")]
    V11,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) enum RecordName {
    A,
    #[serde(rename = "NS")]
    Ns,
    #[serde(rename = "CNAME")]
    Cname,
    #[serde(rename = "SOA")]
    Soa,
    #[serde(rename = "MX")]
    Mx,
    #[serde(rename = "TXT")]
    Txt,
    #[serde(rename = "AAAA")]
    Aaaa,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HostTable {
    pub(super) address: Option<Spanned<IpAddr>>,
    pub(super) port: Option<Spanned<i64>>,
    pub(super) source: Option<Spanned<IpAddr>>,
    pub(super) source_port: Option<Spanned<i64>>,
    pub(super) interface: Option<Spanned<String>>,
    pub(super) fwmark: Option<Spanned<i64>>,
    pub(super) timeout: Option<Spanned<Time>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UrlTable {
    pub(super) path: Spanned<String>,
    pub(super) virtualhost: Option<String>,
    pub(super) digest: Option<Spanned<String>>,
    pub(super) status: Option<Spanned<super::text::StatusEntry>>,
    pub(super) regex: Option<RegexTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RegexTable {
    pub(super) pattern: String,
    #[serde(default)]
    pub(super) options: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) no_match: bool,
    pub(super) min_offset: Option<Spanned<i64>>,
    pub(super) max_offset: Option<Spanned<i64>>,
}
