//! Who is there, as seen from here, and what everybody says about itself.
//!
//! Information only: liveness never changes who votes.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use mesh_wire::mesh::gossip::{
    NODE_KEY, NodeReport, ROUTER_PREFIX, RouterReport, RouterState, VIPS_PREFIX, VipsReport,
};
use mesh_wire::mesh::{NodeId, RouterKey};

use crate::lease::pace::ReplyTimes;
use crate::time::Instant;

/// What is known about the other members.
#[derive(Clone, Debug, Default)]
pub struct Membership {
    peers: BTreeMap<NodeId, Peer>,
    /// Who says anything about a router: few of many members have one in their configuration.
    speakers: BTreeMap<RouterKey, BTreeSet<NodeId>>,
}

/// One other member.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// A connection stands.
    pub connected: bool,
    /// It said goodbye, and has not come back.
    pub left: bool,
    /// Gossip hears it, perhaps through others.
    pub heard: bool,
    /// Round trip.
    pub rtt: Duration,
    /// How long it takes to answer as a voter.
    pub replies: ReplyTimes,
    /// What it says about itself.
    pub report: Option<NodeReport>,
    /// What it says about its virtual routers. A map makes room for eleven at once, and most of many members have few.
    pub routers: BTreeMap<RouterKey, Box<RouterReport>>,
    /// Addresses that these have no room for, by the key they came under.
    vips: BTreeMap<String, VipsReport>,
    /// Its clock at its last reply, and when we had sent the request it answered.
    pub clock: Option<(u64, Instant)>,
}

impl Peer {
    /// Whether some of its virtual routers are still to be heard of.
    pub fn has_more_to_say(&self) -> bool {
        self.report.as_ref().is_some_and(|report| self.routers.len() < report.routers as usize)
    }

    /// A report with all addresses that were heard of.
    pub fn whole<'r>(&self, report: &'r RouterReport) -> Cow<'r, RouterReport> {
        if report.vips_parts == 0 {
            return Cow::Borrowed(report);
        }
        let mut whole = report.clone();
        let is_part = |part: &&VipsReport| part.router == report.key && part.part < report.vips_parts;
        let mut parts: Vec<&VipsReport> = self.vips.values().filter(is_part).collect();
        parts.sort_by_key(|part| part.part);
        whole.vips.extend(parts.into_iter().flat_map(|part| part.vips.iter().cloned()));
        Cow::Owned(whole)
    }
}

impl Membership {
    /// A member, as far as known.
    pub fn peer(&self, node: NodeId) -> Option<&Peer> {
        self.peers.get(&node)
    }

    /// The same, to change.
    pub fn peer_mut(&mut self, node: NodeId) -> &mut Peer {
        self.peers.entry(node).or_default()
    }

    /// All members heard of.
    pub fn peers(&self) -> impl Iterator<Item = (NodeId, &Peer)> {
        self.peers.iter().map(|(id, peer)| (*id, peer))
    }

    /// Measures all clocks anew: one pause of this host shows against every peer's.
    pub fn forget_clocks(&mut self) {
        self.peers.values_mut().for_each(|p| p.clock = None);
    }

    /// Forgets whoever is not in the roster any more.
    pub fn retain(&mut self, keep: impl Fn(NodeId) -> bool) {
        self.peers.retain(|id, _| keep(*id));
        self.speakers.retain(|_, nodes| {
            nodes.retain(|id| keep(*id));
            !nodes.is_empty()
        });
    }

    /// Whether a connection to it stands.
    pub fn is_connected(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_some_and(|p| p.connected)
    }

    /// A gossiped value changed. A value this version does not understand is treated as absent. Gives the router that
    /// the node says it serves now, if that is what the value says.
    pub fn gossip(&mut self, node: NodeId, key: &str, value: Option<&str>) -> Option<RouterKey> {
        let peer = self.peers.entry(node).or_default();
        if key == NODE_KEY {
            peer.report = value.and_then(|v| serde_json::from_str(v).ok());
        } else if key.starts_with(VIPS_PREFIX) {
            match value.and_then(|v| serde_json::from_str(v).ok()) {
                Some(part) => drop(peer.vips.insert(key.to_owned(), part)),
                None => drop(peer.vips.remove(key)),
            }
        } else if key.starts_with(ROUTER_PREFIX) {
            let report = value.and_then(|v| serde_json::from_str::<RouterReport>(v).ok());
            // Mostly it takes the place of what was said before.
            if report.as_ref().is_none_or(|r| router_key(&r.key) != key) {
                for router in peer.routers.extract_if(.., |router, _| router_key(router) == key) {
                    silence(&mut self.speakers, router.0, node);
                }
            }
            let report = report?;
            let (router, serves) = (report.key, report.state == RouterState::Active);
            self.speakers.entry(router).or_default().insert(node);
            peer.routers.insert(router, Box::new(report));
            return serves.then_some(router);
        }
        None
    }

    /// What members say about a router, in their order.
    pub fn reports(&self, router: &RouterKey) -> impl Iterator<Item = (NodeId, &Peer, &RouterReport)> + '_ {
        let router = *router;
        let speakers = self.speakers.get(&router).into_iter().flatten();
        speakers.filter_map(move |id| {
            let peer = self.peers.get(id)?;
            Some((*id, peer, peer.routers.get(&router)?.as_ref()))
        })
    }

    /// All routers that members say anything about.
    pub fn routers(&self) -> impl Iterator<Item = RouterKey> + '_ {
        self.speakers.keys().copied()
    }

    /// Whether adverts from this address come from a member of the mesh.
    pub fn sends_adverts(&self, router: &RouterKey, source: IpAddr) -> bool {
        self.reports(router).any(|(_, _, r)| r.source == Some(source))
    }

    /// Effective priorities of the connected members for one router; those in fault, draining or
    /// gone are left out.
    pub fn candidates(&self, router: &RouterKey) -> impl Iterator<Item = (NodeId, u8)> + '_ {
        let stays = |p: &Peer| p.connected && !p.report.as_ref().is_some_and(|r| r.draining);
        let able = self.reports(router).filter(move |(_, p, r)| stays(p) && r.priority > 0);
        able.map(|(id, _, r)| (id, r.priority))
    }

    /// What a member says about one router.
    pub fn router(&self, node: NodeId, router: &RouterKey) -> Option<&RouterReport> {
        self.peers.get(&node)?.routers.get(router).map(Box::as_ref)
    }

    /// A connected member that says it serves a router without a lease, and that router's name.
    pub fn serves_without_lease(&self) -> Option<(NodeId, &str)> {
        let unleased = |r: &&RouterReport| r.state == RouterState::Active && r.epoch == 0;
        let mut connected = self.peers.iter().filter(|(_, p)| p.connected);
        connected.find_map(|(id, p)| p.routers.values().map(Box::as_ref).find(unleased).map(|r| (*id, r.name.as_str())))
    }

    /// The highest epoch anybody says it held.
    pub fn max_epoch(&self, router: &RouterKey) -> u64 {
        self.reports(router).map(|(_, _, r)| r.epoch).max().unwrap_or(0)
    }
}

fn silence(speakers: &mut BTreeMap<RouterKey, BTreeSet<NodeId>>, router: RouterKey, node: NodeId) {
    if let Some(nodes) = speakers.get_mut(&router) {
        nodes.remove(&node);
        if nodes.is_empty() {
            speakers.remove(&router);
        }
    }
}

/// The gossip key of a router's report.
pub fn router_key(router: &RouterKey) -> String {
    format!("{ROUTER_PREFIX}{router}")
}

#[cfg(test)]
mod tests;
