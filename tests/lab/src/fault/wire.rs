//! One direction between two hosts, and what gets lost on it.

use std::fmt;

use anyhow::{Result, bail};

/// Which traffic between directors. Clients are never hit by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// Everything, ARP too.
    All,
    /// The mesh: UDP port 7946.
    Mesh,
    /// VRRP: IP protocol 112.
    Vrrp,
}

/// Loss on the way from one host to another; the way back is another wire.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wire {
    /// Who sends.
    pub from: String,
    /// Who would receive.
    pub to: String,
    /// What is hit.
    pub channel: Channel,
    /// How much of it is lost, 1 to 100 %, each frame by chance.
    pub loss: u8,
    /// Tells apart two that are otherwise the same, so that each is healed on its own.
    pub id: usize,
}

impl Wire {
    /// Rules of the bridge's chain.
    pub(super) fn rules(&self) -> Vec<String> {
        let matches: &[&str] = match self.channel {
            Channel::All => &[""],
            Channel::Vrrp => &[" ip protocol 112"],
            // One rule for each frame that can match: two would lose more than was asked for.
            Channel::Mesh => &[" udp dport 7946", " udp sport 7946 udp dport != 7946"],
        };
        let chance = if self.loss < 100 { format!(" numgen random mod 100 < {}", self.loss) } else { String::new() };
        let rule = |of: &&str| format!("iifname \"{}\" oifname \"{}\"{of}{chance} drop", self.from, self.to);
        matches.iter().map(rule).collect()
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Channel::All => "all",
            Channel::Mesh => "mesh",
            Channel::Vrrp => "vrrp",
        })
    }
}

impl std::str::FromStr for Channel {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Channel> {
        Ok(match text {
            "all" => Channel::All,
            "mesh" => Channel::Mesh,
            "vrrp" => Channel::Vrrp,
            _ => bail!("{text} is none of all, mesh, vrrp"),
        })
    }
}
