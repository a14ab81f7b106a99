//! What this host's kernel holds for us.
//!
//! ```text
//! netlink    links and addresses, by rtnetlink
//! ipvs       virtual services, by generic netlink; needs no `ipvsadm` binary
//! fence      who may be talked to and answer, by nftables over netlink; needs no `nft` binary
//! sysctl     settings, by /proc/sys
//! ```

use std::net::IpAddr;

use nix::sys::socket::SockaddrStorage;
use rtnetlink::packet_core::{ErrorMessage, NlasIterator};

pub mod fence;
pub mod ipvs;
pub mod netlink;
pub mod sysctl;
#[cfg(test)]
pub(crate) mod testing;

/// An IP address from one of the kernel's socket addresses.
pub(crate) fn ip_of(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

/// What the kernel says about a refusal: the errno's text, and its extended acknowledgement
/// (NETLINK_EXT_ACK, NLMSGERR_ATTR_MSG) where there is one. The socket has to have NETLINK_CAP_ACK
/// set, so that only the header of the refused request stands before the attributes.
fn refusal(error: &ErrorMessage) -> String {
    const HEADER_LEN: usize = 16;
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let attributes = error.header.get(HEADER_LEN..).unwrap_or_default();
    let text = NlasIterator::new(attributes)
        .filter_map(Result::ok)
        .find(|attribute| attribute.kind() == NLMSGERR_ATTR_MSG)
        .map(|attribute| String::from_utf8_lossy(attribute.value()).trim_end_matches('\0').to_owned());
    match text {
        Some(text) => format!("{} ({text})", error.to_io()),
        None => error.to_io().to_string(),
    }
}
