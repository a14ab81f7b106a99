//! The engine's own thread: facts in, effects out, nothing else.
//!
//! It runs a single-threaded runtime of its own, so that checkers, control connections and
//! telemetry can never delay a lease. Whatever it waits for is listed in [`Director::next`]; the
//! engine's timers come first.

mod act;
mod batch;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::iter::once;
use std::mem::discriminant;
use std::time::Duration;

use anyhow::Context;
use mesh_config::model::Config;
use mesh_control::Status;
use mesh_core::action::Effect;
use mesh_core::bfd::Told;
use mesh_core::input::ProbeAnswer;
use mesh_core::{Action, Engine, Input, Instant};
use mesh_wire::mesh::Family;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};

use crate::adverts::{Adverts, Ears};
use crate::clock;
use crate::kernel::fence::{Fence, FenceWatch};
use crate::kernel::netlink::{self, Link, Netlink};
use crate::priority::{Ladder, Manner};
use crate::privileges::explain_privileges;
use crate::pulse::Pulse;
use crate::telemetry::Effects;

mod failures;
mod late;
mod outputs;
mod secondaries;
mod sessions;
mod vmacs;

pub(crate) use self::failures::Failures;
pub use self::outputs::Outputs;
use self::secondaries::Secondaries;
use self::sessions::Sessions;
use self::vmacs::Vmacs;

/// Between two times that the status is made, after one that took so long: a hundredth of the time at most is
/// spent on it, but a change is shown within half a second.
pub(crate) fn status_pause(took: Duration) -> Duration {
    (took * 100).clamp(Duration::from_millis(100), Duration::from_millis(500))
}

/// Between two looks at what nobody tells of.
const LOOK: Duration = Duration::from_millis(500);

/// Less than that is the clock's own drift, and nothing that signatures mind.
const CLOCK_STEP: Duration = Duration::from_millis(100);

/// Facts of a kind taken in at once, at most: what else is due waits for microseconds.
const TOGETHER: usize = 64;

/// After the fence's notifications failed, before they are asked for again.
const WATCH_RETRY: Duration = Duration::from_secs(1);

/// The engine and the kernel it acts on.
pub struct Director {
    engine: Engine,
    inputs: mpsc::Receiver<Input>,
    sessions: Sessions,
    outputs: Outputs,
    /// Interfaces with virtual routers or their addresses, and the families of these routers.
    interfaces: BTreeMap<String, Ears>,
    /// The same by a configuration that the engine is about to take over.
    interfaces_next: Option<BTreeMap<String, Ears>>,
    secondaries: Secondaries,
    /// The wall clock was set, and the engine does not know yet.
    clock_set: Option<Duration>,
    /// What the engine was told the wall clock reads at the zero of its own.
    unix_at_zero: Duration,
    vmacs: Vmacs,
    links: BTreeMap<String, Link>,
    adverts: Adverts,
    /// Interfaces where adverts of a family cannot be heard, and why.
    deaf: BTreeMap<(String, Family), String>,
    /// The same, as far as the engine was told.
    deaf_told: BTreeMap<(String, Family), String>,
    netlink: Netlink,
    events: mpsc::Receiver<netlink::Event>,
    fence: FenceState,
    /// What the engine was told of it.
    fence_gaps: Vec<String>,
    watch: Option<FenceWatch>,
    watch_retry: Instant,
    look_at: Instant,
    /// How often it was opened, or opened further.
    fence_arms: u64,
    /// Probes for addresses under way, at most one for each router and some that were given up.
    probes: JoinSet<Probed>,
    ladder: Ladder,
    pulse: Pulse,
}

/// The number of a probe, and what came of it.
type Probed = (u64, io::Result<Option<ProbeAnswer>>);

/// The fence, or why there is none.
enum FenceState {
    Ready(Fence),
    Missing(String),
}

