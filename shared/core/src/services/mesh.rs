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

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mesh_config::model::{CheckKind, CheckScope, Forwarding, RealServer};
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::gossip::{
    Health, PortState, RealServerReport, SERVER_PREFIX, SERVICE_PREFIX, ServerReport, ServiceReport,
};
use mesh_wire::mesh::roster::Role;
use rand::RngExt;

use super::action::{Action, Decision};
use super::input::Surroundings;
use super::{Place, SOON, Services, pool::Service};
use crate::time::Instant;

/// Directors that check a real server.
const CHECKERS: usize = 3;

/// A gossiped value is at most this long.
const VALUE: usize = 8 * 1024;

/// A reason in it, in bytes.
const REASON: usize = 160;

/// How long the owner waits for the first word of others before its own is enough.
const GRACE: Duration = Duration::from_secs(10);

/// An unfit node is so for at least this long after the cause ended.
const UNFIT: Duration = Duration::from_secs(10);

/// How long somebody else has to take over from an unfit node. Then it serves with what it reaches:
/// nobody else may be able to.
const HANDED_OVER: Duration = Duration::from_secs(10);

/// What another node says.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// By key.
    services: BTreeMap<String, ServiceReport>,
    /// By key.
    server: BTreeMap<String, ServerReport>,
    /// Something of it was not understood, and that was told.
    malformed: bool,
}

#[cfg(test)]
impl Peer {
    /// Parts of virtual servers it told.
    pub(super) fn count(&self) -> usize {
        self.services.len()
    }
}

/// That the node should not serve a virtual server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) reason: String,
    /// Since when it serves all the same.
    serves_since: Option<Instant>,
    /// When it ends, once the cause has.
    until: Option<Instant>,
}

/// What counts for one real server.
struct Views {
    own: Health,
    own_reason: Option<String>,
    up: usize,
    down: usize,
    /// Of others.
    up_by: Vec<NodeId>,
    down_by: Vec<NodeId>,
}

/// What was decided about the real servers of one virtual server.
pub(super) struct Verdicts {
    /// For each, whether it is used and why.
    pub(super) members: Vec<(bool, Cow<'static, str>)>,
    /// This node serves it, or may.
    serves: bool,
    unfit: Option<String>,
    /// When it has to be looked at again though nothing happens.
    again: Option<Instant>,
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
        let report: Option<ServiceReport> = value.map(serde_json::from_str).transpose()?;
        let reports = &mut self.peers.entry(node).or_default().services;
        let before = match &report {
            Some(report) => reports.insert(key.to_owned(), report.clone()),
            None => reports.remove(key),
        };
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
        let report: Option<ServerReport> = value.map(serde_json::from_str).transpose()?;
        let reports = &mut self.peers.entry(node).or_default().server;
        let before = match &report {
            Some(report) => reports.insert(key.to_owned(), report.clone()),
            None => reports.remove(key),
        };
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
        let key = format!("{SERVICE_PREFIX}{}", config.name);
        let has = |node: &NodeId| {
            *node == self.setup.node || self.peers.get(node).is_some_and(|peer| peer.services.contains_key(&key))
        };
        let directors = self.around.members.iter().filter(|(_, m)| m.alive && m.role == Role::Director);
        let directors: Vec<NodeId> = directors.map(|(node, _)| *node).filter(has).collect();
        if directors.len() < 2 { Vec::new() } else { directors }
    }

    fn lives(&self, node: NodeId) -> bool {
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
        let first = format!("{SERVICE_PREFIX}{name}");
        (1..).map_while(move |part| reports?.get(&part_key(&first, part)))
    }

    /// What is decided about the real servers of a virtual server.
    pub(super) fn verdicts(&self, now: Instant, index: usize) -> Verdicts {
        let service = &self.services[index];
        let node = self.setup.node;
        let owners: Vec<NodeId> =
            service.config.addresses().filter_map(|a| self.around.owners.get(&a).copied()).collect();
        // Where nobody is known to serve, everybody may.
        let serves = owners.is_empty() || owners.contains(&node);
        let mut verdicts = Verdicts { members: Vec::new(), serves, unfit: None, again: None };
        let mut doubtful = Vec::new();
        for member in 0..service.members.len() {
            let verdict = self.common_verdict(now, index, member, serves, &mut doubtful, &mut verdicts.again);
            verdicts.members.push(verdict);
        }
        self.weigh_doubts(now, index, !owners.is_empty(), &doubtful, &mut verdicts);
        verdicts
    }

