//! What the daemon does: feeds its engine, and brings about what the engine asks for, in order.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mesh_core::action::Effect;
use mesh_core::input::Datagram;
use mesh_core::{Action, Decision, Engine, Input, Instant};
use mesh_wire::mesh::lease::{Message, Request, Verdict};
use mesh_wire::vrrp::TTL;
use rand::RngExt;

use super::{Cluster, Event, Fact};
use crate::clock::ms;
use crate::host::{self, Connection, Daemon};
use crate::mutant::Mutant;
use crate::network::Channel;

/// Inputs a stopped process finds when it goes on; sockets drop the rest.
const BACKLOG: usize = 2048;

/// A connection's close arrives after what was sent before it.
const GOODBYE: Duration = Duration::from_micros(2500);

impl Cluster {
    /// Starts the daemon: a new engine, its first step, then what netlink says.
    pub(super) fn start(&mut self, host: usize) {
        if self.hosts[host].daemon.is_some() || !self.hosts[host].up {
            return;
        }
        let now = self.hosts[host].now(self.now);
        let mut setup = self.hosts[host].setup(self.rng.random());
        setup.voter = self.hosts[host].memory.start(now);
        if self.mutant == Some(Mutant::NoQuarantine) {
            setup.voter.silent_until = Instant::default();
        }
        let engine = Engine::new(setup, self.hosts[host].config.clone(), now);
        self.hosts[host].run += 1;
        self.hosts[host].started = self.now;
        self.hosts[host].daemon = Some(Daemon {
            engine,
            mailbox: VecDeque::new(),
            stalled_until: None,
            stall_next: None,
            unfinished: VecDeque::new(),
            timer: 0,
            peers: vec![Connection::default(); self.hosts.len()],
            gossip: BTreeMap::new(),
            swept: 0,
        });
        self.say(host, || "the daemon starts".to_owned());
        self.facts.push(Fact::Started(host));
        self.step(host, Input::Timeout);
        let interface = self.hosts[host].interface();
        self.schedule_input(ms(1), host, interface);
    }

    /// Hands an input to the daemon, or leaves it in the mailbox of a stopped one.
    pub(super) fn deliver(&mut self, host: usize, input: Input) {
        let from_wire = matches!(input, Input::Advertisement(_) | Input::Message { .. });
        if from_wire && !(self.hosts[host].up && self.hosts[host].link) {
            return;
        }
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        if daemon.stalled_until.is_none() {
            self.step(host, input);
        } else if daemon.mailbox.len() < BACKLOG {
            daemon.mailbox.push_back(input);
        }
    }

    /// A stopped process goes on: first with what it was doing, then with what came in meanwhile,
    /// then with its timer.
    pub(super) fn resume(&mut self, host: usize) {
        let now = self.now;
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        if daemon.stalled_until.is_none_or(|until| until > now) {
            return;
        }
        daemon.stalled_until = None;
        self.hosts[host].disturbed = now;
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        let actions: Vec<Action> = daemon.unfinished.drain(..).collect();
        let mailbox: Vec<Input> = daemon.mailbox.drain(..).collect();
        self.say(host, || format!("the daemon goes on, {} inputs late", mailbox.len()));
        self.perform_all(host, actions);
        for input in mailbox.into_iter().chain([Input::Timeout]) {
            self.deliver(host, input);
        }
    }

    /// One step of the engine, and its consequences.
    pub(super) fn step(&mut self, host: usize, input: Input) {
        self.steps += 1;
        self.detail(host, || format!("<- {input:?}"));
        let answered = match &input {
            Input::Message { message: Message::Request(request), .. } => Some(request.clone()),
            _ => None,
        };
        let now = self.hosts[host].now(self.now);
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        let mut actions = daemon.engine.step(now, input);
        // Decided now, whenever it is brought about.
        self.facts.extend(actions.iter().filter_map(|action| match action {
            Action::Record(decision) => Some(Fact::Decision(host, decision.clone())),
            _ => None,
        }));
        if let Some(mutant) = self.mutant {
            actions = self.mutate(mutant, host, answered.as_ref(), actions);
        }
        self.perform_all(host, actions);
        self.set_timer(host);
    }

    /// Brings about actions in order; a process may be stopped after any of them.
    fn perform_all(&mut self, host: usize, actions: Vec<Action>) {
        let stall = match &mut self.hosts[host].daemon {
            Some(daemon) if actions.len() > 2 => daemon.stall_next.take(),
            _ => None,
        };
        let cut = stall.map(|_| self.rng.random_range(1..actions.len()));
        for (done, action) in actions.into_iter().enumerate() {
            if let (Some(stall), true) = (stall, cut == Some(done)) {
                self.stall(host, stall);
            }
            match &mut self.hosts[host].daemon {
                Some(daemon) if daemon.stalled_until.is_some() => daemon.unfinished.push_back(action),
                Some(_) => self.perform(host, action),
                None => return,
            }
        }
    }

