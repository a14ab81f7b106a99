//! Which takeover, or which end of service, a notify script is a part of.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use mesh_core::Instant;
use mesh_core::story::{self, Value, names};
use mesh_wire::mesh::RouterKey;

/// Changes of one router that are remembered: scripts of earlier ones may still run.
const KEPT: usize = 8;
/// What a change asks for is asked for at once; what comes later is another change's.
const AT_ONCE: Duration = Duration::from_secs(5);
/// What is found about real servers so soon after a takeover is found because of it: their checks begin with it, or
/// those of this director begin to count.
const FOUND: Duration = Duration::from_secs(10);

/// The last changes of each router, the oldest first: when they were decided, and what was told.
#[derive(Debug, Default)]
pub(super) struct Acts(BTreeMap<RouterKey, VecDeque<(Instant, story::Span)>>);

/// A notify script that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptRun {
    /// For whom: `INSTANCE` and the router's name, `GROUP` and the group's, or the virtual server's name.
    pub key: String,
    /// The addresses of the virtual server.
    pub vips: Vec<IpAddr>,
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

    /// What a script was asked for by: the last change of its router, of any router of its group, or of any that has
    /// an address of its virtual server.
    pub(super) fn of(&self, run: &ScriptRun) -> Option<&story::Span> {
        let named = |word: &str| run.key.strip_prefix(word).map(Value::from);
        match (run.vips.as_slice(), named("INSTANCE "), named("GROUP ")) {
            ([], Some(name), _) => self.last(run.told, AT_ONCE, |span| has(span, names::ROUTER, &name)),
            ([], _, Some(name)) => self.last(run.told, AT_ONCE, |span| has(span, names::GROUP, &name)),
            ([], None, None) => None,
            (vips, ..) => {
                let last = self.last(run.told, FOUND, |span| span.addresses.iter().any(|a| vips.contains(a)));
                last.filter(|span| matches!(span.name, names::TAKEOVER | names::PLANNED_MOVE))
            }
        }
    }

    /// The last of these changes that was not later, and not much earlier.
    fn last(&self, told: Instant, within: Duration, is: impl Fn(&story::Span) -> bool) -> Option<&story::Span> {
        let acts = self.0.values().flatten().filter(|(at, span)| *at <= told && told <= *at + within && is(span));
        acts.max_by_key(|(at, _)| *at).map(|(_, span)| span)
    }
}

fn has(span: &story::Span, word: &str, value: &Value) -> bool {
    span.attributes.iter().any(|(name, is)| *name == word && is == value)
}
