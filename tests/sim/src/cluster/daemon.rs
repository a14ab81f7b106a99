//! What the daemon does: feeds its engine, and brings about what the engine asks for, in order.

use std::net::IpAddr;
use std::time::Duration;

use mesh_core::action::Effect;
use mesh_core::engine::STALL;
use mesh_core::input::Datagram;
use mesh_core::{Action, Decision, Engine, Input, Instant, Setup};
use mesh_wire::mesh::Family;
use mesh_wire::mesh::gossip::MAX_VALUE;
use mesh_wire::mesh::lease::{Message, Request};
use mesh_wire::vrrp::TTL;
use rand::RngExt;

use super::event::votes;
use super::{Cluster, Event, Fact};
use crate::clock::ms;
use crate::host::{Daemon, Host};
use crate::layout::router_of;

/// Two probes for an address, and listening.
const PROBE: Duration = ms(40);

/// Inputs a stopped process finds when it goes on; sockets drop the rest.
const BACKLOG: usize = 2048;

impl Cluster {
    /// Starts the daemon: a new engine, its first step, then what netlink says.
    pub(super) fn start(&mut self, host: usize) {
        let machine = &self.hosts[host];
        if machine.daemon.is_some() || !machine.up || machine.paused.is_some() || !machine.installed {
            return;
        }
        let now = machine.now(self.now);
        let seed = self.rng.random();
        let voter = self.hosts[host].memory.start(now);
        let adopted = std::mem::take(&mut self.hosts[host].runtime.adopted);
        let setup = Setup { voter: self.remembered(voter), adopted, ..self.hosts[host].setup(seed) };
        let goes_on = !setup.adopted.is_empty();
        let engine = Engine::new(setup, self.hosts[host].config.clone(), now);
        let hosts = self.hosts.len();
        let roster = self.hosts[host].state.as_ref().map(|s| s.roster.clone());
        let machine = &mut self.hosts[host];
        machine.run += 1;
        machine.started = self.now;
        machine.silent_since = None;
        if goes_on {
            machine.replaced = self.now;
        }
        machine.daemon = Some(Daemon::new(engine, roster.clone(), hosts));
        self.say(host, || "the daemon starts".to_owned());
        self.facts.push(Fact::Started(host));
        if let Some(roster) = roster {
            self.adopt_roster(host, roster);
        }
        self.step(host, Input::Timeout);
        let interface = self.hosts[host].interface();
        self.schedule_input(ms(1), host, interface);
    }

