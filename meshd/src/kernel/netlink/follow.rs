//! Follows links and addresses. A link's notification is the link as it is then; an address's only
//! says which interface to look at.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mesh_core::input::Interface;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage, State};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use super::requests::{self, Refusal, Requests, local, protocol};
use super::{ADDRESS_PROTOCOL, Event, Link, Placed};
use crate::kernel::fence::split;

const RTMGRP_LINK: u32 = 1;
const RTMGRP_IPV4_IFADDR: u32 = 0x10;
const RTMGRP_IPV6_IFADDR: u32 = 0x100;
/// Room for some thousand notifications.
const RECEIVE_BUFFER: usize = 4 << 20;
const DATAGRAM: usize = 64 << 10;
/// So many datagrams are read before looking into the kernel, so that a burst costs one look.
const BURST: usize = 64;
/// More than the receive buffer holds.
const DISCARDED_MAX: usize = 100_000;
/// How long after a failed look the next one is tried.
const RETRY: Duration = Duration::from_millis(500);

pub(super) struct Follower {
    socket: TokioSocket,
    requests: Requests,
    placed: Arc<Mutex<Placed>>,
    sender: mpsc::Sender<Event>,
    links: BTreeMap<u32, Link>,
    /// Those of them that nobody was told of, because their addresses were not looked at yet.
    untold: BTreeSet<u32>,
    /// Found, but not sent yet.
    events: Vec<Event>,
}

/// What a burst of notifications asks for.
#[derive(Default)]
struct News {
    /// Something was lost.
    all: bool,
    /// Interfaces whose addresses may have changed.
    addresses: BTreeSet<u32>,
}

