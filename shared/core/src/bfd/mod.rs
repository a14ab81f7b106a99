//! BFD sessions (RFC 5880, 5881, 5883): whether neighbours and the way to them are there, told within
//! milliseconds.
//!
//! ```text
//!   datagrams ---+            +------ Sessions -------+           +--> Open, Close: sockets
//!   timeouts ----+   Input    | discard -> session:   |  Action   +--> Send
//!   configuration+ ---------> |   state, timers       | --------->+--> Told: who is up, for whoever asks
//!   troubles ----+            |   -> told             |           +--> Record(Decision)
//!                             +-----------------------+
//! ```
//!
//! Asynchronous mode, no echo, no authentication; this side never asks for demand mode, and respects
//! it where the other side does. As in keepalived a session may be passive, and may live over several
//! hops; unlike there a change of state is sent at once instead of with the next packet that is due.
//!
//! Where it is not what the RFCs say, as in keepalived but for the last: a session of one hop may be passive (RFC 5881
//! section 3); keepalived.conf has 64 as the hop limit of IPv6, and `ttl` and `max_hops` let other ones than 255 pass
//! (section 5). The goodbye is said once and not for a detection time (RFC 5880 section 6.8.16 as a SHOULD): a stop
//! does not wait, and where that packet is lost the neighbour notices after the same time.
//!
//! What is told of a session is what its last change was. A session that never came up is told to be
//! down once a neighbour that is there would have been heard: `multiplier` times `idle_tx` after it
//! began. Before, nothing is told: a restart takes nobody out of service. (keepalived says at its start
//! that all are down.)

mod session;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use mesh_config::model::BfdInstance;
use mesh_control::BfdSession;
use mesh_wire::bfd::{Control, LENGTH, Malformed, State};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::time::Instant;
use session::Session;

/// A fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The sessions there shall be.
    Configure(Vec<BfdInstance>),
    /// A datagram for one of the ports.
    Received(Datagram),
    /// A session's socket cannot do its work, or can again.
    Trouble {
        /// Name of the session.
        name: String,
        /// Why not; none once it can.
        error: Option<String>,
    },
    /// A deadline has passed.
    Timeout,
    /// The daemon ends: neighbours are told so.
    Shutdown,
}

/// What was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Name of the interface it came by; empty where nobody knows.
    pub interface: String,
    /// Who sent it.
    pub source: IpAddr,
    /// Its TTL or hop limit.
    pub ttl: u8,
    /// It came to the port of RFC 5883.
    pub multihop: bool,
    /// What is in it.
    pub payload: Vec<u8>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make what a session sends from.
    Open(BfdInstance),
    /// Forget what it sends from.
    Close {
        /// Name of the session.
        name: String,
    },
    /// Send to the session's neighbour.
    Send {
        /// Name of the session.
        name: String,
        /// The payload.
        payload: [u8; LENGTH],
    },
    /// What is known of sessions is this from now on.
    Told(Told),
    /// A session changed its state.
    Record(Decision),
}

/// Which sessions are up; one that nothing is known of is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// For virtual routers.
    pub routers: BTreeMap<String, bool>,
    /// For checks of real servers.
    pub services: BTreeMap<String, bool>,
}

/// A session came up, or went down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Name of the session.
    pub name: String,
    /// Its neighbour.
    pub neighbour: IpAddr,
    /// Why it is down; none while it is up.
    pub down: Option<String>,
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Dropped {
    Malformed(Malformed),
    /// No session has this discriminator.
    UnknownDiscriminator,
    /// The session of this discriminator has another neighbour, interface or port.
    WrongSource,
    /// No session with this neighbour.
    NoSession,
    /// It came farther than `max_hops` allows.
    TooFar,
}

impl Dropped {
    fn words(self) -> String {
        match self {
            Dropped::Malformed(error) => error.to_string(),
            Dropped::UnknownDiscriminator => "no session has its discriminator".to_owned(),
            Dropped::WrongSource => "not from the neighbour of its session".to_owned(),
            Dropped::NoSession => "no session with its sender".to_owned(),
            Dropped::TooFar => "TTL or hop limit too low".to_owned(),
        }
    }
}

/// All sessions of this host.
#[derive(Debug)]
pub struct Sessions {
    rng: StdRng,
    /// From 1970-01-01 UTC to the clock's zero.
    unix_at_zero: Duration,
    /// By name.
    sessions: BTreeMap<String, Entry>,
    /// Names by discriminator.
    names: BTreeMap<NonZeroU32, String>,
    told: Told,
    dropped: BTreeMap<Dropped, u64>,
}

