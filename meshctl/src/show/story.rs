//! Events, traces and explanations.

use std::collections::BTreeMap;
use std::fmt::Write;

use mesh_control::story::{Event, Events, Explanation, Span, Trace, Unreachable, names};

use super::Look;
use super::summary::wrapped;

/// Columns of a waterfall's bars, where the terminal has room for them beside the words.
const BAR: usize = 32;
/// Fewer show nothing.
const LEAST_BAR: usize = 8;

/// All events, the newest last.
pub(crate) fn events(found: &Events, look: &Look) -> String {
    let mut text = unreachable(&found.unreachable, "events");
    if found.events.is_empty() {
        text += "No events.\n";
    }
    let node = found.events.iter().map(|e| e.node.chars().count()).max().unwrap_or(0);
    text.extend(found.events.iter().map(|e| line(e, node, look)));
    text
}

/// One event.
pub(crate) fn event(event: &Event, look: &Look) -> String {
    line(event, 8, look)
}

fn line(event: &Event, node: usize, look: &Look) -> String {
    let mut text = format!("{}  {:node$}  {}", event.at, event.node, event.text);
    if !event.cause.is_empty() {
        let _ = write!(text, ": {}", event.cause);
    }
    if let Some(trace) = &event.trace_id {
        let _ = write!(text, "  [{}]", trace.chars().take(8).collect::<String>());
    }
    if look.color && event.severity == "warning" { format!("\u{1b}[33m{text}\u{1b}[0m\n") } else { text + "\n" }
}

/// A trace as a waterfall.
pub(crate) fn trace(trace: &Trace, look: &Look) -> String {
    let Some(root) = trace.root() else { return "An empty trace.\n".to_owned() };
    let get = |name| root.attribute(name).unwrap_or_default();
    let mut text =
        format!("{} of {} ({}), epoch {}", root.name, get(names::ROUTER), get(names::VIP), get(names::EPOCH));
    let from = root.attribute(names::FROM).map_or_else(String::new, |from| format!(" from {from}"));
    let to = root.attribute(names::TO).map_or_else(String::new, |to| format!(" to {to}"));
    let _ = writeln!(text, "{from}{to}\ncause: {}", get(names::CAUSE));
    if let Some(why) = &root.failed {
        let _ = writeln!(text, "came to nothing: {why}");
    }
    if let Some((least, most)) = trace.gap_us() {
        let least = least.map_or_else(String::new, |least| format!(", {} at least", millis(least)));
        let _ = writeln!(text, "nobody served for {} at most{least}", millis(most));
    }
    let _ = writeln!(text, "trace {}\n", trace.trace_id);
    text += &unreachable(&trace.unreachable, "steps");
    text + &waterfall(trace, look)
}

fn waterfall(trace: &Trace, look: &Look) -> String {
    let zero = trace.spans.iter().map(|s| s.begin_unix_us).min().unwrap_or(0);
    let end = trace.spans.iter().map(|s| s.end_unix_us).max().unwrap_or(zero);
    let ordered = tree(&trace.spans);
    let node = ordered.iter().map(|(_, s)| s.node.chars().count()).chain([4]).max().unwrap_or(4);
    let step = ordered.iter().map(|(depth, s)| depth * 2 + title(s).chars().count()).chain([4]).max().unwrap_or(4);
    let words = |node_name: &str, title: &str, begin: &str, took: &str| {
        format!("{node_name:node$}  {title:step$}  {begin:>12}  {took:>12}")
    };
    let head = words("NODE", "STEP", "BEGIN", "TOOK");
    // Between the two ends of the bar.
    let room = look.width.map_or(BAR, |w| usize::from(w).saturating_sub(head.chars().count() + 4).min(BAR));
    let mut text = cut(&head, look);
    for (depth, span) in ordered {
        let title = format!("{:indent$}{}", "", title(span), indent = depth * 2);
        let (begin, took) = (span.begin_unix_us - zero, span.end_unix_us.saturating_sub(span.begin_unix_us));
        let mut line = words(&span.node, &title, &millis(begin), &millis(took));
        if room >= LEAST_BAR {
            line += &format!("  {}", bar(begin, took, end - zero, room));
        }
        let note = span.failed.clone().or_else(|| span.attribute(names::REASON)).unwrap_or_default();
        let together = format!("{line}  {note}");
        if look.width.is_none_or(|w| together.trim_end().chars().count() <= usize::from(w)) {
            text += &cut(&together, look);
        } else {
            text += &cut(&line, look);
            text += &below(&note, node + 2 + depth * 2 + 2, look);
        }
    }
    text
}

/// A line, without what the terminal has no room for.
fn cut(line: &str, look: &Look) -> String {
    let most = look.width.map_or(usize::MAX, usize::from);
    line.chars().take(most).collect::<String>().trim_end().to_owned() + "\n"
}

/// A note on lines of its own, as far to the right as leaves room for a word or two.
fn below(note: &str, indent: usize, look: &Look) -> String {
    let width = look.width.map_or(usize::MAX, usize::from);
    let indent = indent.min(width / 3);
    let inside = Look { width: u16::try_from(width - indent).ok(), ..*look };
    wrapped(note, &inside).lines().map(|line| format!("{:indent$}{line}\n", "")).collect()
}

fn title(span: &Span) -> String {
    match (span.name.as_str(), span.attribute(names::VOTER)) {
        (names::LEASE_REQUEST, Some(voter)) => format!("{} to {voter}", span.name),
        _ => span.name.clone(),
    }
}

fn bar(begin: u64, took: u64, whole: u64, room: usize) -> String {
    let column = |us: u64| usize::try_from(us * room as u64 / whole.max(1)).unwrap_or(room).min(room);
    let first = column(begin).min(room - 1);
    let last = column(begin + took).max(first + 1);
    format!("|{}{}{}|", " ".repeat(first), "#".repeat(last - first), " ".repeat(room - last))
}

