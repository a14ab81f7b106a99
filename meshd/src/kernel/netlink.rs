//! Links and addresses, by rtnetlink.
//!
//! Every address put here carries a mark in the kernel (IFA_PROTO, Linux 5.18), so that a later run
//! finds what an earlier one left, and nothing else. What a notification says is not trusted to be the
//! latest news: it says where to look, and only what is found there becomes an [`Event`].
//!
//! An IPv6 address is added without duplicate address detection: it is needed at once, and who else has it
//! was found out otherwise. With /128 it is deprecated, as keepalived does it: it answers, but the host does
//! not choose it for connections of its own.
//!
//! The kernel removes the secondary IPv4 addresses of a subnet together with its primary, unless
//! `promote_secondaries` is set. Two VIPs in a subnet of their own would go together, and a VIP that came
//! first would take the host's own addresses along. So it is set on each interface before the first
//! address is put there or removed. It stays set (systemd sets it everywhere); where it cannot be
//! written, what goes by mistake is reported as [`Event::AddressGone`].

mod batch;
mod follow;
pub mod loopback;
mod messages;
mod requests;
mod route;
mod vmac;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

use anyhow::Context;
use ipnet::IpNet;
use mesh_config::model::{Route, Rule, Scope, VirtualAddress};
use mesh_core::input::Interface;
use nix::libc;
use nix::net::if_::{if_indextoname, if_nametoindex};
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST};
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol, AddressScope, CacheInfo,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::sys::AsyncSocket;
use tokio::sync::{Mutex, mpsc};
use tokio_util::task::AbortOnDropHandle;

use batch::Batch;
use follow::Follower;
use requests::{Refusal, Requests, local, protocol};

/// The mark on our addresses (IFA_PROTO). Not one of the kernel's (1 to 3), nor keepalived's (18),
/// whose addresses must never be swept.
pub const ADDRESS_PROTOCOL: u8 = 0x6d;

/// Events wait here for the engine; while it is full they wait in the kernel's socket buffer, and when
/// that overflows everything is looked at anew.
const EVENTS: usize = 1024;
/// IFNAMSIZ without the terminating zero.
const LABEL_MAX: usize = 15;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it. An interface that is made anew gets another one.
    pub index: u32,
    /// Its MAC address, zero where it has none of 6 bytes.
    pub mac: [u8; 6],
    /// What the engine wants to know; addresses in the kernel's order, the primary first, without ours.
    pub interface: Interface,
}

/// A change that is not our doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An interface is there, or changed.
    Link(Link),
    /// An interface is gone, or has another name now.
    LinkGone {
        /// Its name.
        name: String,
    },
    /// An address put there by [`Netlink::add_address`] is gone: its lifetime ended, or somebody
    /// removed it, or its interface went.
    AddressGone {
        /// The interface it was put on.
        interface: String,
        /// The address.
        address: IpAddr,
    },
}

/// Why an address could not be added or removed.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// There is no such interface.
    #[error("there is no interface {0}")]
    NoInterface(String),
    /// The label is longer than 15 bytes.
    #[error("label {0} is longer than {LABEL_MAX} bytes")]
    Label(String),
    /// The kernel refused.
    #[error("{address} on {interface}: {refusal}")]
    Refused {
        /// The interface.
        interface: String,
        /// The address.
        address: IpNet,
        /// What the kernel says.
        refusal: String,
    },
}

/// Changes addresses of this network namespace. Every request has a deadline of a second.
pub struct Netlink {
    requests: Requests,
    batch: std::sync::Mutex<Batch>,
    placed: Arc<Mutex<Placed>>,
    _follower: AbortOnDropHandle<()>,
}

/// What we put where. The lock is held over a request and its entry here, and by the follower over a
/// look into the kernel and the comparison, so that neither sees the other half-way.
#[derive(Default)]
struct Placed {
    /// The interface's number, by the interface's name at that time and the address.
    addresses: BTreeMap<(String, IpNet), u32>,
    /// Interfaces that have `promote_secondaries` set, as far as that was possible.
    prepared: BTreeSet<u32>,
}

