//! What the fence looks like in the kernel, as nftables messages.
//!
//! ```text
//! table ip meshd {
//!   set vips   { type ipv4_addr }
//!   set leased { type ipv4_addr; flags timeout }
//!   chain prerouting, priority -500:
//!     ip daddr @vips ip daddr != @leased fib daddr type local drop
//!   chain output, priority -500:
//!     ip saddr @vips ip saddr != @leased drop
//! }
//! table arp meshd {                              vips and leased the same
//!   chain input:
//!     arp daddr ip @vips arp daddr ip != @leased arp saddr ip != @vips drop
//!   chain output:
//!     arp saddr ip @vips arp saddr ip != @leased drop
//! }
//! table ip6 meshd {                              vips and leased of ipv6_addr
//!   chain prerouting, priority -500:
//!     ip6 daddr @vips ip6 daddr != @leased fib daddr type local drop
//!     icmpv6 type nd-neighbor-solicit icmpv6 taddr @vips icmpv6 taddr != @leased drop
//!   chain output, priority -500:
//!     ip6 saddr @vips ip6 saddr != @leased drop
//!     icmpv6 type nd-neighbor-advert icmpv6 taddr @vips icmpv6 taddr != @leased drop
//!     icmpv6 type nd-neighbor-solicit ip6 saddr :: icmpv6 taddr @vips icmpv6 taddr != @leased drop
//! }
//! ```
//!
//! Where virtual MAC addresses are fenced, each of these has two more sets, `macs` and `leased_macs`,
//! and rules that look for one in the frame's destination on the way in, and in ARP's sender and the
//! neighbour advertisement's option on the way out. A fourth table looks at frames themselves, where
//! they leave: one chain for each device, so that what a macvlan sends is seen on the device below.
//!
//! ```text
//! table netdev meshd {
//!   chain egress_eth0, hook egress device eth0, priority -500:
//!     ether saddr @macs ether saddr != @leased_macs drop
//! }
//! ```
//!
//! -500 is before defragmentation, conntrack and IPVS. Families of their own instead of one `inet`
//! table, because small kernels have no `inet`, and ARP never passes it. There is no ingress hook:
//! prerouting sees the frame's destination as well, for every device there is or will be.
//!
//! Two exceptions keep a host that does not own a VIP useful. A router may forward to a VIP that
//! another director serves, so only what would be delivered here is dropped (`fib`, where the kernel
//! has it; else everything). And a gratuitous ARP of the owner has to reach this host's own neighbour
//! table, so requests from a VIP pass; what the kernel would answer is dropped on the way out.

use std::collections::BTreeSet;

use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, ExpressionAttribute, Expressions, Hook, HookNumber, ListAttribute, NfTablesMessage,
    RuleAttribute, RuleMessage, SetAttribute, SetFlags, SetMessage, TableAttribute, TableFlags, TableMessage,
};

use super::capabilities::Capabilities;
use super::rules::{self, Rule};
use super::target::{FenceTarget, Table};
use super::transport::Transaction;

/// The name of our table, in each family.
pub(super) const TABLE: &str = "meshd";
/// All fenced addresses.
pub(super) const VIPS: &str = "vips";
/// Those the fence is open for, each with its own timeout.
pub(super) const LEASED: &str = "leased";
/// All fenced virtual MAC addresses.
pub(super) const MACS: &str = "macs";
/// Those the fence is open for.
pub(super) const LEASED_MACS: &str = "leased_macs";
/// Before defragmentation (-400), raw (-300), conntrack (-200) and IPVS.
const PRIORITY: i32 = -500;

/// A table of ours as it has to be, but for the elements of its sets.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) table: Table,
    sets: Vec<PlannedSet>,
    pub(super) chains: Vec<Chain>,
}

#[derive(Clone, Debug)]
pub(super) struct PlannedSet {
    pub(super) name: &'static str,
    pub(super) key_type: u32,
    pub(super) key_length: u32,
    pub(super) flags: SetFlags,
}

/// A chain of ours.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) name: String,
    /// NF_INET_*, NF_ARP_* or NF_NETDEV_*, by family.
    hook: u32,
    device: Option<String>,
    pub(super) rules: Vec<Rule>,
}

/// The tables these targets take, of those the kernel offers.
pub(super) fn plans(
    targets: &BTreeSet<FenceTarget>,
    devices: &BTreeSet<String>,
    capabilities: &Capabilities,
) -> Vec<Plan> {
    let macs = targets.iter().any(FenceTarget::is_mac);
    let wanted = |table: &Table| targets.iter().any(|target| table.holds(target)) && capabilities.has(*table);
    let tables = Table::ALL.into_iter().filter(wanted);
    tables
        .map(|table| {
            let addresses = targets.iter().any(|target| !target.is_mac() && table.holds(target));
            Plan::new(table, addresses, macs, devices, capabilities)
        })
        .collect()
}

