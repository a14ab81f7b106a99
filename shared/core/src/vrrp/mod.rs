//! The VRRP state machine of one virtual router (RFC 9568 section 6, RFC 3768 section 6).
//!
//! It says what VRRP alone would do: [`Verdict::Claim`], [`Verdict::Yield`], advertise, or nothing.
//! Whether a claim becomes service is decided elsewhere (by the [`Engine`](crate::Engine)), so that with leases
//! a router whose timer ran out is still Backup until voters agreed.

mod authenticate;
mod receive;
mod timers;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Duration;

use mesh_config::model::VirtualRouter;

pub use authenticate::{Forged, Guard, Sealed, form, packet, sign, signing_key};
pub use receive::{Drop, authentication, check, is_stranger, lists_others};
pub use timers::{down_interval, skew_time};

use crate::time::Instant;

/// Priority of the address owner (RFC 9568 section 5.2.4).
pub const OWNER_PRIORITY: u8 = 255;

/// State of one virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not taking part: link down, no address, tracked object failed.
    Initialize,
    /// Listens for the active router.
    Backup {
        /// Active_Down_Timer.
        down_at: Instant,
    },
    /// Serves and advertises.
    Active {
        /// Adver_Timer.
        advert_at: Instant,
    },
}

/// What VRRP wants after an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing changes.
    Stay,
    /// Somebody worthier is active: the down timer was reset, a pending claim is void.
    Defer,
    /// Become active.
    Claim(&'static str),
    /// Stop being active: a worthier router is.
    Yield(&'static str),
    /// Send an advertisement now.
    Advertise,
}

/// What matters of a checked advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// IP source.
    pub source: IpAddr,
    /// Its priority; 0 gives up.
    pub priority: u8,
    /// Its interval.
    pub interval: Duration,
}

/// One virtual router's protocol state.
#[derive(Clone, Debug)]
pub struct Router {
    state: State,
    /// Effective priority, tracking included.
    priority: u8,
    /// Own Advertisement_Interval.
    interval: Duration,
    /// Active_Adver_Interval: version 3 backups follow the active router's.
    active_interval: Duration,
    version: mesh_config::model::Version,
    /// Claims at once if it owns the addresses.
    starts_active: bool,
    preempt: bool,
    preempt_delay: Duration,
    /// `down_timer_adverts`.
    down_adverts: u8,
    /// A less worthy advert is answered, as RFC 9568 has it and RFC 3768 has not.
    answers: bool,
    /// An owner does not heed adverts.
    ignores: bool,
    /// By how much the last advert of its timer was late.
    late: Duration,
    /// `timer_expired_backup`: the priority of whoever may have taken over from an active router that was late.
    late_rival: Option<u8>,
    /// Since when Backup, for `preempt_delay`.
    backup_since: Instant,
    /// Why it claims as a backup when its timer ends, by what it heard since the timer was set.
    reason: &'static str,
}

const SILENCE: &str = "no advertisement for the whole down interval";

impl Router {
    /// In Initialize.
    pub fn new(config: &VirtualRouter) -> Self {
        Router {
            state: State::Initialize,
            priority: config.priority,
            interval: config.advert_interval,
            active_interval: config.advert_interval,
            version: config.version,
            starts_active: config.initial_active,
            preempt: config.preempt,
            preempt_delay: config.preempt_delay,
            down_adverts: config.conduct.down_timer_adverts,
            answers: !config.conduct.lower_prio_no_advert,
            ignores: config.conduct.owner_ignore_adverts,
            late: Duration::ZERO,
            late_rival: config.conduct.late_rival.filter(|_| !config.preempt),
            backup_since: Instant::default(),
            reason: SILENCE,
        }
    }

