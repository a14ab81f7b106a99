//! What this host's kernel holds for us.

pub mod fence;
pub mod netlink;
