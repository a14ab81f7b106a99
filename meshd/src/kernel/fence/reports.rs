//! What the kernel reports of multicast groups on an interface with a virtual MAC address (IGMP, MLD)
//! leaves with the MAC address of the interface below: a switch that learnt the virtual one from a backup's
//! report would send it what is meant for the active router.
//!
//! ```text
//! table netdev meshd-vmac {
//!   set macs { type ether_addr }
//!   chain egress_eth0, hook egress device eth0, priority -600:
//!     ip protocol igmp ether saddr @macs ether saddr set (that of eth0)
//!     icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } ... the same
//! }
//! ```
//!
//! Before the fence (-500), which drops what leaves with a virtual MAC address that is not leased. keepalived
//! sends a copy by the interface below instead; here the report itself is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use netlink_packet_netfilter::NetfilterProtoFamily as Family;
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Hook, HookNumber, ListAttribute, NfTablesMessage, RuleAttribute, RuleMessage,
    TableFlags, TableMessage,
};

use super::elements;
use super::layout;
use super::rules::{self, Rule};
use super::target::FenceTarget;
use super::transport::{Transaction, Transport};

const TABLE: &str = "meshd-vmac";
const SET: &str = "macs";
/// Before the fence.
const PRIORITY: i32 = -600;
const EGRESS: u32 = 1;

/// Has the reports of these changed, and of no others: name and MAC address of the interface below, and the
/// virtual MAC address.
///
/// # Errors
///
/// This kernel cannot do it (Linux 5.16 can), or does not answer.
pub fn rewrite(vmacs: &[(&str, [u8; 6], [u8; 6])]) -> io::Result<()> {
    let mut transport = Transport::open()?;
    let mut transaction = Transaction::default();
    let table = || TableMessage { attributes: layout::name(TABLE) };
    transaction.create(Family::NetDev, NfTablesMessage::NewTable(table()));
    transaction.delete(Family::NetDev, NfTablesMessage::DeleteTable(table()));
    if !vmacs.is_empty() {
        build(&mut transaction, vmacs);
    }
    transport.commit(transaction)
}

fn build(transaction: &mut Transaction, vmacs: &[(&str, [u8; 6], [u8; 6])]) {
    transaction.create(Family::NetDev, NfTablesMessage::NewTable(layout::table(TABLE, TableFlags::empty())));
    transaction.create(Family::NetDev, NfTablesMessage::NewSet(layout::mac_set(TABLE, SET)));
    let macs: BTreeSet<FenceTarget> = vmacs.iter().map(|(_, _, mac)| FenceTarget::Mac(*mac)).collect();
    for message in elements::messages(TABLE, SET, macs.iter().map(|mac| (mac, None))) {
        transaction.create(Family::NetDev, NfTablesMessage::NewSetElement(message));
    }
    let devices: BTreeMap<&str, [u8; 6]> = vmacs.iter().map(|(device, below, _)| (*device, *below)).collect();
    for (device, mac) in devices {
        let name = format!("egress_{device}");
        transaction.create(Family::NetDev, NfTablesMessage::NewChain(chain(&name, device)));
        for rule in rules::reports(SET, mac) {
            transaction.append(Family::NetDev, NfTablesMessage::NewRule(rule_message(&name, &rule)));
        }
    }
}

fn chain(name: &str, device: &str) -> ChainMessage {
    const NF_ACCEPT: u32 = 1;
    let hook = vec![
        Hook::Number(HookNumber::Other(EGRESS)),
        Hook::Priority(PRIORITY as u32),
        Hook::NetDeviceName(device.to_owned()),
    ];
    ChainMessage {
        attributes: vec![
            ChainAttribute::Table(TABLE.into()),
            ChainAttribute::Name(name.to_owned()),
            ChainAttribute::Hook(hook),
            ChainAttribute::Type("filter".into()),
            ChainAttribute::Policy(NF_ACCEPT),
        ],
    }
}

fn rule_message(chain: &str, rule: &Rule) -> RuleMessage {
    RuleMessage {
        attributes: vec![
            RuleAttribute::Table(TABLE.into()),
            RuleAttribute::Chain(chain.to_owned()),
            RuleAttribute::Expressions(rule.iter().cloned().map(ListAttribute::from).collect()),
        ],
    }
}