impl Netlink {
    /// Opens both sockets. All interfaces are delivered as events, then what changes. When following
    /// is no longer possible the receiver ends.
    pub async fn open() -> anyhow::Result<(Netlink, mpsc::Receiver<Event>)> {
        let requests = open_requests()?;
        let placed = Arc::new(Mutex::new(Placed::default()));
        let (sender, receiver) = mpsc::channel(EVENTS);
        let follower = Follower::open(requests.clone(), placed.clone(), sender).await?;
        let follower = AbortOnDropHandle::new(tokio::spawn(follower.run()));
        let batch = std::sync::Mutex::new(Batch::open().context("netlink socket")?);
        Ok((Netlink { requests, batch, placed, _follower: follower }, receiver))
    }

    /// Has an address on an interface for so many seconds, `u32::MAX` for ever. Where it is there
    /// already, whoever put it there, it gets this lifetime.
    pub async fn add_address(
        &self,
        interface: &str,
        address: &VirtualAddress,
        lifetime_s: u32,
    ) -> Result<(), AddressError> {
        self.add_addresses(&[(interface, address, lifetime_s)]).await.remove(0)
    }

    /// The same for many, in few requests: what became of each, in order.
    pub async fn add_addresses(&self, wanted: &[(&str, &VirtualAddress, u32)]) -> Vec<Result<(), AddressError>> {
        let mut placed = self.placed.lock().await;
        let mut indexes: BTreeMap<&str, Option<u32>> = BTreeMap::new();
        let prepared: Vec<_> = wanted
            .iter()
            .map(|(interface, address, lifetime_s)| {
                let index = *indexes.entry(interface).or_insert_with(|| if_nametoindex(*interface).ok());
                let index = index.ok_or_else(|| AddressError::NoInterface((*interface).to_owned()))?;
                let addition = addition(index, address, *lifetime_s, ADDRESS_PROTOCOL)?;
                placed.prepare(interface, index, address.net);
                Ok((index, addition))
            })
            .collect();
        let messages = prepared.iter().flatten().map(|(_, message)| RouteNetlinkMessage::NewAddress(message.clone()));
        let flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE;
        let mut batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answers = batch.execute(messages.collect(), flags).into_iter();
        let outcome = |((interface, address, _), prepared): (&(&str, &VirtualAddress, u32), _)| {
            let (index, _): (u32, AddressMessage) = prepared?;
            let answer = answers.next().unwrap_or_else(|| Err(Refusal::late()));
            answer.map_err(|refusal| refused(interface, address.net, refusal))?;
            placed.addresses.insert(((*interface).to_owned(), address.net), index);
            Ok(())
        };
        wanted.iter().zip(prepared).map(outcome).collect()
    }

    /// Removes an address; one that is not there is no failure, nor is an interface that is gone.
    pub async fn del_address(&self, interface: &str, address: &VirtualAddress) -> Result<(), AddressError> {
        self.del_addresses(&[(interface, address)]).await.remove(0)
    }

    /// The same for many, all in one go.
    pub async fn del_addresses(&self, gone: &[(&str, &VirtualAddress)]) -> Vec<Result<(), AddressError>> {
        let mut placed = self.placed.lock().await;
        let indexes: Vec<Option<u32>> = gone
            .iter()
            .map(|(interface, address)| {
                // The interface may have got another name since.
                let known = placed.addresses.remove(&((*interface).to_owned(), address.net));
                let index = known.or_else(|| if_nametoindex(*interface).ok())?;
                placed.prepare(interface, index, address.net);
                Some(index)
            })
            .collect();
        let removals =
            gone.iter().zip(&indexes).filter_map(|((_, address), index)| Some(removal((*index)?, address.net)));
        let mut batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answers = batch.execute(removals.collect(), NLM_F_REQUEST).into_iter();
        let outcome = |((interface, address), index): (&(&str, &VirtualAddress), Option<u32>)| {
            if index.is_none() {
                return Ok(());
            }
            match answers.next().unwrap_or_else(|| Err(Refusal::late())) {
                Err(refusal) if !refusal.is_absence() => Err(refused(interface, address.net, refusal)),
                _ => Ok(()),
            }
        };
        gone.iter().zip(indexes).map(outcome).collect()
    }

