//! BFD beside a real keepalived and FRR's bfdd: each notices when the other is gone, and what it means for real
//! servers and for virtual routers.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use mesh_lab::cluster::{Cluster, Daemon, active};
use mesh_lab::conf::{Style, keepalived_conf};
use mesh_lab::{CLIENT, DIRECTORS, Fault, Host, Lab, Lifetime, Process, clock};
use mesh_netns::{NEXT, OWNER};
use nix::sys::signal::Signal;
use serde_json::Value;

const MS: fn(u64) -> Duration = Duration::from_millis;
/// Where FRR is.
const THIRD: &str = "lb3";
/// 50 ms, four times: machines are busy.
const DETECTION: Duration = Duration::from_millis(200);
/// From a neighbour's being there to both sides' being up; keepalived speaks once a second until then.
const UP: Duration = Duration::from_secs(15);

/// Sessions that a virtual router follows are up, and a takeover is over.
const SETTLE: Duration = Duration::from_secs(40);

/// meshd has a session with each of the others, and a service whose real servers these decide about.
fn conf(name: &str) -> String {
    let session = |name: &str, last: u8, own: u8| {
        format!(
            "bfd_instance {name} {{\n neighbor_ip 10.1.1.{last}\n source_ip 10.1.1.{own}\n min_rx 50\n min_tx 50\n \
             multiplier 4\n}}\n"
        )
    };
    if name == NEXT {
        return session("meshd", 11, 12);
    }
    let six = "bfd_instance six {\n neighbor_ip fe80::13\n source_ip fe80::11\n interface eth0\n hoplimit 255\n min_rx 50\n \
               min_tx 50\n multiplier 4\n}\n";
    let real =
        |last: u8, name: &str| format!(" real_server 10.1.1.{last} 80 {{\n  BFD_CHECK {{\n   name {name}\n  }}\n }}\n");
    let server = "virtual_server 10.1.1.100 80 {\n lb_algo rr\n lb_kind DR\n protocol TCP\n";
    let sessions = session("keepalived", 12, 11) + &session("frr", 13, 11) + six;
    format!("{sessions}{server}{}{}}}\n", real(12, "keepalived"), real(13, "frr"))
}

/// FRR's bfdd, with a session in each family.
struct Frr {
    host: Host,
    dir: String,
    _processes: [Process; 2],
}

impl Frr {
    fn start(host: &Host) -> Result<Frr> {
        let dir = host.dir.join("frr");
        fs::create_dir_all(&dir)?;
        let dir = dir.to_str().context("a path of text")?.to_owned();
        let peer = |peer: &str| {
            format!(
                " peer {peer} interface eth0\n  receive-interval 50\n  transmit-interval 50\n  detect-multiplier 4\n  no shutdown\n"
            )
        };
        let peers = peer("10.1.1.11 local-address 10.1.1.13") + &peer("fe80::11 local-address fe80::13");
        fs::write(format!("{dir}/bfdd.conf"), format!("bfd\n{peers}"))?;
        fs::write(format!("{dir}/zebra.conf"), "")?;
        // It gives up being root, and wants its sockets to be its own group's.
        host.run(&["chown", "-R", "frr:frr", &dir])?;
        let daemon = |name: &str, more: &[&str]| -> Result<Process> {
            let program = format!("/usr/lib/frr/{name}");
            let (conf, pid, zserv) =
                (format!("{dir}/{name}.conf"), format!("{dir}/{name}.pid"), format!("{dir}/zserv.api"));
            let files = ["-f", &conf, "-i", &pid, "-z", &zserv, "--vty_socket", &dir];
            let rest = ["-A", "127.0.0.1", "-u", "frr", "-g", "frr", "--log", "stdout"];
            host.spawn(name, &[&[&*program][..], &files, &rest, more].concat())
        };
        let zebra = daemon("zebra", &[])?;
        clock::wait_for("zebra's socket", UP, || Ok(fs::exists(format!("{dir}/zserv.api"))?.then_some(())))?;
        let bfdd = daemon("bfdd", &["--bfdctl", &format!("{dir}/bfdd.sock")])?;
        Ok(Frr { host: host.clone(), _processes: [zebra, bfdd], dir })
    }

