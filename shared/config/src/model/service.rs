//! Virtual servers, their real servers and checks: keepalived's `virtual_server`, as ip_vs and the
//! health checkers need it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use mesh_wire::mesh::Family;

use super::{Fifo, Weight};

/// A script to run, and as whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Script {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Overrides `script_user`.
    pub user: Option<(String, Option<String>)>,
}

/// `virtual_server`: one pool of real servers, reached by one or more ip_vs services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualServer {
    /// How people call it: `10.0.0.1:80/tcp`, `fwmark 7` or the group's name, with the protocol
    /// where a group is used by several. Unique in a configuration.
    pub name: String,
    /// What ip_vs listens for; one, or the entries of a `virtual_server_group`, in file order.
    pub endpoints: Vec<Endpoint>,
    /// `protocol`; TCP for marks, where it only says how TCP_CHECK and friends are meant.
    pub protocol: Protocol,
    /// Family of the packets ip_vs sees; that of the real servers may differ behind a tunnel.
    pub family: Family,
    /// `lvs_sched`, `lb_algo`: ip_vs's own name in lower case; default `wlc`.
    pub scheduler: String,
    /// `flag-1` and its other names `sh-fallback`, `mh-fallback`.
    pub flag_1: bool,
    /// `flag-2` and its other names `sh-port`, `mh-port`.
    pub flag_2: bool,
    /// `flag-3`.
    pub flag_3: bool,
    /// `ops`: each UDP packet is scheduled by itself.
    pub one_packet: bool,
    /// `lvs_method`, `lb_kind`: for real servers that say nothing; default NAT.
    pub forwarding: Forwarding,
    /// `persistence_timeout` in seconds; `None` without persistence.
    pub persistence: Option<u32>,
    /// `persistence_granularity`: how many leading bits of a client's address make one client;
    /// default all of them.
    pub granularity: Option<u8>,
    /// `persistence_engine`, such as `sip`.
    pub persistence_engine: Option<String>,
    /// `ha_suspend`: no checks while none of the addresses is on this host.
    pub ha_suspend: bool,
    /// `alpha`: real servers are down until checked.
    pub alpha: bool,
    /// `omega`: at the end of the daemon the scripts for down and lost run.
    pub omega: bool,
    /// `quorum`: live weight that is enough; default 1.
    pub quorum: u32,
    /// `hysteresis`: gained at quorum + hysteresis, lost below quorum - hysteresis; default 0.
    pub hysteresis: u32,
    /// `quorum_up`.
    pub quorum_up: Option<Script>,
    /// `quorum_down`.
    pub quorum_down: Option<Script>,
    /// `sorry_server`: serves while there is no quorum; never checked.
    pub sorry_server: Option<SorryServer>,
    /// `smtp_alert`: mail on gain and loss of the quorum; `None` follows the global setting.
    pub smtp_alert: Option<bool>,
    /// Who checks the real servers.
    pub check_scope: CheckScope,
    /// `real_server` blocks, in file order, addresses unique.
    pub real_servers: Vec<RealServer>,
}

/// What an ip_vs service listens for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// Packets of the server's protocol to this address; port 0 is every port (persistent only).
    Address(SocketAddr),
    /// Packets that the firewall marked so.
    Fwmark(u32, Family),
}

/// `sorry_server`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SorryServer {
    /// Its address.
    pub address: SocketAddr,
    /// `sorry_server_lvs_method`; default that of the virtual server.
    pub forwarding: Forwarding,
    /// `sorry_server_inhibit`: stays in ip_vs with weight 0 while it is not needed.
    pub inhibit: bool,
}

/// Which directors check the real servers of a mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckScope {
    /// A few directors for each real server, the one that serves among them; they tell the others.
    #[default]
    Mesh,
    /// Every director for itself, as keepalived does.
    Local,
}

/// Transport protocol of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// How ip_vs forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// Masquerading.
    Nat,
    /// Direct routing.
    DirectRouting,
    /// Tunnelling.
    Tunnel(Tunnel),
}

/// Kind of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tunnel {
    /// IP in IP.
    Ipip,
    /// Generic UDP encapsulation to this port.
    Gue(u16, TunnelChecksum),
    /// GRE; without remote checksum offload.
    Gre(TunnelChecksum),
}

