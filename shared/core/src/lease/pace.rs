//! How fast voters answer, and the times of a claim that follow from it: fixed ones would either
//! give up before a distant voter can answer, or wait long for a dead one nearby.

use std::time::Duration;

use super::{ASK_AGAIN, CLAIM_TIMEOUT, FIRST_LEASE, GUARD, STAGGER, renew_period, worth};
use crate::time::Instant;

/// Slower answers count as no slower than this.
const SLOWEST: Duration = Duration::from_secs(1);

/// What was measured longer ago says nothing about now.
const FRESH: Duration = Duration::from_secs(10);

/// How long one voter takes to answer: smoothed mean and mean deviation, as RFC 6298 has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplyTimes {
    mean: Duration,
    deviation: Duration,
    last: Option<Instant>,
}

impl ReplyTimes {
    /// The first answer to a request came after this long.
    pub fn note(&mut self, now: Instant, took: Duration) {
        let took = took.min(SLOWEST);
        if self.mean(now).is_some() {
            self.deviation = (self.deviation * 3 + self.mean.abs_diff(took)) / 4;
            self.mean = (self.mean * 7 + took) / 8;
        } else {
            (self.mean, self.deviation) = (took, took / 4);
        }
        self.last = Some(now);
    }

    /// The mean of late.
    pub fn mean(&self, now: Instant) -> Option<Duration> {
        self.last.filter(|t| now.since(*t) <= FRESH).map(|_| self.mean)
    }

    /// What hardly any answer exceeds, of late.
    pub fn slow(&self, now: Instant) -> Option<Duration> {
        self.mean(now).map(|mean| (mean + self.deviation * 4).min(SLOWEST))
    }
}

/// The times of a claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pace {
    /// What hardly any voter's answer exceeds.
    reply: Duration,
}

impl Pace {
    /// For voters that answer within this time, hardly ever later.
    pub fn new(reply: Duration) -> Self {
        Pace { reply: reply.min(SLOWEST) }
    }

    /// Between two requests of one claim, for lost datagrams: not before the answer can be here.
    pub fn ask_again(self) -> Duration {
        self.reply.max(ASK_AGAIN)
    }

    /// A claim that a majority did not grant by then has failed: time for two requests, and never
    /// so long that what the first was granted is worth nothing.
    pub fn claim_timeout(self, lease: Duration) -> Duration {
        let most = worth(self.first_lease(lease)).saturating_sub(GUARD * 2);
        (self.reply * 2).max(CLAIM_TIMEOUT).min(SLOWEST).min(most)
    }

    /// Candidates ask one after another, this far apart: the next when the one before has been
    /// answered.
    pub fn stagger(self) -> Duration {
        self.reply.max(STAGGER)
    }

    /// The first, short grant: what a failed attempt can block at most. At most half a lease, so
    /// that it can be told from an owner's, except where answers are so slow that its renewal would
    /// come too late.
    pub fn first_lease(self, lease: Duration) -> Duration {
        let short = FIRST_LEASE.min(lease / 2);
        short.max((self.reply * 5).min(lease))
    }

    /// Grants of others with no more than this left are first, short ones, or of an owner that
    /// renews no more: an owner that does has three quarters left, half after a lost renewal.
    pub fn collision(self, lease: Duration) -> Duration {
        self.first_lease(lease).min(lease / 2)
    }
}

/// The shortest lease that survives two renewals lost in a row where answers take so long: three
/// periods, two round trips and the guard.
pub fn shortest_lease(round_trip: Duration) -> Duration {
    let spare = round_trip * 2 + GUARD;
    // A renewal every quarter leaves one quarter to spare.
    spare * 4
}

/// An owner whose clock stood still by more than this gives up at once: two periods of an owner, one
/// of a candidate, whose first grant is short.
pub fn pause_limit(lease: Duration, held: bool) -> Duration {
    renew_period(lease) * if held { 2 } else { 1 }
}
