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

/// What packets say of this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Terms {
    intervals: Intervals,
    multiplier: u8,
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
    /// What was last said to the other side.
    told: Terms,
    /// Since when a Poll Sequence about it is under way.
    polling: Option<Instant>,
    /// No other one before then: an answer could be to either.
    poll_after: Instant,
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
            told: Terms { intervals: in_force, multiplier: 1 },
            polling: None,
            poll_after: now,
            sent_at: None,
            send_at: None,
            expires: None,
            losses: 0,
            sent: 0,
            received: 0,
        };
        session.told = session.terms();
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
        self.settings = settings;
        self.in_force = self.allowed(self.in_force);
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
        if packet.answers_poll {
            self.agree(now);
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
        // Nobody is left to hear the answer.
        self.polling = None;
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
            }
            (State::Init, State::AdminDown) | (State::Up, State::AdminDown | State::Down) => {
                self.enter(now, State::Down, Diagnostic::NEIGHBOUR_DOWN);
            }
        }
    }

    fn enter(&mut self, now: Instant, state: State, diagnostic: Diagnostic) {
        self.losses += u64::from(self.state == State::Up);
        (self.state, self.diagnostic, self.since) = (state, diagnostic, now);
        self.in_force = intervals(&self.settings);
        // From the idle rate to the configured one, or back (section 6.8.3).
        let terms = self.terms();
        if terms.intervals != self.told.intervals {
            self.polling = Some(now);
        }
        self.told = terms;
    }

    /// The other side knows what it was told. Packets of that Poll Sequence may still be on their way, and so may
    /// answers to them: for as long as a round trip took at most (section 6.8.3).
    fn agree(&mut self, now: Instant) {
        let Some(began) = self.polling.take() else { return };
        self.poll_after = self.sent_at.unwrap_or(began) + now.since(began);
        // When the next packet is due may be another time now.
        self.send_at = None;
        if self.state == State::Up {
            self.in_force = self.allowed(self.told.intervals);
        }
    }

    /// What of the configured intervals may be used while the other side knows of these: while the session is up, it
    /// has to know of a slower rate, and of a shorter patience, before (section 6.8.3).
    fn allowed(&self, known: Intervals) -> Intervals {
        let new = intervals(&self.settings);
        if self.state != State::Up {
            return new;
        }
        Intervals { min_tx: known.min_tx.min(new.min_tx), min_rx: known.min_rx.max(new.min_rx) }
    }

    /// What there is to tell: bfd.DesiredMinTxInterval is at least a second while the session is not up.
    fn terms(&self) -> Terms {
        let Intervals { min_tx, min_rx } = intervals(&self.settings);
        let min_tx = if self.state == State::Up { min_tx } else { min_tx.max(micros(self.settings.idle_tx)) };
        Terms { intervals: Intervals { min_tx, min_rx }, multiplier: self.settings.multiplier }
    }

    /// Whether the other side wants packets only when there is something to ask or to tell (section 6.6).
    fn is_on_demand(&self) -> bool {
        self.remote.demand && (self.state, self.remote.state) == (State::Up, State::Up)
    }

    /// Whether something changed that takes a Poll Sequence: intervals, and on demand whatever packets say.
    fn has_news(&self) -> bool {
        let terms = self.terms();
        terms.intervals != self.told.intervals || self.is_on_demand() && terms != self.told
    }

    /// Tells what changed with the packet that is due. What takes a Poll Sequence waits for the end of the one before.
    fn tell_news(&mut self, now: Instant) {
        if self.polling.is_none() && self.has_news() && now >= self.poll_after {
            self.told = self.terms();
            self.polling = Some(now);
        } else if !self.is_on_demand() {
            self.told.multiplier = self.settings.multiplier;
        }
    }

    /// Whether periodic packets may be sent (section 6.8.7).
    fn may_send(&self) -> bool {
        let heard = self.remote.discriminator.is_some();
        let unasked = self.is_on_demand() && self.polling.is_none() && !self.has_news();
        (heard || !self.settings.passive) && self.remote.min_rx != 0 && !unasked && self.state != State::AdminDown
    }

    /// Sets the timer for the next periodic packet; one that is set already only comes earlier.
    fn pace(&mut self, now: Instant, rng: &mut StdRng) {
        if !self.may_send() {
            self.send_at = None;
            return;
        }
        let mut due = self.sent_at.map_or(now, |sent| sent + self.jittered(rng)).max(now);
        if self.is_on_demand() && self.polling.is_none() {
            due = due.max(self.poll_after);
        }
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
        self.tell_news(now);
        self.sent_at = Some(now);
        self.sent += 1;
        self.packet()
    }

    fn packet(&self) -> Control {
        let Terms { intervals, multiplier } = self.told;
        Control {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: self.polling.is_some(),
            answers_poll: false,
            control_plane_independent: false,
            demand: false,
            // The front ends refuse 0.
            detect_multiplier: NonZeroU8::new(multiplier).unwrap_or(NonZeroU8::MIN),
            my_discriminator: self.discriminator,
            your_discriminator: self.remote.discriminator,
            desired_min_tx: intervals.min_tx,
            required_min_rx: intervals.min_rx,
            required_min_echo_rx: 0,
        }
    }
}

fn intervals(settings: &BfdInstance) -> Intervals {
    Intervals { min_tx: micros(settings.min_tx), min_rx: micros(settings.min_rx) }
}
