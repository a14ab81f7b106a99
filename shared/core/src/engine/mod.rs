//! One node's engine: every fact goes in by [`Engine::step`], every effect comes out of it.

mod addresses;
pub mod adopt;
mod announce;
mod cold;
mod damping;
mod delays;
mod drift;
mod due;
pub mod dump;
mod evaluate;
pub mod explain;
mod fence;
mod groups;
pub(crate) mod lacks;
mod leases;
mod links;
mod lists;
mod moves;
mod notify;
mod observe;
mod onlooker;
pub(crate) mod parting;
mod placement;
mod publish;
mod reconfigure;
mod register;
mod repairs;
mod roster;
mod routing;
mod segment;
mod serves;
mod services;
mod sight;
mod silence;
mod standing;
mod status;
mod step;
mod story;
mod takeover;
mod trust;
mod upkeep;
pub(crate) mod vmacs;
mod voting;
mod will;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mesh_config::model::{Config, TrackFile, TrackProcess};
use mesh_wire::fnv;
use mesh_wire::mesh::gossip::{NodeReport, RouterReport};
use mesh_wire::mesh::lease::Claim;
use mesh_wire::mesh::roster::{FIRST_VOTERS, Role, Roster};
use mesh_wire::mesh::{Family, NodeId, RouterKey};
use rand::SeedableRng;
use rand::rngs::StdRng;

use self::adopt::Adopted;
use crate::action::Action;
use crate::damping::Damper;
use crate::decision::{Decision, RouterEvent};
use crate::input::Interface;
use crate::instance::{Instance, Transition};
use crate::instances::Instances;
use crate::lease::memory::VoterStart;
use crate::lease::voter::Voter;
use crate::membership::Membership;
use crate::notify::Herald;
use crate::roster::Acceptor;
use crate::roster::change::some;
use crate::time::Instant;
use crate::tracking::Tracking;

use self::roster::Council;

/// What a node is, besides its configuration.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its identity; any value without a mesh.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// The committed roster on disk; `None` without a mesh.
    pub roster: Option<Roster>,
    /// What was promised about its successor, from the same file.
    pub successor: Acceptor,
    /// Version of the program.
    pub version: String,
    /// For jitter.
    pub seed: u64,
    /// The wall clock's reading at the zero of the boot-time clock.
    pub unix_at_zero: Duration,
    /// What it remembers as a voter.
    pub voter: VoterStart,
    /// What the run before left behind, to be used once.
    pub adopted: Vec<Adopted>,
    /// What the runs before remembered of what fell, see [`Action::KeepHolds`].
    pub holds: Vec<(RouterKey, Damper)>,
}

/// All state of one node.
#[derive(Debug)]
pub struct Engine {
    setup: Setup,
    config: Config,
    /// Digest of `config`.
    digest: String,
    /// The committed roster: the replica's, for everything that counts by it.
    roster: Option<register::Register>,
    council: Council,
    voter: Voter,
    instances: Instances,
    groups: groups::Groups,
    delays: delays::Waiting,
    interfaces: BTreeMap<String, Interface>,
    /// Interfaces where adverts of a family cannot be heard, and why.
    deaf: BTreeMap<(String, Family), String>,
    membership: Membership,
    tracking: Tracking,
    /// Files and processes that are watched.
    watched: (Vec<TrackFile>, Vec<TrackProcess>),
    /// Grows with every lease request. Begins with the clock, so that a late reply to an earlier
    /// run of this daemon answers no request of this one.
    seq: u64,
    /// Requests that may still be answered.
    sent: VecDeque<Sent>,
    /// Leases that ended in this step.
    ends: voting::Ends,
    memory: voting::Memory,
    /// That leases are too short for the voters' distance was told.
    strain_told: bool,
    fence: fence::Fence,
    drops: BTreeMap<String, DropCount>,
    repairs: repairs::Repairs,
    holds: damping::Holds,
    /// Announcements that wait for their turn.
    pacer: announce::Pacer,
    /// When this step began.
    now: Instant,
    published: BTreeMap<String, String>,
    /// Which configuration servers were told of, and whether there were any.
    serves_told: (u64, bool),
    /// What was published of this node last.
    reported_self: Option<NodeReport>,
    /// Of our routers, what was published last.
    reported: BTreeMap<RouterKey, RouterReport>,
    vmacs: vmacs::Vmacs,
    statics: routing::Statics,
    /// So many addresses are configured that each lives longer.
    many_addresses: bool,
    /// The mesh has had three voters for less than that: owners may still be without a lease.
    grace_until: Option<Instant>,
    /// Probes so far.
    probes: u64,
    /// Adverts of routers outside the mesh that did not end a lease of ours.
    foreign_ignored: u64,
    stopping: bool,
    /// Leaving everything to the next run.
    keeping: Option<adopt::Keeping>,
    /// Leases of the run before that are not gone on with: voters are told when they connect.
    orphans: Vec<Adopted>,
    /// What the will written last was made of.
    will: Option<will::Basis>,
    /// What the services were told and have said.
    neighbour: services::Neighbour,
    /// What happened, for traces.
    chronicle: story::Chronicle,
    /// Who should serve what.
    places: placement::Places,
    cold: cold::Cold,
    /// Planned moves.
    moves: moves::Moves,
    segments: segment::Segments,
    /// What others were told of the routers.
    herald: Herald,
    /// What was told of the mesh as a whole.
    standing: standing::Standing,
    /// How others are configured.
    others: drift::Others,
    /// Counts configurations.
    configured: u64,
    rng: StdRng,
    out: Vec<Action>,
}