impl Follower {
    /// Subscribes, then looks: nothing falls in between.
    pub(super) async fn open(
        requests: Requests,
        placed: Arc<Mutex<Placed>>,
        sender: mpsc::Sender<Event>,
    ) -> anyhow::Result<Follower> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE).context("netlink socket")?;
        let groups = SocketAddr::new(0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR);
        socket.socket_mut().bind(&groups).context("following links and addresses")?;
        // Fails without CAP_NET_ADMIN; an overflow is then more likely, and no harm.
        let _ = setsockopt(socket.socket_ref(), sockopt::RcvBufForce, &RECEIVE_BUFFER);
        let (links, untold, events) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        let mut follower = Follower { socket, requests, placed, sender, links, untold, events };
        follower.look_at_all().await.context("reading links and addresses")?;
        Ok(follower)
    }

    /// Until nobody listens any more, or one of the sockets fails.
    pub(super) async fn run(self) {
        let requests = self.requests.clone();
        tokio::select! {
            () = self.follow() => {}
            () = requests.ended() => tracing::error!("the kernel can no longer be asked about links and addresses"),
        }
    }

    async fn follow(mut self) {
        let mut news = News::default();
        loop {
            for event in std::mem::take(&mut self.events) {
                if self.sender.send(event).await.is_err() {
                    return;
                }
            }
            let overdue = news.all || !news.addresses.is_empty();
            let read = timeout(if overdue { RETRY } else { Duration::MAX }, self.read(&mut news)).await;
            if let Ok(Err(error)) = read {
                tracing::error!(%error, "links and addresses can no longer be followed");
                return;
            }
            if let Err(refusal) = self.look(&mut news).await {
                tracing::warn!(%refusal, "cannot read links and addresses; trying again");
            }
        }
    }

    /// Waits for notifications and reads those that are there. After a loss the rest is discarded: it
    /// is older than the look that follows, its sequels may be lost, and until the queue was empty once
    /// the kernel does not tell of further losses.
    async fn read(&mut self, news: &mut News) -> io::Result<()> {
        let mut datagram = Vec::with_capacity(DATAGRAM);
        let mut result = self.socket.recv(&mut datagram).await;
        for count in 0..DISCARDED_MAX {
            match result {
                Ok(()) if news.all => {}
                Ok(()) => self.take(&datagram, news),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => news.all = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if count >= BURST && !news.all {
                break;
            }
            datagram.clear();
            result = self.socket.socket_ref().recv(&mut datagram, libc::MSG_DONTWAIT).map(|_| ());
        }
        Ok(())
    }

    fn take(&mut self, datagram: &[u8], news: &mut News) {
        for message in split(datagram) {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message).map(|message| message.payload);
            match message {
                // The other families speak of bridge ports: RTM_DELLINK of AF_BRIDGE leaves a bridge.
                Ok(NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message)))
                    if message.header.interface_family == AddressFamily::Unspec =>
                {
                    self.link(&message);
                    if self.untold.contains(&message.header.index) {
                        news.addresses.insert(message.header.index);
                    }
                }
                Ok(NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(message)))
                    if message.header.interface_family == AddressFamily::Unspec =>
                {
                    self.gone(message.header.index);
                    news.addresses.insert(message.header.index);
                }
                // Our own, refreshed.
                Ok(NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(message)))
                    if protocol(&message) == Some(ADDRESS_PROTOCOL) => {}
                Ok(NetlinkPayload::InnerMessage(
                    RouteNetlinkMessage::NewAddress(message) | RouteNetlinkMessage::DelAddress(message),
                )) => {
                    news.addresses.insert(message.header.index);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "a notification cannot be read");
                    news.all = true;
                }
            }
        }
    }

    async fn look(&mut self, news: &mut News) -> Result<(), Refusal> {
        if news.all {
            self.look_at_all().await?;
            *news = News::default();
        }
        while let Some(&index) = news.addresses.first() {
            let placed = self.placed.clone();
            let mut placed = placed.lock().await;
            let found = self.requests.addresses(Some(index)).await?;
            self.compare(index, &found, &mut placed);
            news.addresses.remove(&index);
        }
        Ok(())
    }

    async fn look_at_all(&mut self) -> Result<(), Refusal> {
        let links = self.requests.links().await?;
        let present: BTreeSet<u32> = links.iter().map(|message| message.header.index).collect();
        let absent: Vec<u32> = self.links.keys().filter(|index| !present.contains(index)).copied().collect();
        absent.iter().for_each(|index| self.gone(*index));
        links.iter().for_each(|message| self.link(message));
        let placed = self.placed.clone();
        let mut placed = placed.lock().await;
        let addresses = self.requests.addresses(None).await?;
        for index in absent.into_iter().chain(present) {
            let of_link: Vec<_> = addresses.iter().filter(|a| a.header.index == index).cloned().collect();
            self.compare(index, &of_link, &mut placed);
        }
        Ok(())
    }

    /// A link as it is now; a new one is told of when its addresses are found.
    fn link(&mut self, message: &LinkMessage) {
        let index = message.header.index;
        let Some(name) = name(message).map(str::to_owned) else { return };
        let (mac, running) = (mac(message), is_running(message));
        if self.links.get(&index).is_some_and(|known| known.interface.name != name) {
            self.gone(index);
        }
        match self.links.get_mut(&index) {
            None => {
                let interface = Interface { name, running, addresses: Vec::new(), unusable: Vec::new() };
                self.links.insert(index, Link { index, mac, interface });
                self.untold.insert(index);
            }
            Some(known) if (known.mac, known.interface.running) != (mac, running) => {
                (known.mac, known.interface.running) = (mac, running);
                if !self.untold.contains(&index) {
                    self.events.push(Event::Link(known.clone()));
                }
            }
            Some(_) => {}
        }
    }

    fn gone(&mut self, index: u32) {
        let Some(known) = self.links.remove(&index) else { return };
        if !self.untold.remove(&index) {
            self.events.push(Event::LinkGone { name: known.interface.name });
        }
    }

    /// The addresses of an interface as they are now.
    fn compare(&mut self, index: u32, found: &[AddressMessage], placed: &mut Placed) {
        let present: BTreeSet<_> = found.iter().filter_map(local).collect();
        let events = &mut self.events;
        placed.addresses.retain(|(interface, net), on| {
            let gone = *on == index && !present.contains(net);
            if gone {
                events.push(Event::AddressGone { interface: interface.clone(), address: net.addr() });
            }
            !gone
        });
        let Some(known) = self.links.get_mut(&index) else {
            placed.prepared.remove(&index);
            return;
        };
        let ours = |message: &AddressMessage| {
            let placed_there = |((_, net), on): (&(String, _), &u32)| *on == index && Some(*net) == local(message);
            protocol(message) == Some(ADDRESS_PROTOCOL) || placed.addresses.iter().any(placed_there)
        };
        let theirs = found.iter().filter(|message| !ours(message));
        let unusable: Vec<_> = theirs.clone().filter_map(requests::unusable).collect();
        let addresses: Vec<_> = theirs.filter(|m| requests::unusable(m).is_none()).filter_map(local).collect();
        let interface = &mut known.interface;
        if self.untold.remove(&index) || (&interface.addresses, &interface.unusable) != (&addresses, &unusable) {
            (interface.addresses, interface.unusable) = (addresses, unusable);
            events.push(Event::Link(known.clone()));
        }
    }
}

pub(super) fn name(message: &LinkMessage) -> Option<&str> {
    message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    })
}

pub(super) fn mac(message: &LinkMessage) -> [u8; 6] {
    let found = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Address(bytes) => bytes.as_slice().try_into().ok(),
        _ => None,
    });
    found.unwrap_or_default()
}

/// Administratively up, with a carrier, and not held back by its driver (802.1X, link aggregation).
fn is_running(message: &LinkMessage) -> bool {
    let state = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::OperState(state) => Some(*state),
        _ => None,
    });
    message.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp)
        && matches!(state, None | Some(State::Up | State::Unknown))
}