/// Checksum of an encapsulation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TunnelChecksum {
    /// `nocsum`.
    #[default]
    None,
    /// `csum`.
    Checksum,
    /// `remcsum`: remote checksum offload, GUE only.
    Remote,
}

/// `real_server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealServer {
    /// Its address; port 0 is the port of the service.
    pub address: SocketAddr,
    /// `weight`, 0 to 2147483647, default 1; 0 takes no new connections.
    pub weight: u32,
    /// `lvs_method`; default that of the virtual server.
    pub forwarding: Forwarding,
    /// `uthreshold`: connections at which it takes no more; 0 for no limit.
    pub upper_threshold: u32,
    /// `lthreshold`: connections at which it takes some again; 0 for three quarters of the upper.
    pub lower_threshold: u32,
    /// `inhibit_on_failure`: weight 0 instead of removal while it is down.
    pub inhibit_on_failure: bool,
    /// `notify_up`.
    pub notify_up: Option<Script>,
    /// `notify_down`.
    pub notify_down: Option<Script>,
    /// `smtp_alert`; `None` follows the global setting.
    pub smtp_alert: Option<bool>,
    /// Its checkers; without any it is always up.
    pub checks: Vec<Check>,
}

/// One checker of a real server, all defaults of the blocks around it filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What it does.
    pub kind: CheckKind,
    /// Where and how it connects; of no use for MISC_CHECK, BFD_CHECK and FILE_CHECK.
    pub connect: Connect,
    /// `alpha`: down until the first success.
    pub alpha: bool,
    /// `delay_loop`: between two checks; default 60 s.
    pub delay_loop: Duration,
    /// `warmup`: the first check comes at a random moment within this; default `delay_loop`.
    pub warmup: Duration,
    /// `retry`, `nb_get_retry`: failures after the first before it counts as down; default 1, 3 for
    /// DNS_CHECK, 0 for MISC_CHECK.
    pub retry: u32,
    /// `delay_before_retry`: default 1 s; 3 s for HTTP_GET and SSL_GET, `delay_loop` for DNS_CHECK.
    pub delay_before_retry: Duration,
    /// `log_all_failures`.
    pub log_all_failures: bool,
}

/// Generic connection options of a checker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// `connect_ip`, `connect_port`: default the real server's.
    pub to: SocketAddr,
    /// `bindto` and `bind_port`: source address and port; unspecified and 0 where not given.
    pub from: Option<(IpAddr, u16)>,
    /// `bind_if`.
    pub interface: Option<String>,
    /// `fwmark` of the packets; 0 for none.
    pub fwmark: u32,
    /// `connect_timeout`: for the connection, and again for each answer; default 5 s.
    pub timeout: Duration,
}

/// What a checker does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// `TCP_CHECK`: connects.
    Tcp,
    /// `HTTP_GET`, `SSL_GET`: gets each URL.
    Http(HttpCheck),
    /// `SMTP_CHECK`: greeting, HELO, QUIT.
    Smtp {
        /// `helo_name`; default the host's name.
        helo_name: Option<String>,
        /// Hosts to ask one after the other; at least one (`host` blocks, else the real server).
        hosts: Vec<Connect>,
    },
    /// `DNS_CHECK`: asks by UDP; any answer without an error will do.
    Dns {
        /// `type`: A, NS, CNAME, SOA, MX, TXT or AAAA; default SOA.
        record: String,
        /// `name`; default the root.
        name: String,
    },
    /// `MISC_CHECK`: runs a program.
    Misc {
        /// `misc_path` and `user`.
        script: Script,
        /// `misc_timeout`; default `delay_loop`.
        timeout: Duration,
        /// `misc_dynamic`: exit status 2 to 255 sets the weight to the status less 2.
        dynamic: bool,
    },
    /// `PING_CHECK`: an ICMP echo.
    Ping,
    /// `UDP_CHECK`: sends a datagram; an ICMP error is a failure.
    Udp {
        /// `payload`; default 24 random bytes.
        payload: Option<Vec<u8>>,
        /// `require_reply`: only an answer that fits is a success.
        reply: Option<UdpReply>,
    },
    /// `FILE_CHECK`: a number in a tracked file.
    File {
        /// Name of a [`TrackFile`].
        file: String,
        /// `weight`: multiplies the number; with 0, any other number than 0 is a failure.
        weight: i32,
        /// `weight ... reverse`.
        reverse: bool,
        /// The number times the weight is added to the real server's weight; keepalived does so wherever
        /// the weight is not 0.
        dynamic: bool,
    },
    /// `BFD_CHECK`: a BFD session.
    Bfd {
        /// Name of a `bfd_instance`.
        instance: String,
    },
}

