//! Who is right about a real server where directors see it differently, and whether this node should serve at all. The
//! rules are in [`super::mesh`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use mesh_config::model::{Forwarding, RealServer};
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::gossip::{Health, PortState};
use mesh_wire::mesh::roster::Role;

use super::Services;
use super::action::Action;
use super::mesh::service_key;
use super::pool::Service;
use crate::time::Instant;

/// An unfit node is so for at least this long after the cause ended.
const UNFIT: Duration = Duration::from_secs(10);

/// How long somebody else has to take over from an unfit node. Then it serves with what it reaches:
/// nobody else may be able to.
const HANDED_OVER: Duration = Duration::from_secs(10);

/// How long the owner waits for the first word of others before its own is enough.
const GRACE: Duration = Duration::from_secs(10);

/// That the node should not serve a virtual server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) reason: String,
    /// Since when it serves all the same.
    serves_since: Option<Instant>,
    /// When it ends, once the cause has.
    until: Option<Instant>,
}

impl Unfit {
    /// Somebody else may still take over.
    fn may_go(&self, now: Instant) -> bool {
        self.serves_since.is_none_or(|since| now < since + HANDED_OVER)
    }
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
        // On its way from here to somebody else it is nobody's for a moment.
        let leaves = service.unfit.as_ref().is_some_and(|unfit| unfit.may_go(now));
        self.weigh_doubts(now, index, leaves || !owners.is_empty(), &doubtful, &mut verdicts);
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
            if service.unfit.as_ref().is_none_or(|unfit| unfit.may_go(now)) {
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
        let key = service_key(&service.config.name);
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
