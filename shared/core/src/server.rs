//! A real server of the mesh: what this host needs to take packets for virtual addresses, and what it
//! tells directors about itself.
//!
//! ```text
//!   gossip of directors --+            +--------------- Server ----------------+   +--> Remember, Change
//!   addresses, settings --+  facts     | told: which virtual servers name us   |   +--> Publish
//!   tries of own ports ---+ ---------> |   -> wanted minus present, in steps   | --+--> Tell, Warn
//!   leave ----------------+            |   -> ports: up, down                  |
//!                                      +---------------------------------------+
//! ```
//!
//! A director forwards packets as they came (LVS-DR), or inside others (LVS-TUN): so the virtual
//! address has to be on this host, and the network must not learn that. It goes on `lo`, as a /32 or
//! /128. A host answers ARP for all its addresses on every interface, unless `arp_ignore` is 1, and
//! asks with any of them, unless `arp_announce` is 2: both come before the first address, and go after
//! the last. Neighbour discovery (IPv6) answers for addresses of the interface asked on only, so that it
//! needs nothing.
//!
//! Nothing is timed: the daemon looks at the host again and again, and does what a look asks for.
//! What a director told holds until it tells otherwise or is no member any more. That it is gone says
//! nothing: clients' packets may still come, by whoever directs them then.

mod ports;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::gossip::{SERVER_PREFIX, SERVES_PREFIX, Served, ServerReport, ServesReport};
use serde::{Deserialize, Serialize};

use self::ports::Ports;
pub use self::ports::Try;
use self::wanted::Wanted;

/// Ports in one value: 128 of IPv6 have less than 8 KiB.
const PORTS_TOLD: usize = 128;

/// What a look at the host found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// All addresses.
    pub addresses: BTreeSet<Address>,
    /// Of [`Server::settings`], those that exist.
    pub settings: BTreeMap<String, u32>,
    /// The tunnel devices that exist, and whether they are up.
    pub devices: BTreeMap<Device, bool>,
}

/// An address of the host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Where it is.
    pub interface: String,
    /// Without its prefix length.
    pub address: IpAddr,
    /// It has the mark of this program.
    pub ours: bool,
}

/// A tunnel device that takes packets from any director.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Device {
    /// IPv4 inside IPv4.
    Tunl0,
    /// IPv6 inside IPv4.
    Sit0,
    /// Both inside IPv6.
    Ip6tnl0,
}

/// What outlives the process, so that a later run of this boot goes on and puts everything back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// What each director told last.
    pub told: BTreeMap<NodeId, Vec<Served>>,
    /// Settings that were changed: before, and to what.
    pub settings: BTreeMap<String, (u32, u32)>,
    /// Devices that were put up.
    pub devices: BTreeSet<Device>,
    /// Addresses that were put on `lo`: kernels before Linux 5.18 keep no mark.
    pub addresses: BTreeSet<IpAddr>,
}

/// One effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Keep this for the next run, in place of what was kept before. What follows relies on it.
    Remember(Memory),
    /// Change the host; a failure is told by [`Server::failed`]. The next look shows what came of it.
    Change(Change),
    /// Gossip one value of ours; `None` deletes.
    Publish {
        /// Key.
        key: String,
        /// Value.
        value: Option<String>,
    },
    /// A line for the log.
    Tell(String),
    /// Something the operator has to know.
    Warn(String),
}

/// A change of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A setting of the kernel gets a value.
    Set {
        /// As `sysctl` has it.
        setting: String,
        /// The value.
        value: u32,
    },
    /// A tunnel device is made, where there is none, and put up.
    Up(Device),
    /// A tunnel device is put down.
    Down(Device),
    /// An address goes on `lo`, with our mark.
    Add(IpAddr),
    /// An address of ours leaves `lo`.
    Remove(IpAddr),
}

/// A host that is a real server.
#[derive(Clone, Debug, Default)]
pub struct Server {
    memory: Memory,
    /// What was remembered last.
    kept: Memory,
    /// Parts of what directors tell, until they are whole.
    parts: BTreeMap<NodeId, BTreeMap<u32, ServesReport>>,
    ports: Ports,
    /// All is in place; nothing before the first look that could tell.
    ready: Option<bool>,
    /// The last look asked for nothing.
    settled: bool,
    leaving: bool,
    published: BTreeMap<String, String>,
    /// So that each is told once, as long as it lasts.
    warned: BTreeSet<String>,
    failures: BTreeMap<String, String>,
}

impl Server {
    /// Goes on with what the run before remembered.
    pub fn new(memory: Memory) -> Server {
        Server { kept: memory.clone(), memory, ..Server::default() }
    }