impl Plan {
    pub(super) fn new(
        table: Table,
        addresses: bool,
        macs: bool,
        devices: &BTreeSet<String>,
        capabilities: &Capabilities,
    ) -> Plan {
        let mut sets = Vec::new();
        let timeout = if capabilities.timeouts { SetFlags::Timeout } else { SetFlags::empty() };
        let mut pair = |fenced, leased, key_type, key_length| {
            for (name, flags) in [(fenced, SetFlags::empty()), (leased, timeout)] {
                sets.push(PlannedSet { name, key_type, key_length, flags });
            }
        };
        // How `nft list` shows the keys: TYPE_IPADDR, TYPE_IP6ADDR, TYPE_ETHERADDR.
        match table {
            Table::Ip | Table::Arp if addresses => pair(VIPS, LEASED, 7, 4),
            Table::Ip6 if addresses => pair(VIPS, LEASED, 8, 16),
            _ => {}
        }
        if macs {
            pair(MACS, LEASED_MACS, 9, 6);
        }
        let chains = chains(table, addresses, macs, devices, capabilities.spare_forwarded.contains(&table));
        Plan { table, sets, chains }
    }

    /// Tables, sets, chains and their rules to be exactly ours; the sets' contents stay.
    pub(super) fn build(&self, transaction: &mut Transaction) {
        let family = self.table.family();
        transaction.create(family, NfTablesMessage::NewTable(table(TABLE, TableFlags::empty())));
        for (number, set) in self.sets.iter().enumerate() {
            let message = set_message(TABLE, set, number as u32 + 1);
            transaction.create(family, NfTablesMessage::NewSet(message));
        }
        for chain in &self.chains {
            transaction.create(family, NfTablesMessage::NewChain(chain.message()));
            let all = vec![RuleAttribute::Table(TABLE.into()), RuleAttribute::Chain(chain.name.clone())];
            transaction.delete(family, NfTablesMessage::DeleteRule(RuleMessage { attributes: all }));
            for rule in &chain.rules {
                transaction.append(family, NfTablesMessage::NewRule(chain.rule(rule)));
            }
        }
    }

    pub(super) fn has_set(&self, name: &str) -> bool {
        self.sets.iter().any(|set| set.name == name)
    }

    /// Whether elements for this target have a place in it.
    pub(super) fn has_sets_of(&self, target: &FenceTarget) -> bool {
        self.table.holds(target) && self.has_set(if target.is_mac() { MACS } else { VIPS })
    }
}

fn chains(table: Table, addresses: bool, macs: bool, devices: &BTreeSet<String>, spare: bool) -> Vec<Chain> {
    let chain = |name: &str, hook, of_macs: Vec<Rule>, of_addresses: Vec<Rule>| {
        let mut rules = if macs { of_macs } else { Vec::new() };
        rules.extend(if addresses { of_addresses } else { Vec::new() });
        Chain { name: name.to_owned(), hook, device: None, rules }
    };
    match table {
        Table::Ip => vec![
            chain("prerouting", 0, vec![rules::mac_in()], vec![rules::ip_in(spare)]),
            chain("output", 3, vec![], vec![rules::ip_out()]),
        ],
        Table::Arp => vec![
            chain("input", 0, vec![rules::mac_in()], vec![rules::arp_in()]),
            chain("output", 1, vec![rules::mac_in_arp_out()], vec![rules::arp_out()]),
        ],
        Table::Ip6 => vec![
            chain("prerouting", 0, vec![rules::mac_in()], vec![rules::ip6_in(spare), rules::solicitation_in()]),
            chain(
                "output",
                3,
                vec![rules::mac_in_advertisement_out()],
                vec![rules::ip6_out(), rules::advertisement_out(), rules::detection_out()],
            ),
        ],
        Table::Netdev => {
            const EGRESS: u32 = 1;
            let of = |device: &String| Chain {
                device: Some(device.clone()),
                ..chain(&format!("egress_{device}"), EGRESS, vec![rules::mac_out()], vec![])
            };
            devices.iter().map(of).collect()
        }
    }
}

