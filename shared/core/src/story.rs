//! What happened, from when to when: the spans that a failover's trace is made of.
//!
//! Values only, and no effects: nobody waits for them, and an engine nobody asks for them keeps the
//! last few. The daemon adds how long its effects took, and tells whoever wants to know.
//!
//! All nodes that take part in a takeover make spans of one trace without telling each other its id:
//! the id follows from cluster, router and epoch, and the ids of spans from the trace, the node and
//! what it did. So the lease protocol carries no context, and nodes of any version understand it.

use std::collections::VecDeque;
use std::net::IpAddr;

pub use mesh_control::story::names;
use mesh_wire::fnv;
use mesh_wire::mesh::{NodeId, RouterKey};

use crate::time::Instant;

/// What is kept for a daemon that does not ask; the oldest goes first.
const KEPT: usize = 4096;

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Something happened.
    Span(Span),
    /// The end of service that waited for its successor (see [`Span::waits`]) is part of its takeover.
    Successor {
        /// Which virtual router.
        router: RouterKey,
        /// The trace of the takeover.
        trace_id: String,
        /// Its root.
        parent: u64,
    },
}

/// One span.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// Its own id, never zero.
    pub id: u64,
    /// What it is a part of; none for the root.
    pub parent: Option<u64>,
    /// What was done.
    pub name: &'static str,
    /// Whose.
    pub router: RouterKey,
    /// When it began.
    pub begin: Instant,
    /// When it ended.
    pub end: Instant,
    /// More about it; names as in OpenTelemetry's semantic conventions.
    pub attributes: Vec<(&'static str, Value)>,
    /// Why it came to nothing.
    pub failed: Option<String>,
    /// Effects of the same step on these addresses are parts of it, and it ends with the last of them.
    pub addresses: Vec<IpAddr>,
    /// Trace and parent are not known before the successor is; until then they are those it would
    /// have if the next claim won.
    pub waits: bool,
}

impl Span {
    /// Of no other, and without more about it.
    pub fn new(
        id: u64,
        trace_id: String,
        name: &'static str,
        router: RouterKey,
        (begin, end): (Instant, Instant),
    ) -> Self {
        Span {
            trace_id,
            id,
            parent: None,
            name,
            router,
            begin,
            end,
            attributes: Vec::new(),
            failed: None,
            addresses: Vec::new(),
            waits: false,
        }
    }
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A number.
    Number(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// What is to be told, in order.
#[derive(Clone, Debug, Default)]
pub struct Story(VecDeque<Told>);

impl Story {
    /// Adds something.
    pub fn tell(&mut self, told: Told) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(told);
    }

    /// All since the last time.
    pub fn take(&mut self) -> Vec<Told> {
        if self.0.is_empty() { Vec::new() } else { std::mem::take(&mut self.0).into() }
    }
}

/// The id of a span: every node can tell that of any other's.
pub fn span_id(trace_id: &str, node: NodeId, what: &str, detail: u64) -> u64 {
    let text = format!("{trace_id}/{node}/{what}/{detail:x}");
    fnv::hash(text.as_bytes()).max(1)
}

/// The id of the root of one node's claim.
pub fn root_id(trace_id: &str, node: NodeId) -> u64 {
    span_id(trace_id, node, "root", 0)
}

/// The id of one node's question to one voter.
pub fn request_id(trace_id: &str, node: NodeId, voter: NodeId) -> u64 {
    span_id(trace_id, node, names::LEASE_REQUEST, voter.0)
}
