//! Makes spans of what the engine decides, see [`crate::story`]. Looks on only: nothing is decided
//! here, and what is remembered for it is bounded by routers and voters.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_wire::mesh::gossip::RouterState;
use mesh_wire::mesh::lease::{Claim, Vacant, Verdict};
use mesh_wire::mesh::{NodeId, RouterKey};

use super::Engine;
use crate::instance::{Instance, Veto};
use crate::lease::ballot::{Ballot, Lease};
use crate::lease::voter::{Holder, MAX_ROUTERS};
use crate::story::{Span, Story, Told, Value, names, request_id, root_id, span_id};
use crate::time::Instant;

/// A lease that was kept free for this node is claimed within that time, or it is no planned move.
const PLANNED: Duration = Duration::from_secs(1);

/// What the engine remembers of what happened.
#[derive(Debug, Default)]
pub(super) struct Chronicle {
    story: Story,
    pub(super) routers: BTreeMap<RouterKey, Notes>,
    /// How often a voter refused claims of this node, by its verdict.
    vetoes: BTreeMap<(NodeId, &'static str), u64>,
    /// How often this node began to serve, by cause.
    failovers: BTreeMap<&'static str, u64>,
}

/// About one router.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The last sign of whoever serves elsewhere.
    sign: Option<Instant>,
    /// Who that is, as far as known.
    owner: Option<NodeId>,
    /// When the owner kept the lease free for this node.
    reserved_at: Option<Instant>,
    /// Whether the lease that ended last was released.
    released: bool,
    /// The last answer of each voter to the claim under way.
    answers: BTreeMap<NodeId, Answer>,
    /// The claim won last: its epoch, and when.
    won: Option<(u64, Instant)>,
    /// Under which epoch this node served, while nobody is known that serves after it.
    retired: Option<u64>,
    /// What this node as a voter told last: to whom, and what.
    vote: Option<(NodeId, &'static str, Option<NodeId>)>,
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    sent: Instant,
    at: Instant,
    verdict: Verdict,
}

impl Chronicle {
    /// Whoever serves a router elsewhere gave a sign of life.
    pub(super) fn sign(&mut self, now: Instant, key: RouterKey, owner: Option<NodeId>) {
        let notes = self.routers.entry(key).or_default();
        notes.sign = Some(now);
        notes.owner = owner.or(notes.owner);
    }

    /// A voter says that a lease ended. One that ran out is no sign of life.
    pub(super) fn vacant(&mut self, now: Instant, node: NodeId, vacant: &Vacant) {
        let notes = self.routers.entry(vacant.router).or_default();
        notes.owner = Some(vacant.owner);
        notes.released = vacant.released;
        if vacant.released {
            notes.sign = Some(now);
            notes.reserved_at = (vacant.reserved_for == Some(node)).then_some(now);
        }
    }

    /// A claim of this node is answered, or a renewal.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        instance: &Instance,
        (voter, sent, verdict): (NodeId, Instant, Verdict),
    ) -> Option<u64> {
        let notes = self.routers.entry(instance.config.key).or_default();
        let answer = Answer { sent, at: now, verdict };
        match &instance.lease {
            Lease::Asking(ballot) if sent >= ballot.began() => {
                if !matches!(verdict, Verdict::Granted { .. }) {
                    *self.vetoes.entry((voter, word(&verdict))).or_default() += 1;
                }
                // Those to an earlier claim say nothing about this one.
                notes.answers.retain(|_, a| a.sent >= ballot.began());
                notes.answers.insert(voter, answer);
                None
            }
            // To the claim itself, by a voter that was not needed.
            Lease::Held(ballot) => {
                let late = notes.won.is_some_and(|(epoch, at)| epoch == ballot.epoch && sent < at);
                let first = late && !notes.answers.contains_key(&voter);
                first.then(|| {
                    notes.answers.insert(voter, answer);
                    ballot.epoch
                })
            }
            Lease::Asking(_) | Lease::Idle => None,
        }
    }
}

impl Engine {
    /// What happened since this was called last, for traces.
    pub fn take_story(&mut self) -> Vec<Told> {
        self.chronicle.story.take()
    }

