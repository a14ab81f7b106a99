//! A line of `virtual_ipaddress`.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::lower::Lower;
use super::tree::{At, Statement, Word};
use super::values;
use crate::model::{Scope, VirtualAddress, can_be_virtual};

/// Longest interface name and address label (IFNAMSIZ less the closing zero).
const LONGEST_NAME: usize = 15;

/// An address and where its parts stand.
pub(super) struct Declared {
    pub(super) address: VirtualAddress,
    pub(super) at: At,
    pub(super) device_at: Option<At>,
    /// An earlier line of the instance has it: adverts list it once more, and it is served once.
    pub(super) again: bool,
}

/// Reads `ADDRESS[/LENGTH] [dev IF] [label L] [scope S] [brd B]`. `None`, with a warning, for what
/// keepalived leaves out as well, and for addresses that no host should serve.
pub(super) fn parse(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<Declared> {
    if lower.language(statement) {
        return None;
    }
    lower.no_block(statement);
    let word = &statement.words[0];
    let net = network(lower, word)?;
    let mut declared = Declared { address: VirtualAddress::new(net), at: word.at, device_at: None, again: false };
    let mut options = statement.parameters().iter();
    while let Some(option) = options.next() {
        match &*option.text {
            name @ ("dev" | "label" | "scope" | "brd" | "broadcast" | "peer" | "preferred_lft") => {
                let Some(value) = options.next() else {
                    lower.warning(option.at, format!("`{name}` has no value; {net} is left out"));
                    return None;
                };
                set(lower, &mut declared, name, value)?;
            }
            "use_vmac" => declared.address.vmac = true,
            "-nodad" => declared.address.dad = true,
            "home" => declared.address.home = true,
            "mngtmpaddr" => declared.address.manage_temporary = true,
            "noprefixroute" => declared.address.no_prefix_route = true,
            "autojoin" => declared.address.autojoin = true,
            "no_track" => declared.address.track = false,
            // Of static addresses, read with them.
            "track_group" => drop(options.next()),
            name => lower
                .warning(option.at, format!("`{name}` is no option of an address (dev, label, scope, brd); skipped")),
        }
    }
    Some(declared)
}

fn network(lower: &mut Lower<'_>, word: &Word<'_>) -> Option<IpNet> {
    let (address, length) = match word.text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (&*word.text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        lower.warning(word.at, format!("`{}` is no IP address; left out", word.text));
        return None;
    };
    // keepalived takes these and hands them to the kernel.
    if !can_be_virtual(address) {
        lower.warning(word.at, format!("{address} cannot be a virtual address; left out"));
        return None;
    }
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => longest,
        Some(text) => match values::unsigned(text).and_then(|n| u8::try_from(n).ok()).filter(|n| *n <= longest) {
            Some(n) => n,
            None => {
                let message = format!("`{text}` is no prefix length: expected 0 to {longest}; {longest} is used");
                lower.warning(word.at, message);
                longest
            }
        },
    };
    IpNet::new(address, length).ok()
}

/// `None` when keepalived leaves the address out for a bad value.
fn set(lower: &mut Lower<'_>, declared: &mut Declared, name: &str, value: &Word<'_>) -> Option<()> {
    let (text, net) = (&*value.text, declared.address.net);
    match name {
        "dev" => {
            declared.address.interface = Some(text.to_string());
            declared.device_at = Some(value.at);
        }
        "label" | "scope" if net.addr().is_ipv6() => {
            lower.ignored(value.at, format!("an IPv6 address has no `{name}` of its own; skipped"));
        }
        "label" if text.len() > LONGEST_NAME => {
            let message = format!("label `{text}` is longer than {LONGEST_NAME} bytes; {net} is left out");
            lower.warning(value.at, message);
            return None;
        }
        "label" => declared.address.label = Some(text.to_string()),
        "scope" => match scope(text) {
            Some(scope) => declared.address.scope = scope,
            None => {
                let message = format!("`{text}` is no scope: expected global, site, link, host or nowhere; skipped");
                lower.warning(value.at, message);
            }
        },
        "peer" => match peer(text, net) {
            Some(peer) => {
                declared.address.net = IpNet::new(net.addr(), peer.prefix_len()).ok()?;
                declared.address.peer = Some(peer.addr());
            }
            None => {
                let message = format!("`{text}` is no peer: expected an address of the same family; {net} is left out");
                lower.warning(value.at, message);
                return None;
            }
        },
        "preferred_lft" => match (text, values::unsigned(text).and_then(|n| u32::try_from(n).ok())) {
            ("forever", _) => declared.address.preferred_s = Some(u32::MAX),
            (_, Some(seconds)) => declared.address.preferred_s = Some(seconds),
            (_, None) => {
                let message = format!("`{text}` is no lifetime: expected seconds or forever; skipped");
                lower.warning(value.at, message);
            }
        },
        _ => match broadcast(text, net) {
            Some(broadcast) => declared.address.broadcast = broadcast,
            None => {
                let message = format!(
                    "`{text}` is no broadcast address: expected an IPv4 address, for IPv4 alone; {net} is left out"
                );
                lower.warning(value.at, message);
                return None;
            }
        },
    }
    Some(())
}

/// The other end of a link; its length is that of the route to it.
fn peer(text: &str, net: IpNet) -> Option<IpNet> {
    let peer = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    peer.filter(|peer| peer.addr().is_ipv4() == net.addr().is_ipv4())
}

/// By name or number (RT_SCOPE_*).
fn scope(text: &str) -> Option<Scope> {
    match text {
        "global" | "0" => Some(Scope::Global),
        "site" | "200" => Some(Scope::Site),
        "link" | "253" => Some(Scope::Link),
        "host" | "254" => Some(Scope::Host),
        "nowhere" | "255" => Some(Scope::Nowhere),
        _ => None,
    }
}

/// `+` is the network's last address, `-` none. IPv6 has no broadcast.
fn broadcast(text: &str, net: IpNet) -> Option<Option<Ipv4Addr>> {
    match (text, net) {
        (_, IpNet::V6(_)) => None,
        ("-", _) => Some(None),
        ("+", IpNet::V4(net)) => Some(Some(net.broadcast()).filter(|_| net.prefix_len() < 31)),
        _ => text.parse().ok().map(Some),
    }
}
