//! How the threads of the daemon run beside everything else on a host.

use std::collections::BTreeSet;
use std::time::Duration;

/// Three kinds of threads, and what keepalived says of its processes by the same names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threads {
    /// `vrrp_*`: what renews leases, sends adverts and carries the mesh.
    pub vrrp: Scheduling,
    /// `checker_*`: what looks at real servers.
    pub checker: Scheduling,
    /// `bfd_*`: what holds BFD sessions.
    pub bfd: Scheduling,
    /// `max_auto_priority`: up to this real-time priority a thread of virtual routers that runs too late gets a
    /// higher one; 0 to 99, default 0: never.
    pub most_automatic: u8,
    /// `min_auto_priority_delay`: what is too late; 1 µs to 10 s, default 1 s.
    pub late: Duration,
}

impl Default for Threads {
    fn default() -> Self {
        let kind = Scheduling::default();
        let (vrrp, checker, bfd) = (kind.clone(), kind.clone(), kind);
        Threads { vrrp, checker, bfd, most_automatic: 0, late: Duration::from_secs(1) }
    }
}

/// Runs longer than this without waiting once are a bug. Not shorter: with hundreds of routers and a
/// queue that is never empty, honest work can take a second.
pub const LONGEST_RUN: Duration = Duration::from_secs(10);

/// One kind of threads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// `*_priority`: their nice value, -20 to 19; default: as the daemon was started.
    pub nice: Option<i8>,
    /// `*_rt_priority`: their real-time priority, 1 to 99.
    pub realtime: Option<u8>,
    /// `*_rlimit_rttime`: how long one may run without waiting once, where that is longer than
    /// [`LONGEST_RUN`].
    pub longest_run: Option<Duration>,
    /// `*_no_swap`: the daemon stays in memory.
    pub no_swap: bool,
    /// `*_cpu_affinity`: the processors they may run on, by number; none for all.
    pub processors: BTreeSet<u16>,
    /// `*_process_name`: what `ps` calls them; 1 to 15 bytes.
    pub name: Option<String>,
}
