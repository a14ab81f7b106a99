//! Links and addresses, by rtnetlink.
//!
//! Whatever the kernel announces, the watcher looks again: it dumps links and addresses and tells
//! the difference to what it saw before. A burst of announcements costs one dump, and a lost
//! announcement (ENOBUFS) costs nothing but time.

mod watch;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use futures_util::TryStreamExt;
use mesh_config::model::{Scope, VirtualAddress};
use mesh_core::input::Interface;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage, AddressProtocol, AddressScope, CacheInfo};
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::mpsc;

/// IFA_PROTO of our addresses (since Linux 5.18): how a later run knows what an earlier one left.
/// A value of our own: 18 is keepalived's, whose addresses must never be swept.
pub const ADDRESS_PROTOCOL: u8 = 0x6d;

/// A request the kernel has not answered by then has failed.
const DEADLINE: Duration = Duration::from_secs(1);

/// Events that may wait for the engine.
const EVENT_QUEUE: usize = 256;

/// An interface, with what is needed to send on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its Ethernet address, zero where it has none.
    pub mac: [u8; 6],
    /// What the engine has to know; its addresses are those not put there by us, in the kernel's
    /// order, the primary one first.
    pub interface: Interface,
}

/// Something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An interface is there, or changed.
    Link(Link),
    /// An interface is gone.
    LinkGone {
        /// Its name.
        name: String,
    },
    /// An address of ours was removed by somebody else, or ran out.
    AddressGone {
        /// The interface it was on.
        interface: String,
        /// The address.
        address: Ipv4Addr,
    },
}

/// What the requests and the watcher both know.
#[derive(Debug, Default)]
struct Shared {
    /// Addresses we put there and did not remove.
    ours: BTreeSet<(String, Ipv4Addr)>,
    /// Index of each interface, as last seen.
    indexes: BTreeMap<String, u32>,
}

type State = Arc<Mutex<Shared>>;

/// Requests to the kernel.
#[derive(Debug)]
pub struct Netlink {
    handle: Handle,
    state: State,
}

