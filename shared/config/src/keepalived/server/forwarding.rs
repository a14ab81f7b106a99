//! `lvs_method` and its other names: NAT, DR or TUN with the kind of tunnel.

use super::super::lower::Lower;
use super::super::tree::{Statement, Word};
use super::super::values;
use crate::model::{Forwarding, Tunnel, TunnelChecksum};

const METHODS: &str = "NAT, DR or TUN";
const TUNNELS: &str = "`type ipip`, `type gue port NUMBER` or `type gre`, and nocsum, csum or remcsum";

/// Reads the parameters. keepalived keeps the method where the tunnel's words are wrong, and so do we.
pub(super) fn read(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<Forwarding> {
    let forwarding = lower.value(statement, METHODS, "skipped", |word| match word {
        "NAT" => Some(Forwarding::Nat),
        "DR" => Some(Forwarding::DirectRouting),
        "TUN" => Some(Forwarding::Tunnel(Tunnel::Ipip)),
        _ => None,
    })?;
    let options = &statement.parameters()[1..];
    match (forwarding, options.first()) {
        (Forwarding::Tunnel(_), _) => Some(Forwarding::Tunnel(tunnel(lower, statement, options))),
        (_, Some(word)) => {
            lower.warning(word.at, format!("`{}` is for TUN only; skipped", word.text));
            Some(forwarding)
        }
        (_, None) => Some(forwarding),
    }
}

/// What stands behind `TUN`.
#[derive(Default)]
struct Options<'s> {
    kind: Option<&'s Word<'s>>,
    port: Option<u16>,
    checksum: Option<(TunnelChecksum, &'s Word<'s>)>,
}

fn tunnel(lower: &mut Lower<'_>, statement: &Statement<'_>, words: &[Word<'_>]) -> Tunnel {
    let mut options = Options::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match &*word.text {
            "type" => options.kind = words.next(),
            "port" => {
                let value = words.next();
                let read = |w: &Word<'_>| values::unsigned(&w.text).and_then(|n| u16::try_from(n).ok());
                options.port = value.and_then(read).filter(|port| *port > 0);
                if options.port.is_none() {
                    let at = value.map_or(word.at, |w| w.at);
                    lower.warning(at, "no port of a tunnel: expected a number from 1 to 65535; skipped".into());
                }
            }
            "nocsum" => options.checksum = Some((TunnelChecksum::None, word)),
            "csum" => options.checksum = Some((TunnelChecksum::Checksum, word)),
            "remcsum" => options.checksum = Some((TunnelChecksum::Remote, word)),
            other => {
                lower.warning(word.at, format!("`{other}` is no option of a tunnel: expected {TUNNELS}; skipped"));
            }
        }
    }
    options.tunnel(lower, statement)
}

impl Options<'_> {
    fn tunnel(self, lower: &mut Lower<'_>, statement: &Statement<'_>) -> Tunnel {
        let checksum = self.checksum.map_or(TunnelChecksum::None, |(checksum, _)| checksum);
        let kind = self.kind.map_or("ipip", |w| &w.text);
        if self.port.is_some() && kind != "gue" {
            lower.warning(statement.at(), format!("a tunnel of type {kind} has no port; skipped"));
        }
        let wrong = match (kind, checksum, self.port) {
            ("gue", checksum, Some(port)) => return Tunnel::Gue(port, checksum),
            ("gue", _, None) => "a tunnel of type gue needs `port NUMBER`; ipip is used",
            ("gre", TunnelChecksum::Remote, _) => {
                lower.warning(statement.at(), "a tunnel of type gre has no remcsum; csum is used".into());
                return Tunnel::Gre(TunnelChecksum::Checksum);
            }
            ("gre", checksum, _) => return Tunnel::Gre(checksum),
            ("ipip", TunnelChecksum::None, _) => return Tunnel::Ipip,
            ("ipip", _, _) => "a tunnel of type ipip has no checksum; skipped",
            _ => "no such type of tunnel: expected ipip, gue or gre; ipip is used",
        };
        let at = self.kind.or(self.checksum.map(|(_, word)| word)).map_or(statement.at(), |w| w.at);
        lower.warning(at, wrong.into());
        Tunnel::Ipip
    }
}
