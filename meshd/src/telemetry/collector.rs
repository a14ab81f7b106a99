//! Makes events and spans of what is reported, and passes them on.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mesh_control::story::{Attribute, Span};
use mesh_core::Instant;
use mesh_core::story::{self, Told, Value, names, span_id};
use mesh_wire::mesh::{NodeId, RouterKey};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::acts::{Acts, ScriptRun};
use super::effects::Measured;
use super::otlp::Exporter;
use super::{Journal, Report, What, event, life};
use crate::adverts::users::{User, Users};
use crate::clock;

/// How long the end of a service waits for its successor, before it is told without.
const SUCCESSOR_WAIT: Duration = Duration::from_secs(60);
/// Between two looks at what waits.
const TICK: Duration = Duration::from_secs(1);
/// ip_vs is changed for a takeover within that time after it.
const IP_VS_WAIT: Duration = Duration::from_secs(2);
/// So long it is looked who uses the address after a takeover.
const USER_WAIT: Duration = Duration::from_secs(2);
/// So many such looks at a time.
const MOST_LOOKS: usize = 8;
/// Reports taken at a time.
const BATCH: usize = 256;

/// Takes what is reported.
pub(super) struct Collector {
    node: NodeId,
    journal: Arc<Journal>,
    exporter: Exporter,
    /// Ends of service whose successor is not known, with what is a part of them.
    waiting: BTreeMap<RouterKey, (Instant, Vec<story::Span>)>,
    /// The last takeover of this node.
    last: Option<story::Span>,
    /// What notify scripts are a part of.
    acts: Acts,
    /// Takeovers whose addresses nobody was seen to use yet.
    unconfirmed: Vec<story::Span>,
}

/// Collects until it is told to stop, or nobody reports any more.
pub async fn run(
    node: NodeId,
    journal: Arc<Journal>,
    exporter: Exporter,
    mut reports: mpsc::Receiver<Report>,
    stop: CancellationToken,
) {
    let mut collector = Collector::new(node, journal, exporter);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut batch = Vec::new();
    let mut users = JoinSet::new();
    loop {
        tokio::select! {
            Some(confirmed) = users.join_next() => collector.confirmed(confirmed.unwrap_or_default()),
            taken = reports.recv_many(&mut batch, BATCH) => {
                if taken == 0 {
                    break;
                }
                batch.drain(..).for_each(|report| collector.take(report));
                collector.look_for_users(&mut users);
            }
            _ = tick.tick() => collector.give_up(clock::now()),
            () = stop.cancelled() => break,
        }
    }
    while let Ok(report) = reports.try_recv() {
        collector.take(report);
    }
    collector.give_up(Instant::MAX);
}

impl Collector {
    pub(super) fn new(node: NodeId, journal: Arc<Journal>, exporter: Exporter) -> Collector {
        Collector {
            node,
            journal,
            exporter,
            waiting: BTreeMap::new(),
            last: None,
            acts: Acts::default(),
            unconfirmed: Vec::new(),
        }
    }

    pub(super) fn take(&mut self, Report { at, what }: Report) {
        match what {
            What::Decision(decision) => self.event(at, event::of(decision)),
            What::Life(life) => self.event(at, life::event(life)),
            What::Services(decision) => self.event(at, event::of_services(decision)),
            What::Story(told, measured) => told.into_iter().for_each(|told| self.told(at, told, &measured)),
            What::Script(run) => self.script(at, &run),
            What::IpVs { begin, changes, failed } => self.ip_vs((begin, at), changes, failed),
        }
    }

    /// What waited for too long is told as it is.
    pub(super) fn give_up(&mut self, now: Instant) {
        let late: Vec<RouterKey> =
            self.waiting.iter().filter(|(_, (until, _))| *until <= now).map(|(key, _)| *key).collect();
        for key in late {
            let spans = self.waiting.remove(&key).map(|(_, spans)| spans);
            spans.into_iter().flatten().for_each(|span| self.pass_on(span));
        }
    }

    fn event(&mut self, at: Instant, event: mesh_control::story::Event) {
        let event = self.journal.event(unix_us(at), event);
        self.exporter.event(&event);
    }

