//! Virtual services: which real servers are healthy, and what ip_vs shall hold.
//!
//! ```text
//!   results of checks ---+            +------------- Services --------------+   +--> Check (one, now)
//!   gossip of others ----+   Input    | assignment: who checks what         |   +--> ReadKernel, Apply
//!   who serves what -----+ ---------> |   -> checker: up, down, weight      | --+--> Run, WriteFifo, Mail
//!   ip_vs, files, BFD ---+            |     -> verdict: what the mesh says  |   +--> Publish
//!   timeouts ------------+            |       -> pool: quorum, sorry server |   +--> Unfit
//!                                     +-------------------------------------+   +--> Record
//! ```
//!
//! It is a state machine of its own, beside [`crate::Engine`] and driven by a thread of its own:
//! whatever checks do, leases and adverts do not wait for it. Like the engine it has no clock and no
//! chance of its own; equal inputs at equal times give equal actions.
//!
//! Nothing is decided before ip_vs was read once (or could not be): a real server that is missing
//! there, or has weight 0, while its service is there, was taken out by an earlier run. It counts as
//! down until its first check, which comes at once, so that a restart of the daemon puts no dead
//! server back; and a service that is there keeps every destination that is still wanted. Services of
//! an earlier run that are not in the configuration any more are not known for ours, and are left
//! alone.

pub mod action;
mod checker;
pub mod input;
mod kernel;
mod mesh;
mod pool;
mod programming;
mod reload;
mod start;
mod status;
mod stop;
mod verdict;
mod words;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use mesh_config::model::{CheckKind, Config, LvsSettings, Mail, TrackFile};
use mesh_wire::mesh::NodeId;
use rand::SeedableRng;
use rand::rngs::StdRng;

pub use self::action::Action;
use self::checker::{Checker, Ended};
pub use self::input::Input;
use self::input::{CheckRun, Outcome, Surroundings};
use self::kernel::Kernel;
use self::mesh::Peer;
use self::pool::{Occasion, Service, Voice};
use crate::ipvs::ServiceKey;
use crate::time::Instant;

/// How soon a check comes that is wanted at once: not all in the same moment.
const SOON: Duration = Duration::from_millis(500);

/// What a node is, besides its configuration.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its identity; any value without a mesh.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// For jitter.
    pub seed: u64,
    /// The wall clock's reading at the zero of the boot-time clock.
    pub unix_at_zero: Duration,
}

/// All state of one node's virtual services.
#[derive(Debug)]
pub struct Services {
    setup: Setup,
    lvs: LvsSettings,
    /// In the configuration's order.
    services: Vec<Service>,
    /// Where the checker with an id is.
    places: BTreeMap<u64, Place>,
    /// When each checker has to be looked at; at most one entry for each.
    timers: BTreeSet<(Instant, u64)>,
    /// Ids of checkers so far.
    ids: u64,
    /// Runs of checks so far.
    runs: u64,
    /// Which services use a key of ip_vs: marks may be shared.
    users: BTreeMap<ServiceKey, Vec<usize>>,
    /// Files that checks ask for, and the numbers in them.
    watched: Vec<TrackFile>,
    files: BTreeMap<String, i64>,
    around: Surroundings,
    /// What other nodes say.
    peers: BTreeMap<NodeId, Peer>,
    /// What was gossiped last, by key.
    published: BTreeMap<String, String>,
    /// What was said last about this node's fitness.
    unfit: BTreeMap<IpAddr, String>,
    /// Services to be judged again though nothing happens.
    rejudge: BTreeSet<(Instant, usize)>,
    addresses: BTreeSet<IpAddr>,
    kernel: Kernel,
    /// Real servers were judged for the first time.
    started: bool,
    /// Services to be judged again at the end of this step.
    dirty: BTreeSet<usize>,
    /// Keys of ip_vs that may differ from what is wanted.
    differing: BTreeSet<ServiceKey>,
    /// Everything may.
    all_differ: bool,
    stopping: Option<stop::Stage>,
    voice: Voice,
    rng: StdRng,
    out: Vec<Action>,
}

/// Where a checker is.
#[derive(Clone, Copy, Debug)]
struct Place {
    service: usize,
    member: usize,
    checker: usize,
}

