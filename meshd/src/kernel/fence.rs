//! The fence: the kernel drops what comes for a virtual address, and what would answer from it, except
//! while it is armed for that address. The arming has a timeout which the kernel keeps, so that a
//! daemon that is stopped, starved or killed loses the address on time without running. The rules
//! outlive the daemon: what is not armed is closed. `layout` shows them.
//!
//! ```text
//! target        what can be fenced, and in which tables it is
//! layout        tables, sets, chains    rules     what they drop    elements   what is fenced, and open
//! unaccepted    what is dropped whether the fence is open or not
//! capabilities  what this kernel can do           inspect           what it holds now
//! transport     transactions over netlink         watch             what others do to our tables
//! ```
//!
//! The kernel counts timeouts in whole ticks (1 to 10 ms) from the last tick, and drops fractions: the
//! fence closes up to two ticks early, and late by at most [`TOLERANCE`].

mod capabilities;
mod closing;
mod elements;
mod inspect;
mod layout;
pub mod reports;
mod rules;
mod target;
mod transport;
mod unaccepted;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use mesh_core::Instant;
use nix::libc;
use nix::net::if_::if_nametoindex;

use crate::clock;
use capabilities::{Capabilities, Refresh};
pub use closing::{Closed, close_all};
use elements::Which;
use layout::Plan;
use transport::{Refused, Transaction, Transport};

pub use inspect::{Held, Inspection};
pub use target::{FenceTarget, Table};
pub(super) use transport::split;
pub use watch::FenceWatch;

/// How much later than asked for the fence may close because the request took its time. More, and
/// the request is repeated with a timeout that is shorter by what it took.
pub const TOLERANCE: Duration = Duration::from_millis(5);
/// How often an arming is repeated, each time expecting to take as long as the time before.
const ATTEMPTS: usize = 5;
/// The longest tick of a kernel (HZ=100). A timeout below one tick becomes zero, and zero means
/// forever: less than this is not armed, but closed.
const LONGEST_TICK: Duration = Duration::from_millis(10);
/// Of an element that is added only to be removed again, in milliseconds.
const PASSING: u64 = 1000;

/// The fence of this host's network namespace. Everything blocks, for half a second at most where the
/// kernel does not answer; a few hundred microseconds are usual.
pub struct Fence {
    transport: Transport,
    capabilities: Capabilities,
    plans: Vec<Plan>,
    fenced: BTreeSet<FenceTarget>,
    armed: BTreeMap<FenceTarget, Instant>,
    /// Packets for these are dropped in any case.
    unaccepted: BTreeSet<FenceTarget>,
}

/// Why there is no fence.
#[derive(Debug, thiserror::Error)]
pub enum FenceUnavailable {
    /// CAP_NET_ADMIN is missing.
    #[error("not permitted: the fence needs CAP_NET_ADMIN")]
    NotPermitted,
    /// The kernel has no nf_tables, or not all of it that is needed.
    #[error("this kernel cannot do it: {0}")]
    Unsupported(io::Error),
    /// Something else.
    #[error("{0}")]
    Other(io::Error),
}

