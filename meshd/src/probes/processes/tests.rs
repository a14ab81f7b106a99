use std::collections::BTreeMap;
use std::process::{Child, Command};
use std::time::Duration;

use mesh_config::model::{ParameterMatch, TrackProcess, Weight};
use mesh_core::Instant;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::connector::{Event, event};
use super::table::{Entry, Process, matches};

fn tracked(command: &[&str]) -> TrackProcess {
    TrackProcess {
        name: "p".to_owned(),
        command: command.iter().map(ToString::to_string).collect(),
        parameters: ParameterMatch::Given,
        full_command: false,
        weight: Weight { by: 1, reverse: false },
        quorum: 1,
        quorum_max: None,
        fork_delay: Duration::ZERO,
        terminate_delay: Duration::ZERO,
    }
}

fn process(comm: &str, arguments: &[&str]) -> Process {
    Process { comm: comm.to_owned(), arguments: arguments.iter().map(ToString::to_string).collect() }
}

#[test]
fn programs_are_told_by_name_or_by_what_they_were_called_by() {
    use ParameterMatch::{Exact, Given, Initial, Partial};
    let haproxy = process("haproxy", &["/usr/sbin/haproxy", "-f", "/etc/haproxy.cfg", "-W"]);
    let bare = process("haproxy", &["/usr/sbin/haproxy"]);
    let table: [(&[&str], ParameterMatch, bool, bool, bool); 14] = [
        // What is asked for; whether it is the first, and whether it is the one without parameters.
        (&["haproxy"], Given, false, true, true),
        (&["/usr/sbin/haproxy"], Given, false, true, true),
        (&["haprox"], Given, false, false, false),
        (&["haproxy"], Given, true, false, false),
        (&["/usr/sbin/haproxy"], Given, true, true, true),
        (&["/usr/sbin/haproxy"], Exact, false, false, true),
        (&["/usr/sbin/haproxy", "-f"], Given, false, false, false),
        (&["/usr/sbin/haproxy", "-f", "/etc/haproxy.cfg", "-W"], Given, false, true, false),
        (&["/usr/sbin/haproxy", "-f", "/etc/haproxy.cfg", "-W"], Exact, false, true, false),
        (&["/usr/sbin/haproxy", "-f"], Partial, false, true, false),
        (&["/usr/sbin/haproxy", "-f", "/etc"], Partial, false, false, false),
        (&["/usr/sbin/haproxy", "-f", "/etc"], Initial, false, true, false),
        (&["/usr/sbin/haproxy", "-x"], Initial, false, false, false),
        (&["/usr/sbin/haproxy"], Initial, false, true, true),
    ];
    for (command, parameters, full_command, first, second) in table {
        let config = TrackProcess { parameters, full_command, ..tracked(command) };
        assert_eq!(matches(&config, &haproxy), first, "{command:?} {parameters:?} {full_command}");
        assert_eq!(matches(&config, &bare), second, "{command:?} {parameters:?} {full_command}, without parameters");
    }
    let long = process("a-program-with-", &["./a-program-with-a-long-name"]);
    assert!(matches(&tracked(&["a-program-with-a-long-name"]), &long), "the kernel cuts names off");
    let thread = process("kworker/0:1", &[]);
    assert!(!matches(&TrackProcess { full_command: true, ..tracked(&["kworker/0:1"]) }, &thread));
}

#[test]
fn numbers_count_once_they_have_lasted() {
    let begin = Instant::default();
    let at = |ms| begin + Duration::from_millis(ms);
    let web = process("nginx", &[]);
    let delays = (Duration::from_millis(100), Duration::from_millis(300));
    let config = TrackProcess {
        quorum: 2,
        quorum_max: Some(3),
        fork_delay: delays.0,
        terminate_delay: delays.1,
        ..tracked(&["nginx"])
    };
    let mut entry = Entry::new(config);
    entry.replace(&BTreeMap::from([(1, web.clone()), (2, process("init", &[]))]));
    assert_eq!(entry.tell(at(0)), Some(false), "the first look counts at once");
    entry.note(7, Some(&web));
    assert_eq!((entry.tell(at(10)), entry.deadline()), (None, Some(at(110))));
    // Another name, and back: the time begins again.
    entry.note(7, Some(&process("sh", &[])));
    assert_eq!((entry.tell(at(50)), entry.deadline()), (None, None));
    entry.note(7, Some(&web));
    assert_eq!(entry.tell(at(60)), None);
    assert_eq!(entry.tell(at(160)), Some(true));
    entry.note(8, Some(&web));
    entry.note(9, Some(&web));
    assert_eq!((entry.tell(at(200)), entry.deadline()), (None, Some(at(500))), "four are too many");
    entry.note(9, None);
    assert_eq!(entry.tell(at(400)), None);
    entry.note(7, None);
    entry.note(8, None);
    assert_eq!(entry.tell(at(600)), None);
    assert_eq!(entry.tell(at(900)), Some(false));
    assert_eq!(entry.tell(at(2000)), None, "told once");
}

#[test]
fn events_are_read_and_threads_passed_over() {
    let message = |what: u32, data: &[u32]| {
        let words = [what, 0, 0, 0].into_iter().chain(data.iter().copied());
        let mut bytes = vec![0; 36];
        bytes.extend(words.flat_map(u32::to_ne_bytes));
        bytes
    };
    let table = [
        (message(1, &[10, 10, 11, 11]), Some(Event::Changed(11))),
        (message(1, &[10, 10, 12, 10]), None),
        (message(2, &[10, 10]), Some(Event::Changed(10))),
        (message(0x200, &[10, 10, 0, 0, 0, 0]), Some(Event::Changed(10))),
        (message(0x200, &[12, 10, 0, 0, 0, 0]), None),
        (message(0x8000_0000, &[10, 10, 0, 0]), Some(Event::Ended(10))),
        (message(0x8000_0000, &[12, 10, 0, 0]), None),
        (message(4, &[10, 10]), None),
        (message(1, &[10]), None),
        (vec![0; 20], None),
    ];
    for (bytes, expected) in table {
        assert_eq!(event(&bytes), expected, "{bytes:?}");
    }
}

struct Reaped(Child);

impl Reaped {
    /// A `sleep` with an argument of this test's own.
    fn new(seconds: &str) -> Reaped {
        Reaped(Command::new("/bin/sleep").arg(seconds).spawn().unwrap())
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// By the kernel's word for root, by looking for everybody else: a real process begins, and ends.
#[tokio::test]
async fn a_process_that_begins_and_ends_is_told_of() {
    let (send, mut states) = mpsc::channel(1);
    let mut processes = super::start(send, |name, up| (name, up)).unwrap();
    let argument = format!("{}.25", 100_000 + std::process::id());
    processes.watch(vec![tracked(&["/bin/sleep", &argument])]);
    let mut next = async || timeout(Duration::from_secs(30), states.recv()).await.expect("told in time").unwrap();
    assert_eq!(next().await, ("p".to_owned(), false));
    let sleep = Reaped::new(&argument);
    assert_eq!(next().await, ("p".to_owned(), true));
    drop(sleep);
    assert_eq!(next().await, ("p".to_owned(), false));
}
