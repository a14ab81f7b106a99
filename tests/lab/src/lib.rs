//! A small network on one machine, faults to put into it, and a judge that says who serves the VIP.
//!
//! ```text
//!   lb1 .11   lb2 .12   lb3 .13     directors, each a network namespace with an `eth0`
//!      \         |         /
//!       +--- bridge br0 --+         in a namespace of its own; faults are nftables rules here,
//!      /                   \        or a port of it that goes down
//!   client .50          judge .51
//! ```
//!
//! Nothing here touches the machine's own interfaces, addresses or rules. What a lab starts dies with it: on drop,
//! after a panic, and also when the process that made the lab is killed.
//!
//! The judge stands on a host of its own, beside the client, because its ARP requests would otherwise keep the client's
//! neighbour cache fresh and hide an outage that a real client has.

pub mod clock;
pub mod cluster;
pub mod conf;
pub mod fault;
mod host;
pub mod judge;
mod lab;
pub mod neighbours;
mod packet;
pub mod process;
mod report;
mod sightings;
pub mod web;

pub use fault::{Channel, Fault, Wire};
pub use host::{Host, Process};
pub use judge::Judge;
pub use lab::{CLIENT, CLIENT_ADDRESS, DIRECTORS, JUDGE, Lab, Lifetime, MAX_DIRECTORS, Turn, VIP, labs_dir};
pub use neighbours::NeighbourWatch;
pub use report::{Interval, Pings, Report, Round};
pub use sightings::{Overlap, Seen, Sighting, Sightings, Stay};
