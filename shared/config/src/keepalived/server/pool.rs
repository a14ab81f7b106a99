//! The keywords of a `virtual_server`.

use std::net::SocketAddr;

use mesh_wire::mesh::Family;

use super::super::keywords::VIRTUAL_SERVER;
use super::super::lower::Lower;
use super::super::tree::{At, Block, Statement};
use super::super::values;
use super::group::{Group, family, mark_of};
use super::timing::Timing;
use super::{Names, address, complete, forwarding, real, words};
use crate::model::{Config, Endpoint, Forwarding, Protocol, VirtualServer};

/// The schedulers of ip_vs.
const SCHEDULERS: &[&str] =
    &["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "fo", "ovf", "sed", "nq", "twos"];
/// `persistence_timeout` without a value.
pub(super) const DEFAULT_PERSISTENCE: u32 = 360;
/// 31 days, the limit of ip_vs.
const LONGEST_PERSISTENCE: u32 = 2_678_400;

/// What a virtual server listens for.
pub(super) enum Target<'n> {
    Address(SocketAddr),
    Mark(u32),
    /// A group, its name, and how many virtual servers use it.
    Group(&'n Group, &'n str, usize),
}

/// What the keywords of one virtual server say; real servers and places not among them.
pub(super) struct Pool {
    pub(super) at: At,
    /// All that needs no further thought.
    pub(super) server: VirtualServer,
    pub(super) protocol: Option<(Protocol, At)>,
    pub(super) scheduler: Option<String>,
    pub(super) forwarding: Option<Forwarding>,
    /// `sh-port` and its like.
    pub(super) hash_flags: Vec<(HashFlag, At)>,
    pub(super) one_packet: Option<At>,
    pub(super) granularity: Option<(String, At)>,
    pub(super) family: Option<(Family, At)>,
    pub(super) quorum_at: At,
    pub(super) hysteresis_at: At,
    pub(super) sorry: Option<(SocketAddr, At)>,
    pub(super) sorry_forwarding: Option<(Option<Forwarding>, At)>,
    pub(super) sorry_inhibit: Option<At>,
    /// Defaults for real servers.
    pub(super) weight: u32,
    pub(super) inhibit: bool,
    pub(super) virtualhost: Option<String>,
    pub(super) timing: Timing,
}

/// Flags by the names of two schedulers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HashFlag {
    Port,
    Fallback,
}

/// Reads one virtual server.
pub(super) fn lower(
    lower: &mut Lower<'_>,
    config: &mut Config,
    names: &mut Names,
    statement: &Statement<'_>,
    block: &Block<'_>,
) {
    let Names { groups, uses, files, sessions, taken } = names;
    let Some(target) = target(lower, groups, uses, statement) else { return };
    let mut pool = Pool::new(statement.at(), &target);
    for statement in block.statements.iter().filter(|s| s.keyword() != "real_server") {
        pool.read(lower, statement);
    }
    let outer = real::Outer::new(&pool, &target, config, files, sessions);
    let reals = block.statements.iter().filter(|s| s.keyword() == "real_server");
    let reals = reals.filter(|s| !lower.language(s)).collect::<Vec<_>>();
    let reals = reals.into_iter().filter_map(|s| real::lower(lower, &outer, s)).collect();
    if let Some(server) = complete::complete(lower, &target, pool, reals)
        && complete::take(lower, taken, &server, statement.at())
    {
        config.virtual_servers.push(server);
    }
}

fn target<'n>(
    lower: &mut Lower<'_>,
    groups: &'n std::collections::BTreeMap<String, Group>,
    uses: &std::collections::BTreeMap<String, usize>,
    statement: &Statement<'_>,
) -> Option<Target<'n>> {
    let kind = statement.parameters().first().map(|w| &*w.text);
    let Some(kind @ ("fwmark" | "group")) = kind else {
        return address::read(lower, statement).map(Target::Address);
    };
    words::extra(lower, statement, 2);
    let Some(word) = statement.parameters().get(1) else {
        let what = if kind == "group" { "a name" } else { "a mark" };
        lower.error(statement.at(), format!("`virtual_server {kind}` has no value; expected {what}"));
        return None;
    };
    if kind == "fwmark" {
        let mark = mark_of(&word.text);
        if mark.is_none() {
            lower.warning(word.at, format!("`{}` is no mark: expected 1 to 4294967295; left out", word.text));
        }
        return mark.map(Target::Mark);
    }
    let Some((name, group)) = groups.get_key_value(&*word.text) else {
        lower.warning(word.at, format!("there is no `virtual_server_group {}`; left out", word.text));
        return None;
    };
    Some(Target::Group(group, name, uses.get(name).copied().unwrap_or(1)))
}

