//! A mesh of three voters (two directors and a witness) beside a real keepalived that is no member, and beside somebody
//! who makes adverts up; judged from the clients' side.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use mesh_lab::cluster::{Cluster, Daemon, active, binary, voters};
use mesh_lab::conf::{Style, keepalived_conf};
use mesh_lab::{CLIENT, Host, Judge, Lab, Process, Report, VIP, clock};
use mesh_netns::{NEXT, OWNER, settled_with};
use mesh_wire::vrrp::{Advertisement, Authentication, ChecksumForm, GROUP, IP_PROTOCOL, Interval, TTL, Version, emit};
use nix::sys::signal::Signal;
use serde_json::Value;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

const MS: fn(u64) -> Duration = Duration::from_millis;
/// The director that keepalived runs on.
const FOREIGN: &str = "lb3";
/// How keepalived may react at most: three adverts and the skew, and its start.
const NOTICES: Duration = Duration::from_millis(6000);
/// No longer without the VIP than that counts as none: the judge's sampling error.
const NONE: Duration = Duration::from_millis(20);

/// Two directors and a witness; the witness lives on the client's host, which has no virtual router.
fn mesh(trusted: bool) -> Result<Cluster> {
    let mut cluster = settled_with(&[(OWNER, Daemon::Mesh), (NEXT, Daemon::Mesh)], Style::V2)?;
    let reply = cluster.meshctl(OWNER, &["--json", "token", "create"])?;
    let reply: Value = serde_json::from_str(&reply).context("token create")?;
    let token = reply["token"].as_str().context("a token")?;
    let host = cluster.lab_ref().host(CLIENT).clone();
    let (file, meshd) = (host.dir.join("token"), binary("meshd")?);
    fs::write(&file, token)?;
    let (state, run) = (host.dir.join("state"), host.dir.join("run"));
    let (seed, listen) = (cluster.lab_ref().host(OWNER).address.to_string(), format!("{}:7946", host.address));
    let paths = [&meshd, &file, &state, &run].map(|path| path.to_str().expect("a lab's paths are text"));
    let [meshd, file, state, run] = paths;
    let mut command = vec![meshd, "join", "--witness", "--seed", &seed, "--token-file", file, "--listen", &listen];
    command.extend(["--name", "witness", "--state-dir", state, "--runtime-dir", run]);
    let witness = host.spawn("meshd", &command)?;
    cluster.adopt(witness);
    cluster.wait_status("three voters", MS(15_000), &[OWNER, NEXT], |status| voters(status) == 3)?;
    if trusted {
        for (name, priority) in [(OWNER, 200), (NEXT, 150)] {
            let text = format!(
                "[mesh]\ntrusted_neighbours = [\"{}\"]\n[[router]]\nname = \"VI_1\"\ninterface = \"eth0\"\nvrid = 51\n\
                 priority = {priority}\nauth_pass = \"1111\"\naddresses = [\"{VIP}/24\"]\n",
                cluster.lab_ref().host(FOREIGN).address
            );
            fs::write(cluster.lab_ref().host(name).dir.join("keepalived.conf"), text)?;
            cluster.signal(name, Signal::SIGHUP)?;
        }
        // The routers begin anew.
        clock::pass(MS(4500))?;
    }
    cluster.wait_holder(OWNER)?;
    cluster.wait_status("protected", MS(15_000), &[OWNER, NEXT], |status| {
        active(status) == Some(OWNER) && status["routers"][0]["protection"] == "lease"
    })?;
    clock::pass(MS(1500))?;
    Ok(cluster)
}

/// A keepalived that is no member, on the third director.
fn keepalived(cluster: &Cluster, priority: u8) -> Result<Process> {
    let host: &Host = cluster.lab_ref().host(FOREIGN);
    let conf = keepalived_conf(FOREIGN, Style::V2).replace("priority 100", &format!("priority {priority}"));
    let file = host.dir.join("keepalived.conf");
    fs::write(&file, conf)?;
    let path = |name: &str| host.dir.join(name).to_str().map(str::to_owned).context("a lab's paths are text");
    let (conf, parent, vrrp, checkers) =
        (path("keepalived.conf")?, path("parent.pid")?, path("vrrp.pid")?, path("checkers.pid")?);
    let mut command = vec!["/usr/sbin/keepalived", "--dont-fork", "--vrrp", "--log-console"];
    command.extend(["-f", &conf, "-p", &parent, "-r", &vrrp, "-c", &checkers]);
    host.spawn("keepalived", &command)
}

/// keepalived comes, stays for as long as it may take to do something, and is stopped in an orderly way.
fn visited(trusted: bool, priority: u8, meanwhile: impl FnOnce(&mut Cluster) -> Result<()>) -> Result<Report> {
    let _turn = Lab::beside()?;
    let mut cluster = mesh(trusted)?;
    let judge = Judge::start(cluster.lab_ref())?;
    let mut neighbour = keepalived(&cluster, priority)?;
    clock::pass(NOTICES)?;
    neighbour.must_run()?;
    meanwhile(&mut cluster).inspect_err(|_| cluster.lab_ref().save_logs())?;
    neighbour.signal(Signal::SIGTERM)?;
    neighbour.wait(MS(10_000))?;
    clock::pass(MS(3000))?;
    let seen = judge.finish()?;
    println!("keepalived with priority {priority}, trusted: {trusted}: {seen}");
    Ok(seen)
}

