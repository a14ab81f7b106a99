//! Health that directors share: who checks what, and what is made of everybody's results.
//!
//! ```text
//!   living directors that have      three of them check each real server:       views, by gossip:
//!   the virtual server       -----> the owner of its address, others by  -----> up, down, unknown
//!                                   rendezvous hashing                                |
//!                                                                                     v
//!      down where a majority of them says so; or the owner and one other; or the owner alone, if
//!      that concerns less than half of the pool. If it is half or more, and another director reaches
//!      more, the fault is between here and there: the servers stay in, and the node is unfit. Where
//!      nobody takes over within ten seconds they go, and the node serves with what it reaches.
//! ```
//!
//! Who hears that a real server is down checks it at once, and says so if that succeeds: an older
//! success contradicts nobody.
//!
//! A view counts while its director lives; what nobody has checked stays as it is. Checks of files and
//! of BFD sessions are each host's own business and always count here. A virtual server with
//! `check_scope = local` or `ha_suspend`, and everything on a node without other directors, is
//! checked here and only here. What a `misc_dynamic` check sets, only who runs it knows: such a real
//! server is checked by all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use mesh_config::model::{CheckKind, CheckScope};
use mesh_wire::fnv;
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::gossip::{Health, RealServerReport, SERVER_PREFIX, SERVICE_PREFIX, ServerReport, ServiceReport};
use mesh_wire::mesh::roster::Role;
use rand::RngExt;

use super::action::{Action, Decision};
use super::input::Surroundings;
use super::pool::Service;
use super::verdict::own_health;
use super::{Place, SOON, Services};
use crate::time::Instant;

/// Directors that check a real server.
const CHECKERS: usize = 3;

/// A gossiped value is at most this long.
const VALUE: usize = 8 * 1024;

/// A reason in it, in bytes.
const REASON: usize = 160;

/// What another node says.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// By key.
    pub(super) services: BTreeMap<String, ServiceReport>,
    /// By key.
    pub(super) server: BTreeMap<String, ServerReport>,
    /// Something of it was not understood, and that was told.
    malformed: bool,
}

impl Services {
    /// Who is there, and who serves what.
    pub(super) fn surround(&mut self, now: Instant, around: Surroundings) {
        let before = std::mem::replace(&mut self.around, around);
        if before.active_here != self.around.active_here {
            self.all_differ = true;
        }
        if before.members == self.around.members && before.owners == self.around.owners {
            return;
        }
        let lost = before.members.iter().filter(|(node, m)| m.role == Role::Server && m.alive && !self.lives(**node));
        let lost: Vec<NodeId> = lost.map(|(node, _)| *node).collect();
        for index in 0..self.services.len() {
            self.assign(now, index);
            let addresses = || self.services[index].config.addresses();
            let own = |owners: &BTreeMap<IpAddr, NodeId>| addresses().any(|a| owners.get(&a) == Some(&self.setup.node));
            if own(&self.around.owners) && !own(&before.owners) {
                self.hasten_all(now, index);
            }
            self.dirty.insert(index);
        }
        for node in lost {
            let ports = self.peers.get(&node).into_iter().flat_map(|p| p.server.values()).flat_map(|r| r.ports.keys());
            let ports: BTreeSet<SocketAddr> = ports.copied().collect();
            self.hasten_addresses(now, &ports);
        }
        self.peers.retain(|node, _| self.around.members.contains_key(node));
    }

    /// A gossiped value about services.
    pub(super) fn gossip(&mut self, now: Instant, node: NodeId, key: &str, value: Option<&str>) {
        if node == self.setup.node {
            return;
        }
        let understood = if key.starts_with(SERVICE_PREFIX) {
            self.gossip_service(now, node, key, value)
        } else if key.starts_with(SERVER_PREFIX) {
            self.gossip_server(now, node, key, value)
        } else {
            Ok(())
        };
        let peer = self.peers.entry(node).or_default();
        if let Err(error) = understood
            && !std::mem::replace(&mut peer.malformed, true)
        {
            let text = format!("{} gossips {key}, which makes no sense here: {error}", self.name_of(node));
            self.out.push(Action::Record(Decision::Warning { text }));
        }
    }