impl Pool {
    fn new(at: At, target: &Target<'_>) -> Pool {
        let endpoint = match target {
            Target::Address(address) => Endpoint::Address(*address),
            Target::Mark(mark) => Endpoint::Fwmark(*mark, Family::Ipv4),
            // Filled in when its family is known.
            Target::Group(..) => Endpoint::Fwmark(0, Family::Ipv4),
        };
        Pool {
            at,
            server: VirtualServer::new(endpoint, Protocol::Tcp),
            protocol: None,
            scheduler: None,
            forwarding: None,
            hash_flags: Vec::new(),
            one_packet: None,
            granularity: None,
            family: None,
            quorum_at: at,
            hysteresis_at: at,
            sorry: None,
            sorry_forwarding: None,
            sorry_inhibit: None,
            weight: 1,
            inhibit: false,
            virtualhost: None,
            timing: Timing::default(),
        }
    }

    fn read(&mut self, lower: &mut Lower<'_>, statement: &Statement<'_>) {
        if lower.language(statement) {
            return;
        }
        if !(self.service(lower, statement)
            || self.scheduling(lower, statement)
            || self.quorum(lower, statement)
            || self.sorry(lower, statement)
            || self.defaults(lower, statement))
        {
            return lower.other(&VIRTUAL_SERVER, statement);
        }
        lower.no_block(statement);
    }

    /// What ip_vs is told of the service.
    fn service(&mut self, lower: &mut Lower<'_>, statement: &Statement<'_>) -> bool {
        let at = statement.at();
        match statement.keyword() {
            "protocol" => self.protocol = protocol(lower, statement).map(|p| (p, at)).or(self.protocol),
            "ip_family" => {
                let family = words::value(lower, statement, "inet or inet6", family);
                self.family = family.map(|f| (f, statement.parameters()[0].at)).or(self.family);
            }
            "persistence_timeout" if statement.parameters().is_empty() => {
                self.server.persistence = Some(DEFAULT_PERSISTENCE);
            }
            "persistence_timeout" => {
                let seconds = words::number(lower, statement, 1, LONGEST_PERSISTENCE);
                self.server.persistence = seconds.or(self.server.persistence);
            }
            "persistence_granularity" => {
                if let Some(word) = lower.parameter(statement, "a netmask, or a prefix length for IPv6") {
                    self.granularity = Some((word.text.to_string(), word.at));
                }
                words::extra(lower, statement, 1);
            }
            "persistence_engine" => {
                let read = |word: &str| (word == "sip").then(|| word.to_string());
                let engine = words::value(lower, statement, "sip", read);
                self.server.persistence_engine = engine.or(self.server.persistence_engine.take());
            }
            "nat_mask" => {
                lower.warning(at, "`nat_mask` is obsolete and without effect; skipped".into());
            }
            _ => return false,
        }
        true
    }

    fn scheduling(&mut self, lower: &mut Lower<'_>, statement: &Statement<'_>) -> bool {
        let at = statement.at();
        match statement.keyword() {
            "lb_algo" | "lvs_sched" => {
                let read = |w: &str| SCHEDULERS.contains(&w).then(|| w.to_string());
                let expected = "a scheduler such as rr, wrr, lc, wlc or sh";
                self.scheduler = words::value(lower, statement, expected, read).or(self.scheduler.take());
            }
            "lb_kind" | "lvs_method" => self.forwarding = forwarding::read(lower, statement).or(self.forwarding),
            "flag-1" => self.server.flag_1 = words::set(lower, statement),
            "flag-2" => self.server.flag_2 = words::set(lower, statement),
            "flag-3" => self.server.flag_3 = words::set(lower, statement),
            "ops" => {
                words::set(lower, statement);
                self.one_packet = Some(at);
            }
            "sh-port" | "mh-port" => {
                words::set(lower, statement);
                self.hash_flags.push((HashFlag::Port, at));
            }
            "sh-fallback" | "mh-fallback" => {
                words::set(lower, statement);
                self.hash_flags.push((HashFlag::Fallback, at));
            }
            _ => return false,
        }
        true
    }