    fn set_timer(&mut self, host: usize) {
        let late = Duration::from_micros(self.rng.random_range(0..1000));
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        daemon.timer += 1;
        let timer = daemon.timer;
        let Some((due, _)) = daemon.engine.deadline() else { return };
        let at = self.hosts[host].clock.when(due).max(self.now) + late;
        let run = self.hosts[host].run;
        self.schedule(at - self.now, Event::Timer { host, run, timer });
    }

    /// Brings about one effect.
    pub(super) fn perform(&mut self, host: usize, action: Action) {
        self.detail(host, || format!("-> {action:?}"));
        let now = self.hosts[host].now(self.now);
        match action {
            Action::SendAdvertisement { interface, source, destination, payload } => {
                let datagram = Datagram { interface, source, destination, ttl: TTL, payload };
                self.multicast(host, datagram);
            }
            Action::AddAddress { interface, address, lifetime_s } => {
                let std::net::IpAddr::V4(address) = address.net.addr() else { return };
                if self.fails() {
                    let effect = Effect::Address { interface, address };
                    self.report_failure(host, effect, "out of memory");
                    return;
                }
                let sticky = self.mutant == Some(Mutant::StickyAddresses);
                let lifetime = Duration::from_secs(if sticky { 1 << 30 } else { u64::from(lifetime_s) });
                let until = self.hosts[host].kernel.add(address, now, lifetime);
                let router = (0..self.layout.routers).find(|r| host::virtual_address(*r) == address);
                if let Some(router) = router {
                    let at = self.hosts[host].clock.when(until);
                    self.schedule(at - self.now, Event::Lifetime { host, router });
                }
            }
            Action::DelAddress { address, .. } => {
                if let std::net::IpAddr::V4(address) = address.net.addr() {
                    self.hosts[host].kernel.delete(address, now);
                }
            }
            Action::SweepAddresses => self.hosts[host].kernel.sweep(),
            Action::FenceInstall { addresses } => {
                self.hosts[host].kernel.fence(&addresses);
                self.hosts[host].exposed_until = self.now;
            }
            Action::FenceArm { addresses, until } => self.arm(host, &addresses, until),
            Action::FenceClose { addresses } => self.hosts[host].kernel.close(&addresses),
            Action::SendMessage { to, message } => self.unicast(host, to, message),
            Action::Publish { key, value } => {
                self.queued += 1;
                let version = self.queued;
                if let Some(daemon) = &mut self.hosts[host].daemon {
                    daemon.gossip.insert((host, key), (version, value));
                }
            }
            // A reply goes out all the same.
            Action::Remember(_) if self.mutant == Some(Mutant::UnwrittenGrants) => {}
            Action::Remember(changes) => self.hosts[host].memory.remember(&changes),
            Action::AdoptRoster(roster) => self.hosts[host].roster = Some(roster),
            Action::Record(decision) => self.record(host, decision),
            Action::Stopped => self.stopped(host),
            Action::GratuitousArp { .. } | Action::RosterVerdict { .. } | Action::RunScripts(_) => {}
        }
    }

    fn fails(&mut self) -> bool {
        self.failures > 0 && self.rng.random_range(0..1000) < self.failures
    }

    fn report_failure(&mut self, host: usize, effect: Effect, error: &str) {
        self.say(host, || format!("fails: {effect:?}: {error}"));
        self.schedule_input(Duration::ZERO, host, Input::Failed { effect, error: error.to_owned() });
    }

    fn arm(&mut self, host: usize, addresses: &[std::net::Ipv4Addr], until: Instant) {
        if self.fails() {
            return self.report_failure(host, Effect::Fence, "no buffer space");
        }
        let until = match self.mutant {
            Some(Mutant::UserSpaceTimer) => Instant::from_nanos(u64::MAX),
            Some(Mutant::GenerousFence) => until + ms(100),
            _ => until,
        };
        self.hosts[host].kernel.arm(addresses, until);
        let closes = self.hosts[host].clock.when(until);
        if closes > self.now && until != Instant::from_nanos(u64::MAX) {
            self.schedule(closes - self.now, Event::Look);
        }
    }

    /// The kernel removes an address by itself, and netlink tells.
    pub(super) fn lifetime_over(&mut self, host: usize, router: usize) {
        let address = host::virtual_address(router);
        let now = self.hosts[host].now(self.now);
        if self.hosts[host].kernel.expire(address, now) {
            self.say(host, || format!("{address} goes, its lifetime is over"));
            let interface = host::INTERFACE.to_owned();
            self.deliver(host, Input::AddressGone { interface, address });
        }
    }

    fn multicast(&mut self, from: usize, datagram: Datagram) {
        if !self.hosts[from].link {
            let effect = Effect::Advertisement { interface: datagram.interface };
            self.schedule_input(Duration::ZERO, from, Input::Failed { effect, error: "network is down".to_owned() });
            return;
        }
        for to in (0..self.hosts.len()).filter(|to| *to != from) {
            for delay in self.network.send(&mut self.rng, Channel::Vrrp, from, to) {
                self.schedule_input(delay, to, Input::Advertisement(datagram.clone()));
            }
        }
    }

