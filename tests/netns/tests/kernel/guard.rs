//! The guard above each daemon: what it does when the daemon dies, and a daemon that is replaced without a client
//! noticing.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use mesh_lab::cluster::{Cluster, Daemon, active, binary, install};
use mesh_lab::conf::Style;
use mesh_lab::{CLIENT, Host, Judge, Lab, Report, Turn, VIP, clock};
use mesh_netns::{NEXT, OWNER, settled, settled_with};
use nix::sys::signal::Signal;

/// From a death to the next director's first answer. Tens of milliseconds on an idle machine; a lease would take up to
/// a second.
const MOVED_WITHIN: Duration = Duration::from_millis(300);
/// How long a move is watched.
const WATCHED: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(20);

fn on(_turn: Turn, daemons: &[(&str, Daemon)], test: impl FnOnce(&mut Cluster) -> Result<()>) -> Result<()> {
    let mut cluster = if daemons.is_empty() { settled(Daemon::Mesh)? } else { settled_with(daemons, Style::V2)? };
    test(&mut cluster).inspect_err(|_| cluster.lab_ref().save_logs())
}

/// Does something to the owner, and watches what becomes of the VIP and how soon somebody else serves it.
fn watch(cluster: &mut Cluster, act: impl FnOnce(&mut Cluster) -> Result<()>) -> Result<(Report, Duration)> {
    let judge = Judge::start(cluster.lab_ref())?;
    clock::pass(Duration::from_millis(700))?;
    let begin = clock::now();
    act(cluster)?;
    clock::pass((begin + WATCHED).saturating_sub(clock::now()))?;
    let seen = judge.finish()?.window(begin, Duration::MAX);
    println!("{seen}");
    // On a busy machine the third one may be faster than the second.
    let heirs = [NEXT, "lb3"].into_iter().filter_map(|name| Some(seen.served(name).first()?.from));
    let taken = heirs.min().with_context(|| format!("nobody else served: {seen}"))?.saturating_sub(begin);
    println!("another one served after {taken:?}");
    ensure!(seen.dual().is_zero(), "two served: {seen}");
    Ok((seen, taken))
}

fn has_vip(cluster: &Cluster, name: &str) -> Result<bool> {
    cluster.lab_ref().host(name).has_address(&VIP.to_string())
}

/// Echoes on the VIP, in the network of whoever has it now.
struct Echo {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

const PORT: u16 = 7;

impl Echo {
    fn start(host: &Host) -> Result<Echo> {
        let (stop, host) = (Arc::new(AtomicBool::new(false)), host.clone());
        let (ready, is_ready) = mpsc::channel();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            host.enter()?;
            let socket = UdpSocket::bind((VIP, PORT))?;
            socket.set_read_timeout(Some(Duration::from_millis(100)))?;
            ready.send(())?;
            let mut bytes = [0; 8];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut bytes) {
                    // A client that hung up is no failure of the server.
                    let _ = socket.send_to(&bytes[..length], from);
                }
            }
            Ok(())
        });
        is_ready.recv_timeout(PATIENCE).context("the echo server does not start")?;
        Ok(Echo { stop, thread: Some(thread) })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A client that asks a thousand times a second for ten seconds; resolves to how many were asked and how many of them
/// were answered.
fn ask(client: &Host) -> JoinHandle<Result<(u64, u64)>> {
    const REQUESTS: u64 = 10_000;
    let client = client.clone();
    std::thread::spawn(move || {
        client.enter()?;
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect((VIP, PORT))?;
        let receiver = socket.try_clone()?;
        receiver.set_read_timeout(Some(Duration::from_secs(1)))?;
        let answers = std::thread::spawn(move || {
            let (mut bytes, mut answered) = ([0; 8], std::collections::BTreeSet::new());
            while answered.len() < REQUESTS as usize {
                match receiver.recv(&mut bytes) {
                    Ok(8) => drop(answered.insert(u64::from_be_bytes(bytes))),
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                    // Silent for a second: the rest is lost.
                    Err(_) => break,
                }
            }
            answered.len() as u64
        });
        let begin = clock::now();
        for number in 0..REQUESTS {
            let due = begin + Duration::from_millis(number);
            clock::pass(due.saturating_sub(clock::now()))?;
            // Refused is told of an earlier one; that one counts as lost already.
            let _ = socket.send(&number.to_be_bytes());
        }
        let answered = answers.join().map_err(|_| anyhow!("the receiver panicked"))?;
        Ok((REQUESTS, answered))
    })
}

fn epoch(cluster: &Cluster) -> Result<u64> {
    Ok(cluster.status(OWNER)?["routers"][0]["lease"]["epoch"].as_u64().unwrap_or(0))
}

