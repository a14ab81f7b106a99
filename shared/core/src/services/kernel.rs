//! What ip_vs holds, as far as is known, and what is done about it.
//!
//! One thing at a time: a reading, or changes. Changes are the difference between what is wanted
//! and what is held; it is read at the start, after every failure, after a reload and every ten
//! seconds, so that whatever somebody else changed of ours is repaired. What the kernel refuses is
//! asked for again every ten seconds, and everything else goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::action::{Action, Decision};
use super::input;
use crate::ipvs::{self, Change, DestinationKey, ServiceKey, SyncDaemon, SyncRole, Table, Timeouts};
use crate::time::Instant;

/// Between two readings, and before another try at what was refused.
pub(super) const PERIOD: Duration = Duration::from_secs(10);

/// An answer that has not come by then is not waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The same for the first reading, before which nothing is checked.
const FIRST_PATIENCE: Duration = Duration::from_secs(3);

/// Different troubles remembered as told, at most.
const TOLD: usize = 1024;

/// What is wanted of ip_vs.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) table: Table,
    pub(super) sync: BTreeMap<SyncRole, SyncDaemon>,
    pub(super) timeouts: Option<Timeouts>,
}

/// The kernel's side.
#[derive(Debug, Default)]
pub(super) struct Kernel {
    /// None while that is not known.
    pub(super) held: Option<input::Kernel>,
    /// Services that this run asked for.
    ours: BTreeSet<ServiceKey>,
    /// Synchronisation daemons that this run asked for.
    roles: BTreeSet<SyncRole>,
    /// Timeouts from before ours, for when they are taken out of the configuration.
    timeouts_before: Option<Timeouts>,
    busy: Option<Busy>,
    /// When it is read next.
    read_at: Option<Instant>,
    /// The next reading shows more than what others did: something of ours failed.
    suspect: bool,
    refused: BTreeMap<Target, Refused>,
    /// Why nothing is known.
    pub(super) failure: Option<String>,
    told: BTreeSet<String>,
    /// Services that were repaired and told, until they were found as they should be.
    repaired_now: BTreeSet<ServiceKey>,
    /// How often something of ours was repaired.
    pub(super) repairs: u64,
}

#[derive(Debug)]
struct Busy {
    since: Instant,
    until: Instant,
    /// None for a reading.
    changes: Option<Vec<Change>>,
}

impl Busy {
    fn new(now: Instant, patience: Duration, changes: Option<Vec<Change>>) -> Busy {
        Busy { since: now, until: now + patience, changes }
    }
}

/// What a change is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Service(ServiceKey),
    Destination(ServiceKey, DestinationKey),
    Timeouts,
    Sync(SyncRole),
}

#[derive(Clone, Debug)]
struct Refused {
    until: Instant,
    reason: String,
}

impl Kernel {
    /// It is read as soon as nothing else is under way.
    pub(super) fn read_soon(&mut self, now: Instant) {
        self.read_at = Some(now);
    }

    /// Nothing is wanted of it any more.
    pub(super) fn rest(&mut self) {
        self.read_at = None;
        self.refused.clear();
    }

