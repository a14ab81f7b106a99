//! What a cluster under chaos consists of, and its configuration.

use std::fmt;
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::str::FromStr;

use anyhow::{Result, bail};
use mesh_lab::cluster::Daemon;

/// Virtual addresses, one virtual router each. Their priorities differ, so that there is an owner to hit on most hosts.
pub(super) const VIPS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(10, 1, 1, 80), Ipv4Addr::new(10, 1, 1, 81), Ipv4Addr::new(10, 1, 1, 82)];

/// Who is in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Three directors.
    Three,
    /// Two directors, and a witness as the third host.
    TwoAndWitness,
    /// Five directors.
    Five,
}

impl Shape {
    /// Directors and witnesses.
    pub fn hosts(self) -> usize {
        if self == Shape::Five { 5 } else { 3 }
    }

    /// Hosts that may serve, the first ones.
    pub fn directors(self) -> usize {
        if self == Shape::TwoAndWitness { 2 } else { self.hosts() }
    }

    /// Name of a host: `lb1` and so on.
    pub fn name(self, host: usize) -> String {
        format!("lb{}", host + 1)
    }

    /// The host of this name.
    pub fn index(self, name: &str) -> Option<usize> {
        (0..self.hosts()).find(|host| self.name(*host) == name)
    }

    /// What runs where, with this daemon on the directors.
    pub(super) fn daemons(self, daemon: Daemon) -> Vec<(&'static str, Daemon)> {
        let names = ["lb1", "lb2", "lb3", "lb4", "lb5"];
        let of = |host| if host < self.directors() { daemon } else { Daemon::Witness };
        names.into_iter().take(self.hosts()).enumerate().map(|(host, name)| (name, of(host))).collect()
    }

    /// `keepalived.conf` of this host. The last router does not preempt.
    pub(super) fn conf(self, name: &str) -> String {
        let mut text = format!("global_defs {{\n    router_id {name}\n}}\n");
        let Some(host) = self.index(name).filter(|host| *host < self.directors()) else { return text };
        for (i, vip) in VIPS.iter().enumerate() {
            let rank = (host + self.directors() - i % self.directors()) % self.directors();
            let sticky = if i + 1 == VIPS.len() { "    nopreempt\n" } else { "" };
            write!(
                text,
                "\nvrrp_instance VI_{} {{\n    state BACKUP\n    interface eth0\n    virtual_router_id {}\n    \
                 priority {}\n    advert_int 1\n{sticky}    virtual_ipaddress {{\n        {vip}/24\n    }}\n}}\n",
                i + 1,
                51 + i,
                200 - 30 * rank
            )
            .expect("writing to a String can not fail");
        }
        text
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Shape::Three => "3",
            Shape::TwoAndWitness => "2w",
            Shape::Five => "5",
        })
    }
}

impl FromStr for Shape {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Shape> {
        Ok(match text {
            "3" => Shape::Three,
            "2w" => Shape::TwoAndWitness,
            "5" => Shape::Five,
            _ => bail!("{text} is none of 3, 2w (two directors and a witness), 5"),
        })
    }
}
