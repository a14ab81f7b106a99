//! What will happen, in the order of time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use mesh_core::Input;

use crate::clock::Time;

#[derive(Debug)]
pub(super) enum Event {
    Input(Box<Input>),
    Timer(u64),
    Round,
    /// The next connection.
    Meet,
    /// What was published goes out to those that are connected.
    Wake,
}

/// An event of a node; of two at one time the first to be put in comes first.
#[derive(Debug)]
struct Queued {
    at: Time,
    number: u64,
    node: usize,
    event: Event,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Events {
    queue: BinaryHeap<Queued>,
    count: u64,
}

impl Events {
    pub(super) fn push(&mut self, at: Time, node: usize, event: Event) {
        self.count += 1;
        self.queue.push(Queued { at, number: self.count, node, event });
    }

    /// The next one until then: when, of which node, and what.
    pub(super) fn pop_until(&mut self, until: Time) -> Option<(Time, usize, Event)> {
        if self.queue.peek()?.at > until {
            return None;
        }
        self.queue.pop().map(|queued| (queued.at, queued.node, queued.event))
    }
}

// The first is the greatest, as a heap gives the greatest.
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Queued {}
