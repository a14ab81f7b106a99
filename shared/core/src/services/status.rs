//! What there is to show.

use std::collections::BTreeMap;

use mesh_config::model::Forwarding;
use mesh_control as control;
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::gossip::Health;

use super::Services;
use super::pool::Service;
use super::verdict::own_health;

impl Services {
    /// All virtual services, as this node sees them. Reads only.
    pub fn status(&self) -> Vec<control::Service> {
        self.services.iter().map(|service| self.service_status(service)).collect()
    }

    fn service_status(&self, service: &Service) -> control::Service {
        let config = &service.config;
        let keys: Vec<_> = service.keys().collect();
        control::Service {
            virtual_server: config.name.clone(),
            scheduler: config.scheduler.clone(),
            forwarding: forwarding(config.forwarding).to_owned(),
            persistence_s: config.persistence.unwrap_or(0),
            on: self.programmed_on(service),
            real_servers: (0..service.members.len()).map(|index| self.member_status(service, index)).collect(),
            quorum: Some(if service.quorum_up { "gained" } else { "lost" }.to_owned()),
            live_weight: service.live_weight(),
            sorry_server: config.sorry_server.filter(|_| service.sorry).map(|sorry| sorry.address.to_string()),
            not_programmed_because: keys.iter().find_map(|key| self.kernel.trouble(key)),
            unfit_because: service.unfit.as_ref().map(|unfit| unfit.reason.clone()),
        }
    }

    /// Names of directors that have it in ip_vs, this one first.
    fn programmed_on(&self, service: &Service) -> Vec<String> {
        let name = &service.config.name;
        let has = |node: &NodeId| {
            let mut parts = self.parts(*node, name).peekable();
            parts.peek().is_some() && parts.all(|part| part.programmed)
        };
        let here = service.programmed.then(|| self.setup.name.clone());
        let others = self.directors_of(service).into_iter().filter(|node| *node != self.setup.node);
        here.into_iter().chain(others.filter(has).map(|node| self.name_of(node))).collect()
    }

    fn member_status(&self, service: &Service, index: usize) -> control::RealServer {
        let member = &service.members[index];
        let real = &service.config.real_servers[index];
        let (mut seen_by, mut reasons) = (BTreeMap::new(), BTreeMap::new());
        let mut see = |name: String, state: Health, reason: Option<String>| {
            seen_by.insert(name.clone(), word(state).to_owned());
            reasons.extend(reason.map(|reason| (name, reason)));
        };
        let told = member.checkers.iter().find(|c| !c.runs() && !c.up);
        if let Some(told) = told {
            see(self.setup.name.clone(), Health::Down, told.reason.clone());
        } else if member.mine {
            let (own, mut reason) = own_health(service, index);
            let by: Vec<NodeId> = member.contradicted.iter().copied().collect();
            if let (Some(reason), false) = (&mut reason, by.is_empty()) {
                reason.push_str(&format!("; reached by {}", self.names(&by)));
            }
            see(self.setup.name.clone(), own, reason);
        }
        for node in self.directors_of(service) {
            if let Some(view) = self.view(node, service, &real.address) {
                see(self.name_of(node), view.state, view.reason.clone());
            }
        }
        let unknown = member.live && seen_by.values().all(|state| state == "unknown");
        let checked_by = match member.assigned.as_slice() {
            [] => vec![self.setup.name.clone()],
            assigned => assigned.iter().map(|node| self.name_of(*node)).collect(),
        };
        control::RealServer {
            address: real.address.to_string(),
            weight: service.weight(index).into(),
            health: if unknown { "unknown" } else { word(if member.live { Health::Up } else { Health::Down }) }
                .to_owned(),
            seen_by,
            reasons,
            checked_by,
        }
    }
}

fn word(state: Health) -> &'static str {
    match state {
        Health::Up => "up",
        Health::Down => "down",
        Health::Unknown => "unknown",
    }
}

fn forwarding(declared: Forwarding) -> &'static str {
    match declared {
        Forwarding::Nat => "nat",
        Forwarding::DirectRouting => "dr",
        Forwarding::Tunnel(_) => "tun",
    }
}