    /// What is clear about one real server; what depends on the rest of the pool goes into `doubtful`,
    /// with whether others reach it.
    fn common_verdict(
        &self,
        now: Instant,
        index: usize,
        member: usize,
        serves: bool,
        doubtful: &mut Vec<(usize, Vec<NodeId>)>,
        again: &mut Option<Instant>,
    ) -> (bool, Cow<'static, str>) {
        let service = &self.services[index];
        let m = &service.members[member];
        if let Some(told) = m.checkers.iter().find(|c| !c.runs() && !c.up) {
            return (false, told.reason.clone().map_or(Cow::Borrowed("not known yet"), Cow::Owned));
        }
        if let Some(server) = self.down_by_itself(&service.config.real_servers[member]) {
            return (false, format!("{server} itself says that it does not serve there").into());
        }
        if m.assigned.is_empty() {
            return super::local_verdict(&m.checkers);
        }
        let views = self.views(service, member);
        let reason = views.own_reason.as_deref().unwrap_or("no reason given");
        if views.down * 2 > m.assigned.len() {
            let all = m.assigned.len();
            return (
                false,
                format!("{} of {all} directors that check it: {}", views.down, self.why(service, member)).into(),
            );
        }
        // Until they have looked again, or had time enough for that, others contradict nothing.
        let patient = now < m.since + GRACE;
        let mut up_by = views.up_by.clone();
        up_by.retain(|node| !patient || m.contradicted.contains(node));
        if views.own == Health::Down && up_by.len() < views.up_by.len().max(1) && patient {
            *again = Some(again.map_or(m.since + GRACE, |at| at.min(m.since + GRACE)));
        }
        if serves && views.own == Health::Down {
            if let Some(other) = views.down_by.first() {
                return (false, format!("{reason}; {} sees it, too", self.name_of(*other)).into());
            }
            if up_by.is_empty() && !patient {
                return (false, format!("{reason}; no other director has checked it").into());
            }
            doubtful.push((member, up_by));
            return (m.live, reason.to_owned().into());
        }
        if views.own == Health::Down && !up_by.is_empty() {
            doubtful.push((member, up_by));
        }
        if views.up > 0 {
            if m.live {
                return (true, Cow::Borrowed("it is reached"));
            }
            let who = if views.own == Health::Up { self.setup.name.clone() } else { self.names(&views.up_by) };
            return (true, format!("{who} reaches it").into());
        }
        (m.live, Cow::Borrowed("nobody has checked it yet"))
    }

    /// Real servers that only this node does not reach. What no member serves cannot be handed over.
    fn weigh_doubts(
        &self,
        now: Instant,
        index: usize,
        movable: bool,
        doubtful: &[(usize, Vec<NodeId>)],
        verdicts: &mut Verdicts,
    ) {
        if doubtful.is_empty() {
            return;
        }
        let service = &self.services[index];
        let heavy = |member: usize| u64::from(service.weight(member));
        let total: u64 = (0..service.members.len()).map(heavy).sum();
        let many = |chosen: &[&(usize, Vec<NodeId>)]| {
            let weight: u64 = chosen.iter().map(|(member, _)| heavy(*member)).sum();
            let all = service.members.len();
            if total == 0 { chosen.len() * 2 >= all } else { weight * 2 >= total }
        };
        let all: Vec<_> = doubtful.iter().collect();
        let contradicted: Vec<_> = doubtful.iter().filter(|(_, by)| !by.is_empty()).collect();
        let better = if movable && many(&contradicted) { self.better_placed(service) } else { None };
        if let Some(better) = better {
            let (here, there) = (&self.setup.name, self.name_of(better));
            let (count, of, name) = (contradicted.len(), service.members.len(), &service.config.name);
            verdicts.unfit =
                Some(format!("{here} does not reach {count} of {of} real servers of {name}; {there} does"));
            let stays = service.unfit.as_ref().and_then(|unfit| unfit.serves_since);
            if stays.is_none_or(|since| now < since + HANDED_OVER) {
                for (member, by) in contradicted {
                    verdicts.members[*member] = (true, format!("{} reaches it", self.names(by)).into());
                }
                return;
            }
        }
        let waiting = contradicted.len() < all.len();
        if !verdicts.serves || (waiting && many(&all)) {
            return;
        }
        for (member, by) in doubtful {
            let (live, cause) = &mut verdicts.members[*member];
            *live = false;
            if !by.is_empty() {
                *cause = format!("{cause}; not reached by {}, but by {}", self.setup.name, self.names(by)).into();
            }
        }
    }

