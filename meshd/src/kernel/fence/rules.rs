//! The rules of the fence, as nftables expressions.

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Cmp, DataAttribute, Expressions, Immediate, Lookup, Meta, MetaKey, Operator, Payload, Register, Verdict,
    VerdictAttribute,
};

use super::layout::{LEASED, LEASED_MACS, MACS, VIPS};
use super::target::Table;

/// Where in a packet something is, and how long.
#[derive(Clone, Copy)]
struct Field {
    base: u32,
    offset: u32,
    length: u32,
}

const LINK: u32 = 0;
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;

const ETHER_DESTINATION: Field = Field { base: LINK, offset: 0, length: 6 };
const ETHER_SOURCE: Field = Field { base: LINK, offset: 6, length: 6 };
const IP_SOURCE: Field = Field { base: NETWORK, offset: 12, length: 4 };
const IP_DESTINATION: Field = Field { base: NETWORK, offset: 16, length: 4 };
const IP6_SOURCE: Field = Field { base: NETWORK, offset: 8, length: 16 };
const IP6_DESTINATION: Field = Field { base: NETWORK, offset: 24, length: 16 };
// Ethernet ARP (RFC 826): 8 bytes of header, then MAC and address of sender and of target.
const ARP_SENDER_MAC: Field = Field { base: NETWORK, offset: 8, length: 6 };
const ARP_SENDER: Field = Field { base: NETWORK, offset: 14, length: 4 };
const ARP_TARGET: Field = Field { base: NETWORK, offset: 24, length: 4 };
// Neighbour discovery (RFC 4861 sections 4.3, 4.4, 4.6.1): the target, then the option with its MAC.
const ND_TYPE: Field = Field { base: TRANSPORT, offset: 0, length: 1 };
const ND_TARGET: Field = Field { base: TRANSPORT, offset: 8, length: 16 };
const ND_TARGET_MAC: Field = Field { base: TRANSPORT, offset: 26, length: 6 };

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// A rule: expressions up to the one that drops the packet.
pub(super) type Rule = Vec<Expressions>;

pub(super) fn ip_in(spare_forwarded: bool) -> Rule {
    closed(IP_DESTINATION, if spare_forwarded { &IS_LOCAL } else { &[] })
}

pub(super) fn ip_out() -> Rule {
    closed(IP_SOURCE, &[])
}

pub(super) fn arp_in() -> Rule {
    closed(ARP_TARGET, &[Condition::Outside(ARP_SENDER, VIPS)])
}

pub(super) fn arp_out() -> Rule {
    closed(ARP_SENDER, &[])
}

pub(super) fn ip6_in(spare_forwarded: bool) -> Rule {
    closed(IP6_DESTINATION, if spare_forwarded { &IS_LOCAL } else { &[] })
}

pub(super) fn ip6_out() -> Rule {
    closed(IP6_SOURCE, &[])
}

/// A question for the address, duplicate address detection included, goes unanswered.
pub(super) fn solicitation_in() -> Rule {
    [discovery(SOLICITATION), closed(ND_TARGET, &[])].concat()
}

/// An advertisement tells of its target, whatever address it comes from.
pub(super) fn advertisement_out() -> Rule {
    [discovery(ADVERTISEMENT), closed(ND_TARGET, &[])].concat()
}

/// Duplicate address detection asks from no address; another solicitation is by a client of the VIP.
pub(super) fn detection_out() -> Rule {
    let unspecified = [load(IP6_SOURCE), equal(vec![0; 16])];
    [discovery(SOLICITATION), unspecified.to_vec(), closed(ND_TARGET, &[])].concat()
}

pub(super) fn mac_in() -> Rule {
    closed_mac(ETHER_DESTINATION)
}

pub(super) fn mac_out() -> Rule {
    closed_mac(ETHER_SOURCE)
}

pub(super) fn mac_in_arp_out() -> Rule {
    closed_mac(ARP_SENDER_MAC)
}

pub(super) fn mac_in_advertisement_out() -> Rule {
    [discovery(ADVERTISEMENT), closed_mac(ND_TARGET_MAC)].concat()
}

/// What is for these addresses of IPv4, or of IPv6: dropped, but for neighbour discovery.
pub(super) fn unaccepted(table: Table, set: &str) -> Vec<Rule> {
    let refused = |field| vec![load(field), lookup(set, false), drop_packet()];
    match table {
        Table::Ip6 => {
            let spared = |kind| [discovery(kind), vec![accept_packet()]].concat();
            vec![spared(SOLICITATION), spared(ADVERTISEMENT), refused(IP6_DESTINATION)]
        }
        Table::Ip | Table::Arp | Table::Netdev => vec![refused(IP_DESTINATION)],
    }
}

