//! The grammar of `ip route` and `ip rule`, as keepalived has it; both languages write it.

mod route;
mod rule;
mod text;

use std::net::IpAddr;

use ipnet::IpNet;
use mesh_wire::mesh::Family;

pub(crate) use route::route;
pub(crate) use rule::{assign_priorities, rule};
pub(crate) use text::{route_text, rule_text};

/// A word that is wrong, by its number, and what to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) word: usize,
    pub(crate) message: String,
}

/// Words, read one after another.
struct Words<'w> {
    words: &'w [&'w str],
    at: usize,
}

impl<'w> Words<'w> {
    fn next(&mut self) -> Option<&'w str> {
        let word = self.words.get(self.at)?;
        self.at += 1;
        Some(word)
    }

    fn peek(&self) -> Option<&'w str> {
        self.words.get(self.at).copied()
    }

    /// The next word, where it is this one.
    fn skip(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        self.at += usize::from(found);
        found
    }

    /// The last word read is wrong.
    fn wrong(&self, message: impl Into<String>) -> Wrong {
        Wrong { word: self.at.saturating_sub(1), message: message.into() }
    }

    /// A value for the word read last.
    fn value<T>(&mut self, expected: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, Wrong> {
        let keyword = self.words[self.at - 1];
        let Some(word) = self.next() else {
            return Err(self.wrong(format!("`{keyword}` has no value; expected {expected}")));
        };
        read(word).ok_or_else(|| self.wrong(format!("`{word}` is no value for `{keyword}`: expected {expected}")))
    }

    fn number<T: TryFrom<u64>>(&mut self, expected: &str) -> Result<T, Wrong> {
        self.value(expected, |word| T::try_from(number(word)?).ok())
    }
}

/// Decimal, or hexadecimal after `0x`.
fn number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if word.bytes().all(|b| b.is_ascii_digit()) => word.parse().ok(),
        None => None,
    }
}

/// An address, with a length or without.
fn net(word: &str) -> Option<IpNet> {
    word.parse().ok().or_else(|| word.parse::<IpAddr>().ok().map(IpNet::from))
}

/// A number, or one of the names that every host has; those of /etc/iproute2 are not known here.
fn named(word: &str, names: &[(&str, u32)]) -> Option<u32> {
    let known = names.iter().find(|(name, _)| *name == word).map(|(_, number)| *number);
    known.or_else(|| u32::try_from(number(word)?).ok())
}

fn table(word: &str) -> Option<u32> {
    named(word, &[("main", 254), ("local", 255), ("default", 253)]).filter(|table| *table > 0)
}

fn protocol(word: &str) -> Option<u8> {
    const NAMES: &[(&str, u32)] = &[
        ("redirect", 1),
        ("kernel", 2),
        ("boot", 3),
        ("static", 4),
        ("gated", 8),
        ("ra", 9),
        ("mrt", 10),
        ("zebra", 11),
        ("bird", 12),
        ("dnrouted", 13),
        ("xorp", 14),
        ("ntk", 15),
        ("dhcp", 16),
        ("keepalived", 18),
        ("babel", 42),
        ("bgp", 186),
        ("isis", 187),
        ("ospf", 188),
        ("rip", 189),
        ("eigrp", 192),
    ];
    named(word, NAMES).and_then(|n| u8::try_from(n).ok())
}

/// `FROM/TO`, or the second alone.
fn realms(word: &str) -> Option<(u16, u16)> {
    let part = |word: &str| u16::try_from(number(word)?).ok();
    match word.split_once('/') {
        Some((from, to)) => Some((part(from)?, part(to)?)),
        None => Some((0, part(word)?)),
    }
}

fn interface(word: &str) -> Option<String> {
    crate::common::is_interface_name(word).then(|| word.to_owned())
}

/// All parts have to be of one family.
fn one_family(words: &Words<'_>, family: &mut Option<Family>, found: Family) -> Result<(), Wrong> {
    if *family.get_or_insert(found) == found {
        return Ok(());
    }
    Err(words.wrong(format!("{found} beside an address of the other family; expected one of them")))
}

#[cfg(test)]
mod tests;
