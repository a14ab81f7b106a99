//! The elements of the sets: what is fenced, and what the fence is open for.

use std::time::Duration;

use netlink_packet_core::{NlaBuffer, NlasIterator};
use netlink_packet_netfilter::nftables::{
    DataAttribute, ListAttribute, NfTablesMessage, SetElementAttribute, SetElementList, SetElementMessage,
};

use super::layout::{LEASED, LEASED_MACS, MACS, TABLE, VIPS};
use super::target::{FenceTarget, Table};
use super::transport::Transaction;

/// An attribute holds 64 KiB, an element some 50 bytes.
const ELEMENTS_PER_MESSAGE: usize = 1024;

/// Which sets: all that is fenced, or what is leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Fenced,
    Leased,
}

impl Which {
    /// The set of addresses and the one of MAC addresses.
    pub(super) fn sets(self) -> [&'static str; 2] {
        match self {
            Which::Fenced => [VIPS, MACS],
            Which::Leased => [LEASED, LEASED_MACS],
        }
    }
}

/// Elements to be in their sets; with a timeout also those that are there already get it, where the
/// kernel can do that.
pub(super) fn add<'a>(
    transaction: &mut Transaction,
    table: Table,
    which: Which,
    elements: impl Iterator<Item = (&'a FenceTarget, Option<u64>)> + Clone,
) {
    for message in messages_of(table, which, elements) {
        transaction.create(table.family(), NfTablesMessage::NewSetElement(message));
    }
}

/// Elements that are in their sets to go.
pub(super) fn remove<'a>(
    transaction: &mut Transaction,
    table: Table,
    which: Which,
    elements: impl Iterator<Item = &'a FenceTarget> + Clone,
) {
    for message in messages_of(table, which, elements.map(|target| (target, None))) {
        transaction.delete(table.family(), NfTablesMessage::DeleteSetElement(message));
    }
}

/// Elements to be out of their sets, whether or not they are in them: removing one that is not there
/// would fail, and it may end at any moment. So it is added first, with this timeout where the set has
/// them; nobody sees that.
pub(super) fn forget<'a>(
    transaction: &mut Transaction,
    table: Table,
    which: Which,
    targets: impl Iterator<Item = &'a FenceTarget> + Clone,
    timeout: Option<u64>,
) {
    add(transaction, table, which, targets.clone().map(|target| (target, timeout)));
    remove(transaction, table, which, targets);
}

fn messages_of<'a>(
    table: Table,
    which: Which,
    elements: impl Iterator<Item = (&'a FenceTarget, Option<u64>)> + Clone,
) -> Vec<SetElementMessage> {
    let [addresses, macs] = which.sets();
    let here = elements.filter(move |(target, _)| table.holds(target));
    let mut all = messages(TABLE, addresses, here.clone().filter(|(target, _)| !target.is_mac()));
    all.extend(messages(TABLE, macs, here.filter(|(target, _)| target.is_mac())));
    all
}

/// As few messages as hold all elements; timeouts in milliseconds.
pub(super) fn messages<'a>(
    table: &str,
    set: &str,
    elements: impl Iterator<Item = (&'a FenceTarget, Option<u64>)>,
) -> Vec<SetElementMessage> {
    let mut elements = elements.map(element).peekable();
    let message = || {
        elements.peek()?;
        let these = elements.by_ref().take(ELEMENTS_PER_MESSAGE).collect();
        let (table, set) = (SetElementList::Table(table.into()), SetElementList::Set(set.into()));
        Some(SetElementMessage { attributes: vec![table, set, SetElementList::Elements(these)] })
    };
    std::iter::from_fn(message).collect()
}

fn element((target, timeout): (&FenceTarget, Option<u64>)) -> ListAttribute<SetElementAttribute> {
    let key = SetElementAttribute::Key(DataAttribute::Value(target.key()));
    let attributes = match timeout {
        Some(timeout) => {
            vec![key, SetElementAttribute::Timeout(timeout), SetElementAttribute::Expiration(timeout)]
        }
        None => vec![key],
    };
    ListAttribute::Element(attributes)
}

/// Attributes of linux/netfilter/nf_tables.h: of a list of elements, of an element, and of its key.
const LIST_ELEMENTS: u16 = 3;
const LIST_ELEM: u16 = 1;
const ELEM_KEY: u16 = 1;
const ELEM_EXPIRATION: u16 = 5;
const DATA_VALUE: u16 = 1;

/// The targets in an answer, with what is left of their timeouts; [`Duration::MAX`] without one.
pub(super) fn read(list: &[u8]) -> impl Iterator<Item = (FenceTarget, Duration)> {
    let elements = attributes(list, LIST_ELEMENTS).flat_map(|elements| attributes(elements, LIST_ELEM));
    elements.filter_map(|element| {
        let key = attributes(element, ELEM_KEY).find_map(|key| attributes(key, DATA_VALUE).next())?;
        let left = attributes(element, ELEM_EXPIRATION).find_map(|left| left.first_chunk().copied());
        let left = left.map_or(Duration::MAX, |left| Duration::from_millis(u64::from_be_bytes(left)));
        Some((FenceTarget::from_key(key)?, left))
    })
}

/// The values of the attributes of one kind; ends at the first that is cut.
fn attributes(all: &[u8], kind: u16) -> impl Iterator<Item = &[u8]> {
    /// `struct nlattr`, before the value.
    const HEADER: usize = 4;
    fn value(found: NlaBuffer<&[u8]>) -> Option<&[u8]> {
        let length = usize::from(found.length());
        found.into_inner().get(HEADER..length)
    }
    NlasIterator::new(all).map_while(Result::ok).filter(move |found| found.kind() == kind).filter_map(value)
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;

    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let targets = ["10.1.1.80", "10.1.1.81"].map(|ip| FenceTarget::V4(ip.parse().unwrap()));
        let [message] = &messages(TABLE, VIPS, [(&targets[0], Some(976)), (&targets[1], None)].into_iter())[..] else {
            panic!("one message")
        };
        let mut bytes = vec![0; message.attributes.as_slice().buffer_len()];
        message.attributes.as_slice().emit(&mut bytes);
        let expected = [(targets[0], Duration::from_millis(976)), (targets[1], Duration::MAX)];
        assert_eq!(read(&bytes).collect::<Vec<_>>(), expected);
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).count() <= 2, "cut at {end}");
        }
    }
}
