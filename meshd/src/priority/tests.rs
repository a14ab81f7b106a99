//! Needs root, or a limit that allows real-time priority.

use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::thread;

use nix::sched::sched_getaffinity;

use super::*;
use crate::clock;

/// Fields 40 and 41 of /proc/.../stat (proc(5)): priority and policy.
fn scheduling(stat: &str) -> (u32, u32) {
    let (_, rest) = stat.rsplit_once(')').expect("the name is in parentheses");
    // After the name comes field 3.
    let field = |number: usize| rest.split_whitespace().nth(number - 3).expect("so many fields").parse().unwrap();
    (field(40), field(41))
}

#[test]
fn root_a_raised_thread_runs_first_and_its_children_do_not() {
    let before = raised();
    let (own, child) = thread::spawn(|| {
        assert_eq!(raise(PRIORITY, LONGEST_RUN).expect("root may"), PRIORITY);
        let own = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let child = Command::new("cat").arg("/proc/self/stat").output().unwrap();
        (own, String::from_utf8(child.stdout).unwrap())
    })
    .join()
    .unwrap();
    assert_eq!(scheduling(&own), (PRIORITY as u32, libc::SCHED_RR as u32));
    assert_eq!(scheduling(&child), (0, libc::SCHED_OTHER as u32));
    // Those of other tests of this process count, too.
    assert!(raised() > before);
    let other = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    assert_eq!(scheduling(&other).1, libc::SCHED_OTHER as u32, "only the thread that asked");
    let (soft, _) = getrlimit(Resource::RLIMIT_RTTIME).unwrap();
    assert!(Duration::from_micros(soft) >= LONGEST_RUN, "no other thread asked for less");
}

/// All in one thread, which nothing else shares.
#[test]
fn root_a_thread_runs_as_configured() {
    let processor = (0..1024).find(|n| sched_getaffinity(Pid::from_raw(0)).unwrap().is_set(*n).unwrap()).unwrap();
    let scheduling = Scheduling {
        nice: Some(-3),
        realtime: Some(7),
        longest_run: Some(Duration::from_secs(20)),
        processors: [u16::try_from(processor).unwrap()].into(),
        name: Some("another name".to_owned()),
        ..Scheduling::default()
    };
    let read = |file: &str| std::fs::read_to_string(format!("/proc/thread-self/{file}")).unwrap();
    let (stat, name, status) = thread::spawn(move || {
        Manner::of(&scheduling, false).take();
        (read("stat"), read("comm"), read("status"))
    })
    .join()
    .unwrap();
    assert_eq!(self::scheduling(&stat), (7, libc::SCHED_RR as u32));
    let nice = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19 - 3).unwrap();
    assert_eq!((nice, name.trim()), ("-3", "another name"));
    let allowed = format!("Cpus_allowed_list:\t{processor}");
    assert!(status.lines().any(|line| line == allowed), "{status}");
    assert_eq!(Manner::of(&Scheduling::default(), false), Manner { longest_run: LONGEST_RUN, ..Manner::default() });
    assert_eq!(Manner::of(&Scheduling::default(), true).realtime, Some(PRIORITY));
}

#[test]
fn a_limit_is_what_is_asked_for_instead() {
    let refused = io::Error::from_raw_os_error;
    let not_allowed = |limit| instead(7, &refused(libc::EPERM), limit);
    assert_eq!([1, 3, 6].map(not_allowed), [Some(1), Some(3), Some(6)]);
    // Refused for another reason: no limit at all, or one that allows it.
    assert_eq!([0, 7, 99, RLIM_INFINITY].map(not_allowed), [None; 4]);
    assert_eq!(instead(7, &refused(libc::EINVAL), 3), None);
}

#[test]
fn who_is_late_climbs_step_by_step() {
    let threads = Threads { most_automatic: 3, ..Threads::default() };
    let mut ladder = Ladder::new(&threads, true);
    let (soon, late) = (Duration::from_millis(999), Duration::from_secs(1));
    assert_eq!([soon, late, soon, late, late].map(|by| ladder.step(by)), [None, Some(2), None, Some(3), None]);
    let mut ordinary = Ladder::new(&threads, false);
    assert_eq!(ordinary.step(late), Some(1), "real time begins");
    assert_eq!(Ladder::new(&Threads::default(), true).step(late), None, "nobody asked for it");
}

/// Wakes up every 5 ms, two hundred times, while ordinary threads want all processors; how late, sorted.
fn lateness(prepare: impl FnOnce() + Send) -> Vec<Duration> {
    let busy = AtomicBool::new(true);
    let spinners = 4 * thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..spinners {
            scope.spawn(|| {
                let end = clock::now() + Duration::from_secs(20);
                while busy.load(Ordering::Relaxed) && clock::now() < end {
                    std::hint::spin_loop();
                }
            });
        }
        let measured = scope.spawn(|| {
            prepare();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let mut late: Vec<Duration> = (0..200)
                .map(|_| {
                    let due = clock::now() + Duration::from_millis(5);
                    runtime.block_on(async { tokio::time::sleep(Duration::from_millis(5)).await });
                    clock::now().since(due)
                })
                .collect();
            late.sort_unstable();
            late
        });
        let late = measured.join();
        busy.store(false, Ordering::Relaxed);
        late.unwrap()
    })
}

#[test]
fn root_on_a_busy_host_a_raised_thread_is_on_time() {
    let ordinary = lateness(|| ());
    let raised = lateness(|| assert_eq!(raise(PRIORITY, LONGEST_RUN).expect("root may"), PRIORITY));
    let figures = |late: &[Duration]| format!("p50 {:?}, p99 {:?}, worst {:?}", late[100], late[198], late[199]);
    println!("ordinary: {}\nraised:   {}", figures(&ordinary), figures(&raised));
    assert!(raised[198] < Duration::from_millis(20), "{}", figures(&raised));
}
