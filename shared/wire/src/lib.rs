//! What another machine sends or reads: bytes on one side, checked values on the other.
//!
//! Nothing here opens a socket or reads a clock. A `parse` takes bytes that anybody may have
//! written and gives either a value every field of which is valid, or an error that names the
//! first rule that was broken; it never panics. An `emit` cannot fail.
//!
//! ```text
//! vrrp   VRRP version 2 (RFC 3768, RFC 2338 PASS) and version 3 (RFC 9568), IPv4 and IPv6
//! arp    gratuitous ARP frames, ARP probes
//! ndisc  the same for IPv6: neighbour advertisements and solicitations
//! bfd    BFD control packets (RFC 5880)
//! mesh   what directors say to each other: identities, roster, lease, gossip values, enrolment
//! fnv    a hash that is the same for all of them
//! ```

pub mod arp;
pub mod bfd;
pub mod fnv;
pub mod mesh;
pub mod ndisc;
pub mod vrrp;
