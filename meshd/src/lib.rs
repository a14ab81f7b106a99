//! The daemon: every effect, no decision.
//!
//! ```text
//! guard      the parent process: acts in the daemon's place the moment it dies, and starts it again
//! run        the commands; run/serve wires everything, and notices what dies
//! director   the engine's own thread and its loop
//! witness    the same on a node that serves nothing, without privileges
//! server     beside it on a real server: virtual addresses on lo, own ports
//! threads    threads that must not wait
//! priority   real-time priority, locked memory
//! privileges what a node has to be allowed to do
//! telemetry  decisions as log lines
//! compat     started as `keepalived`: its command line, PID files, log
//! dump       keepalived.data, .stats and .json, when signals ask for them
//! clock      the only place that asks for the time decisions are made with
//! adverts    raw sockets for VRRP, announcements and probes
//! bfd        the thread of the BFD sessions
//! kernel     addresses and links by rtnetlink, the fence by nftables over netlink, virtual services
//! mesh       QUIC endpoint, identities, enrolment, gossip
//! probes     tracked scripts and files, health checks, notifications
//! services   the services' own thread: checks and ip_vs
//! control    the unix socket meshctl talks to
//! on_demand  what threads show of themselves, made when somebody asks
//! check      `meshd check`
//! memory     what this node granted as a voter, kept over restarts
//! legacy     what outlives the process: will, and what the next run goes on with
//! signals    what signals tell, from before there is a runtime
//! ```

pub mod adverts;
pub mod bfd;
pub mod check;
pub mod clock;
pub mod compat;
pub mod control;
pub mod descriptors;
pub mod director;
pub mod dump;
pub mod guard;
pub mod kernel;
pub mod legacy;
pub mod memory;
pub mod mesh;
pub mod on_demand;
pub mod priority;
mod privileges;
pub mod probes;
mod pulse;
pub mod run;
pub mod server;
pub mod services;
pub mod signals;
pub mod telemetry;
pub mod threads;
pub mod witness;
