//! The grammar of `ip route` and `ip rule`, as keepalived has it; both languages write it.

mod names;
mod route;
mod rule;
mod text;

use std::net::IpAddr;

use ipnet::IpNet;
use mesh_wire::mesh::Family;

use self::names::Kind;
use self::route::route;
use self::rule::rule;
use crate::model::{Route, Rule};
pub(crate) use names::Names;
pub(crate) use rule::assign_priorities;
pub(crate) use text::{route_text, rule_text};

/// A word that is wrong, by its number, and what to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) word: usize,
    pub(crate) message: String,
}

/// What one line of words describes.
pub(crate) trait Line: Sized {
    /// What it is called.
    const WHAT: &'static str;

    fn read(words: &[&str], names: &Names<'_>) -> Result<Self, Wrong>;

    /// The interfaces it names.
    fn interfaces(&self) -> Vec<&str>;

    /// The same, each with the number of its word in the line that was read.
    fn interfaces_in(&self, words: &[&str]) -> Vec<(usize, String)> {
        let named = self.interfaces();
        let is = |pair: &[&str]| ["dev", "iif", "oif"].contains(&pair[0]) && named.contains(&pair[1]);
        let found = words.windows(2).enumerate().filter(|(_, pair)| is(pair));
        found.map(|(at, pair)| (at + 1, pair[1].to_owned())).collect()
    }
}

impl Line for Route {
    const WHAT: &'static str = "route";

    fn read(words: &[&str], names: &Names<'_>) -> Result<Self, Wrong> {
        route(words, names)
    }

    fn interfaces(&self) -> Vec<&str> {
        self.hops.iter().filter_map(|hop| hop.interface.as_deref()).collect()
    }
}

impl Line for Rule {
    const WHAT: &'static str = "rule";

    fn read(words: &[&str], names: &Names<'_>) -> Result<Self, Wrong> {
        rule(words, names)
    }

    fn interfaces(&self) -> Vec<&str> {
        [&self.input, &self.output].into_iter().flatten().map(String::as_str).collect()
    }
}

/// Words, read one after another.
struct Words<'w> {
    words: &'w [&'w str],
    at: usize,
    names: &'w Names<'w>,
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

    /// A number, one of the names that every host has, or one of this host's.
    fn named<T: TryFrom<u64>>(&mut self, kind: Kind, everywhere: &[(&str, u32)]) -> Result<T, Wrong> {
        let names = self.names;
        let expected = "a number, or a name from /etc/iproute2";
        self.value(expected, |word| T::try_from(numbered(names, kind, word, everywhere)?.into()).ok())
    }

    fn table(&mut self) -> Result<u32, Wrong> {
        let names = self.names;
        let expected = "a number above 0, main, local, default, or a name from /etc/iproute2";
        let everywhere = [("main", 254), ("local", 255), ("default", 253)];
        self.value(expected, |word| numbered(names, Kind::Table, word, &everywhere).filter(|table| *table > 0))
    }

    /// `FROM/TO`, or the second alone.
    fn realms(&mut self) -> Result<(u16, u16), Wrong> {
        let names = self.names;
        let part = |word: &str| u16::try_from(numbered(names, Kind::Realm, word, &[])?).ok();
        self.value("a realm, or two of them as 1/2", |word| match word.split_once('/') {
            Some((from, to)) => Some((part(from)?, part(to)?)),
            None => Some((0, part(word)?)),
        })
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

fn numbered(names: &Names<'_>, kind: Kind, word: &str, everywhere: &[(&str, u32)]) -> Option<u32> {
    let known = everywhere.iter().find(|(name, _)| *name == word).map(|(_, number)| *number);
    known.or_else(|| u32::try_from(number(word)?).ok()).or_else(|| names.find(kind, word))
}

fn protocol(words: &mut Words<'_>) -> Result<u8, Wrong> {
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
    words.named(Kind::Protocol, NAMES)
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
