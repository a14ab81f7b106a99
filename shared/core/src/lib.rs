//! The decisions. No input, no output, no clock, no thread, no random source that is not seeded.
//!
//! ```text
//!   VRRP packets ---+                                                    +--> SendAdvertisement, Announce
//!   mesh messages --+            +------------- Engine ---------------+  +--> SendMessage, Publish
//!   script results -+   Input    | membership, tracking, placement    |  +--> FenceInstall, FenceArm, FenceClose
//!   netlink events -+ ---------> |   -> vrrp: Claim, Stay or Yield    | -+--> AddAddress, DelAddress
//!   timeouts -------+            |     -> lease: Held until t, or not |  +--> RunScripts, StoreRoster, Remember
//!   commands -------+            |       -> takeover: verdict         |  +--> Record(Decision), Tell, KeepWill
//!                                +------------------------------------+
//! ```
//!
//! [`Engine::step`] is the only way anything changes; equal inputs at equal times give equal
//! actions, so that a simulated cluster replays from its seed.
//!
//! More machines of this kind run beside it, on threads of their own, and know of it only what it
//! tells them: [`services::Services`] (checks of real servers, and what ip_vs shall hold),
//! [`bfd::Sessions`] (whether neighbours are there) and [`server::Server`] (what a real server of the
//! mesh needs on its host).

pub mod action;
pub mod admission;
pub mod bfd;
pub mod counters;
pub mod damping;
pub mod decision;
pub mod drift;
pub mod engine;
#[cfg(test)]
mod fixture;
pub mod input;
pub mod instance;
mod instances;
pub mod ipvs;
pub mod lease;
pub mod membership;
pub mod notify;
pub mod orders;
pub mod placement;
pub mod roster;
pub mod server;
pub mod services;
pub mod story;
pub mod time;
pub mod tracking;
pub mod vrrp;
pub mod will;

pub use action::Action;
pub use counters::Counters;
pub use decision::Decision;
pub use engine::adopt::Adopted;
pub use engine::dump::Dump;
pub use engine::{Engine, Setup, TimerKind};
pub use input::Input;
pub use time::Instant;
pub use will::Will;