#[derive(Debug)]
struct Sent {
    seq: u64,
    at: Instant,
    claims: Vec<Claim>,
    /// Voters whose answer was here.
    answered: BTreeSet<NodeId>,
}

#[derive(Debug, Default)]
struct DropCount {
    total: u64,
    untold: u64,
    told_at: Option<Instant>,
}

/// A timer this late means that the daemon was stopped, or the host paused, unless it knows better
/// ([`Input::Listened`]).
pub const STALL: Duration = Duration::from_millis(500);

/// Which timer [`Engine::deadline`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerKind {
    /// A lease of ours ends.
    LeaseEnd,
    /// Voters are to be asked.
    LeaseRequest,
    /// A grant we gave ends.
    GrantEnd,
    /// A VRRP timer.
    Vrrp,
    /// A claim after a vacancy, or after a failed effect.
    Claim,
    /// Announcements of addresses.
    Announce,
    /// Lifetimes of addresses.
    Refresh,
    /// Another try at the fence.
    Fence,
    /// Another try at the voter's memory.
    Memory,
    /// Voters have had time enough for the last renewal of this run.
    Keep,
    /// A change of the roster.
    Roster,
    /// News for the services.
    Services,
    /// A planned move, or the order of directors.
    Moves,
    /// A start, or a change of a link, or what fell too often, has been waited for.
    Delay,
    /// A look at who is heard on a segment.
    Segment,
    /// A director is to be asked how it is configured.
    Drift,
    /// A look at how the mesh stands as a whole.
    Standing,
}

impl Engine {
    /// A node that has just started and remembers nothing but its roster, and what it granted as a
    /// voter. The first call of [`Engine::step`] returns what has to be done before anything else:
    /// whatever an earlier run left in the kernel is closed and removed, but for what is adopted
    /// from it.
    pub fn new(mut setup: Setup, config: Config, now: Instant) -> Self {
        let left = std::mem::take(&mut setup.adopted);
        let voter = Voter::start(now, std::mem::take(&mut setup.voter));
        // Beyond everything an earlier run of this node sent: an answer to that is none to us.
        let clock = u64::try_from((setup.unix_at_zero + now.since(Instant::default())).as_nanos()).unwrap_or(0);
        let seq = clock.max(voter.latest_seq(setup.node).unwrap_or(0));
        let mut engine = Engine {
            council: Council::new(&setup, now, voter.latest_expiry(now)),
            roster: setup.roster.take().map(|roster| register::Register::new(Arc::new(roster))),
            voter,
            instances: Instances::default(),
            groups: groups::Groups::default(),
            delays: delays::Waiting::new(now, &config.delays),
            interfaces: BTreeMap::new(),
            deaf: BTreeMap::new(),
            membership: Membership::default(),
            tracking: Tracking::default(),
            watched: <(Vec<TrackFile>, Vec<TrackProcess>)>::default(),
            seq,
            sent: VecDeque::new(),
            ends: voting::Ends::default(),
            memory: voting::Memory::default(),
            strain_told: false,
            fence: fence::Fence::default(),
            drops: BTreeMap::new(),
            repairs: repairs::Repairs::default(),
            holds: damping::Holds::default(),
            pacer: announce::Pacer::default(),
            now,
            published: BTreeMap::new(),
            serves_told: (0, false),
            reported_self: None,
            reported: BTreeMap::new(),
            vmacs: vmacs::Vmacs::default(),
            statics: routing::Statics::default(),
            many_addresses: false,
            grace_until: None,
            probes: 0,
            foreign_ignored: 0,
            stopping: false,
            keeping: None,
            orphans: Vec::new(),
            will: None,
            neighbour: services::Neighbour::default(),
            chronicle: story::Chronicle::default(),
            places: placement::Places::default(),
            moves: moves::Moves::default(),
            segments: segment::Segments::default(),
            herald: Herald::default(),
            standing: standing::Standing::default(),
            cold: cold::Cold::default(),
            others: drift::Others::default(),
            configured: 0,
            rng: StdRng::seed_from_u64(setup.seed),
            out: Vec::new(),
            config: Config::default(),
            digest: String::new(),
            setup,
        };
        let adopted = engine.take_over_kernel(now, left, &config);
        let kept = adopted.iter().map(|a| a.router).collect();
        engine.voter.release_own(engine.setup.node, &kept);
        engine.begin_standing(now);
        engine.set_config(now, config);
        engine.resume_holds(now);
        adopted.into_iter().for_each(|a| engine.adopt(now, a));
        engine.install_fence();
        engine.evaluate_all(now);
        engine.index_changed();
        // The first step tells of all of them.
        engine.instances.touch_all();
        engine
    }