/// IGMP, and MLD (RFC 2710 section 3.1, RFC 3810 section 5.2), with a source among these MAC addresses to
/// leave with another one.
pub(super) fn reports(macs: &str, below: [u8; 6]) -> Vec<Rule> {
    const IGMP: u8 = 2;
    const MLD: [u8; 3] = [131, 132, 143];
    const ETH_P_IP: u16 = 0x0800;
    const IP_PROTOCOL: Field = Field { base: NETWORK, offset: 9, length: 1 };
    let ether_type = Meta::Key(MetaKey::EtherTypeProtocol);
    let is_ip = [
        Expressions::Meta(vec![ether_type, Meta::DestinationRegister(Register::Reg1)]),
        equal(ETH_P_IP.to_be_bytes().to_vec()),
    ];
    let igmp = [&is_ip[..], &[load(IP_PROTOCOL), equal(vec![IGMP])]].concat();
    let kinds = std::iter::once(igmp).chain(MLD.map(discovery));
    kinds
        .map(|kind| [kind, vec![load(ETHER_SOURCE), lookup(macs, false)], store(ETHER_SOURCE, below.to_vec())].concat())
        .collect()
}

/// Writes this into the packet.
fn store(field: Field, value: Vec<u8>) -> Vec<Expressions> {
    vec![
        Expressions::Immediate(vec![
            Immediate::DestinationRegister(Register::Reg1),
            Immediate::Data(DataAttribute::Value(value)),
        ]),
        Expressions::Payload(vec![
            Payload::SourceRegister(Register::Reg1),
            Payload::Base(field.base),
            Payload::Offset(field.offset),
            Payload::Len(field.length),
        ]),
    ]
}

#[derive(Clone, Copy)]
enum Condition {
    /// The destination is an address of this host.
    Local,
    /// A field is not in a set.
    Outside(Field, &'static str),
}

const IS_LOCAL: [Condition; 1] = [Condition::Local];

/// Drops what is fenced and not leased, on further conditions.
fn closed(field: Field, conditions: &[Condition]) -> Rule {
    let mut rule = vec![load(field), lookup(VIPS, false), lookup(LEASED, true)];
    for condition in conditions {
        match condition {
            Condition::Local => rule.extend(is_local()),
            Condition::Outside(field, set) => rule.extend([load(*field), lookup(set, true)]),
        }
    }
    rule.push(drop_packet());
    rule
}

fn closed_mac(field: Field) -> Rule {
    vec![load(field), lookup(MACS, false), lookup(LEASED_MACS, true), drop_packet()]
}

/// Go on if it is a message of neighbour discovery of this type.
fn discovery(kind: u8) -> Rule {
    const IPPROTO_ICMPV6: u8 = 58;
    let protocol = Expressions::Meta(vec![Meta::Key(MetaKey::L4Proto), Meta::DestinationRegister(Register::Reg1)]);
    vec![protocol, equal(vec![IPPROTO_ICMPV6]), load(ND_TYPE), equal(vec![kind])]
}

fn load(field: Field) -> Expressions {
    Expressions::Payload(vec![
        Payload::DestinationRegister(Register::Reg1),
        Payload::Base(field.base),
        Payload::Offset(field.offset),
        Payload::Len(field.length),
    ])
}

/// Go on if what was loaded is in the set, or `absent`.
fn lookup(set: &str, absent: bool) -> Expressions {
    const NFT_LOOKUP_F_INV: u32 = 1;
    let mut attributes = vec![Lookup::Set(set.into()), Lookup::SourceRegister(Register::Reg1)];
    if absent {
        attributes.push(Lookup::Flags(NFT_LOOKUP_F_INV));
    }
    Expressions::Lookup(attributes)
}

/// Go on if what was loaded is this.
fn equal(value: Vec<u8>) -> Expressions {
    let data = DataAttribute::Value(value);
    Expressions::Cmp(vec![Cmp::SourceRegister(Register::Reg1), Cmp::Op(Operator::Equal), Cmp::Data(data)])
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
    [fib, equal(RTN_LOCAL.to_ne_bytes().to_vec())]
}

fn drop_packet() -> Expressions {
    const NF_DROP: u32 = 0;
    verdict(NF_DROP)
}

/// Past the other rules of its chain.
fn accept_packet() -> Expressions {
    const NF_ACCEPT: u32 = 1;
    verdict(NF_ACCEPT)
}

fn verdict(code: u32) -> Expressions {
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(vec![VerdictAttribute::Code(Verdict::Other(code))])),
    ])
}
