//! Real-time priority for the threads that renew leases: on a busy host they run when they are due.
//!
//! The lowest priority of SCHED_RR is enough where nothing else is configured: it comes before every ordinary thread,
//! and after whoever asked for more. Two things keep a mistake of ours from freezing the host: children (tracked
//! scripts) start with ordinary priority, and a thread that runs for [`LONGEST_RUN`] without ever waiting is killed by
//! the kernel together with the daemon, whose leases then end by themselves. Configurations say how else threads run:
//! [`Manner`].
//!
//! Memory is locked where that cannot fail later: a daemon whose pages were swapped out waits for a
//! disk. Pages are locked as they come into use (MCL_ONFAULT), so that it takes no more memory than
//! before; a limit (RLIMIT_MEMLOCK) would count all that is reserved and let allocations fail, so with
//! a limit nothing is locked.

use std::collections::BTreeSet;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{io, thread};

use mesh_config::model::{LONGEST_RUN, Scheduling, Threads};
use nix::libc;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

/// Lowest real-time priority.
const PRIORITY: u8 = 1;

static RAISED: AtomicU64 = AtomicU64::new(0);

/// How a thread runs beside others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Its real-time priority.
    realtime: Option<u8>,
    nice: Option<i8>,
    longest_run: Duration,
    processors: BTreeSet<u16>,
    name: Option<String>,
}

impl Manner {
    /// As configured; `realtime` tells whether the thread has the lowest real-time priority even if none is.
    pub fn of(scheduling: &Scheduling, realtime: bool) -> Manner {
        Manner {
            realtime: scheduling.realtime.or(realtime.then_some(PRIORITY)),
            nice: scheduling.nice,
            longest_run: scheduling.longest_run.unwrap_or_default().max(LONGEST_RUN),
            processors: scheduling.processors.clone(),
            name: scheduling.name.clone(),
        }
    }

    /// With a name of its own.
    pub fn unnamed(self) -> Manner {
        Manner { name: None, ..self }
    }

    /// Has the calling thread run like this. What the system does not allow is told and left: the daemon does
    /// its work all the same.
    pub fn take(&self) {
        let name = thread::current().name().map(str::to_owned);
        if let Some(nice) = self.nice
            && let Err(error) = set_nice(nice)
        {
            tracing::warn!(thread = name, %error, "its priority stays as it is: {nice} is not allowed");
        }
        if let Err(error) = bind(&self.processors) {
            tracing::warn!(thread = name, %error, "it runs on all processors, not on {:?} alone", self.processors);
        }
        if let Some(priority) = self.realtime {
            match raise(priority, self.longest_run) {
                Ok(got) if got == priority => {}
                Ok(got) => tell_of_limit(priority, got),
                Err(error) => tracing::info!(
                    thread = name,
                    %error,
                    "no real-time priority: on a busy host leases may be renewed late (CAP_SYS_NICE or LimitRTPRIO allow it)"
                ),
            }
        }
        take_name(self.name.as_deref());
    }
}

/// A thread that wakes up too late gets a higher priority, step by step (`max_auto_priority`).
#[derive(Debug)]
pub struct Ladder {
    priority: u8,
    most: u8,
    late: Duration,
}

impl Ladder {
    /// For a thread that begins like this.
    pub fn new(threads: &Threads, realtime: bool) -> Ladder {
        let priority = Manner::of(&threads.vrrp, realtime).realtime.unwrap_or(0);
        Ladder { priority, most: threads.most_automatic, late: threads.late }
    }

    /// It ran so long after it should have.
    pub fn woke(&mut self, late: Duration) {
        let Some(priority) = self.step(late) else { return };
        match schedule(priority) {
            Ok(got) if got == priority => {
                tracing::info!("{late:?} late: the real-time priority is {priority} from now on");
            }
            Ok(got) => {
                // No step is higher than this one.
                self.most = got;
                tell_of_limit(priority, got);
            }
            Err(error) => tracing::info!(%error, "{late:?} late, and no higher real-time priority is allowed"),
        }
    }

    /// The priority to change to.
    fn step(&mut self, late: Duration) -> Option<u8> {
        if late < self.late || self.priority >= self.most {
            return None;
        }
        self.priority += 1;
        Some(self.priority)
    }
}

