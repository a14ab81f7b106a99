//! Closing without knowing what is open: in place of a daemon that is dead.

use std::io;

use netlink_packet_netfilter::nftables::{NfTablesMessage, SetElementList, SetElementMessage};
use nix::libc;

use super::layout::{LEASED, LEASED_MACS, TABLE};
use super::target::Table;
use super::transport::{Refused, Transaction, Transport};

/// Closes the fence for whatever is open, at once. Where there is none, there is nothing to close.
///
/// # Errors
///
/// The kernel refused, or did not answer within half a second: the fence closes at its deadline.
pub fn close_all() -> io::Result<()> {
    let mut transport = match Transport::open() {
        Err(error) if is_absence(&error) => return Ok(()),
        opened => opened?,
    };
    // A transaction each: which of them there are depends on the kernel and on what was fenced.
    let sets = Table::ALL.into_iter().flat_map(|table| [(table, LEASED), (table, LEASED_MACS)]);
    let mut result = Ok(());
    for (table, set) in sets {
        match transport.commit(empty(table, set)) {
            Err(error) if !is_absence(&error) => result = Err(error),
            _ => {}
        }
    }
    result
}

/// The set to be empty: a removal that names no element removes all.
fn empty(table: Table, set: &str) -> Transaction {
    let mut transaction = Transaction::default();
    let attributes = vec![SetElementList::Table(TABLE.into()), SetElementList::Set(set.into())];
    transaction.delete(table.family(), NfTablesMessage::DeleteSetElement(SetElementMessage { attributes }));
    transaction
}

/// No such table or set, or no nf_tables at all.
fn is_absence(error: &io::Error) -> bool {
    matches!(Refused::errno(error), libc::ENOENT | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::EOPNOTSUPP)
}
