//! Interfaces with virtual MAC addresses: macvlans in private mode; and [`ipvlan`]s.
//!
//! One of ours is known by its alias, which also holds what the settings of the interface below were,
//! so that whoever removes the last one can put them back, also after a crash, and the address of an ipvlan, so that
//! it goes when another is configured. A macvlan of the very same
//! kind, name and MAC address that another program left is taken over.
//!
//! The interface below answers ARP for its own addresses only (`arp_ignore`, `arp_filter`), and asks with
//! them (`arp_announce`, which keepalived leaves alone: with it, a neighbour it asks learns the wrong MAC address),
//! so that a virtual address is known by its virtual MAC address. The macvlan takes packets for it
//! from hosts that this host reaches by the interface below, and from itself (`rp_filter`,
//! `accept_local`), and sends nothing of its own accord: no link-local address, no router solicitation.
//! What the kernel reports of its multicast groups leaves with the MAC address below
//! ([`reports`](crate::kernel::fence::reports)): a switch must not learn the virtual one from a backup.

mod ipvlan;

use std::collections::BTreeMap;

use ipnet::IpNet;
use mesh_config::model::Vmac;
use nix::libc;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};

use super::requests::{Refusal, Requests};
use super::{Netlink, follow};
use crate::kernel::{fence, sysctl};

/// What an alias of ours begins with.
const MARK: &str = "meshd";
/// What its address stands behind there, where it is an ipvlan.
const ADDRESS: &str = "address=";
/// Settings of the interface below that are changed, for IPv4.
const BELOW: [(&str, u32); 3] = [("arp_ignore", 1), ("arp_filter", 1), ("arp_announce", 2)];

/// One that was found.
#[derive(Clone, Debug)]
struct Found {
    index: u32,
    name: String,
    mac: [u8; 6],
    /// The interface below.
    below: Option<u32>,
    private: bool,
    ipvlan: Option<ipvlan::Kind>,
    alias: Option<String>,
    up: bool,
    group: u32,
}

impl Found {
    /// What the settings below were before the first of ours; `None` where it is not ours.
    fn before(&self) -> Option<BTreeMap<String, u32>> {
        let mut words = self.alias.as_deref()?.split(' ');
        let ours = words.next() == Some(MARK) && (self.private || self.ipvlan.is_some());
        let pair =
            |word: &str| word.split_once('=').and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        ours.then(|| words.filter_map(pair).collect())
    }

    /// The address that was given to an ipvlan of ours.
    fn own_address(&self) -> Option<IpNet> {
        self.before()?;
        self.alias.as_deref()?.split(' ').find_map(|word| word.strip_prefix(ADDRESS)?.parse().ok())
    }

    /// Whether it is this one, or can be made it. Of an ipvlan both mode and address can be changed; that of another
    /// program is taken over where it hears ARP.
    fn is(&self, wanted: &Vmac, below: u32) -> bool {
        let kind = match wanted.own_mac() {
            Some(mac) => self.private && self.mac == mac,
            None => self.ipvlan.is_some_and(|kind| kind.hears_arp() || self.before().is_some()),
        };
        kind && self.below == Some(below) && self.name == wanted.name
    }
}

impl Netlink {
    /// Has exactly these, up, and tells which could not be made. One whose base is not there is left
    /// out: it is asked for again when that comes.
    pub async fn make_vmacs(&self, wanted: &[Vmac]) -> Vec<(String, String)> {
        // Not beside an address's request: removing one takes its addresses along.
        let _placed = self.placed.lock().await;
        match make_all(&self.requests, wanted).await {
            Ok(failed) => failed,
            Err(refusal) => {
                tracing::warn!(%refusal, "interfaces with virtual MAC addresses cannot be looked at, or one of an earlier run stays");
                wanted.iter().map(|v| (v.name.clone(), refusal.to_string())).collect()
            }
        }
    }
}

