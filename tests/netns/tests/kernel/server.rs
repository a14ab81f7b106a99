//! Two directors and two real servers: four voters, and the virtual address on the servers without the network
//! learning of it. The servers run as nobody, with CAP_NET_ADMIN and nothing else.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::{Cluster, Daemon, active};
use mesh_lab::conf::{Style, keepalived_conf};
use mesh_lab::{CLIENT, Host, Lab, Lifetime, VIP, clock, web};
use mesh_netns::{NEXT, OWNER};
use nix::sys::signal::Signal;
use serde_json::Value;

const WEB1: &str = "lb3";
const WEB2: &str = "lb4";
const ALL: [&str; 4] = [OWNER, NEXT, WEB1, WEB2];
const VIP6: &str = "2001:db8::80";
const SETTINGS: [&str; 4] = ["all/arp_ignore", "all/arp_announce", "lo/arp_ignore", "lo/arp_announce"];

/// Joining, voting and gossip of four on a busy machine.
const SETTLE: Duration = Duration::from_secs(40);
/// A server looks at its host every second.
const SOON: Duration = Duration::from_secs(10);

/// A director's file with a virtual server of each family; a server needs none of it.
fn conf(name: &str) -> String {
    if name == WEB1 || name == WEB2 {
        return format!("global_defs {{\n    router_id {name}\n}}\n");
    }
    let pool = |vip: &str, real: [&str; 2]| {
        let real = real.map(|at| format!("    real_server {at} 80 {{\n        weight 1\n    }}\n")).concat();
        format!("virtual_server {vip} 80 {{\n    lb_algo rr\n    lb_kind DR\n    protocol TCP\n{real}}}\n")
    };
    let ipv4 = pool(&VIP.to_string(), ["10.1.1.13", "10.1.1.14"]);
    let ipv6 = pool(VIP6, ["2001:db8::13", "2001:db8::14"]);
    format!("{}\n{ipv4}\n{ipv6}", keepalived_conf(name, Style::V2))
}

/// All that a server may change on its host.
fn snapshot(host: &Host) -> Result<String> {
    let mut text = host.run(&["ip", "-o", "address", "show", "dev", "lo"])?;
    text += &host.run(&["ip", "-4", "-o", "address", "show", "dev", "eth0"])?;
    for setting in SETTINGS {
        text += &format!("{setting} {}", host.run(&["cat", &format!("/proc/sys/net/ipv4/conf/{setting}")])?);
    }
    Ok(text)
}

/// Both addresses on lo, and hidden.
fn serves(host: &Host) -> Result<bool> {
    let now = snapshot(host)?;
    let settings = ["all/arp_ignore 1", "all/arp_announce 2", "lo/arp_ignore 1", "lo/arp_announce 2"];
    let addresses = [format!("{VIP}/32 scope host"), format!("{VIP6}/128")];
    Ok(settings.iter().all(|s| now.contains(s)) && addresses.iter().all(|a| now.contains(a)))
}

fn log(host: &Host) -> Result<String> {
    fs::read_to_string(host.dir.join("meshd.log")).context("the log of a server")
}

/// A web server on all addresses of a host.
struct Web {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    fn start(host: &Host) -> Result<Web> {
        let stop = Arc::new(AtomicBool::new(false));
        let (host, stopped) = (host.clone(), stop.clone());
        let (ready, started) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let listen = || -> Result<TcpListener> {
                host.enter()?;
                let listener = TcpListener::bind("[::]:80")?;
                listener.set_nonblocking(true)?;
                Ok(listener)
            };
            let listener = match listen() {
                Ok(listener) => listener,
                Err(error) => return drop(ready.send(Err(error))),
            };
            let _ = ready.send(Ok(()));
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((mut stream, _)) => {
                        // A client that only tries the port is gone already.
                        let _ = stream.set_nonblocking(false);
                        let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
                        let _ = stream.read(&mut [0; 512]);
                        let _ = write!(stream, "HTTP/1.0 200 OK\r\n\r\n{}\n", host.name);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        let _ = clock::pass(Duration::from_millis(5));
                    }
                    Err(_) => {}
                }
            }
        });
        started.recv().context("the web server died")??;
        Ok(Web { stop, thread: Some(thread) })
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lab() -> Result<Lab> {
    let lab = Lab::with_directors(Lifetime::Lab, 4)?;
    for name in [OWNER, NEXT, WEB1, WEB2, CLIENT] {
        let host = lab.host(name);
        let ipv6 = format!("2001:db8::{}/64", host.address.octets()[3]);
        host.run(&["ip", "address", "add", &ipv6, "dev", "eth0", "nodad"])?;
    }
    Ok(lab)
}

