use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::Timestamp;
use mesh_control::story::Event;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier};
use serde_json::json;

use super::draw::draw;
use super::sources::News;
use super::state::{Outcome, Pane, State};
use crate::pick::Sort;
use crate::show::read;
use crate::show::tests::fleet::fleet;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn event(at: u64, node: &str, seq: u64, text: &str) -> News {
    let event: Event = read(json!({"at_unix_us": at, "at": format!("2026-03-01T11:59:{at:02}Z"), "seq": seq, "node": node,
        "severity": if text.contains("lost") { "warning" } else { "info" }, "kind": "router", "text": text, "cause": "a cause"}))
    .unwrap();
    News::Event(Box::new(event))
}

/// Six nodes and seven routers of the fleet, two services, three events.
fn known() -> State {
    let mut state = State::new(true);
    let mut map = fleet();
    let keep = |list: &mut serde_json::Value, places: &[usize]| {
        *list = places.iter().map(|at| list[*at].clone()).collect();
    };
    keep(&mut map["nodes"], &[0, 1, 2, 27, 28, 29]);
    keep(&mut map["routers"], &[0, 1, 2, 9, 48, 49, 50]);
    map["routers"][1]["vips"] = json!(["10.1.4.2/24", "10.1.4.102/24"]);
    let real = |health: &str| json!({"address": "10.3.0.1:80", "weight": 1, "health": health, "seen_by": {}});
    map["services"] = json!([
        {"virtual_server": "10.1.4.1:80/tcp", "scheduler": "wrr", "forwarding": "dr", "persistence_s": 0, "on": ["lb1"],
         "real_servers": [real("up"), real("down")]},
        {"virtual_server": "10.1.4.2:80/tcp", "scheduler": "wrr", "forwarding": "dr", "persistence_s": 0, "on": [],
         "real_servers": [], "not_programmed_because": "no ip_vs"}
    ]);
    state.learn(News::Status(Box::new(read(map).unwrap())), now());
    for (at, node, seq, text) in
        [(10, "lb1", 1, "VI_1: active"), (30, "lb2", 8, "VI_2: lost"), (20, "lb1", 2, "VI_3: backup")]
    {
        state.learn(event(at, node, seq, text), now());
    }
    state
}

fn screen(state: &State, width: u16, height: u16, seconds: i64) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let at = Timestamp::from_second(now().as_second() + seconds).unwrap();
    terminal.draw(|frame| draw(frame, state, at)).unwrap();
    terminal.backend().clone()
}

fn text(state: &State, width: u16, height: u16) -> String {
    let backend = screen(state, width, height, 0);
    let cells = backend.buffer().content.chunks(usize::from(width));
    let lines =
        cells.map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned() + "\n");
    lines.collect()
}

fn first_line(state: &State, seconds: i64) -> String {
    let backend = screen(state, 100, 24, seconds);
    backend.buffer().content[..100].iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned()
}

fn press(state: &mut State, keys: &[KeyCode]) -> Outcome {
    let pressed = keys.iter().map(|code| state.press(KeyEvent::new(*code, KeyModifiers::NONE)));
    pressed.last().unwrap()
}

#[test]
fn a_large_terminal_has_all_panes() {
    assert_eq!(text(&known(), 132, 26), include_str!("tests/large.txt"));
}

#[test]
fn a_small_terminal_has_one_pane() {
    let mut state = known();
    assert_eq!(text(&state, 80, 14), include_str!("tests/small.txt"));
    press(&mut state, &[KeyCode::Tab, KeyCode::Tab]);
    assert_eq!(text(&state, 60, 9), include_str!("tests/events.txt"));
    press(&mut state, &[KeyCode::Char('?')]);
    assert_eq!(text(&state, 80, 16), include_str!("tests/help.txt"));
}

#[test]
fn a_tiny_terminal_is_told_what_it_lacks() {
    assert_eq!(text(&known(), 20, 2), "40x8 at least\n\n");
    assert_eq!(text(&known(), 1, 1), "4\n");
}

#[test]
fn nothing_heard_is_said() {
    let mut state = State::new(false);
    assert_eq!(first_line(&state, 0), "Nothing heard yet");
    state.learn(News::Lost("it hung up".to_owned()), now());
    assert_eq!(first_line(&state, 0), "NO DAEMON: it hung up");
    let backend = screen(&state, 100, 24, 0);
    assert!(backend.buffer()[(0, 0)].modifier.contains(Modifier::REVERSED), "seen without colours");
}

#[test]
fn the_age_of_what_is_shown_is_said() {
    let mut state = known();
    let mesh = |age| format!("lab  protected  {age} s old  5/5 voters reachable, 3 needed, seen by lb1");
    assert_eq!(first_line(&state, 0), mesh(0));
    assert_eq!(first_line(&state, 7), mesh(7));
    assert_eq!(first_line(&state, -7), mesh(0), "the clock was set back");
    state.learn(News::Lost("it does not answer".to_owned()), now());
    assert_eq!(first_line(&state, 8), "NO DAEMON, the map is 8 s old: it does not answer");
    assert_eq!(screen(&state, 100, 24, 8).buffer()[(0, 0)].bg, Color::Red);
    let status = state.shown().status.clone().unwrap().0;
    state.learn(News::Status(Box::new(status)), now());
    assert_eq!(first_line(&state, 0), mesh(0), "it is back");
}

