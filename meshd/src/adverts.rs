//! Raw sockets: what VRRP sends and hears, announcements of addresses, and probes for them.
//!
//! One socket for each interface and family, so that a datagram's interface is known, and so that a flood on
//! one fills only that one's buffer; one more for adverts behind authentication headers, where any are
//! configured. Nothing is judged here: every packet of IP protocol 112 or 51 goes to the engine as it
//! came.
//!
//! Which interfaces are open is the caller's decision, who hears from netlink when one appears,
//! goes or changes.

mod ip;
mod probe;
mod socket;
pub(crate) mod users;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::task::{Context, Poll, ready};

use mesh_core::Input;
use mesh_core::input::{Datagram, ProbeAnswer};
use mesh_wire::mesh::Family;
use mesh_wire::vrrp::{Envelope, IP_PROTOCOL, group, header};
use mesh_wire::{arp, ndisc};
use tracing::warn;

use socket::{Ipv6Socket, PacketSocket, VrrpSocket};

/// Longest packet read: an advert of 255 addresses has 1 096 bytes with the longest IPv4 header, and
/// 4 088 in IPv6, whose header does not come along.
const BUFFER: usize = 4096;

/// Packets that one socket can hold, and more: the smallest take 768 bytes of its buffer.
const HELD: usize = 2048;

/// All sockets of the VRRP path.
#[derive(Debug)]
pub struct Adverts {
    /// Open interfaces, by name.
    places: BTreeMap<String, Place>,
    ports: Vec<Port>,
    /// The port to ask first next time.
    next: usize,
    arp: PacketSocket,
    /// Made when it is needed: a host may be without IPv6.
    ndisc: Option<Ipv6Socket>,
    buffer: Box<[u8; BUFFER]>,
    dropped: u64,
    /// A socket failed, and was closed.
    failed: bool,
}

/// Where an interface is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    index: u32,
    mac: [u8; 6],
    /// With a virtual MAC address: the interface below it.
    base: Option<String>,
}

/// Adverts that one socket of an interface hears.
#[derive(Debug)]
struct Port {
    interface: String,
    ear: Ear,
    /// The interface that what it hears is told with.
    heard_on: String,
    socket: VrrpSocket,
    /// What it had lost when that was last looked at.
    lost: u32,
}

/// What an interface hears.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ears(BTreeSet<Ear>);

/// Adverts of one family and one IP protocol, sent to this host or to any of these groups.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ear {
    family: Family,
    protocol: u8,
    groups: BTreeSet<IpAddr>,
}

impl Ears {
    /// What a virtual router needs.
    pub fn add(&mut self, family: Family, group: IpAddr, sealed: bool) {
        self.listen(family, group, IP_PROTOCOL);
        if sealed {
            self.listen(family, group, header::IP_PROTOCOL);
        }
    }

    /// What either needs.
    pub fn join(&mut self, other: &Ears) {
        for ear in &other.0 {
            ear.groups.iter().for_each(|group| self.listen(ear.family, *group, ear.protocol));
        }
    }

    fn listen(&mut self, family: Family, group: IpAddr, protocol: u8) {
        let found = self.0.iter().find(|ear| ear.family == family && ear.protocol == protocol).cloned();
        let mut ear =
            found.and_then(|ear| self.0.take(&ear)).unwrap_or(Ear { family, protocol, groups: BTreeSet::new() });
        ear.groups.insert(group);
        self.0.insert(ear);
    }
}

/// The usual group of each family.
impl<const N: usize> From<[Family; N]> for Ears {
    fn from(families: [Family; N]) -> Ears {
        let mut ears = Ears::default();
        families.into_iter().for_each(|family| ears.add(family, group(family), false));
        ears
    }
}

impl Adverts {
    /// With no interface open.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] without CAP_NET_RAW.
    pub fn new() -> io::Result<Adverts> {
        let arp = PacketSocket::new()?;
        let (places, ports, buffer) = (BTreeMap::new(), Vec::new(), Box::new([0; BUFFER]));
        Ok(Adverts { places, ports, next: 0, arp, ndisc: None, buffer, dropped: 0, failed: false })
    }

    /// Announces and probes on this interface from now on, and hears and sends these adverts, as a member
    /// of their groups. What is open already with the same index and MAC address stays as it is, the rest is opened
    /// anew. Needs the tokio runtime that will poll [`Adverts::receive`].
    ///
    /// Returns the families that cannot be heard with what the kernel says, such as ENODEV where no interface has this
    /// index any more; all others are open.
    pub fn open(&mut self, interface: &str, index: u32, mac: [u8; 6], ears: &Ears) -> BTreeMap<Family, io::Error> {
        self.open_place(interface, Place { index, mac, base: None }, ears)
    }