    /// A living director that reaches more of a virtual server's real servers than this node.
    fn better_placed(&self, service: &Service) -> Option<NodeId> {
        let others = self.directors_of(service).into_iter().filter(|node| *node != self.setup.node);
        let mut best: Option<(i64, NodeId)> = None;
        for node in others {
            let mut lead = 0;
            for (member, real) in service.config.real_servers.iter().enumerate() {
                let Some(view) = self.view(node, service, &real.address) else { continue };
                let weight = i64::from(service.weight(member)).max(1);
                match (own_health(service, member).0, view.state) {
                    (Health::Down, Health::Up) => lead += weight,
                    (Health::Up, Health::Down) => lead -= weight,
                    _ => {}
                }
            }
            if lead > best.map_or(0, |(most, _)| most) {
                best = Some((lead, node));
            }
        }
        best.map(|(_, node)| node)
    }

    /// Living directors that say anything about a virtual server.
    pub(super) fn directors_of(&self, service: &Service) -> Vec<NodeId> {
        let key = format!("{SERVICE_PREFIX}{}", service.config.name);
        let living = self.around.members.iter().filter(|(_, m)| m.alive && m.role == Role::Director);
        living
            .map(|(node, _)| *node)
            .filter(|node| {
                *node == self.setup.node || self.peers.get(node).is_some_and(|p| p.services.contains_key(&key))
            })
            .collect()
    }

    fn views(&self, service: &Service, member: usize) -> Views {
        let address = &service.config.real_servers[member].address;
        let (own, own_reason) = own_health(service, member);
        let mut views = Views { own, own_reason, up: 0, down: 0, up_by: Vec::new(), down_by: Vec::new() };
        for node in &service.members[member].assigned {
            let here = *node == self.setup.node;
            let state =
                if here { own } else { self.view(*node, service, address).map_or(Health::Unknown, |v| v.state) };
            match state {
                Health::Up => {
                    views.up += 1;
                    views.up_by.extend((!here).then_some(*node));
                }
                Health::Down => {
                    views.down += 1;
                    views.down_by.extend((!here).then_some(*node));
                }
                Health::Unknown => {}
            }
        }
        views
    }

    /// Reasons of those that say it is down.
    fn why(&self, service: &Service, member: usize) -> String {
        let address = &service.config.real_servers[member].address;
        let reasons = service.members[member].assigned.iter().filter_map(|node| {
            if *node == self.setup.node {
                let (own, reason) = own_health(service, member);
                return (own == Health::Down).then(|| (self.setup.name.clone(), reason));
            }
            let view = self.view(*node, service, address).filter(|v| v.state == Health::Down)?;
            Some((self.name_of(*node), view.reason.clone()))
        });
        let words = reasons.map(|(name, reason)| format!("{name}: {}", reason.unwrap_or_else(|| "down".to_owned())));
        words.collect::<Vec<_>>().join(", ")
    }

    /// The member that says itself that it does not serve as this real server. The last word of one that left
    /// stands as long as it is a member: it took the virtual address with it, which checks cannot see. With NAT it
    /// needs none.
    fn down_by_itself(&self, real: &RealServer) -> Option<String> {
        let mut says = self.peers.iter().filter(|(node, peer)| {
            let lives = self.lives(**node);
            let mut states = peer.server.values().filter_map(|r| Some((r.ready, r.ports.get(&real.address)?)));
            states.any(|(ready, state)| {
                let gone = !ready && (lives || real.forwarding != Forwarding::Nat);
                gone || lives && *state == PortState::Down
            })
        });
        says.next().map(|(node, _)| self.name_of(*node))
    }

    pub(super) fn names(&self, nodes: &[NodeId]) -> String {
        nodes.iter().map(|node| self.name_of(*node)).collect::<Vec<_>>().join(" and ")
    }

