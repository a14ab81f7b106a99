//! Sockets for whole frames.

use anyhow::{Context, Result};
use nix::libc;
use socket2::{Domain, SockAddr, Socket, Type};

/// Longest frame that is read: segments that the card is still to cut come in one piece of up to 64 KiB.
pub(crate) const LONGEST: usize = 70_000;

/// A socket that hears nothing until it is bound.
pub(crate) fn socket() -> Result<Socket> {
    let socket = Socket::new(Domain::PACKET, Type::RAW, None).context("packet socket")?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Has it hear everything of this interface; gives the address that makes it send there.
pub(crate) fn bind(socket: &Socket, interface: &str) -> Result<SockAddr> {
    let address = address(interface)?;
    socket.bind(&address).with_context(|| format!("hear {interface}"))?;
    Ok(address)
}

/// The address that makes a packet socket send through this interface.
pub(crate) fn address(interface: &str) -> Result<SockAddr> {
    let index = nix::net::if_::if_nametoindex(interface).with_context(|| interface.to_string())?;
    // SAFETY: sockaddr_ll fits into the zeroed storage that socket2 hands over, all its fields are plain integers, and
    // the length written is its own.
    let (_, address) = unsafe {
        SockAddr::try_init(|storage, length| {
            let address = &mut *storage.cast::<libc::sockaddr_ll>();
            address.sll_family = libc::AF_PACKET as u16;
            address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
            address.sll_ifindex = index as i32;
            *length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            Ok(())
        })
    }
    .context("packet address")?;
    Ok(address)
}
