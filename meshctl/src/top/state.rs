//! What is known, and what the operator wants to see of it.

use std::collections::{BTreeSet, VecDeque};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::Timestamp;
use mesh_control::Status;
use mesh_control::story::Event;

use super::rows;
use super::sources::News;
use crate::pick::Sort;

/// Events kept; the oldest go first.
const EVENTS: usize = 500;
/// Characters of a filter, at most.
const FILTER: usize = 40;
/// Rows of a page.
const PAGE: isize = 10;

/// A part of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    Nodes,
    Routers,
    Services,
    Events,
}

impl Pane {
    pub(super) const ALL: [Pane; 4] = [Pane::Nodes, Pane::Routers, Pane::Services, Pane::Events];

    pub(super) fn title(self) -> &'static str {
        match self {
            Pane::Nodes => "Nodes",
            Pane::Routers => "VIPs",
            Pane::Services => "Services",
            Pane::Events => "Events",
        }
    }
}

/// What the daemon told.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The map, and when it came.
    pub(super) status: Option<(Status, Timestamp)>,
    /// The newest first.
    pub(super) events: VecDeque<Event>,
}

/// Everything the screen depends on, but for the time.
#[derive(Debug)]
pub(super) struct State {
    known: Known,
    /// What is shown instead, while it is paused.
    frozen: Option<Known>,
    /// Events are told again after a loss.
    told: BTreeSet<(u64, String, u64)>,
    /// Why the map does not come any more.
    pub(super) lost: Option<String>,
    /// Why events do not.
    pub(super) events_lost: Option<String>,
    pub(super) focus: Pane,
    /// The row with the cursor in each pane.
    selected: [usize; 4],
    /// Only what has this text in it.
    pub(super) filter: String,
    /// It is being typed.
    pub(super) typing: bool,
    pub(super) sort: Option<Sort>,
    pub(super) help: bool,
    pub(super) color: bool,
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Stay,
    Leave,
}

impl State {
    pub(super) fn new(color: bool) -> State {
        State {
            known: Known::default(),
            frozen: None,
            told: BTreeSet::new(),
            lost: None,
            events_lost: None,
            focus: Pane::Routers,
            selected: [0; 4],
            filter: String::new(),
            typing: false,
            sort: None,
            help: false,
            color,
        }
    }

    /// What is to be shown.
    pub(super) fn shown(&self) -> &Known {
        self.frozen.as_ref().unwrap_or(&self.known)
    }

    pub(super) fn is_paused(&self) -> bool {
        self.frozen.is_some()
    }

    /// The row with the cursor, where the pane has so many.
    pub(super) fn selected(&self, pane: Pane, rows: usize) -> usize {
        self.selected[pane as usize].min(rows.saturating_sub(1))
    }

    /// Takes in what the daemon told.
    pub(super) fn learn(&mut self, news: News, now: Timestamp) {
        match news {
            News::Status(status) => {
                self.known.status = Some((*status, now));
                self.lost = None;
            }
            News::Lost(why) => self.lost = Some(why),
            News::EventsLost(why) => self.events_lost = Some(why),
            News::Event(event) => {
                self.events_lost = None;
                self.add(*event);
            }
        }
    }

    fn add(&mut self, event: Event) {
        if !self.told.insert((event.at_unix_us, event.node.clone(), event.seq)) {
            return;
        }
        let events = &mut self.known.events;
        // Nodes answer in turn: an event may be a little older than the last one.
        let at = events.iter().position(|other| other.at_unix_us <= event.at_unix_us).unwrap_or(events.len());
        events.insert(at, event);
        // The cursor stays on its event.
        let cursor = &mut self.selected[Pane::Events as usize];
        if self.frozen.is_none() && *cursor > 0 && at <= *cursor {
            *cursor += 1;
        }
        if events.len() > EVENTS {
            events.pop_back();
            // As many are remembered as told, and those before would come too late to be shown.
            while self.told.len() > EVENTS {
                self.told.pop_first();
            }
        }
    }

    /// Does what a key is for.
    pub(super) fn press(&mut self, key: KeyEvent) -> Outcome {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if matches!(key.code, KeyCode::Char('c' | 'C')) { Outcome::Leave } else { Outcome::Stay };
        }
        if self.typing {
            self.write_filter(key.code);
            return Outcome::Stay;
        }
        if self.help {
            self.help = false;
            return if is_quit(key.code) { Outcome::Leave } else { Outcome::Stay };
        }
        match key.code {
            code if is_quit(code) => return Outcome::Leave,
            KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => self.turn(1),
            KeyCode::BackTab | KeyCode::Left | KeyCode::Char('h') => self.turn(3),
            KeyCode::Down | KeyCode::Char('j') => self.go(1),
            KeyCode::Up | KeyCode::Char('k') => self.go(-1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.go(PAGE),
            KeyCode::PageUp => self.go(-PAGE),
            KeyCode::Home | KeyCode::Char('g') => self.go(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.go(isize::MAX),
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char('s') => self.sort = next(self.sort),
            KeyCode::Char('p') => self.frozen = if self.is_paused() { None } else { Some(self.known.clone()) },
            KeyCode::Char('?') => self.help = true,
            _ => {}
        }
        Outcome::Stay
    }

    fn write_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(c) if self.filter.chars().count() < FILTER && !c.is_control() => self.filter.push(c),
            _ => {}
        }
        self.selected = [0; 4];
    }

    fn turn(&mut self, by: usize) {
        self.focus = Pane::ALL[(self.focus as usize + by) % Pane::ALL.len()];
    }

    fn go(&mut self, by: isize) {
        let rows = rows::of(self, self.focus, Timestamp::UNIX_EPOCH).lines.len();
        let now = self.selected(self.focus, rows);
        self.selected[self.focus as usize] = now.saturating_add_signed(by).min(rows.saturating_sub(1));
    }
}

fn is_quit(code: KeyCode) -> bool {
    matches!(code, KeyCode::Char('q' | 'Q'))
}

fn next(sort: Option<Sort>) -> Option<Sort> {
    match sort {
        None => Some(Sort::Name),
        Some(Sort::Name) => Some(Sort::Node),
        Some(Sort::Node) => Some(Sort::Vip),
        Some(Sort::Vip) => Some(Sort::Since),
        Some(Sort::Since) => None,
    }
}
