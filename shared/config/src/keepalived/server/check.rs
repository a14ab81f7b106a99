//! The checks of a real server: what all have in common, and which is which.

mod http;
mod kinds;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::keywords::{Context, PING_CHECK, TCP_CHECK};
use super::super::lower::Lower;
use super::super::tree::{At, Block, Statement};
use super::timing::Timing;
use super::{real, words};
use crate::model::{Check, CheckKind, Connect};

/// What checks take over from what is around them.
pub(super) struct Outer<'a> {
    pub(super) names: &'a real::Outer<'a>,
    /// The real server's, with the service's port where it has none.
    pub(super) address: SocketAddr,
    pub(super) timing: Timing,
    pub(super) virtualhost: Option<String>,
}

/// Whether a keyword opens a check.
pub(super) fn is_one(keyword: &str) -> bool {
    keyword == "HTTP_GET" || keyword == "SSL_GET" || keyword.ends_with("_CHECK") && reader(keyword).is_some()
}

type Reader = fn(&mut Lower<'_>, &Outer<'_>, &Statement<'_>, &Block<'_>) -> Option<Check>;

fn reader(keyword: &str) -> Option<Reader> {
    Some(match keyword {
        "TCP_CHECK" => tcp,
        "PING_CHECK" => ping,
        "HTTP_GET" | "SSL_GET" => http::lower,
        "SMTP_CHECK" => kinds::smtp,
        "DNS_CHECK" => kinds::dns,
        "MISC_CHECK" => kinds::misc,
        "UDP_CHECK" => kinds::udp,
        "FILE_CHECK" => kinds::file,
        "BFD_CHECK" => kinds::bfd,
        _ => return None,
    })
}

/// Reads one check.
pub(super) fn lower(
    lower: &mut Lower<'_>,
    outer: &Outer<'_>,
    statement: &Statement<'_>,
    block: &Block<'_>,
) -> Option<Check> {
    reader(statement.keyword()).and_then(|read| read(lower, outer, statement, block))
}

fn tcp(lower: &mut Lower<'_>, outer: &Outer<'_>, statement: &Statement<'_>, block: &Block<'_>) -> Option<Check> {
    let mut common = Common::default();
    common.block(lower, &TCP_CHECK, block, |_, _| Read::No);
    common.check(lower, outer, statement.at(), CheckKind::Tcp)
}

fn ping(lower: &mut Lower<'_>, outer: &Outer<'_>, statement: &Statement<'_>, block: &Block<'_>) -> Option<Check> {
    let mut common = Common::default();
    common.block(lower, &PING_CHECK, block, |_, _| Read::No);
    // An echo has no port to miss.
    common.check_anywhere(lower, outer, statement.at(), CheckKind::Ping)
}

/// What became of a keyword.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    /// It is none of these.
    No,
    /// Read, and it has no block.
    Leaf,
    /// Read with its block.
    Block,
}

/// Which of the common keywords a check has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Has {
    #[default]
    All,
    /// Nothing about connections.
    Times,
    /// None of them.
    None,
}

/// The keywords that most checks have.
#[derive(Clone, Debug, Default)]
struct Common {
    has: Has,
    timing: Timing,
    log_all_failures: Option<bool>,
    target: Target,
}

/// How a check connects.
#[derive(Clone, Debug, Default)]
struct Target {
    address: Option<IpAddr>,
    port: Option<u16>,
    source: Option<(IpAddr, At)>,
    source_port: Option<u16>,
    interface: Option<String>,
    fwmark: u32,
}

impl Common {
    /// Reads a block; `own` reads what this kind of check has besides.
    fn block(
        &mut self,
        lower: &mut Lower<'_>,
        context: &Context,
        block: &Block<'_>,
        mut own: impl FnMut(&mut Lower<'_>, &Statement<'_>) -> Read,
    ) {
        for statement in &block.statements {
            if lower.language(statement) {
                continue;
            }
            match own(lower, statement) {
                Read::Block => {}
                Read::Leaf => lower.no_block(statement),
                Read::No if self.read(lower, statement) => lower.no_block(statement),
                Read::No => lower.other(context, statement),
            }
        }
    }