/// Gives the calling thread real-time priority; tells which it got.
///
/// # Errors
///
/// Not allowed: neither CAP_SYS_NICE nor a limit (RLIMIT_RTPRIO) permits it, or the control group has
/// no share of real-time scheduling.
fn raise(priority: u8, longest_run: Duration) -> io::Result<u8> {
    // Before the priority: no moment in which a thread could spin unwatched. The limit is one of all threads:
    // the longest any of them may have counts, and a lower one that was set before us stays.
    static ALLOWED: AtomicU64 = AtomicU64::new(0);
    let run = longest_run.as_micros() as u64;
    let run = ALLOWED.fetch_max(run, Ordering::Relaxed).max(run);
    let (_, hard) = getrlimit(Resource::RLIMIT_RTTIME)?;
    setrlimit(Resource::RLIMIT_RTTIME, run.min(hard), hard)?;
    let got = schedule(priority)?;
    RAISED.fetch_add(1, Ordering::Relaxed);
    Ok(got)
}

/// This priority, or else the highest that the limit allows: a low one is better than none. Tells which it is.
fn schedule(priority: u8) -> io::Result<u8> {
    let Err(refused) = set_scheduler(priority) else { return Ok(priority) };
    let (limit, _) = getrlimit(Resource::RLIMIT_RTPRIO)?;
    match instead(priority, &refused, limit) {
        Some(less) => set_scheduler(less).map(|()| less),
        None => Err(refused),
    }
}

/// What to ask for where this priority was refused; nothing where that was not for the limit.
fn instead(priority: u8, refused: &io::Error, limit: u64) -> Option<u8> {
    let limit = u8::try_from(limit).ok()?;
    (refused.raw_os_error() == Some(libc::EPERM) && (1..priority).contains(&limit)).then_some(limit)
}

/// Once, whichever thread asked for more.
fn tell_of_limit(wanted: u8, got: u8) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        tracing::warn!(
            "a real-time priority of {wanted} is not allowed, {got} is: without CAP_SYS_NICE the limit RLIMIT_RTPRIO \
             counts; LimitRTPRIO={wanted} in the unit, or `ulimit -r {wanted}`, raises it"
        );
    });
}

/// What `ps` shows for the calling thread; of the first one, for the process.
pub fn take_name(name: Option<&str>) {
    if let Some(name) = name
        && let Err(error) = std::fs::write("/proc/thread-self/comm", name)
    {
        tracing::warn!(%error, "it is not called {name}");
    }
}

/// None are all.
fn bind(processors: &BTreeSet<u16>) -> nix::Result<()> {
    if processors.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    processors.iter().try_for_each(|processor| set.set((*processor).into()))?;
    sched_setaffinity(Pid::from_raw(0), &set)
}

/// Takes the limit of locked memory away.
///
/// # Errors
///
/// Not allowed: that takes CAP_SYS_RESOURCE.
pub fn lift_memory_limit() -> nix::Result<()> {
    setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY)
}

/// How many threads of this process got it.
pub fn raised() -> u64 {
    RAISED.load(Ordering::Relaxed)
}

/// Keeps this process in memory, where no limit can make a later allocation fail; tells whether.
///
/// # Errors
///
/// Not allowed, although there is no limit.
pub fn lock_memory() -> io::Result<bool> {
    let (soft, _) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
    if soft != RLIM_INFINITY {
        return Ok(false);
    }
    lock_all()?;
    Ok(true)
}

fn set_scheduler(priority: u8) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority.into() };
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the pointer is to a live, initialised structure which the kernel only reads; 0 is the
    // calling thread. nix has no wrapper for this call.
    let result = unsafe { libc::sched_setscheduler(0, policy, &parameters) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn set_nice(nice: i8) -> io::Result<()> {
    // SAFETY: takes no pointer; 0 is the calling thread. nix has no wrapper for this call.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice.into()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn lock_all() -> io::Result<()> {
    // SAFETY: takes no pointer; it changes when pages may be swapped out, and nothing a program sees.
    let result = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests;