/// Which answers satisfy a `UDP_CHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpReply {
    /// Bytes the answer begins with, each with the bits that have to be equal; nothing for any content.
    pub pattern: Vec<(u8, u8)>,
    /// `min_reply_length`; default 0.
    pub least: u16,
    /// `max_reply_length`; default 255.
    pub most: u16,
}

/// `HTTP_GET` or `SSL_GET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    /// `SSL_GET`.
    pub tls: bool,
    /// `http_protocol`; default 1.0.
    pub protocol: HttpProtocol,
    /// `enable_sni`: the virtual host's name, or `sni_name`, is sent in the handshake.
    pub sni: Option<String>,
    /// `fast_recovery`: no delay between the URLs.
    pub fast_recovery: bool,
    /// `url` blocks, at least one.
    pub urls: Vec<Url>,
}

/// HTTP version of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpProtocol {
    /// HTTP/1.0.
    #[default]
    V10,
    /// HTTP/1.0 with `Connection: close`.
    V10Close,
    /// HTTP/1.1 with `Connection: close`.
    V11,
}

/// `url`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// `path`.
    pub path: String,
    /// `virtualhost` of the url, the checker, the real server or the virtual server; default the
    /// address asked.
    pub virtualhost: Option<String>,
    /// `digest`: MD5 of the body, 32 hexadecimal digits in lower case.
    pub digest: Option<String>,
    /// `status_code`: first and last of each range, at least one; default 200 to 299, or any (100 to
    /// 599) with a digest.
    pub status: Vec<(u16, u16)>,
    /// `regex`.
    pub regex: Option<Regex>,
}

/// What the body has to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regex {
    /// The expression, in PCRE2's language.
    pub pattern: String,
    /// `regex_options` by PCRE2's names, such as `caseless`.
    pub options: Vec<String>,
    /// `regex_no_match`: a match is a failure.
    pub no_match: bool,
    /// `regex_min_offset`, `regex_max_offset`: where a match may begin.
    pub offsets: (usize, Option<usize>),
}

/// `SSL`: what checkers use towards TLS servers; without any of it, no certificate is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// `ca`: the server's certificate has to be signed by one of these.
    pub ca: Option<PathBuf>,
    /// `certificate`: our own.
    pub certificate: Option<PathBuf>,
    /// `key`: of our own certificate.
    pub key: Option<PathBuf>,
    /// `password` of the key.
    pub password: Option<Secret>,
}

/// Text that no log and no debug output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }
    /// The text, for whoever needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// `track_file`, `vrrp_track_file`: a file that holds one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackFile {
    /// Unique name.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// `weight`: multiplies the number, -254 to 254; default 1. Zero: any number but 0 is a fault.
    pub weight: i32,
    /// `weight ... reverse`.
    pub reverse: bool,
    /// `init_file`: what to write at the start, and whether over what is there.
    pub init: Option<(i64, bool)>,
}

impl TrackFile {
    /// What counts where whoever tracks it says nothing.
    pub fn own_weight(&self) -> Weight {
        Weight { by: self.weight, reverse: self.reverse }
    }
}

/// What holds for all virtual servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LvsSettings {
    /// `lvs_timeouts`: seconds for TCP, TCP after FIN, UDP; 0 leaves the kernel's.
    pub timeouts: Option<(u32, u32, u32)>,
    /// `lvs_sync_daemon`.
    pub sync: Option<SyncDaemon>,
    /// `lvs_flush`: at the start every service goes, foreign ones too.
    pub flush: bool,
    /// `lvs_flush_on_stop`: what goes at the end.
    pub flush_on_stop: FlushOnStop,
    /// `lvs_notify_fifo`: a FIFO each change of a service is written to.
    pub notify_fifo: Option<Fifo>,
    /// `rs_init_notifies`: `notify_up` and `notify_down` run for the first state, too.
    pub init_notifies: bool,
    /// `checker_log_all_failures`.
    pub log_all_failures: bool,
    /// `SSL`.
    pub tls: Tls,
}

