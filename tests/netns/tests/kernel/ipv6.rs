//! IPv6 on a real kernel: a mesh whose virtual addresses are of both families, judged by neighbour resolution. Plain
//! routers beside keepalived are in [`super::interop`], beside FRR in [`super::frr`].

use std::fs;
use std::net::Ipv6Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::{Cluster, Daemon, voters};
use mesh_lab::{CLIENT, Fault, Host, Lab, Lifetime, NeighbourWatch, Process, VIP, clock};
use mesh_netns::{NEXT, OWNER};
use nix::sys::signal::Signal;

const MS: fn(u64) -> Duration = Duration::from_millis;
const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x80);
/// Until all is quiet after a start.
const SETTLED: Duration = Duration::from_secs(40);

/// One VRID in both families.
fn conf(name: &str) -> String {
    let priority = match name {
        OWNER => 200,
        NEXT => 150,
        _ => 100,
    };
    let instance = |name: &str, addresses: &str| {
        format!(
            "vrrp_instance {name} {{\n state BACKUP\n interface eth0\n virtual_router_id 51\n version 3\n advert_int 1\n \
             priority {priority}\n virtual_ipaddress {{\n{addresses} }}\n}}\n"
        )
    };
    let v4 = instance("VI_4", &format!("  {VIP}/24\n"));
    v4 + &instance("VI_6", &format!("  fe80::80/64\n  {VIP6}/64\n"))
}

/// A lab in which every host's link-local address is ready, and the client has a global one.
pub(super) fn lab(directors: usize) -> Result<Lab> {
    let lab = Lab::with_directors(Lifetime::Lab, directors)?;
    lab.host(CLIENT).run(&["ip", "address", "add", "fd77::50/64", "dev", "eth0", "nodad"])?;
    clock::wait_for("link-local addresses", SETTLED, || {
        let hosts = lab.directors().iter().chain([lab.host(CLIENT)]);
        let ready = |host: &Host| host.run(&["ip", "-6", "-o", "address", "show", "dev", "eth0", "-tentative"]);
        let all: Vec<String> = hosts.map(ready).collect::<Result<_>>()?;
        Ok(all.iter().all(|shown| shown.contains("fe80::")).then_some(()))
    })?;
    Ok(lab)
}

/// Waits until only this director has both addresses.
fn wait_owner(cluster: &mut Cluster, name: &str, limit: Duration) -> Result<()> {
    clock::wait_for(&format!("{name} has both addresses"), limit, || {
        cluster.must_run()?;
        let has = |host: &Host, address: String| host.has_address(&address);
        let mut all = true;
        for host in cluster.lab_ref().directors() {
            for address in [VIP.to_string(), VIP6.to_string()] {
                all &= has(host, address)? == (host.name == name);
            }
        }
        Ok(all.then_some(()))
    })
}

/// The client's kernel finds this director behind the address, and gets an answer from it.
fn client_reaches(cluster: &Cluster, name: &str) -> Result<()> {
    let (client, mac) = (cluster.lab_ref().host(CLIENT), cluster.lab_ref().host(name).mac.to_string());
    client.run(&["ping", "-6", "-q", "-c", "3", "-i", "0.05", "-W", "1", &VIP6.to_string()])?;
    let shown = client.run(&["ip", "-6", "neigh", "show", &VIP6.to_string()])?;
    ensure!(shown.contains(&mac), "{name} is {mac}, and the client knows: {shown}");
    Ok(())
}

/// The trace of the takeover shows who first used the address at its new owner.
fn neighbour_is_seen(cluster: &Cluster) -> Result<()> {
    let mac = cluster.lab_ref().host(CLIENT).mac.to_string();
    clock::wait_for("the first neighbour", MS(5000), || {
        let trace: serde_json::Value = serde_json::from_str(&cluster.meshctl(NEXT, &["--json", "trace", "VI_6"])?)?;
        let spans = trace["spans"].as_array().into_iter().flatten();
        let is = |span: &serde_json::Value, name: &str, value: &str| span["attributes"][name] == value;
        let first = |span: &serde_json::Value| {
            span["name"] == "first neighbour"
                && is(span, "meshd.router.vip", &VIP6.to_string())
                && is(span, "meshd.neighbour.mac", &mac)
        };
        Ok(spans.into_iter().any(first).then_some(()))
    })
}