    /// Whether something was asked for that is not answered yet.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let busy = self.busy.as_ref().map(|busy| busy.until);
        let idle = || self.read_at.into_iter().chain(self.refused.values().map(|r| r.until)).min();
        busy.or_else(idle)
    }

    /// Whether a whole comparison is due: something refused may be asked for again.
    pub(super) fn retry_due(&mut self, now: Instant) -> bool {
        let before = self.refused.len();
        self.refused.retain(|_, refused| refused.until > now);
        self.refused.len() != before
    }

    /// Gives up on an answer. Says whether it did.
    pub(super) fn give_up(&mut self, now: Instant, out: &mut Vec<Action>) -> bool {
        let Some(busy) = self.busy.take_if(|busy| busy.until <= now) else { return false };
        self.suspect = true;
        let waited = now.since(busy.since).as_secs();
        self.lost(now, format!("ip_vs gives no answer in {waited} s"), out);
        true
    }

    /// Reads if that is due.
    pub(super) fn run(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.busy.is_none() && self.read_at.is_some_and(|at| at <= now) {
            let first = self.held.is_none() && self.failure.is_none();
            self.read_at = Some(now + PERIOD);
            self.busy = Some(Busy::new(now, if first { FIRST_PATIENCE } else { PATIENCE }, None));
            out.push(Action::ReadKernel);
        }
    }

    /// The answer to a reading. Says whether it was waited for.
    pub(super) fn found(&mut self, now: Instant, answer: Result<input::Kernel, String>, out: &mut Vec<Action>) -> bool {
        if self.busy.take_if(|busy| busy.changes.is_none()).is_none() {
            return false;
        }
        match answer {
            Err(error) => {
                self.suspect = true;
                self.lost(now, error, out);
            }
            Ok(found) => {
                if self.failure.take().is_some() {
                    self.suspect = true;
                    self.told.clear();
                }
                if let Some(held) = &self.held
                    && !self.suspect
                {
                    let repaired = repairs(&self.ours, &held.table, &found.table);
                    self.tell_repairs(repaired, out);
                }
                self.suspect = false;
                self.held = Some(found);
            }
        }
        true
    }

    /// The answer to changes. Says whether services came or went.
    pub(super) fn applied(&mut self, now: Instant, failed: Vec<(Change, String)>, out: &mut Vec<Action>) -> bool {
        let Some(busy) = self.busy.take_if(|busy| busy.changes.is_some()) else { return false };
        let failed_targets: BTreeSet<Target> = failed.iter().map(|(change, _)| Target::of(change)).collect();
        if let Some(held) = &mut self.held {
            let done = busy.changes.iter().flatten().filter(|change| !failed_targets.contains(&Target::of(change)));
            done.for_each(|change| take_in(held, change));
        }
        let whole = |change: &Change| matches!(change, Change::AddService { .. } | Change::DeleteService { .. });
        let services = busy.changes.iter().flatten().any(whole);
        if !failed.is_empty() {
            self.suspect = true;
            self.read_at = Some(now);
        }
        for (change, reason) in failed {
            let target = Target::of(&change);
            self.tell_once(format!("ip_vs refuses {target}: {reason}"), out);
            self.refused.insert(target, Refused { until: now + PERIOD, reason });
        }
        services
    }

    /// Asks for what differs, of the services in `keys`, or of everything.
    pub(super) fn reconcile(
        &mut self,
        now: Instant,
        wanted: &Wanted,
        keys: Option<&BTreeSet<ServiceKey>>,
        out: &mut Vec<Action>,
    ) {
        let Some(held) = &self.held else { return };
        self.ours.extend(wanted.table.keys());
        let mut changes = match keys {
            Some(keys) => {
                let present = keys.iter().filter_map(|key| Some((*key, held.table.get(key)?.clone()))).collect();
                ipvs::reconcile::table(&wanted.table, &present, &self.ours)
            }
            None => {
                self.roles.extend(wanted.sync.keys());
                let mut changes = self.timeout_changes(wanted.timeouts);
                let held = self.held.as_ref().expect("looked at above");
                changes.extend(ipvs::reconcile::table(&wanted.table, &held.table, &self.ours));
                changes.extend(ipvs::reconcile::sync(&wanted.sync, &held.sync, &self.roles));
                changes
            }
        };
        changes.retain(|change| !self.is_refused(change));
        if keys.is_none() {
            // What went was ours; from now on it is whoever's makes it.
            let held = &self.held.as_ref().expect("looked at above").table;
            self.ours.retain(|key| wanted.table.contains_key(key) || held.contains_key(key));
        }
        self.apply(now, changes, out);
    }

    /// Takes out what is to go with the daemon.
    pub(super) fn apply(&mut self, now: Instant, changes: Vec<Change>, out: &mut Vec<Action>) {
        if changes.is_empty() {
            return;
        }
        self.busy = Some(Busy::new(now, PATIENCE, Some(changes.clone())));
        out.push(Action::Apply(changes));
    }

    /// Takes these for asked for by this run.
    pub(super) fn claim(&mut self, keys: impl Iterator<Item = ServiceKey>, roles: impl Iterator<Item = SyncRole>) {
        self.ours.extend(keys);
        self.roles.extend(roles);
    }

    /// Of the services held those that this run asked for.
    pub(super) fn ours(&self) -> impl Iterator<Item = (ServiceKey, &ipvs::Pool)> {
        let table = self.held.iter().flat_map(|held| &held.table);
        table.filter(|(key, _)| self.ours.contains(key)).map(|(key, pool)| (*key, pool))
    }

    /// Synchronisation daemons that run and that this run asked for.
    pub(super) fn our_roles(&self) -> impl Iterator<Item = SyncRole> + '_ {
        let running = self.held.iter().flat_map(|held| held.sync.keys().copied());
        running.filter(|role| self.roles.contains(role))
    }

    /// Why a service is not, or not wholly, in ip_vs.
    pub(super) fn trouble(&self, key: &ServiceKey) -> Option<String> {
        if let Some(failure) = &self.failure {
            return Some(failure.clone());
        }
        let of = |target: &Target| match target {
            Target::Service(service) | Target::Destination(service, _) => service == key,
            Target::Timeouts | Target::Sync(_) => false,
        };
        let mut refused = self.refused.iter().filter(|(target, _)| of(target));
        refused.next().map(|(target, refused)| format!("ip_vs refuses {target}: {}", refused.reason))
    }

    /// Whether ip_vs has a service.
    pub(super) fn has(&self, key: &ServiceKey) -> bool {
        self.failure.is_none() && self.held.as_ref().is_some_and(|held| held.table.contains_key(key))
    }

    fn timeout_changes(&mut self, wanted: Option<Timeouts>) -> Vec<Change> {
        let Some(held) = &self.held else { return Vec::new() };
        let wanted = match wanted {
            Some(wanted) => {
                self.timeouts_before.get_or_insert(held.timeouts);
                wanted
            }
            None => match self.timeouts_before {
                Some(before) if before != held.timeouts => before,
                _ => {
                    self.timeouts_before = None;
                    return Vec::new();
                }
            },
        };
        let differs = |wanted: u32, held: u32| wanted != 0 && wanted != held;
        let any = differs(wanted.tcp, held.timeouts.tcp)
            || differs(wanted.tcp_fin, held.timeouts.tcp_fin)
            || differs(wanted.udp, held.timeouts.udp);
        if any { vec![Change::SetTimeouts(wanted)] } else { Vec::new() }
    }

    fn is_refused(&self, change: &Change) -> bool {
        let target = Target::of(change);
        // What is there takes real servers, whatever else of it was refused.
        if let Target::Destination(service, _) = &target
            && self.refused.contains_key(&Target::Service(*service))
            && self.held.as_ref().is_none_or(|held| !held.table.contains_key(service))
        {
            return true;
        }
        self.refused.contains_key(&target)
    }

    fn lost(&mut self, now: Instant, error: String, out: &mut Vec<Action>) {
        self.tell_once(format!("no virtual service is programmed: {error}"), out);
        self.failure = Some(error);
        self.held = None;
        self.read_at = Some(now + PERIOD);
    }

    fn tell_repairs(&mut self, repaired: BTreeMap<ServiceKey, String>, out: &mut Vec<Action>) {
        self.repaired_now.retain(|key| repaired.contains_key(key));
        for (key, what) in repaired {
            self.repairs += 1;
            if self.repaired_now.insert(key) {
                out.push(Action::Record(Decision::Repaired { what }));
            }
        }
    }

    fn tell_once(&mut self, text: String, out: &mut Vec<Action>) {
        if self.told.len() < TOLD && self.told.insert(text.clone()) {
            out.push(Action::Record(Decision::Warning { text }));
        }
    }
}

