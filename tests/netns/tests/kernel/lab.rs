//! The lab leaves nothing behind, and its faults do what they say and nothing else.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use mesh_lab::{Fault, Lab, Lifetime, clock, labs_dir};

fn namespaces(id: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir("/run/netns") else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(&format!("{id}-"))).collect()
}

fn lives(pid: u32) -> bool {
    // A zombie's directory is there until somebody waits for it, but it has no memory any more.
    fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|text| !text.is_empty())
}

#[test]
fn root_a_panic_takes_the_lab_and_its_processes_with_it() -> Result<()> {
    let _alone = Lab::alone()?;
    let (send, receive) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let lab = Lab::new(Lifetime::Lab).expect("a lab");
        // In a session of its own, as a daemon that detaches.
        let process = lab.host("lb1").spawn("sleep", &["setsid", "sleep", "1000"]).expect("a process");
        send.send((lab.id().to_string(), process.pid(), namespaces(lab.id()).len())).expect("a listener");
        panic!("on purpose");
    });
    let (id, pid, before) = receive.recv()?;
    assert!(thread.join().is_err());
    assert_eq!(before, 6, "five hosts and the switch");
    assert_eq!(namespaces(&id), Vec::<String>::new());
    assert!(!labs_dir().join(&id).exists());
    assert!(!lives(pid));
    fs::remove_dir_all(std::env::temp_dir().join(&id))?; // the logs that a failed test leaves
    Ok(())
}

#[test]
fn root_what_a_dead_process_left_is_removed() -> Result<()> {
    let _alone = Lab::alone()?;
    // As after `kill -9` of whoever made it: directory, namespace and process are there, the lock is not held.
    let id = format!("meshlab0-{}", std::process::id());
    fs::create_dir_all(labs_dir().join(&id))?;
    let netns = format!("{id}-lb1");
    assert!(Command::new("ip").args(["netns", "add", &netns]).status()?.success());
    let mut left = Command::new("ip").args(["netns", "exec", &netns, "sleep", "1000"]).spawn()?;
    clock::wait_for("it is in its namespace", Duration::from_secs(5), || {
        let listed = Command::new("ip").args(["netns", "pids", &netns]).output()?;
        Ok((!listed.stdout.is_empty()).then_some(()))
    })?;

    let lab = Lab::new(Lifetime::Lab)?;
    assert!(!labs_dir().join(&id).exists());
    assert!(!Path::new("/run/netns").join(&netns).exists());
    assert!(!left.wait()?.success(), "killed");

    // The one that is alive is not touched by the next.
    let second = Lab::new(Lifetime::Lab)?;
    assert_eq!((namespaces(lab.id()).len(), namespaces(second.id()).len()), (6, 6));
    Ok(())
}

#[test]
fn root_a_lab_that_is_left_lives_until_it_is_removed() -> Result<()> {
    let _alone = Lab::alone()?;
    let lab = Lab::new(Lifetime::Kept)?;
    let id = lab.id().to_string();
    let process = lab.host("lb1").spawn("sleep", &["sleep", "1000"])?;
    let pid = process.pid();
    lab.leave()?;
    drop(process);
    drop(Lab::new(Lifetime::Lab)?);
    assert!(lives(pid) && Lab::kept()?.contains(&id));
    Lab::remove(&id)?;
    assert_eq!(namespaces(&id), Vec::<String>::new());
    assert!(!labs_dir().join(&id).exists());
    clock::wait_for("its process ends", Duration::from_secs(5), || Ok((!lives(pid)).then_some(())))
}

#[test]
fn root_faults_hit_what_they_name_and_heal() -> Result<()> {
    let _alone = Lab::alone()?;
    let mut lab = Lab::new(Lifetime::Lab)?;
    assert_eq!(reached(&lab)?, ALL, "nothing is wrong yet");

    for (fault, lost) in [
        (Fault::Cut("lb1".into(), "lb2".into()), &["lb1>lb2", "lb2>lb1"][..]),
        (Fault::Isolate("lb1".into()), &["lb1>lb2", "lb2>lb1", "lb1>lb3", "lb3>lb1"]),
        // A ping needs both ways, so a mute host can not be told from an isolated one by it.
        (Fault::Mute("lb1".into()), &["lb1>lb2", "lb2>lb1", "lb1>lb3", "lb3>lb1"]),
        (Fault::Cable("lb1".into()), &["lb1>lb2", "lb2>lb1", "lb1>lb3", "lb3>lb1", "client>lb1"]),
        (Fault::Vrrp, &[]),
    ] {
        lab.inject(fault.clone())?;
        let carrier = lab.host("lb1").run(&["cat", "/sys/class/net/eth0/carrier"])?;
        assert_eq!(carrier.trim() == "0", fault == Fault::Cable("lb1".into()), "{fault:?}");
        let expected: Vec<_> = ALL.iter().filter(|pair| !lost.contains(pair)).copied().collect();
        assert_eq!(reached(&lab)?, expected, "{fault:?}");
        lab.heal(&fault)?;
        assert_eq!(reached(&lab)?, ALL, "{fault:?} is healed");
    }
    Ok(())
}

const ALL: [&str; 7] = ["lb1>lb2", "lb1>lb3", "lb2>lb1", "lb2>lb3", "lb3>lb1", "lb3>lb2", "client>lb1"];

fn reached(lab: &Lab) -> Result<Vec<&'static str>> {
    let ping = |pair: &'static str| {
        let (from, to) = pair.split_once('>').expect("a pair");
        let to = lab.host(to).address.to_string();
        // Three within 0.6 s: the first may be spent on finding the neighbour.
        let output = lab.host(from).output(&["ping", "-q", "-c", "3", "-i", "0.2", "-W", "0.3", &to])?;
        Ok(output.status.success().then_some(pair))
    };
    let answers = std::thread::scope(|scope| {
        let threads = ALL.map(|pair| scope.spawn(move || ping(pair)));
        threads.map(|thread| thread.join().expect("no panic"))
    });
    answers.into_iter().filter_map(Result::transpose).collect()
}