    /// The same for an interface with a virtual MAC address. It sends all that is asked for, and hears only
    /// routers that send with that very MAC address, which the kernel keeps from the interface below; their
    /// adverts count as heard there.
    pub fn open_virtual(
        &mut self,
        (interface, base): (&str, &str),
        index: u32,
        mac: [u8; 6],
        ears: &Ears,
    ) -> BTreeMap<Family, io::Error> {
        self.open_place(interface, Place { index, mac, base: Some(base.to_owned()) }, ears)
    }

    fn open_place(&mut self, interface: &str, place: Place, ears: &Ears) -> BTreeMap<Family, io::Error> {
        let only_from = place.base.is_some().then_some(place.mac);
        let (index, heard_on) = (place.index, place.base.clone().unwrap_or_else(|| interface.to_owned()));
        if self.places.get(interface) != Some(&place) {
            self.close(interface);
            self.places.insert(interface.to_owned(), place);
        }
        self.ports.retain(|port| port.interface != interface || ears.0.contains(&port.ear));
        let mut failed = BTreeMap::new();
        for ear in &ears.0 {
            if self.ports.iter().any(|port| port.interface == interface && port.ear == *ear) {
                continue;
            }
            match VrrpSocket::open(index, ear, only_from) {
                Ok(socket) => {
                    let (interface, heard_on) = (interface.to_owned(), heard_on.clone());
                    let lost = socket.lost().unwrap_or(0);
                    self.ports.push(Port { interface, heard_on, ear: ear.clone(), socket, lost });
                }
                Err(error) => drop(failed.insert(ear.family, error)),
            }
        }
        failed
    }

    /// Forgets the interface and what waits in its buffers; nothing where it is not open.
    pub fn close(&mut self, interface: &str) {
        self.places.remove(interface);
        self.ports.retain(|port| port.interface != interface);
    }

    /// Forgets all interfaces that are not among these.
    pub fn close_others(&mut self, wanted: impl Fn(&str) -> bool) {
        self.places.retain(|interface, _| wanted(interface));
        self.ports.retain(|port| wanted(&port.interface));
    }

    /// Whether a socket failed, and was closed, since this was last asked.
    pub fn any_failed(&mut self) -> bool {
        std::mem::take(&mut self.failed)
    }

    /// The next packets from other hosts on any open interface, each in its turn: at least one, and
    /// at most so many of those that are there. Waits for ever where none is open. Dropping the
    /// future loses nothing.
    ///
    /// An interface whose socket fails is closed and logged once; [`Adverts::open`] brings it back.
    pub async fn receive(&mut self, at_most: usize) -> Vec<Input> {
        poll_fn(|cx| {
            let mut heard = vec![ready!(self.poll_receive(cx))];
            while heard.len() < at_most
                && let Poll::Ready(input) = self.poll_receive(cx)
            {
                heard.push(input);
            }
            Poll::Ready(heard)
        })
        .await
    }

    /// All packets that wait on any open interface, at once, and whether that is all that came since
    /// [`Adverts::lost_any`] was last asked: nothing was lost, and there was an end of them.
    pub fn waiting(&mut self) -> (Vec<Input>, bool) {
        let (mut all, mut ended, mut failed) = (Vec::new(), true, Vec::new());
        for (at, port) in self.ports.iter().enumerate() {
            for n in 0.. {
                if n == HELD {
                    ended = false;
                    break;
                }
                match port.socket.take(&mut self.buffer[..]) {
                    Poll::Ready(Ok(Some(packet))) => all.push(heard(&port.heard_on, &packet)),
                    Poll::Ready(Ok(None)) => self.dropped += 1,
                    Poll::Pending => break,
                    Poll::Ready(Err(error)) => {
                        tell_failure(&port.interface, &error);
                        failed.push(at);
                        break;
                    }
                }
            }
        }
        let ended = ended && failed.is_empty();
        self.failed |= !failed.is_empty();
        failed.into_iter().rev().for_each(|at| drop(self.ports.remove(at)));
        (all, !self.lost_any() && ended)
    }

    /// Whether a socket had no room for a packet since this was last asked.
    pub fn lost_any(&mut self) -> bool {
        let mut any = false;
        for port in &mut self.ports {
            // Where the kernel does not tell, it may have.
            let lost = port.socket.lost();
            any |= lost.as_ref().ok() != Some(&port.lost);
            port.lost = lost.unwrap_or(port.lost);
        }
        any
    }

    /// Sends one packet with TOS or traffic class 0xC0. `source` need not be an address of this host.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where the interface is not open, otherwise what the kernel
    /// says. Never waits: a full queue is an error too.
    pub fn send(
        &self,
        interface: &str,
        source: IpAddr,
        destination: IpAddr,
        envelope: Envelope,
        payload: &[u8],
    ) -> io::Result<()> {
        let index = self.place(interface)?.index;
        // With the IP header in the packet, any socket of the family sends any protocol.
        let port = self.port(interface, Family::of(source))?;
        let packet = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => ip::emit(source, destination, envelope, payload),
            (IpAddr::V6(source), IpAddr::V6(destination)) => ip::emit_v6(source, destination, envelope.ttl, payload),
            (IpAddr::V4(_) | IpAddr::V6(_), _) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        port.socket.send((source, destination), index, &packet)
    }

