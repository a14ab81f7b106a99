//! Who uses an address here: the first that sends a packet for it to this host's own MAC address, which shows
//! that a neighbour has learnt where the address is now. Over IPv6 that is a packet, too, if only the question by
//! which it makes sure of this host.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::task::{Context, Poll};

use socket2::SockFilter;

use super::socket::LinkSocket;

/// Addresses one look is for, at most: jumps of a filter reach no further than 255.
pub(crate) const MOST: usize = 64;
/// What is read of a frame: as far as the addresses of IPv4, ARP and IPv6.
const BUFFER: usize = 64;
/// Index of the loopback interface: what this host says to itself shows nothing about neighbours.
const LOOPBACK: u32 = 1;

/// A look for the first user of each of some addresses.
#[derive(Debug)]
pub(crate) struct Users {
    socket: LinkSocket,
    wanted: BTreeSet<IpAddr>,
}

/// A neighbour that uses an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    /// The address here.
    pub(crate) address: IpAddr,
    /// The neighbour's own MAC address.
    pub(crate) mac: [u8; 6],
}

impl Users {
    /// On any interface, from now on; of more addresses than [`MOST`] the first. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] without CAP_NET_RAW.
    pub(crate) fn look(addresses: impl IntoIterator<Item = IpAddr>) -> io::Result<Users> {
        let wanted: BTreeSet<IpAddr> = addresses.into_iter().take(MOST).collect();
        let filter: Vec<_> =
            filter(&wanted).into_iter().map(|(c, yes, no, k)| SockFilter::new(c, yes, no, k)).collect();
        Ok(Users { socket: LinkSocket::filtered(&filter)?, wanted })
    }

    /// The first user of an address that had none; nothing once each has one.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) async fn next(&mut self) -> io::Result<Option<User>> {
        if self.wanted.is_empty() {
            return Ok(None);
        }
        poll_fn(|cx| self.poll_next(cx)).await.map(Some)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<User>> {
        let mut buffer = [0; BUFFER];
        // Ends: tokio's budget makes a socket that never dries up look idle after some reads.
        while let Poll::Ready(length) = self.socket.poll_receive(cx, &mut buffer) {
            let user = user(&buffer[..length?]).filter(|user| self.wanted.contains(&user.address));
            if let Some(user) = user {
                self.wanted.remove(&user.address);
                return Poll::Ready(Ok(user));
            }
        }
        Poll::Pending
    }
}

/// Whom a frame shows.
fn user(frame: &[u8]) -> Option<User> {
    let v4 = |at| Some(Ipv4Addr::from(*frame.get(at..)?.first_chunk::<4>()?).into());
    let address = match frame.get(12..14)? {
        [0x08, 0x00] => v4(30)?,
        [0x08, 0x06] => v4(38)?,
        [0x86, 0xdd] => Ipv6Addr::from(*frame.get(38..)?.first_chunk::<16>()?).into(),
        _ => return None,
    };
    Some(User { address, mac: *frame.get(6..)?.first_chunk()? })
}

/// The last four bytes of an address.
fn end(address: &IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => u32::from(*address),
        IpAddr::V6(address) => (u128::from(*address) & u128::from(u32::MAX)) as u32,
    }
}

/// Frames to this host's own MAC address, for an address that ends as one of these: packets of IPv4 and IPv6, and ARP
/// (classic BPF: code, where to go on if it is so and if not, operand).
fn filter(wanted: &BTreeSet<IpAddr>) -> Vec<(u16, u8, u8, u32)> {
    const LOAD_WORD: u16 = 0x20;
    const LOAD_HALF: u16 = 0x28;
    const IF_EQUAL: u16 = 0x15;
    const GO: u16 = 0x05;
    const RETURN: u16 = 0x06;
    // What the kernel knows of a frame, beside its bytes (SKF_AD_PKTTYPE, SKF_AD_IFINDEX).
    const KIND: u32 = 0xffff_f004;
    const INTERFACE: u32 = 0xffff_f008;
    const TO_THIS_HOST: u32 = 0;
    let count = u8::try_from(wanted.len()).unwrap_or(u8::MAX);
    let mut program = vec![
        (LOAD_WORD, 0, 0, KIND),
        (IF_EQUAL, 0, count + 11, TO_THIS_HOST),
        (LOAD_WORD, 0, 0, INTERFACE),
        (IF_EQUAL, count + 9, 0, LOOPBACK),
        (LOAD_HALF, 0, 0, 12),
        (IF_EQUAL, 0, 2, 0x0800),
        (LOAD_WORD, 0, 0, 30),
        (GO, 0, 0, 5),
        (IF_EQUAL, 0, 2, 0x0806),
        (LOAD_WORD, 0, 0, 38),
        (GO, 0, 0, 2),
        (IF_EQUAL, 0, count + 1, 0x86dd),
        (LOAD_WORD, 0, 0, 50),
    ];
    for (index, address) in (0..count).zip(wanted) {
        program.push((IF_EQUAL, count - index, 0, end(address)));
    }
    program.push((RETURN, 0, 0, 0));
    program.push((RETURN, 0, 0, u32::MAX));
    program
}

#[cfg(test)]
mod tests;