impl Director {
    /// Opens sockets.
    ///
    /// # Errors
    ///
    /// Privileges are missing, or netlink does not answer.
    pub async fn new(
        engine: Engine,
        config: &Config,
        inputs: mpsc::Receiver<Input>,
        sessions: watch::Receiver<Told>,
        outputs: Outputs,
    ) -> anyhow::Result<Self> {
        let adverts = Adverts::new().map_err(explain_privileges).context("cannot open a raw socket for VRRP")?;
        let (netlink, events) = Netlink::open().await.context("cannot talk to the kernel's rtnetlink")?;
        let fence = match Fence::probe() {
            Ok(fence) => FenceState::Ready(fence),
            Err(error) => FenceState::Missing(error.to_string()),
        };
        let pulse = Pulse::start(Manner::of(&config.process.threads.vrrp, config.mesh.realtime).unnamed())?;
        let now = clock::now();
        Ok(Director {
            engine,
            inputs,
            sessions: Sessions::new(sessions),
            outputs,
            interfaces: interfaces_of(config),
            interfaces_next: None,
            secondaries: Secondaries::new(config),
            unix_at_zero: clock::unix_at_zero(),
            clock_set: None,
            vmacs: Vmacs::of(config),
            links: BTreeMap::new(),
            adverts,
            deaf: BTreeMap::new(),
            deaf_told: BTreeMap::new(),
            netlink,
            events,
            fence,
            fence_gaps: Vec::new(),
            watch: None,
            watch_retry: now,
            look_at: now,
            fence_arms: 0,
            probes: JoinSet::new(),
            ladder: Ladder::new(&config.process.threads, config.mesh.realtime),
            pulse,
        })
    }

    /// Runs until the engine stopped or all senders of inputs are gone.
    pub async fn run(mut self) {
        self.step(vec![Input::Timeout]).await;
        self.look_at_sessions().await;
        while self.outputs.stopped.is_some() {
            self.watch_fence();
            let Some(inputs) = self.next().await else { break };
            self.step(inputs).await;
            self.look_at_sessions().await;
            self.look_around();
        }
        self.secondaries.restore();
        // What is asked for after the end is answered with that.
        self.show_status();
    }

    /// Waits for the next fact, or those that came together: a hundred messages of other members about as many
    /// routers have the kernel asked once.
    async fn next(&mut self) -> Option<Vec<Input>> {
        if let Some(unix_at_zero) = self.clock_set.take() {
            return Some(vec![Input::WallClock(unix_at_zero)]);
        }
        let now = clock::now();
        let wake = self.engine.deadline().map_or(self.look_at, |(at, _)| at.min(self.look_at));
        let (mut together, mut events) = (Vec::new(), Vec::new());
        let input = tokio::select! {
            biased;
            () = tokio::time::sleep(wake.since(now)) => {
                self.ladder.woke(clock::now().since(wake));
                Some(Input::Timeout)
            }
            count = self.inputs.recv_many(&mut together, TOGETHER) => {
                together.iter().for_each(|input| self.prepare(input));
                return (count > 0).then_some(together);
            }
            count = self.events.recv_many(&mut events, TOGETHER) => {
                let inputs = events.into_iter().map(|event| self.kernel_event(event)).collect();
                return (count > 0).then_some(inputs);
            }
            () = self.sessions.changed() => Some(Input::Timeout),
            () = changed(&mut self.watch) => Some(self.fence_changed()),
            Some(ended) = self.probes.join_next() => Some(probed(ended)),
            Some(asked) = self.outputs.questions.recv() => {
                asked.answer(&self.engine);
                Some(Input::Timeout)
            }
            () = self.outputs.status.due() => {
                self.show_status();
                Some(Input::Timeout)
            }
            Some(ask) = self.outputs.asks.recv() => Some(Outputs::answer(&self.engine, ask)),
            // Last: anybody on the segment can send as many as they like.
            adverts = self.adverts.receive(TOGETHER) => return Some(adverts),
        };
        input.map(|input| vec![input])
    }

    /// What this thread itself has to know of a fact before the engine does.
    fn prepare(&mut self, input: &Input) {
        if let Input::Configure(config) = input {
            let next = interfaces_of(config);
            // Routers that are no more have a last word to say.
            for (name, ears) in &next {
                self.interfaces.entry(name.clone()).or_default().join(ears);
            }
            self.interfaces_next = Some(next);
            self.secondaries.configure(config);
            self.secondaries.apply(self.links.keys());
            self.vmacs = Vmacs::of(config);
            self.open_sockets();
        }
    }

    async fn look_at_sessions(&mut self) {
        for input in self.sessions.news() {
            self.step(vec![input]).await;
        }
    }