    /// Takes over whether this node should serve a virtual server. Says whether that changed.
    pub(super) fn judge_fitness(&mut self, now: Instant, index: usize, verdicts: &Verdicts) -> bool {
        let service = &mut self.services[index];
        let before = service.unfit.clone();
        match (&verdicts.unfit, &mut service.unfit) {
            (Some(reason), unfit) => {
                let before = unfit.take().and_then(|unfit| unfit.serves_since);
                let serves_since = verdicts.serves.then(|| before.unwrap_or(now));
                let patience = serves_since.map(|since| since + HANDED_OVER).filter(|at| *at > now);
                self.rejudge.extend(patience.map(|at| (at, index)));
                *unfit = Some(Unfit { reason: reason.clone(), serves_since, until: None });
            }
            (None, Some(unfit)) => {
                let until = *unfit.until.get_or_insert(now + UNFIT);
                if until <= now {
                    service.unfit = None;
                } else {
                    self.rejudge.insert((until, index));
                }
            }
            (None, None) => {}
        }
        if before.is_some() && self.services[index].unfit.is_none() {
            self.assign(now, index);
        }
        self.rejudge.extend(verdicts.again.map(|at| (at, index)));
        self.services[index].unfit != before
    }

    /// Tells for which addresses this node is unfit, when that changed.
    pub(super) fn tell_fitness(&mut self) {
        let mut unfit = BTreeMap::new();
        for service in &self.services {
            let Some(why) = &service.unfit else { continue };
            for address in service.config.addresses() {
                unfit.entry(address).or_insert_with(|| why.reason.clone());
            }
        }
        if unfit != self.unfit {
            self.unfit = unfit.clone();
            self.out.push(Action::Unfit(unfit));
        }
    }

    /// Publishes this node's view of a virtual server, where it changed.
    pub(super) fn publish(&mut self, index: usize) {
        if self.around.members.len() < 2 {
            return;
        }
        let service = &self.services[index];
        let first = format!("{SERVICE_PREFIX}{}", service.config.name);
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

/// Key of a part, counted from 1.
fn part_key(first: &str, part: usize) -> String {
    if part == 1 { first.to_owned() } else { format!("{first}#{part}") }
}

fn shorten(reason: String) -> String {
    let end = (0..=REASON.min(reason.len())).rev().find(|&n| reason.is_char_boundary(n)).unwrap_or(0);
    reason[..end].to_owned()
}

/// What this node's own checks say, but for those of files and of BFD sessions.
pub(super) fn own_health(service: &Service, member: usize) -> (Health, Option<String>) {
    let m = &service.members[member];
    if !m.mine {
        return (Health::Unknown, None);
    }
    let mut checkers = m.checkers.iter().filter(|c| c.runs());
    if let Some(failed) = checkers.clone().find(|c| c.has_run && !c.up) {
        return (Health::Down, failed.reason.clone());
    }
    // Without a check it is up by definition.
    if checkers.all(|c| c.has_run) { (Health::Up, None) } else { (Health::Unknown, None) }
}

/// Who checks a real server: the owners, and then whoever draws the longest straws. All directors
/// draw the same ones.
fn checkers(service: &Service, member: usize, directors: &[NodeId], owners: &[NodeId]) -> Vec<NodeId> {
    let dynamic = |kind: &CheckKind| matches!(kind, CheckKind::Misc { dynamic: true, .. });
    if service.members[member].checkers.iter().any(|c| dynamic(&c.check.kind)) {
        return directors.to_vec();
    }
    let address = service.config.real_servers[member].address.to_string();
    let seed = hash(hash(FNV, service.config.name.as_bytes()), address.as_bytes());
    let mut straws: Vec<_> = directors
        .iter()
        .map(|node| (!owners.contains(node), std::cmp::Reverse(mix(hash(seed, &node.0.to_be_bytes()))), *node))
        .collect();
    straws.sort_unstable();
    straws.truncate(CHECKERS);
    let mut chosen: Vec<NodeId> = straws.into_iter().map(|(.., node)| node).collect();
    chosen.sort_unstable();
    chosen
}

const FNV: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, with an end mark: stable over versions and hosts.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let step = |h: u64, b: &u8| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
    step(bytes.iter().fold(seed, step), &0xff)
}

/// The finalizer of splitmix64: every bit of a straw depends on every bit of the hash.
fn mix(hash: u64) -> u64 {
    let h = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}
