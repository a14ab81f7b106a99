use std::fs;
use std::path::Path;

use mesh_config::model::{Fifo, Script, ScriptSecurity};
use nix::unistd::{User, geteuid};

use super::*;

fn me() -> Option<(String, Option<String>)> {
    Some((User::from_uid(geteuid()).unwrap().expect("whoever runs the tests has a name").name, None))
}

fn script(text: &str) -> Script {
    Script { command: ["/bin/sh", "-c", text].map(str::to_owned).to_vec(), user: me() }
}

fn settings(fifos: Vec<Fifo>) -> NotifySettings {
    let scripts = ScriptSecurity { user: me(), ..ScriptSecurity::default() };
    NotifySettings { scripts, fifos, ..NotifySettings::default() }
}

fn run(text: &str) -> Notice {
    Notice::Run { key: "key".to_owned(), script: script(text), vips: Vec::new() }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test]
async fn the_end_waits_for_scripts_and_lets_readers_read_all() {
    let dir = tempfile::tempdir().unwrap();
    let [log, fifo, lines] = ["log", "fifo", "lines"].map(|name| dir.path().join(name));
    // What it reads outlives a reader that dies once.
    let reader = format!("echo started >> {0}.r; exec cat \"$0\" >> {0}", lines.display());
    let reader = Fifo { script: Some(script(&reader)), ..Fifo::new(&fifo) };
    let thread = start(settings(vec![reader]), None).unwrap();
    until("the reader runs", || lines.exists()).await;
    let write = |n: u32| Notice::WriteFifo { path: fifo.clone(), line: format!("line {n}") };
    thread.teller.tell((0..100).map(write).collect());
    thread.teller.tell(vec![run(&format!("sleep 0.3; echo one >> {}", log.display()))]);
    thread.teller.tell(vec![run(&format!("echo two >> {}", log.display())), write(100)]);
    thread.end(false).await;
    assert_eq!(text(&log), "one\ntwo\n");
    let expected: String = (0..=100).map(|n| format!("line {n}\n")).collect();
    assert_eq!(text(&lines), expected);
    assert!(!fifo.exists(), "it was made here");
}

#[tokio::test]
async fn with_keep_what_runs_goes_on_and_the_fifo_stays() {
    let dir = tempfile::tempdir().unwrap();
    let [begun, log, fifo] = ["begun", "log", "fifo"].map(|name| dir.path().join(name));
    let thread = start(settings(vec![Fifo::new(&fifo)]), None).unwrap();
    thread.teller.tell(vec![run(&format!("touch {}; sleep 0.3; echo done >> {}", begun.display(), log.display()))]);
    until("it runs", || begun.exists()).await;
    let asked = Instant::now();
    thread.end(true).await;
    assert!(asked.elapsed() < Duration::from_millis(300), "nothing is waited for");
    assert!(fifo.exists());
    until("it ends by itself", || text(&log) == "done\n").await;
}

#[tokio::test]
async fn what_finds_no_room_is_counted_and_nobody_waits() {
    let (queue, mut words) = mpsc::channel(2);
    let teller = Teller { queue, losses: Arc::default() };
    for _ in 0..5 {
        teller.tell(vec![run("true"), run("true")]);
    }
    let dropped = |name| teller.counters().find(|(known, _)| *known == name).unwrap().1;
    assert_eq!(dropped("notify_notices_dropped"), 6);
    assert!(matches!(words.recv().await, Some(Word::Tell(notices)) if notices.len() == 2));
}

#[tokio::test]
async fn a_reload_makes_fifos_and_takes_them_away() {
    let dir = tempfile::tempdir().unwrap();
    let [old, new, theirs] = ["old", "new", "theirs"].map(|name| dir.path().join(name));
    nix::unistd::mkfifo(&theirs, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let thread = start(settings(vec![Fifo::new(&old), Fifo::new(&theirs)]), None).unwrap();
    until("it is made before anything is told", || old.exists()).await;
    assert!(thread.teller.set(settings(vec![Fifo::new(&new)])).await);
    until("the new one is made", || new.exists() && !old.exists()).await;
    assert!(theirs.exists(), "it was there before");
    thread.end(false).await;
    assert!(!new.exists());
}