impl Fence {
    /// Finds out what of the fence this kernel can hold, and changes nothing. [`Fence::gaps`] tells
    /// what is missing.
    pub fn probe() -> Result<Fence, FenceUnavailable> {
        let mut transport = Transport::open().map_err(unavailable)?;
        let capabilities = Capabilities::probe(&mut transport).map_err(unavailable)?;
        let (plans, fenced, armed, unaccepted) = (Vec::new(), BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        Ok(Fence { transport, capabilities, plans, fenced, armed, unaccepted })
    }

    /// Fences exactly these, in one transaction: what was fenced and stays is never open in between,
    /// whoever fenced it. What this object armed and stays in the list stays armed; what somebody else
    /// or an earlier run armed is closed. None removes the tables.
    ///
    /// Frames from a virtual MAC address are dropped where they leave one of `devices`; those that do
    /// not exist are left out, so install again when one appears.
    pub fn install(&mut self, targets: &[FenceTarget], devices: &BTreeSet<String>) -> io::Result<()> {
        self.install_with(targets, &[], devices)
    }

    /// The same, and drops packets for these addresses (`no_accept`), in the same transaction.
    pub fn install_with(
        &mut self,
        targets: &[FenceTarget],
        unaccepted: &[FenceTarget],
        devices: &BTreeSet<String>,
    ) -> io::Result<()> {
        // With virtual MAC addresses, where there are some: what comes to those is judged by its address.
        let unaccepted: BTreeSet<FenceTarget> = unaccepted.iter().copied().filter(|target| !target.is_mac()).collect();
        let refusal = unaccepted::Change::new(&mut self.transport, &self.capabilities, &unaccepted)?;
        let fenced: BTreeSet<FenceTarget> = targets.iter().copied().collect();
        let devices = devices.iter().filter(|device| if_nametoindex(device.as_str()).is_ok()).cloned().collect();
        let plans = layout::plans(&fenced, &devices, &self.capabilities);
        let armed: BTreeMap<_, _> =
            self.armed.iter().filter(|(t, _)| fenced.contains(t)).map(|(t, u)| (*t, *u)).collect();
        let present = self.inspect()?;
        let passing = self.passing();
        // Tables that are not needed, or have elements for which there is no set any more.
        let has_place = |target: &FenceTarget, plan: &Plan| !plan.table.holds(target) || plan.has_sets_of(target);
        let fits = |table: Table, held: &Held| {
            plans
                .iter()
                .any(|p| p.table == table && held.fenced.iter().chain(held.leased.keys()).all(|t| has_place(t, p)))
        };
        let unfit: Vec<Table> = present.iter().filter(|(t, held)| !fits(**t, held)).map(|(t, _)| *t).collect();
        let installed = self.transact(&plans, &armed, |transaction| {
            refusal.prepare(transaction);
            unfit.iter().for_each(|table| layout::destroy(transaction, *table));
            for plan in &plans {
                plan.build(transaction);
                elements::add(transaction, plan.table, Which::Fenced, fenced.iter().map(|target| (target, None)));
                if let Some(held) = present.get(&plan.table) {
                    let (gone, open) = (held.fenced.difference(&fenced), held.leased.keys());
                    let gone = gone.filter(|target| plan.has_sets_of(target));
                    let open = open.filter(|target| !armed.contains_key(target) && plan.has_sets_of(target));
                    elements::forget(transaction, plan.table, Which::Fenced, gone, None);
                    elements::forget(transaction, plan.table, Which::Leased, open, passing);
                }
            }
        });
        if let Err(error) = installed {
            if Refused::errno(&error) == 0 || Refused::errno(&error) == libc::EPERM {
                return Err(error);
            }
            // Somebody keeps something else under our names, so nothing is fenced: start afresh.
            self.transact(&plans, &armed, |transaction| {
                refusal.prepare(transaction);
                for plan in &plans {
                    layout::destroy(transaction, plan.table);
                    plan.build(transaction);
                    elements::add(transaction, plan.table, Which::Fenced, fenced.iter().map(|target| (target, None)));
                }
            })?;
        }
        (self.plans, self.fenced, self.armed, self.unaccepted) = (plans, fenced, armed, unaccepted);
        Ok(())
    }

    /// Counts these targets as armed by this object, though an earlier run did it: the next
    /// [`Fence::install`] leaves them open until then, without a gap.
    pub fn adopt(&mut self, targets: &[FenceTarget], until: Instant) {
        self.armed.extend(targets.iter().map(|target| (*target, until)));
    }

    /// Opens the fence for these until a point in time, later or earlier than before. A point that has
    /// passed, or will within 10 ms, closes it. An error leaves it no longer open than until the later
    /// of both points.
    pub fn arm(&mut self, targets: &[FenceTarget], until: Instant) -> io::Result<()> {
        if let Some(stranger) = targets.iter().find(|target| !self.fenced.contains(target)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{stranger} is not fenced")));
        }
        let armed: BTreeMap<_, _> = targets.iter().map(|target| (*target, until)).collect();
        let plans = std::mem::take(&mut self.plans);
        let done = self.transact(&plans, &armed, |_| ());
        self.plans = plans;
        done?;
        self.armed.extend(armed);
        Ok(())
    }

    /// Closes the fence for these; one that is not open, or not fenced, is no failure.
    pub fn close(&mut self, targets: &[FenceTarget]) -> io::Result<()> {
        let targets: BTreeSet<_> = targets.iter().filter(|target| self.fenced.contains(target)).collect();
        self.armed.retain(|target, _| !targets.contains(target));
        let (mut transaction, passing) = (Transaction::default(), self.passing());
        for plan in &self.plans {
            elements::forget(&mut transaction, plan.table, Which::Leased, targets.iter().copied(), passing);
        }
        self.transport.commit(transaction)
    }

    /// What of the protection this kernel cannot give to what is fenced, in words; nothing where all
    /// is well.
    pub fn gaps(&self) -> Vec<String> {
        self.capabilities.gaps(&self.fenced)
    }

    /// What the kernel holds.
    pub fn inspect(&mut self) -> io::Result<Inspection> {
        let mut found = Inspection::new();
        for table in Table::ALL.into_iter().filter(|table| self.capabilities.has(*table)) {
            let plan = self.plans.iter().find(|plan| plan.table == table);
            if let Some(held) = inspect::inspect(&mut self.transport, table, plan)? {
                found.insert(table, held);
            }
        }
        Ok(found)
    }

    /// Whether the kernel holds what it was last told.
    pub fn intact(&mut self) -> io::Result<bool> {
        let found = self.inspect()?;
        let now = clock::now();
        // A lease that ends about now may be there or not.
        let slack = 2 * LONGEST_TICK + TOLERANCE;
        let timeouts = self.capabilities.timeouts;
        let as_told = |plan: &Plan| {
            let Some(held) = found.get(&plan.table) else { return false };
            let leased = |(target, left): (&FenceTarget, &Duration)| {
                self.armed.get(target).is_some_and(|until| !timeouts || *left <= until.since(now) + slack)
            };
            held.complete
                && held.fenced.iter().eq(self.fenced.iter().filter(|target| plan.has_sets_of(target)))
                && held.leased.iter().all(leased)
                && self
                    .armed
                    .iter()
                    .filter(|(target, _)| plan.has_sets_of(target))
                    .all(|(target, until)| until.since(now) <= slack || held.leased.contains_key(target))
        };
        let refusing = !unaccepted::Change::new(&mut self.transport, &self.capabilities, &self.unaccepted)?.is_needed();
        Ok(refusing && found.len() == self.plans.len() && self.plans.iter().all(as_told))
    }

    /// Follows what others do to our tables. To be called within a tokio runtime.
    pub fn watch(&self) -> io::Result<FenceWatch> {
        FenceWatch::open(self.transport.port())
    }

    fn passing(&self) -> Option<u64> {
        self.capabilities.timeouts.then_some(PASSING)
    }

    /// One transaction over all tables: what `prepare` says, and these armed until their time.
    fn transact(
        &mut self,
        plans: &[Plan],
        armed: &BTreeMap<FenceTarget, Instant>,
        prepare: impl Fn(&mut Transaction),
    ) -> io::Result<()> {
        // What the request itself is expected to take.
        let mut allowance = Duration::ZERO;
        for _ in 0..ATTEMPTS {
            let mut transaction = Transaction::default();
            prepare(&mut transaction);
            let before = clock::now();
            let left = |until: &Instant| until.since(before).saturating_sub(allowance);
            let (open, shut): (Vec<_>, Vec<_>) = armed.iter().partition(|(_, until)| left(until) >= LONGEST_TICK);
            for plan in plans {
                let shut = shut.iter().map(|(target, _)| *target);
                elements::forget(&mut transaction, plan.table, Which::Leased, shut, self.passing());
                let timeout = |until| self.capabilities.timeouts.then(|| left(until).as_millis() as u64);
                let open = open.iter().map(|(target, until)| (*target, timeout(until)));
                if self.capabilities.refresh == Refresh::Replace {
                    elements::add(&mut transaction, plan.table, Which::Leased, open.clone());
                    let old = open.clone().map(|(target, _)| target);
                    elements::remove(&mut transaction, plan.table, Which::Leased, old);
                }
                elements::add(&mut transaction, plan.table, Which::Leased, open);
            }
            self.transport.commit(transaction)?;
            let took = clock::now().since(before);
            if open.is_empty() || took <= allowance + TOLERANCE {
                return Ok(());
            }
            allowance = took;
        }
        let mut transaction = Transaction::default();
        for plan in plans {
            elements::forget(&mut transaction, plan.table, Which::Leased, armed.keys(), self.passing());
        }
        self.transport.commit(transaction)?;
        self.armed.retain(|target, _| !armed.contains_key(target));
        Err(io::Error::new(io::ErrorKind::TimedOut, "arming takes too long to be exact; closed instead"))
    }
}

fn unavailable(error: io::Error) -> FenceUnavailable {
    match Refused::errno(&error) {
        libc::EPERM | libc::EACCES => FenceUnavailable::NotPermitted,
        libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::ENOENT | libc::EINVAL => {
            FenceUnavailable::Unsupported(error)
        }
        _ => FenceUnavailable::Other(error),
    }
}
