//! Addresses that only forward (`no_accept`, RFC 9568 section 6.1 Accept_Mode): what is for them is
//! dropped, whether the fence is open or not.
//!
//! ```text
//! table ip meshd_accept {                        and ip6, where neighbour discovery passes
//!   set unaccepted { type ipv4_addr }
//!   chain input, hook input, priority 110:
//!     ip daddr @unaccepted drop
//! }
//! ```
//!
//! 110 is behind IPVS (98 and 99): a virtual service is forwarding, too. A table of its own, made anew
//! whenever it has to change, in the same transaction as the fence.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Hook, HookNumber, ListAttribute, NfTablesMessage, RuleAttribute, RuleMessage,
    SetFlags, TableFlags,
};

use super::capabilities::Capabilities;
use super::inspect::dump_set;
use super::layout::{self, PlannedSet};
use super::target::{FenceTarget, Table};
use super::transport::{Transaction, Transport};
use super::{elements, rules};

/// The name of the table, in each family.
pub(super) const TABLE: &str = "meshd_accept";
const SET: &str = "unaccepted";
const CHAIN: &str = "input";
const PRIORITY: u32 = 110;

/// What has to be made anew, by table; without addresses it goes.
pub(super) struct Change(BTreeMap<Table, Vec<FenceTarget>>);

impl Change {
    /// From what the kernel holds to these.
    pub(super) fn new(
        transport: &mut Transport,
        capabilities: &Capabilities,
        wanted: &BTreeSet<FenceTarget>,
    ) -> io::Result<Change> {
        let mut change = BTreeMap::new();
        for table in [Table::Ip, Table::Ip6].into_iter().filter(|table| capabilities.has(*table)) {
            let wanted: BTreeSet<FenceTarget> = wanted.iter().copied().filter(|target| table.holds(target)).collect();
            let held = dump_set(transport, table.family(), TABLE, SET)?;
            let same = match &held {
                None => wanted.is_empty(),
                Some(held) => {
                    let held: BTreeSet<FenceTarget> = held.iter().map(|(target, _): &(_, Duration)| *target).collect();
                    !wanted.is_empty() && held == wanted && rule_count(transport, table) == Some(rules(table).len())
                }
            };
            if !same {
                change.insert(table, wanted.into_iter().collect());
            }
        }
        Ok(Change(change))
    }

    /// Whether anything has to be done.
    pub(super) fn is_needed(&self) -> bool {
        !self.0.is_empty()
    }

    pub(super) fn prepare(&self, transaction: &mut Transaction) {
        for (table, targets) in &self.0 {
            let family = table.family();
            let named = layout::table(TABLE, TableFlags::empty());
            transaction.create(family, NfTablesMessage::NewTable(named.clone()));
            transaction.delete(family, NfTablesMessage::DeleteTable(named.clone()));
            if targets.is_empty() {
                continue;
            }
            transaction.create(family, NfTablesMessage::NewTable(named));
            // How `nft list` shows the keys: TYPE_IPADDR, TYPE_IP6ADDR.
            let (key_type, key_length) = if *table == Table::Ip6 { (8, 16) } else { (7, 4) };
            let set = PlannedSet { name: SET, key_type, key_length, flags: SetFlags::empty() };
            transaction.create(family, NfTablesMessage::NewSet(layout::set_message(TABLE, &set, 1)));
            for message in elements::messages(TABLE, SET, targets.iter().map(|target| (target, None))) {
                transaction.create(family, NfTablesMessage::NewSetElement(message));
            }
            transaction.create(family, NfTablesMessage::NewChain(chain()));
            for rule in rules(*table) {
                transaction.append(family, NfTablesMessage::NewRule(rule));
            }
        }
    }
}

fn chain() -> ChainMessage {
    const NF_ACCEPT: u32 = 1;
    const NF_INET_LOCAL_IN: u32 = 1;
    let hook = vec![Hook::Number(HookNumber::Other(NF_INET_LOCAL_IN)), Hook::Priority(PRIORITY)];
    ChainMessage {
        attributes: vec![
            ChainAttribute::Table(TABLE.into()),
            ChainAttribute::Name(CHAIN.into()),
            ChainAttribute::Hook(hook),
            ChainAttribute::Type("filter".into()),
            ChainAttribute::Policy(NF_ACCEPT),
        ],
    }
}

fn rules(table: Table) -> Vec<RuleMessage> {
    let message = |rule: rules::Rule| RuleMessage {
        attributes: vec![
            RuleAttribute::Table(TABLE.into()),
            RuleAttribute::Chain(CHAIN.into()),
            RuleAttribute::Expressions(rule.into_iter().map(ListAttribute::from).collect()),
        ],
    };
    rules::unaccepted(table, SET).into_iter().map(message).collect()
}

/// `None` where its chain is gone, or cannot be read: then all of it is made anew.
fn rule_count(transport: &mut Transport, table: Table) -> Option<usize> {
    let attributes = vec![RuleAttribute::Table(TABLE.into()), RuleAttribute::Chain(CHAIN.into())];
    let told = transport.ask(table.family(), &NfTablesMessage::GetRule(RuleMessage { attributes }), true).ok()?;
    Some(told.iter().filter(|message| matches!(message, NfTablesMessage::NewRule(_))).count())
}