    fn shell(&self, commands: &[&str]) -> Result<String> {
        let commands = commands.iter().flat_map(|command| ["-c", command]);
        let all: Vec<&str> = ["vtysh", "--vty_socket", &self.dir].into_iter().chain(commands).collect();
        self.host.run(&all)
    }

    /// What it says of its session with this peer.
    fn peer(&self, address: &str) -> Result<Value> {
        let shown = self.shell(&["show bfd peers json"])?;
        let peers: Value = serde_json::from_str(&shown).with_context(|| shown.clone())?;
        let one = peers.as_array().into_iter().flatten().find(|peer| peer["peer"] == address);
        Ok(one.cloned().unwrap_or(Value::Null))
    }

    fn wait(&self, address: &str, status: &str, limit: Duration) -> Result<()> {
        clock::wait_for(&format!("FRR says {status} of {address}"), limit, || {
            // Its shell answers once it has started.
            Ok(self.peer(address).ok().filter(|peer| peer["status"] == status).map(|_| ()))
        })
    }
}

/// What meshd says of its sessions and of the real servers: name or address, and state.
fn seen(cluster: &Cluster) -> Result<Vec<(String, String)>> {
    let status = cluster.status(OWNER)?;
    let list = |of: &Value, name: &str, state: &str| -> Vec<(String, String)> {
        let text = |one: &Value, field: &str| one[field].as_str().unwrap_or("none").to_owned();
        of.as_array().into_iter().flatten().map(|one| (text(one, name), text(one, state))).collect()
    };
    let mut all = list(&status["bfd"], "name", "state");
    all.extend(list(&status["services"][0]["real_servers"], "address", "health"));
    Ok(all)
}

/// Waits until meshd says all of this; how long that took.
fn wait(cluster: &mut Cluster, expected: &[(&str, &str)], limit: Duration) -> Result<Duration> {
    let began = clock::now();
    let mut last = Vec::new();
    let waited = clock::wait_for(&format!("{expected:?}"), limit, || {
        cluster.must_run()?;
        last = seen(cluster).unwrap_or_default();
        let holds = |(name, state): &(&str, &str)| last.iter().any(|(n, s)| n == name && s == state);
        Ok(expected.iter().all(holds).then_some(()))
    });
    waited.with_context(|| format!("last seen: {last:?}"))?;
    Ok(clock::now() - began)
}

/// With its BFD process, and files of its own.
fn keepalived(host: &Host, conf: &str) -> Result<Process> {
    let file =
        |name: &str| -> Result<String> { Ok(host.dir.join(name).to_str().context("a path of text")?.to_owned()) };
    fs::write(file("keepalived.conf")?, conf)?;
    let (conf, main, bfd) = (file("keepalived.conf")?, file("main.pid")?, file("bfd.pid")?);
    let (vrrp, checkers) = (file("vrrp.pid")?, file("checkers.pid")?);
    let files = ["-f", &conf, "-p", &main, "-b", &bfd, "-r", &vrrp, "-c", &checkers];
    let program = ["/usr/sbin/keepalived", "--dont-fork", "--log-console", "--log-detail"];
    host.spawn("keepalived", &[&program[..], &files].concat())
}

fn keepalived_says(host: &Host, text: &str, times: usize) -> Result<()> {
    clock::wait_for(&format!("keepalived says {text} {times} times"), UP, || {
        let log = fs::read_to_string(host.dir.join("keepalived.log")).unwrap_or_default();
        Ok((log.matches(text).count() >= times).then_some(()))
    })
}

