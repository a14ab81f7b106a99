//! Whatever happens, in whatever order.

use mesh_config::model::SorryServer;
use mesh_wire::mesh::gossip::{Health, RealServerReport, ServiceReport};
use mesh_wire::mesh::roster::Role;
use proptest::prelude::*;

use super::super::input::Member;
use super::*;

const REALS: u8 = 4;

/// What happens.
#[derive(Clone, Debug)]
enum Op {
    /// Time passes, in milliseconds.
    Pass(u64),
    /// A real server dies or recovers.
    Turn(u8, bool),
    /// So many directors besides this one, and who owns the address.
    Around(u8, u8),
    /// Another director says something about a real server.
    Hear(u8, u8, u8),
    /// Somebody takes a destination out of ip_vs.
    Meddle,
    /// There is no ip_vs any more, or again.
    Absent(bool),
    /// Another configuration.
    Configure(Vec<u8>, u32, u32, bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..15_000_u64).prop_map(Op::Pass),
        4 => (0..REALS, any::<bool>()).prop_map(|(real, dead)| Op::Turn(real, dead)),
        1 => (0..4_u8, 0..5_u8).prop_map(|(others, owner)| Op::Around(others, owner)),
        3 => (2..5_u8, 0..REALS, 0..3_u8).prop_map(|(node, real, state)| Op::Hear(node, real, state)),
        1 => Just(Op::Meddle),
        1 => any::<bool>().prop_map(Op::Absent),
        1 => (proptest::collection::vec(0..3_u8, 0..=REALS as usize), 1..6_u32, 0..3_u32, any::<bool>())
            .prop_map(|(weights, quorum, hysteresis, sorry)| Op::Configure(weights, quorum, hysteresis, sorry)),
    ]
}

fn configured(weights: &[u8], quorum: u32, hysteresis: u32, sorry: bool) -> Config {
    let mut server = web(weights.len() as u8);
    (server.quorum, server.hysteresis) = (quorum, hysteresis.min(quorum - 1));
    for (real, weight) in server.real_servers.iter_mut().zip(weights) {
        real.weight = u32::from(*weight);
        real.inhibit_on_failure = *weight == 2;
    }
    let address = address("10.0.0.99:80");
    server.sorry_server = sorry.then_some(SorryServer { address, forwarding: Forwarding::Nat, inhibit: false });
    config(vec![server])
}

fn happen(host: &mut Host, op: &Op) {
    match op {
        Op::Pass(ms) => host.run(Duration::from_millis(*ms)),
        Op::Turn(real, dead) => {
            let to = SocketAddr::from(([10, 0, 0, 11 + real], 80));
            if *dead {
                host.dead.insert(to);
            } else {
                host.dead.remove(&to);
            }
        }
        Op::Around(others, owner) => {
            let member = |n: u8| {
                let member = Member { name: format!("lb{n}"), role: Role::Director, alive: true };
                (NodeId(u64::from(n)), member)
            };
            let members = (1..=others + 1).map(member).collect();
            let owners = [(address("10.0.0.1:80").ip(), NodeId(u64::from(*owner)))].into();
            host.give(Input::Surroundings(Surroundings { members, owners, active_here: BTreeSet::new() }));
        }
        Op::Hear(node, real, state) => {
            let state = [Health::Up, Health::Down, Health::Unknown][usize::from(*state)];
            let report = RealServerReport { state, reason: None, since_unix_ms: 0, confirmed_unix_ms: 0 };
            let to = SocketAddr::from(([10, 0, 0, 11 + real], 80));
            let name = "10.0.0.1:80/tcp".to_owned();
            let report = ServiceReport { name, programmed: true, real_servers: [(to, report)].into() };
            let value = Some(serde_json::to_string(&report).unwrap());
            let key = "service/10.0.0.1:80/tcp".to_owned();
            host.give(Input::Gossip { node: NodeId(u64::from(*node)), key, value });
        }
        Op::Meddle => {
            if let Some(pool) = host.kernel.table.values_mut().next() {
                pool.destinations.pop_first();
            }
        }
        Op::Absent(absent) => host.absent = absent.then(|| "no ip_vs".to_owned()),
        Op::Configure(weights, quorum, hysteresis, sorry) => {
            host.give(Input::Configure(Box::new(configured(weights, *quorum, *hysteresis, *sorry))));
        }
    }
}

/// What holds after every step.
fn check(host: &Host) {
    let services = &host.services;
    for service in &services.services {
        let weight = service.live_weight();
        let (quorum, hysteresis) = (u64::from(service.config.quorum), u64::from(service.config.hysteresis));
        if service.quorum_up {
            assert!(weight > 0 && weight >= quorum - hysteresis, "{weight} of {quorum} - {hysteresis}");
        } else {
            assert!(weight < quorum + hysteresis, "{weight} of {quorum} + {hysteresis}");
        }
        assert_eq!(service.sorry, !service.quorum_up && service.config.sorry_server.is_some());
        for member in &service.members {
            for checker in &member.checkers {
                assert!(checker.due.is_none() || checker.running.is_none());
                assert_eq!(checker.timer.is_some(), member.mine, "checked by whom it is assigned to, and only there");
                assert!(checker.timer.is_none_or(|at| services.timers.contains(&(at, checker.id))));
            }
        }
    }
    let checkers = services.services.iter().flat_map(|s| &s.members).flat_map(|m| &m.checkers);
    assert_eq!(services.timers.len(), checkers.filter(|c| c.timer.is_some()).count());
}

proptest! {
    #[test]
    fn invariants_hold_and_ip_vs_ends_up_as_wanted(ops in proptest::collection::vec(op(), 1..60)) {
        let mut host = Host::start(&configured(&[1, 1, 2, 0], 1, 0, false));
        for op in &ops {
            let before = host.checks.len();
            happen(&mut host, op);
            check(&host);
            let most = match op {
                // Each check at most once a second while it is retried, and half a second apart.
                Op::Pass(ms) => (*ms as usize / 500 + 2) * usize::from(REALS),
                _ => 0,
            };
            prop_assert!(host.checks.len() - before <= most, "{} checks", host.checks.len() - before);
        }
        host.absent = None;
        // Nothing more happens: two readings later ip_vs holds what is wanted, and stays so.
        host.run(Duration::from_secs(21));
        let wanted = host.services.wanted(host.services.users.keys());
        prop_assert_eq!(&wanted.table, &host.kernel.table);
        let mut out = Vec::new();
        let now = host.now;
        host.services.kernel.reconcile(now, &wanted, None, &mut out);
        prop_assert_eq!(out, []);
    }

    #[test]
    fn equal_inputs_give_equal_actions(ops in proptest::collection::vec(op(), 1..30)) {
        let run = || {
            let mut host = Host::start(&configured(&[1, 1, 2, 0], 1, 0, true));
            ops.iter().for_each(|op| happen(&mut host, op));
            (host.log, host.checks)
        };
        prop_assert_eq!(run(), run());
    }
}