    /// Hands an input to the daemon, or leaves it in the mailbox of a stopped one.
    pub(super) fn deliver(&mut self, host: usize, input: Input) {
        let from_wire = matches!(input, Input::Advertisement(_) | Input::Message { .. });
        if from_wire && !self.hosts[host].is_reachable() {
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
        self.hosts[host].silent_since = None;
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        let actions: Vec<Action> = daemon.unfinished.drain(..).collect();
        if !actions.is_empty() {
            // Somebody may look before it gets round to anything else.
            self.perform_all(host, actions);
            return self.stall(host, ms(1));
        }
        let mailbox: Vec<Input> = daemon.mailbox.drain(..).collect();
        self.say(host, || format!("the daemon goes on, {} inputs late", mailbox.len()));
        for input in mailbox.into_iter().chain([Input::Timeout]) {
            self.deliver(host, input);
        }
    }

    /// One step of the engine, and its consequences.
    pub(super) fn step(&mut self, host: usize, input: Input) {
        self.steps += 1;
        self.detail(host, || format!("<- {input:?}"));
        if self.may_end_service(&input) {
            self.hosts[host].excused = self.now;
        }
        let answered = self.note_message(host, &input);
        let now = self.hosts[host].now(self.now);
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        daemon.decided = now;
        let mut actions = daemon.engine.step(now, input);
        if let Some(mutant) = self.mutant {
            actions = self.mutate(mutant, host, answered.as_ref().map(|(_, request)| request), actions);
        }
        self.note_decisions(host, answered, &actions);
        self.perform_all(host, actions);
        self.set_timer(host);
    }

    /// Whether this may make an owner let go that has all votes.
    fn may_end_service(&self, input: &Input) -> bool {
        match input {
            Input::Advertisement(datagram) | Input::SealedAdvertisement { datagram, .. } => {
                self.may_come_from_outside(datagram)
            }
            Input::Message { message, .. } => matches!(message, Message::Preempt(_) | Message::Move(_)),
            Input::Interface(_)
            | Input::InterfaceGone { .. }
            | Input::AddressGone { .. }
            | Input::Hearing { .. }
            | Input::FenceGone
            | Input::Script { .. }
            | Input::Tracked { .. }
            | Input::Unfit(_)
            | Input::Failed { .. }
            | Input::Configure(_)
            | Input::Shutdown
            | Input::Keep => true,
            Input::Timeout
            | Input::WallClock(_)
            | Input::ClearCounters
            | Input::FenceGaps(_)
            | Input::Probed { .. }
            | Input::Stalled
            | Input::Listened
            | Input::Roster(_)
            | Input::ChangeRoster { .. }
            | Input::Order { .. }
            | Input::Settings { .. }
            | Input::RosterStored { .. }
            | Input::PeerUp { .. }
            | Input::Reconnected { .. }
            | Input::PeerDown { .. }
            | Input::Gossip { .. }
            | Input::Heard { .. } => false,
        }
    }

    /// Whether an advert was not sent by a host that has its router in its configuration, or may have
    /// been forged: delays and repetitions add up to ten seconds.
    fn may_come_from_outside(&self, datagram: &Datagram) -> bool {
        let Ok((packet, _)) = mesh_wire::vrrp::parse(&datagram.payload, datagram.source, datagram.destination) else {
            return false;
        };
        let key = (Family::of(datagram.source), packet.vrid);
        let sends = |h: &Host| {
            h.address(key.0) == datagram.source && h.config.routers.iter().any(|r| (r.key.family, r.key.vrid) == key)
        };
        self.foreign_until + ms(10_000) > self.now || !self.hosts.iter().any(sends)
    }

    /// The request an input is, and who sent it; a release is noted.
    fn note_message(&mut self, host: usize, input: &Input) -> Option<(usize, Request)> {
        let Input::Message { from, message } = input else { return None };
        let from = self.index_of(*from)?;
        match message {
            Message::Request(request) => Some((from, request.clone())),
            Message::Release(releases) => {
                let routers = releases.iter().filter_map(|r| router_of(&r.router));
                let freed = routers.map(|router| Fact::Freed { voter: host, owner: from, router });
                self.facts.extend(freed);
                None
            }
            _ => None,
        }
    }

    /// What judges want to know of a step: it is decided now, whenever it is brought about.
    fn note_decisions(&mut self, host: usize, answered: Option<(usize, Request)>, actions: &[Action]) {
        for action in actions {
            match (action, &answered) {
                (Action::Record(decision), _) => self.facts.push(Fact::Decision(host, decision.clone())),
                (Action::SendMessage { message: Message::Reply(reply), .. }, Some((owner, request))) => {
                    let vote = |(router, verdict, duration)| Fact::Vote {
                        voter: host,
                        owner: *owner,
                        router,
                        verdict,
                        duration,
                    };
                    self.facts.extend(votes(reply, request).map(vote));
                }
                _ => {}
            }
        }
    }

    /// Brings about actions in order; a process may be stopped after any of them.
    fn perform_all(&mut self, host: usize, actions: Vec<Action>) {
        let fence =
            |a: &Action| matches!(a, Action::FenceArm { .. } | Action::FenceClose { .. } | Action::FenceInstall { .. });
        let daemon = self.hosts[host].daemon.as_mut().filter(|_| actions.iter().any(fence));
        let stall = daemon.and_then(|d| d.stall_next.take());
        let cut = stall.map(|_| self.rng.random_range(0..actions.len()));
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

    /// The timer's event is here; it may have been set anew meanwhile.
    pub(super) fn timer(&mut self, host: usize, timer: u64) {
        let Some(daemon) = self.hosts[host].daemon.as_mut().filter(|d| d.timer == timer) else { return };
        daemon.timer_due = None;
        if daemon.stalled_until.is_none() {
            self.step(host, Input::Timeout);
        }
    }

    fn set_timer(&mut self, host: usize) {
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        let due = daemon.engine.deadline().map(|(due, _)| due);
        if daemon.timer_due == due {
            return;
        }
        daemon.timer += 1;
        daemon.timer_due = due;
        let timer = daemon.timer;
        let Some(due) = due else { return };
        let late = Duration::from_micros(self.rng.random_range(0..1000));
        let at = self.hosts[host].clock.when(due).max(self.now).saturating_add(late);
        let run = self.hosts[host].run;
        self.schedule(at - self.now, Event::Timer { host, run, timer });
    }

    /// Brings about one effect, as the daemon does: nothing is claimed once a lease is over.
    pub(super) fn perform(&mut self, host: usize, action: Action) {
        let now = self.hosts[host].now(self.now);
        if is_claim(&action) && self.engine(host).is_some_and(|engine| engine.lease_ended(now)) {
            return;
        }
        if self.is_too_late(host, &action, now) {
            return;
        }
        self.detail(host, || format!("-> {action:?}"));
        match action {
            Action::SendAdvertisement { interface, source, destination, payload, .. } => {
                let datagram = Datagram { interface, source, destination, ttl: TTL, payload };
                self.multicast(host, datagram);
            }
            Action::SendMessage { to, message } => self.unicast(host, to, message),
            Action::Publish { key, value } => {
                let bytes = key.len() + value.as_ref().map_or(0, String::len);
                assert!(bytes <= MAX_VALUE, "gossip passes on no {bytes} bytes of {key}");
                self.queued += 1;
                let version = self.queued;
                if let Some(daemon) = &mut self.hosts[host].daemon {
                    daemon.learn(host, key, version, value);
                }
            }
            Action::AdoptRoster(roster) => self.adopt_roster(host, roster),
            Action::StoreRoster { ticket, state } => self.store_roster(host, ticket, state),
            Action::RosterChanged { ticket, result } => self.roster_changed(host, ticket, result),
            Action::Ordered { result, .. } => {
                self.say(host, || format!("the operator is told: {result:?}"));
                self.answers.push(result);
            }
            Action::Record(decision) => self.record(host, decision),
            Action::Stopped => self.stopped(host),
            Action::ProbeAddresses { probe, addresses } => {
                let run = self.hosts[host].run;
                let addresses = addresses.into_iter().map(|(_, address)| address).collect();
                self.schedule(PROBE, Event::Probed { host, run, probe, addresses });
            }
            Action::Remember(changes) => self.hosts[host].memory.remember(&changes),
            Action::Announce { .. }
            | Action::MakeVmacs { .. }
            | Action::AddRoutes { .. }
            | Action::DelRoutes { .. }
            | Action::HaveStatics(_)
            | Action::RunScripts(_)
            | Action::WatchTracked { .. }
            | Action::AskSettings { .. }
            | Action::TellServices(_)
            | Action::Tell(_) => {}
            Action::KeepWill(will) => self.hosts[host].runtime.will = Some(will),
            Action::KeepHolds(holds) => self.hosts[host].runtime.holds = holds,
            Action::LeaveBehind(left) => self.hosts[host].runtime.adopted = left,
            Action::AddAddress { .. }
            | Action::DelAddress { .. }
            | Action::SweepAddresses { .. }
            | Action::FenceAdopt { .. }
            | Action::FenceInstall { .. }
            | Action::FenceArm { .. }
            | Action::FenceClose { .. } => {
                self.perform_in_kernel(host, action, now);
                self.look_at_kernel(host);
            }
        }
    }

    /// Whether an effect was decided upon before a stop and may make a second owner after it. The
    /// engine is told that it was left out.
    fn is_too_late(&mut self, host: usize, action: &Action, now: Instant) -> bool {
        let Some(daemon) = &mut self.hosts[host].daemon else { return true };
        let unleased = is_claim(action) && daemon.engine.serves_without_lease();
        let risky = matches!(action, Action::FenceInstall { .. }) || unleased;
        let late = risky && now.since(daemon.decided) > STALL;
        if late && daemon.mailbox.front() != Some(&Input::Stalled) {
            daemon.mailbox.push_front(Input::Stalled);
        }
        late
    }

    fn perform_in_kernel(&mut self, host: usize, action: Action, now: Instant) {
        let run = self.hosts[host].run;
        match action {
            Action::AddAddress { interface, address, lifetime_s } => {
                let address = address.net.addr();
                if self.fails() {
                    let effect = Effect::Address { interface, address };
                    return self.report_failure(host, effect, "out of memory");
                }
                let lifetime = self.lifetime(lifetime_s);
                self.hosts[host].kernel.add(address, now, lifetime);
            }
            Action::DelAddress { address, .. } => {
                self.hosts[host].kernel.delete(address.net.addr(), now);
            }
            Action::SweepAddresses { except, .. } => {
                let except: Vec<IpAddr> = except.into_iter().map(|(_, address)| address).collect();
                self.hosts[host].kernel.sweep(&except);
            }
            Action::FenceAdopt { addresses, until } => self.hosts[host].kernel.adopt(&addresses, until, run),
            Action::FenceInstall { addresses, .. } => {
                self.hosts[host].kernel.fence(&addresses, run);
                self.hosts[host].exposed_until = self.now;
            }
            Action::FenceArm { addresses, until } => {
                if self.fails() {
                    return self.report_failure(host, Effect::Fence, "no buffer space");
                }
                let until = self.armed_until(host, &addresses, now, until);
                if let Err(error) = self.hosts[host].kernel.arm(&addresses, now, until, run) {
                    self.report_failure(host, Effect::Fence, &error);
                }
            }
            Action::FenceClose { addresses } => self.hosts[host].kernel.close(&addresses),
            _ => {}
        }
    }

    fn fails(&mut self) -> bool {
        self.failures > 0 && self.rng.random_range(0..1000) < self.failures
    }

    fn report_failure(&mut self, host: usize, effect: Effect, error: &str) {
        self.say(host, || format!("fails: {effect:?}: {error}"));
        if let (Effect::Address { .. }, Some(daemon)) = (&effect, &mut self.hosts[host].daemon) {
            daemon.failed = true;
        }
        self.schedule_input(Duration::ZERO, host, Input::Failed { effect, error: error.to_owned() });
    }

    fn record(&mut self, host: usize, decision: Decision) {
        match &decision {
            Decision::Router { name, event, cause, .. } => {
                self.say(host, || format!("{name} {event:?}: {cause}"));
            }
            other => self.say(host, || format!("{other:?}")),
        }
    }
}

/// Whether an effect tells the segment that this host serves.
fn is_claim(action: &Action) -> bool {
    matches!(action, Action::AddAddress { .. } | Action::SendAdvertisement { .. } | Action::Announce { .. })
}
