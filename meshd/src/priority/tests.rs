//! Needs root, or a limit that allows real-time priority.

use std::process::Command;
use std::thread;

use super::*;

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
        raise().expect("root may");
        let own = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let child = Command::new("cat").arg("/proc/self/stat").output().unwrap();
        (own, String::from_utf8(child.stdout).unwrap())
    })
    .join()
    .unwrap();
    assert_eq!(scheduling(&own), (PRIORITY as u32, libc::SCHED_RR as u32));
    assert_eq!(scheduling(&child), (0, libc::SCHED_OTHER as u32));
    assert_eq!(raised(), before + 1);
    let other = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    assert_eq!(scheduling(&other).1, libc::SCHED_OTHER as u32, "only the thread that asked");
    let (soft, _) = getrlimit(Resource::RLIMIT_RTTIME).unwrap();
    assert_eq!(Duration::from_micros(soft), LONGEST_RUN);
}
