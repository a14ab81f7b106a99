//! Whether anybody has an address: the probe of RFC 5227 section 2.1.1, and for IPv6 the duplicate
//! address detection of RFC 4862 section 5.4, within 40 ms instead of seconds, because a service is
//! waiting.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::task::{Context, Poll};
use std::time::Duration;

use mesh_core::input::ProbeAnswer;
use mesh_wire::mesh::Family;
use mesh_wire::{arp, ndisc};
use socket2::{Domain, Socket, Type};
use tokio::time::timeout;

use super::socket::LinkSocket;

/// Probes for each address: one may be lost.
const PROBES: usize = 2;
/// After each probe, time for an answer.
const LISTEN: Duration = Duration::from_millis(20);
/// An ARP frame is 42 bytes, padded to 60; a neighbour advertisement 86, and more with options of
/// later standards.
const BUFFER: usize = 512;

/// A look at some interfaces.
#[derive(Debug, Default)]
pub(super) struct Search(Vec<Place>);

/// One interface, and what is looked for there.
#[derive(Debug)]
struct Place {
    socket: LinkSocket,
    mac: [u8; 6],
    wanted: Wanted,
}

#[derive(Debug)]
enum Wanted {
    V4(Vec<Ipv4Addr>),
    /// With a socket that belongs to their groups: another prober asks these.
    V6(Vec<Ipv6Addr>, #[expect(dead_code, reason = "held")] Socket),
}

impl Search {
    /// Looks for these addresses, too.
    pub(super) fn add_v4(&mut self, index: u32, mac: [u8; 6], addresses: Vec<Ipv4Addr>) -> io::Result<()> {
        self.0.push(Place { socket: LinkSocket::open(index, Family::Ipv4)?, mac, wanted: Wanted::V4(addresses) });
        Ok(())
    }

    /// And for these.
    pub(super) fn add_v6(&mut self, index: u32, mac: [u8; 6], addresses: Vec<Ipv6Addr>) -> io::Result<()> {
        let groups = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
        for address in &addresses {
            // Whoever has the address tells all nodes. Only a prober of the same moment is missed where
            // this fails, as it does beyond some hundred groups.
            let _ = groups.join_multicast_v6(&ndisc::solicited_node(*address), index);
        }
        let socket = LinkSocket::open(index, Family::Ipv6)?;
        self.0.push(Place { socket, mac, wanted: Wanted::V6(addresses, groups) });
        Ok(())
    }

    /// Who has one of the addresses, the first to show it.
    pub(super) async fn run(self) -> io::Result<Option<ProbeAnswer>> {
        for _ in 0..PROBES {
            for place in &self.0 {
                place.probe()?;
            }
            if let Ok(answer) = timeout(LISTEN, poll_fn(|cx| self.poll_answer(cx))).await {
                return answer.map(Some);
            }
        }
        Ok(None)
    }

    fn poll_answer(&self, cx: &mut Context<'_>) -> Poll<io::Result<ProbeAnswer>> {
        let mut buffer = [0; BUFFER];
        for place in &self.0 {
            // Ends: tokio's budget makes a socket that never dries up look idle after some reads.
            while let Poll::Ready(length) = place.socket.poll_receive(cx, &mut buffer) {
                if let Some(answer) = place.answer(&buffer[..length?]) {
                    return Poll::Ready(Ok(answer));
                }
            }
        }
        Poll::Pending
    }
}

impl Place {
    fn probe(&self) -> io::Result<()> {
        match &self.wanted {
            Wanted::V4(wanted) => wanted.iter().try_for_each(|a| self.socket.send(&arp::probe(self.mac, *a))),
            Wanted::V6(wanted, _) => wanted.iter().try_for_each(|a| self.socket.send(&ndisc::probe(self.mac, *a))),
        }
    }

    fn answer(&self, frame: &[u8]) -> Option<ProbeAnswer> {
        let (address, mac) = match &self.wanted {
            Wanted::V4(wanted) => arp::conflict(frame, self.mac, wanted).map(|(a, mac)| (a.into(), mac))?,
            Wanted::V6(wanted, _) => ndisc::conflict(frame, self.mac, wanted).map(|(a, mac)| (a.into(), mac))?,
        };
        Some(ProbeAnswer { address, mac })
    }
}