    fn told(&mut self, at: Instant, told: Told, measured: &[Measured]) {
        match told {
            Told::Span(span) => self.span(at, span, measured),
            Told::Successor { router, trace_id, parent } => {
                let Some((_, spans)) = self.waiting.remove(&router) else { return };
                if let Some(end) = spans.first() {
                    self.acts.continued(router, end.id, &trace_id);
                }
                for span in spans {
                    // The end of service itself comes first, and what is a part of it after.
                    let parent = span.parent.or(Some(parent));
                    self.pass_on(story::Span { trace_id: trace_id.clone(), parent, ..span });
                }
            }
        }
    }

    fn span(&mut self, at: Instant, mut span: story::Span, measured: &[Measured]) {
        if !span.addresses.is_empty() {
            self.acts.note(&span);
        }
        let parts = if span.addresses.is_empty() { Vec::new() } else { self.parts(&span, measured) };
        span.end = parts.iter().map(|p| p.end).chain([span.end]).max().unwrap_or(span.end);
        if span.waits {
            let router = span.router;
            let spans = [span].into_iter().chain(parts).collect();
            let earlier = self.waiting.insert(router, (at + SUCCESSOR_WAIT, spans));
            earlier.into_iter().flat_map(|(_, spans)| spans).for_each(|span| self.pass_on(span));
            return;
        }
        let takes_over = !span.addresses.is_empty() && matches!(span.name, names::TAKEOVER | names::PLANNED_MOVE);
        if takes_over {
            self.last = Some(span.clone());
            self.unconfirmed.push(span.clone());
        }
        self.pass_on(span);
        parts.into_iter().for_each(|part| self.pass_on(part));
    }

    /// The effects that are a part of a span, each kind as one.
    fn parts(&self, span: &story::Span, measured: &[Measured]) -> Vec<story::Span> {
        let mut parts: Vec<story::Span> = Vec::new();
        for effect in measured.iter().filter(|m| m.whose.is(span.router, &span.addresses)) {
            match parts.iter_mut().find(|p| p.name == effect.name) {
                // What is opened once more after all is announced is a renewal.
                Some(_) if effect.name == names::FENCE => {}
                Some(part) => {
                    part.end = effect.end;
                    part.failed = part.failed.take().or_else(|| effect.failed.clone());
                }
                None => parts.push(story::Span {
                    id: span_id(&span.trace_id, self.node, effect.name, span.id),
                    parent: Some(span.id),
                    name: effect.name,
                    begin: effect.begin,
                    end: effect.end,
                    attributes: Vec::new(),
                    failed: effect.failed.clone(),
                    addresses: Vec::<IpAddr>::new(),
                    waits: false,
                    ..span.clone()
                }),
            }
        }
        parts
    }

    /// Looks who uses the addresses of the takeovers that were just told, beside everything else. What is seen begins
    /// after they were announced.
    fn look_for_users(&mut self, users: &mut JoinSet<Vec<Confirmed>>) {
        let takeovers = std::mem::take(&mut self.unconfirmed);
        if !takeovers.is_empty() && users.len() < MOST_LOOKS {
            users.spawn(confirm(takeovers));
        }
    }

    fn confirmed(&mut self, confirmed: Vec<Confirmed>) {
        for Confirmed { takeover, user, at } in confirmed {
            let mac = user.mac.map(|byte| format!("{byte:02x}")).join(":");
            let span = story::Span {
                id: span_id(&takeover.trace_id, self.node, names::FIRST_NEIGHBOUR, takeover.id),
                parent: Some(takeover.id),
                name: names::FIRST_NEIGHBOUR,
                begin: takeover.end,
                end: at,
                attributes: vec![(names::VIP, user.address.to_string().into()), (names::NEIGHBOUR, mac.into())],
                addresses: Vec::new(),
                ..takeover
            };
            self.pass_on(span);
        }
    }