    /// Tells all hosts this many times that `address` is here, at the interface's MAC address as
    /// [`Adverts::open`] was told it: by gratuitous ARP requests, or by unsolicited neighbour
    /// advertisements. These pass the kernel's output hooks, so that a fence that is closed drops them.
    ///
    /// # Errors
    /// As [`Adverts::send`]; the first one ends the burst.
    pub fn announce(&mut self, interface: &str, address: IpAddr, count: u32) -> io::Result<()> {
        let Place { index, mac, .. } = *self.place(interface)?;
        match address {
            IpAddr::V4(address) => {
                let frame = arp::gratuitous_request(mac, address);
                (0..count).try_for_each(|_| self.arp.send(index, &frame))
            }
            IpAddr::V6(address) => {
                let packet = ndisc::unsolicited_advertisement(mac, address, forwards_ipv6(interface));
                let socket = match &mut self.ndisc {
                    Some(socket) => socket,
                    none => none.insert(Ipv6Socket::new()?),
                };
                (0..count).try_for_each(|_| socket.send(ndisc::ALL_NODES, index, &packet))
            }
        }
    }

    /// Looks whether anybody has one of these addresses, each on its interface, which takes 40 ms.
    /// The future goes on without this object. Needs a tokio runtime.
    ///
    /// # Errors
    /// As [`Adverts::send`], at once or in the end.
    pub fn probe(
        &self,
        addresses: &[(String, IpAddr)],
    ) -> io::Result<impl Future<Output = io::Result<Option<ProbeAnswer>>> + Send + use<>> {
        let mut wanted: BTreeMap<&str, (Vec<Ipv4Addr>, Vec<Ipv6Addr>)> = BTreeMap::new();
        for (interface, address) in addresses {
            let (v4, v6) = wanted.entry(interface).or_default();
            match address {
                IpAddr::V4(address) => v4.push(*address),
                IpAddr::V6(address) => v6.push(*address),
            }
        }
        let mut search = probe::Search::default();
        for (interface, (v4, v6)) in wanted {
            let Place { index, mac, .. } = *self.place(interface)?;
            if !v4.is_empty() {
                search.add_v4(index, mac, v4)?;
            }
            if !v6.is_empty() {
                search.add_v6(index, mac, v6)?;
            }
        }
        Ok(search.run())
    }

    /// How many received packets were dropped because they disagree with their own IP header, or
    /// are longer than any advert.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn place(&self, interface: &str) -> io::Result<&Place> {
        let not_open =
            || io::Error::new(io::ErrorKind::NotFound, format!("interface {interface} is not open for VRRP"));
        self.places.get(interface).ok_or_else(not_open)
    }

    fn port(&self, interface: &str, family: Family) -> io::Result<&Port> {
        let not_open = || {
            io::Error::new(io::ErrorKind::NotFound, format!("interface {interface} is not open for VRRP over {family}"))
        };
        self.ports.iter().find(|port| port.interface == interface && port.ear.family == family).ok_or_else(not_open)
    }

    /// Ends: a port that gives nothing counts as idle, and tokio's budget makes every port look
    /// idle after some reads in one turn of the caller's task.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        let mut idle = 0;
        while idle < self.ports.len() {
            let at = self.next % self.ports.len();
            self.next = at + 1;
            let port = &self.ports[at];
            match port.socket.poll_receive(cx, &mut self.buffer[..]) {
                Poll::Pending => idle += 1,
                Poll::Ready(Ok(Some(packet))) => return Poll::Ready(heard(&port.heard_on, &packet)),
                Poll::Ready(Ok(None)) => {
                    self.dropped += 1;
                    idle = 0;
                }
                Poll::Ready(Err(error)) => {
                    tell_failure(&port.interface, &error);
                    self.ports.remove(at);
                    self.failed = true;
                    idle = 0;
                }
            }
        }
        Poll::Pending
    }
}

fn tell_failure(interface: &str, error: &io::Error) {
    warn!(interface, %error, "VRRP socket failed: it is opened again");
}

fn heard(interface: &str, packet: &ip::Packet<'_>) -> Input {
    let datagram = Datagram {
        interface: interface.to_owned(),
        source: packet.source,
        destination: packet.destination,
        ttl: packet.ttl,
        payload: packet.payload.to_vec(),
    };
    match packet.sealed {
        Some(identification) => Input::SealedAdvertisement { datagram, identification },
        None => Input::Advertisement(datagram),
    }
}

/// Whether this host is a router on an interface.
fn forwards_ipv6(interface: &str) -> bool {
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/forwarding");
    std::fs::read_to_string(path).is_ok_and(|value| value.trim() != "0")
}