    fn quorum(&mut self, lower: &mut Lower<'_>, statement: &Statement<'_>) -> bool {
        let server = &mut self.server;
        match statement.keyword() {
            "alpha" => server.alpha = words::set(lower, statement),
            "omega" => server.omega = words::set(lower, statement),
            "ha_suspend" => server.ha_suspend = words::set(lower, statement),
            "quorum" => {
                self.quorum_at = statement.at();
                // keepalived takes 1 for what it cannot read, too.
                server.quorum = words::number(lower, statement, 1, u32::MAX).unwrap_or(1);
            }
            "hysteresis" => {
                self.hysteresis_at = statement.at();
                words::put(&mut server.hysteresis, words::number(lower, statement, 0, u32::MAX));
            }
            "quorum_up" => words::script(lower, &mut server.quorum_up, statement),
            "quorum_down" => words::script(lower, &mut server.quorum_down, statement),
            "smtp_alert" => server.smtp_alert = words::switch(lower, statement).or(server.smtp_alert),
            _ => return false,
        }
        true
    }

    fn sorry(&mut self, lower: &mut Lower<'_>, statement: &Statement<'_>) -> bool {
        let at = statement.at();
        match statement.keyword() {
            "sorry_server" => self.sorry = address::read(lower, statement).map(|a| (a, at)).or(self.sorry),
            "sorry_server_inhibit" => {
                words::set(lower, statement);
                self.sorry_inhibit = Some(at);
            }
            "sorry_server_lvs_method" => self.sorry_forwarding = Some((forwarding::read(lower, statement), at)),
            _ => return false,
        }
        true
    }

    /// What real servers and their checks take over.
    fn defaults(&mut self, lower: &mut Lower<'_>, statement: &Statement<'_>) -> bool {
        match statement.keyword() {
            "weight" => words::put(&mut self.weight, words::number(lower, statement, 1, i32::MAX.unsigned_abs())),
            "inhibit_on_failure" => self.inhibit = words::set(lower, statement),
            "virtualhost" => {
                self.virtualhost = words::text(lower, statement, "a name").or(self.virtualhost.take());
            }
            _ => return self.timing.read(lower, statement),
        }
        true
    }
}

fn protocol(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<Protocol> {
    words::value(lower, statement, "TCP, UDP or SCTP", |word| match word.to_ascii_uppercase().as_str() {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        "SCTP" => Some(Protocol::Sctp),
        _ => None,
    })
}

/// How many leading bits of an address a granularity means.
pub(super) fn granularity(lower: &mut Lower<'_>, family: Family, text: &str, at: At) -> Option<u8> {
    let bits = values::unsigned(text).and_then(|n| u8::try_from(n).ok()).filter(|n| *n > 0);
    let mask = text.parse().ok().and_then(|mask| ipnet::ipv4_mask_to_prefix(mask).ok()).filter(|n| *n > 0);
    match (family, mask, bits.filter(|n| *n <= 128)) {
        (Family::Ipv4, Some(bits), _) | (Family::Ipv6, _, Some(bits)) => Some(bits),
        (Family::Ipv4, None, Some(bits)) if bits <= 32 => {
            let message = format!("read as {bits} bits; keepalived would take it for the netmask 0.0.0.{bits}");
            lower.warning(at, message);
            Some(bits)
        }
        (family, _, _) => {
            let expected = match family {
                Family::Ipv4 => "a netmask such as 255.255.255.0",
                Family::Ipv6 => "a number from 1 to 128",
            };
            lower.warning(at, format!("`{text}` is no granularity: expected {expected}; skipped"));
            None
        }
    }
}