#[test]
fn pausing_keeps_what_is_shown() {
    let mut state = known();
    press(&mut state, &[KeyCode::Char('p')]);
    let before = text(&state, 132, 26);
    assert!(
        before.starts_with("lab  protected  PAUSED, 0 s old  5/5 voters reachable, 3 needed, seen by lb1\n"),
        "{before}"
    );
    let mut changed = state.shown().status.clone().unwrap().0;
    changed.routers.truncate(1);
    state.learn(News::Status(Box::new(changed)), now());
    state.learn(event(40, "lb3", 1, "VI_4: active"), now());
    assert_eq!(text(&state, 132, 26), before);
    press(&mut state, &[KeyCode::Char('p')]);
    let after = text(&state, 132, 26);
    assert!(after.contains(" VIPs: 1 ") && after.contains(" Events: 4 ") && !after.contains("PAUSED"), "{after}");
}

#[test]
fn a_filter_is_typed_and_hides_what_has_no_such_text() {
    let mut state = known();
    press(
        &mut state,
        &[KeyCode::Char('/'), KeyCode::Char('Q'), KeyCode::Backspace, KeyCode::Char('l'), KeyCode::Char('B')],
    );
    press(&mut state, &[KeyCode::Char('2')]);
    let typed = text(&state, 132, 26);
    assert!(typed.ends_with("Only with: lB2_  Enter keeps it, Esc shows all\n"), "{typed}");
    for count in [" Nodes: 3 of 6 ", " VIPs: 3 of 7 ", " Services: 0 of 2 ", " Events: 1 of 3 "] {
        assert!(typed.contains(count), "{count}: {typed}");
    }
    press(&mut state, &[KeyCode::Enter]);
    assert!(text(&state, 132, 26).ends_with("Only with \"lB2\": Esc shows all  ? help  q leave\n"));
    press(&mut state, &[KeyCode::Esc]);
    assert!(text(&state, 132, 26).contains(" VIPs: 7 "));
}

#[test]
fn the_order_of_vips_goes_round() {
    let mut state = known();
    let mut orders = Vec::new();
    for _ in 0..5 {
        press(&mut state, &[KeyCode::Char('s')]);
        orders.push(state.sort);
    }
    assert_eq!(orders, [Some(Sort::Name), Some(Sort::Node), Some(Sort::Vip), Some(Sort::Since), None]);
    press(&mut state, &[KeyCode::Char('s'); 4]);
    let shown = text(&state, 132, 26);
    let routers: Vec<&str> = shown.match_indices("VI_").map(|(at, _)| shown[at..at + 5].trim()).take(3).collect();
    assert_eq!(routers, ["VI_51", "VI_50", "VI_49"], "{shown}");
    assert!(shown.contains(" VIPs: 7, latest first "), "{shown}");
}

#[test]
fn the_cursor_stays_within_the_rows_and_on_its_event() {
    let mut state = known();
    press(&mut state, &[KeyCode::Up]);
    assert_eq!(state.selected(Pane::Routers, 7), 0);
    press(&mut state, &[KeyCode::PageDown]);
    assert_eq!(state.selected(Pane::Routers, 7), 6);
    press(&mut state, &[KeyCode::Home, KeyCode::Down, KeyCode::Char('j'), KeyCode::Char('k')]);
    assert_eq!(state.selected(Pane::Routers, 7), 1);
    press(&mut state, &[KeyCode::BackTab, KeyCode::End]);
    assert_eq!((state.focus, state.selected(Pane::Nodes, 6)), (Pane::Nodes, 5));
    press(&mut state, &[KeyCode::Left, KeyCode::Down]);
    assert_eq!((state.focus, state.selected(Pane::Events, 3)), (Pane::Events, 1));
    state.learn(event(40, "lb3", 1, "VI_4: active"), now());
    assert_eq!(state.selected(Pane::Events, 4), 2, "what is newer moves it down");
    state.learn(event(5, "lb3", 0, "VI_4: backup"), now());
    assert_eq!(state.selected(Pane::Events, 5), 2, "what is older does not");
}

#[test]
fn events_are_kept_once_and_not_for_ever() {
    let mut state = known();
    state.learn(News::EventsLost("gone".to_owned()), now());
    assert!(text(&state, 132, 26).contains(" Events: 3 (gone) "));
    state.learn(event(30, "lb2", 8, "VI_2: lost"), now());
    assert_eq!(state.shown().events.len(), 3, "told again");
    assert!(text(&state, 132, 26).contains(" Events: 3 ─"), "they come again");
    for seq in 0..600 {
        state.learn(event(100 + seq, "lb2", seq, "more"), now());
    }
    assert_eq!(state.shown().events.len(), 500);
    assert_eq!(state.shown().events[0].at_unix_us, 699);
    assert_eq!(state.shown().events[499].at_unix_us, 200);
}

#[test]
fn what_leaves_and_what_does_not() {
    let mut state = known();
    let control = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
    assert_eq!(state.press(control('c')), Outcome::Leave);
    assert_eq!(state.press(control('q')), Outcome::Stay);
    assert_eq!(press(&mut state, &[KeyCode::Char('q')]), Outcome::Leave);
    assert_eq!(press(&mut state, &[KeyCode::Char('/'), KeyCode::Char('q')]), Outcome::Stay, "it is typed");
    assert_eq!(state.filter, "q");
    assert_eq!(state.press(control('c')), Outcome::Leave);
    assert_eq!(press(&mut state, &[KeyCode::Enter, KeyCode::Char('?'), KeyCode::Char('x')]), Outcome::Stay);
    assert!(!state.help, "any key ends it");
    assert_eq!(press(&mut state, &[KeyCode::Char('?'), KeyCode::Char('q')]), Outcome::Leave);
}

#[test]
fn colours_are_left_out_where_nobody_wants_them() {
    let mut state = known();
    let used = |state: &State| {
        let backend = screen(state, 132, 26, 0);
        backend.buffer().content.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(used(&state));
    state.color = false;
    assert!(!used(&state));
}
