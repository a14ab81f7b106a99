//! Steps that are late: timers that wait for something to be heard are judged by what was heard.
//!
//! While effects are brought about nobody reads the sockets, and a busy host wakes this thread late. So before a
//! late step all that waits is read: an advertisement that came in time counts, and a router whose owner is
//! silent is taken over at once. Only what really was not heard makes the engine wait anew
//! ([`mesh_core::engine::STALL`]): where a socket's buffer overflowed, and where the process stood still, perhaps
//! with the whole host, whose network cards then heard nothing either.

use std::time::Duration;

use mesh_core::engine::STALL;
use mesh_core::{Input, Instant};

use super::{Director, probed};
use crate::clock;

/// A step is late if what came well before its time may still be unread.
const LATE: Duration = Duration::from_millis(10);

/// Effects that take so long were decided upon too long ago, however busy the host was.
const OUTDATED: Duration = Duration::from_secs(2);

/// Turns of the runtime in which tasks of this thread take in what is there, and tell it.
const TURNS: usize = 3;

impl Director {
    /// Has a late step begin with all that came before it; and the time it is for.
    pub(super) async fn catch_up(&mut self, inputs: Vec<Input>) -> (Instant, Vec<Input>) {
        let now = clock::now();
        let due = self.engine.deadline().map(|(due, _)| due);
        let Some(due) = due.filter(|due| now > *due + LATE) else { return (now, inputs) };
        // Probes, and who follows the kernel.
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        let mut facts = vec![Input::Listened];
        facts.extend(inputs);
        self.take_waiting(&mut facts);
        let (heard, complete) = self.adverts.waiting();
        facts.extend(heard);
        let now = clock::now();
        if !complete || self.pulse.stopped_since(due, now) {
            facts[0] = Input::Timeout;
        }
        (now, facts)
    }

    /// What is in the queues of this thread now, and not what comes while they are emptied.
    fn take_waiting(&mut self, facts: &mut Vec<Input>) {
        for _ in 0..self.inputs.len() {
            let Ok(input) = self.inputs.try_recv() else { break };
            self.prepare(&input);
            facts.push(input);
        }
        for _ in 0..self.events.len() {
            let Ok(event) = self.events.try_recv() else { break };
            let fact = self.kernel_event(event);
            facts.push(fact);
        }
        while let Some(ended) = self.probes.try_join_next() {
            facts.push(probed(ended));
        }
    }

    /// Whether what was decided at that time may be wrong by now: since then this process stood still.
    pub(super) fn is_outdated(&self, decided: Instant) -> bool {
        let now = clock::now();
        let age = now.since(decided);
        age > STALL && (age > OUTDATED || self.pulse.stopped_since(decided, now))
    }
}