#[test]
fn root_a_killed_daemon_costs_no_lease() -> Result<()> {
    on(Lab::alone()?, &[], |cluster| {
        let killed = cluster.daemon_pid(OWNER)?;
        let (seen, taken) = watch(cluster, |cluster| cluster.signal_daemon(OWNER, Signal::SIGKILL))?;
        ensure!(taken <= MOVED_WITHIN, "taken over after {taken:?}: {seen}");
        ensure!(!has_vip(cluster, OWNER)?, "the dead daemon's address is still there");
        ensure!(cluster.daemon_pid(OWNER)? != killed, "not started again");
        let status = cluster.status(OWNER)?;
        ensure!(status["routers"][0]["here"] == "backup", "back as a backup: {status}");
        ensure!(status["guard"]["restarts"] == 1, "counted: {status}");
        ensure!(status["guard"]["last_death"] == "SIGKILL (signal 9)", "told: {status}");
        // It has the higher priority, and gets the address back in order.
        cluster.wait_holder(OWNER)
    })
}

#[test]
fn root_a_killed_guard_hands_over() -> Result<()> {
    on(Lab::alone()?, &[], |cluster| {
        let (seen, taken) = watch(cluster, |cluster| cluster.kill_guard(OWNER))?;
        ensure!(taken <= MOVED_WITHIN, "taken over after {taken:?}: {seen}");
        ensure!(!has_vip(cluster, OWNER)?, "the address is still there");
        cluster.restart(OWNER)?;
        cluster.wait_holder(OWNER)
    })
}

#[test]
fn root_without_a_mesh_the_next_one_waits_for_its_skew_only() -> Result<()> {
    on(Lab::beside()?, &[(OWNER, Daemon::Plain), (NEXT, Daemon::Plain)], |cluster| {
        let (seen, taken) = watch(cluster, |cluster| cluster.signal_daemon(OWNER, Signal::SIGKILL))?;
        // (256 - 150) / 256 s, as after an orderly stop.
        let skew = Duration::from_millis(414);
        ensure!((skew..skew + MOVED_WITHIN).contains(&taken), "taken over after {taken:?}: {seen}");
        ensure!(!has_vip(cluster, OWNER)?, "the dead daemon's address is still there");
        cluster.wait_holder(OWNER)
    })
}

/// A program that shows its version and takes any configuration, and dies as soon as it shall do anything else.
fn broken(file: &Path) -> Result<()> {
    let script = file.with_extension("sh");
    fs::write(&script, "#!/bin/sh\ncase $1 in --version|check) ;; *) kill -9 $$ ;; esac\n")?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    install(&script, file)
}

#[test]
fn root_a_daemon_that_dies_at_each_start_is_started_ever_more_slowly() -> Result<()> {
    on(Lab::beside()?, &[], |cluster| {
        let program = cluster.own_program(OWNER)?;
        cluster.stop(OWNER)?;
        cluster.wait_stopped(OWNER)?;
        cluster.restart(OWNER)?;
        cluster.wait_holder(OWNER)?;

        broken(&program)?;
        let (seen, taken) = watch(cluster, |cluster| cluster.signal_daemon(OWNER, Signal::SIGKILL))?;
        ensure!(taken <= MOVED_WITHIN, "taken over after {taken:?}: {seen}");
        let log = cluster.lab_ref().host(OWNER).dir.join("meshd.log");
        for pause in ["starting it again in 1 s", "starting it again in 2 s"] {
            clock::wait_for(&format!("the log says {pause:?}"), PATIENCE, || {
                Ok(fs::read_to_string(&log)?.contains(pause).then_some(()))
            })?;
            ensure!(!has_vip(cluster, OWNER)?, "it took the address back");
        }
        install(&binary("meshd")?, &program)?;
        cluster.wait_holder(OWNER)
    })
}

#[test]
fn root_an_upgrade_to_a_broken_program_moves_the_vip() -> Result<()> {
    on(Lab::beside()?, &[], |cluster| {
        let program = cluster.own_program(OWNER)?;
        cluster.stop(OWNER)?;
        cluster.wait_stopped(OWNER)?;
        cluster.restart(OWNER)?;
        cluster.wait_holder(OWNER)?;

        fs::rename(&program, program.with_extension("away"))?;
        ensure!(cluster.meshctl(OWNER, &["upgrade"]).is_err(), "there is no program");
        ensure!(cluster.holders()? == [OWNER], "nothing happened: {:?}", cluster.holders()?);

        broken(&program)?;
        let (seen, taken) = watch(cluster, |cluster| {
            // It waits for a daemon that does not come.
            drop(cluster.meshctl(OWNER, &["upgrade"]));
            Ok(())
        })?;
        let limit = MOVED_WITHIN + Duration::from_secs(1);
        ensure!(taken <= limit, "taken over after {taken:?}: {seen}");
        ensure!(!has_vip(cluster, OWNER)?, "the address is still there");
        install(&binary("meshd")?, &program)?;
        cluster.wait_holder(OWNER)
    })
}

