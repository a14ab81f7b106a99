//! What happened, and why: events, traces, explanations. Each is collected from the memory of all
//! nodes that answer in time; those that do not are named.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Router;

/// Events in one answer, at most.
pub const MOST_EVENTS: usize = 1000;

/// Something that happened on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in microseconds since 1970-01-01 UTC, by that node's clock.
    pub at_unix_us: u64,
    /// RFC 3339, UTC.
    pub at: String,
    /// Grows with every event of one node, also from run to run.
    pub seq: u64,
    /// The node's name.
    pub node: String,
    /// `info` or `warning`.
    pub severity: String,
    /// `router`, `peer`, `roster`, `script`, `drift`, `repair`, `warning`, `dropped`, `priority`, `real_server` or
    /// `quorum`.
    pub kind: String,
    /// The virtual router it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router: Option<String>,
    /// `active`, `protected`, `unprotected`, `backup`, `fault` or `vetoed`, of a router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What happened.
    pub text: String,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cause: String,
    /// Voters that granted, or refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub voters: Vec<String>,
    /// The trace it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// The answer to `GET /events`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// By time.
    pub events: Vec<Event>,
    /// Nodes whose events are missing.
    #[serde(default)]
    pub unreachable: Vec<Unreachable>,
}

/// A node that did not answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unreachable {
    /// Its name.
    pub node: String,
    /// Why, in words.
    pub because: String,
}

/// One step of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// What it is a part of; none for the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<String>,
    /// What was done.
    pub name: String,
    /// Where.
    pub node: String,
    /// In microseconds since 1970-01-01 UTC, by that node's clock.
    pub begin_unix_us: u64,
    /// The same.
    pub end_unix_us: u64,
    /// More about it.
    pub attributes: BTreeMap<String, Attribute>,
    /// Why it came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Attribute {
    /// A number.
    Number(i64),
    /// Text.
    Text(String),
}

impl Span {
    /// An attribute as text.
    pub fn attribute(&self, name: &str) -> Option<String> {
        Some(match self.attributes.get(name)? {
            Attribute::Number(number) => number.to_string(),
            Attribute::Text(text) => text.clone(),
        })
    }
}

/// The answer to `GET /traces`: one trace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// 32 hexadecimal digits; empty where there is none.
    pub trace_id: String,
    /// By their begin.
    pub spans: Vec<Span>,
    /// Nodes whose spans are missing.
    #[serde(default)]
    pub unreachable: Vec<Unreachable>,
}

impl Trace {
    /// What began it all: the span that is a part of no other; the one that ended well, where two nodes
    /// tried.
    pub fn root(&self) -> Option<&Span> {
        let acts = |s: &&Span| [names::TAKEOVER, names::PLANNED_MOVE].contains(&s.name.as_str());
        let roots = self.spans.iter().filter(|s| s.parent_span_id.is_none());
        roots.min_by_key(|s| (!acts(s), s.failed.is_some(), s.begin_unix_us))
    }

    /// For how long nobody served, in microseconds, at least and at most: until hosts were told of the new owner;
    /// since the end of service, where who served before tells it, and since its last sign of life. None where
    /// nothing changed hands.
    pub fn gap_us(&self) -> Option<(Option<u64>, u64)> {
        let root = self.root().filter(|r| r.name != names::RETIREMENT && r.failed.is_none())?;
        let part = |of: &Span, name: &str| {
            let is = |s: &&Span| s.parent_span_id.as_deref() == Some(of.span_id.as_str()) && s.name == name;
            self.spans.iter().find(is).map(|s| s.end_unix_us)
        };
        let served = [names::ANNOUNCEMENT, names::ADDRESSES].into_iter().find_map(|name| part(root, name));
        let served = served.unwrap_or(root.end_unix_us);
        let retired = self.spans.iter().find(|s| s.name == names::RETIREMENT);
        let least = retired.map(|r| served.saturating_sub(part(r, names::FENCE).unwrap_or(r.begin_unix_us)));
        // Who served before may have let go before the new owner knew of anything.
        let most = served.saturating_sub(root.begin_unix_us).max(least.unwrap_or(0));
        Some((least, most))
    }
}

