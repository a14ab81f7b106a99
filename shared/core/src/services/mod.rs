//! Virtual services: which real servers are healthy, and what ip_vs shall hold.
//!
//! ```text
//!   results of checks ---+            +------------- Services --------------+   +--> Check (one, now)
//!   gossip of others ----+   Input    | assignment: who checks what         |   +--> ReadKernel, Apply
//!   who serves what -----+ ---------> |   -> checker: up, down, weight      | --+--> Run, WriteFifo, Mail
//!   ip_vs, files, BFD ---+            |     -> verdict: what the mesh says  |   +--> Publish
//!   timeouts ------------+            |       -> pool: quorum, sorry server |   +--> Unfit
//!                                     +-------------------------------------+   +--> Record
//! ```
//!
//! It is a state machine of its own, beside [`crate::Engine`] and driven by a thread of its own:
//! whatever checks do, leases and adverts do not wait for it. Like the engine it has no clock and no
//! chance of its own; equal inputs at equal times give equal actions.

pub mod action;
pub mod input;

pub use self::action::Action;
pub use self::input::Input;