    /// A gossiped value of another node changed.
    pub fn gossip(&mut self, node: NodeId, key: &str, value: Option<&str>) {
        let Some(part) = key.strip_prefix(SERVES_PREFIX).and_then(|n| n.parse().ok()) else { return };
        let parts = self.parts.entry(node).or_default();
        match value.and_then(|value| serde_json::from_str::<ServesReport>(value).ok()) {
            Some(report) => drop(parts.insert(part, report)),
            // It restarts, or another part says how many are left.
            None => drop(parts.remove(&part)),
        }
        let Some(first) = parts.get(&0) else { return };
        let whole: Option<Vec<&ServesReport>> =
            (0..first.parts).map(|n| parts.get(&n).filter(|p| p.revision == first.revision)).collect();
        if let Some(whole) = whole {
            let told = whole.into_iter().flat_map(|part| &part.virtual_servers).cloned().collect();
            self.memory.told.insert(node, told);
        }
    }

    /// Who is a director now: what others told is forgotten.
    pub fn directors(&mut self, directors: &BTreeSet<NodeId>) {
        self.parts.retain(|node, _| directors.contains(node));
        self.memory.told.retain(|node, _| directors.contains(node));
    }

    /// Settings that a look at the host has to tell.
    pub fn settings() -> impl Iterator<Item = String> {
        wanted::settings()
    }

    /// Decides by what the host has now. Once that asks for no [`Action::Change`], all is as it should
    /// be; where it does, another look is to follow.
    pub fn look(&mut self, host: &Host) -> Vec<Action> {
        // Nobody told anything yet: what an earlier run left stays.
        let known = self.leaving || !self.memory.told.is_empty();
        if !known {
            return Vec::new();
        }
        let host = &self.recognise(host);
        let mut wanted = Wanted::find(&self.memory.told, host);
        if self.leaving {
            wanted = Wanted::default();
        }
        let mut out = self.warn(&wanted);
        let changes = self.changes(&wanted, host);
        // The last word names the ports that are served no more.
        if !self.leaving {
            self.ports.want(&wanted.ports);
        }
        self.settled = changes.is_empty();
        if self.settled {
            self.failures.clear();
        }
        self.ready = if self.leaving { self.ready.map(|_| false) } else { Some(self.settled) };
        if self.kept != self.memory {
            self.kept = self.memory.clone();
            out.push(Action::Remember(self.memory.clone()));
        }
        out.extend(changes.into_iter().map(Action::Change));
        out.extend(self.publish());
        out
    }

    /// Ports to be tried.
    pub fn ports(&self) -> Vec<SocketAddr> {
        self.ports.all().collect()
    }

    /// How a try of a port ended.
    pub fn tried(&mut self, port: SocketAddr, how: Try) -> Vec<Action> {
        let told = self.ports.tried(port, how).map(Action::Tell);
        told.into_iter().chain(self.publish()).collect()
    }

    /// A change of the host could not be made. It is asked for again at the next look.
    pub fn failed(&mut self, change: &Change, error: String) -> Option<Action> {
        let what = change.to_string();
        let text = format!("{what}: {error}");
        (self.failures.insert(what, error.clone()) != Some(error)).then_some(Action::Warn(text))
    }

    /// An [`Action::Remember`] could not be done, so that what follows it was left out: the next look
    /// asks for all of it again.
    pub fn forgot(&mut self, error: String) -> Option<Action> {
        self.kept = Memory::default();
        let text = format!("what has to be put back later cannot be written down, so nothing is changed: {error}");
        (self.failures.insert(String::new(), error.clone()) != Some(error)).then_some(Action::Warn(text))
    }

    /// From now on everything is undone. Directors are told at once; the next look should give them
    /// some time.
    pub fn leave(&mut self) -> Vec<Action> {
        (self.leaving, self.settled) = (true, false);
        self.memory.told.clear();
        self.ready = self.ready.map(|_| false);
        self.publish()
    }

    /// What was done for virtual addresses is undone, or nothing ever was.
    pub fn has_left(&self) -> bool {
        self.leaving && self.settled
    }

