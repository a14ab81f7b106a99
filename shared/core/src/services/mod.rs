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
mod reload;
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
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub use self::action::Action;
use self::checker::{Checker, Ended};
pub use self::input::Input;
use self::input::{CheckRun, Outcome, Surroundings};
use self::kernel::{Kernel, Wanted};
use self::mesh::Peer;
use self::pool::{Occasion, Service, Voice};
use crate::ipvs::{ServiceKey, SyncDaemon, SyncRole, Table, Timeouts};
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
    stopping: Option<stop::Stopping>,
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
        [check, judge, self.kernel.deadline(), self.stop_deadline()].into_iter().flatten().min()
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

    fn kernel_found(&mut self, now: Instant, answer: Result<input::Kernel, String>) {
        if !self.kernel.found(now, answer, &mut self.out) {
            return;
        }
        self.all_differ = true;
        self.note_programmed();
        if !self.started && self.stopping.is_none() {
            self.start(now);
        }
    }

    /// What is in ip_vs changed.
    fn note_programmed(&mut self) {
        for (index, service) in self.services.iter_mut().enumerate() {
            let programmed = service.config.endpoints.iter().all(|e| self.kernel.has(&pool::key(*e, &service.config)));
            if std::mem::replace(&mut service.programmed, programmed) != programmed {
                self.dirty.insert(index);
            }
        }
    }

    /// Real servers are judged for the first time.
    fn start(&mut self, now: Instant) {
        self.started = true;
        let flush = self.lvs.flush;
        if flush {
            self.flush(now);
        }
        let found = self.kernel.held.as_ref().filter(|_| !flush).map(|held| held.table.clone());
        for index in 0..self.services.len() {
            if let Some(table) = &found {
                self.adopt(now, index, table);
            }
            self.start_service(index);
        }
        let all: Vec<Place> = self.places.values().copied().collect();
        for place in all {
            self.warm_up(now, place);
        }
        self.dirty = (0..self.services.len()).collect();
    }

    /// Real servers that an earlier run took out stay out until they are checked; the others keep their weight until
    /// checks that have a say in it had it.
    fn adopt(&mut self, now: Instant, index: usize, table: &Table) {
        let soon = now + SOON.mul_f64(self.rng.random_range(0.0..1.0));
        let service = &mut self.services[index];
        let present: Vec<_> = service.config.endpoints.iter().map(|e| (*e, pool::key(*e, &service.config))).collect();
        let pools: Vec<_> = present.iter().filter_map(|(e, key)| Some((*e, table.get(key)?))).collect();
        if pools.is_empty() {
            return;
        }
        for member in 0..service.members.len() {
            let real = &service.config.real_servers[member];
            let mut weights = pools.iter().filter_map(|(endpoint, pool)| {
                let key = words::destination(real.address, real.forwarding, *endpoint).into();
                Some(pool.destinations.get(&key)?.weight)
            });
            // 0 is what was taken out has, too, unless it would not be there then.
            let sure = |weight: u32| weight > 0 || real.weight == 0;
            let meant = !real.inhibit_on_failure && service.members[member].checkers.iter().any(|c| !c.weighs);
            let left = weights.find(|weight| sure(*weight) || meant);
            if left.is_some() {
                service.members[member].left = left;
                continue;
            }
            for checker in service.members[member].checkers.iter_mut().filter(|c| c.runs()) {
                checker.distrust();
                checker.due = Some(soon);
            }
        }
    }

    /// The first state of a service, which scripts hear of as keepalived has it: the quorum always,
    /// real servers with `rs_init_notifies`.
    fn start_service(&mut self, index: usize) {
        let service = &mut self.services[index];
        for member in 0..service.members.len() {
            let known = std::mem::replace(&mut service.members[member].known, true);
            if known || service.members[member].checkers.iter().any(|c| !c.up) {
                continue;
            }
            service.members[member].live = true;
            if self.lvs.init_notifies {
                service.tell_member(member, &mut self.voice);
            }
        }
        service.update_quorum(Occasion::Start, &mut self.voice);
        self.differing.extend(service.keys());
    }

    /// The first check comes at a random moment within `warmup`.
    fn warm_up(&mut self, now: Instant, place: Place) {
        if !self.started || !self.services[place.service].members[place.member].mine {
            return;
        }
        let random = self.rng.random_range(0.0..1.0);
        let checker = self.checker(place);
        if checker.runs() && checker.due.is_none() && checker.running.is_none() {
            checker.due = Some(now + checker.check.warmup.mul_f64(random));
        }
        self.set_timer(place);
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

    fn work_on_kernel(&mut self, now: Instant) {
        if self.uses_ip_vs() || self.kernel.is_busy() {
            self.kernel.run(now, &mut self.out);
        } else {
            self.kernel.rest();
        }
        if self.kernel.is_busy() {
            return;
        }
        if self.kernel.retry_due(now) {
            self.all_differ = true;
        }
        if !self.started || self.stopping.is_some() {
            return;
        }
        if std::mem::take(&mut self.all_differ) {
            self.differing.clear();
            let wanted = self.wanted(self.users.keys());
            self.kernel.reconcile(now, &wanted, None, &mut self.out);
        } else if !self.differing.is_empty() {
            let keys = std::mem::take(&mut self.differing);
            let wanted = self.wanted(keys.iter());
            self.kernel.reconcile(now, &wanted, Some(&keys), &mut self.out);
        }
    }

    /// Whether there is anything to program; if not, a kernel without ip_vs is not spoken of.
    fn uses_ip_vs(&self) -> bool {
        !self.services.is_empty()
            || self.lvs.sync.is_some()
            || self.lvs.timeouts.is_some()
            || self.kernel.ours().next().is_some()
            || self.kernel.our_roles().next().is_some()
    }

    /// What ip_vs shall hold for these keys, and besides.
    fn wanted<'a>(&self, keys: impl Iterator<Item = &'a ServiceKey>) -> Wanted {
        let mut table = Table::new();
        for key in keys {
            for &index in self.users.get(key).into_iter().flatten() {
                let service = &self.services[index];
                let endpoint = service.config.endpoints.iter().find(|e| pool::key(**e, &service.config) == *key);
                let Some(endpoint) = endpoint else { continue };
                let pool = service.wanted(*endpoint);
                match table.get_mut(key) {
                    None => drop(table.insert(*key, pool)),
                    // A mark that two virtual servers share: the first one's settings, all real servers.
                    Some(first) => pool.destinations.into_iter().for_each(|(key, destination)| {
                        first.destinations.entry(key).or_insert(destination);
                    }),
                }
            }
        }
        let timeouts = self.lvs.timeouts.map(|(tcp, tcp_fin, udp)| Timeouts { tcp, tcp_fin, udp });
        Wanted { table, sync: self.wanted_sync(), timeouts }
    }

    /// `lvs_sync_daemon`: master where its virtual router is active, else backup.
    fn wanted_sync(&self) -> BTreeMap<SyncRole, SyncDaemon> {
        let Some(sync) = &self.lvs.sync else { return BTreeMap::new() };
        let roles: &[SyncRole] = match &sync.router {
            None => &[SyncRole::Master, SyncRole::Backup],
            Some(router) if self.around.active_here.contains(router) => &[SyncRole::Master],
            Some(_) => &[SyncRole::Backup],
        };
        let daemon = |role: &SyncRole| SyncDaemon {
            role: *role,
            interface: sync.interface.clone(),
            id: sync.id,
            maxlen: Some(sync.max_length).filter(|n| *n != 0),
            group: sync.group,
            port: Some(sync.port).filter(|n| *n != 0),
            ttl: Some(sync.ttl).filter(|n| *n != 0),
        };
        roles.iter().map(|role| (*role, daemon(role))).collect()
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