    /// Removes every address with our mark, and those `known` whoever put them there, from every interface but for
    /// `except`, and routes and rules that came with them but for these, and tells how many addresses those were.
    pub async fn sweep(
        &self,
        known: &[(String, IpNet)],
        except: &[(String, IpAddr)],
        (routes, rules): (&[Route], &[Rule]),
    ) -> usize {
        if let Err(refusal) = route::sweep_moving(&self.requests, routes, rules).await {
            tracing::warn!("routes or rules of an earlier run may be left: {refusal}");
        }
        let mut placed = self.placed.lock().await;
        placed.addresses.clear();
        let swept = sweep(&self.requests, &mut placed, known, except).await;
        if let Some(failure) = &swept.failure {
            tracing::warn!("addresses of an earlier run may be left: {failure}");
        }
        swept.removed
    }
}

/// What became of a sweep.
#[derive(Debug)]
pub struct Swept {
    /// Addresses removed.
    pub removed: usize,
    /// Why one may be left, in words.
    pub failure: Option<String>,
}

/// Removes every address with our mark, and these, which an old kernel does not mark: in place of a
/// daemon that is dead.
///
/// # Errors
///
/// There is no netlink socket.
pub async fn sweep_all(known: &[(String, IpNet)]) -> anyhow::Result<Swept> {
    let requests = open_requests()?;
    if let Err(refusal) = route::sweep_moving(&requests, &[], &[]).await {
        tracing::warn!("routes or rules may be left: {refusal}");
    }
    Ok(sweep(&requests, &mut Placed::default(), known, &[]).await)
}

async fn sweep(
    requests: &Requests,
    placed: &mut Placed,
    known: &[(String, IpNet)],
    except: &[(String, IpAddr)],
) -> Swept {
    let mut swept = Swept { removed: 0, failure: None };
    let found = match requests.addresses(None).await {
        Ok(found) => found,
        Err(refusal) => return Swept { failure: Some(format!("they cannot be listed: {refusal}")), ..swept },
    };
    for message in &found {
        let (index, Some(net)) = (message.header.index, local(message)) else { continue };
        let name = if_indextoname(index).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let listed = known.iter().any(|(on, known)| *on == name && *known == net);
        let ours = listed || protocol(message) == Some(ADDRESS_PROTOCOL);
        if !ours || except.contains(&(name.clone(), net.addr())) {
            continue;
        }
        placed.prepare(&name, index, net);
        match remove(requests, index, net).await {
            Ok(()) => swept.removed += 1,
            Err(refusal) if refusal.is_absence() => {}
            Err(refusal) => swept.failure = Some(format!("{net}: {refusal}")),
        }
    }
    swept
}

async fn remove(requests: &Requests, index: u32, net: IpNet) -> Result<(), Refusal> {
    requests.execute(removal(index, net), NLM_F_REQUEST | NLM_F_ACK).await
}

fn removal(index: u32, net: IpNet) -> RouteNetlinkMessage {
    let mut message = message(index, net);
    // Where there is another end, the kernel compares that.
    message.attributes.truncate(1);
    RouteNetlinkMessage::DelAddress(message)
}

/// A socket for requests. To be called within a tokio runtime.
fn open_requests() -> anyhow::Result<Requests> {
    let (mut connection, handle, _) = rtnetlink::new_connection_with_strict_check().context("netlink socket")?;
    let socket = connection.socket_mut().socket_mut();
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)?;
    Ok(Requests::new(handle, connection))
}

