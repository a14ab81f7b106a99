//! What the fence looks like in the kernel, as nftables messages.
//!
//! ```text
//! table ip meshd {                                        table arp meshd {
//!   set vips   { type ipv4_addr }                           set vips, set leased: the same
//!   set leased { type ipv4_addr; flags timeout }
//!   chain prerouting, priority -500:                        chain input:
//!     ip daddr @vips ip daddr != @leased                      arp daddr ip @vips arp daddr ip != @leased
//!     fib daddr type local drop                               arp saddr ip != @vips drop
//!   chain output, priority -500:                            chain output:
//!     ip saddr @vips ip saddr != @leased drop                 arp saddr ip @vips arp saddr ip != @leased drop
//! }                                                       }
//! ```
//!
//! -500 is before defragmentation, conntrack and IPVS. Two families instead of one `inet` table,
//! because small kernels have no `inet`, and ARP never passes it.
//!
//! Two exceptions keep a host that does not own a VIP useful. A router may forward to a VIP that
//! another director serves, so only what would be delivered here is dropped (`fib`, where the kernel
//! has it; else everything). And a gratuitous ARP of the owner has to reach this host's own neighbour
//! table, so requests from a VIP pass; what the kernel would answer is dropped on the way out.

use std::net::Ipv4Addr;

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::NetfilterProtoFamily as Family;
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Cmp, DataAttribute, ExpressionAttribute, Expressions, Hook, HookNumber, Immediate,
    ListAttribute, Lookup, NfTablesMessage, Operator, Payload, Register, RuleAttribute, RuleMessage, SetAttribute,
    SetElementAttribute, SetElementList, SetElementMessage, SetFlags, SetMessage, TableAttribute, TableFlags,
    TableMessage, Verdict, VerdictAttribute,
};

use super::transport::Transaction;

/// The name of our table, in each family.
pub(super) const TABLE: &str = "meshd";
/// All fenced addresses.
pub(super) const VIPS: &str = "vips";
/// Those the fence is open for, each with its own timeout.
pub(super) const LEASED: &str = "leased";
/// Before defragmentation (-400), raw (-300), conntrack (-200) and IPVS.
const PRIORITY: i32 = -500;
/// An attribute holds 64 KiB, an element some 40 bytes.
const ELEMENTS_PER_MESSAGE: usize = 1024;

/// A chain of ours.
pub(super) struct Chain {
    pub(super) name: &'static str,
    /// NF_INET_* or NF_ARP_*, by family.
    pub(super) hook: u32,
    /// Where in the network header the address is that has to be leased.
    address_at: u32,
    /// Where in the network header the address is that lets the packet pass if it is a VIP.
    pass_if_vip_at: Option<u32>,
    /// Packets that this host only forwards pass.
    local: bool,
}

/// What there is in a family.
pub(super) fn chains(family: Family) -> &'static [Chain] {
    const IP_SADDR: u32 = 12;
    const IP_DADDR: u32 = 16;
    // Ethernet ARP: 8 bytes of header, then MAC and address of sender and of target.
    const ARP_SPA: u32 = 14;
    const ARP_TPA: u32 = 24;
    match family {
        Family::ARP => &[
            Chain { name: "input", hook: 0, address_at: ARP_TPA, pass_if_vip_at: Some(ARP_SPA), local: false },
            Chain { name: "output", hook: 1, address_at: ARP_SPA, pass_if_vip_at: None, local: false },
        ],
        _ => &[
            Chain { name: "prerouting", hook: 0, address_at: IP_DADDR, pass_if_vip_at: None, local: true },
            Chain { name: "output", hook: 3, address_at: IP_SADDR, pass_if_vip_at: None, local: false },
        ],
    }
}

/// Tables, sets, chains and their rules to be exactly ours; the sets' contents stay.
pub(super) fn build(transaction: &mut Transaction, family: Family, spare_forwarded: bool) {
    transaction.create(family, NfTablesMessage::NewTable(table(TABLE, TableFlags::empty())));
    transaction.create(family, NfTablesMessage::NewSet(set(TABLE, VIPS, 1, SetFlags::empty())));
    transaction.create(family, NfTablesMessage::NewSet(set(TABLE, LEASED, 2, SetFlags::Timeout)));
    for chain in chains(family) {
        transaction.create(family, NfTablesMessage::NewChain(chain_message(chain)));
        let all = vec![RuleAttribute::Table(TABLE.into()), RuleAttribute::Chain(chain.name.into())];
        transaction.delete(family, NfTablesMessage::DeleteRule(RuleMessage { attributes: all }));
        transaction.create(family, NfTablesMessage::NewRule(rule(chain, spare_forwarded)));
    }
}