/// Each span with its depth, parts after the whole. What is a part of something that is missing (its node does not
/// answer) stands at the end, and nothing is shown twice.
fn tree(spans: &[Span]) -> Vec<(usize, &Span)> {
    let known = |id: &str| spans.iter().any(|s| s.span_id == id);
    let mut parts: BTreeMap<Option<&str>, Vec<&Span>> = BTreeMap::new();
    for span in spans {
        let parent = span.parent_span_id.as_deref().filter(|id| known(id) && *id != span.span_id);
        parts.entry(parent).or_default().push(span);
    }
    let mut roots = parts.remove(&None).unwrap_or_default();
    roots.sort_by_key(|s| (s.parent_span_id.is_some(), s.failed.is_some(), s.begin_unix_us));
    let mut ordered = Vec::with_capacity(spans.len());
    let mut open: Vec<(usize, &Span)> = roots.into_iter().rev().map(|s| (0, s)).collect();
    while let Some((depth, span)) = open.pop() {
        ordered.push((depth, span));
        let mut below = parts.remove(&Some(span.span_id.as_str())).unwrap_or_default();
        below.sort_by_key(|s| (s.begin_unix_us, s.end_unix_us));
        open.extend(below.into_iter().rev().map(|s| (depth + 1, s)));
    }
    ordered
}

/// Why a router is where it is.
pub(crate) fn explanation(why: &Explanation) -> String {
    let router = &why.router;
    let mut text =
        format!("{} ({}), VRID {} on {}\n", router.name, router.vips.join(", "), router.vrid, router.interface);
    let here = if why.node.is_empty() { "this node" } else { why.node.as_str() };
    let served = match (&router.active, &router.foreign) {
        (Some(node), _) => format!("served by {node}"),
        (None, Some(foreign)) => format!("served by {foreign}, a router outside the mesh"),
        (None, None) => "served by nobody".to_owned(),
    };
    let last = router.last_transition.as_ref();
    let since = last.map_or_else(String::new, |t| format!(" since {}: {}", t.at, t.cause));
    let _ = match &router.cannot_tell {
        Some(because) => writeln!(text, "{here} cannot tell who serves it: {because}"),
        None => writeln!(text, "{served}{since}"),
    };
    if let Some(lease) = &router.lease {
        let _ = writeln!(text, "lease: {} holds epoch {}, {} ms left", lease.owner, lease.epoch, lease.remaining_ms);
    }
    let mut priorities: Vec<_> = router.priority.iter().collect();
    priorities.sort_by_key(|(_, priority)| std::cmp::Reverse(**priority));
    let configured = |node: &String| router.configured_priority.get(node);
    let pair = |(node, p): (&String, &u8)| match configured(node) {
        Some(configured) => format!("{node} {p} ({configured} configured)"),
        None => format!("{node} {p}"),
    };
    let _ = writeln!(text, "priorities: {}", priorities.into_iter().map(pair).collect::<Vec<_>>().join(", "));
    if let Some(director) = &router.pinned_to {
        let undo = format!("`meshctl move {} --back` undoes it", router.name);
        let _ = writeln!(text, "kept on {director} by an operator: {undo}");
    }
    if let Some(because) = &router.unprotected_because {
        let _ = writeln!(text, "UNPROTECTED: {because}");
    }
    for (director, held) in &router.held_on {
        let _ = writeln!(text, "{director} is held back until {}: {}", held.until, held.because);
    }
    for (director, fault) in &router.faults {
        let _ = writeln!(text, "{director} cannot serve it: {fault}");
    }
    for (director, because) in &router.lowered {
        let _ = writeln!(text, "{director}'s priority: {because}");
    }
    for (director, what) in &router.lacks {
        let _ = writeln!(text, "{director} serves it without {what}");
    }
    if let Some(trace) = last.filter(|t| !t.trace_id.is_empty()) {
        let _ = writeln!(text, "trace: {}", trace.trace_id);
    }
    if !why.voters.is_empty() || !why.unreachable.is_empty() {
        text += "\nWere they asked for the lease now:\n";
    }
    for voter in &why.voters {
        let width = voter.answers.keys().map(|d| d.chars().count()).max().unwrap_or(0);
        for (index, (director, answer)) in voter.answers.iter().enumerate() {
            let voter = if index == 0 { voter.node.as_str() } else { "" };
            let _ = writeln!(text, "  {voter:12} to {director:width$}  {answer}");
        }
    }
    for voter in &why.unreachable {
        let _ = writeln!(text, "  {:12} does not answer: {}", voter.node, voter.because);
    }
    if !why.drift.is_empty() {
        text += "\nConfigured otherwise:\n";
        text.extend(why.drift.lines().map(|line| format!("  {line}\n")));
    }
    text.push('\n');
    if let (Some(died), Some(owner)) = (&why.if_owner_died, &router.active) {
        let _ = writeln!(text, "If {owner}, which serves it, died now: {died}");
    }
    let _ = writeln!(text, "If {here} died now: {}", why.if_this_node_died);
    if !why.vetoes.is_empty() {
        text += "\nLast vetoes:\n";
        for veto in &why.vetoes {
            let _ = writeln!(text, "  {}  {} was refused: {}", veto.at, veto.node, veto.cause);
        }
    }
    text
}

fn unreachable(nodes: &[Unreachable], what: &str) -> String {
    nodes.iter().map(|n| format!("! the {what} of {} are missing: {}\n", n.node, n.because)).collect()
}

fn millis(us: u64) -> String {
    format!("{}.{:01} ms", us / 1000, us % 1000 / 100)
}
