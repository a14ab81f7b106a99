//! A witness has no routers to compare with those of directors: it compares directors with each other, by what
//! they tell it of their settings, see [`super::drift`]. Of keys it learns nothing.

use std::collections::BTreeMap;

use mesh_config::settings::Secrets;
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::roster::Role;

use super::Engine;
use super::drift::SETTLE;
use crate::drift::{Compared, compare};
use crate::time::Instant;

impl Engine {
    /// Whether this node compares others with each other.
    pub(super) fn looks_on(&self) -> bool {
        self.role() == Role::Witness
    }

    /// Looks at what directors say of their configurations: where digests differ, those that are not the measure
    /// are asked, and the measure is. Of who is away for a while all is kept, so that it is not told again.
    pub(super) fn look_on(&mut self, now: Instant) {
        let digests = self.digests();
        let measure = measure(&digests);
        let agree = digests.values().all(|digest| Some(digest) == measure.and_then(|m| digests.get(&m)));
        for (node, digest) in &digests {
            let wanted = !agree && (Some(*node) == measure || Some(digest) != measure.and_then(|m| digests.get(&m)));
            let of = (digest.clone(), 0);
            if !wanted && !self.others.nodes.contains_key(node) {
                continue;
            }
            let other = self.others.nodes.entry(*node).or_default();
            if other.of.as_ref() != Some(&of) {
                (other.of, other.description, other.silent, other.ask_at) = (Some(of), None, None, None);
                // An answer that is under way is about what was before.
                other.asked = false;
            }
            if !wanted {
                (other.ask_at, other.silent) = (None, None);
            } else if other.description.is_none() {
                other.ask_at.get_or_insert(now + SETTLE);
            }
        }
        self.others.find_turns();
        self.compare_others();
    }

    /// Compares what was told with the measure. What differed goes on to differ while it is not known how.
    pub(super) fn compare_others(&mut self) {
        let digests = self.digests();
        let Some(measure) = measure(&digests) else { return };
        let than = self.name_of(measure);
        for (node, digest) in &digests {
            let node = *node;
            if !self.others.nodes.contains_key(&node) {
                continue;
            }
            let name = self.name_of(node);
            let described = |node| self.others.nodes.get(&node).and_then(|other| other.description.as_ref());
            let differs = Some(digest) != digests.get(&measure);
            let compared = match (described(measure), described(node)) {
                _ if !differs => Compared::default(),
                (Some(own), Some(there)) => compare(&name, (&own.settings, &Secrets::default()), there).than(&than),
                _ => continue,
            };
            let other = self.others.nodes.get_mut(&node).expect("it is among them");
            // Routers are for adverts, and this node has none.
            other.compared = Compared { routers: BTreeMap::new(), ..compared };
            self.tell_drift(node);
        }
    }

    /// Of the directors that are connected.
    fn digests(&self) -> BTreeMap<NodeId, String> {
        let directors = self.roster.iter().flat_map(|r| &r.members).filter(|m| m.role == Role::Director);
        let digest = |id| {
            let peer = self.membership.peer(id).filter(|peer| peer.connected)?;
            Some((id, peer.report.as_ref()?.config_digest.clone()))
        };
        directors.filter_map(|member| digest(member.id)).collect()
    }
}

/// The director that others are compared with: of those with the most common digest, the first.
fn measure(digests: &BTreeMap<NodeId, String>) -> Option<NodeId> {
    let alike = |digest: &String| digests.values().filter(|other| *other == digest).count();
    digests.iter().max_by_key(|(node, digest)| (alike(digest), std::cmp::Reverse(**node))).map(|(node, _)| *node)
}