/// The table to be gone, whether or not it is there.
pub(super) fn destroy(transaction: &mut Transaction, family: Family) {
    transaction.create(family, NfTablesMessage::NewTable(TableMessage { attributes: name(TABLE) }));
    transaction.delete(family, NfTablesMessage::DeleteTable(TableMessage { attributes: name(TABLE) }));
}

/// Elements to be in a set; with a timeout also those that are there already get it, where the kernel
/// can do that.
pub(super) fn add<'a>(
    transaction: &mut Transaction,
    family: Family,
    set: &str,
    elements: impl IntoIterator<Item = (&'a Ipv4Addr, Option<u64>)>,
) {
    for message in element_messages(TABLE, set, elements) {
        transaction.create(family, NfTablesMessage::NewSetElement(message));
    }
}

/// Elements that are in a set to go.
pub(super) fn remove<'a>(
    transaction: &mut Transaction,
    family: Family,
    set: &str,
    elements: impl IntoIterator<Item = &'a Ipv4Addr>,
) {
    for message in element_messages(TABLE, set, elements.into_iter().map(|address| (address, None))) {
        transaction.delete(family, NfTablesMessage::DeleteSetElement(message));
    }
}

pub(super) fn table(name: &str, flags: TableFlags) -> TableMessage {
    TableMessage { attributes: vec![TableAttribute::Name(name.into()), TableAttribute::Flags(flags)] }
}

/// The attribute that picks a table.
pub(super) fn name(table: &str) -> Vec<TableAttribute> {
    vec![TableAttribute::Name(table.into())]
}

pub(super) fn set(table: &str, name: &str, id: u32, flags: SetFlags) -> SetMessage {
    /// How `nft list` shows the keys (TYPE_IPADDR).
    const TYPE_IPV4_ADDR: u32 = 7;
    SetMessage {
        attributes: vec![
            SetAttribute::Table(table.into()),
            SetAttribute::Name(name.into()),
            SetAttribute::Flags(flags),
            SetAttribute::KeyType(TYPE_IPV4_ADDR),
            SetAttribute::KeyLen(4),
            SetAttribute::Id(id),
        ],
    }
}

/// As few messages as hold all elements; timeouts in milliseconds.
pub(super) fn element_messages<'a>(
    table: &str,
    set: &str,
    elements: impl IntoIterator<Item = (&'a Ipv4Addr, Option<u64>)>,
) -> Vec<SetElementMessage> {
    let elements: Vec<_> = elements
        .into_iter()
        .map(|(address, timeout)| {
            let key = DataAttribute::Value(address.octets().to_vec());
            let mut attributes = vec![SetElementAttribute::Key(key)];
            if let Some(timeout) = timeout {
                attributes.push(SetElementAttribute::Timeout(timeout));
                attributes.push(SetElementAttribute::Expiration(timeout));
            }
            ListAttribute::Element(attributes)
        })
        .collect();
    elements
        .chunks(ELEMENTS_PER_MESSAGE)
        .map(|chunk| SetElementMessage {
            attributes: vec![
                SetElementList::Table(table.into()),
                SetElementList::Set(set.into()),
                SetElementList::Elements(chunk.to_vec()),
            ],
        })
        .collect()
}

/// What is kept with a rule and tells that it is ours; `nft list` shows it as its comment.
pub(super) fn rule_mark() -> Vec<u8> {
    const COMMENT: &[u8] = b"closed unless leased\0";
    // Type 0 (comment), length, text: the encoding of nft.
    [&[0, COMMENT.len() as u8], COMMENT].concat()
}

fn chain_message(chain: &Chain) -> ChainMessage {
    const NF_ACCEPT: u32 = 1;
    ChainMessage {
        attributes: vec![
            ChainAttribute::Table(TABLE.into()),
            ChainAttribute::Name(chain.name.into()),
            ChainAttribute::Hook(hook(chain)),
            ChainAttribute::Type("filter".into()),
            ChainAttribute::Policy(NF_ACCEPT),
        ],
    }
}

fn hook(chain: &Chain) -> Vec<Hook> {
    vec![Hook::Number(HookNumber::Other(chain.hook)), Hook::Priority(PRIORITY as u32)]
}

/// Whether a chain as the kernel tells it hangs where ours has to.
pub(super) fn is_hooked(chain: &Chain, told: &[Hook]) -> bool {
    let number = told.iter().any(|hook| matches!(hook, Hook::Number(number) if u32::from(*number) == chain.hook));
    number && told.contains(&Hook::Priority(PRIORITY as u32))
}