/// One session, and what is told of it.
#[derive(Debug)]
struct Entry {
    session: Session,
    up: Option<bool>,
    /// When a session that never came up counts as down.
    doubted_at: Option<Instant>,
    /// What keeps it from sending.
    trouble: Option<String>,
}

impl Sessions {
    /// None yet. `seed` is where chance comes from.
    pub fn new(seed: u64, unix_at_zero: Duration) -> Sessions {
        Sessions {
            rng: StdRng::seed_from_u64(seed),
            unix_at_zero,
            sessions: BTreeMap::new(),
            names: BTreeMap::new(),
            told: Told::default(),
            dropped: BTreeMap::new(),
        }
    }

    /// Takes in a fact; what to do, in order.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Action> {
        let mut out = Vec::new();
        let other_sessions = matches!(input, Input::Configure(_));
        match input {
            Input::Configure(instances) => self.configure(now, instances, &mut out),
            Input::Received(datagram) => self.receive(now, &datagram, &mut out),
            Input::Trouble { name, error } => {
                if let Some(entry) = self.sessions.get_mut(&name) {
                    entry.trouble = error;
                }
            }
            Input::Timeout => self.timeout(now, &mut out),
            Input::Shutdown => self.shut_down(now, &mut out),
        }
        if other_sessions || out.iter().any(|action| matches!(action, Action::Record(_))) {
            self.tell(&mut out);
        }
        out
    }

    /// When [`Input::Timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.sessions.values().filter_map(Entry::deadline).min()
    }

    /// All sessions, by name.
    pub fn status(&self) -> Vec<BfdSession> {
        self.sessions.values().map(|entry| entry.status(self.unix_at_zero)).collect()
    }

    /// What was dropped so far, by reason in words.
    pub fn dropped(&self) -> BTreeMap<String, u64> {
        self.dropped.iter().map(|(why, count)| (format!("BFD: {}", why.words()), *count)).collect()
    }

    /// Sessions whose path is the same go on as they are; the others begin anew.
    fn configure(&mut self, now: Instant, instances: Vec<BfdInstance>, out: &mut Vec<Action>) {
        let wanted: BTreeMap<&str, &BfdInstance> = instances.iter().map(|i| (i.name.as_str(), i)).collect();
        let stays = |entry: &Entry| {
            let settings = &entry.session.settings;
            wanted.get(settings.name.as_str()).is_some_and(|wanted| same_path(settings, wanted))
        };
        let gone: BTreeSet<String> =
            self.sessions.iter().filter(|(_, entry)| !stays(entry)).map(|(name, _)| name.clone()).collect();
        for name in gone {
            if let Some(mut entry) = self.sessions.remove(&name) {
                self.names.remove(&entry.session.discriminator);
                out.extend(entry.session.give_up(now).map(|packet| send(&name, &packet)));
                out.push(Action::Close { name });
            }
        }
        for instance in instances {
            match self.sessions.get_mut(&instance.name) {
                Some(entry) => entry.session.adjust(instance, now, &mut self.rng),
                None => self.begin(now, instance, out),
            }
        }
    }

    fn begin(&mut self, now: Instant, instance: BfdInstance, out: &mut Vec<Action>) {
        let discriminator = loop {
            let drawn = NonZeroU32::new(self.rng.random());
            if let Some(free) = drawn.filter(|drawn| !self.names.contains_key(drawn)) {
                break free;
            }
        };
        out.push(Action::Open(instance.clone()));
        self.names.insert(discriminator, instance.name.clone());
        let name = instance.name.clone();
        let session = Session::new(instance, discriminator, now, &mut self.rng);
        let doubted_at = Some(now + session.patience());
        self.sessions.insert(name, Entry { session, up: None, doubted_at, trouble: None });
    }

    fn receive(&mut self, now: Instant, datagram: &Datagram, out: &mut Vec<Action>) {
        let (name, packet) = match self.accept(datagram) {
            Ok(accepted) => accepted,
            Err(why) => {
                *self.dropped.entry(why).or_default() += 1;
                return;
            }
        };
        if let Some(entry) = self.sessions.get_mut(&name) {
            let mut packets = Vec::new();
            entry.session.receive(now, &packet, &mut self.rng, &mut packets);
            out.extend(packets.iter().map(|packet| send(&name, packet)));
            out.extend(entry.judge(now));
        }
    }

    /// The session a datagram belongs to, and what is in it.
    fn accept(&self, datagram: &Datagram) -> Result<(String, Control), Dropped> {
        let packet = Control::parse(&datagram.payload).map_err(Dropped::Malformed)?;
        let settings = match packet.your_discriminator {
            Some(discriminator) => {
                let name = self.names.get(&discriminator).ok_or(Dropped::UnknownDiscriminator)?;
                let settings = &self.sessions.get(name).ok_or(Dropped::UnknownDiscriminator)?.session.settings;
                if !is_from(datagram, settings) {
                    return Err(Dropped::WrongSource);
                }
                settings
            }
            None => {
                let all = || self.sessions.values().map(|entry| &entry.session.settings);
                all().find(|settings| is_from(datagram, settings)).ok_or(Dropped::NoSession)?
            }
        };
        if datagram.ttl < settings.ttl.saturating_sub(settings.max_hops) {
            return Err(Dropped::TooFar);
        }
        Ok((settings.name.clone(), packet))
    }

    fn timeout(&mut self, now: Instant, out: &mut Vec<Action>) {
        for (name, entry) in &mut self.sessions {
            if entry.deadline().is_none_or(|due| due > now) {
                continue;
            }
            let mut packets = Vec::new();
            entry.session.timeout(now, &mut self.rng, &mut packets);
            out.extend(packets.iter().map(|packet| send(name, packet)));
            out.extend(entry.judge(now));
        }
    }

    /// What others think of the neighbours stays as it is.
    fn shut_down(&mut self, now: Instant, out: &mut Vec<Action>) {
        for (name, mut entry) in std::mem::take(&mut self.sessions) {
            out.extend(entry.session.give_up(now).map(|packet| send(&name, &packet)));
            out.push(Action::Close { name });
        }
        self.names.clear();
    }

    fn tell(&mut self, out: &mut Vec<Action>) {
        let known = |wanted: fn(&BfdInstance) -> bool| -> BTreeMap<String, bool> {
            let sessions = self.sessions.iter().filter(|(_, entry)| wanted(&entry.session.settings));
            sessions.filter_map(|(name, entry)| Some((name.clone(), entry.up?))).collect()
        };
        let told = Told { routers: known(|s| s.for_routers), services: known(|s| s.for_services) };
        if told != self.told {
            self.told.clone_from(&told);
            out.push(Action::Told(told));
        }
    }
}