    /// Another configuration of the same version, in the same state. Only another interval moves a timer: a
    /// backup waits anew, and the next advert comes no later than whoever heard the last one expects it.
    pub fn reconfigure(&mut self, now: Instant, config: &VirtualRouter) {
        let before = std::mem::replace(self, Router::new(config));
        self.state = before.state;
        self.priority = before.priority;
        self.backup_since = before.backup_since;
        if self.interval == before.interval {
            self.active_interval = before.active_interval;
            return;
        }
        match &mut self.state {
            State::Initialize => {}
            State::Active { advert_at } => *advert_at = (*advert_at).min(now + self.interval),
            State::Backup { .. } => self.state = State::Backup { down_at: now + self.down_interval() },
        }
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Effective priority.
    pub fn priority(&self) -> u8 {
        self.priority
    }

    /// A tracked object changed the priority; takes effect with the next advertisement.
    pub fn set_priority(&mut self, priority: u8) {
        self.priority = priority;
    }

    /// Active_Down_Interval as it is now.
    pub fn down_interval(&self) -> Duration {
        down_interval(self.version, self.priority, self.active_interval, self.down_adverts)
    }

    /// Whether adverts are told and not heeded (RFC 9568 section 7.1 as published, for the address owner).
    pub fn ignores_adverts(&self) -> bool {
        self.ignores && self.priority == OWNER_PRIORITY
    }

    /// Whether a less worthy active router is pushed aside: by an owner of the addresses always (RFC 9568 section
    /// 6.1), though not before its `preempt_delay`, as with keepalived.
    pub fn preempts(&self) -> bool {
        self.preempt || self.priority == OWNER_PRIORITY
    }

    /// RFC 9568 section 6.4.1, the Startup event. An owner of the addresses that is configured to begin as a
    /// backup waits like everybody else, as with keepalived.
    pub fn startup(&mut self, now: Instant) -> Verdict {
        self.active_interval = self.interval;
        self.backup_since = now;
        self.reason = SILENCE;
        self.state = State::Backup { down_at: now + self.down_interval() };
        let at_once = self.priority == OWNER_PRIORITY && self.starts_active;
        if at_once { Verdict::Claim("owner of the addresses started") } else { Verdict::Stay }
    }

    /// RFC 9568 sections 6.4.2 and 6.4.3, the Shutdown event: timers are cancelled.
    pub fn shutdown(&mut self) {
        self.state = State::Initialize;
    }

    /// A timer may have run out.
    pub fn timeout(&mut self, now: Instant) -> Verdict {
        match self.state {
            State::Initialize => Verdict::Stay,
            State::Backup { down_at } if down_at <= now => {
                // Armed again at once: a claim that is refused is repeated after a whole interval.
                self.state = State::Backup { down_at: now + self.down_interval() };
                Verdict::Claim(std::mem::replace(&mut self.reason, SILENCE))
            }
            State::Backup { .. } => Verdict::Stay,
            State::Active { advert_at } if self.is_overtaken(now, advert_at) => {
                Verdict::Yield("its advert was so late that another router may have taken over")
            }
            State::Active { advert_at } if advert_at <= now => {
                // Kept on its grid, unless it was missed by more than a period.
                let next = advert_at + self.interval;
                self.late = now.since(advert_at);
                self.state = State::Active { advert_at: if next > now { next } else { now + self.interval } };
                Verdict::Advertise
            }
            State::Active { .. } => Verdict::Stay,
        }
    }

    /// By how much the advert that is due was late, or is by now.
    pub fn lateness(&self, now: Instant) -> Duration {
        match self.state {
            State::Active { advert_at } if advert_at < now => now.since(advert_at),
            State::Initialize | State::Backup { .. } | State::Active { .. } => self.late,
        }
    }

    /// Whether somebody else's down interval has ended since the last advert.
    fn is_overtaken(&self, now: Instant, advert_at: Instant) -> bool {
        self.late_rival.is_some_and(|priority| {
            let patience = down_interval(self.version, priority, self.interval, self.down_adverts);
            now.since(advert_at) + self.interval > patience
        })
    }

    /// A checked advertisement came in; `own` is the source address of our adverts.
    pub fn receive(&mut self, now: Instant, heard: Heard, own: IpAddr) -> Verdict {
        match self.state {
            State::Initialize => Verdict::Stay,
            State::Backup { .. } | State::Active { .. } if self.ignores_adverts() => Verdict::Stay,
            State::Backup { .. } => self.receive_as_backup(now, heard),
            State::Active { .. } => self.receive_as_active(now, heard, own),
        }
    }

    /// RFC 9568 section 6.4.2 (450).
    fn receive_as_backup(&mut self, now: Instant, heard: Heard) -> Verdict {
        if heard.priority == 0 {
            let skew = skew_time(self.version, self.priority, self.active_interval);
            self.state = State::Backup { down_at: now + skew };
            self.reason = "the active router resigned";
            return Verdict::Stay;
        }
        if self.preempts() && now >= self.backup_since + self.preempt_delay && heard.priority < self.priority {
            self.reason = "the active router's priority is lower";
            return Verdict::Stay;
        }
        if self.version == mesh_config::model::Version::V3 {
            self.active_interval = heard.interval;
        }
        self.state = State::Backup { down_at: now + self.down_interval() };
        self.reason = SILENCE;
        Verdict::Defer
    }

    /// RFC 9568 section 6.4.3 (700). A lower advertisement is answered at once in both versions, as
    /// keepalived does, without touching the advertisement timer; with `lower_prio_no_advert` in none.
    fn receive_as_active(&mut self, now: Instant, heard: Heard, own: IpAddr) -> Verdict {
        if heard.priority == 0 {
            self.state = State::Active { advert_at: now + self.interval };
            return Verdict::Advertise;
        }
        if !self.is_outranked(heard, own) {
            return if self.answers { Verdict::Advertise } else { Verdict::Stay };
        }
        if self.version == mesh_config::model::Version::V3 {
            self.active_interval = heard.interval;
        }
        Verdict::Yield("a router with a higher priority is active")
    }

    /// Whether an active router with this advertisement is worthier than this one.
    pub fn is_outranked(&self, heard: Heard, own: IpAddr) -> bool {
        heard.priority > self.priority || (heard.priority == self.priority && heard.source > own)
    }

    /// The claim was granted: Active from now on; the first advertisement is due at once.
    pub fn activate(&mut self, now: Instant) {
        self.late = Duration::ZERO;
        self.state = State::Active { advert_at: now + self.interval };
    }

    /// No longer active, or refused: Backup with a full down interval. A refusal does not begin
    /// `preempt_delay` again.
    pub fn back_up(&mut self, now: Instant) {
        if !self.is_backup() {
            self.backup_since = now;
            self.reason = SILENCE;
        }
        self.state = State::Backup { down_at: now + self.down_interval() };
    }

    /// The next timer.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Initialize => None,
            State::Backup { down_at } => Some(down_at),
            State::Active { advert_at } => Some(advert_at),
        }
    }

    /// Whether it serves.
    pub fn is_active(&self) -> bool {
        matches!(self.state, State::Active { .. })
    }

    /// Whether it stands by.
    pub fn is_backup(&self) -> bool {
        matches!(self.state, State::Backup { .. })
    }
}