    fn gossip_service(
        &mut self,
        now: Instant,
        node: NodeId,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), serde_json::Error> {
        let reports = &mut self.peers.entry(node).or_default().services;
        let (before, report) = replace(reports, key, value)?;
        let name = report.as_ref().or(before.as_ref()).map(|r| r.name.clone());
        let Some(index) = name.and_then(|name| self.services.iter().position(|s| s.config.name == name)) else {
            return Ok(());
        };
        self.dirty.insert(index);
        if before.is_none() != report.is_none() {
            self.assign(now, index);
        }
        let state = |report: &Option<ServiceReport>, address: &SocketAddr| {
            report.as_ref().and_then(|r| r.real_servers.get(address)).map(|r| r.state)
        };
        let down = Some(Health::Down);
        for member in 0..self.services[index].members.len() {
            let address = self.services[index].config.real_servers[member].address;
            if state(&report, &address) == down && state(&before, &address) != down {
                self.services[index].members[member].asked = true;
                self.hasten(now, index, member);
            }
            let confirmed = |report: &Option<ServiceReport>| {
                report.as_ref().and_then(|r| r.real_servers.get(&address)).map_or(0, |r| r.confirmed_unix_ms)
            };
            if confirmed(&report) > confirmed(&before) {
                self.services[index].members[member].contradicted.insert(node);
            }
        }
        Ok(())
    }

    fn gossip_server(
        &mut self,
        now: Instant,
        node: NodeId,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), serde_json::Error> {
        let reports = &mut self.peers.entry(node).or_default().server;
        let (before, report) = replace(reports, key, value)?;
        let ports = before.iter().chain(&report).flat_map(|r| r.ports.keys());
        let ports: BTreeSet<SocketAddr> = ports.copied().collect();
        for (index, service) in self.services.iter().enumerate() {
            if service.config.real_servers.iter().any(|real| ports.contains(&real.address)) {
                self.dirty.insert(index);
            }
        }
        // What came up again is looked at, what went down is believed.
        if report.as_ref().is_some_and(|r| r.ready) {
            self.hasten_addresses(now, &ports);
        }
        Ok(())
    }

    fn hasten_addresses(&mut self, now: Instant, addresses: &BTreeSet<SocketAddr>) {
        for index in 0..self.services.len() {
            for member in 0..self.services[index].members.len() {
                if addresses.contains(&self.services[index].config.real_servers[member].address) {
                    self.hasten(now, index, member);
                }
            }
        }
    }

    fn hasten_all(&mut self, now: Instant, index: usize) {
        for member in 0..self.services[index].members.len() {
            self.services[index].members[member].hastened = None;
            self.hasten(now, index, member);
        }
    }

    /// Checks a real server at once, unless it was so just now.
    fn hasten(&mut self, now: Instant, index: usize, member: usize) {
        let soon = now + SOON.mul_f64(self.rng.random_range(0.0..1.0));
        let m = &mut self.services[index].members[member];
        let pause = m.checkers.iter().map(|c| c.check.delay_loop / 2).min().unwrap_or_default();
        if !m.mine || m.hastened.is_some_and(|last| now < last + pause) {
            return;
        }
        m.hastened = Some(now);
        for checker in 0..m.checkers.len() {
            let place = Place { service: index, member, checker };
            let checker = self.checker(place);
            checker.due = checker.due.map(|due| due.min(soon));
            self.set_timer(place);
        }
    }

