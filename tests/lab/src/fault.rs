//! What can go wrong between hosts, and how it is healed.

pub mod bad_cable;
pub mod wire;

use std::collections::BTreeSet;
use std::fmt::Write;

pub use wire::{Channel, Wire};

/// A fault of the network. Faults add up; each is healed on its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The host's cable is pulled: it sees the carrier go, and nobody reaches it.
    Cable(String),
    /// Between this host and every other director nothing gets through either way. It still has its carrier, and
    /// clients still reach it: the case in which an old owner does most harm.
    Isolate(String),
    /// Between these two nothing gets through either way; everybody else reaches both.
    Cut(String, String),
    /// What this host sends to the other directors is lost; what they send arrives. Clients reach it.
    Mute(String),
    /// VRRP and ARP that this host sends to the other directors are lost; all else it sends arrives.
    Unheard(String),
    /// Nobody gets VRRP (IP protocol 112), as behind a switch or firewall that drops it; all else passes.
    Vrrp,
    /// Nobody's mesh traffic (UDP port 7946) gets through; all else passes.
    Mesh,
    /// VRRP sent by this host is lost.
    VrrpFrom(String),
    /// Some or all of one kind of traffic is lost on the way from one host to another.
    Wire(Wire),
}

/// The whole ruleset of the bridge for these faults, as one atomic `nft -f` transaction.
pub(crate) fn ruleset(faults: &BTreeSet<Fault>, directors: &[String]) -> String {
    let mut rules = String::new();
    let mut rule = |text: String| writeln!(rules, "    {text}").expect("writing to a String can not fail");
    for fault in faults {
        match fault {
            Fault::Cable(_) => {}
            Fault::Isolate(host) => {
                rule(drop_between(host, directors));
                rule(format!("oifname \"{host}\" iifname {} drop", set(host, directors)));
            }
            Fault::Cut(a, b) => {
                rule(format!("iifname \"{a}\" oifname \"{b}\" drop"));
                rule(format!("iifname \"{b}\" oifname \"{a}\" drop"));
            }
            Fault::Mute(host) => rule(drop_between(host, directors)),
            Fault::Unheard(host) => {
                let others = set(host, directors);
                rule(format!("iifname \"{host}\" oifname {others} ip protocol 112 drop"));
                rule(format!("iifname \"{host}\" oifname {others} ether type arp drop"));
            }
            Fault::Vrrp => {
                rule("ip protocol 112 drop".into());
                rule("ip6 nexthdr 112 drop".into());
            }
            Fault::Mesh => rule("ip protocol udp udp dport 7946 drop".into()),
            Fault::Wire(wire) => wire.rules().into_iter().for_each(&mut rule),
            Fault::VrrpFrom(host) => {
                rule(format!("iifname \"{host}\" ip protocol 112 drop"));
                rule(format!("iifname \"{host}\" ip6 nexthdr 112 drop"));
            }
        }
    }
    format!(
        "add table bridge lab\ndelete table bridge lab\ntable bridge lab {{\n  chain forward {{\n    \
         type filter hook forward priority 0; policy accept;\n{rules}  }}\n}}\n"
    )
}

fn drop_between(host: &str, directors: &[String]) -> String {
    format!("iifname \"{host}\" oifname {} drop", set(host, directors))
}

fn set(host: &str, directors: &[String]) -> String {
    let others: Vec<_> = directors.iter().filter(|d| *d != host).map(|d| format!("\"{d}\"")).collect();
    format!("{{ {} }}", others.join(", "))
}

#[cfg(test)]
mod tests;
