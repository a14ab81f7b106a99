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
mod story;
mod takeover;
mod upkeep;
pub(crate) mod vmacs;
mod voting;
mod will;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mesh_config::model::{Config, TrackFile, TrackProcess, VirtualRouter};
use mesh_wire::mesh::gossip::{NODE_KEY, NodeReport, RouterReport};
use mesh_wire::mesh::lease::Claim;
use mesh_wire::mesh::roster::{FIRST_VOTERS, Role, Roster};
use mesh_wire::mesh::{NodeId, RouterKey};
use rand::SeedableRng;
use rand::rngs::StdRng;

use self::adopt::Adopted;
use crate::action::Action;
use crate::counters::Counters;
use crate::damping::Damper;
use crate::decision::{Decision, RouterEvent};
use crate::input::{Input, Interface};
use crate::instance::{Instance, Transition};
use crate::instances::Instances;
use crate::lease::lease_time;
use crate::lease::memory::VoterStart;
use crate::lease::voter::Voter;
use crate::membership::{Membership, router_key};
use crate::notify::Herald;
use crate::roster::Acceptor;
use crate::roster::change::some;
use crate::roster::replica::Event;
use crate::time::Instant;
use crate::tracking::{self, Tracking};

use self::reconfigure::{Gain, can_go_on};
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
    /// More than [`MANY_ADDRESSES`] are configured.
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

