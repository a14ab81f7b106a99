//! What it costs to keep many leases: every 250 ms one request for all routers, its answers, and the fence in the
//! kernel. 12.5 ms would be 5 % of a processor. The kernel's part needs root, and a network namespace of its own.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use divan::{Bencher, black_box};
use mesh_benches::{config, voter};
use mesh_core::{Action, Engine, Input, Instant};
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::lease::{Message, Reply, Request, Verdict};
use meshd::clock;
use meshd::kernel::fence::{Fence, FenceTarget};
use nix::sched::{CloneFlags, unshare};

fn main() {
    divan::main();
}

const PERIOD: Duration = Duration::from_millis(250);
const LEASE: Duration = Duration::from_secs(1);
/// Of each router: 255 of them have 1,020.
const ADDRESSES: u8 = 4;

/// A director that serves, of three voters; the two others grant whatever it asks for.
struct Owner {
    engine: Engine,
    now: Instant,
}

impl Owner {
    fn new(routers: u8) -> Owner {
        let now = Instant::from_nanos(1_000_000_000);
        let mut engine = voter(config(routers, ADDRESSES), now);
        for node in [NodeId(2), NodeId(3)] {
            engine.step(now, Input::PeerUp { node, rtt: Duration::from_micros(300) });
        }
        let mut owner = Owner { engine, now };
        // Longer than an owner of the lowest priority is waited for, and all that serving begins with.
        (0..40).for_each(|_| drop(owner.period()));
        assert_eq!(owner.period().len(), usize::from(routers) * usize::from(ADDRESSES), "all are renewed and fenced");
        owner
    }

    /// Everything that is due in one period; gives the addresses the fence was opened for.
    fn period(&mut self) -> BTreeSet<IpAddr> {
        let end = self.now + PERIOD;
        let mut armed = BTreeSet::new();
        while let Some((at, _)) = self.engine.deadline().filter(|(at, _)| *at <= end) {
            let mut actions = self.engine.step(at, Input::Timeout);
            for (voter, request) in requests(&actions) {
                actions.extend(self.engine.step(at, granted(voter, at, &request)));
            }
            for action in actions {
                if let Action::FenceArm { addresses, .. } = action {
                    armed.extend(addresses);
                }
            }
        }
        self.now = end;
        armed
    }
}

fn requests(actions: &[Action]) -> Vec<(NodeId, Request)> {
    let requests = actions.iter().filter_map(|action| match action {
        Action::SendMessage { to, message: Message::Request(request) } => Some((*to, request.clone())),
        _ => None,
    });
    requests.collect()
}

fn granted(from: NodeId, at: Instant, request: &Request) -> Input {
    let verdicts = request.claims.iter().map(|claim| (claim.router, Verdict::Granted { epoch: claim.epoch })).collect();
    let reply = Reply {
        seq: request.seq,
        clock_ns: at.since(Instant::default()).as_nanos() as u64,
        roster_epoch: request.roster_epoch,
        verdicts,
    };
    Input::Message { from, message: Message::Reply(reply) }
}

/// The decisions alone.
#[divan::bench(args = [1, 16, 255])]
fn renewed(bencher: Bencher<'_, '_>, routers: u8) {
    let mut owner = Owner::new(routers);
    bencher.bench_local(|| black_box(owner.period()));
}

/// The same, and the kernel told.
#[divan::bench(args = [1, 16, 255])]
fn renewed_and_fenced(bencher: Bencher<'_, '_>, routers: u8) {
    unshare(CloneFlags::CLONE_NEWNET).expect("root, for a network namespace");
    let mut owner = Owner::new(routers);
    let targets = |addresses: BTreeSet<IpAddr>| addresses.into_iter().map(FenceTarget::from).collect::<Vec<_>>();
    let mut fence = Fence::probe().expect("a kernel with nf_tables");
    fence.install(&targets(owner.period()), &BTreeSet::new()).expect("the fence");
    bencher.bench_local(|| {
        let armed = targets(owner.period());
        fence.arm(&armed, clock::now() + LEASE).expect("it is opened");
    });
}