    /// Somebody changed nftables rules; perhaps not ours.
    fn fence_changed(&mut self) -> Input {
        let intact = match &mut self.fence {
            FenceState::Ready(fence) => fence.intact().unwrap_or(false),
            FenceState::Missing(_) => true,
        };
        if intact { Input::Timeout } else { Input::FenceGone }
    }

    fn kernel_event(&mut self, event: netlink::Event) -> Input {
        match event {
            netlink::Event::Link(link) => {
                let interface = link.interface.clone();
                self.links.insert(interface.name.clone(), link);
                self.secondaries.apply(self.links.keys());
                self.open_sockets();
                Input::Interface(interface)
            }
            netlink::Event::LinkGone { name } => {
                self.links.remove(&name);
                self.adverts.close(&name);
                Input::InterfaceGone { name }
            }
            netlink::Event::AddressGone { interface, address } => Input::AddressGone { interface, address },
        }
    }

    /// Opens what is needed and not open, also what an error closed.
    fn open_sockets(&mut self) {
        let deaf_before = std::mem::take(&mut self.deaf);
        for link in self.links.values() {
            let name = &link.interface.name;
            let Some(ears) = self.interfaces.get(name) else { continue };
            let opened = match self.vmacs.base_of(name) {
                Some(base) => self.adverts.open_virtual((name, base), link.index, link.mac, ears),
                None => self.adverts.open(name, link.index, link.mac, ears),
            };
            for (family, error) in opened {
                let place = (name.clone(), family);
                if !deaf_before.contains_key(&place) {
                    tracing::warn!(interface = %name, %family, %error, "cannot listen for VRRP");
                }
                self.deaf.insert(place, error.to_string());
            }
        }
    }

    /// Closes what the configuration that was taken over does not need.
    fn close_sockets(&mut self) {
        let Some(interfaces) = self.interfaces_next.take() else { return };
        self.interfaces = interfaces;
        self.adverts.close_others(|name| self.interfaces.contains_key(name));
        self.open_sockets();
    }

    /// Where adverts can be heard that could not, or cannot any more.
    fn hearing_news(&mut self) -> Vec<Input> {
        if self.deaf == self.deaf_told {
            return Vec::new();
        }
        let told = std::mem::replace(&mut self.deaf_told, self.deaf.clone());
        let heard = told.into_keys().filter(|place| !self.deaf.contains_key(place)).map(|place| (place, None));
        let deaf = self.deaf.iter().map(|(place, why)| (place.clone(), Some(why.clone())));
        let news = heard.chain(deaf);
        news.map(|((interface, family), failure)| Input::Hearing { interface, family, failure }).collect()
    }

    /// Facts that came together, their effects, and the failures these report.
    async fn step(&mut self, inputs: Vec<Input>) {
        let mut queue = VecDeque::from([self.hearing_news(), inputs]);
        queue.retain(|inputs| !inputs.is_empty());
        while let Some(inputs) = queue.pop_front() {
            let (begin, inputs) = self.catch_up(inputs).await;
            let anew = inputs.iter().any(|input| matches!(input, Input::Configure(_)));
            let actions = batch::regroup(self.engine.step_all(begin, inputs));
            let mut effects = Effects::of(self.engine.take_story());
            let mut failures = Failures::default();
            let mut stalled = false;
            let mut actions = actions.into_iter().peekable();
            while let Some(action) = actions.next() {
                if failures.forbid(&action) || is_claim(&action) && self.engine.lease_ended(clock::now()) {
                    continue;
                }
                if self.is_risky(&action) && self.is_outdated(begin) {
                    stalled = true;
                    continue;
                }
                let installing = matches!(action, Action::FenceInstall { .. });
                let closing = installing || matches!(action, Action::FenceClose { .. });
                let effect = effects.begin(&action);
                let kind = discriminant(&action);
                let alike = std::iter::from_fn(|| actions.next_if(|next| discriminant(next) == kind));
                let failed = match action {
                    Action::AddAddress { .. } => {
                        let additions: Vec<Action> = once(action).chain(alike).collect();
                        additions.iter().for_each(|addition| failures.note_addition(addition));
                        self.add_addresses(additions).await
                    }
                    Action::DelAddress { .. } => self.del_addresses(once(action).chain(alike).collect()).await,
                    action => self.act_on_several(action).await,
                };
                effects.end(effect, failed.first().map(|(_, error)| error.as_str()));
                if installing && failed.is_empty() {
                    queue.extend(self.new_gaps().into_iter().map(|gap| vec![gap]));
                }
                for (effect, error) in failed {
                    failures.note(&effect, closing);
                    queue.push_back(vec![Input::Failed { effect, error }]);
                }
            }
            self.outputs.telemetry.tell(effects);
            if anew {
                self.sessions.forget();
                self.close_sockets();
            }
            if stalled {
                queue.push_front(vec![Input::Stalled]);
            }
        }
    }