    fn read(&mut self, lower: &mut Lower<'_>, statement: &Statement<'_>) -> bool {
        match (statement.keyword(), self.has) {
            (_, Has::None) | ("connect_timeout", Has::Times) => false,
            ("log_all_failures", _) => {
                self.log_all_failures = words::switch(lower, statement).or(self.log_all_failures);
                true
            }
            (_, Has::All) if self.target.read(lower, statement) => true,
            _ => self.timing.read_in_check(lower, statement),
        }
    }

    /// A check with all that is common; `None` when it cannot connect.
    fn check(&self, lower: &mut Lower<'_>, outer: &Outer<'_>, at: At, kind: CheckKind) -> Option<Check> {
        let check = self.check_anywhere(lower, outer, at, kind)?;
        if check.connect.to.port() == 0 {
            let message = "the check has no port: it will fail; expected `connect_port` or a port of the real server";
            lower.warning(at, message.into());
        }
        Some(check)
    }

    /// A check that connects nowhere.
    fn times(&self, outer: &Outer<'_>, kind: CheckKind) -> Check {
        let mut check = Check::new(kind, outer.address);
        check.log_all_failures = self.log_all_failures.unwrap_or(outer.names.config.lvs.log_all_failures);
        self.timing.within(&outer.timing).apply(&mut check);
        check
    }

    /// [`Common::check`] where a port makes no difference.
    fn check_anywhere(&self, lower: &mut Lower<'_>, outer: &Outer<'_>, at: At, kind: CheckKind) -> Option<Check> {
        let connect = self.target.connect(lower, outer.address, at)?;
        let mut check = self.times(outer, kind);
        check.connect = Connect { timeout: check.connect.timeout, ..connect };
        Some(check)
    }
}

impl Target {
    fn read(&mut self, lower: &mut Lower<'_>, statement: &Statement<'_>) -> bool {
        let address = |lower: &mut Lower<'_>| {
            let address = words::value(lower, statement, "an IP address", |w| w.parse::<IpAddr>().ok());
            address.map(|address| (address, statement.parameters()[0].at))
        };
        match statement.keyword() {
            "connect_ip" => self.address = address(lower).map(|(address, _)| address).or(self.address),
            "connect_port" => self.port = words::port(lower, statement).or(self.port),
            "bindto" => self.source = address(lower).or(self.source),
            "bind_port" => self.source_port = words::port(lower, statement).or(self.source_port),
            "bind_if" => {
                if let Some(word) = lower.parameter(statement, "the name of an interface") {
                    self.interface = Some(word.text.to_string());
                }
                words::extra(lower, statement, 1);
            }
            "fwmark" => words::put(&mut self.fwmark, words::number(lower, statement, 0, u32::MAX)),
            _ => return false,
        }
        true
    }

    /// Where to connect, from where; `None` for a link-local address on no link.
    fn connect(&self, lower: &mut Lower<'_>, default: SocketAddr, at: At) -> Option<Connect> {
        let to = SocketAddr::new(self.address.unwrap_or(default.ip()), self.port.unwrap_or(default.port()));
        if let IpAddr::V6(address) = to.ip()
            && address.is_unicast_link_local()
            && self.interface.is_none()
        {
            lower.warning(at, format!("{address} is link-local; expected `bind_if`; the check is left out"));
            return None;
        }
        let mut source = self.source;
        if let Some((address, at)) = source
            && address.is_ipv4() != to.is_ipv4()
        {
            lower.warning(at, format!("{address} is not of the family of {}; skipped", to.ip()));
            source = None;
        }
        let unspecified: IpAddr =
            if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let from = (source.is_some() || self.source_port.is_some())
            .then(|| (source.map_or(unspecified, |(address, _)| address), self.source_port.unwrap_or(0)));
        Some(Connect { from, interface: self.interface.clone(), fwmark: self.fwmark, ..Connect::new(to) })
    }
}

/// All parameters of a keyword as one text.
fn all(statement: &Statement<'_>) -> String {
    statement.parameters().iter().map(|w| &*w.text).collect::<Vec<_>>().join(" ")
}
