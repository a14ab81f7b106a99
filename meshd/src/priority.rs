//! Real-time priority for the threads that renew leases: on a busy host they run when they are due.
//!
//! The lowest priority of SCHED_RR is enough: it comes before every ordinary thread, and after whoever
//! asked for more. Two things keep a mistake of ours from freezing the host: children (tracked scripts)
//! start with ordinary priority, and a thread that runs for [`LONGEST_RUN`] without ever waiting is
//! killed by the kernel together with the daemon, whose leases then end by themselves.
//!
//! Memory is locked where that cannot fail later: a daemon whose pages were swapped out waits for a
//! disk. Pages are locked as they come into use (MCL_ONFAULT), so that it takes no more memory than
//! before; a limit (RLIMIT_MEMLOCK) would count all that is reserved and let allocations fail, so with
//! a limit nothing is locked.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::libc;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

/// Runs longer than this without waiting once are a bug. Not shorter: with hundreds of routers and a
/// queue that is never empty, honest work can take a second.
pub const LONGEST_RUN: Duration = Duration::from_secs(10);

/// Lowest real-time priority.
const PRIORITY: i32 = 1;

static RAISED: AtomicU64 = AtomicU64::new(0);

/// Gives the calling thread real-time priority.
///
/// # Errors
///
/// Not allowed: neither CAP_SYS_NICE nor a limit (RLIMIT_RTPRIO) permits it, or the control group has
/// no share of real-time scheduling.
pub fn raise() -> io::Result<()> {
    // Before the priority: no moment in which a thread could spin unwatched. Lower than the present
    // limit is always allowed, and a lower one stays.
    let run = LONGEST_RUN.as_micros() as u64;
    let (_, hard) = getrlimit(Resource::RLIMIT_RTTIME)?;
    setrlimit(Resource::RLIMIT_RTTIME, run.min(hard), run.min(hard))?;
    set_scheduler()?;
    RAISED.fetch_add(1, Ordering::Relaxed);
    Ok(())
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

fn set_scheduler() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: PRIORITY };
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the pointer is to a live, initialised structure which the kernel only reads; 0 is the
    // calling thread. nix has no wrapper for this call.
    let result = unsafe { libc::sched_setscheduler(0, policy, &parameters) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn lock_all() -> io::Result<()> {
    // SAFETY: takes no pointer; it changes when pages may be swapped out, and nothing a program sees.
    let result = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests;
