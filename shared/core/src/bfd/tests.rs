//! Two hosts against each other in virtual time, and one against packets written here.

mod pair;
mod polls;
mod random;
mod session;
mod sessions;

use std::net::IpAddr;
use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use mesh_config::model::BfdInstance;
use mesh_wire::bfd::{Control, Diagnostic, State};

use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn at(ms: u64) -> Instant {
    Instant::from_nanos(1_000_000_000) + MS(ms)
}

/// A session named `peer` with 10.0.0.2.
fn instance() -> BfdInstance {
    BfdInstance::new("peer", ip(2))
}

/// What the neighbour of [`instance`] says: 10 ms both ways, three times.
fn said(state: State, yours: Option<NonZeroU32>) -> Control {
    Control {
        diagnostic: Diagnostic::NONE,
        state,
        poll: false,
        answers_poll: false,
        control_plane_independent: false,
        demand: false,
        detect_multiplier: NonZeroU8::new(3).unwrap(),
        my_discriminator: NonZeroU32::new(77).unwrap(),
        your_discriminator: yours,
        desired_min_tx: 10_000,
        required_min_rx: 10_000,
        required_min_echo_rx: 0,
    }
}

fn datagram(packet: &Control) -> Datagram {
    Datagram { interface: "eth0".to_owned(), source: ip(2), ttl: 255, multihop: false, payload: packet.emit().to_vec() }
}

/// One host, and the time it has.
struct Host {
    sessions: Sessions,
    now: Instant,
}

impl Host {
    /// With these sessions from 0 ms on.
    fn new(instances: &[BfdInstance]) -> (Host, Vec<Action>) {
        let mut host = Host { sessions: Sessions::new(7, Duration::from_secs(1_800_000_000)), now: at(0) };
        let actions = host.give(Input::Configure(instances.to_vec()));
        (host, actions)
    }

    fn give(&mut self, input: Input) -> Vec<Action> {
        self.sessions.step(self.now, input)
    }

    /// Goes on to this time, deadline by deadline: what was done, and when.
    fn until(&mut self, end: Instant) -> Vec<(Instant, Action)> {
        let mut done = Vec::new();
        while let Some(due) = self.sessions.deadline().filter(|due| *due <= end) {
            assert!(due >= self.now, "a deadline in the past");
            self.now = due;
            done.extend(self.give(Input::Timeout).into_iter().map(|action| (due, action)));
            assert!(self.sessions.deadline().is_none_or(|next| next > due), "nothing is due twice");
        }
        self.now = end;
        done
    }

    /// Hears this, and gives the packets it answers.
    fn hears(&mut self, packet: &Control) -> Vec<Control> {
        packets(&self.give(Input::Received(datagram(packet))))
    }

    /// The discriminator it gave to its only session.
    fn discriminator(&self) -> NonZeroU32 {
        *self.sessions.names.keys().next().unwrap()
    }

    /// The state of its only session.
    fn state(&self) -> State {
        self.sessions.sessions["peer"].session.state
    }

    /// Takes it up at its present time.
    fn bring_up(&mut self) {
        let yours = Some(self.discriminator());
        self.hears(&said(State::Init, yours));
        assert_eq!(self.state(), State::Up);
        let answer = Control { answers_poll: true, ..said(State::Up, yours) };
        self.hears(&answer);
    }
}

fn packets<'a>(actions: impl IntoIterator<Item = &'a Action>) -> Vec<Control> {
    let payload = |action: &'a Action| match action {
        Action::Send { payload, .. } => Some(Control::parse(payload).unwrap()),
        _ => None,
    };
    actions.into_iter().filter_map(payload).collect()
}

/// When packets were sent.
fn times(done: &[(Instant, Action)]) -> Vec<Instant> {
    done.iter().filter(|(_, action)| matches!(action, Action::Send { .. })).map(|(at, _)| *at).collect()
}

fn gaps(times: &[Instant]) -> Vec<Duration> {
    times.windows(2).map(|pair| pair[1].since(pair[0])).collect()
}

fn record(down: Option<&str>) -> Action {
    Action::Record(Decision { name: "peer".to_owned(), neighbour: ip(2), down: down.map(str::to_owned) })
}

fn told(up: bool) -> Action {
    let map = BTreeMap::from([("peer".to_owned(), up)]);
    Action::Told(Told { routers: map.clone(), services: map })
}