fn rule(chain: &Chain, spare_forwarded: bool) -> RuleMessage {
    let mut expressions = vec![load(chain.address_at, Register::Reg1), lookup(VIPS, false), lookup(LEASED, true)];
    if let Some(at) = chain.pass_if_vip_at {
        expressions.extend([load(at, Register::Reg1), lookup(VIPS, true)]);
    }
    if chain.local && spare_forwarded {
        expressions.extend(is_local());
    }
    expressions.push(drop_packet());
    RuleMessage {
        attributes: vec![
            RuleAttribute::Table(TABLE.into()),
            RuleAttribute::Chain(chain.name.into()),
            RuleAttribute::Expressions(expressions.into_iter().map(ListAttribute::from).collect()),
            RuleAttribute::UserData(rule_mark()),
        ],
    }
}

/// An IPv4 address out of the network header.
fn load(offset: u32, register: Register) -> Expressions {
    const NETWORK_HEADER: u32 = 1;
    Expressions::Payload(vec![
        Payload::DestinationRegister(register),
        Payload::Base(NETWORK_HEADER),
        Payload::Offset(offset),
        Payload::Len(4),
    ])
}

/// Go on if the address is in the set, or `absent`.
fn lookup(set: &str, absent: bool) -> Expressions {
    const NFT_LOOKUP_F_INV: u32 = 1;
    let mut attributes = vec![Lookup::Set(set.into()), Lookup::SourceRegister(Register::Reg1)];
    if absent {
        attributes.push(Lookup::Flags(NFT_LOOKUP_F_INV));
    }
    Expressions::Lookup(attributes)
}

/// Go on if the destination is an address of this host.
fn is_local() -> [Expressions; 2] {
    const NFTA_FIB_DREG: u16 = 1;
    const NFTA_FIB_RESULT: u16 = 2;
    const NFTA_FIB_FLAGS: u16 = 3;
    const NFT_FIB_RESULT_ADDRTYPE: u32 = 3;
    const NFTA_FIB_F_DADDR: u32 = 2;
    const RTN_LOCAL: u32 = 2;
    let number = |kind, value: u32| DefaultNla::new(kind, value.to_be_bytes().to_vec());
    let fib = Expressions::Other {
        expression_type: "fib".into(),
        attributes: vec![
            number(NFTA_FIB_DREG, Register::Reg1.into()),
            number(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE),
            number(NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR),
        ],
    };
    let compare = Expressions::Cmp(vec![
        Cmp::SourceRegister(Register::Reg1),
        Cmp::Op(Operator::Equal),
        Cmp::Data(DataAttribute::Value(RTN_LOCAL.to_ne_bytes().to_vec())),
    ]);
    [fib, compare]
}

fn drop_packet() -> Expressions {
    const NF_DROP: u32 = 0;
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(vec![VerdictAttribute::Code(Verdict::Other(NF_DROP))])),
    ])
}

/// The addresses in an answer, with what is left of their timeouts in milliseconds.
pub(super) fn elements(message: &SetElementMessage) -> impl Iterator<Item = (Ipv4Addr, Option<u64>)> {
    let lists = message.attributes.iter().filter_map(|attribute| match attribute {
        SetElementList::Elements(list) => Some(list),
        _ => None,
    });
    lists.flatten().filter_map(|element| {
        let ListAttribute::Element(attributes) = element else { return None };
        let address = attributes.iter().find_map(|attribute| match attribute {
            SetElementAttribute::Key(DataAttribute::Value(key)) => <[u8; 4]>::try_from(key.as_slice()).ok(),
            _ => None,
        })?;
        let left = attributes.iter().find_map(|attribute| match attribute {
            SetElementAttribute::Expiration(left) => Some(*left),
            _ => None,
        });
        Some((Ipv4Addr::from(address), left))
    })
}

/// Whether a rule as the kernel tells it is one of ours.
pub(super) fn is_ours(rule: &RuleMessage, expected: &Chain, spare_forwarded: bool) -> bool {
    let wanted = self::rule(expected, spare_forwarded).attributes;
    let marked = rule.attributes.contains(&RuleAttribute::UserData(rule_mark()));
    let names = |list: &[RuleAttribute]| {
        list.iter().find_map(|attribute| match attribute {
            RuleAttribute::Expressions(list) => Some(list.iter().filter_map(expression_name).collect::<Vec<_>>()),
            _ => None,
        })
    };
    marked && names(&rule.attributes) == names(&wanted)
}

fn expression_name(expression: &ListAttribute<ExpressionAttribute>) -> Option<String> {
    let ListAttribute::Element(attributes) = expression else { return None };
    attributes.iter().find_map(|attribute| match attribute {
        ExpressionAttribute::Name(name) => Some(name.clone()),
        _ => None,
    })
}
