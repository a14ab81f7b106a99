//! A cluster in one process: whole engines, with a virtual clock, a network and kernels made of
//! data structures, faults by chance, and judges.
//!
//! ```text
//!   seed --> nemesis (faults) --> cluster: hosts x (engine + mailbox + kernel + clock), network
//!                                    |  event by event, nothing in between
//!                                    v
//!                                 run: invariants, history of service, story
//! ```
//!
//! The same seed gives the same run, byte for byte: `cargo sim --seed N --shape S` is a bug report.
//! `cargo sim --soak` makes 10,000 runs of 300 virtual seconds over all shapes.
//!
//! Where the harness ends: wires lose, delay, repeat and reorder whole messages; kernels keep timeouts
//! to the nanosecond and remove addresses as late as was ever measured; one segment, IPv4. The
//! engines are the real ones, configuration to actions.

pub mod clock;
pub mod cluster;
pub mod fleet;
pub mod host;
pub mod invariants;
pub mod kernel;
pub mod layout;
pub mod memory;
pub mod mutant;
pub mod nemesis;
pub mod network;
pub mod report;
pub mod run;
pub mod story;