    /// The routers' keys, so that each can be worked on with the whole engine at hand.
    fn keys(&self) -> Vec<RouterKey> {
        self.instances.keys().copied().collect()
    }

    /// Whether ownership takes a lease: in a mesh.
    fn leased(&self) -> bool {
        self.roster.is_some()
    }

    /// What this node does; without a mesh everything there is.
    fn role(&self) -> Role {
        self.roster.as_ref().and_then(|r| r.member(self.setup.node)).map_or(Role::Director, |m| m.role)
    }

    /// Why at most one owner is not enforced, in a mesh that could.
    fn unprotected_because(&self) -> Option<String> {
        if self.removed_because().is_some() {
            // It serves nothing: there is nothing to protect.
            return None;
        }
        let voters = self.roster.as_ref()?.voter_ids().len();
        let without: Vec<&str> = self.served_without_lease().map(|i| i.config.name.as_str()).collect();
        if !without.is_empty() {
            return Some(format!("{} served without a lease: no majority of the voters answers", some(&without)));
        }
        if let Some((node, name)) = self.membership.serves_without_lease() {
            return Some(format!("{} serves {name} without a lease", self.name_of(node)));
        }
        if voters < FIRST_VOTERS {
            let loss = "until then VRRP decides alone whenever no majority answers";
            return Some(format!("{voters} of {FIRST_VOTERS} voters have joined; {loss}"));
        }
        self.fence.wanting()
    }

    /// Routers this node serves without a lease, in a mesh.
    fn served_without_lease(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values().filter(|i| i.silence.unprotected_since.is_some())
    }

    /// The voters' identities.
    fn voters(&self) -> Vec<NodeId> {
        self.roster.as_ref().map_or_else(Vec::new, |r| r.voter_ids().to_vec())
    }

    /// A member's name, or its identity where the roster has none.
    fn name_of(&self, node: NodeId) -> String {
        self.roster.as_ref().and_then(|r| r.name_of(node)).map_or_else(|| node.to_string(), str::to_owned)
    }

    fn record(&mut self, decision: Decision) {
        self.out.push(Action::Record(decision));
    }

    /// Records a router's change of state.
    fn record_router(&mut self, now: Instant, key: RouterKey, event: RouterEvent, epoch: u64, cause: String) {
        let trace_id = self.trace_id(now, key, epoch);
        let Some(instance) = self.instances.get_mut(&key) else { return };
        // Who is protected again has served all the time, and for the reason it began for.
        if !matches!(event, RouterEvent::Protected { .. }) {
            instance.transition = Transition { at: now, cause: cause.clone(), trace_id: trace_id.clone() };
        }
        let name = instance.config.name.clone();
        self.groups.note(key, &name, &cause);
        self.note_surroundings(now);
        self.note_state(key, &event);
        self.record(Decision::Router { name, key, event, cause, trace_id });
    }

    /// The id of a takeover's trace: every node computes the same from cluster, router and epoch.
    fn trace_id(&self, now: Instant, key: RouterKey, epoch: u64) -> String {
        let cluster = self.roster.as_ref().map_or("", |r| r.cluster.as_str());
        let own = if epoch == 0 { format!("{}{now:?}", self.setup.node) } else { String::new() };
        let text = format!("{cluster}/{key}/{epoch}/{own}");
        let bytes = text.as_bytes();
        format!("{:016x}{:016x}", fnv::hash(bytes), fnv::more(0x8422_2325_cbf2_9ce4, bytes))
    }

    fn unix_ms(&self, at: Instant) -> u64 {
        u64::try_from((self.setup.unix_at_zero + Duration::from_nanos(at.as_nanos())).as_millis()).unwrap_or(u64::MAX)
    }
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("reports are plain structs with string keys")
}
