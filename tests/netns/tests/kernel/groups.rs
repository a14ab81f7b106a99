//! A sync group over two networks: meshd without a mesh beside a real keepalived, and a mesh of its own.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::{Cluster, Daemon, voters};
use mesh_lab::{Host, Lab, Lifetime, Process, VIP, clock};
use mesh_netns::{NEXT, OWNER};

/// The address of the second network.
const INNER: &str = "10.2.1.80";
/// Adverts every 300 ms, and a machine that is busy: with keepalived a move takes 1.3 s.
const MOVES_WITHIN: Duration = Duration::from_secs(8);

/// Plugs these hosts into a second bridge, as `eth1`.
fn second_network(lab: &Lab, hosts: &[&str]) -> Result<()> {
    let switch = lab.switch();
    ip(&["-n", &switch, "link", "add", "br1", "type", "bridge", "stp_state", "0", "forward_delay", "0"])?;
    ip(&["-n", &switch, "link", "set", "br1", "up"])?;
    hosts.iter().zip(11..).try_for_each(|(name, last)| plug_in(lab, name, last))
}

/// Gives a host an `eth1` with this address in the second network.
fn plug_in(lab: &Lab, name: &str, last: u8) -> Result<()> {
    let (switch, host, port) = (lab.switch(), lab.host(name), format!("{name}-1"));
    ip(&["-n", &switch, "link", "add", &port, "type", "veth", "peer", "name", "eth1", "netns", &host.netns])?;
    ip(&["-n", &switch, "link", "set", &port, "master", "br1", "up"])?;
    host.run(&["ip", "address", "add", &format!("10.2.1.{last}/24"), "dev", "eth1"])?;
    host.run(&["ip", "link", "set", "eth1", "up"])?;
    Ok(())
}

/// Pulls or plugs in the cable of a host's `eth1`.
fn cable(cluster: &Cluster, name: &str, state: &str) -> Result<()> {
    ip(&["-n", &cluster.lab_ref().switch(), "link", "set", &format!("{name}-1"), state])
}

