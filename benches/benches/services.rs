//! What 10,000 checks a second cost the services' state machine: 1,000 virtual servers with ten real
//! servers each, every one checked once a second.

use std::net::SocketAddr;
use std::time::Duration;

use divan::{Bencher, black_box, counter::ItemsCount};
use mesh_config::model::{Check, CheckKind, Config, Endpoint, Forwarding, Protocol, RealServer, VirtualServer};
use mesh_core::Instant;
use mesh_core::ipvs;
use mesh_core::services::input::{Kernel, Outcome};
use mesh_core::services::{Action, Input, Services, Setup};
use mesh_wire::mesh::NodeId;

fn main() {
    divan::main();
}

fn config(services: u16, reals: u8) -> Config {
    let server = |n: u16| {
        let [high, low] = n.to_be_bytes();
        let vip = SocketAddr::from(([10, 0, high, low], 80));
        let mut server = VirtualServer::new(Endpoint::Address(vip), Protocol::Tcp);
        let real = |r: u8| {
            let to = SocketAddr::from(([10, 100 + r, high, low], 80));
            let mut real = RealServer::new(to, Forwarding::Nat);
            let mut check = Check::new(CheckKind::Tcp, to);
            (check.delay_loop, check.warmup) = (Duration::from_secs(1), Duration::from_secs(1));
            check.retry = 0;
            real.checks.push(check);
            real
        };
        server.real_servers = (0..reals).map(real).collect();
        server
    };
    Config { virtual_servers: (0..services).map(server).collect(), ..Config::default() }
}

struct Node {
    services: Services,
    kernel: Kernel,
    now: Instant,
}

impl Node {
    fn new() -> Node {
        let now = Instant::from_nanos(1_000_000_000);
        let setup = Setup { node: NodeId(1), name: "lb1".to_owned(), seed: 1, unix_at_zero: Duration::ZERO };
        let services = Services::new(setup, &config(1000, 10), now);
        let mut node = Node { services, kernel: Kernel::default(), now };
        node.step(now, Input::Timeout, false);
        node.second(false);
        node
    }

    fn step(&mut self, now: Instant, input: Input, failing: bool) {
        let mut todo = vec![input];
        while let Some(input) = todo.pop() {
            for action in self.services.step(now, input) {
                match black_box(action) {
                    Action::Check { run, .. } => {
                        let refused = || Outcome::Failure("connection refused".to_owned());
                        // Every second run.
                        let fails = failing && run.number.is_multiple_of(2);
                        let outcome = if fails { refused() } else { Outcome::Success };
                        todo.push(Input::Checked { run, outcome });
                    }
                    Action::ReadKernel => todo.push(Input::Kernel(Ok(self.kernel.clone()))),
                    Action::Apply(changes) => {
                        for change in &changes {
                            ipvs::apply::apply(&mut self.kernel.table, change).expect("it fits");
                        }
                        todo.push(Input::Applied { failed: Vec::new() });
                    }
                    _ => {}
                }
            }
        }
    }

    fn second(&mut self, failing: bool) {
        let end = self.now + Duration::from_secs(1);
        while let Some(at) = self.services.deadline().filter(|at| *at <= end) {
            self.step(at, Input::Timeout, failing);
        }
        self.now = end;
    }
}

/// All real servers are well.
#[divan::bench(counters = [ItemsCount::new(10_000_usize)])]
fn second_of_successes(bencher: Bencher<'_, '_>) {
    let mut node = Node::new();
    bencher.bench_local(|| node.second(false));
}

/// About half of the results change something.
#[divan::bench(counters = [ItemsCount::new(10_000_usize)])]
fn second_of_changes(bencher: Bencher<'_, '_>) {
    let mut node = Node::new();
    bencher.bench_local(|| node.second(true));
}
