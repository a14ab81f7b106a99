//! What went wrong on the mesh port, in numbers, and log lines at a bounded rate about it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_core::Instant;

use crate::clock;

/// Things that are counted and never fatal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counter {
    /// UDP datagrams that belong to no connection of ours and start none: not QUIC, or stale.
    ForeignDatagrams,
    /// Connection attempts from outside that ended before the handshake was complete.
    HandshakesFailed,
    /// Connections with a valid certificate whose node is not in the roster, or with none.
    StrangersRefused,
    /// Frames from members that could not be decoded.
    Malformed,
    /// Messages received and dropped, because the engine's queue was full.
    InputsDropped,
    /// Messages not sent, because there was no connection to the peer, or no room.
    Unsent,
    /// Packets that the kernel refused to send.
    SendsRefused,
    /// Enrolments refused.
    EnrolmentsRefused,
    /// Gossip started anew: after the process had stood still, or after a failure.
    GossipRestarts,
}

const ALL: [(Counter, &str); 9] = [
    (Counter::ForeignDatagrams, "foreign_datagrams"),
    (Counter::HandshakesFailed, "handshakes_failed"),
    (Counter::StrangersRefused, "strangers_refused"),
    (Counter::Malformed, "malformed"),
    (Counter::InputsDropped, "inputs_dropped"),
    (Counter::Unsent, "unsent"),
    (Counter::SendsRefused, "sends_refused"),
    (Counter::EnrolmentsRefused, "enrolments_refused"),
    (Counter::GossipRestarts, "gossip_restarts"),
];

/// All counters of one mesh.
#[derive(Debug, Default)]
pub(super) struct Counters([AtomicU64; ALL.len()]);

impl Counters {
    /// One more.
    pub(super) fn count(&self, counter: Counter) {
        self.0[counter as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The count so far.
    pub(super) fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize].load(Ordering::Relaxed)
    }

    /// All of them, by name.
    pub(super) fn all(&self) -> Vec<(&'static str, u64)> {
        ALL.iter().map(|(counter, name)| (*name, self.get(*counter))).collect()
    }
}

/// Lets one log line pass in ten seconds: anybody can make us want to write one.
#[derive(Debug, Default)]
pub(super) struct LogGate {
    last: AtomicU64,
}

impl LogGate {
    /// Whether a line may be written now.
    pub(super) fn open(&self) -> bool {
        let (now, last) = (clock::now(), self.last.load(Ordering::Relaxed));
        if last != 0 && now.since(Instant::from_nanos(last)) < Duration::from_secs(10) {
            return false;
        }
        self.last.compare_exchange(last, now.as_nanos(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
