//! Closing without knowing what is open: in place of a daemon that is dead.

use std::io;

use netlink_packet_netfilter::nftables::{
    NfTablesMessage, SetAttribute, SetElementList, SetElementMessage, SetMessage,
};
use nix::libc;

use super::layout::{LEASED, LEASED_MACS, TABLE};
use super::target::Table;
use super::transport::{Refused, Transaction, Transport};

/// Sets in which elements open the fence.
const OPENING: [&str; 2] = [LEASED, LEASED_MACS];

/// The fence was closed. To be kept while anything is urgent: it holds the socket, and the kernel takes about 10 ms,
/// more on a busy host, to close one over which a transaction went.
#[must_use]
pub struct Closed {
    _transport: Option<Transport>,
}

/// Closes the fence for whatever is open, at once. Where there is none, there is nothing to close.
///
/// # Errors
///
/// The kernel refused, or did not answer within half a second: the fence closes at its deadline.
pub fn close_all() -> io::Result<Closed> {
    let mut transport = match Transport::open() {
        Err(error) if is_absence(&error) => return Ok(Closed { _transport: None }),
        opened => opened?,
    };
    // Which of them there are depends on the kernel and on what was fenced. The kernel takes tens of milliseconds to
    // undo a transaction that names one that is not there: it waits until nobody can be reading it.
    let mut sets = Vec::new();
    for table in Table::ALL {
        sets.extend(present(&mut transport, table).into_iter().map(|set| (table, set)));
    }
    let mut transaction = Transaction::default();
    sets.iter().for_each(|(table, set)| empty(&mut transaction, *table, set));
    if transport.commit(transaction).is_err() {
        // One went in between, or there is more wrong: whatever can be closed is closed.
        each_alone(&mut transport, &sets)?;
    }
    Ok(Closed { _transport: Some(transport) })
}

/// Those of a table's sets that are there; all of them where the kernel does not tell.
fn present(transport: &mut Transport, table: Table) -> Vec<&'static str> {
    let question = NfTablesMessage::GetSet(SetMessage { attributes: Vec::new() });
    match transport.ask(table.family(), &question, true) {
        Ok(told) => OPENING.into_iter().filter(|set| told.iter().any(|message| is_set(message, set))).collect(),
        Err(_) => OPENING.to_vec(),
    }
}

fn is_set(message: &NfTablesMessage, name: &str) -> bool {
    let NfTablesMessage::NewSet(SetMessage { attributes }) = message else { return false };
    attributes.contains(&SetAttribute::Table(TABLE.into())) && attributes.contains(&SetAttribute::Name(name.into()))
}

fn each_alone(transport: &mut Transport, sets: &[(Table, &str)]) -> io::Result<()> {
    let mut result = Ok(());
    for (table, set) in sets {
        let mut transaction = Transaction::default();
        empty(&mut transaction, *table, set);
        match transport.commit(transaction) {
            Err(error) if !is_absence(&error) => result = Err(error),
            _ => {}
        }
    }
    result
}

/// The set to be empty: a removal that names no element removes all.
fn empty(transaction: &mut Transaction, table: Table, set: &str) {
    let attributes = vec![SetElementList::Table(TABLE.into()), SetElementList::Set(set.into())];
    transaction.delete(table.family(), NfTablesMessage::DeleteSetElement(SetElementMessage { attributes }));
}

/// No such table or set, or no nf_tables at all.
fn is_absence(error: &io::Error) -> bool {
    matches!(Refused::errno(error), libc::ENOENT | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::EOPNOTSUPP)
}
