//! One session: the state machine and the timers of RFC 5880 section 6.8, asynchronous mode without
//! echo.
//!
//! ```text
//!                 +-- hears Down -----------> Init --+
//!                 |                            |     |  hears Init or Up
//!   +---------> Down -- hears Init ------------|-----+--> Up
//!   |             ^                            |          |
//!   |             +------- nothing heard for the detection time; hears AdminDown,
//!   |                      or in Up also Down; local end: AdminDown
//! ```

use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use mesh_config::model::BfdInstance;
use mesh_wire::bfd::{Control, Diagnostic, State, micros};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::time::Instant;

/// Intervals of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Intervals {
    /// bfd.DesiredMinTxInterval, the configured one.
    min_tx: u32,
    /// bfd.RequiredMinRxInterval.
    min_rx: u32,
}

/// What is known of the other side (RFC 5880 section 6.8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Remote {
    discriminator: Option<NonZeroU32>,
    state: State,
    diagnostic: Diagnostic,
    demand: bool,
    min_rx: u32,
    min_tx: u32,
    multiplier: NonZeroU8,
}

/// Nobody was heard.
const NOBODY: Remote = Remote {
    discriminator: None,
    state: State::Down,
    diagnostic: Diagnostic::NONE,
    demand: false,
    min_rx: 1,
    min_tx: 0,
    multiplier: NonZeroU8::MIN,
};

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) settings: BfdInstance,
    /// Our name for it.
    pub(super) discriminator: NonZeroU32,
    pub(super) state: State,
    diagnostic: Diagnostic,
    /// When it went into its state.
    pub(super) since: Instant,
    remote: Remote,
    /// What is in force. While the session is up, a slower rate of packets counts only once the other
    /// side has confirmed it (section 6.8.3).
    in_force: Intervals,
    /// A Poll Sequence is under way.
    polling: bool,
    /// When the last periodic packet was sent.
    sent_at: Option<Instant>,
    /// When the next one is due; none while nothing may be sent.
    send_at: Option<Instant>,
    /// When the other side counts as gone; none while nothing was heard since it did.
    pub(super) expires: Option<Instant>,
    /// How often it went from Up to another state.
    pub(super) losses: u64,
    /// What was sent and heard.
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl Session {
    pub(super) fn new(settings: BfdInstance, discriminator: NonZeroU32, now: Instant, rng: &mut StdRng) -> Session {
        let in_force = intervals(&settings);
        let mut session = Session {
            settings,
            discriminator,
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            since: now,
            remote: NOBODY,
            in_force,
            polling: false,
            sent_at: None,
            send_at: None,
            expires: None,
            losses: 0,
            sent: 0,
            received: 0,
        };
        // Not all at once, and soon.
        let first = now + Duration::from_millis(rng.random_range(0..100));
        session.send_at = session.may_send().then_some(first);
        session
    }

    /// When [`Session::timeout`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.send_at, self.expires].into_iter().flatten().min()
    }

    /// Takes over other intervals, weights and the like without leaving its state.
    pub(super) fn adjust(&mut self, settings: BfdInstance, now: Instant, rng: &mut StdRng) {
        let new = intervals(&settings);
        let asks = new != intervals(&self.settings);
        self.settings = settings;
        if self.state == State::Up {
            // The other side has to know of a slower rate before it is used.
            self.polling |= asks;
            self.in_force.min_tx = self.in_force.min_tx.min(new.min_tx);
            self.in_force.min_rx = self.in_force.min_rx.max(new.min_rx);
        } else {
            self.in_force = new;
        }
        self.pace(now, rng);
    }

    /// A packet of this session that passed all checks; packets to send at once go to `out`.
    pub(super) fn receive(&mut self, now: Instant, packet: &Control, rng: &mut StdRng, out: &mut Vec<Control>) {
        self.received += 1;
        self.remote = Remote {
            discriminator: Some(packet.my_discriminator),
            state: packet.state,
            diagnostic: packet.diagnostic,
            demand: packet.demand,
            min_rx: packet.required_min_rx,
            min_tx: packet.desired_min_tx,
            multiplier: packet.detect_multiplier,
        };
        if packet.answers_poll && self.polling {
            self.polling = false;
            self.in_force = intervals(&self.settings);
        }
        let before = self.state;
        self.hear(now, packet.state);
        self.expires = Some(now + self.detection_time());
        if packet.poll {
            out.push(Control { poll: false, answers_poll: true, ..self.packet() });
            self.sent += 1;
        }
        if before != self.state && self.may_send() {
            // The other side need not wait for the timer to hear of it (section 6.8.7).
            out.push(self.periodic(now));
            self.send_at = None;
        }
        self.pace(now, rng);
    }

    /// What is due by now.
    pub(super) fn timeout(&mut self, now: Instant, rng: &mut StdRng, out: &mut Vec<Control>) {
        if self.expires.is_some_and(|at| at <= now) {
            self.expires = None;
            self.remote = Remote { diagnostic: self.remote.diagnostic, ..NOBODY };
            if matches!(self.state, State::Init | State::Up) {
                self.enter(now, State::Down, Diagnostic::EXPIRED);
                if self.may_send() {
                    out.push(self.periodic(now));
                    self.send_at = None;
                }
            }
            self.pace(now, rng);
        }
        if self.send_at.is_some_and(|at| at <= now) {
            if self.may_send() {
                out.push(self.periodic(now));
            }
            self.send_at = None;
            self.pace(now, rng);
        }
    }

    /// The last packet: this side gives the session up.
    pub(super) fn give_up(&mut self, now: Instant) -> Option<Control> {
        self.enter(now, State::AdminDown, Diagnostic::ADMIN_DOWN);
        (!self.settings.passive || self.remote.discriminator.is_some()).then(|| self.packet())
    }

    /// Why it is not up, in words.
    pub(super) fn reason(&self) -> Option<String> {
        let down = || match self.diagnostic {
            Diagnostic::NONE => "the neighbour was not heard yet".to_owned(),
            Diagnostic::NEIGHBOUR_DOWN if self.remote.state == State::AdminDown => {
                "the neighbour holds the session down".to_owned()
            }
            Diagnostic::NEIGHBOUR_DOWN => format!("neighbour signaled session down: {}", self.remote.diagnostic),
            other => other.to_string(),
        };
        match self.state {
            State::Up => None,
            State::Init => Some("the neighbour is heard, and does not hear this host yet".to_owned()),
            State::Down | State::AdminDown => Some(down()),
        }
    }

    /// What a neighbour has to do at least to be heard of before it counts as gone, while nothing of
    /// it is known.
    pub(super) fn patience(&self) -> Duration {
        self.settings.idle_tx.saturating_mul(u32::from(self.settings.multiplier))
    }

    /// After how much silence the other side counts as gone (section 6.8.4).
    pub(super) fn detection_time(&self) -> Duration {
        let interval = self.in_force.min_rx.max(self.remote.min_tx);
        Duration::from_micros(u64::from(interval)) * u32::from(self.remote.multiplier.get())
    }

    /// Between two packets of ours, before chance shortens it (section 6.8.7).
    pub(super) fn transmit_interval(&self) -> Duration {
        Duration::from_micros(u64::from(self.desired().max(self.remote.min_rx)))
    }

    /// The transitions of section 6.8.6.
    fn hear(&mut self, now: Instant, said: State) {
        match (self.state, said) {
            (State::AdminDown, _)
            | (State::Down, State::AdminDown | State::Up)
            | (State::Init, State::Down)
            | (State::Up, State::Init | State::Up) => {}
            (State::Down, State::Down) => self.enter(now, State::Init, self.diagnostic),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                self.enter(now, State::Up, Diagnostic::NONE);
                // From the idle rate to the configured one (section 6.8.3).
                self.in_force = intervals(&self.settings);
                self.polling = true;
            }
            (State::Init, State::AdminDown) | (State::Up, State::AdminDown | State::Down) => {
                self.enter(now, State::Down, Diagnostic::NEIGHBOUR_DOWN);
            }
        }
    }

    fn enter(&mut self, now: Instant, state: State, diagnostic: Diagnostic) {
        self.losses += u64::from(self.state == State::Up);
        (self.state, self.diagnostic, self.since) = (state, diagnostic, now);
        self.polling = false;
        self.in_force = intervals(&self.settings);
    }

    /// Whether periodic packets may be sent (section 6.8.7).
    fn may_send(&self) -> bool {
        let heard = self.remote.discriminator.is_some();
        let unasked = self.remote.demand && (self.state, self.remote.state) == (State::Up, State::Up) && !self.polling;
        (heard || !self.settings.passive) && self.remote.min_rx != 0 && !unasked && self.state != State::AdminDown
    }

    /// Sets the timer for the next periodic packet; one that is set already only comes earlier.
    fn pace(&mut self, now: Instant, rng: &mut StdRng) {
        if !self.may_send() {
            self.send_at = None;
            return;
        }
        let due = self.sent_at.map_or(now, |sent| sent + self.jittered(rng)).max(now);
        let sooner = self.send_at.is_none_or(|at| at > self.sent_at.unwrap_or(now) + self.transmit_interval());
        if sooner {
            self.send_at = Some(due);
        }
    }

    /// The interval less up to a quarter; with a multiplier of 1 at least a tenth.
    fn jittered(&self, rng: &mut StdRng) -> Duration {
        let least = if self.settings.multiplier == 1 { 0.10 } else { 0.0 };
        self.transmit_interval().mul_f64(1.0 - rng.random_range(least..=0.25))
    }

    /// bfd.DesiredMinTxInterval: at least a second while the session is not up (section 6.8.3).
    fn desired(&self) -> u32 {
        let idle = micros(self.settings.idle_tx);
        if self.state == State::Up { self.in_force.min_tx } else { self.in_force.min_tx.max(idle) }
    }

    fn periodic(&mut self, now: Instant) -> Control {
        self.sent_at = Some(now);
        self.sent += 1;
        self.packet()
    }

    fn packet(&self) -> Control {
        let told = intervals(&self.settings);
        let idle = micros(self.settings.idle_tx);
        Control {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: self.polling,
            answers_poll: false,
            control_plane_independent: false,
            demand: false,
            // The front ends refuse 0.
            detect_multiplier: NonZeroU8::new(self.settings.multiplier).unwrap_or(NonZeroU8::MIN),
            my_discriminator: self.discriminator,
            your_discriminator: self.remote.discriminator,
            desired_min_tx: if self.state == State::Up { told.min_tx } else { told.min_tx.max(idle) },
            required_min_rx: told.min_rx,
            required_min_echo_rx: 0,
        }
    }
}

fn intervals(settings: &BfdInstance) -> Intervals {
    Intervals { min_tx: micros(settings.min_tx), min_rx: micros(settings.min_rx) }
}
