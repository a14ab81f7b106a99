//! Raw sockets: what VRRP sends and hears, gratuitous ARP, and ARP probes.
//!
//! One socket for each interface, so that a datagram's interface is known, and so that a flood on
//! one fills only that one's buffer. Nothing is judged here: every packet of IP protocol 112 goes
//! to the engine as it came.
//!
//! Which interfaces are open is the caller's decision, who hears from netlink when one appears,
//! goes or changes.

mod ip;
mod probe;
mod socket;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::Ipv4Addr;
use std::task::{Context, Poll};

use mesh_core::input::{Datagram, ProbeAnswer};
use mesh_wire::arp;
use tracing::warn;

use socket::{PacketSocket, VrrpSocket};

/// Longest packet read: with 60 bytes of IP header an advert of 255 addresses has 1 096.
const BUFFER: usize = 2048;

/// All sockets of the VRRP path.
#[derive(Debug)]
pub struct Adverts {
    ports: Vec<Port>,
    /// The port to ask first next time.
    next: usize,
    arp: PacketSocket,
    buffer: Box<[u8; BUFFER]>,
    dropped: u64,
}

/// One open interface.
#[derive(Debug)]
struct Port {
    interface: String,
    index: u32,
    mac: [u8; 6],
    socket: VrrpSocket,
}

impl Adverts {
    /// With no interface open.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] without CAP_NET_RAW.
    pub fn new() -> io::Result<Adverts> {
        let arp = PacketSocket::new()?;
        Ok(Adverts { ports: Vec::new(), next: 0, arp, buffer: Box::new([0; BUFFER]), dropped: 0 })
    }

    /// Hears and speaks on this interface from now on, as a member of 224.0.0.18. Does nothing
    /// where it is open already with the same index and MAC address, otherwise opens it anew;
    /// after an error it is closed. Needs the tokio runtime that will poll [`Adverts::receive`].
    ///
    /// # Errors
    /// What the kernel says, such as ENODEV where no interface has this index any more.
    pub fn open(&mut self, interface: &str, index: u32, mac: [u8; 6]) -> io::Result<()> {
        if self.port(interface).is_ok_and(|port| (port.index, port.mac) == (index, mac)) {
            return Ok(());
        }
        self.close(interface);
        let socket = VrrpSocket::open(index)?;
        self.ports.push(Port { interface: interface.to_owned(), index, mac, socket });
        Ok(())
    }

    /// Forgets the interface and what waits in its buffer; nothing where it is not open.
    pub fn close(&mut self, interface: &str) {
        self.ports.retain(|port| port.interface != interface);
    }

    /// The next packet from another host on any open interface, each in its turn. Waits for ever
    /// where none is open. Dropping the future loses nothing.
    ///
    /// An interface whose socket fails is closed and logged once; [`Adverts::open`] brings it back.
    pub async fn receive(&mut self) -> Datagram {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// Sends one packet of IP protocol 112 with TTL 255 and TOS 0xC0. `source` need not be an
    /// address of this host.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where the interface is not open, otherwise what the kernel
    /// says. Never waits: a full queue is an error too.
    pub fn send(&self, interface: &str, source: Ipv4Addr, destination: Ipv4Addr, payload: &[u8]) -> io::Result<()> {
        self.port(interface)?.socket.send(destination, &ip::emit(source, destination, payload))
    }

    /// Broadcasts this many gratuitous ARP requests for `address`, with the interface's MAC
    /// address as [`Adverts::open`] was told it.
    ///
    /// # Errors
    /// As [`Adverts::send`]; the first one ends the burst.
    pub fn gratuitous_arp(&self, interface: &str, address: Ipv4Addr, count: u32) -> io::Result<()> {
        let port = self.port(interface)?;
        let frame = arp::gratuitous_request(port.mac, address);
        (0..count).try_for_each(|_| self.arp.send(port.index, &frame))
    }

    /// Looks whether anybody has one of these addresses, each on its interface, which takes 40 ms.
    /// The future goes on without this object. Needs a tokio runtime.
    ///
    /// # Errors
    /// As [`Adverts::send`], at once or in the end.
    pub fn probe(
        &self,
        addresses: &[(String, Ipv4Addr)],
    ) -> io::Result<impl Future<Output = io::Result<Option<ProbeAnswer>>> + Send + use<>> {
        let mut wanted: BTreeMap<&str, Vec<Ipv4Addr>> = BTreeMap::new();
        for (interface, address) in addresses {
            wanted.entry(interface).or_default().push(*address);
        }
        let mut search = probe::Search::default();
        for (interface, addresses) in wanted {
            let port = self.port(interface)?;
            search.add(port.index, port.mac, addresses)?;
        }
        Ok(search.run())
    }

    /// How many received packets were dropped because they disagree with their own IP header, or
    /// are longer than any advert.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn port(&self, interface: &str) -> io::Result<&Port> {
        let not_open =
            || io::Error::new(io::ErrorKind::NotFound, format!("interface {interface} is not open for VRRP"));
        self.ports.iter().find(|port| port.interface == interface).ok_or_else(not_open)
    }

    /// Ends: a port that gives nothing counts as idle, and tokio's budget makes every port look
    /// idle after some reads in one turn of the caller's task.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Datagram> {
        let mut idle = 0;
        while idle < self.ports.len() {
            let at = self.next % self.ports.len();
            self.next = at + 1;
            let port = &self.ports[at];
            match port.socket.poll_receive(cx, &mut self.buffer[..]) {
                Poll::Pending => idle += 1,
                Poll::Ready(Ok(length)) => {
                    if let Some(packet) = ip::parse(&self.buffer[..length]) {
                        return Poll::Ready(datagram(&port.interface, &packet));
                    }
                    self.dropped += 1;
                    idle = 0;
                }
                Poll::Ready(Err(error)) => {
                    warn!(interface = port.interface, %error, "VRRP socket failed: closed until the interface changes");
                    self.ports.remove(at);
                    idle = 0;
                }
            }
        }
        Poll::Pending
    }
}

fn datagram(interface: &str, packet: &ip::Packet<'_>) -> Datagram {
    Datagram {
        interface: interface.to_owned(),
        source: packet.source,
        destination: packet.destination,
        ttl: packet.ttl,
        payload: packet.payload.to_vec(),
    }
}