async fn make_all(requests: &Requests, wanted: &[Vmac]) -> Result<Vec<(String, String)>, Refusal> {
    let links = requests.links().await?;
    let mut found: BTreeMap<String, Found> = links.iter().filter_map(read).map(|f| (f.name.clone(), f)).collect();
    let below = |name: &str| found.get(name).map(|f| (f.index, f.mac));
    let places: Vec<(&Vmac, (u32, [u8; 6]))> = wanted.iter().filter_map(|v| Some((v, below(&v.base)?))).collect();
    let keeps = |f: &Found| places.iter().any(|(v, (below, _))| f.is(v, *below));
    let ours = found.values().filter(|f| f.before().is_some());
    let (kept, gone): (Vec<Found>, Vec<Found>) = ours.cloned().partition(keeps);
    for old in &gone {
        remove(requests, old).await?;
        found.remove(&old.name);
    }
    // By interface below: what was before the first of ours.
    let mut before: BTreeMap<u32, BTreeMap<String, u32>> = BTreeMap::new();
    for f in kept.iter().chain(&gone) {
        before.entry(f.below.unwrap_or(0)).or_default().extend(f.before().unwrap_or_default());
    }
    let name_of = |index: u32| found.values().find(|f| f.index == index).map(|f| f.name.clone());
    for (index, settings) in &before {
        let used = places.iter().any(|(v, (below, _))| below == index && speaks_arp(v));
        if let Some(name) = name_of(*index).filter(|_| !used) {
            restore(&name, settings);
        }
    }
    let mut failed = Vec::new();
    for (vmac, (below, mac)) in &places {
        let settings = before.entry(*below).or_default();
        if let Err(error) = make(requests, vmac, *below, found.get(&vmac.name), settings).await {
            failed.push((vmac.name.clone(), error));
        }
        tracing::debug!(interface = %vmac.name, below = %vmac.base, ?mac, "virtual MAC address");
    }
    if !(wanted.is_empty() && gone.is_empty()) {
        let own = places.iter().filter_map(|(v, (_, below))| Some((v.base.as_str(), *below, v.own_mac()?)));
        let macs: Vec<_> = own.collect();
        if let Err(error) = fence::reports::rewrite(&macs) {
            tracing::warn!(%error, "multicast reports leave with virtual MAC addresses: switches may learn them from a backup");
        }
    }
    Ok(failed)
}

/// One to be there and up.
async fn make(
    requests: &Requests,
    wanted: &Vmac,
    below: u32,
    present: Option<&Found>,
    before: &mut BTreeMap<String, u32>,
) -> Result<(), String> {
    let index = match present {
        Some(found) if found.is(wanted, below) => found.index,
        Some(_) => return Err(format!("there is another interface {}", wanted.name)),
        None => create(requests, wanted, below).await.map_err(|refusal| match refusal.errno {
            libc::EOPNOTSUPP => format!("this kernel has no {}: {refusal}", kind(wanted)),
            libc::EBUSY => format!("{} is in a bridge, or below an interface of another kind: {refusal}", wanted.base),
            _ => refusal.to_string(),
        })?,
    };
    let base = sysctl::written(&wanted.base);
    if speaks_arp(wanted) {
        for (setting, _) in BELOW {
            let path = format!("net.ipv4.conf.{base}.{setting}");
            let value = sysctl::read(&path).map_err(|e| format!("{e:#}"))?.unwrap_or(0);
            before.entry(setting.to_owned()).or_insert(value);
        }
    }
    if let (Some(wanted), Some(found)) = (wanted.ipvlan, present) {
        ipvlan::change(requests, found, wanted).await?;
    }
    let address = wanted.ipvlan.and_then(|ipvlan| ipvlan.address);
    let alias = alias(before, address);
    let text = |error: anyhow::Error| format!("{error:#}");
    if present.is_none_or(|f| f.alias.as_ref() != Some(&alias) || f.group != wanted.group) {
        let attributes = vec![LinkAttribute::IfAlias(alias), LinkAttribute::Group(wanted.group)];
        change(requests, index, attributes, false).await.map_err(|refusal| refusal.to_string())?;
    }
    if speaks_arp(wanted) {
        for (setting, value) in BELOW {
            raise(&format!("net.ipv4.conf.{base}.{setting}"), value).map_err(text)?;
        }
    }
    settings(&wanted.name).map_err(text)?;
    if present.is_none_or(|f| !f.up) {
        change(requests, index, Vec::new(), true).await.map_err(|refusal| refusal.to_string())?;
    }
    match address {
        Some(address) => {
            ipvlan::address(requests, index, address).await.map_err(|refusal| format!("{address}: {refusal}"))
        }
        None => Ok(()),
    }
}

/// What is to be known of it by whoever comes next.
fn alias(before: &BTreeMap<String, u32>, address: Option<IpNet>) -> String {
    let settings = before.iter().map(|(name, value)| format!(" {name}={value}"));
    settings.chain(address.map(|net| format!(" {ADDRESS}{net}"))).fold(MARK.to_owned(), |alias, word| alias + &word)
}