/// With more than these, lifetimes of addresses are longer: renewing a thousand every second costs two
/// hundredths of a processor.
const MANY_ADDRESSES: usize = 200;

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

    /// Takes in one fact. The returned effects are to be brought about in order.
    ///
    /// Leases that ran out are retired before `input` is even looked at: after a stall nothing is
    /// decided on what was true before it.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Action> {
        self.step_all(now, [input])
    }

    /// The same for facts that came together: what follows from them is looked at once. A hundred
    /// advertisements cost little more than one.
    pub fn step_all(&mut self, now: Instant, inputs: impl IntoIterator<Item = Input>) -> Vec<Action> {
        let mut stop = false;
        self.now = now;
        let late = self.work_due().is_some_and(|(due, _)| now > due + STALL);
        let mut inputs = inputs.into_iter().peekable();
        self.expire(now);
        if late && inputs.peek() != Some(&Input::Listened) {
            self.wake_up(now);
        }
        for input in inputs {
            stop |= input == Input::Shutdown;
            if !due::is_narrow(&input) {
                self.instances.touch_all();
            }
            self.handle(now, input);
        }
        // Renewals go out before the advertisements of the same tick (rule D4), claims after.
        self.ask_voters(now);
        self.run_timers(now);
        self.run_moves(now);
        self.ask_voters(now);
        self.flush_rearm();
        self.flush_ends();
        self.keep_holds();
        self.finish_keeping(now);
        let changed = self.index_changed();
        self.publish(&changed);
        self.tell_surroundings(now);
        self.tell_standing(now);
        self.remember();
        self.keep_will(&changed);
        self.tell_others();
        debug_assert!(self.instances.changed().is_empty(), "what follows the index changes no router");
        debug_assert!(self.index_is_true(), "a router waits for something that the index does not know");
        if stop {
            self.out.push(Action::Stopped);
        }
        std::mem::take(&mut self.out)
    }

    fn handle(&mut self, now: Instant, input: Input) {
        self.council.note(&input);
        match input {
            Input::Timeout | Input::Listened => {}
            Input::Interface(interface) => self.see_interface(now, interface),
            Input::InterfaceGone { name } => {
                self.delays.forget(&name);
                self.interfaces.remove(&name);
                self.vmac_gone(&name);
                self.evaluate_all(now);
            }
            Input::Advertisement(datagram) => self.receive_advertisement(now, &datagram),
            Input::SealedAdvertisement { datagram, identification } => {
                self.receive_sealed(now, datagram, identification);
            }
            Input::WallClock(unix_at_zero) => self.setup.unix_at_zero = unix_at_zero,
            Input::AddressGone { interface, address } => self.address_gone(now, &interface, address),
            Input::FenceGone => self.fence_gone(now),
            Input::FenceGaps(gaps) => self.fence_lacks(now, gaps),
            Input::Message { from, message } => self.receive_message(now, from, message),
            Input::PeerUp { node, rtt } => {
                if !self.membership.is_connected(node) {
                    self.note_surroundings(now);
                }
                self.peer_up(now, node, rtt);
                self.greet_voter(now, node);
                self.look_at_configuration(now, node);
                if self.voters().contains(&node) {
                    self.claim_again(now);
                }
            }
            Input::Reconnected { node } => self.acquaint(now, node),
            Input::PeerDown { node, left } => {
                self.peer_down(node, left);
                self.note_others(now);
                self.forget_introduction(node);
                self.lost_wishes(now, node);
                self.forget_segment_of(node);
                self.note_surroundings(now);
            }
            Input::Gossip { node, key, value } => {
                if let Some(served) = self.membership.gossip(node, &key, value.as_deref()) {
                    self.note_served(now, served);
                }
                self.note_others(now);
                self.note_successor(now, node);
                self.hear_mark(now, &key, value.as_deref());
                self.note_place_of(node, &key);
                self.recognise_members();
                self.segment_gossip(now, node, &key);
                self.note_surroundings(now);
                if key == NODE_KEY {
                    self.look_at_configuration(now, node);
                }
            }
            Input::Heard { node, alive } => self.membership.peer_mut(node).heard = alive,
            Input::Probed { probe, answer } => self.probed(now, probe, answer),
            Input::Stalled => self.stood_still(now),
            Input::Script { name, outcome } => {
                if let Some((up, cause)) = self.tracking.result(&name, outcome) {
                    self.record(Decision::Script { name, up, cause });
                    self.evaluate_all(now);
                }
            }
            Input::Tracked { kind, name, value } => {
                if let Some(cause) = self.tracking.observe(kind, &name, value) {
                    self.record(Decision::Tracked { kind, name, cause });
                    self.evaluate_all(now);
                }
            }
            Input::Unfit(unfit) => self.set_unfit(now, unfit),
            Input::Order { ticket, wish } => self.wish(now, ticket, wish),
            Input::Settings { node, answer } => self.settings_told(node, answer.map(|told| *told)),
            Input::Roster(roster) => self.consult(now, Event::Committed(roster)),
            Input::ChangeRoster { ticket, change } => self.change_roster(now, ticket, change),
            Input::RosterStored { ticket } => self.consult(now, Event::Stored { ticket }),
            Input::Failed { effect, error } => self.effect_failed(now, effect, error),
            Input::Configure(config) => self.configure(now, *config),
            Input::ClearCounters => self.clear_counters(),
            Input::Shutdown => self.shut_down(now),
            Input::Keep => self.keep(now),
        }
    }

    /// Takes over a configuration: routers that did not change are not touched, those that did go on.
    fn configure(&mut self, now: Instant, config: Config) {
        let gains = self.set_config(now, config);
        self.install_fence();
        self.evaluate_all(now);
        gains.into_iter().for_each(|gain| self.gain(now, gain));
    }

    /// The same, but for what routers that serve have yet to get.
    fn set_config(&mut self, now: Instant, mut config: Config) -> Vec<Gain> {
        if !config.routers.is_empty() && self.role() != Role::Director {
            let text = "this node is no director: it serves none of the virtual routers in its configuration";
            self.record(Decision::Warning { text: text.to_owned() });
            config.routers.clear();
            config.track_scripts.clear();
            config.sync_groups.clear();
        }
        self.configured += 1;
        self.configure_notices(&config);
        let lease = config.mesh.lease;
        let lasts = |router: &VirtualRouter| lease_time(lease, router.advert_interval);
        let after: BTreeMap<RouterKey, &VirtualRouter> = config.routers.iter().map(|r| (r.key, r)).collect();
        let keep = |i: &Instance| {
            let goes_on = |after: &&VirtualRouter| can_go_on(&i.config, i.lease_time, after, lasts(after));
            after.get(&i.config.key).is_some_and(goes_on)
        };
        let gone: Vec<RouterKey> = self.instances.iter().filter(|(_, i)| !keep(i)).map(|(key, _)| *key).collect();
        let mut epochs = BTreeMap::new();
        for key in gone {
            self.retire(now, key, "configuration changed", true, None);
            let removed = self.instances.remove(&key);
            self.holds.forget(removed.as_ref());
            epochs.extend(removed.map(|i| (key, (i.epoch_seen, i.counters))));
            self.reported.remove(&key);
            self.withdraw(router_key(&key));
            self.publish_addresses(key, Vec::new());
        }
        self.groups.configure(&config);
        self.tracking.configure(&config);
        let orphaned: BTreeMap<RouterKey, u64> =
            config.routers.iter().map(|r| (r.key, self.orphaned_epoch(r.key))).collect();
        let mut gains = Vec::new();
        for router in &config.routers {
            if self.instances.contains_key(&router.key) {
                gains.extend(self.reconfigure(now, router));
                continue;
            }
            self.instances.insert(Instance {
                // No epoch twice: voters take the second one for what was released before.
                epoch_seen: epochs.get(&router.key).map_or(orphaned[&router.key], |(epoch, _)| *epoch),
                counters: epochs.get(&router.key).map_or_else(Counters::default, |(_, counted)| *counted),
                ..Instance::new(router.clone(), lease, now)
            });
        }
        self.block_removed();
        self.configure_vmacs(&config);
        self.configure_statics(now, &config);
        self.out.push(Action::RunScripts(config.track_scripts.clone()));
        let tracked = tracking::watched(&config);
        if self.watched != tracked {
            self.watched = tracked;
            let (files, processes) = self.watched.clone();
            self.out.push(Action::WatchTracked { files, processes });
        }
        self.digest = self.describe_own(now, &config);
        self.many_addresses = config.routers.iter().map(|r| r.served().count()).sum::<usize>() > MANY_ADDRESSES;
        self.pacer.configure(&config.vrrp);
        self.config = config;
        self.forget_stories();
        self.places.spread_here = self.config.routers.iter().any(|r| self.config.spreads(r));
        self.reported.clear();
        self.instances.touch_all();
        self.note_surroundings(now);
        self.look_at_configurations(now);
        gains
    }

    fn run_timers(&mut self, now: Instant) {
        self.retry_fence(now);
        self.retry_memory(now);
        self.retry_vmacs(now);
        self.look_at_statics(now);
        self.expire_grants(now);
        self.look_at_others(now);
        self.instances.open_due(now);
        let mut last = None;
        while let Some(key) = self.instances.look_after(last) {
            self.run_router_timers(now, key);
            last = Some(key);
        }
        self.run_delays(now);
        self.run_groups(now);
        self.run_council(now);
        self.look_again(now);
        self.ask_configurations(now);
        self.release_announcements(now);
    }

    fn run_router_timers(&mut self, now: Instant, key: RouterKey) {
        let Some(instance) = self.instances.get_mut(&key) else { return };
        if instance.blocked.as_ref().is_some_and(|(until, _)| *until <= now) {
            instance.blocked = None;
            self.evaluate(now, key);
        }
        self.end_hold(now, key);
        let Some(instance) = self.instances.get_mut(&key) else { return };
        if instance.claim_at.is_some_and(|t| t <= now) {
            instance.claim_at = None;
            self.claim_vacant(now, key);
        }
        let Some(instance) = self.instances.get_mut(&key) else { return };
        if instance.silence.decide_at.is_some_and(|t| t <= now) {
            instance.silence.decide_at = None;
            self.go_on_without_lease(now, key);
        }
        let Some(instance) = self.instances.get_mut(&key) else { return };
        instance.foreign = instance.foreign.filter(|f| f.until > now);
        let verdict = instance.vrrp.timeout(now);
        self.follow(now, key, verdict);
        self.settle(now, key);
        self.announce_again(now, key);
        self.announce_extra(now, key);
        self.refresh_addresses(now, key);
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
        instance.transition = Transition { at: now, cause: cause.clone(), trace_id: trace_id.clone() };
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
        let fnv =
            |offset: u64| text.bytes().fold(offset, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
        format!("{:016x}{:016x}", fnv(0xcbf2_9ce4_8422_2325), fnv(0x8422_2325_cbf2_9ce4))
    }

    fn unix_ms(&self, at: Instant) -> u64 {
        u64::try_from((self.setup.unix_at_zero + Duration::from_nanos(at.as_nanos())).as_millis()).unwrap_or(u64::MAX)
    }
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("reports are plain structs with string keys")
}