impl Netlink {
    /// Connects, and starts the watcher; the interfaces that exist come as its first events.
    ///
    /// # Errors
    ///
    /// Netlink sockets cannot be opened.
    pub async fn open() -> anyhow::Result<(Netlink, mpsc::Receiver<Event>)> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr];
        let (connection, watching, announcements) = rtnetlink::new_multicast_connection(&groups)?;
        tokio::spawn(connection);
        let state = State::default();
        let (events, receiver) = mpsc::channel(EVENT_QUEUE);
        tokio::spawn(watch::run(watching, announcements, state.clone(), events));
        Ok((Netlink { handle, state }, receiver))
    }

    /// Puts an address on an interface, or renews its lifetime, in seconds; `u32::MAX` is for ever.
    ///
    /// # Errors
    ///
    /// The interface is not there, the address is IPv6, or the kernel refused.
    pub async fn add_address(&self, interface: &str, address: &VirtualAddress, lifetime_s: u32) -> anyhow::Result<()> {
        let local = v4(address)?;
        let index = self.index(interface).await?;
        let mut request = self.handle.address().add(index, IpAddr::V4(local), address.net.prefix_len()).replace();
        describe(request.message_mut(), address, lifetime_s);
        within_deadline(request.execute()).await?;
        self.lock().ours.insert((interface.to_owned(), local));
        Ok(())
    }

    /// Removes an address; one that is not there, or whose interface is gone, is no error.
    ///
    /// # Errors
    ///
    /// The kernel refused.
    pub async fn del_address(&self, interface: &str, address: &VirtualAddress) -> anyhow::Result<()> {
        let local = v4(address)?;
        self.lock().ours.remove(&(interface.to_owned(), local));
        let Ok(index) = self.index(interface).await else { return Ok(()) };
        let mut message = AddressMessage::default();
        message.header.family = rtnetlink::packet_route::AddressFamily::Inet;
        message.header.prefix_len = address.net.prefix_len();
        message.header.index = index;
        message.attributes.push(AddressAttribute::Local(IpAddr::V4(local)));
        self.delete(message).await
    }

    /// Removes every address with our mark, on any interface; says how many there were.
    pub async fn sweep(&self) -> usize {
        let ours = match addresses(&self.handle).await {
            Ok(all) => all.into_iter().filter(is_ours).collect::<Vec<_>>(),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "cannot look for addresses an earlier run left");
                return 0;
            }
        };
        let found = ours.len();
        for message in ours {
            if let Err(error) = self.delete(message).await {
                tracing::error!(error = format!("{error:#}"), "cannot remove an address an earlier run left");
            }
        }
        found
    }

    async fn delete(&self, message: AddressMessage) -> anyhow::Result<()> {
        match within_deadline(self.handle.address().del(message).execute()).await {
            Err(error) if is_missing(&error) => Ok(()),
            other => other,
        }
    }

    async fn index(&self, interface: &str) -> anyhow::Result<u32> {
        if let Some(index) = self.lock().indexes.get(interface) {
            return Ok(*index);
        }
        let mut found = self.handle.link().get().match_name(interface.to_owned()).execute();
        let link = tokio::time::timeout(DEADLINE, found.try_next()).await.context("the kernel does not answer")?;
        link.ok().flatten().map(|l| l.header.index).ok_or_else(|| anyhow!("no interface {interface}"))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lifetime, label, scope, broadcast address and our mark.
fn describe(message: &mut AddressMessage, address: &VirtualAddress, lifetime_s: u32) {
    message.header.scope = match address.scope {
        Scope::Global => AddressScope::Universe,
        Scope::Site => AddressScope::Site,
        Scope::Link => AddressScope::Link,
        Scope::Host => AddressScope::Host,
        Scope::Nowhere => AddressScope::Nowhere,
    };
    // Like keepalived and unlike `ip`: no broadcast address unless one is asked for.
    message.attributes.retain(|a| !matches!(a, AddressAttribute::Broadcast(_)));
    message.attributes.extend(address.broadcast.map(AddressAttribute::Broadcast));
    message.attributes.extend(address.label.clone().map(AddressAttribute::Label));
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(ADDRESS_PROTOCOL)));
    let mut lifetime = CacheInfo::default();
    lifetime.ifa_valid = lifetime_s;
    lifetime.ifa_preferred = lifetime_s;
    message.attributes.push(AddressAttribute::CacheInfo(lifetime));
}

fn v4(address: &VirtualAddress) -> anyhow::Result<Ipv4Addr> {
    match address.net.addr() {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(address) => bail!("{address}: IPv6 addresses are not supported yet"),
    }
}

/// All IPv4 addresses, in the kernel's order.
async fn addresses(handle: &Handle) -> anyhow::Result<Vec<AddressMessage>> {
    let all = handle.address().get().execute().try_collect::<Vec<_>>();
    let all = tokio::time::timeout(DEADLINE, all).await.context("the kernel does not answer")??;
    let inet = rtnetlink::packet_route::AddressFamily::Inet;
    Ok(all.into_iter().filter(|m| m.header.family == inet).collect())
}

fn is_ours(message: &AddressMessage) -> bool {
    message.attributes.contains(&AddressAttribute::Protocol(AddressProtocol::Other(ADDRESS_PROTOCOL)))
}

async fn within_deadline(request: impl Future<Output = Result<(), rtnetlink::Error>>) -> anyhow::Result<()> {
    tokio::time::timeout(DEADLINE, request).await.context("the kernel does not answer")?.map_err(Into::into)
}

/// The address, or its interface, is not there.
fn is_missing(error: &anyhow::Error) -> bool {
    let Some(rtnetlink::Error::NetlinkError(message)) = error.downcast_ref() else { return false };
    let missing = [nix::errno::Errno::EADDRNOTAVAIL, nix::errno::Errno::ENODEV];
    missing.iter().any(|errno| message.raw_code() == -(*errno as i32))
}
