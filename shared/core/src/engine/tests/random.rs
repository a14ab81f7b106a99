//! Any sequence of inputs: no panic, no timer that spins, and a kernel that agrees with the engine.

use mesh_config::model::QuorumLoss;
use mesh_wire::mesh::consensus::{Consensus, Objection, Step};
use mesh_wire::mesh::lease::{Preempt, Release, Vacant};
use mesh_wire::mesh::roster::Ballot;
use mesh_wire::vrrp::GROUP;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::action::Effect;
use crate::input::{Datagram, ProbeAnswer, ScriptOutcome};
use crate::roster::Change;

/// One input, still without what only the running engine knows.
#[derive(Clone, Debug)]
enum Op {
    Fixed(Box<Input>),
    /// A reply to the latest request but so many.
    Reply {
        from: NodeId,
        back: usize,
        verdict: Vote,
        clock_ms: u64,
    },
}

fn node() -> impl Strategy<Value = NodeId> {
    (1..5u64).prop_map(NodeId)
}

fn epoch() -> impl Strategy<Value = u64> {
    prop_oneof![9 => 0..12u64, 1 => Just(u64::MAX)]
}

fn verdict() -> impl Strategy<Value = Vote> {
    prop_oneof![
        4 => epoch().prop_map(|epoch| Vote::Granted { epoch }),
        2 => (node(), epoch(), 0..1500u32)
            .prop_map(|(owner, epoch, remaining_ms)| Vote::Held { owner, epoch, remaining_ms }),
        1 => epoch().prop_map(|max_epoch| Vote::Stale { max_epoch }),
        1 => Just(Vote::WrongRoster),
        1 => (0..3500u32).prop_map(|remaining_ms| Vote::Quarantine { remaining_ms }),
    ]
}

fn rosters() -> impl Strategy<Value = Roster> {
    (1..6u64, 0..12u64).prop_map(|(n, epoch)| Roster { epoch, ..roster(n) })
}

fn consensus() -> impl Strategy<Value = Message> {
    let ballot = || (0..4u64, node()).prop_map(|(round, proposer)| Ballot { round, proposer });
    let step = prop_oneof![
        Just(Step::Prepare),
        Just(Step::Accepted),
        proptest::option::of((ballot(), rosters())).prop_map(|accepted| Step::Promise { accepted }),
        rosters().prop_map(|roster| Step::Accept { roster }),
        (0..9u64).prop_map(|epoch| Step::Refused(Objection::Behind { epoch })),
        ballot().prop_map(|ballot| Step::Refused(Objection::Promised(ballot))),
    ];
    (0..12u64, ballot(), step).prop_map(|(epoch, ballot, step)| Message::Consensus(Consensus { epoch, ballot, step }))
}

fn wire_message() -> impl Strategy<Value = Message> {
    let claim = (51..53u8, epoch(), 0..3500u32).prop_map(|(vrid, epoch, duration_ms)| Claim {
        router: key(vrid),
        epoch,
        duration_ms,
    });
    let claims = proptest::collection::vec(claim, 0..3);
    prop_oneof![
        4 => (0..12u64, 0..50u64, claims)
            .prop_map(|(roster_epoch, seq, claims)| Message::Request(Request { roster_epoch, seq, claims })),
        2 => (epoch(), 0..50u64, proptest::option::of(node())).prop_map(|(epoch, seq, successor)| {
            Message::Release(vec![Release { router: KEY, epoch, seq, successor }])
        }),
        3 => (node(), epoch(), any::<bool>(), proptest::option::of(node())).prop_map(
            |(owner, epoch, released, reserved_for)| {
                Message::Vacant(vec![Vacant { router: KEY, owner, epoch, released, reserved_for }])
            }
        ),
        1 => any::<u8>().prop_map(|priority| Message::Preempt(Preempt { router: KEY, priority })),
        1 => rosters().prop_map(|roster| Message::Roster(roster.into())),
    ]
}