fn serves_all_the_time(seen: &Report, name: &str) -> Result<()> {
    let served = seen.served(name);
    ensure!(served.len() == 1, "{name} should have served all the time: {seen}");
    ensure!(served[0].from <= seen.begins() + NONE, "{seen}");
    ensure!(seen.gap() <= NONE, "{seen}");
    Ok(())
}

fn stays_backup(trusted: bool) -> Result<()> {
    let seen = visited(trusted, 100, |_| Ok(()))?;
    ensure!(seen.owners() == [OWNER], "{seen}");
    serves_all_the_time(&seen, OWNER)
}

#[test]
fn root_neighbour_with_a_lower_priority_stays_backup() -> Result<()> {
    stays_backup(false)
}

#[test]
fn root_trusted_neighbour_with_a_lower_priority_stays_backup() -> Result<()> {
    stays_backup(true)
}

/// And what the mesh does among itself goes on below keepalived's notice.
#[test]
fn root_neighbour_with_a_lower_priority_does_not_see_a_failover() -> Result<()> {
    let seen = visited(false, 100, |cluster| {
        cluster.kill(OWNER)?;
        clock::pass(MS(5000))
    })?;
    ensure!(seen.owners() == [OWNER, NEXT], "{seen}");
    ensure!(seen.dual().is_zero() && seen.gap() <= MS(1500), "{seen}");
    Ok(())
}

/// It takes the address for itself, as keepalived does; the lease's holder does not let go, and says so.
#[test]
fn root_neighbour_that_is_not_trusted_does_not_move_the_address() -> Result<()> {
    let seen = visited(false, 250, |cluster| {
        let address = cluster.lab_ref().host(FOREIGN).address.to_string();
        cluster.wait_status("the owner tells of it", MS(3000), &[OWNER], |status| {
            let router = &status["routers"][0];
            let ignored = status["counters"]["foreign_adverts_ignored"].as_u64().unwrap_or(0);
            active(status) == Some(OWNER) && router["foreign"] == address.as_str() && ignored > 0
        })
    })?;
    serves_all_the_time(&seen, OWNER)?;
    ensure!(seen.served(NEXT).is_empty(), "{seen}");
    // Those whose neighbour cache knew keepalived are told within a second that it is gone.
    ensure!(seen.client_gap() <= MS(1500), "{seen}");
    Ok(())
}

/// One owner, now here, now there: as between two keepalived.
#[test]
fn root_neighbour_that_is_trusted_takes_over_and_gives_back() -> Result<()> {
    let seen = visited(true, 250, |cluster| {
        cluster.wait_status("it is seen to serve", MS(3000), &[OWNER, NEXT], |status| {
            status["routers"][0]["state"] == "foreign"
        })
    })?;
    ensure!(seen.owners() == [OWNER, FOREIGN, OWNER], "{seen}");
    ensure!(seen.dual() <= MS(50), "an advert's way from one to the other: {seen}");
    // keepalived says goodbye, and the next one waits (256 - 200) / 256 s.
    ensure!(seen.gap() <= MS(500), "{seen}");
    Ok(())
}

/// Adverts from anybody's address, with any priority, do not move the address.
#[test]
fn root_made_up_adverts_do_not_move_the_address() -> Result<()> {
    let _turn = Lab::beside()?;
    let cluster = mesh(false)?;
    let judge = Judge::start(cluster.lab_ref())?;
    let address = |name: &str| cluster.lab_ref().host(name).address;
    let sources = [Ipv4Addr::new(10, 1, 1, 99), address(OWNER), address(NEXT)];
    let host = cluster.lab_ref().host(CLIENT).clone();
    for source in sources {
        for priority in [255, 0] {
            send_adverts(&host, source, priority, 25)?;
        }
    }
    clock::pass(MS(4000))?;
    let seen = judge.finish()?;
    println!("made up adverts: {seen}");
    ensure!(seen.owners() == [OWNER], "{seen}");
    serves_all_the_time(&seen, OWNER)
}

/// One every 200 ms, from a thread that moves into the host's network.
fn send_adverts(host: &Host, source: Ipv4Addr, priority: u8, count: usize) -> Result<()> {
    let host = host.clone();
    let thread = std::thread::spawn(move || -> Result<()> {
        host.enter()?;
        let packet = Advertisement {
            vrid: 51,
            priority,
            interval: Interval::new(Version::V2, Duration::from_secs(1)).context("a second is an interval")?,
            addresses: vec![VIP.into()],
            auth: Authentication::Pass(*b"1111\0\0\0\0"),
        };
        let payload = emit(&packet, source, GROUP, ChecksumForm::Message);
        // Version, length, type of service; the kernel fills in length, identification and checksum.
        let mut bytes = vec![0x45, 0xc0, 0, 0, 0, 0, 0, 0, TTL, IP_PROTOCOL, 0, 0];
        bytes.extend(source.octets().into_iter().chain(GROUP.octets()).chain(payload));
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(i32::from(IP_PROTOCOL))))?;
        socket.set_header_included_v4(true)?;
        socket.set_multicast_if_v4(&host.address)?;
        for _ in 0..count {
            let sent = socket.send_to(&bytes, &SockAddr::from(SocketAddrV4::new(GROUP, 0)))?;
            ensure!(sent == bytes.len(), "cut short");
            clock::pass(MS(200))?;
        }
        Ok(())
    });
    thread.join().map_err(|_| anyhow!("the sender panicked"))?
}