fn ip(args: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(args).output().context("run ip")?;
    ensure!(output.status.success(), "ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Both addresses in one group, with a lever and a process that has to run.
fn conf(priority: u8, more: &str) -> String {
    let instance = |name: &str, interface: &str, vrid: u8, address: &str| {
        format!(
            "vrrp_instance {name} {{\n interface {interface}\n virtual_router_id {vrid}\n version 3\n advert_int 0.3\n \
             priority {priority}\n virtual_ipaddress {{\n  {address}/24\n }}\n}}\n"
        )
    };
    let (outer, inner) = (instance("OUTER", "eth0", 51, &VIP.to_string()), instance("INNER", "eth1", 52, INNER));
    format!("{outer}{inner}vrrp_sync_group GATEWAY {{\n group {{\n  OUTER\n  INNER\n }}\n{more}}}\n")
}

/// Waits until this director, and no other, has both addresses.
fn both_on(cluster: &mut Cluster, name: &str, when: &str) -> Result<()> {
    both_on_within(MOVES_WITHIN, cluster, name, when)
}

fn both_on_within(limit: Duration, cluster: &mut Cluster, name: &str, when: &str) -> Result<()> {
    clock::wait_for(&format!("{name} has both addresses {when}"), limit, || {
        cluster.must_run()?;
        let has = |host: &Host| Ok::<_, anyhow::Error>([host.has_address(&VIP.to_string())?, host.has_address(INNER)?]);
        let directors = cluster.lab_ref().directors();
        let held: Vec<(&str, [bool; 2])> =
            directors.iter().map(|host| Ok((host.name.as_str(), has(host)?))).collect::<Result<_>>()?;
        Ok(held.iter().all(|(host, held)| *held == [*host == name; 2]).then_some(()))
    })
}

/// The process that is tracked, on the owner.
fn tracked(cluster: &Cluster, seconds: &str) -> Result<Process> {
    cluster.lab_ref().host(OWNER).spawn("tracked", &["/bin/sleep", seconds])
}

/// One cut cable moves both, a lever does, a process does; each way, and back.
#[test]
fn root_a_sync_group_moves_as_one_beside_keepalived() -> Result<()> {
    let _turn = Lab::beside()?;
    let lab = Lab::new(Lifetime::Lab)?;
    second_network(&lab, &[OWNER, NEXT])?;
    let lever = lab.host(OWNER).dir.join("lever");
    fs::write(&lever, "0\n")?;
    let seconds = format!("{}.5", 50_000 + std::process::id());
    let levers = format!(
        "track_file lever {{\n file {}\n weight -100\n}}\nvrrp_track_process work {{\n process /bin/sleep {seconds}\n weight 0\n}}\n",
        lever.display()
    );
    let tracks = " track_file {\n  lever\n }\n track_process {\n  work\n }\n";
    let conf = |name: &str| match name {
        OWNER => format!("{levers}{}", conf(200, tracks)),
        _ => conf(150, ""),
    };
    let work = lab.host(OWNER).spawn("tracked", &["/bin/sleep", &seconds])?;
    let mut cluster = Cluster::launch_all(lab, &[(OWNER, Daemon::Plain), (NEXT, Daemon::Keepalived)], &conf)?;
    let test = |cluster: &mut Cluster| {
        both_on(cluster, OWNER, "at the start")?;
        cable(cluster, OWNER, "down")?;
        both_on(cluster, NEXT, "without the cable of the owner")?;
        cable(cluster, OWNER, "up")?;
        both_on(cluster, OWNER, "with its cable again")?;
        fs::write(&lever, "1\n")?;
        both_on(cluster, NEXT, "with the lever at 1")?;
        // And meshd takes over from a keepalived that has lost one of its networks.
        cable(cluster, NEXT, "down")?;
        both_on(cluster, OWNER, "without the cable of keepalived")?;
        cable(cluster, NEXT, "up")?;
        both_on(cluster, NEXT, "with keepalived's cable again")?;
        fs::write(&lever, "0\n")?;
        both_on(cluster, OWNER, "with the lever at 0")?;
        drop(work);
        both_on(cluster, NEXT, "without the process")?;
        let _work = tracked(cluster, &seconds)?;
        both_on(cluster, OWNER, "with the process again")
    };
    test(&mut cluster).inspect_err(|_| cluster.lab_ref().save_logs())
}

/// Three voters, one of the two routers with a virtual MAC address: whatever ends one router on its director moves
/// both, and so does an order.
#[test]
fn root_a_sync_group_in_a_mesh_moves_as_one() -> Result<()> {
    let _turn = Lab::beside()?;
    let lab = Lab::new(Lifetime::Lab)?;
    let names = mesh_lab::DIRECTORS.map(|(name, _)| name);
    second_network(&lab, &names)?;
    let lever = lab.host(OWNER).dir.join("lever");
    fs::write(&lever, "0\n")?;
    let levers = format!("track_file lever {{\n file {}\n weight -150\n}}\n", lever.display());
    let conf = |name: &str| {
        let conf = match name {
            OWNER => format!("{levers}{}", conf(200, " track_file {\n  lever\n }\n")),
            NEXT => conf(150, ""),
            _ => conf(100, ""),
        };
        let conf = conf.replace(" interface eth1\n", " interface eth1\n use_vmac\n");
        format!("global_defs {{\n dynamic_interfaces\n}}\n{conf}")
    };
    let mut cluster = Cluster::launch_all(lab, &names.map(|name| (name, Daemon::Mesh)), &conf)?;
    let test = |cluster: &mut Cluster| {
        both_on(cluster, OWNER, "at the start")?;
        cluster.wait_status("leases for both", Duration::from_secs(40), &names, |status| {
            let routers = status["routers"].as_array().map_or(&[][..], Vec::as_slice);
            voters(status) == 3 && routers.len() == 2 && routers.iter().all(|r| r["protection"] == "lease")
        })?;
        cable(cluster, OWNER, "down")?;
        both_on(cluster, NEXT, "without the cable of the owner")?;
        cable(cluster, OWNER, "up")?;
        both_on(cluster, OWNER, "with its cable again")?;
        cluster.meshctl(OWNER, &["move", INNER, NEXT])?;
        both_on(cluster, NEXT, "by order")?;
        cluster.meshctl(OWNER, &["move", INNER, "--back"])?;
        both_on(cluster, OWNER, "by the order's end")?;
        fs::write(&lever, "1\n")?;
        both_on(cluster, NEXT, "with the lever at 1")?;
        fs::write(&lever, "0\n")?;
        both_on(cluster, OWNER, "with the lever at 0")?;
        // The interface below the virtual one goes, and one of the same name comes.
        cluster.lab_ref().host(OWNER).run(&["ip", "link", "delete", "eth1"])?;
        both_on(cluster, NEXT, "without the owner's interface")?;
        plug_in(cluster.lab_ref(), OWNER, 11)?;
        // Its third fall in a minute: it is held back for 10 s.
        both_on_within(MOVES_WITHIN + Duration::from_secs(10), cluster, OWNER, "with an interface of that name again")?;
        let shown = cluster.lab_ref().host(OWNER).run(&["ip", "-d", "link", "show", "dev", "vrrp.52"])?;
        ensure!(shown.contains("00:00:5e:00:01:34"), "its virtual interface is back as well: {shown}");
        Ok(())
    };
    test(&mut cluster).inspect_err(|_| cluster.lab_ref().save_logs())
}