    /// Decides who checks the real servers of a virtual server.
    pub(super) fn assign(&mut self, now: Instant, index: usize) {
        let directors = self.directors(index);
        let service = &self.services[index];
        let unfit = service.unfit.is_some();
        let owners: Vec<NodeId> =
            service.config.addresses().filter_map(|a| self.around.owners.get(&a).copied()).collect();
        for member in 0..service.members.len() {
            let checkers = checkers(&self.services[index], member, &directors, &owners);
            // Whoever is unfit goes on, or would not know when that ends.
            let mine = checkers.is_empty() || checkers.contains(&self.setup.node) || unfit;
            let m = &mut self.services[index].members[member];
            let taken_up = mine && !m.mine;
            (m.assigned, m.mine) = (checkers, mine);
            let live = m.live;
            for checker in 0..m.checkers.len() {
                let place = Place { service: index, member, checker };
                let checker = self.checker(place);
                if taken_up && checker.runs() {
                    checker.assume(live);
                    self.warm_up(now, place);
                } else if !mine {
                    checker.due = None;
                    self.set_timer(place);
                }
            }
        }
    }

    /// Living directors that have a virtual server, this one included; none where only our own checks
    /// count.
    fn directors(&self, index: usize) -> Vec<NodeId> {
        let config = &self.services[index].config;
        if config.check_scope == CheckScope::Local || config.ha_suspend || !self.lives(self.setup.node) {
            return Vec::new();
        }
        let key = service_key(&config.name);
        let has = |node: &NodeId| {
            *node == self.setup.node || self.peers.get(node).is_some_and(|peer| peer.services.contains_key(&key))
        };
        let directors = self.around.members.iter().filter(|(_, m)| m.alive && m.role == Role::Director);
        let directors: Vec<NodeId> = directors.map(|(node, _)| *node).filter(has).collect();
        if directors.len() < 2 { Vec::new() } else { directors }
    }

    pub(super) fn lives(&self, node: NodeId) -> bool {
        self.around.members.get(&node).is_some_and(|m| m.alive)
    }

    pub(super) fn name_of(&self, node: NodeId) -> String {
        self.around.members.get(&node).map_or_else(|| node.to_string(), |m| m.name.clone())
    }

    /// What a living director says about a real server.
    pub(super) fn view(&self, node: NodeId, service: &Service, address: &SocketAddr) -> Option<&RealServerReport> {
        if !self.lives(node) {
            return None;
        }
        self.parts(node, &service.config.name).find_map(|report| report.real_servers.get(address))
    }

    /// All parts of what a director says about a virtual server.
    pub(super) fn parts<'a>(&'a self, node: NodeId, name: &str) -> impl Iterator<Item = &'a ServiceReport> + use<'a> {
        let reports = self.peers.get(&node).map(|peer| &peer.services);
        let first = service_key(name);
        (1..).map_while(move |part| reports?.get(&part_key(&first, part)))
    }

    /// Publishes this node's view of a virtual server, where it changed.
    pub(super) fn publish(&mut self, index: usize) {
        if self.around.members.len() < 2 {
            return;
        }
        let service = &self.services[index];
        let first = service_key(&service.config.name);
        let reports = self.report(service);
        let mut count = 0;
        for report in reports {
            count += 1;
            let value = serde_json::to_string(&report).expect("a report is plain data");
            self.publish_value(part_key(&first, count), Some(value));
        }
        self.unpublish(&first, count + 1);
    }

    /// Takes back parts from `from` on.
    pub(super) fn unpublish(&mut self, first: &str, from: usize) {
        for part in from.. {
            let key = part_key(first, part);
            if !self.published.contains_key(&key) {
                return;
            }
            self.publish_value(key, None);
        }
    }

    fn publish_value(&mut self, key: String, value: Option<String>) {
        let before = match &value {
            Some(value) => self.published.insert(key.clone(), value.clone()),
            None => self.published.remove(&key),
        };
        if before != value {
            self.out.push(Action::Publish { key, value });
        }
    }

    /// On the wall clock.
    pub(super) fn unix_ms(&self, at: Instant) -> u64 {
        let unix = self.setup.unix_at_zero + at.since(Instant::default());
        u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
    }

    fn report(&self, service: &Service) -> Vec<ServiceReport> {
        let empty = || ServiceReport {
            name: service.config.name.clone(),
            programmed: service.programmed,
            real_servers: BTreeMap::new(),
        };
        let room = VALUE.saturating_sub(service.config.name.len() + 256);
        let (mut reports, mut length) = (vec![empty()], 0);
        for (member, real) in service.config.real_servers.iter().enumerate() {
            if !service.members[member].mine {
                continue;
            }
            let (state, reason) = own_health(service, member);
            let since_unix_ms = self.unix_ms(service.members[member].since);
            let reason = reason.map(shorten);
            // Quotes and escapes make a reason longer, by six times at worst.
            let size = 160 + reason.as_ref().map_or(0, |r| serde_json::to_string(r).map_or(0, |s| s.len()));
            if length + size > room {
                length = 0;
                reports.push(empty());
            }
            length += size;
            let confirmed_unix_ms = service.members[member].confirmed_unix_ms;
            let report = RealServerReport { state, reason, since_unix_ms, confirmed_unix_ms };
            reports.last_mut().expect("never empty").real_servers.insert(real.address, report);
        }
        reports
    }
}

