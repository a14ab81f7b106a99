//! What this node remembers of what happened: the last events and spans.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mesh_control::story::{Event, Events, MOST_EVENTS, Span, Trace};
use mesh_core::story::names;

/// Events remembered; a third of a megabyte.
const EVENTS: usize = 2000;
/// Spans remembered: some three hundred takeovers, or one by a dead owner of 255 routers.
const SPANS: usize = 4000;

/// The memory of one node.
#[derive(Debug)]
pub struct Journal {
    node: String,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    seq: u64,
    events: VecDeque<Event>,
    spans: VecDeque<Span>,
}

impl Journal {
    /// Events of this run are numbered from `first` on: a later run begins higher.
    pub fn new(node: &str, first: u64) -> Journal {
        Journal { node: node.to_owned(), kept: Mutex::new(Kept { seq: first, ..Kept::default() }) }
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Remembers an event, and numbers it.
    pub(super) fn event(&self, at_unix_us: u64, event: Event) -> Event {
        let mut kept = self.kept();
        kept.seq += 1;
        let event = Event { at_unix_us, at: rfc_3339(at_unix_us), seq: kept.seq, node: self.node.clone(), ..event };
        push(&mut kept.events, event.clone(), EVENTS);
        event
    }

    /// Remembers a span.
    pub(super) fn span(&self, span: Span) {
        push(&mut self.kept().spans, span, SPANS);
    }

    /// The newest events, later than number `after` and not before `since`.
    pub fn events(&self, after: u64, since_unix_us: u64, limit: usize) -> Events {
        let kept = self.kept();
        let wanted = kept.events.iter().filter(|e| e.seq > after && e.at_unix_us >= since_unix_us);
        let mut events: Vec<Event> = wanted.rev().take(limit.min(MOST_EVENTS)).cloned().collect();
        events.reverse();
        Events { events, unreachable: Vec::new() }
    }

    /// The latest root, of this router where one is named; what came to nothing only where nothing else is there.
    pub fn latest(&self, router: Option<&str>) -> Option<Span> {
        let named = |s: &&Span| {
            let is = |wanted| [names::ROUTER, names::VIP].iter().any(|a| s.attribute(a).as_deref() == Some(wanted));
            router.is_none_or(is)
        };
        let kept = self.kept();
        kept.spans.iter().filter(|s| s.parent_span_id.is_none()).filter(named).max_by_key(|s| latest(s)).cloned()
    }

    /// All spans of the traces whose id begins so; the later trace where there are several.
    pub fn trace(&self, id: &str) -> Trace {
        let kept = self.kept();
        let found = kept.spans.iter().rev().find(|s| s.trace_id.starts_with(id));
        let Some(trace_id) = found.map(|s| s.trace_id.clone()) else { return Trace::default() };
        let spans = kept.spans.iter().filter(|s| s.trace_id == trace_id).cloned().collect();
        Trace { trace_id, spans, unreachable: Vec::new() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing is left half done where one can panic.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Later is more. An attempt that came to nothing, perhaps of a node that was cut off, does not hide what happened.
pub(super) fn latest(span: &Span) -> (bool, u64) {
    (span.failed.is_none(), span.end_unix_us)
}

fn push<T>(list: &mut VecDeque<T>, item: T, most: usize) {
    if list.len() == most {
        list.pop_front();
    }
    list.push_back(item);
}

fn rfc_3339(unix_us: u64) -> String {
    let at = i64::try_from(unix_us).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    at.map_or_else(String::new, |at| format!("{at:.6}"))
}