/// What of ours somebody else changed.
fn repairs(ours: &BTreeSet<ServiceKey>, expected: &Table, found: &Table) -> BTreeMap<ServiceKey, String> {
    let differ = |key: &&ServiceKey| expected.get(key) != found.get(key);
    let words = |key: &ServiceKey| match (expected.get(key), found.get(key)) {
        (Some(_), None) => format!("service {key} was gone"),
        (None, _) => format!("service {key} was there again"),
        (Some(expected), Some(found)) => {
            let fewer = expected.destinations.keys().filter(|k| !found.destinations.contains_key(k)).count();
            let more = found.destinations.keys().filter(|k| !expected.destinations.contains_key(k)).count();
            format!("service {key} was changed: {fewer} real servers were gone, {more} added, the rest edited")
        }
    };
    ours.iter().filter(differ).map(|key| (*key, words(key))).collect()
}

/// What a change that was done makes of what is held.
fn take_in(held: &mut input::Kernel, change: &Change) {
    match change {
        Change::SetTimeouts(timeouts) => {
            let keep = |new: u32, old: u32| if new == 0 { old } else { new };
            held.timeouts.tcp = keep(timeouts.tcp, held.timeouts.tcp);
            held.timeouts.tcp_fin = keep(timeouts.tcp_fin, held.timeouts.tcp_fin);
            held.timeouts.udp = keep(timeouts.udp, held.timeouts.udp);
        }
        Change::StartSync(daemon) => {
            held.sync.insert(daemon.role, daemon.clone());
        }
        Change::StopSync(role) => {
            held.sync.remove(role);
        }
        // It was done, so it fits; if not, the next reading shows it.
        _ => drop(ipvs::apply::apply(&mut held.table, change)),
    }
}

impl Target {
    fn of(change: &Change) -> Target {
        match change {
            Change::AddService { key, .. } | Change::EditService { key, .. } | Change::DeleteService { key } => {
                Target::Service(*key)
            }
            Change::AddDestination { service, key, .. }
            | Change::EditDestination { service, key, .. }
            | Change::DeleteDestination { service, key } => Target::Destination(*service, *key),
            Change::SetTimeouts(_) => Target::Timeouts,
            Change::StartSync(daemon) => Target::Sync(daemon.role),
            Change::StopSync(role) => Target::Sync(*role),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Service(key) => write!(f, "service {key}"),
            Target::Destination(service, key) => write!(f, "real server {key} of service {service}"),
            Target::Timeouts => f.write_str("the timeouts of connections"),
            Target::Sync(role) => write!(f, "the {role} of connection synchronisation"),
        }
    }
}