impl Entry {
    fn deadline(&self) -> Option<Instant> {
        [self.session.deadline(), self.doubted_at].into_iter().flatten().min()
    }

    /// What is told of the session from now on, where that is news.
    fn judge(&mut self, now: Instant) -> Option<Action> {
        let up = match self.session.state {
            State::Up => true,
            // Not before it had its time to come up.
            _ if self.up.is_none() && self.doubted_at.is_some_and(|at| now < at) => return None,
            _ => false,
        };
        self.doubted_at = None;
        if self.up.replace(up) == Some(up) {
            return None;
        }
        let settings = &self.session.settings;
        let (name, neighbour) = (settings.name.clone(), settings.neighbour);
        Some(Action::Record(Decision { name, neighbour, down: self.reason() }))
    }

    fn reason(&self) -> Option<String> {
        let reason = self.session.reason()?;
        Some(match &self.trouble {
            Some(trouble) => format!("{reason}; {trouble}"),
            None => reason,
        })
    }

    fn status(&self, unix_at_zero: Duration) -> BfdSession {
        let Session { settings, state, since, losses, sent, received, .. } = &self.session;
        let state = match state {
            State::AdminDown => "admin_down",
            State::Down => "down",
            State::Init => "init",
            State::Up => "up",
        };
        let since = unix_at_zero + since.since(Instant::default());
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        BfdSession {
            name: settings.name.clone(),
            neighbor: settings.neighbour.to_string(),
            state: state.to_owned(),
            since: rfc3339(since),
            reason: self.reason(),
            tx_interval_ms: millis(self.session.transmit_interval()),
            detection_ms: millis(self.session.detection_time()),
            sent: *sent,
            received: *received,
            losses: *losses,
        }
    }
}

/// To the millisecond.
fn rfc3339(unix: Duration) -> String {
    let at = i64::try_from(unix.as_millis()).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map(|at| at.to_string()).unwrap_or_default()
}

/// Whether a session can go on with other settings.
fn same_path(a: &BfdInstance, b: &BfdInstance) -> bool {
    let path = |i: &BfdInstance| (i.neighbour, i.source, i.interface.clone(), i.multihop, i.ttl);
    path(a) == path(b)
}

fn is_from(datagram: &Datagram, settings: &BfdInstance) -> bool {
    (datagram.source, datagram.multihop) == (settings.neighbour, settings.multihop)
        && settings.interface.as_ref().is_none_or(|interface| *interface == datagram.interface)
}

fn send(name: &str, packet: &Control) -> Action {
    Action::Send { name: name.to_owned(), payload: packet.emit() }
}
