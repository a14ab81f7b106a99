//! The bytes of the file: a header and a fixed number of slots, each with its own CRC-32, little
//! endian. A slot of zeroes is free.
//!
//! ```text
//! header  magic 8 | node 8 | run 8 | silent until 8 | boot 40 | cluster 64 | unused | crc 4
//! slot    router 8 | flags 8 | max epoch 8 | grant: owner, epoch, seq, expiry 32
//!         | reserved: node, until 16 | ended: node, epoch, seq 24 | claimed 8
//!         | unused | crc 4
//! ```

use std::collections::BTreeSet;
use std::ops::Range;

use mesh_core::Instant;
use mesh_core::lease::memory::{Ended, Grant, Slot};
use mesh_core::lease::voter::MAX_ROUTERS;
use mesh_wire::mesh::{Family, NodeId, RouterKey};

use super::Owner;

/// Length of the header.
pub(super) const HEADER: usize = 256;
/// Length of a slot.
pub(super) const SLOT: usize = 128;
/// Length of the file.
pub(super) const LENGTH: usize = HEADER + MAX_ROUTERS * SLOT;

/// The last digit is the version of the layout.
const MAGIC: &[u8; 8] = b"meshvot1";
const BOOT: Range<usize> = 32..72;
const CLUSTER: Range<usize> = 72..136;

const LIVE: u64 = 1;
const GRANTED: u64 = 2;
const RESERVED: u64 = 4;
const ENDED: u64 = 8;
/// Set in every used slot, so that none is all zeroes.
const USED: u64 = 16;

/// Why a file is no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Invalid {
    #[error("{0} bytes instead of {LENGTH}")]
    Length(usize),
    #[error("no memory of a voter")]
    Magic,
    #[error("the header's checksum is wrong")]
    Header,
    #[error("another node's, or another mesh's")]
    OtherNode,
    #[error("from before the last boot")]
    OtherBoot,
    #[error("not of the run before")]
    OtherRun,
    #[error("the checksum of slot {0} is wrong")]
    Slot(usize),
    #[error("slot {0} has a content that is never written")]
    Content(usize),
}

/// The beginning of the file.
pub(super) struct Header {
    pub(super) owner: Owner,
    /// Counts the daemon's starts; the marker has the same number.
    pub(super) run: u64,
    pub(super) silent_until: Instant,
}

/// What a valid file holds.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    pub(super) silent_until: Instant,
    pub(super) slots: Vec<(RouterKey, Slot)>,
}

impl Header {
    pub(super) fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        put(&mut bytes, 8, self.owner.node.0);
        put(&mut bytes, 16, self.run);
        put(&mut bytes, 24, self.silent_until.as_nanos());
        text(&mut bytes[BOOT], &self.owner.boot);
        text(&mut bytes[CLUSTER], &self.owner.cluster);
        seal(&mut bytes);
        bytes
    }
}

/// Reads a whole file; every byte of it is checked.
pub(super) fn parse(bytes: &[u8], owner: &Owner, run: u64) -> Result<Found, Invalid> {
    if bytes.len() != LENGTH {
        return Err(Invalid::Length(bytes.len()));
    }
    let (header, slots) = bytes.split_at(HEADER);
    if &header[..8] != MAGIC {
        return Err(Invalid::Magic);
    }
    if !is_sealed(header) {
        return Err(Invalid::Header);
    }
    let silent_until = Instant::from_nanos(get(header, 24));
    let expected = Header { owner: owner.clone(), run, silent_until }.bytes();
    if header[8..16] != expected[8..16] || header[CLUSTER] != expected[CLUSTER] {
        return Err(Invalid::OtherNode);
    }
    if header[BOOT] != expected[BOOT] {
        return Err(Invalid::OtherBoot);
    }
    if header[..] != expected[..] {
        return Err(Invalid::OtherRun);
    }
    let mut routers = BTreeSet::new();
    let mut found = Found { silent_until, slots: Vec::new() };
    for (place, bytes) in slots.chunks_exact(SLOT).enumerate().filter(|(_, bytes)| bytes.iter().any(|b| *b != 0)) {
        if !is_sealed(bytes) {
            return Err(Invalid::Slot(place));
        }
        let (router, slot) = parse_slot(bytes).ok_or(Invalid::Content(place))?;
        if !routers.insert(router) {
            return Err(Invalid::Content(place));
        }
        found.slots.push((router, slot));
    }
    Ok(found)
}

/// One router's slot.
pub(super) fn slot_bytes(router: &RouterKey, slot: &Slot) -> [u8; SLOT] {
    let mut bytes = [0; SLOT];
    bytes[0] = match router.family {
        Family::Ipv4 => 4,
        Family::Ipv6 => 6,
    };
    bytes[1] = router.vrid;
    bytes[4..8].copy_from_slice(&router.segment.to_le_bytes());
    let flag = |set: bool, flag: u64| if set { flag } else { 0 };
    let flags = USED
        | flag(slot.live, LIVE)
        | flag(slot.last.is_some(), GRANTED)
        | flag(slot.reserved.is_some(), RESERVED)
        | flag(slot.ended.is_some(), ENDED);
    let last = slot.last.map_or([0; 4], |g| [g.owner.0, g.epoch, g.seq, g.expiry.as_nanos()]);
    let reserved = slot.reserved.map_or([0; 2], |(node, until)| [node.0, until.as_nanos()]);
    let ended = slot.ended.map_or([0; 3], |e| [e.node.0, e.epoch, e.seq]);
    let values = [flags, slot.max_epoch].into_iter().chain(last).chain(reserved).chain(ended).chain([slot.claimed]);
    for (n, value) in values.enumerate() {
        put(&mut bytes, 8 + 8 * n, value);
    }
    seal(&mut bytes);
    bytes
}

fn parse_slot(bytes: &[u8]) -> Option<(RouterKey, Slot)> {
    let family = match bytes[0] {
        4 => Family::Ipv4,
        6 => Family::Ipv6,
        _ => return None,
    };
    let segment = u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes"));
    let value = |n: usize| get(bytes, 8 + 8 * n);
    let node = |n: usize| NodeId(value(n));
    let time = |n: usize| Instant::from_nanos(value(n));
    let has = |flag: u64| value(0) & flag != 0;
    let grant = Grant { owner: node(2), epoch: value(3), seq: value(4), expiry: time(5) };
    let slot = Slot {
        last: has(GRANTED).then_some(grant),
        live: has(LIVE),
        max_epoch: value(1),
        claimed: value(11),
        reserved: has(RESERVED).then(|| (node(6), time(7))),
        ended: has(ENDED).then(|| Ended { node: node(8), epoch: value(9), seq: value(10) }),
    };
    let router = RouterKey { family, vrid: bytes[1], segment };
    // What would be written for it is what is there.
    (slot_bytes(&router, &slot) == *bytes).then_some((router, slot))
}

fn put(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn get(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// As much of the text as has room: identities are hexadecimal digits and much shorter.
fn text(field: &mut [u8], text: &str) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text.as_bytes()[..length]);
}

/// Puts the checksum of all before into the last four bytes.
fn seal(bytes: &mut [u8]) {
    let end = bytes.len() - 4;
    let crc = crc32fast::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
}

fn is_sealed(bytes: &[u8]) -> bool {
    let end = bytes.len() - 4;
    bytes[end..] == crc32fast::hash(&bytes[..end]).to_le_bytes()
}