/// The answer to `GET /explain`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The node that answers.
    #[serde(default)]
    pub node: String,
    /// The router, as in [`crate::Status`].
    pub router: Router,
    /// What every voter would answer now.
    pub voters: Vec<Opinion>,
    /// What would happen if the node that answers died now, in words.
    pub if_this_node_died: String,
    /// The same of the node that serves, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_owner_died: Option<String>,
    /// The last refusals of this router's claims, the newest last.
    pub vetoes: Vec<Event>,
    /// Voters that did not answer.
    #[serde(default)]
    pub unreachable: Vec<Unreachable>,
    /// How other directors have this router configured otherwise than the node that answers.
    #[serde(default, skip_serializing_if = "crate::drift::Drift::is_empty")]
    pub drift: crate::drift::Drift,
}

/// What one voter would answer, were it asked for a router's lease now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opinion {
    /// The voter.
    pub node: String,
    /// Its answer to each director, in words.
    pub answers: BTreeMap<String, String>,
}

/// How often one voter refused claims of the node that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VetoCount {
    /// The voter.
    pub voter: String,
    /// `held`, `stale`, `wrong_roster` or `quarantine`.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// What one node asks another over the mesh, as JSON on a stream of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// [`Events`] of that node alone.
    Events {
        /// Only later ones than this `seq`.
        after: u64,
        /// Only since then.
        since_unix_us: u64,
        /// The newest ones, at most.
        limit: usize,
    },
    /// The latest [`Span`] that is a root, as a [`Trace`]; of this router (name or VIP), where one is named.
    LatestTrace {
        /// Name or VIP.
        router: Option<String>,
    },
    /// All spans of the trace whose id begins so, as a [`Trace`].
    Trace {
        /// Some of its first digits.
        trace_id: String,
    },
    /// How that director is configured, as far as all have to agree. Directors are told, and witnesses
    /// all but what is made of keys.
    Settings,
    /// [`Opinion`] on the lease of this router; null where that node does not vote.
    Opinion {
        /// Family and VRID, as `4.51`.
        router: String,
    },
}

/// Names of spans and their attributes.
pub mod names {
    /// Root: a router begins to serve, or tried to.
    pub const TAKEOVER: &str = "takeover";
    /// Root: the same after the owner handed over to this node.
    pub const PLANNED_MOVE: &str = "planned move";
    /// From the owner's last sign of life to the claim.
    pub const DETECTION: &str = "detection";
    /// From asking one voter to its answer, at the node that asks.
    pub const LEASE_REQUEST: &str = "lease request";
    /// A voter's decision, at the voter.
    pub const VOTE: &str = "vote";
    /// A router serves no longer.
    pub const RETIREMENT: &str = "retirement";
    /// The kernel's fence is opened or closed.
    pub const FENCE: &str = "fence";
    /// Addresses are added or removed.
    pub const ADDRESSES: &str = "addresses";
    /// The first advertisement, or the last one.
    pub const ADVERTISEMENT: &str = "advertisement";
    /// Gratuitous ARP or unsolicited neighbour advertisements.
    pub const ANNOUNCEMENT: &str = "announcement";
    /// Until a neighbour sent something for the address to the new owner.
    pub const FIRST_NEIGHBOUR: &str = "first neighbour";
    /// From asking for a notify script to its end.
    pub const NOTIFY_SCRIPT: &str = "notify script";
    /// ip_vs is changed.
    pub const IP_VS: &str = "ip_vs";

    /// Instance name.
    pub const ROUTER: &str = "meshd.router.name";
    /// Name of its sync group.
    pub const GROUP: &str = "meshd.sync_group.name";
    /// Virtual address, the first one.
    pub const VIP: &str = "meshd.router.vip";
    /// VRID.
    pub const VRID: &str = "meshd.router.vrid";
    /// Epoch of the lease.
    pub const EPOCH: &str = "meshd.lease.epoch";
    /// Why, in words.
    pub const CAUSE: &str = "meshd.cause";
    /// Who served before.
    pub const FROM: &str = "meshd.from";
    /// Who serves, or wanted to.
    pub const TO: &str = "meshd.to";
    /// `active` or `vetoed`.
    pub const OUTCOME: &str = "meshd.outcome";
    /// Program and arguments of a script.
    pub const COMMAND: &str = "process.command_line";
    /// How it ended.
    pub const EXIT_CODE: &str = "process.exit.code";
    /// How long it waited for its turn, in microseconds.
    pub const WAITED: &str = "meshd.script.waited_us";
    /// MAC address of a neighbour.
    pub const NEIGHBOUR: &str = "meshd.neighbour.mac";
    /// The voter.
    pub const VOTER: &str = "meshd.voter";
    /// What it said: `granted`, `held`, `stale`, `wrong_roster` or `quarantine`.
    pub const VERDICT: &str = "meshd.verdict";
    /// The same in words, with the reason.
    pub const REASON: &str = "meshd.verdict.reason";
}