/// `meshctl upgrade`, then `stop --keep` and a start, under a thousand requests a second.
fn replaced_unnoticed(daemons: &[(&str, Daemon)]) -> Result<()> {
    on(Lab::alone()?, daemons, |cluster| {
        let before = epoch(cluster)?;
        let echo = Echo::start(cluster.lab_ref().host(OWNER))?;
        let judge = Judge::start(cluster.lab_ref())?;
        let requests = ask(cluster.lab_ref().host(CLIENT));

        clock::pass(Duration::from_secs(1))?;
        let (daemon, guard) = (cluster.daemon_pid(OWNER)?, cluster.guard_pid(OWNER)?);
        cluster.meshctl(OWNER, &["upgrade"])?;
        ensure!(cluster.daemon_pid(OWNER)? != daemon, "it is the same daemon");
        ensure!(cluster.guard_pid(OWNER)? == guard, "it is another guard");

        clock::pass(Duration::from_secs(3))?;
        cluster.expect_end(OWNER);
        cluster.meshctl(OWNER, &["stop", "--keep"])?;
        cluster.wait_stopped(OWNER)?;
        ensure!(has_vip(cluster, OWNER)?, "it was handed over");
        cluster.restart(OWNER)?;

        let (asked, answered) = requests.join().map_err(|_| anyhow!("the client panicked"))??;
        let seen = judge.finish()?;
        println!("{answered} of {asked} requests were answered; {seen}");
        ensure!(answered == asked, "{} of {asked} requests were lost: {seen}", asked - answered);
        ensure!(seen.owners() == [OWNER] && seen.dual().is_zero(), "the VIP moved: {seen}");
        ensure!(seen.gap().is_zero(), "the VIP was away: {seen}");
        // Long after the last lease of the runs before: it was renewed, not taken anew.
        ensure!(epoch(cluster)? == before, "from epoch {before} to {}", epoch(cluster)?);
        cluster.wait_status("the owner stayed", PATIENCE, &[OWNER], |status| active(status) == Some(OWNER))?;
        drop(echo);
        Ok(())
    })
}

#[test]
fn root_a_daemon_in_a_mesh_is_replaced_unnoticed() -> Result<()> {
    replaced_unnoticed(&[])
}

#[test]
fn root_a_daemon_without_a_mesh_is_replaced_unnoticed() -> Result<()> {
    replaced_unnoticed(&[(OWNER, Daemon::Plain), (NEXT, Daemon::Plain)])
}

/// Goodbyes that are signed: behind an authentication header beside keepalived, and with a key beside meshd. Without
/// them the next one would wait for 3.4 s; and what the new daemon sends is not taken for old.
#[test]
fn root_guard_says_a_signed_goodbye() -> Result<()> {
    const SIGNED: &str = "10.1.1.81";
    let _turn = Lab::beside()?;
    let conf = |name: &str| {
        let priority = if name == OWNER { 200 } else { 150 };
        let instance = |vrid: u8, more: &str, address: &str| {
            format!(
                "vrrp_instance V{vrid} {{\n state BACKUP\n interface eth0\n virtual_router_id {vrid}\n advert_int 1\n \
                 priority {priority}\n{more} virtual_ipaddress {{\n  {address}\n }}\n}}\n"
            )
        };
        let header = instance(51, " authentication {\n  auth_type AH\n  auth_pass secret12\n }\n", &VIP.to_string());
        let key = format!(" version 3\n auth_hmac {{\n  key 1 {}\n  active_key 1\n }}\n", "k".repeat(32));
        let signed = instance(52, &key, SIGNED);
        match name {
            OWNER => header + &signed,
            NEXT => header,
            _ => signed,
        }
    };
    let daemons = [(OWNER, Daemon::Plain), (NEXT, Daemon::Keepalived), ("lb3", Daemon::Plain)];
    let mut cluster = Cluster::launch_all(Lab::new(mesh_lab::Lifetime::Lab)?, &daemons, &conf)?;
    let test = |cluster: &mut Cluster| {
        let held_by = |cluster: &mut Cluster, header: &str, signed: &str| {
            let what = format!("{header} and {signed} serve");
            let began = clock::now();
            clock::wait_for(&what, PATIENCE, || {
                cluster.must_run()?;
                let mut good = true;
                for host in cluster.lab_ref().directors() {
                    for (address, name) in [(&*VIP.to_string(), header), (SIGNED, signed)] {
                        good &= host.has_address(address)? == (host.name == name);
                    }
                }
                Ok(good.then_some(()))
            })?;
            Ok::<_, anyhow::Error>(clock::now() - began)
        };
        held_by(cluster, OWNER, OWNER)?;
        // Their adverts have numbers by now.
        clock::pass(Duration::from_secs(2))?;
        cluster.signal_daemon(OWNER, Signal::SIGKILL)?;
        let took = held_by(cluster, NEXT, "lb3")?;
        println!("taken over after {took:?}");
        ensure!(took < Duration::from_millis(1500), "the goodbyes were not believed: {took:?}");
        held_by(cluster, OWNER, OWNER)?;
        clock::pass(Duration::from_secs(4))?;
        let took = held_by(cluster, OWNER, OWNER)?;
        ensure!(took < Duration::from_secs(1), "the new daemon's adverts are not believed: {took:?}");
        Ok(())
    };
    test(&mut cluster).inspect_err(|_| cluster.lab_ref().save_logs())
}