/// `lvs_flush_on_stop`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlushOnStop {
    /// Without the keyword: our services go one by one, real servers first.
    #[default]
    Own,
    /// `lvs_flush_on_stop`: every service goes, foreign ones too.
    All,
    /// `lvs_flush_on_stop VS`: our services go, without their real servers being taken out before.
    VirtualServers,
}

/// `lvs_sync_daemon`: copies connections to the directors that stand by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncDaemon {
    /// Interface for its packets.
    pub interface: String,
    /// The `vrrp_instance` it follows: master where that is active, else backup. Without one it
    /// runs as both.
    pub router: Option<String>,
    /// `id`, 0 to 255; default the VRID of `router`.
    pub id: u8,
    /// `maxlen` of a packet; 0 for the kernel's choice.
    pub max_length: u16,
    /// `port`; 0 for 8848.
    pub port: u16,
    /// `group`; default 224.0.0.81.
    pub group: Option<IpAddr>,
    /// `ttl`; 0 for 1.
    pub ttl: u8,
}

impl VirtualServer {
    /// Addresses clients use; none for marks.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.endpoints.iter().filter_map(|endpoint| match endpoint {
            Endpoint::Address(address) => Some(address.ip()),
            Endpoint::Fwmark(..) => None,
        })
    }
}

impl Protocol {
    /// In lower case, as in `10.0.0.1:80/tcp`.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

// Everything that is not given has keepalived's default.

impl VirtualServer {
    /// One service without real servers.
    pub fn new(endpoint: Endpoint, protocol: Protocol) -> VirtualServer {
        let (name, family) = match endpoint {
            Endpoint::Address(address) => {
                let family = if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
                (format!("{address}/{}", protocol.name()), family)
            }
            Endpoint::Fwmark(mark, family) => (format!("fwmark {mark}"), family),
        };
        VirtualServer {
            name,
            endpoints: vec![endpoint],
            protocol,
            family,
            scheduler: "wlc".to_owned(),
            flag_1: false,
            flag_2: false,
            flag_3: false,
            one_packet: false,
            forwarding: Forwarding::Nat,
            persistence: None,
            granularity: None,
            persistence_engine: None,
            ha_suspend: false,
            alpha: false,
            omega: false,
            quorum: 1,
            hysteresis: 0,
            quorum_up: None,
            quorum_down: None,
            sorry_server: None,
            smtp_alert: None,
            check_scope: CheckScope::default(),
            real_servers: Vec::new(),
        }
    }
}

impl RealServer {
    /// A real server without checks.
    pub fn new(address: SocketAddr, forwarding: Forwarding) -> RealServer {
        RealServer {
            address,
            weight: 1,
            forwarding,
            upper_threshold: 0,
            lower_threshold: 0,
            inhibit_on_failure: false,
            notify_up: None,
            notify_down: None,
            smtp_alert: None,
            checks: Vec::new(),
        }
    }
}

impl Check {
    /// A check of this kind, by a connection to this address.
    pub fn new(kind: CheckKind, to: SocketAddr) -> Check {
        let delay_loop = Duration::from_secs(60);
        let (retry, delay_before_retry) = match &kind {
            CheckKind::Http(_) => (1, Duration::from_secs(3)),
            CheckKind::Dns { .. } => (3, delay_loop),
            CheckKind::Misc { .. } => (0, Duration::from_secs(1)),
            _ => (1, Duration::from_secs(1)),
        };
        Check {
            kind,
            connect: Connect::new(to),
            alpha: false,
            delay_loop,
            warmup: delay_loop,
            retry,
            delay_before_retry,
            log_all_failures: false,
        }
    }
}

impl Connect {
    /// From any address to this one.
    pub fn new(to: SocketAddr) -> Connect {
        Connect { to, from: None, interface: None, fwmark: 0, timeout: Duration::from_secs(5) }
    }
}

impl HttpCheck {
    /// A check by HTTP/1.0.
    pub fn new(tls: bool, urls: Vec<Url>) -> HttpCheck {
        HttpCheck { tls, protocol: HttpProtocol::V10, sni: None, fast_recovery: false, urls }
    }
}

impl Url {
    /// Any answer from 200 to 299.
    pub fn new(path: impl Into<String>) -> Url {
        Url { path: path.into(), virtualhost: None, digest: None, status: vec![(200, 299)], regex: None }
    }
}