/// Takes over a gossiped value, or that it was deleted. Returns what was there before, and what is now.
fn replace<T: Clone + serde::de::DeserializeOwned>(
    reports: &mut BTreeMap<String, T>,
    key: &str,
    value: Option<&str>,
) -> Result<(Option<T>, Option<T>), serde_json::Error> {
    let report: Option<T> = value.map(serde_json::from_str).transpose()?;
    let before = match &report {
        Some(report) => reports.insert(key.to_owned(), report.clone()),
        None => reports.remove(key),
    };
    Ok((before, report))
}

/// Key of a virtual server's first part. A `#` in its name is doubled, so that it never looks like another's further
/// part.
pub(super) fn service_key(name: &str) -> String {
    format!("{SERVICE_PREFIX}{}", name.replace('#', "##"))
}

/// Key of a part, counted from 1.
fn part_key(first: &str, part: usize) -> String {
    if part == 1 { first.to_owned() } else { format!("{first}#{part}") }
}

fn shorten(reason: String) -> String {
    let end = (0..=REASON.min(reason.len())).rev().find(|&n| reason.is_char_boundary(n)).unwrap_or(0);
    reason[..end].to_owned()
}

/// Who checks a real server: the owners, and then whoever draws the longest straws. All directors
/// draw the same ones.
fn checkers(service: &Service, member: usize, directors: &[NodeId], owners: &[NodeId]) -> Vec<NodeId> {
    let dynamic = |kind: &CheckKind| matches!(kind, CheckKind::Misc { dynamic: true, .. });
    if service.members[member].checkers.iter().any(|c| dynamic(&c.check.kind)) {
        return directors.to_vec();
    }
    let address = service.config.real_servers[member].address.to_string();
    let seed = fnv::hash(&[service.config.name.as_bytes(), END, address.as_bytes(), END].concat());
    let mut straws: Vec<_> =
        directors.iter().map(|node| (!owners.contains(node), std::cmp::Reverse(straw(seed, *node)), *node)).collect();
    straws.sort_unstable();
    straws.truncate(CHECKERS);
    let mut chosen: Vec<NodeId> = straws.into_iter().map(|(.., node)| node).collect();
    chosen.sort_unstable();
    chosen
}

/// Stands behind each part of what is hashed; no text has it.
const END: &[u8] = &[0xff];

/// What a node draws. The finalizer of splitmix64: every bit of a straw depends on every bit of the hash.
fn straw(seed: u64, node: NodeId) -> u64 {
    let hash = fnv::more(fnv::more(seed, &node.0.to_be_bytes()), END);
    let h = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}