    /// Whether an effect decided upon before a stop may make a second owner after it: whatever may let
    /// addresses out of the fence, and what is announced without one.
    fn is_risky(&self, action: &Action) -> bool {
        matches!(action, Action::FenceInstall { .. }) || is_claim(action) && self.engine.serves_without_lease()
    }

    /// Asks to be told when somebody touches the fence.
    fn watch_fence(&mut self) {
        let FenceState::Ready(fence) = &self.fence else { return };
        let now = clock::now();
        if self.watch.is_some() || now < self.watch_retry {
            return;
        }
        self.watch_retry = now + WATCH_RETRY;
        match fence.watch() {
            Ok(watch) => self.watch = Some(watch),
            Err(error) => tracing::warn!(%error, "changes of the nftables rules by others will not be noticed"),
        }
    }

    fn show_status(&mut self) {
        let now = clock::now();
        let status = self.status(now);
        self.outputs.status.show(status, status_pause(clock::now().since(now)));
    }

    /// Twice a second.
    fn look_around(&mut self) {
        let now = clock::now();
        if now < self.look_at {
            return;
        }
        self.look_at = now + LOOK;
        if self.adverts.any_failed() || !self.deaf.is_empty() {
            self.open_sockets();
        }
        // What was lost until now is not what a late step asks for.
        self.adverts.lost_any();
        // Somebody, or NTP, may set the clock at any time.
        let unix_at_zero = clock::unix_at_zero();
        if unix_at_zero.abs_diff(self.unix_at_zero) > CLOCK_STEP {
            self.unix_at_zero = unix_at_zero;
            self.clock_set = Some(unix_at_zero);
        }
    }

    /// The engine's status, with what was dropped before it reached the engine.
    fn status(&self, now: Instant) -> Status {
        let mut status = self.engine.status(now);
        status.counters.insert("malformed_ip_packets".to_owned(), self.adverts.dropped());
        status.counters.insert("fence_arms".to_owned(), self.fence_arms);
        status.counters.extend(self.outputs.counters());
        status.guard.clone_from(&self.outputs.guard);
        status
    }
}

/// Resolves when the fence was touched; for ever pending without a watch.
async fn changed(watch: &mut Option<FenceWatch>) {
    match watch {
        Some(watching) => {
            if let Err(error) = watching.changed().await {
                tracing::warn!(%error, "lost the kernel's notifications on nftables");
                *watch = None;
            }
        }
        None => std::future::pending().await,
    }
}

/// The end of a probe.
fn probed(ended: Result<Probed, JoinError>) -> Input {
    match ended {
        Ok((probe, Ok(answer))) => Input::Probed { probe, answer },
        Ok((probe, Err(error))) => Input::Failed { effect: Effect::Probe { probe }, error: error.to_string() },
        // It panicked; the engine stops waiting for it by itself.
        Err(error) => {
            tracing::error!(%error, "a probe for addresses died");
            Input::Timeout
        }
    }
}

/// Whether an effect tells the segment that this host serves.
fn is_claim(action: &Action) -> bool {
    matches!(action, Action::AddAddress { .. } | Action::SendAdvertisement { .. } | Action::Announce { .. })
}

fn interfaces_of(config: &Config) -> BTreeMap<String, Ears> {
    let mut interfaces: BTreeMap<String, Ears> = BTreeMap::new();
    for router in &config.routers {
        let names = [Some(&router.interface), router.vmac.as_ref().map(|vmac| &vmac.name)];
        for name in names.into_iter().flatten() {
            let ears = interfaces.entry(name.clone()).or_default();
            ears.add(router.key.family, router.group(), router.auth_header);
        }
        for address in router.served() {
            interfaces.entry(router.segment_of(address).to_owned()).or_default();
            interfaces.entry(router.interface_of(address).to_owned()).or_default();
        }
    }
    interfaces
}
