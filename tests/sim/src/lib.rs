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
//! The same seed gives the same run, byte for byte: `cargo sim --seed N` is a bug report.

pub mod clock;
pub mod cluster;
pub mod host;
pub mod invariants;
pub mod kernel;
pub mod memory;
pub mod mutant;
pub mod nemesis;
pub mod network;
pub mod run;
pub mod story;