impl Chain {
    fn message(&self) -> ChainMessage {
        const NF_ACCEPT: u32 = 1;
        let mut hook = vec![Hook::Number(HookNumber::Other(self.hook)), Hook::Priority(PRIORITY as u32)];
        hook.extend(self.device.clone().map(Hook::NetDeviceName));
        ChainMessage {
            attributes: vec![
                ChainAttribute::Table(TABLE.into()),
                ChainAttribute::Name(self.name.clone()),
                ChainAttribute::Hook(hook),
                ChainAttribute::Type("filter".into()),
                ChainAttribute::Policy(NF_ACCEPT),
            ],
        }
    }

    /// Whether a chain as the kernel tells it hangs where ours has to.
    pub(super) fn is_hooked(&self, told: &[Hook]) -> bool {
        let number = told.iter().any(|hook| matches!(hook, Hook::Number(number) if u32::from(*number) == self.hook));
        let device = self.device.as_ref().is_none_or(|device| told.contains(&Hook::NetDeviceName(device.clone())));
        number && device && told.contains(&Hook::Priority(PRIORITY as u32))
    }

    fn rule(&self, rule: &[Expressions]) -> RuleMessage {
        RuleMessage {
            attributes: vec![
                RuleAttribute::Table(TABLE.into()),
                RuleAttribute::Chain(self.name.clone()),
                RuleAttribute::Expressions(rule.iter().cloned().map(ListAttribute::from).collect()),
                RuleAttribute::UserData(rule_mark()),
            ],
        }
    }

    /// Whether rules as the kernel tells them are ours.
    pub(super) fn has_rules(&self, told: &[NfTablesMessage]) -> bool {
        let is_ours = |(told, rule): (&NfTablesMessage, &Rule)| match told {
            NfTablesMessage::NewRule(told) => {
                let marked = told.attributes.contains(&RuleAttribute::UserData(rule_mark()));
                marked && expression_names(told) == expression_names(&self.rule(rule))
            }
            _ => false,
        };
        told.len() == self.rules.len() && told.iter().zip(&self.rules).all(is_ours)
    }
}

/// The table to be gone, whether or not it is there.
pub(super) fn destroy(transaction: &mut Transaction, table: Table) {
    transaction.create(table.family(), NfTablesMessage::NewTable(TableMessage { attributes: name(TABLE) }));
    transaction.delete(table.family(), NfTablesMessage::DeleteTable(TableMessage { attributes: name(TABLE) }));
}

pub(super) fn table(name: &str, flags: TableFlags) -> TableMessage {
    TableMessage { attributes: vec![TableAttribute::Name(name.into()), TableAttribute::Flags(flags)] }
}

/// The attribute that picks a table.
pub(super) fn name(table: &str) -> Vec<TableAttribute> {
    vec![TableAttribute::Name(table.into())]
}

/// A set of IPv4 addresses with timeouts, to try what the kernel does with them.
pub(super) fn sample_set(table: &str) -> SetMessage {
    set_message(table, &PlannedSet { name: LEASED, key_type: 7, key_length: 4, flags: SetFlags::Timeout }, 1)
}

/// A set of MAC addresses.
pub(super) fn mac_set(table: &str, name: &'static str) -> SetMessage {
    set_message(table, &PlannedSet { name, key_type: 9, key_length: 6, flags: SetFlags::empty() }, 1)
}

pub(super) fn set_message(table: &str, set: &PlannedSet, id: u32) -> SetMessage {
    SetMessage {
        attributes: vec![
            SetAttribute::Table(table.into()),
            SetAttribute::Name(set.name.into()),
            SetAttribute::Flags(set.flags),
            SetAttribute::KeyType(set.key_type),
            SetAttribute::KeyLen(set.key_length),
            SetAttribute::Id(id),
        ],
    }
}

/// What is kept with a rule and tells that it is ours; `nft list` shows it as its comment.
fn rule_mark() -> Vec<u8> {
    const COMMENT: &[u8] = b"closed unless leased\0";
    // Type 0 (comment), length, text: the encoding of nft.
    [&[0, COMMENT.len() as u8], COMMENT].concat()
}

fn expression_names(rule: &RuleMessage) -> Option<Vec<String>> {
    let expressions = rule.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::Expressions(list) => Some(list),
        _ => None,
    });
    Some(expressions?.iter().filter_map(expression_name).collect())
}

fn expression_name(expression: &ListAttribute<ExpressionAttribute>) -> Option<String> {
    let ListAttribute::Element(attributes) = expression else { return None };
    attributes.iter().find_map(|attribute| match attribute {
        ExpressionAttribute::Name(name) => Some(name.clone()),
        _ => None,
    })
}
