//! Values that are written as text, and either-or values, with errors serde can place.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

use super::conduct::PeerTable;
use super::notify::FifoTable;
use super::schema::{AddressTable, TrackedTable};
use super::services::{EndpointTable, ScriptTable};

/// A duration with its unit: `"250ms"`, `"1s"`, `"1.5s"`, `"2m"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time(pub(super) Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match time(&text) {
            Some(time) => Ok(Time(time)),
            None => Err(D::Error::custom(format!(
                "`{text}` is no duration; expected one such as \"250ms\", \"1.5s\" or \"2m\""
            ))),
        }
    }
}

/// Number, at most six decimals, unit; to the microsecond and up to some centuries.
fn time(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit_at);
    let micros_per_unit: u64 = match unit.trim_start() {
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        _ => return None,
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (number, ""),
    };
    if fraction.len() > 6 || fraction.contains('.') {
        return None;
    }
    let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let fraction = if fraction.is_empty() { 0 } else { fraction.parse::<u64>().ok()? };
    let whole = whole.parse::<u64>().ok()?.checked_mul(micros_per_unit)?;
    Some(Duration::from_micros(whole.checked_add(fraction * micros_per_unit / scale)?))
}

/// A value that is either plain text or something richer (a table, a list).
pub(super) trait TextOr: Sized {
    /// For messages.
    const EXPECTED: &'static str;
    fn from_text(text: &str) -> Self;
    fn from_number(_: i64) -> Option<Self> {
        None
    }
    fn from_table<'de, A: MapAccess<'de>>(_: A) -> Result<Self, A::Error> {
        Err(A::Error::custom(format!("a table; expected {}", Self::EXPECTED)))
    }
    fn from_list<'de, A: SeqAccess<'de>>(_: A) -> Result<Self, A::Error> {
        Err(A::Error::custom(format!("a list; expected {}", Self::EXPECTED)))
    }
}

struct TextOrVisitor<T>(PhantomData<T>);

impl<'de, T: TextOr> Visitor<'de> for TextOrVisitor<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok(T::from_text(text))
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        T::from_number(number).ok_or_else(|| E::invalid_type(Unexpected::Signed(number), &self))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::from_table(map)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        T::from_list(list)
    }
}

macro_rules! deserialize_text_or {
    ($($type:ty),+) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(TextOrVisitor(PhantomData))
            }
        }
    )+};
}
deserialize_text_or!(
    AddressEntry,
    PeerEntry,
    TrackedEntry,
    Command,
    EndpointEntry,
    ScriptEntry,
    StatusEntry,
    FifoEntry
);

/// `"10.0.0.1/24"` or a table with that as `address`.
#[derive(Debug)]
pub(super) struct AddressEntry(pub(super) AddressTable);

impl TextOr for AddressEntry {
    const EXPECTED: &'static str = "an address such as \"10.0.0.1/24\" or a table { address = …, interface = … }";
    fn from_text(text: &str) -> Self {
        AddressEntry(AddressTable { address: text.to_string(), ..AddressTable::default() })
    }
    fn from_table<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        AddressTable::deserialize(MapAccessDeserializer::new(map)).map(AddressEntry)
    }
}

/// `"10.0.0.2"` or a table with that as `address`.
#[derive(Debug)]
pub(super) struct PeerEntry(pub(super) PeerTable);

impl TextOr for PeerEntry {
    const EXPECTED: &'static str = "an address such as \"10.0.0.2\" or a table { address = …, min_ttl = … }";
    fn from_text(text: &str) -> Self {
        PeerEntry(PeerTable { address: text.to_string(), min_ttl: None, max_ttl: None })
    }
    fn from_table<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        PeerTable::deserialize(MapAccessDeserializer::new(map)).map(PeerEntry)
    }
}

/// `"name"` or a table with that as `name`.
#[derive(Debug)]
pub(super) struct TrackedEntry(pub(super) TrackedTable);

impl TextOr for TrackedEntry {
    const EXPECTED: &'static str = "the name of what is tracked or a table { name = …, weight = … }";
    fn from_text(text: &str) -> Self {
        TrackedEntry(TrackedTable { name: text.to_string(), weight: None, reverse: false })
    }
    fn from_table<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        TrackedTable::deserialize(MapAccessDeserializer::new(map)).map(TrackedEntry)
    }
}

/// A program without arguments, or a list of program and arguments. There is no shell.
#[derive(Debug)]
pub(super) struct Command(pub(super) Vec<String>);

impl TextOr for Command {
    const EXPECTED: &'static str = "a program such as \"/usr/bin/check\" or a list of program and arguments";
    fn from_text(text: &str) -> Self {
        Command(vec![text.to_string()])
    }
    fn from_list<'de, A: SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Command)
    }
}

/// `"10.0.0.1:80"` or a table: a mark or a range.
#[derive(Debug)]
pub(super) enum EndpointEntry {
    /// An address and a port, not looked at yet.
    Text(String),
    /// A mark or a range.
    Table(EndpointTable),
}

impl TextOr for EndpointEntry {
    const EXPECTED: &'static str =
        "an address such as \"10.0.0.1:80\", or a table { fwmark = … } or { range = \"10.0.0.1-9\", port = 80 }";
    fn from_text(text: &str) -> Self {
        EndpointEntry::Text(text.to_string())
    }
    fn from_table<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        EndpointTable::deserialize(MapAccessDeserializer::new(map)).map(EndpointEntry::Table)
    }
}

/// A [`Command`], or a table with that as `command`.
#[derive(Debug)]
pub(super) struct ScriptEntry(pub(super) ScriptTable);

impl TextOr for ScriptEntry {
    const EXPECTED: &'static str = "a program, a list of program and arguments, or a table { command = …, user = … }";
    fn from_text(text: &str) -> Self {
        ScriptEntry(ScriptTable { command: Command::from_text(text), user: None, group: None })
    }
    fn from_list<'de, A: SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        let command = Command::from_list(list)?;
        Ok(ScriptEntry(ScriptTable { command, user: None, group: None }))
    }
    fn from_table<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        ScriptTable::deserialize(MapAccessDeserializer::new(map)).map(ScriptEntry)
    }
}

/// `"/run/fifo"` or a table with that as `path`.
#[derive(Debug)]
pub(super) struct FifoEntry(pub(super) FifoTable);

impl TextOr for FifoEntry {
    const EXPECTED: &'static str = "a file such as \"/run/fifo\" or a table { path = …, user = …, script = … }";
    fn from_text(text: &str) -> Self {
        FifoEntry(FifoTable { path: text.into(), user: None, group: None, script: None })
    }
    fn from_table<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        FifoTable::deserialize(MapAccessDeserializer::new(map)).map(FifoEntry)
    }
}

/// `200`, `"200-299"` or a list of such.
#[derive(Debug)]
pub(super) struct StatusEntry(pub(super) Vec<String>);

impl TextOr for StatusEntry {
    const EXPECTED: &'static str = "a status code such as 200 or \"200-299\", or a list of such";
    fn from_text(text: &str) -> Self {
        StatusEntry(vec![text.to_string()])
    }
    fn from_number(number: i64) -> Option<Self> {
        Some(StatusEntry(vec![number.to_string()]))
    }
    fn from_list<'de, A: SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        let entries = Vec::<StatusEntry>::deserialize(SeqAccessDeserializer::new(list))?;
        Ok(StatusEntry(entries.into_iter().flat_map(|entry| entry.0).collect()))
    }
}

#[cfg(test)]
mod tests;
