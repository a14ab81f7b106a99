//! Closing without knowing what is open: in place of a daemon that is dead.

use std::io;

use netlink_packet_netfilter::nftables::{NfTablesMessage, SetElementList, SetElementMessage};
use nix::libc;

use super::layout::{LEASED, TABLE};
use super::transport::{Refused, Transaction, Transport};
use super::{FAMILIES, Family};

/// Closes the fence for every address, at once. Where there is none, there is nothing to close.
///
/// # Errors
///
/// The kernel refused, or did not answer within half a second: the fence closes at its deadline.
pub fn close_all() -> io::Result<()> {
    let mut transport = match Transport::open() {
        Err(error) if is_absence(&error) => return Ok(()),
        opened => opened?,
    };
    let mut transaction = Transaction::default();
    FAMILIES.iter().for_each(|family| empty(&mut transaction, *family));
    match transport.commit(transaction) {
        // One table is missing, perhaps not the others.
        Err(error) if is_absence(&error) => FAMILIES.iter().try_for_each(|family| {
            let mut transaction = Transaction::default();
            empty(&mut transaction, *family);
            match transport.commit(transaction) {
                Err(error) if is_absence(&error) => Ok(()),
                closed => closed,
            }
        }),
        closed => closed,
    }
}

/// The set of open addresses to be empty: a removal that names no element removes all.
fn empty(transaction: &mut Transaction, family: Family) {
    let attributes = vec![SetElementList::Table(TABLE.into()), SetElementList::Set(LEASED.into())];
    transaction.delete(family, NfTablesMessage::DeleteSetElement(SetElementMessage { attributes }));
}

/// No such table or set, or no nf_tables at all.
fn is_absence(error: &io::Error) -> bool {
    matches!(Refused::errno(error), libc::ENOENT | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::EOPNOTSUPP)
}