impl Placed {
    /// Sets `promote_secondaries`, once for each interface with an IPv4 address; IPv6 has no secondaries.
    fn prepare(&mut self, interface: &str, index: u32, net: IpNet) {
        if net.addr().is_ipv6() || !self.prepared.insert(index) {
            return;
        }
        let path = |interface: &str| format!("/proc/sys/net/ipv4/conf/{interface}/promote_secondaries");
        let is_set = |interface| std::fs::read_to_string(path(interface)).is_ok_and(|value| value.trim() != "0");
        if is_set("all") || is_set(interface) {
            return;
        }
        if let Err(error) = std::fs::write(path(interface), "1") {
            tracing::warn!(interface, %error, "cannot set promote_secondaries: removing one address can remove others");
        }
    }
}

/// What both adding and removing say.
fn message(index: u32, net: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = match net {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    };
    message.header.prefix_len = net.prefix_len();
    message.header.index = index;
    message.attributes = vec![AddressAttribute::Local(net.addr()), AddressAttribute::Address(net.addr())];
    message
}

/// What adding says.
fn addition(index: u32, address: &VirtualAddress, lifetime_s: u32, mark: u8) -> Result<AddressMessage, AddressError> {
    let mut message = message(index, address.net);
    if let Some(peer) = address.peer {
        message.attributes = vec![AddressAttribute::Local(address.net.addr()), AddressAttribute::Address(peer)];
    }
    message.header.scope = match address.scope {
        Scope::Global => AddressScope::Universe,
        Scope::Site => AddressScope::Site,
        Scope::Link => AddressScope::Link,
        Scope::Host => AddressScope::Host,
        Scope::Nowhere => AddressScope::Nowhere,
    };
    let mut lifetime = CacheInfo::default();
    (lifetime.ifa_valid, lifetime.ifa_preferred) = (lifetime_s, lifetime_s);
    if let IpNet::V6(net) = address.net {
        if !address.dad {
            message.header.flags = AddressHeaderFlags::Nodad;
        }
        if net.prefix_len() == net.max_prefix_len() {
            lifetime.ifa_preferred = 0;
        }
    }
    if let Some(preferred) = address.preferred_s {
        lifetime.ifa_preferred = preferred.min(lifetime_s);
    }
    message.attributes.push(AddressAttribute::CacheInfo(lifetime));
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(mark)));
    let flags = [
        (address.home, AddressFlags::Homeaddress),
        (address.manage_temporary, AddressFlags::Managetempaddr),
        (address.no_prefix_route, AddressFlags::Noprefixroute),
        (address.autojoin, AddressFlags::Mcautojoin),
    ];
    let flags = flags.into_iter().filter(|(set, _)| *set).fold(AddressFlags::empty(), |all, (_, flag)| all | flag);
    if !flags.is_empty() {
        // The attribute stands for the header's flags, too.
        let dad = if message.header.flags.is_empty() { AddressFlags::empty() } else { AddressFlags::Nodad };
        message.attributes.push(AddressAttribute::Flags(flags | dad));
    }
    if address.net.addr().is_ipv6() {
        // The kernel has neither broadcast addresses nor labels there.
        return Ok(message);
    }
    message.attributes.extend(address.broadcast.map(AddressAttribute::Broadcast));
    if let Some(label) = &address.label {
        if label.len() > LABEL_MAX {
            return Err(AddressError::Label(label.clone()));
        }
        message.attributes.push(AddressAttribute::Label(label.clone()));
    }
    Ok(message)
}

fn refused(interface: &str, address: IpNet, refusal: Refusal) -> AddressError {
    match refusal.errno {
        libc::ENODEV => AddressError::NoInterface(interface.to_owned()),
        _ => AddressError::Refused { interface: interface.to_owned(), address, refusal: refusal.to_string() },
    }
}
