//! I4, as seen at the voters: what a voter granted to one node it grants to no other before it has
//! run out on its own clock, been given back, or been forgotten in a restart (which it sits out).

use std::collections::BTreeMap;

use mesh_core::Instant;
use mesh_wire::mesh::lease::Verdict;

use super::Invariant;
use crate::cluster::{Cluster, Fact};

/// Grants by voter and router: to whom, and until when on the voter's clock.
#[derive(Debug, Default)]
pub(super) struct GrantsAreKept {
    grants: BTreeMap<(usize, usize), (usize, Instant)>,
}

impl Invariant for GrantsAreKept {
    fn name(&self) -> &'static str {
        "grants_are_kept"
    }

    fn check(&mut self, world: &Cluster, facts: &[Fact]) -> Result<(), String> {
        for fact in facts {
            match fact {
                Fact::Started(voter) => self.grants.retain(|(v, _), _| v != voter),
                Fact::Freed { voter, owner, router } => {
                    self.grants.retain(|key, grant| *key != (*voter, *router) || grant.0 != *owner);
                }
                Fact::Vote { voter, owner, router, verdict: Verdict::Granted { .. }, duration } => {
                    let now = world.hosts[*voter].now(world.now);
                    let until = now + *duration;
                    let grant = self.grants.entry((*voter, *router)).or_insert((*owner, until));
                    if grant.0 != *owner && grant.1 > now {
                        let voter = &world.hosts[*voter].name;
                        let hosts = super::names(world, &[grant.0, *owner]);
                        return Err(format!("{voter} granted VI_{} to {hosts} at once", router + 1));
                    }
                    let kept = if grant.0 == *owner { grant.1.max(until) } else { until };
                    *grant = (*owner, kept);
                }
                _ => {}
            }
        }
        Ok(())
    }
}
