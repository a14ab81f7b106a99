//! State to screen.

use jiff::Timestamp;
use mesh_control::{Protection, Status};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph, Row, Table, TableState};

use super::rows::{self, Rows, Tone};
use super::state::{Pane, State};
use crate::pick::Sort;
use crate::show;

/// Below that nothing can be read.
const LEAST: (u16, u16) = (40, 8);
/// From there on all panes have room beside each other.
const WIDE: (u16, u16) = (120, 24);

const HELP: [&str; 9] = [
    "Tab, arrows      other pane, other row",
    "PgUp PgDn g G    faster",
    "/                show only what has a text in it; Esc shows all",
    "s                VIPs as they come, by name, node, address, last change",
    "p                pause, and go on",
    "q, Ctrl-C        leave",
    "",
    "Red: nobody serves it, or it is dead. Yellow: to be looked at.",
    "More: meshctl explain VIP, meshctl trace VIP, meshctl services",
];

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State, now: Timestamp) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("{}x{} at least", LEAST.0, LEAST.1);
        return frame.render_widget(Paragraph::new(text), area);
    }
    let summary = summary(state, area.width);
    let heights = [1, summary.len() as u16].map(Constraint::Length);
    let [head, counts, body, foot] =
        Layout::vertical([heights[0], heights[1], Constraint::Min(0), Constraint::Length(1)]).areas(area);
    frame.render_widget(headline(state, now), head);
    frame.render_widget(Paragraph::new(summary), counts);
    if area.width >= WIDE.0 && area.height >= WIDE.1 {
        let [upper, lower] = Layout::vertical([Constraint::Fill(3), Constraint::Fill(2)]).areas(body);
        let side_by_side = Layout::horizontal([Constraint::Length(52), Constraint::Fill(1)]);
        let ([nodes, routers], [services, events]) = (side_by_side.areas(upper), side_by_side.areas(lower));
        for (pane, area) in Pane::ALL.into_iter().zip([nodes, routers, services, events]) {
            draw_pane(frame, state, pane, area, now);
        }
    } else {
        draw_pane(frame, state, state.focus, body, now);
    }
    frame.render_widget(Paragraph::new(footline(state)), foot);
    if state.help {
        draw_help(frame, body);
    }
}

/// The mesh, and how old all this is.
fn headline(state: &State, now: Timestamp) -> Paragraph<'static> {
    let age = |heard: Timestamp| now.duration_since(heard).as_secs().max(0);
    let (text, bad) = match (&state.shown().status, &state.lost) {
        (None, None) => ("Nothing heard yet".to_owned(), false),
        (None, Some(why)) => (format!("NO DAEMON: {why}"), true),
        (Some((_, heard)), Some(why)) => (format!("NO DAEMON, the map is {} s old: {why}", age(*heard)), true),
        (Some((status, heard)), None) => {
            let paused = if state.is_paused() { "PAUSED, " } else { "" };
            (cluster(status, &format!("{paused}{} s old", age(*heard))), is_bad(status))
        }
    };
    let style = match (bad, state.color) {
        (true, true) => Style::new().fg(Color::White).bg(Color::Red).add_modifier(Modifier::BOLD),
        (true, false) => Style::new().add_modifier(Modifier::REVERSED),
        (false, _) => Style::new().add_modifier(Modifier::BOLD),
    };
    Paragraph::new(text).style(style)
}

fn cluster(status: &Status, age: &str) -> String {
    let quorum = &status.cluster.quorum;
    let protection = match status.cluster.protection {
        Protection::None => return format!("No mesh: {}  {age}", show::without_mesh(status)),
        Protection::Protected if quorum.reachable < quorum.needed => "NO QUORUM",
        Protection::Protected => "protected",
        Protection::Unprotected => "UNPROTECTED",
    };
    let votes = format!("{}/{} voters reachable, {} needed", quorum.reachable, quorum.voters, quorum.needed);
    format!("{}  {protection}  {age}  {votes}, seen by {}", status.cluster.name, status.node)
}

fn is_bad(status: &Status) -> bool {
    let quorum = &status.cluster.quorum;
    status.cluster.protection == Protection::Unprotected
        || status.cluster.protection == Protection::Protected && quorum.reachable < quorum.needed
}

/// Counts, on one line where there is room for it.
fn summary(state: &State, width: u16) -> Vec<Line<'static>> {
    let Some((status, _)) = &state.shown().status else { return Vec::new() };
    let parts: Vec<String> = [show::router_counts(status), show::node_counts(status)].into_iter().flatten().collect();
    let together = parts.join("   ");
    let fits = together.chars().count() <= usize::from(width);
    if fits { vec![Line::from(together)] } else { parts.into_iter().map(Line::from).collect() }
}

fn draw_pane(frame: &mut Frame<'_>, state: &State, pane: Pane, area: Rect, now: Timestamp) {
    let Rows { heads, lines, all } = rows::of(state, pane, now);
    let focused = state.focus == pane;
    let mut count = if lines.len() == all { all.to_string() } else { format!("{} of {all}", lines.len()) };
    if pane == Pane::Routers
        && let Some(sort) = state.sort
    {
        count += match sort {
            Sort::Name => ", by name",
            Sort::Node => ", by node",
            Sort::Vip => ", by address",
            Sort::Since => ", latest first",
        };
    }
    let trouble = state.events_lost.as_ref().filter(|_| pane == Pane::Events);
    let title = format!(" {}: {count} {}", pane.title(), trouble.map(|why| format!("({why}) ")).unwrap_or_default());
    let bold = |focused: bool| if focused { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
    let block = Block::bordered().title(Line::from(title).style(bold(focused))).border_style(bold(focused));
    let last = heads.len() - 1;
    let widths = heads.iter().enumerate().map(|(at, (_, width))| match at {
        at if at == last => Constraint::Min(*width),
        _ => Constraint::Length(*width),
    });
    let header = Row::new(heads.iter().map(|(head, _)| *head)).style(Style::new().add_modifier(Modifier::DIM));
    let selected = state.selected(pane, lines.len());
    let rows = lines.into_iter().map(|(cells, tone)| Row::new(cells).style(style(tone, state.color)));
    let cursor = if focused { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
    let table = Table::new(rows, widths).header(header).block(block).row_highlight_style(cursor);
    frame.render_stateful_widget(table, area, &mut TableState::new().with_selected(selected));
}

fn style(tone: Tone, color: bool) -> Style {
    match (tone, color) {
        (Tone::Plain, _) => Style::new(),
        (Tone::Notable, true) => Style::new().fg(Color::Yellow),
        (Tone::Bad, true) => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        (Tone::Notable | Tone::Bad, false) => Style::new().add_modifier(Modifier::BOLD),
    }
}

fn footline(state: &State) -> String {
    match (state.typing, state.filter.is_empty()) {
        (true, _) => format!("Only with: {}_  Enter keeps it, Esc shows all", state.filter),
        (false, false) => format!("Only with \"{}\": Esc shows all  ? help  q leave", state.filter),
        (false, true) => "Tab pane  / filter  s sort  p pause  ? help  q leave".to_owned(),
    }
}

fn draw_help(frame: &mut Frame<'_>, body: Rect) {
    let width = HELP.iter().map(|line| line.len()).max().unwrap_or(0) as u16 + 4;
    let area = body.centered(Constraint::Length(width), Constraint::Length(HELP.len() as u16 + 2));
    frame.render_widget(Clear, area);
    let lines = HELP.map(|line| Line::from(format!(" {line}")));
    frame.render_widget(Paragraph::new(lines.to_vec()).block(Block::bordered().title(" Keys ")), area);
}
