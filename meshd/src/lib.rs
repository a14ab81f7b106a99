//! The daemon: every effect, no decision.
//!
//! ```text
//! run        wires everything, and notices what dies
//! director   the engine's own thread and its loop
//! telemetry  decisions as log lines
//! clock      the only place that asks for the time decisions are made with
//! adverts    raw sockets for VRRP, packet socket for gratuitous ARP
//! kernel     addresses and links by rtnetlink, the fence by nftables over netlink
//! mesh       QUIC endpoint, identities, enrolment, gossip
//! probes     tracked scripts
//! control    the unix socket meshctl talks to
//! check      `meshd check`
//! ```

pub mod adverts;
pub mod check;
pub mod clock;
pub mod control;
pub mod director;
pub mod kernel;
pub mod memory;
pub mod mesh;
pub mod probes;
pub mod run;
pub mod telemetry;
