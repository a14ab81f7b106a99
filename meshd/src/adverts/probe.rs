//! Whether anybody has an address: the probe of RFC 5227 section 2.1.1, within 40 ms instead of
//! seconds, because a service is waiting.

use std::future::poll_fn;
use std::io;
use std::net::Ipv4Addr;
use std::task::{Context, Poll};
use std::time::Duration;

use mesh_core::input::ProbeAnswer;
use mesh_wire::arp;
use tokio::time::timeout;

use super::socket::ArpSocket;

/// Probes for each address: one may be lost.
const PROBES: usize = 2;
/// After each probe, time for an answer.
const LISTEN: Duration = Duration::from_millis(20);
/// An ARP frame is 42 bytes, padded to 60.
const BUFFER: usize = 128;

/// A look at some interfaces.
#[derive(Debug, Default)]
pub(super) struct Search(Vec<Place>);

/// One interface, and what is looked for there.
#[derive(Debug)]
struct Place {
    socket: ArpSocket,
    mac: [u8; 6],
    addresses: Vec<Ipv4Addr>,
}

impl Search {
    /// Looks for these addresses, too.
    pub(super) fn add(&mut self, index: u32, mac: [u8; 6], addresses: Vec<Ipv4Addr>) -> io::Result<()> {
        self.0.push(Place { socket: ArpSocket::open(index)?, mac, addresses });
        Ok(())
    }

    /// Who has one of the addresses, the first to show it.
    pub(super) async fn run(self) -> io::Result<Option<ProbeAnswer>> {
        for _ in 0..PROBES {
            for place in &self.0 {
                place.addresses.iter().try_for_each(|address| place.socket.send(&arp::probe(place.mac, *address)))?;
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
                if let Some((address, mac)) = arp::conflict(&buffer[..length?], place.mac, &place.addresses) {
                    return Poll::Ready(Ok(ProbeAnswer { address, mac }));
                }
            }
        }
        Poll::Pending
    }
}