async fn create(requests: &Requests, wanted: &Vmac, below: u32) -> Result<u32, Refusal> {
    let mut message = LinkMessage::default();
    message.attributes = vec![LinkAttribute::IfName(wanted.name.clone()), LinkAttribute::Link(below)];
    message.attributes.extend(wanted.own_mac().map(|mac| LinkAttribute::Address(mac.to_vec())));
    let private = vec![InfoMacVlan::Mode(MacVlanMode::Private)];
    let info = match wanted.ipvlan {
        Some(ipvlan) => ipvlan::info(ipvlan.mode),
        None => vec![LinkInfo::Kind(InfoKind::MacVlan), LinkInfo::Data(InfoData::MacVlan(private))],
    };
    message.attributes.push(LinkAttribute::LinkInfo(info));
    let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    requests.execute(RouteNetlinkMessage::NewLink(message), flags).await?;
    nix::net::if_::if_nametoindex(wanted.name.as_str()).map_err(|errno| Refusal::of(&errno.into()))
}

async fn change(requests: &Requests, index: u32, attributes: Vec<LinkAttribute>, up: bool) -> Result<(), Refusal> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = attributes;
    if up {
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
    }
    requests.execute(RouteNetlinkMessage::SetLink(message), NLM_F_REQUEST | NLM_F_ACK).await
}

async fn remove(requests: &Requests, old: &Found) -> Result<(), Refusal> {
    let mut message = LinkMessage::default();
    message.header.index = old.index;
    match requests.execute(RouteNetlinkMessage::DelLink(message), NLM_F_REQUEST | NLM_F_ACK).await {
        Err(refusal) if !refusal.is_absence() => Err(refusal),
        _ => Ok(()),
    }
}

/// What the interface itself has to have set, before it is up.
fn settings(name: &str) -> anyhow::Result<()> {
    let name = name.replace('.', "/");
    let v4 = |setting: &str| format!("net.ipv4.conf.{name}.{setting}");
    for setting in ["arp_ignore", "accept_local", "promote_secondaries"] {
        raise(&v4(setting), 1)?;
    }
    // The kernel takes the larger one of this and that of all interfaces. Strictly filtered (1), what comes
    // from hosts that are reached by the interface below would be dropped; loosely (2) it is not.
    let strict = sysctl::read("net.ipv4.conf.all.rp_filter")? == Some(1);
    sysctl::write(&v4("rp_filter"), if strict { 2 } else { 0 })?;
    let v6 = |setting: &str| format!("net.ipv6.conf.{name}.{setting}");
    // A host may be without IPv6.
    for (setting, value) in [("addr_gen_mode", 1), ("accept_ra", 0)] {
        if sysctl::read(&v6(setting))?.is_some_and(|now| now != value) {
            sysctl::write(&v6(setting), value)?;
        }
    }
    Ok(())
}

/// A setting to be so much; who set it to more had a reason.
fn raise(setting: &str, value: u32) -> anyhow::Result<()> {
    if sysctl::read(setting)?.is_some_and(|now| now < value) { sysctl::write(setting, value) } else { Ok(()) }
}

/// What was changed below to be as before, unless somebody changed it again.
fn restore(below: &str, before: &BTreeMap<String, u32>) {
    let below = below.replace('.', "/");
    for (setting, ours) in BELOW {
        let Some(value) = before.get(setting).filter(|value| **value < ours) else { continue };
        let path = format!("net.ipv4.conf.{below}.{setting}");
        let put_back = match sysctl::read(&path) {
            Ok(Some(now)) if now == ours => sysctl::write(&path, *value),
            read => read.map(drop),
        };
        if let Err(error) = put_back {
            tracing::warn!("a setting is not put back: {error:#}");
        }
    }
}

/// Whether what is asked for by ARP has to be known by a MAC address that the interface below does not have.
fn speaks_arp(vmac: &Vmac) -> bool {
    vmac.own_mac().is_some_and(|mac| mac[..5] != [0, 0, 0x5e, 0, 2])
}

fn kind(vmac: &Vmac) -> &'static str {
    if vmac.ipvlan.is_some() { "ipvlan" } else { "macvlan" }
}

fn read(message: &LinkMessage) -> Option<Found> {
    let mut found = Found {
        index: message.header.index,
        name: follow::name(message)?.to_owned(),
        mac: follow::mac(message),
        below: None,
        private: false,
        ipvlan: None,
        alias: None,
        up: message.header.flags.contains(LinkFlags::Up),
        group: 0,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Link(below) => found.below = Some(*below),
            LinkAttribute::IfAlias(alias) => found.alias = Some(alias.clone()),
            LinkAttribute::Group(group) => found.group = *group,
            LinkAttribute::LinkInfo(infos) => {
                let private = |info: &LinkInfo| match info {
                    LinkInfo::Data(InfoData::MacVlan(data)) => data.contains(&InfoMacVlan::Mode(MacVlanMode::Private)),
                    _ => false,
                };
                found.private = infos.iter().any(private);
                found.ipvlan = infos.iter().find_map(ipvlan::Kind::read);
            }
            _ => {}
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests;
