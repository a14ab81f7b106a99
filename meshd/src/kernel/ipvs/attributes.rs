//! Netlink attributes: how values are wrapped, both ways.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mesh_wire::mesh::Family;
use nix::libc;
use rtnetlink::packet_core::{NLA_F_NESTED, NLA_HEADER_SIZE, NlasIterator};

use super::decode::Malformed;

/// What ip_vs takes for an address: `union nf_inet_addr`, whatever the family.
const ADDRESS_LEN: usize = 16;
const ALIGNMENT: usize = 4;

/// Attributes to be sent.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn put(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(NLA_HEADER_SIZE + value.len()).expect("names are checked, the rest is short");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(ALIGNMENT), 0);
    }

    pub(super) fn u8(&mut self, kind: u16, value: u8) {
        self.put(kind, &[value]);
    }

    pub(super) fn u16(&mut self, kind: u16, value: u16) {
        self.put(kind, &value.to_ne_bytes());
    }

    pub(super) fn be16(&mut self, kind: u16, value: u16) {
        self.put(kind, &value.to_be_bytes());
    }

    pub(super) fn u32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_ne_bytes());
    }

    /// With its terminating zero.
    pub(super) fn name(&mut self, kind: u16, value: &str) {
        self.put(kind, &[value.as_bytes(), b"\0"].concat());
    }

    /// Padded to the length of an IPv6 address.
    pub(super) fn address(&mut self, kind: u16, value: IpAddr) {
        let mut bytes = [0; ADDRESS_LEN];
        match value {
            IpAddr::V4(address) => bytes[..4].copy_from_slice(&address.octets()),
            IpAddr::V6(address) => bytes = address.octets(),
        }
        self.put(kind, &bytes);
    }

    pub(super) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Writer)) {
        let mut inside = Writer::default();
        fill(&mut inside);
        self.put(kind | NLA_F_NESTED, &inside.0);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Attributes that came; of two of a kind the last one counts, as for the kernel.
pub(super) struct Reader<'a>(BTreeMap<u16, &'a [u8]>);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Reader<'a>, Malformed> {
        let attributes = NlasIterator::new(bytes).map(|attribute| {
            let attribute = attribute.map_err(|error| Malformed(error.to_string()))?;
            Ok((attribute.kind(), attribute.into_inner()))
        });
        // The iterator gives everything from the attribute's beginning to the end.
        let value = |(kind, from): (u16, &'a [u8])| {
            let length = from.first_chunk().map_or(0, |length| usize::from(u16::from_ne_bytes(*length)));
            let value =
                from.get(NLA_HEADER_SIZE..length).ok_or_else(|| Malformed(format!("attribute {kind} is cut")))?;
            Ok((kind, value))
        };
        attributes.map(|attribute| attribute.and_then(value)).collect::<Result<_, _>>().map(Reader)
    }

    /// The attributes inside of one.
    pub(super) fn nested(&self, kind: u16) -> Result<Reader<'a>, Malformed> {
        Reader::new(self.needed(kind)?)
    }

    pub(super) fn has(&self, kind: u16) -> bool {
        self.0.contains_key(&kind)
    }

    pub(super) fn u8(&self, kind: u16) -> Result<u8, Malformed> {
        self.fixed(kind).map(u8::from_ne_bytes)
    }

    pub(super) fn u16(&self, kind: u16) -> Result<u16, Malformed> {
        self.fixed(kind).map(u16::from_ne_bytes)
    }

    pub(super) fn be16(&self, kind: u16) -> Result<u16, Malformed> {
        self.fixed(kind).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&self, kind: u16) -> Result<u32, Malformed> {
        self.fixed(kind).map(u32::from_ne_bytes)
    }

    pub(super) fn u64(&self, kind: u16) -> Result<u64, Malformed> {
        self.fixed(kind).map(u64::from_ne_bytes)
    }

    pub(super) fn bytes<const N: usize>(&self, kind: u16) -> Result<[u8; N], Malformed> {
        self.fixed(kind)
    }

    /// Up to its terminating zero.
    pub(super) fn name(&self, kind: u16) -> Result<String, Malformed> {
        let bytes = self.needed(kind)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        let name = std::str::from_utf8(&bytes[..end]);
        name.map(str::to_owned).map_err(|_| Malformed(format!("attribute {kind} is no text")))
    }

    pub(super) fn address(&self, kind: u16, family: Family) -> Result<IpAddr, Malformed> {
        let bytes: [u8; ADDRESS_LEN] = self.fixed(kind)?;
        Ok(match family {
            Family::Ipv4 => Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into(),
            Family::Ipv6 => Ipv6Addr::from(bytes).into(),
        })
    }

    pub(super) fn family(&self, kind: u16) -> Result<Family, Malformed> {
        match i32::from(self.u16(kind)?) {
            libc::AF_INET => Ok(Family::Ipv4),
            libc::AF_INET6 => Ok(Family::Ipv6),
            other => Err(Malformed(format!("address family {other}"))),
        }
    }

    fn needed(&self, kind: u16) -> Result<&'a [u8], Malformed> {
        self.0.get(&kind).copied().ok_or_else(|| Malformed(format!("attribute {kind} is missing")))
    }

    fn fixed<const N: usize>(&self, kind: u16) -> Result<[u8; N], Malformed> {
        let bytes = self.needed(kind)?;
        bytes.try_into().map_err(|_| Malformed(format!("attribute {kind} has {} bytes instead of {N}", bytes.len())))
    }
}