    /// How often which voter refused claims of this node, and how.
    pub fn vetoes(&self) -> impl Iterator<Item = (String, &'static str, u64)> + '_ {
        self.chronicle.vetoes.iter().map(|((voter, verdict), count)| (self.name_of(*voter), *verdict, *count))
    }

    /// How often this node began to serve, by what triggered it.
    pub fn failovers(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.chronicle.failovers.iter().map(|(cause, count)| (*cause, *count))
    }

    /// Notes a voter's answer to a request sent at `sent`.
    pub(super) fn note_answer(&mut self, now: Instant, key: RouterKey, answer: (NodeId, Instant, Verdict)) {
        let Some(instance) = self.instances.get(&key) else { return };
        if let Some(epoch) = self.chronicle.answer(now, instance, answer) {
            let trace_id = self.trace_id(now, key, epoch);
            let span = self.request_span(key, &trace_id, answer.0);
            self.chronicle.story.tell(Told::Span(span));
        }
    }

    /// As a voter: tells what it decided, unless it is a renewal or what it has just said. A ballot
    /// refused as stale goes on in another trace.
    pub(super) fn note_vote(
        &mut self,
        now: Instant,
        from: NodeId,
        claim: &Claim,
        held: Option<Holder>,
        verdict: Option<Verdict>,
    ) {
        if from == self.setup.node {
            return; // Told with the request.
        }
        let routers = &self.chronicle.routers;
        if routers.len() >= MAX_ROUTERS && !routers.contains_key(&claim.router) {
            return; // No member fills this node's memory.
        }
        let renews = held.is_some_and(|h| h.owner == from);
        let Some(verdict) = verdict.filter(|v| !matches!(v, Verdict::Stale { .. })) else { return };
        if renews && matches!(verdict, Verdict::Granted { .. }) {
            return self.chronicle.sign(now, claim.router, Some(from));
        }
        let notes = self.chronicle.routers.entry(claim.router).or_default();
        let holder = if let Verdict::Held { owner, .. } = verdict { Some(owner) } else { None };
        let vote = Some((from, word(&verdict), holder));
        if notes.vote == vote && !matches!(verdict, Verdict::Granted { .. }) {
            return;
        }
        notes.vote = vote;
        let trace_id = self.trace_id(now, claim.router, claim.epoch);
        let mut attributes = self.router_attributes(claim.router, claim.epoch);
        attributes.push((names::TO, self.name_of(from).into()));
        attributes.extend(self.verdict_attributes(self.setup.node, &verdict));
        let id = span_id(&trace_id, self.setup.node, names::VOTE, from.0);
        let parent = Some(request_id(&trace_id, from, self.setup.node));
        let span = Span::new(id, trace_id, names::VOTE, claim.router, (now, now));
        self.chronicle.story.tell(Told::Span(Span { parent, attributes, ..span }));
    }

    /// This node serves from now on: the root, what triggered it, and what the voters said.
    pub(super) fn note_active(&mut self, now: Instant, key: RouterKey, epoch: u64, began: Option<Instant>) {
        let Some(instance) = self.instances.get(&key) else { return };
        let (trace_id, cause) = (instance.transition.trace_id.clone(), instance.transition.cause.clone());
        let addresses = instance.addresses();
        let vacancy = instance.vacancy == cause;
        let notes = self.chronicle.routers.entry(key).or_default();
        notes.won = Some((epoch, now));
        notes.retired = None;
        let planned = notes.reserved_at.take().is_some_and(|at| now.since(at) <= PLANNED);
        let trigger = match (planned, vacancy, notes.released) {
            (true, ..) => "handover",
            (false, true, true) => "release",
            (false, true, false) => "expiry",
            (false, false, _) => "silence",
        };
        *self.chronicle.failovers.entry(trigger).or_default() += 1;
        let name = if planned { names::PLANNED_MOVE } else { names::TAKEOVER };
        let root = self.claim_spans(now, key, (epoch, trace_id), (name, cause, "active"), began.unwrap_or(now));
        self.chronicle.routers.entry(key).or_default().owner = Some(self.setup.node);
        self.tell(Span { addresses, ..root });
    }

    /// A claim was refused: told like the refusal itself, once.
    pub(super) fn note_refused(&mut self, now: Instant, key: RouterKey, veto: &Veto, ballot: &Ballot) {
        let trace_id = self.trace_id(now, key, ballot.epoch);
        let what = (names::TAKEOVER, ballot.cause.clone(), "vetoed");
        let root = self.claim_spans(now, key, (ballot.epoch, trace_id), what, ballot.began());
        // Two that asked under one epoch are parts of one takeover: the winner's.
        let winner = ballot.held_by_other().find(|(_, _, epoch)| *epoch == ballot.epoch).map(|(_, owner, _)| owner);
        let parent = winner.map(|owner| root_id(&root.trace_id, owner));
        self.tell(Span { parent, failed: Some(veto.reason.clone()), ..root });
        self.forget_answers(key);
        // Voters may tell who serves after this node before the successor itself does.
        if let Some((_, owner, epoch)) = ballot.held_by_other().max_by_key(|(_, _, epoch)| *epoch) {
            self.succeeded(now, key, owner, epoch);
        }
    }

    /// A claim that is not told of.
    pub(super) fn forget_answers(&mut self, key: RouterKey) {
        if let Some(notes) = self.chronicle.routers.get_mut(&key) {
            notes.answers.clear();
        }
    }

    /// This node serves no longer. Whose takeover that is a part of is known when its successor says so.
    pub(super) fn note_retired(&mut self, now: Instant, key: RouterKey, epoch: u64, cause: &str) {
        let next = epoch.saturating_add(1);
        // Without a lease nobody can tell which takeover it belongs to.
        let trace_id = self.trace_id(now, key, if epoch == 0 { 0 } else { next });
        let Some(instance) = self.instances.get(&key) else { return };
        let addresses = instance.addresses();
        let mut attributes = self.router_attributes(key, epoch);
        attributes.push((names::CAUSE, cause.into()));
        attributes.push((names::FROM, self.setup.name.clone().into()));
        let id = span_id(&trace_id, self.setup.node, names::RETIREMENT, epoch);
        let span = Span::new(id, trace_id, names::RETIREMENT, key, (now, now));
        let span = Span { attributes, addresses, waits: epoch > 0, ..span };
        let notes = self.chronicle.routers.entry(key).or_default();
        notes.retired = (epoch > 0).then_some(epoch);
        notes.answers.clear();
        notes.sign = Some(now);
        self.tell(span);
    }

    /// A member says something about a router: perhaps that it serves it after this node did.
    pub(super) fn note_successor(&mut self, now: Instant, node: NodeId) {
        let routers = self.chronicle.routers.iter();
        let waiting = routers.filter_map(|(key, notes)| Some((*key, notes.retired?))).collect::<Vec<_>>();
        for (key, retired) in waiting {
            let report = self.membership.router(node, &key);
            let serves = report.filter(|r| r.state == RouterState::Active && r.epoch > retired);
            if let Some(epoch) = serves.map(|r| r.epoch) {
                self.succeeded(now, key, node, epoch);
            }
        }
    }

    /// Another node serves after this one did.
    fn succeeded(&mut self, now: Instant, key: RouterKey, node: NodeId, epoch: u64) {
        let retired = self.chronicle.routers.get(&key).and_then(|notes| notes.retired);
        if retired.is_some_and(|retired| retired < epoch) && node != self.setup.node {
            let trace_id = self.trace_id(now, key, epoch);
            let parent = root_id(&trace_id, node);
            self.chronicle.routers.entry(key).or_default().retired = None;
            self.chronicle.story.tell(Told::Successor { router: key, trace_id, parent });
        }
    }

    /// The routers there are.
    pub(super) fn forget_stories(&mut self) {
        let instances = &self.instances;
        self.chronicle.routers.retain(|key, _| instances.contains_key(key));
    }

    /// Tells what led to a claim's end; the root is left to the caller.
    fn claim_spans(
        &mut self,
        now: Instant,
        key: RouterKey,
        (epoch, trace_id): (u64, String),
        (name, cause, outcome): (&'static str, String, &'static str),
        claimed: Instant,
    ) -> Span {
        let node = self.setup.node;
        let notes = self.chronicle.routers.entry(key).or_default();
        let seen = notes.sign.filter(|sign| *sign <= claimed).unwrap_or(claimed);
        let from = notes.owner.filter(|owner| *owner != node);
        let voters: Vec<NodeId> = notes.answers.keys().copied().collect();
        let root = root_id(&trace_id, node);
        let mut attributes = self.router_attributes(key, epoch);
        attributes.push((names::CAUSE, cause.clone().into()));
        attributes.extend(from.map(|from| (names::FROM, self.name_of(from).into())));
        attributes.push((names::TO, self.setup.name.clone().into()));
        attributes.push((names::OUTCOME, outcome.into()));
        let root = Span { attributes, ..Span::new(root, trace_id, name, key, (seen, now)) };
        let detection = Span {
            id: span_id(&root.trace_id, node, names::DETECTION, 0),
            parent: Some(root.id),
            name: names::DETECTION,
            end: claimed,
            attributes: vec![(names::CAUSE, cause.into())],
            ..root.clone()
        };
        self.tell(detection);
        for voter in voters {
            let span = self.request_span(key, &root.trace_id, voter);
            self.tell(span);
        }
        root
    }

    /// A question to one voter, and its answer, which is known.
    fn request_span(&self, key: RouterKey, trace_id: &str, voter: NodeId) -> Span {
        let answer = self.chronicle.routers[&key].answers[&voter];
        let node = self.setup.node;
        let granted = matches!(answer.verdict, Verdict::Granted { .. });
        let attributes = self.verdict_attributes(voter, &answer.verdict).into();
        let (id, parent) = (request_id(trace_id, node, voter), Some(root_id(trace_id, node)));
        let failed = (!granted).then(|| self.reason(&answer.verdict));
        let span = Span::new(id, trace_id.to_owned(), names::LEASE_REQUEST, key, (answer.sent, answer.at));
        Span { parent, attributes, failed, ..span }
    }

    fn router_attributes(&self, key: RouterKey, epoch: u64) -> Vec<(&'static str, Value)> {
        let mut attributes = vec![(names::VRID, u64::from(key.vrid).into()), (names::EPOCH, epoch.into())];
        if let Some(instance) = self.instances.get(&key) {
            attributes.push((names::ROUTER, instance.config.name.clone().into()));
            let group = self.groups.config_of(key).map(|group| group.name.clone());
            attributes.extend(group.map(|group| (names::GROUP, group.into())));
            attributes.extend(instance.config.served().next().map(|a| (names::VIP, a.net.addr().to_string().into())));
        }
        attributes
    }

    fn verdict_attributes(&self, voter: NodeId, verdict: &Verdict) -> [(&'static str, Value); 3] {
        let voter = self.name_of(voter).into();
        [(names::VOTER, voter), (names::VERDICT, word(verdict).into()), (names::REASON, self.reason(verdict).into())]
    }

    /// A verdict in words.
    pub(super) fn reason(&self, verdict: &Verdict) -> String {
        match verdict {
            Verdict::Granted { epoch } => format!("granted under epoch {epoch}"),
            Verdict::Held { owner, epoch, remaining_ms } => {
                format!("{} holds it under epoch {epoch} for another {remaining_ms} ms", self.name_of(*owner))
            }
            Verdict::Stale { max_epoch } => format!("epoch {max_epoch} was seen already"),
            Verdict::WrongRoster => "counts votes by another roster, or does not vote".to_owned(),
            Verdict::Quarantine { remaining_ms } => {
                format!("lost its memory, and is silent for another {remaining_ms} ms")
            }
        }
    }

    fn tell(&mut self, span: Span) {
        self.chronicle.story.tell(Told::Span(span));
    }
}

/// A verdict in a word.
pub(super) fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Granted { .. } => "granted",
        Verdict::Held { .. } => "held",
        Verdict::Stale { .. } => "stale",
        Verdict::WrongRoster => "wrong_roster",
        Verdict::Quarantine { .. } => "quarantine",
    }
}
