//! `ADDRESS PORT`.

use std::net::{IpAddr, SocketAddr};

use super::super::lower::Lower;
use super::super::tree::{Statement, Word};
use super::super::values;

/// `ADDRESS [PORT]` behind a keyword; without a port, port 0.
pub(super) fn read(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<SocketAddr> {
    let host = lower.parameter(statement, "an IP address and a port")?;
    let (text, rest) = host.text.split_at(host.text.find(['-', '/']).unwrap_or(host.text.len()));
    let address = text.parse::<IpAddr>().ok().zip(port(statement.parameters().get(1))).map(SocketAddr::from);
    let keyword = statement.keyword();
    match address {
        None => {
            lower.warning(host.at, format!("`{keyword}` needs an IP address and a port from 1 to 65535; left out"));
        }
        Some(_) if !rest.is_empty() => {
            lower.warning(host.at, format!("`{rest}` means nothing after the address of a `{keyword}`; skipped"));
        }
        Some(_) => {}
    }
    super::words::extra(lower, statement, 2);
    address
}

/// A port, 0 where none is given.
pub(super) fn port(word: Option<&Word<'_>>) -> Option<u16> {
    match word {
        None => Some(0),
        Some(word) => values::unsigned(&word.text).and_then(|n| u16::try_from(n).ok()),
    }
}