fn configs() -> impl Strategy<Value = Config> {
    let router =
        (1..=255u8, any::<bool>(), 0..3u64, 0..3usize).prop_map(|(priority, preempt, delay, interval)| VirtualRouter {
            priority,
            preempt,
            preempt_delay: Duration::from_secs(delay),
            advert_interval: [10, 200, 1000].map(Duration::from_millis)[interval],
            ..router(100)
        });
    (router, any::<bool>(), 0..3usize, 0..4usize).prop_map(|(first, two, lease, loss)| {
        let second = VirtualRouter {
            name: "VI_2".to_owned(),
            key: key(52),
            addresses: vec![vip("10.1.1.81/24")],
            ..first.clone()
        };
        let mut config = config(if two { vec![first, second] } else { vec![first] });
        let (vrrp, delay) = (Some(QuorumLoss::Vrrp), Some(Duration::from_millis(500)));
        let losses = [(None, None), (Some(QuorumLoss::Fence), None), (vrrp, None), (vrrp, delay)];
        (config.mesh.policy.on_quorum_loss, config.mesh.policy.quorum_loss_delay) = losses[loss];
        config.mesh.lease = [LeaseTime::Fast, LeaseTime::Fixed(Duration::from_millis(300)), LeaseTime::Compat][lease];
        config
    })
}

fn advert() -> impl Strategy<Value = Input> {
    prop_oneof![
        4 => (2..6u64, any::<u8>()).prop_map(|(from, priority)| adverts::multicast(NodeId(from), priority)),
        1 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(|payload| {
            Input::Advertisement(Datagram {
                interface: "eth0".to_owned(),
                source: source(LB2),
                destination: GROUP.into(),
                ttl: 255,
                payload,
            })
        }),
    ]
}

fn interface() -> impl Strategy<Value = Input> {
    (any::<bool>(), any::<bool>()).prop_map(|(running, addressed)| {
        let addresses = if addressed { eth0(LB1).addresses } else { Vec::new() };
        Input::Interface(Interface { running, addresses, ..eth0(LB1) })
    })
}

fn gossiped() -> impl Strategy<Value = Input> {
    let state = prop_oneof![Just(RouterState::Active), Just(RouterState::Backup), Just(RouterState::Fault)];
    prop_oneof![
        3 => (node(), state, any::<u8>(), epoch()).prop_map(|(id, state, p, e)| gossip(&report(id, state, p, e), id)),
        1 => (node(), "[a-z/{}\":]{0,20}").prop_map(|(node, value)| Input::Gossip {
            node,
            key: router_key(&KEY),
            value: Some(value),
        }),
    ]
}

fn failure() -> impl Strategy<Value = Input> {
    let effect = prop_oneof![
        Just(Effect::Fence),
        Just(Effect::Roster),
        Just(Effect::Address { interface: "eth0".to_owned(), address: VIP }),
        Just(Effect::Advertisement { interface: "eth0".to_owned() }),
        (1..9u64).prop_map(|probe| Effect::Probe { probe }),
        Just(Effect::Memory),
    ];
    effect.prop_map(|effect| Input::Failed { effect, error: "no".to_owned() })
}

