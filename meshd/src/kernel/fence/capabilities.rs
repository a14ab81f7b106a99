//! What this kernel offers the fence, tried one by one; nothing is changed by trying.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use netlink_packet_netfilter::NetfilterProtoFamily as Family;
use netlink_packet_netfilter::nftables::{NfTablesMessage, TableFlags};
use nix::libc;

use super::elements;
use super::inspect::dump_set;
use super::layout::{self, LEASED, Plan, TABLE};
use super::target::{FenceTarget, Table};
use super::transport::{Refused, Transaction, Transport};

/// What this kernel offers.
#[derive(Clone, Debug)]
pub(super) struct Capabilities {
    pub(super) tables: BTreeSet<Table>,
    /// Tables where packets to be forwarded can be told from those to be delivered.
    pub(super) spare_forwarded: BTreeSet<Table>,
    /// Elements of sets can end by themselves.
    pub(super) timeouts: bool,
    pub(super) refresh: Refresh,
}

/// How an armed address gets another timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refresh {
    /// Adding it again sets it, without the element ever being away (Linux 6.12).
    InPlace,
    /// Adding it again changes nothing: the element is replaced within a transaction. Lookups that
    /// overlap the transaction can miss both, the old and the new one, on more than one processor.
    Replace,
}

impl Capabilities {
    /// Tries everything. An error is the reason why not even IPv4 packets can be fenced.
    pub(super) fn probe(transport: &mut Transport) -> io::Result<Capabilities> {
        let mut found = Capabilities {
            tables: BTreeSet::from(Table::ALL),
            spare_forwarded: BTreeSet::new(),
            timeouts: true,
            refresh: Refresh::Replace,
        };
        if let Err(with) = found.try_table(transport, Table::Ip) {
            found.timeouts = false;
            found.try_table(transport, Table::Ip).map_err(|without| first_reason(with, without))?;
        }
        for table in [Table::Arp, Table::Ip6, Table::Netdev] {
            if found.try_table(transport, table).is_err() {
                found.tables.remove(&table);
            }
        }
        for table in [Table::Ip, Table::Ip6] {
            let mut more = found.clone();
            more.spare_forwarded.insert(table);
            if found.has(table) && more.try_table(transport, table).is_ok() {
                found = more;
            }
        }
        if found.timeouts {
            found.refresh = probe_refresh()?;
        }
        Ok(found)
    }

    pub(super) fn has(&self, table: Table) -> bool {
        self.tables.contains(&table)
    }

    /// What is missing for these targets, in words.
    pub(super) fn gaps(&self, targets: &BTreeSet<FenceTarget>) -> Vec<String> {
        let any = |wanted: fn(&FenceTarget) -> bool| targets.iter().any(wanted);
        let lacks = |table, wanted| !self.has(table) && any(wanted);
        let is_v4 = |target: &FenceTarget| matches!(target, FenceTarget::V4(_));
        let is_v6 = |target: &FenceTarget| matches!(target, FenceTarget::V6(_));
        let gaps = [
            (
                !self.timeouts && !targets.is_empty(),
                "nftables sets have no timeouts here: while the daemon stands still the fence stays open, until the \
                 lifetime of the addresses ends",
            ),
            (
                lacks(Table::Arp, is_v4),
                "no nftables family `arp`: ARP for an IPv4 address that is not leased is answered while the address is \
                 on the host",
            ),
            (
                lacks(Table::Ip6, is_v6),
                "no nftables family `ip6`: IPv6 addresses are not fenced, only their lifetime ends",
            ),
            (
                lacks(Table::Ip6, FenceTarget::is_mac),
                "no nftables family `ip6`: IPv6 packets to a virtual MAC address that is not leased are taken",
            ),
            (
                lacks(Table::Arp, FenceTarget::is_mac),
                "no nftables family `arp`: ARP may tell of a virtual MAC address that is not leased",
            ),
            (
                lacks(Table::Netdev, FenceTarget::is_mac),
                "no nftables egress hook (Linux 5.16): frames from a virtual MAC address that is not leased can leave",
            ),
        ];
        gaps.into_iter().filter(|(missing, _)| *missing).map(|(_, text)| text.to_owned()).collect()
    }

    /// Whether the kernel would take a table with all there may be in it.
    fn try_table(&self, transport: &mut Transport, table: Table) -> io::Result<()> {
        let addresses = table != Table::Netdev;
        // Of the devices, only this one is there for certain.
        let plan = Plan::new(table, addresses, true, &BTreeSet::from(["lo".to_owned()]), self);
        let mut transaction = Transaction::default();
        layout::destroy(&mut transaction, table);
        plan.build(&mut transaction);
        transport.check(transaction)
    }
}

/// The refusal that explains most: without permission everything is refused.
fn first_reason(with: io::Error, without: io::Error) -> io::Error {
    if Refused::errno(&without) == libc::EPERM { with } else { without }
}

/// Tries it, in a table that belongs to a socket and goes with it.
fn probe_refresh() -> io::Result<Refresh> {
    const SHORT: u64 = 10_000;
    const LONG: u64 = 60_000;
    let mut transport = Transport::open()?;
    let table = format!("{TABLE}-probe-{}", transport.port());
    let sample = FenceTarget::V4(std::net::Ipv4Addr::LOCALHOST);
    let element = |timeout| {
        let messages = elements::messages(&table, LEASED, [(&sample, Some(timeout))].into_iter());
        messages.into_iter().map(NfTablesMessage::NewSetElement)
    };
    let mut transaction = Transaction::default();
    transaction.create(Family::IPv4, NfTablesMessage::NewTable(layout::table(&table, TableFlags::Owner)));
    transaction.create(Family::IPv4, NfTablesMessage::NewSet(layout::sample_set(&table)));
    element(SHORT).for_each(|message| transaction.create(Family::IPv4, message));
    if transport.commit(transaction).is_err() {
        // No tables with an owner before Linux 5.12, and no updates either.
        return Ok(Refresh::Replace);
    }
    let mut transaction = Transaction::default();
    element(LONG).for_each(|message| transaction.create(Family::IPv4, message));
    transport.commit(transaction)?;
    let held = dump_set(&mut transport, Family::IPv4, &table, LEASED)?;
    let updated = held.iter().flatten().any(|(_, left)| *left > Duration::from_millis(SHORT));
    Ok(if updated { Refresh::InPlace } else { Refresh::Replace })
}