#[test]
fn root_bfd_with_keepalived_and_frr_decides_about_real_servers() -> Result<()> {
    let _turn = Lab::beside()?;
    let lab = Lab::new(Lifetime::Lab)?;
    for (host, address) in [(OWNER, "fe80::11/64"), (THIRD, "fe80::13/64")] {
        lab.host(host).run(&["ip", "address", "add", address, "dev", "eth0", "nodad"])?;
    }
    let frr = Frr::start(lab.host(THIRD))?;
    let ours = lab.host(OWNER).clone();
    let pcap = ours.dir.join("bfd.pcap").to_str().context("a path of text")?.to_owned();
    fs::File::create(&pcap)?;
    let tcpdump = ours.spawn("tcpdump", &["tcpdump", "-Z", "root", "-U", "-i", "eth0", "-w", &pcap, "udp"])?;
    let theirs = lab.host(NEXT).clone();
    let _keepalived = keepalived(&theirs, &conf(NEXT))?;
    let mut cluster = Cluster::launch_all(lab, &[(OWNER, Daemon::Plain)], &conf)?;

    let all_up = [("keepalived", "up"), ("frr", "up"), ("six", "up"), ("10.1.1.12:80", "up"), ("10.1.1.13:80", "up")];
    println!("up after {:?}", wait(&mut cluster, &all_up, UP)?);
    keepalived_says(&theirs, "Entering Up state", 1)?;
    frr.wait("10.1.1.11", "up", UP)?;
    frr.wait("fe80::11", "up", UP)?;
    let agreed = frr.peer("10.1.1.11")?;
    let remote = ["remote-receive-interval", "remote-transmit-interval", "remote-detect-multiplier"];
    assert_eq!(remote.map(|key| agreed[key].as_u64()), [Some(50), Some(50), Some(4)], "{agreed}");

    // Each side is cut off: both notice.
    for (cut, lost, address) in [(NEXT, "keepalived", "10.1.1.12:80"), (THIRD, "frr", "10.1.1.13:80")] {
        let cable = Fault::Cable(cut.to_owned());
        cluster.lab().inject(cable.clone())?;
        let took = wait(&mut cluster, &[(lost, "down"), (address, "down")], UP)?;
        println!("{cut} cut off: noticed after {took:?}");
        assert!(took < DETECTION + MS(1500), "{took:?}");
        let services = cluster.meshctl(OWNER, &["services"])?;
        assert!(services.contains(&format!("BFD session {lost} is down")), "{services}");
        if cut == NEXT {
            keepalived_says(&theirs, "Entering Down state", 1)?;
        } else {
            frr.wait("10.1.1.11", "down", MS(3000))?;
        }
        cluster.lab().heal(&cable)?;
        wait(&mut cluster, &all_up, UP)?;
    }

    // An operator's word is no silence.
    let peer = "peer 10.1.1.11 local-address 10.1.1.13 interface eth0";
    frr.shell(&["configure terminal", "bfd", peer, "shutdown"])?;
    wait(&mut cluster, &[("frr", "down"), ("10.1.1.13:80", "down"), ("six", "up")], UP)?;
    let status = cluster.status(OWNER)?;
    let session = status["bfd"].as_array().and_then(|all| all.iter().find(|s| s["name"] == "frr")).cloned();
    assert_eq!(session.map(|s| s["reason"].clone()), Some("the neighbour holds the session down".into()));
    frr.shell(&["configure terminal", "bfd", peer, "no shutdown"])?;
    wait(&mut cluster, &all_up, UP)?;

    // A reload keeps what is unchanged; then meshd goes, and says so.
    let before = cluster.status(OWNER)?["bfd"].clone();
    cluster.signal_daemon(OWNER, Signal::SIGHUP)?;
    clock::pass(MS(500))?;
    let after = cluster.status(OWNER)?["bfd"].clone();
    for (before, after) in before.as_array().into_iter().flatten().zip(after.as_array().into_iter().flatten()) {
        assert_eq!((&before["since"], &before["losses"]), (&after["since"], &after["losses"]));
    }
    cluster.stop(OWNER)?;
    cluster.wait_stopped(OWNER)?;
    frr.wait("10.1.1.11", "down", UP)?;
    assert_eq!(frr.peer("10.1.1.11")?["remote-diagnostic"], "administratively down");
    keepalived_says(&theirs, "Neighbor Signaled Session Down", 1)?;

    tcpdump.signal(Signal::SIGTERM)?;
    clock::pass(MS(300))?;
    let tshark = |filter: &str| -> Result<Vec<String>> {
        Ok(ours.run(&["tshark", "-r", &pcap, "-Y", filter])?.lines().map(str::to_owned).collect())
    };
    let from_us = "(ip.src == 10.1.1.11 || ipv6.src == fe80::11)";
    let complaints = format!("{from_us} && bfd && (_ws.malformed || _ws.expert.severity >= 6291456)");
    assert_eq!(tshark(&complaints)?, Vec::<String>::new());
    let sound = "udp.dstport == 3784 && udp.srcport >= 49152 && (ip.ttl == 255 || ipv6.hlim == 255)";
    assert!(tshark(&format!("{from_us} && bfd && {sound}"))?.len() > 50);
    assert_eq!(tshark(&format!("{from_us} && bfd && !({sound})"))?, Vec::<String>::new());
    Ok(())
}