fn op() -> impl Strategy<Value = Op> {
    let fixed = prop_oneof![
        20 => Just(Input::Timeout),
        2 => interface(),
        6 => Just(Input::Interface(eth0(LB1))),
        1 => Just(Input::InterfaceGone { name: "eth0".to_owned() }),
        8 => advert(),
        1 => Just(Input::AddressGone { interface: "eth0".to_owned(), address: VIP }),
        1 => Just(Input::FenceGone),
        10 => (node(), wire_message()).prop_map(|(from, message)| Input::Message { from, message }),
        3 => node().prop_map(peer_up),
        1 => (node(), any::<bool>()).prop_map(|(node, left)| Input::PeerDown { node, left }),
        3 => gossiped(),
        1 => (node(), any::<bool>()).prop_map(|(node, alive)| Input::Heard { node, alive }),
        1 => node().prop_map(|node| Input::Reconnected { node }),
        4 => (1..9u64, any::<bool>()).prop_map(|(probe, taken)| Input::Probed {
            probe,
            answer: taken.then_some(ProbeAnswer { address: VIP, mac: [2, 0, 0, 0, 0, 9] }),
        }),
        1 => Just(Input::Stalled),
        1 => Just(Input::Listened),
        1 => Just(Input::Script { name: "chk".to_owned(), outcome: ScriptOutcome::Exit(1) }),
        2 => rosters().prop_map(Input::Roster),
        1 => (1..7u64).prop_map(|n| Input::ChangeRoster { ticket: n, change: Change::RemoveVoter(NodeId(n)) }),
        2 => (0..20u64).prop_map(|ticket| Input::RosterStored { ticket }),
        2 => (node(), consensus()).prop_map(|(from, message)| Input::Message { from, message }),
        1 => failure(),
        1 => configs().prop_map(|config| Input::Configure(Box::new(config))),
    ];
    prop_oneof![
        2 => fixed.prop_map(|input| Op::Fixed(Box::new(input))),
        1 => (node(), 0..4usize, verdict(), 0..20_000u64)
            .prop_map(|(from, back, verdict, clock_ms)| Op::Reply { from, back, verdict, clock_ms }),
        // Most replies have to be good ones, or nothing ever becomes active.
        1 => (2..4u64, epoch()).prop_map(|(from, _)| Op::Reply {
            from: NodeId(from),
            back: 0,
            verdict: Vote::Granted { epoch: u64::MAX },
            clock_ms: 0,
        }),
    ]
}

/// What the kernel holds after the actions so far.
#[derive(Default)]
struct Kernel {
    fenced: Vec<IpAddr>,
    open: BTreeMap<IpAddr, Instant>,
    present: BTreeSet<IpAddr>,
    requests: Vec<Request>,
}

impl Kernel {
    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::FenceInstall { addresses, .. } => {
                    self.open.retain(|a, _| addresses.contains(a));
                    self.fenced = addresses;
                }
                Action::FenceArm { addresses, until } => self.open.extend(addresses.into_iter().map(|a| (a, until))),
                Action::FenceClose { addresses } => self.open.retain(|a, _| !addresses.contains(a)),
                Action::AddAddress { address, .. } => {
                    self.present.insert(address.net.addr());
                }
                Action::DelAddress { address, .. } => self.present.retain(|a| *a != address.net.addr()),
                Action::SendMessage { message: Message::Request(request), .. } => self.requests.push(request),
                _ => {}
            }
        }
    }

    /// Addresses are present where the engine serves; where leases are needed the fence is open no
    /// longer than the lease lives, and closed everywhere else.
    fn agrees_with(&self, engine: &Engine, now: Instant) -> Result<(), TestCaseError> {
        for instance in engine.instances.values() {
            let active = instance.vrrp.is_active();
            for address in instance.addresses() {
                let open = self.open.get(&address).filter(|until| **until > now);
                prop_assert_eq!(self.present.contains(&address), active, "presence of {}", address);
                if engine.leased() && !engine.stopping {
                    let unleased = instance.silence.unprotected_since.is_some();
                    prop_assert_eq!(active && instance.armed_until.is_none(), unleased, "serves without a lease");
                    prop_assert!(!unleased || matches!(instance.lease, crate::lease::ballot::Lease::Asking(_)));
                    prop_assert_eq!(self.fenced.contains(&address), !unleased, "fence of {}", address);
                    prop_assert_eq!(open, instance.armed_until.as_ref().filter(|_| active), "{}", address);
                } else if !engine.leased() {
                    prop_assert!(self.fenced.is_empty());
                }
            }
        }
        Ok(())
    }
}