/// A mesh of these, settled, and what its servers looked like before.
fn mesh() -> Result<(Cluster, [String; 2])> {
    let lab = lab()?;
    let before = [snapshot(lab.host(WEB1))?, snapshot(lab.host(WEB2))?];
    let daemons = [(OWNER, Daemon::Mesh), (NEXT, Daemon::Mesh), (WEB1, Daemon::Server), (WEB2, Daemon::Server)];
    let mut cluster = Cluster::launch_all(lab, &daemons, &conf)?;
    cluster.wait_status("four vote, and the owner serves", SETTLE, &ALL, |status| {
        status["cluster"]["quorum"]["voters"] == 4 && active(status) == Some(OWNER)
    })?;
    for name in [WEB1, WEB2] {
        let host = cluster.lab_ref().host(name).clone();
        clock::wait_for(&format!("{name} serves"), SOON, || Ok(serves(&host)?.then_some(())))?;
    }
    Ok((cluster, before))
}

fn on_a_mesh(test: impl FnOnce(&mut Cluster, [String; 2]) -> Result<()>) -> Result<()> {
    let _lab = Lab::beside()?;
    let (mut cluster, before) = mesh()?;
    test(&mut cluster, before).inspect_err(|_| cluster.lab_ref().save_logs())
}

/// Who answers ARP for the virtual address.
fn arp_answers(host: &Host) -> Result<Vec<String>> {
    let output = host.output(&["arping", "-c", "4", "-w", "3", "-i", "eth0", &VIP.to_string()])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut answers: Vec<String> = text
        .lines()
        .filter_map(|line| line.split_once(" from ")?.1.split_whitespace().next().map(str::to_lowercase))
        .collect();
    answers.sort();
    answers.dedup();
    ensure!(!answers.is_empty(), "nobody answers: {text}");
    Ok(answers)
}

/// What the host with this MAC address answers on the virtual address: what a director in DR mode does.
fn ask_by_mac(client: &Host, server: &Host) -> Result<String> {
    let mac = server.mac.to_string();
    client.run(&["ip", "neighbour", "replace", &VIP.to_string(), "lladdr", &mac, "dev", "eth0"])?;
    let answer = web::get(client, VIP);
    client.run(&["ip", "neighbour", "del", &VIP.to_string(), "dev", "eth0"])?;
    answer
}

fn node<'a>(status: &'a Value, name: &str) -> &'a Value {
    let nodes = status["nodes"].as_array().into_iter().flatten();
    nodes.into_iter().find(|node| node["name"] == name).unwrap_or(&Value::Null)
}

