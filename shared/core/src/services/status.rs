//! What there is to show.

use std::collections::BTreeMap;

use mesh_config::model::{CheckKind, Forwarding};
use mesh_control as control;

use super::Services;
use super::pool::{Member, Service};
use crate::time::Instant;

impl Services {
    /// All virtual services, as this node sees them. Reads only.
    pub fn status(&self, _now: Instant) -> Vec<control::Service> {
        self.services.iter().map(|service| self.service_status(service)).collect()
    }

    fn service_status(&self, service: &Service) -> control::Service {
        let config = &service.config;
        let keys: Vec<_> = service.keys().collect();
        let programmed = keys.iter().all(|key| self.kernel.has(key));
        control::Service {
            virtual_server: config.name.clone(),
            scheduler: config.scheduler.clone(),
            forwarding: forwarding(config.forwarding).to_owned(),
            persistence_s: config.persistence.unwrap_or(0),
            on: programmed.then(|| self.setup.name.clone()).into_iter().collect(),
            real_servers: (0..service.members.len()).map(|index| self.member_status(service, index)).collect(),
            quorum: Some(if service.quorum_up { "gained" } else { "lost" }.to_owned()),
            live_weight: service.live_weight(),
            sorry_server: config.sorry_server.filter(|_| service.sorry).map(|sorry| sorry.address.to_string()),
            not_programmed_because: keys.iter().find_map(|key| self.kernel.trouble(key)),
            unfit_because: None,
        }
    }

    fn member_status(&self, service: &Service, index: usize) -> control::RealServer {
        let member = &service.members[index];
        let real = &service.config.real_servers[index];
        let (health, reason) = health(member);
        let here = self.setup.name.clone();
        control::RealServer {
            address: real.address.to_string(),
            weight: service.weight(index).into(),
            health: if member.live { "up" } else { "down" }.to_owned(),
            seen_by: BTreeMap::from([(here.clone(), health.to_owned())]),
            reasons: reason.map(|reason| (here.clone(), reason)).into_iter().collect(),
            checked_by: vec![here],
        }
    }
}

/// What this node's own checks say.
pub(super) fn health(member: &Member) -> (&'static str, Option<String>) {
    let runs = |kind: &CheckKind| !matches!(kind, CheckKind::File { .. });
    if let Some(failed) = member.checkers.iter().find(|c| c.has_run && !c.up) {
        return ("down", failed.reason.clone());
    }
    if member.checkers.iter().any(|c| runs(&c.check.kind) && !c.has_run) { ("unknown", None) } else { ("up", None) }
}

fn forwarding(declared: Forwarding) -> &'static str {
    match declared {
        Forwarding::Nat => "nat",
        Forwarding::DirectRouting => "dr",
        Forwarding::Tunnel(_) => "tun",
    }
}