impl Services {
    /// A node that has just started and knows nothing. The first call of [`Services::step`] returns
    /// what has to be found out before anything is decided.
    pub fn new(setup: Setup, config: &Config, now: Instant) -> Self {
        let mut services = Services {
            lvs: LvsSettings::default(),
            services: Vec::new(),
            places: BTreeMap::new(),
            timers: BTreeSet::new(),
            ids: 0,
            runs: 0,
            users: BTreeMap::new(),
            watched: Vec::new(),
            files: BTreeMap::new(),
            around: Surroundings::default(),
            peers: BTreeMap::new(),
            published: BTreeMap::new(),
            unfit: BTreeMap::new(),
            rejudge: BTreeSet::new(),
            addresses: BTreeSet::new(),
            kernel: Kernel::default(),
            started: false,
            dirty: BTreeSet::new(),
            differing: BTreeSet::new(),
            all_differ: false,
            stopping: None,
            voice: Voice { router_id: setup.name.clone(), fifos: Vec::new(), mail: Mail::default(), said: Vec::new() },
            rng: StdRng::seed_from_u64(setup.seed),
            out: Vec::new(),
            setup,
        };
        services.configure(now, config);
        services
    }

    /// Takes in one fact. The returned effects are to be brought about in order.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Action> {
        self.handle(now, input);
        self.run_timers(now);
        self.settle(now);
        self.work_on_kernel(now);
        self.out.append(&mut self.voice.said);
        self.finish(now);
        std::mem::take(&mut self.out)
    }

    /// When to call [`Services::step`] with [`Input::Timeout`] at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let check = self.timers.first().map(|(at, _)| *at);
        let judge = self.rejudge.first().map(|(at, _)| *at);
        [check, judge, self.kernel.deadline()].into_iter().flatten().min()
    }

    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Timeout => {}
            Input::Surroundings(around) => self.surround(now, around),
            Input::Addresses(addresses) => {
                self.addresses = addresses;
                self.suspend();
            }
            Input::Gossip { node, key, value } => self.gossip(now, node, &key, value.as_deref()),
            Input::Checked { run, outcome } => self.checked(now, run, &outcome),
            Input::File { name, value } => self.file(&name, value.unwrap_or(0)),
            Input::Bfd { name, up } => self.bfd(&name, up),
            Input::Kernel(answer) => self.kernel_found(now, answer),
            Input::Applied { failed } => {
                if self.kernel.applied(now, failed, &mut self.out) {
                    self.note_programmed();
                }
            }
            Input::Configure(config) => self.configure(now, &config),
            Input::Shutdown { keep } => self.shut_down(now, keep),
        }
    }

    /// `ha_suspend`: no checks while none of the addresses is on this host.
    fn suspend(&mut self) {
        for service in &mut self.services {
            let anywhere = service.config.addresses().next().is_none();
            let here = service.config.addresses().any(|address| self.addresses.contains(&address));
            service.suspended = service.config.ha_suspend && !anywhere && !here;
        }
    }

    fn checked(&mut self, now: Instant, run: CheckRun, outcome: &Outcome) {
        let Some(&place) = self.places.get(&run.check) else { return };
        let checker = self.checker(place);
        // An answer that was not waited for any more is no answer to the run after it.
        if checker.running.is_some_and(|running| running.number == run.number) {
            self.end(now, place, outcome);
        }
    }

    fn end(&mut self, now: Instant, place: Place, outcome: &Outcome) {
        let weight = self.services[place.service].config.real_servers[place.member].weight;
        let log_all = self.lvs.log_all_failures;
        let mine = self.services[place.service].members[place.member].mine;
        let checker = self.checker(place);
        let was_up = checker.up;
        let ended = checker.end(now, outcome, weight);
        if !mine {
            checker.due = None;
        }
        let log = (log_all || checker.check.log_all_failures) && was_up && !ended.changed;
        if let Some(reason) = checker.reason.clone().filter(|_| log) {
            self.tell_failure(place, &reason);
        }
        self.set_timer(place);
        self.note(place, ended);
        self.answer(now, place, outcome);
    }

    /// Somebody said that it is down, and it is not.
    fn answer(&mut self, now: Instant, place: Place, outcome: &Outcome) {
        let unix_ms = self.unix_ms(now);
        let member = &mut self.services[place.service].members[place.member];
        if !std::mem::take(&mut member.asked) || matches!(outcome, Outcome::Failure(_)) {
            return;
        }
        member.confirmed_unix_ms = unix_ms;
        self.dirty.insert(place.service);
    }

    /// `log_all_failures`: a failure that does not count yet.
    fn tell_failure(&mut self, place: Place, reason: &str) {
        let service = &self.services[place.service].config;
        let address = service.real_servers[place.member].address;
        let text = format!("real server {address} of {} failed a check: {reason}", service.name);
        self.out.push(Action::Record(action::Decision::Warning { text }));
    }

    /// What a result means for the real server is looked at when the step is over.
    fn note(&mut self, place: Place, ended: Ended) {
        if ended == Ended::default() {
            return;
        }
        let member = &mut self.services[place.service].members[place.member];
        member.first |= ended.first;
        member.mails.extend(ended.mail);
        self.dirty.insert(place.service);
    }

    fn file(&mut self, name: &str, number: i64) {
        self.files.insert(name.to_owned(), number);
        for place in self.places_of(|kind| matches!(kind, CheckKind::File { file, .. } if file == name)) {
            let ended = self.checker(place).tell_file(number);
            self.note(place, ended);
        }
    }

    fn bfd(&mut self, name: &str, up: bool) {
        for place in self.places_of(|kind| matches!(kind, CheckKind::Bfd { instance } if instance == name)) {
            let ended = self.checker(place).tell_bfd(name, up);
            self.note(place, ended);
        }
    }

    fn places_of(&self, wanted: impl Fn(&CheckKind) -> bool) -> Vec<Place> {
        let of = |place: &&Place| {
            let member = &self.services[place.service].members[place.member];
            wanted(&member.checkers[place.checker].check.kind)
        };
        self.places.values().filter(of).copied().collect()
    }

    /// Starts what is due, and gives up on what is overdue.
    fn run_timers(&mut self, now: Instant) {
        if self.kernel.give_up(now, &mut self.out) && !self.started && self.stopping.is_none() {
            self.start(now);
        }
        while let Some(&(at, index)) = self.rejudge.first()
            && at <= now
        {
            self.rejudge.pop_first();
            self.dirty.insert(index);
        }
        while let Some(&(at, id)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            let place = self.places[&id];
            self.checker(place).timer = None;
            match self.checker(place).running {
                Some(running) => {
                    let waited = at.since(running.started).as_secs();
                    self.end(now, place, &Outcome::Failure(format!("no answer in {waited} s")));
                }
                None => self.start_check(now, place),
            }
        }
    }

    fn start_check(&mut self, now: Instant, place: Place) {
        let suspended = self.services[place.service].suspended;
        let unwanted = self.stopping.is_some() || !self.services[place.service].members[place.member].mine;
        let number = self.runs + 1;
        let checker = self.checker(place);
        if unwanted {
            checker.due = None;
        } else if suspended {
            checker.due = Some(now + checker.check.delay_loop.max(Duration::from_millis(1)));
        } else {
            checker.start(now, number);
            let run = CheckRun { check: checker.id, number };
            let action = Action::Check { run, check: checker.check.clone(), step: checker.step() };
            self.runs = number;
            self.out.push(action);
        }
        self.set_timer(place);
    }

    /// Judges every service that something happened to.
    fn settle(&mut self, now: Instant) {
        if !self.started || self.stopping.is_some() {
            return;
        }
        let dirty = std::mem::take(&mut self.dirty);
        let mut fitness = false;
        for index in dirty {
            fitness |= self.judge(now, index);
        }
        if fitness {
            self.tell_fitness();
        }
    }

    /// Decides about the real servers of a service. Says whether this node's fitness changed.
    fn judge(&mut self, now: Instant, index: usize) -> bool {
        for member in 0..self.services[index].members.len() {
            let (own, _) = verdict::own_health(&self.services[index], member);
            let member = &mut self.services[index].members[member];
            if std::mem::replace(&mut member.own, own) != own {
                member.since = now;
                member.contradicted.clear();
            }
        }
        let verdicts = self.verdicts(now, index);
        let fitness = self.judge_fitness(now, index, &verdicts);
        let service = &mut self.services[index];
        for (member, (live, cause)) in verdicts.members.iter().enumerate() {
            let before = service.members[member].live;
            service.set_live(member, *live, cause, &mut self.voice);
            let first = std::mem::take(&mut service.members[member].first);
            if first && before == *live {
                service.tell_member(member, &mut self.voice);
            }
            service.mail_member(member, before != *live, &mut self.voice);
        }
        // Weights may have changed, too.
        service.update_quorum(Occasion::Change, &mut self.voice);
        self.differing.extend(service.keys());
        self.publish(index);
        fitness
    }

    fn checker(&mut self, place: Place) -> &mut Checker {
        &mut self.services[place.service].members[place.member].checkers[place.checker]
    }

    /// Makes the timer of a checker what the checker says.
    fn set_timer(&mut self, place: Place) {
        let checker = &mut self.services[place.service].members[place.member].checkers[place.checker];
        let wanted = checker.running.map(|running| running.overdue).or(checker.due);
        if checker.timer == wanted {
            return;
        }
        if let Some(at) = std::mem::replace(&mut checker.timer, wanted) {
            self.timers.remove(&(at, checker.id));
        }
        self.timers.extend(wanted.map(|at| (at, checker.id)));
    }
}

/// Up when all checks are: whether a real server is used where only this node's checks count.
fn local_verdict(checkers: &[Checker]) -> (bool, Cow<'static, str>) {
    match checkers.iter().find(|checker| !checker.up) {
        None => (true, Cow::Borrowed("every check succeeds")),
        Some(checker) => (false, checker.reason.clone().map_or(Cow::Borrowed("not checked yet"), Cow::Owned)),
    }
}
