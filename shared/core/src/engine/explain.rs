//! Why a router is where it is, and what would happen next: read-only, for `meshctl explain`.

use std::collections::BTreeMap;

use mesh_config::model::QuorumLoss;
use mesh_control::Router;
use mesh_control::drift::Drift;
use mesh_control::story::Opinion;
use mesh_wire::mesh::lease::{Claim, Verdict};
use mesh_wire::mesh::roster::Role;
use mesh_wire::mesh::{NodeId, RouterKey};

use super::Engine;
use crate::time::Instant;

/// What one node knows about a router's present and future.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// The router's key, by which other nodes are asked.
    pub key: String,
    /// The router as in the status.
    pub router: Router,
    /// What this node would answer as a voter; none where it does not vote.
    pub opinion: Option<Opinion>,
    /// What would happen if this node died now.
    pub if_died: String,
    /// The same of the node that serves, where that is another one.
    pub if_owner_died: Option<String>,
    /// How other directors have it configured otherwise.
    pub drift: Drift,
}

impl Engine {
    /// Explains the router of this name, virtual address or key; `None` where nobody knows it.
    pub fn explain(&self, now: Instant, named: &str) -> Option<Explained> {
        let key = self.find_router(named)?;
        let me = self.setup.node;
        let owner = self.active(now, key).filter(|owner| *owner != me && self.roster.is_some());
        Some(Explained {
            key: key.to_string(),
            router: self.router_status(now, key),
            opinion: self.opinion(now, key),
            if_died: self.if_died(now, key, me),
            if_owner_died: owner.map(|owner| self.if_died(now, key, owner)),
            drift: self.drift_about(key),
        })
    }

    fn find_router(&self, named: &str) -> Option<RouterKey> {
        let address = named.split('/').next().unwrap_or(named);
        let is_it = |key: &RouterKey| {
            let reports = self.reports(*key);
            let has = |vips: &[String]| vips.iter().any(|vip| vip.split('/').next() == Some(address));
            key.to_string() == named || reports.iter().any(|(_, _, r)| r.name == named || has(&r.vips))
        };
        self.known_routers().into_iter().find(is_it)
    }

    /// What this voter would say to each director: by the very rules it votes by, on a copy of its memory.
    fn opinion(&self, now: Instant, key: RouterKey) -> Option<Opinion> {
        let roster = self.roster.as_ref().filter(|r| r.is_voter(self.setup.node))?;
        let directors = roster.members.iter().filter(|m| m.role == Role::Director);
        let answers: BTreeMap<String, String> =
            directors.map(|m| (m.name.clone(), self.would_answer(now, key, m.id))).collect();
        Some(Opinion { node: self.setup.name.clone(), answers })
    }

    fn would_answer(&self, now: Instant, key: RouterKey, director: NodeId) -> String {
        if self.memory.retry.is_some() {
            return "no: this voter cannot remember what it grants, and is silent".to_owned();
        }
        let holds = self.voter.holder(now, &key).filter(|h| h.owner == director);
        let epoch = holds.map_or_else(|| self.voter.max_epoch(&key).saturating_add(1), |h| h.epoch);
        let claim = Claim { router: key, epoch, duration_ms: 1 };
        // Later than any request it has seen.
        let seq = u64::MAX - 1;
        match (self.voter.clone().decide(now, director, seq, &claim), holds) {
            (Some(Verdict::Granted { .. }), Some(held)) => {
                let left = held.expiry.since(now).as_millis();
                format!("yes, renewed: it holds the lease under epoch {}, {left} ms left", held.epoch)
            }
            (Some(Verdict::Granted { .. }), None) => "yes: nobody holds the lease".to_owned(),
            (Some(refusal), _) => format!("no: {}", self.reason(&refusal)),
            (None, _) => "nothing: it gave this lease back".to_owned(),
        }
    }

    /// What would become of a router without that node.
    fn if_died(&self, now: Instant, key: RouterKey, who: NodeId) -> String {
        let active = self.active_node(now, key, &self.reports(key));
        let Some(roster) = &self.roster else {
            return "other VRRP routers on the segment, if any, would take over: there is no mesh".to_owned();
        };
        let votes = roster.is_voter(who) && (who == self.setup.node || self.membership.is_connected(who));
        let (left, needed) = (self.reachable_voters() - usize::from(votes), roster.quorum());
        let voters = format!("{left} of {} voters would be left, {needed} are needed", roster.voters().count());
        let without = self.goes_without(key);
        match (active, left >= needed) {
            (Some(active), true) if active == who => self.successor(key, who, &voters),
            (Some(active), false) if active == who && without => match self.heir(key, who) {
                Some((heir, _)) => {
                    let heir = self.node_name(heir);
                    format!("{heir} would take over without a lease, if a probe finds the address free; {voters}")
                }
                None => format!("nobody could take over: no other director that is there can serve it; {voters}"),
            },
            (Some(active), false) if active == who => format!("nobody could take over: {voters}"),
            (Some(active), false) if without => {
                format!("{} would go on, UNPROTECTED: {voters}", self.node_name(active))
            }
            (Some(_), false) => format!("its lease could not be renewed any more: {voters}"),
            (None, _) if self.cannot_tell(now, key).is_some() => {
                format!("that cannot be told while it is not known who serves; {voters}")
            }
            (None, false) => format!("nobody could take it over any more: {voters}"),
            (_, true) => format!("nothing would change for this router: {voters}"),
        }
    }

    fn successor(&self, key: RouterKey, who: NodeId, voters: &str) -> String {
        let Some((heir, priority)) = self.heir(key, who) else {
            return format!("nobody could take over: no other director that is there can serve it; {voters}");
        };
        let lease = self.instances.get(&key).map_or(0, |i| i.lease_time.as_millis());
        let most = if lease > 0 { format!(", at most {lease} ms later") } else { String::new() };
        format!(
            "{} (priority {priority}) would take over: at once where the guard lives, else when the lease ends{most}; \
             {voters}",
            self.node_name(heir)
        )
    }

    /// Who would come after a director that serves, and with which priority.
    fn heir(&self, key: RouterKey, who: NodeId) -> Option<(NodeId, u8)> {
        let own = self.instances.get(&key).filter(|_| !self.drains_here());
        let own = own.map(|i| (self.setup.node, i.shown_priority())).filter(|(_, priority)| *priority > 0);
        let all = self.membership.candidates(&key).chain(own).filter(|(node, _)| *node != who);
        all.max_by_key(|(node, priority)| (*priority, *node))
    }

    /// Whether it is served without a lease where no majority of the voters answers.
    fn goes_without(&self, key: RouterKey) -> bool {
        let mesh = &self.config.mesh.policy;
        let loss = self.instances.get(&key).map_or_else(|| self.quorum_loss(mesh, mesh), |i| self.on_quorum_loss(i));
        loss == QuorumLoss::Vrrp
    }
}