    fn unicast(&mut self, from: usize, to: mesh_wire::mesh::NodeId, message: Message) {
        let Some(to) = self.index_of(to) else { return };
        let connected = self.hosts[from].daemon.as_ref().is_some_and(|d| d.peers[to].up);
        if !connected || !self.hosts[from].link {
            return;
        }
        if self.mutant == Some(Mutant::LosesRenewals)
            && matches!(message, Message::Reply(_))
            && self.rng.random_range(0..10) < 7
        {
            return;
        }
        let (run, from_run) = (self.hosts[to].run, self.hosts[from].run);
        for delay in self.network.send(&mut self.rng, Channel::Mesh, from, to) {
            let message = Box::new(message.clone());
            self.schedule(delay, Event::Message { host: to, run, from, from_run, message });
        }
    }

    fn record(&mut self, host: usize, decision: Decision) {
        match &decision {
            Decision::Router { name, event, cause, .. } => {
                self.say(host, || format!("{name} {event:?}: {cause}"));
            }
            other => self.say(host, || format!("{other:?}")),
        }
    }

    /// An orderly stop: the process ends and its connections are closed with a goodbye.
    fn stopped(&mut self, host: usize) {
        self.say(host, || "the daemon has stopped".to_owned());
        for peer in (0..self.hosts.len()).filter(|p| *p != host) {
            let run = self.hosts[peer].run;
            if self.reaches(host, peer) {
                self.schedule(GOODBYE, Event::Goodbye { host: peer, run, from: host });
            }
        }
        self.hosts[host].daemon = None;
    }

    /// A peer closed the connection, after everything it had sent.
    pub(super) fn hear_goodbye(&mut self, host: usize, from: usize) {
        let node = self.hosts[from].id;
        let now = self.now;
        let Some(connection) = self.hosts[host].daemon.as_mut().map(|d| &mut d.peers[from]) else { return };
        if connection.up {
            *connection = Connection { up: false, since: now, ..*connection };
            self.deliver(host, Input::PeerDown { node, left: true });
        }
    }

    /// What a planted bug makes of the actions.
    fn mutate(&mut self, mutant: Mutant, host: usize, answered: Option<&Request>, actions: Vec<Action>) -> Vec<Action> {
        match mutant {
            Mutant::NoStartSweep => self.without_start(host, actions),
            Mutant::StickyAddresses => actions
                .into_iter()
                .filter(|a| !matches!(a, Action::DelAddress { .. } | Action::SweepAddresses))
                .collect(),
            Mutant::ReleaseFirst => self.close_late(host, actions),
            Mutant::OverwriteGrants | Mutant::EternalQuarantine | Mutant::ForgottenEpochs => {
                actions.into_iter().map(|a| forge(mutant, answered, a)).collect()
            }
            Mutant::UserSpaceTimer
            | Mutant::NoQuarantine
            | Mutant::GenerousFence
            | Mutant::LosesRenewals
            | Mutant::UnwrittenGrants => actions,
        }
    }

    /// Without the first sweep and the first fence of a run.
    fn without_start(&mut self, host: usize, actions: Vec<Action>) -> Vec<Action> {
        let Some(daemon) = &mut self.hosts[host].daemon else { return actions };
        if std::mem::replace(&mut daemon.swept, 1) > 0 {
            return actions;
        }
        let start = |a: &Action| matches!(a, Action::SweepAddresses | Action::FenceInstall { .. });
        actions.into_iter().filter(|a| !start(a)).collect()
    }

    fn close_late(&mut self, host: usize, actions: Vec<Action>) -> Vec<Action> {
        let closing = |a: &Action| matches!(a, Action::FenceClose { .. } | Action::DelAddress { .. });
        let (late, now): (Vec<Action>, Vec<Action>) = actions.into_iter().partition(closing);
        if !late.is_empty() {
            let run = self.hosts[host].run;
            self.schedule(ms(100), Event::Late { host, run, actions: late });
        }
        now
    }
}

/// A voter's reply, forged.
fn forge(mutant: Mutant, answered: Option<&Request>, action: Action) -> Action {
    let Action::SendMessage { to, message: Message::Reply(mut reply) } = action else { return action };
    for (router, verdict) in &mut reply.verdicts {
        let claim = answered.and_then(|r| r.claims.iter().find(|c| c.router == *router));
        match (mutant, *verdict) {
            (Mutant::OverwriteGrants, Verdict::Held { .. }) | (Mutant::ForgottenEpochs, Verdict::Stale { .. }) => {
                *verdict = claim.map_or(*verdict, |c| Verdict::Granted { epoch: c.epoch });
            }
            (Mutant::EternalQuarantine, _) => *verdict = Verdict::Quarantine { remaining_ms: 3000 },
            _ => {}
        }
    }
    Action::SendMessage { to, message: Message::Reply(reply) }
}