/// The session of a director with the client, seen from either side.
fn uplink(name: &str, neighbor: std::net::Ipv4Addr, source: std::net::Ipv4Addr) -> String {
    format!(
        "bfd_instance {name} {{\n neighbor_ip {neighbor}\n source_ip {source}\n min_rx 50\n min_tx 50\n \
         multiplier 4\n}}\n"
    )
}

/// Serves while its session is up.
fn tracking(name: &str) -> String {
    let own = DIRECTORS.iter().find(|(known, _)| *known == name).map(|(_, address)| *address).expect("a director");
    let track = "    track_bfd {\n        uplink\n    }\n    virtual_ipaddress {";
    let router = keepalived_conf(name, Style::V2).replace("    virtual_ipaddress {", track);
    uplink("uplink", mesh_lab::CLIENT_ADDRESS, own) + &router
}

#[test]
fn root_a_virtual_router_leaves_a_director_whose_bfd_neighbour_is_gone() -> Result<()> {
    let _turn = Lab::beside()?;
    let lab = Lab::new(Lifetime::Lab)?;
    let sessions = DIRECTORS.map(|(name, address)| uplink(name, address, mesh_lab::CLIENT_ADDRESS)).concat();
    let _neighbour = keepalived(lab.host(CLIENT), &sessions)?;
    let mut cluster = Cluster::launch_all(lab, &DIRECTORS.map(|(name, _)| (name, Daemon::Mesh)), &tracking)?;
    follows(&mut cluster).inspect_err(|_| cluster.lab_ref().save_logs())
}

fn follows(cluster: &mut Cluster) -> Result<()> {
    let all = DIRECTORS.map(|(name, _)| name);
    let serves = |name: &'static str| move |status: &Value| active(status) == Some(name);
    cluster.wait_status("the worthiest serves", SETTLE, &all, serves(OWNER))?;
    // The mesh does not notice: only the neighbour is out of reach.
    let cut = Fault::Cut(OWNER.to_owned(), CLIENT.to_owned());
    let begin = clock::now();
    cluster.lab().inject(cut.clone())?;
    cluster.wait_status("the next one serves", UP, &all, serves(NEXT))?;
    let took = clock::now() - begin;
    println!("handed over after {took:?}");
    assert!(took < DETECTION + MS(2000), "{took:?}");
    assert_eq!(cluster.holders()?, [NEXT]);
    let router = cluster.status(OWNER)?["routers"][0].clone();
    assert_eq!(router["here"], "fault", "{router}");
    let events = cluster.meshctl(OWNER, &["events"])?;
    assert!(events.contains("VI_1: fault: BFD session uplink is down"), "{events}");

    cluster.lab().heal(&cut)?;
    cluster.wait_status("it is back", SETTLE, &all, serves(OWNER))?;
    assert_eq!(cluster.holders()?, [OWNER]);
    Ok(())
}
