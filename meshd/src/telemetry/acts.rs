//! Which takeover, or which end of service, a notify script is a part of.

use std::collections::{BTreeMap, VecDeque};

use mesh_core::Instant;
use mesh_core::story::{self, Value, names};
use mesh_wire::mesh::RouterKey;

/// Changes of one router that are remembered: scripts of earlier ones may still run.
const KEPT: usize = 8;

/// The last changes of each router, the oldest first: when they were decided, and what was told.
#[derive(Debug, Default)]
pub(super) struct Acts(BTreeMap<RouterKey, VecDeque<(Instant, story::Span)>>);

/// A notify script that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptRun {
    /// For whom: `INSTANCE` and the router's name.
    pub key: String,
    /// Program and arguments.
    pub command: String,
    /// When it was asked for.
    pub told: Instant,
    /// When it was its turn.
    pub begun: Instant,
    /// Its exit code, or why there is none.
    pub ended: Result<i32, String>,
}

impl Acts {
    /// A router changed; its name is in the span.
    pub(super) fn note(&mut self, span: &story::Span) {
        let acts = self.0.entry(span.router).or_default();
        if acts.len() == KEPT {
            acts.pop_front();
        }
        acts.push_back((span.end, span.clone()));
    }

    /// The trace that an end of service is a part of became known.
    pub(super) fn continued(&mut self, router: RouterKey, id: u64, trace_id: &str) {
        let acts = self.0.get_mut(&router).into_iter().flatten();
        for (_, span) in acts.filter(|(_, span)| span.id == id) {
            span.trace_id = trace_id.to_owned();
        }
    }

    /// What a script was asked for by.
    pub(super) fn of(&self, run: &ScriptRun) -> Option<&story::Span> {
        let name = Value::from(run.key.strip_prefix("INSTANCE ")?);
        let is = |span: &story::Span| span.attributes.iter().any(|(word, is)| *word == names::ROUTER && *is == name);
        let before = |(at, span): &&(Instant, story::Span)| *at <= run.told && is(span);
        self.0.values().filter_map(|acts| acts.iter().rev().find(before)).map(|(_, span)| span).next()
    }
}
