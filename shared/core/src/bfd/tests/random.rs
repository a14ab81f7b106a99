use proptest::prelude::*;

use super::*;

/// What may happen to a host.
#[derive(Clone, Debug)]
enum Op {
    Wait(u64),
    Hear { state: u8, knows_us: bool, poll: bool, answer: bool, demand: bool, tx: u32, rx: u32, multiplier: u8 },
    Noise(Vec<u8>),
    Configure { min_tx: u64, min_rx: u64, passive: bool },
}

fn op() -> impl Strategy<Value = Op> {
    let interval = prop_oneof![Just(0), Just(1), Just(10_000), Just(1_000_000), any::<u32>()];
    let hear = (0..4u8, any::<[bool; 4]>(), interval.clone(), interval, 1..=u8::MAX).prop_map(
        |(state, [knows_us, poll, answer, demand], tx, rx, multiplier)| Op::Hear {
            state,
            knows_us,
            poll,
            answer,
            demand,
            tx,
            rx,
            multiplier,
        },
    );
    prop_oneof![
        3 => (0..3000u64).prop_map(Op::Wait),
        6 => hear,
        1 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Op::Noise),
        1 => (1..200u64, 1..200u64, any::<bool>())
            .prop_map(|(min_tx, min_rx, passive)| Op::Configure { min_tx, min_rx, passive }),
    ]
}

const STATES: [State; 4] = [State::AdminDown, State::Down, State::Init, State::Up];

proptest! {
    /// Whatever is heard, whenever: what is sent is sound, nothing is due in the past or twice, and
    /// after a long silence the session is down.
    #[test]
    fn anything_may_be_heard(ops in proptest::collection::vec(op(), 1..60)) {
        let (mut host, _) = Host::new(&[instance()]);
        let mut done = Vec::new();
        for op in ops {
            let now = host.now;
            match op {
                Op::Wait(ms) => done.extend(host.until(now + MS(ms)).into_iter().map(|(_, action)| action)),
                Op::Hear { state, knows_us, poll, answer, demand, tx, rx, multiplier } => {
                    let state = STATES[usize::from(state)];
                    let packet = Control {
                        poll,
                        answers_poll: answer,
                        demand,
                        desired_min_tx: tx,
                        required_min_rx: rx,
                        detect_multiplier: NonZeroU8::new(multiplier).unwrap(),
                        ..said(state, Some(host.discriminator()).filter(|_| knows_us || state > State::Down))
                    };
                    let actions = host.give(Input::Received(datagram(&packet)));
                    let finals = packets(&actions).iter().filter(|p| p.answers_poll).count();
                    prop_assert_eq!(finals, usize::from(poll), "a Poll is answered once");
                    done.extend(actions);
                }
                Op::Noise(payload) => {
                    done.extend(host.give(Input::Received(Datagram { payload, ..datagram(&said(State::Down, None)) })));
                }
                Op::Configure { min_tx, min_rx, passive } => {
                    let new = BfdInstance { min_tx: MS(min_tx), min_rx: MS(min_rx), passive, ..instance() };
                    done.extend(host.give(Input::Configure(vec![new])));
                }
            }
        }
        for packet in packets(&done) {
            prop_assert!(!(packet.poll && packet.answers_poll));
            prop_assert!(packet.state == State::Up || packet.desired_min_tx >= 1_000_000);
            prop_assert!(packet.state != State::AdminDown || !packet.poll);
        }
        // 71 minutes, 255 times, is the longest detection time there is: fourteen days.
        let session = &host.sessions.sessions["peer"].session;
        if session.state == State::Up {
            let expires = session.expires.unwrap();
            prop_assert!(expires <= host.now + Duration::from_secs(14 * 86_400));
            host.now = expires;
            host.give(Input::Timeout);
        }
        prop_assert_ne!(host.state(), State::Up);
    }
}
