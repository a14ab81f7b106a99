//! What happens in a simulated world, and what judges learn of it.

use std::net::IpAddr;
use std::time::Duration;

use mesh_core::roster::State;
use mesh_core::{Action, Decision, Input};
use mesh_wire::mesh::lease::{Message, Release, Reply, Request, Verdict};

use crate::layout::router_of;
use crate::network::Rule;

/// Something that happens at a point in time.
#[derive(Debug)]
pub(super) enum Event {
    Input {
        host: usize,
        run: u32,
        input: Box<Input>,
    },
    Message {
        host: usize,
        run: u32,
        from: usize,
        from_run: u32,
        message: Box<Message>,
    },
    Goodbye {
        host: usize,
        run: u32,
        from: usize,
    },
    /// A host's look at the segment is over.
    Probed {
        host: usize,
        run: u32,
        probe: u64,
        addresses: Vec<IpAddr>,
    },
    Timer {
        host: usize,
        run: u32,
        timer: u64,
    },
    Stall {
        host: usize,
        duration: Duration,
    },
    Resume {
        host: usize,
        run: u32,
    },
    /// The guard of a dead run has noticed.
    Guard {
        host: usize,
        run: u32,
    },
    Unpause {
        host: usize,
    },
    Start {
        host: usize,
    },
    Boot {
        host: usize,
    },
    Restart {
        host: usize,
    },
    PlugIn {
        host: usize,
    },
    /// A host that wants to be a member; asks again until it is.
    Join {
        host: usize,
    },
    /// A daemon's roster, and what it promised about the next, have reached the disk.
    Written {
        host: usize,
        run: u32,
        ticket: u64,
        state: Box<State>,
    },
    Disturb {
        rule: Rule,
        duration: Duration,
    },
    EndRule {
        number: u64,
    },
    /// Something in a kernel may have ended by itself.
    Kernel {
        host: usize,
    },
    Late {
        host: usize,
        run: u32,
        actions: Vec<Action>,
    },
    /// A heard advert, or a timer, of the router outside the mesh.
    Foreign {
        number: u64,
        heard: Option<mesh_core::vrrp::Heard>,
    },
    /// A planted bug ends a grant early.
    Shortened {
        host: usize,
        run: u32,
        owner: usize,
        seq: u64,
        release: Release,
    },
    Tick,
    /// Nothing but a moment somebody waits for.
    Look,
}

/// What a judge may want to know besides the state.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A daemon decided something.
    Decision(usize, Decision),
    /// A daemon started, remembering nothing.
    Started(usize),
    /// A host lost its daemon, or its power.
    Crashed(usize),
    /// A voter answers a claim.
    Vote {
        /// The voter.
        voter: usize,
        /// Who asked.
        owner: usize,
        /// For which router.
        router: usize,
        /// The answer.
        verdict: Verdict,
        /// For how long it was asked.
        duration: Duration,
    },
    /// A host gives a lease back, with its fence open or closed.
    Released {
        /// The host.
        host: usize,
        /// The router.
        router: usize,
        /// The lease's epoch.
        epoch: u64,
        /// Whether its kernel serves the address at this moment.
        open: bool,
    },
    /// A voter was told that a lease is given back.
    Freed {
        /// The voter.
        voter: usize,
        /// Whose lease.
        owner: usize,
        /// Of which router.
        router: usize,
    },
}

/// What a voter's reply to a request says, router by router.
pub(super) fn votes<'a>(
    reply: &'a Reply,
    request: &'a Request,
) -> impl Iterator<Item = (usize, Verdict, Duration)> + 'a {
    reply.verdicts.iter().filter_map(|(key, verdict)| {
        let claim = request.claims.iter().find(|c| c.router == *key)?;
        Some((router_of(key)?, *verdict, Duration::from_millis(u64::from(claim.duration_ms))))
    })
}