fn capture(host: &Host) -> Result<(Process, String)> {
    let file = host.dir.join("capture.pcap").to_str().context("a path of text")?.to_owned();
    fs::File::create(&file)?;
    let filter = "ip6 proto 112 or icmp6 or ip proto 112 or arp";
    let process = host.spawn("tcpdump", &["tcpdump", "-Z", "root", "-U", "-i", "eth0", "-w", &file, filter])?;
    clock::pass(MS(500))?;
    Ok((process, file))
}

/// Another program's opinion of what was sent.
fn tshark(host: &Host, file: &str, filter: &str) -> Result<Vec<String>> {
    let shown = host.run(&["tshark", "-r", file, "-Y", filter])?;
    Ok(shown.lines().map(str::to_owned).collect())
}

#[test]
fn root_ipv6_fails_over_in_a_mesh_and_no_two_ever_answer() -> Result<()> {
    let _alone = Lab::alone()?;
    let daemons = mesh_lab::DIRECTORS.map(|(name, _)| (name, Daemon::Mesh));
    let mut cluster = Cluster::launch_all(lab(3)?, &daemons, &conf)?;
    let names = cluster.mesh();
    cluster.wait_status("both families active under leases", SETTLED, &names, |status| {
        let routers = status["routers"].as_array();
        let good = |r: &serde_json::Value| r["active"] == OWNER && r["protection"] == "lease";
        let families =
            routers.iter().flat_map(|r| r.iter()).map(|r| r["family"].as_str().unwrap_or("")).collect::<Vec<_>>();
        voters(status) == 3 && families == ["ipv4", "ipv6"] && routers.is_some_and(|r| r.iter().all(good))
    })?;
    let (tcpdump, file) = capture(cluster.lab_ref().host(CLIENT))?;
    client_reaches(&cluster, OWNER)?;

    // What each fault costs who asks for the address, with the client's own kernel asked in the end.
    let trial = |cluster: &mut Cluster, what: &str, fault: &dyn Fn(&mut Cluster) -> Result<()>| -> Result<()> {
        let watch = NeighbourWatch::start(cluster.lab_ref(), VIP6);
        clock::pass(MS(500))?;
        fault(cluster)?;
        clock::pass(MS(2500))?;
        let seen = watch.finish()?;
        println!("{what}: {:?} without an answer, {} double answers", seen.gap(), seen.dual());
        ensure!(seen.owners() == [OWNER, NEXT], "{what}: {:?}", seen.owners());
        ensure!(seen.gap() <= MS(1300), "{what}: {:?}", seen.gap());
        ensure!(seen.dual() == 0, "{what}: {} double answers", seen.dual());
        client_reaches(cluster, NEXT)
    };
    let client = cluster.lab_ref().host(CLIENT).clone();
    let uses = client.spawn("ping", &["ping", "-6", "-q", "-i", "0.1", "-w", "30", &VIP6.to_string()])?;
    trial(&mut cluster, "kill -9", &|cluster| cluster.kill(OWNER))?;
    neighbour_is_seen(&cluster)?;
    drop(uses);
    cluster.restart(OWNER)?;
    wait_owner(&mut cluster, OWNER, SETTLED)?;
    client_reaches(&cluster, OWNER)?;

    let cable = Fault::Cable(OWNER.to_owned());
    trial(&mut cluster, "cable pulled", &|cluster| cluster.lab().inject(cable.clone()))?;
    cluster.lab().heal(&cable)?;
    wait_owner(&mut cluster, OWNER, SETTLED)?;
    client_reaches(&cluster, OWNER)?;

    trial(&mut cluster, "orderly stop", &|cluster| cluster.stop(OWNER))?;
    cluster.wait_stopped(OWNER)?;

    // Deleted by somebody: put back; and nobody takes it for a fault.
    let next = cluster.lab_ref().host(NEXT).clone();
    next.run(&["ip", "address", "del", &format!("{VIP6}/64"), "dev", "eth0"])?;
    clock::wait_for("the address is put back", MS(2000), || Ok(next.has_address(&VIP6.to_string())?.then_some(())))?;
    client_reaches(&cluster, NEXT)?;

    tcpdump.signal(Signal::SIGTERM)?;
    clock::pass(MS(300))?;
    let complaints = tshark(&client, &file, "(vrrp || icmpv6) && (_ws.malformed || _ws.expert.severity >= 6291456)")?;
    assert_eq!(complaints, Vec::<String>::new());
    assert!(tshark(&client, &file, "vrrp && ipv6.hlim == 255 && ipv6.dst == ff02::12")?.len() > 5);
    assert!(tshark(&client, &file, &format!("icmpv6.type == 136 && ipv6.src == {VIP6}"))?.len() >= 10);
    Ok(())
}