/// After a Timeout at `now` nothing is due at `now` any more.
fn does_not_spin(engine: &mut Engine, kernel: &mut Kernel, now: Instant) -> Result<(), TestCaseError> {
    for _ in 0..8 {
        if engine.work_due().is_none_or(|(at, _)| at > now) {
            return Ok(());
        }
        kernel.perform(engine.step(now, Input::Timeout));
    }
    prop_assert!(false, "{:?} is due for ever at {:?}", engine.work_due(), now);
    Ok(())
}

/// The input of an operation, where there is one.
fn input(op: Op, kernel: &Kernel, now: Instant) -> Option<Input> {
    match op {
        Op::Fixed(input) => Some(*input),
        Op::Reply { from, back, verdict, clock_ms } => {
            let request = kernel.requests.iter().rev().nth(back)?;
            let clock = now + Duration::from_millis(if clock_ms > 19_000 { clock_ms } else { 0 });
            if verdict == (Vote::Granted { epoch: u64::MAX }) && !request.claims.is_empty() {
                return Some(granted(from, clock, request));
            }
            Some(reply(from, clock, request, verdict))
        }
    }
}

fn run(start: Option<Roster>, first: Config, ops: Vec<(u64, Op)>, stop: bool) -> Result<u32, TestCaseError> {
    let mut engine = Engine::new(setup(LB1, start), first, Instant::default());
    let mut kernel = Kernel::default();
    let mut now = Instant::default();
    kernel.perform(engine.step(now, Input::Interface(eth0(LB1))));
    let mut served = 0;
    let stop_at = if stop { ops.len() * 3 / 4 } else { usize::MAX };
    for (n, (wait, op)) in ops.into_iter().enumerate() {
        // Short waits as such, long ones to the next deadline and a little beyond, some far beyond.
        now = match (wait, engine.work_due()) {
            (0..1000, _) => now + Duration::from_micros(wait * 20),
            (1000..1950, Some((at, _))) => now.max(at) + Duration::from_nanos(wait - 1000),
            _ => now + Duration::from_millis(wait),
        };
        let Some(input) = (if n == stop_at { Some(Input::Shutdown) } else { input(op, &kernel, now) }) else {
            continue;
        };
        kernel.perform(engine.step(now, input));
        does_not_spin(&mut engine, &mut kernel, now)?;
        kernel.agrees_with(&engine, now)?;
        served += u32::from(engine.instances.values().any(|i| i.lease.is_held()));
        engine.status(now);
    }
    // Left alone it wakes up now and then, not all the time.
    let alone = now;
    for _ in 0..400 {
        let Some((at, _)) = engine.work_due() else { return Ok(served) };
        now = now.max(at);
        kernel.perform(engine.step(now, Input::Timeout));
    }
    prop_assert!(now.since(alone) > Duration::from_millis(300), "400 timers in {:?}", now.since(alone));
    Ok(served)
}

fn ops() -> impl Strategy<Value = Vec<(u64, Op)>> {
    proptest::collection::vec((0..2000u64, op()), 1..120)
}

proptest! {
    #[test]
    fn three_voters(first in configs(), ops in ops(), stop in any::<bool>()) {
        run(Some(roster(3)), first, ops, stop)?;
    }

    #[test]
    fn a_mesh_of_any_size(n in 1..6u64, first in configs(), ops in ops(), stop in any::<bool>()) {
        run(Some(Roster { epoch: 1, ..roster(n) }), first, ops, stop)?;
    }

    #[test]
    fn no_mesh(first in configs(), ops in ops(), stop in any::<bool>()) {
        run(None, first, ops, stop)?;
    }
}

/// The random sequences above would say little if they never got a lease.
#[test]
fn random_sequences_do_hold_leases() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let held = (0..200).filter(|_| {
        let tree = (configs(), ops()).new_tree(&mut runner).unwrap();
        let (first, ops) = tree.current();
        run(Some(roster(3)), first, ops, false).is_ok_and(|served| served > 0)
    });
    let held = held.count();
    assert!(held > 20, "{held} of 200");
}