    /// A notify script is a part of what it was asked for by.
    fn script(&mut self, at: Instant, run: &ScriptRun) {
        let Some(act) = self.acts.of(run) else { return };
        let waited = u64::try_from(run.begun.since(run.told).as_micros()).unwrap_or(u64::MAX);
        let code = run.ended.as_ref().ok().map(|code| (names::EXIT_CODE, Value::Number((*code).into())));
        let attributes = [(names::COMMAND, run.command.clone().into()), (names::WAITED, waited.into())];
        let span = story::Span {
            id: span_id(&act.trace_id, self.node, names::NOTIFY_SCRIPT, run.begun.as_nanos()),
            parent: Some(act.id),
            name: names::NOTIFY_SCRIPT,
            begin: run.told,
            end: at,
            attributes: attributes.into_iter().chain(code).collect(),
            failed: match &run.ended {
                Ok(0) => None,
                Ok(code) => Some(format!("exit code {code}")),
                Err(why) => Some(why.clone()),
            },
            addresses: Vec::new(),
            waits: false,
            ..act.clone()
        };
        match self.waiting.get_mut(&span.router) {
            Some((_, spans)) if spans.first().is_some_and(|end| Some(end.id) == span.parent) => spans.push(span),
            _ => self.pass_on(span),
        }
    }

    /// A change of ip_vs right after a takeover is a part of it.
    fn ip_vs(&mut self, (begin, end): (Instant, Instant), changes: usize, failed: usize) {
        let Some(last) = self.last.as_ref().filter(|l| begin >= l.begin && begin <= l.end + IP_VS_WAIT) else { return };
        let changes = u64::try_from(changes).unwrap_or(u64::MAX);
        let span = story::Span {
            id: span_id(&last.trace_id, self.node, names::IP_VS, begin.as_nanos()),
            parent: Some(last.id),
            name: names::IP_VS,
            begin,
            end,
            attributes: vec![("meshd.ip_vs.changes", changes.into())],
            failed: (failed > 0).then(|| format!("{failed} of {changes} changes failed")),
            addresses: Vec::new(),
            ..last.clone()
        };
        self.pass_on(span);
    }

    fn pass_on(&mut self, span: story::Span) {
        let span = told(self.journal.node(), span);
        self.exporter.span(&span);
        self.journal.span(span);
    }
}

/// The first that was seen to use an address after a takeover.
struct Confirmed {
    takeover: story::Span,
    user: User,
    at: Instant,
}

/// Waits for a user of each takeover's addresses, not for ever. Where packets cannot be looked at, or nobody comes,
/// nothing is told.
async fn confirm(mut takeovers: Vec<story::Span>) -> Vec<Confirmed> {
    let Ok(mut users) = Users::look(takeovers.iter().flat_map(looked_for)) else { return Vec::new() };
    let mut confirmed = Vec::new();
    let look = async {
        while !takeovers.is_empty()
            && let Ok(Some(user)) = users.next().await
        {
            let of = |span: &story::Span| looked_for(span).any(|address| address == user.address);
            if let Some(index) = takeovers.iter().position(of) {
                confirmed.push(Confirmed { takeover: takeovers.swap_remove(index), user, at: clock::now() });
            }
        }
    };
    let _ = timeout(USER_WAIT, look).await;
    confirmed
}

/// The addresses of a takeover that are looked for: the first one, and the first of a link where the first is not.
/// Hosts send to the one, and ask for the other where that is their gateway.
fn looked_for(span: &story::Span) -> impl Iterator<Item = IpAddr> + '_ {
    let is_of_link = |address: &&IpAddr| matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    let of = |link: bool| span.addresses.iter().find(|address| is_of_link(address) == link).copied();
    [of(false), of(true)].into_iter().flatten()
}

/// A span as it is shown and sent.
fn told(node: &str, span: story::Span) -> Span {
    let attributes = span.attributes.into_iter().map(|(name, value)| {
        let value = match value {
            Value::Text(text) => Attribute::Text(text),
            Value::Number(number) => Attribute::Number(number),
        };
        (name.to_owned(), value)
    });
    Span {
        trace_id: span.trace_id,
        span_id: format!("{:016x}", span.id),
        parent_span_id: span.parent.map(|id| format!("{id:016x}")),
        name: span.name.to_owned(),
        node: node.to_owned(),
        begin_unix_us: unix_us(span.begin),
        end_unix_us: unix_us(span.end),
        attributes: attributes.collect(),
        failed: span.failed,
    }
}

/// By the wall clock as it is now: what happened a moment ago.
fn unix_us(at: Instant) -> u64 {
    let ago = clock::now().since(at);
    u64::try_from(clock::unix_time().saturating_sub(ago).as_micros()).unwrap_or(u64::MAX)
}