#[test]
fn root_servers_take_packets_for_the_vip_and_the_network_does_not_learn_of_it() -> Result<()> {
    on_a_mesh(|cluster, before| {
        let [owner, web1, web2, client] = [OWNER, WEB1, WEB2, CLIENT].map(|name| cluster.lab_ref().host(name).clone());
        let status = cluster.status(OWNER)?;
        for name in [WEB1, WEB2] {
            ensure!(node(&status, name)["role"] == "server" && node(&status, name)["voter"] == true, "{status}");
        }
        ensure!(arp_answers(&client)? == [owner.mac.to_string()], "{:?}", arp_answers(&client)?);
        ensure!(!client.output(&["ping", "-6", "-c", "1", "-W", "1", VIP6])?.status.success(), "somebody has {VIP6}");

        let (first, second) = (Web::start(&web1)?, Web::start(&web2)?);
        for web in [&web1, &web2] {
            let answer = ask_by_mac(&client, web)?;
            ensure!(answer == web.name, "{} answered {answer}", web.name);
        }
        let told = |host: &Host, text: &str| {
            let text = format!("{}:80 {text}", host.address);
            clock::wait_for(&text, SOON, || Ok(log(host)?.contains(&text).then_some(())))
        };
        told(&web1, "takes connections")?;
        told(&web2, "takes connections")?;
        drop(first);
        told(&web1, "refuses connections")?;

        // What others take away is put back.
        web2.run(&["ip", "address", "del", &format!("{VIP}/32"), "dev", "lo"])?;
        clock::wait_for("the address is back", SOON, || Ok(serves(&web2)?.then_some(())))?;
        drop(second);

        // An orderly end leaves nothing behind.
        cluster.stop(WEB1)?;
        cluster.wait_stopped(WEB1)?;
        ensure!(snapshot(&web1)? == before[0], "{}\nbefore: {}", snapshot(&web1)?, before[0]);
        cluster.expect_end(WEB2);
        cluster.meshctl(WEB2, &["stop"])?;
        cluster.wait_stopped(WEB2)?;
        ensure!(snapshot(&web2)? == before[1], "{}\nbefore: {}", snapshot(&web2)?, before[1]);
        Ok(())
    })
}

#[test]
fn root_a_server_goes_on_without_its_daemon_and_four_voters_survive_any_one() -> Result<()> {
    on_a_mesh(|cluster, before| {
        let [web1, web2, client] = [WEB1, WEB2, CLIENT].map(|name| cluster.lab_ref().host(name).clone());
        let web = Web::start(&web1)?;

        // Daemon alone, then with its guard, then an upgrade's way: the host serves on.
        let pid = cluster.daemon_pid(WEB1)?;
        cluster.signal_daemon(WEB1, Signal::SIGKILL)?;
        clock::wait_for("another daemon", SOON, || Ok((cluster.daemon_pid(WEB1)? != pid).then_some(())))?;
        cluster.wait_status("it is back", SETTLE, &[OWNER], |s| s["cluster"]["quorum"]["reachable"] == 4)?;
        ensure!(serves(&web1)?, "{}", snapshot(&web1)?);
        cluster.kill(WEB1)?;
        cluster.wait_status("three of four decide", SETTLE, &[OWNER, NEXT, WEB2], |status| {
            active(status) == Some(OWNER) && status["cluster"]["quorum"]["reachable"] == 3
        })?;
        ensure!(serves(&web1)? && ask_by_mac(&client, &web1)? == WEB1, "{}", snapshot(&web1)?);
        cluster.restart(WEB1)?;
        cluster.wait_status("all are there", SETTLE, &[OWNER], |s| s["cluster"]["quorum"]["reachable"] == 4)?;
        cluster.expect_end(WEB2);
        cluster.meshctl(WEB2, &["stop", "--keep"])?;
        cluster.wait_stopped(WEB2)?;
        ensure!(serves(&web2)?, "{}", snapshot(&web2)?);
        cluster.restart(WEB2)?;
        cluster.wait_status("all are there", SETTLE, &ALL, |s| s["cluster"]["quorum"]["reachable"] == 4)?;

        // One of four may be gone, the owner itself; two may not.
        cluster.kill(OWNER)?;
        cluster.wait_status("the next director serves", SETTLE, &[NEXT], |s| active(s) == Some(NEXT))?;
        cluster.kill(WEB2)?;
        cluster.wait_status("two of four decide nothing", SETTLE, &[NEXT], |s| active(s).is_none())?;
        ensure!(serves(&web1)? && serves(&web2)?, "a mesh that is gone takes no address away");
        cluster.restart(WEB2)?;
        cluster.wait_status("three decide again", SETTLE, &[NEXT], |s| active(s) == Some(NEXT))?;

        for (host, before) in [(&web1, &before[0]), (&web2, &before[1])] {
            ensure!(!log(host)?.contains("off lo"), "an address went: {}", log(host)?);
            cluster.stop(&host.name)?;
            cluster.wait_stopped(&host.name)?;
            ensure!(snapshot(host)? == *before, "{}\nbefore: {before}", snapshot(host)?);
        }
        drop(web);
        Ok(())
    })
}