    /// Whether the last look asked for nothing.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// From wanted and present to steps. What a step rests on has to be there before it is asked for.
    fn changes(&mut self, wanted: &Wanted, host: &Host) -> Vec<Change> {
        let mut steps = Vec::new();
        for (setting, fits) in &wanted.settings {
            match host.settings.get(setting) {
                Some(now) if fits.contains(now) => continue,
                Some(now) => {
                    let before = self.memory.settings.get(setting).map_or(*now, |(before, _)| *before);
                    self.memory.settings.insert(setting.clone(), (before, fits[0]));
                }
                // Its device comes first.
                None if wanted::is_of_device(setting) => continue,
                // The kernel will say what is wrong.
                None => {}
            }
            steps.push(Change::Set { setting: setting.clone(), value: fits[0] });
        }
        for device in wanted.devices.iter().filter(|device| host.devices.get(device) != Some(&true)) {
            self.memory.devices.insert(*device);
            steps.push(Change::Up(*device));
        }
        let is_placed = |vip: &IpAddr| host.addresses.iter().any(|a| a.address == *vip);
        let is_silent = wanted.is_silent(host);
        let missing = wanted.addresses.iter().filter(|vip| !is_placed(vip) && (is_silent || vip.is_ipv6()));
        for vip in missing {
            self.memory.addresses.insert(*vip);
            steps.push(Change::Add(*vip));
        }
        let surplus = host.addresses.iter().filter(|a| a.ours && a.interface == LOOPBACK);
        let surplus: Vec<IpAddr> = surplus.map(|a| a.address).filter(|vip| !wanted.addresses.contains(vip)).collect();
        let still_loud = surplus.iter().any(IpAddr::is_ipv4);
        steps.extend(surplus.into_iter().map(Change::Remove));
        if !still_loud {
            steps.extend(self.put_back(wanted, host));
        }
        steps
    }

    /// The host, with everything marked that is ours. What is gone is forgotten.
    fn recognise(&mut self, host: &Host) -> Host {
        let on_lo = |a: &Address| a.interface == LOOPBACK;
        self.memory.addresses.retain(|vip| host.addresses.iter().any(|a| on_lo(a) && a.address == *vip));
        let ours = |a: &Address| a.ours || on_lo(a) && self.memory.addresses.contains(&a.address);
        let addresses = host.addresses.iter().map(|a| Address { ours: ours(a), ..a.clone() }).collect();
        Host { addresses, ..host.clone() }
    }

    /// Settings and devices that nothing needs any more.
    fn put_back(&mut self, wanted: &Wanted, host: &Host) -> Vec<Change> {
        let mut steps = Vec::new();
        self.memory.settings.retain(|setting, (before, ours)| {
            if wanted.settings.contains_key(setting) {
                return true;
            }
            // Whoever changed it meanwhile had a reason; and what is back is done.
            let back = host.settings.get(setting) != Some(ours);
            if !back {
                steps.push(Change::Set { setting: setting.clone(), value: *before });
            }
            !back
        });
        self.memory.devices.retain(|device| {
            let stays = wanted.devices.contains(device) || host.devices.get(device) == Some(&true);
            if stays && !wanted.devices.contains(device) {
                steps.push(Change::Down(*device));
            }
            stays
        });
        steps
    }

    fn warn(&mut self, wanted: &Wanted) -> Vec<Action> {
        let new = wanted.warnings.difference(&self.warned).cloned().map(Action::Warn).collect();
        self.warned.clone_from(&wanted.warnings);
        new
    }

    /// What changed of what is told about this host.
    fn publish(&mut self) -> Vec<Action> {
        let Some(ready) = self.ready else { return Vec::new() };
        let now: BTreeMap<String, String> = self
            .ports
            .told(PORTS_TOLD)
            .into_iter()
            .enumerate()
            .map(|(n, ports)| {
                let report = ServerReport { ready, ports };
                let value = serde_json::to_string(&report).expect("addresses are keys as text");
                (format!("{SERVER_PREFIX}{n}"), value)
            })
            .collect();
        let before = std::mem::replace(&mut self.published, now.clone());
        let gone = before.keys().filter(|key| !now.contains_key(*key));
        let mut out: Vec<Action> = gone.map(|key| Action::Publish { key: key.clone(), value: None }).collect();
        let new = now.into_iter().filter(|(key, value)| before.get(key) != Some(value));
        out.extend(new.map(|(key, value)| Action::Publish { key, value: Some(value) }));
        out
    }
}

/// Where virtual addresses are put.
pub const LOOPBACK: &str = "lo";

impl Device {
    /// All of them.
    pub const ALL: [Device; 3] = [Device::Tunl0, Device::Sit0, Device::Ip6tnl0];

    /// The interface's name: the kernel gives it to the one that takes from anybody.
    pub fn name(self) -> &'static str {
        match self {
            Device::Tunl0 => "tunl0",
            Device::Sit0 => "sit0",
            Device::Ip6tnl0 => "ip6tnl0",
        }
    }

    /// What kind of interface it is.
    pub fn kind(self) -> &'static str {
        match self {
            Device::Tunl0 => "ipip",
            Device::Sit0 => "sit",
            Device::Ip6tnl0 => "ip6tnl",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Set { setting, value } => write!(f, "{setting} = {value}"),
            Change::Up(device) => write!(f, "{} up", device.name()),
            Change::Down(device) => write!(f, "{} down", device.name()),
            Change::Add(address) => write!(f, "{address} on {LOOPBACK}"),
            Change::Remove(address) => write!(f, "{address} off {LOOPBACK}"),
        }
    }
}

#[cfg(test)]
mod tests;
