//! Tells when somebody else touches our tables: `nft flush ruleset`, a firewall's reload.

use std::io;

use netlink_packet_core::{NetlinkBuffer, NlasIterator};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

use super::layout::TABLE;
use super::target::Table;
use super::transport::split;
use super::unaccepted;

/// Our own armings come by here too; this is room for some seconds of them.
const RECEIVE_BUFFER: usize = 4 << 20;
const DATAGRAM: usize = 64 << 10;
/// More than the receive buffer holds.
const DISCARDED_MAX: usize = 100_000;

/// Follows changes of nftables rules.
pub struct FenceWatch {
    socket: TokioSocket,
    own: u32,
}

impl FenceWatch {
    pub(super) fn open(own: u32) -> io::Result<FenceWatch> {
        const NFNLGRP_NFTABLES: u32 = 7;
        let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
        socket.socket_mut().bind(&SocketAddr::new(0, 0))?;
        socket.socket_mut().add_membership(NFNLGRP_NFTABLES)?;
        // Fails without CAP_NET_ADMIN; the default is enough for a few hundred addresses.
        let _ = setsockopt(socket.socket_ref(), sockopt::RcvBufForce, &RECEIVE_BUFFER);
        Ok(FenceWatch { socket, own })
    }

    /// Waits until somebody but our own fence changed or deleted one of our tables or a part of it, or
    /// until so much happened that it cannot be told. [`super::Fence::intact`] then knows what it is
    /// worth, and [`super::Fence::install`] repairs. Nothing is lost when this is dropped half-way.
    pub async fn changed(&mut self) -> io::Result<()> {
        loop {
            let mut datagram = Vec::with_capacity(DATAGRAM);
            match self.socket.recv(&mut datagram).await {
                Ok(()) if split(&datagram).any(|message| is_foreign(message, self.own)) => return Ok(()),
                Ok(()) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return self.discard(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Empties the queue: the kernel does not tell of further losses before it was empty once.
    fn discard(&mut self) -> io::Result<()> {
        for _ in 0..DISCARDED_MAX {
            match self.socket.socket_ref().recv(&mut Vec::with_capacity(DATAGRAM), libc::MSG_DONTWAIT) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.raw_os_error() != Some(libc::ENOBUFS) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether a notification is about a table of ours and not by `own`.
pub(super) fn is_foreign(message: &[u8], own: u32) -> bool {
    const NFNL_SUBSYS_NFTABLES: u16 = 10;
    const NFT_MSG_NEWGEN: u16 = 15;
    const NFGENMSG_LEN: usize = 4;
    // The same number in tables, chains, rules, sets, elements, objects and flow tables.
    const NFTA_TABLE: u16 = 1;
    let Ok(message) = NetlinkBuffer::new_checked(message) else { return false };
    let (subsystem, kind) = (message.message_type() >> 8, message.message_type() & 0xff);
    if subsystem != NFNL_SUBSYS_NFTABLES || kind == NFT_MSG_NEWGEN || message.port_number() == own {
        return false;
    }
    let Some((header, attributes)) = message.payload().split_at_checked(NFGENMSG_LEN) else { return false };
    Table::ALL.iter().any(|table| header[0] == u8::from(table.family()))
        && NlasIterator::new(attributes).filter_map(Result::ok).any(|attribute| {
            attribute.kind() == NFTA_TABLE
                && [TABLE, unaccepted::TABLE]
                    .iter()
                    .any(|t| attribute.value().strip_suffix(b"\0") == Some(t.as_bytes()))
        })
}
