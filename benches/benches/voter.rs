//! What one renewal of many leases costs a voter: its decisions, and its memory on top.

use std::path::Path;
use std::time::Duration;

use divan::{Bencher, black_box};
use mesh_benches::{config, voter};
use mesh_core::{Action, Engine, Input, Instant};
use mesh_wire::mesh::lease::{Claim, Message, Request};
use mesh_wire::mesh::{Family, NodeId, RouterKey};
use meshd::memory::{Memory, Owner};

fn main() {
    divan::main();
}

const PERIOD: Duration = Duration::from_millis(250);

/// An owner's renewals, one after another.
struct Renewals {
    engine: Engine,
    now: Instant,
    seq: u64,
    claims: Vec<Claim>,
}

impl Renewals {
    fn new(routers: u8) -> Renewals {
        let now = Instant::from_nanos(1_000_000_000);
        let claim =
            |vrid| Claim { router: RouterKey { family: Family::Ipv4, vrid, segment: 0 }, epoch: 1, duration_ms: 1000 };
        let engine = voter(config(routers, 1), now);
        Renewals { engine, now, seq: 0, claims: (1..=routers).map(claim).collect() }
    }

    fn next(&mut self) -> Vec<Action> {
        self.now = self.now + PERIOD;
        self.seq += 1;
        let request = Request { roster_epoch: 3, seq: self.seq, claims: self.claims.clone() };
        self.engine.step(self.now, Input::Message { from: NodeId(2), message: Message::Request(request) })
    }
}

/// One message answered, nothing written.
#[divan::bench(args = [1, 16, 255])]
fn renewal_answered(bencher: Bencher<'_, '_>, routers: u8) {
    let mut renewals = Renewals::new(routers);
    bencher.bench_local(|| black_box(renewals.next()));
}

/// The same, and every grant in the voter's memory.
#[divan::bench(args = [1, 16, 255])]
fn renewal_answered_and_remembered(bencher: Bencher<'_, '_>, routers: u8) {
    let mut renewals = Renewals::new(routers);
    let run = Path::new("/dev/shm");
    let run = if run.is_dir() { tempfile::tempdir_in(run) } else { tempfile::tempdir() }.expect("a directory");
    let state = tempfile::tempdir().expect("a directory");
    let owner = Owner { node: NodeId(1), cluster: "bench".to_owned(), boot: "bench".to_owned() };
    let (mut memory, _) = Memory::open(&owner, run.path(), state.path(), renewals.now).expect("memory");
    bencher.bench_local(|| {
        for action in renewals.next() {
            if let Action::Remember(changes) = action {
                memory.remember(&changes).expect("it can be written");
            }
        }
    });
    assert!(memory.is_kept());
}
