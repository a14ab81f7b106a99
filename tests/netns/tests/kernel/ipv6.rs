//! IPv6 on real kernels: a mesh whose virtual addresses are of both families, judged by neighbour resolution, and plain
//! routers beside a real keepalived and FRR's vrrpd.

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
/// Adverts every second: an owner that is gone is noticed after 3.6 s, and machines are busy.
const NOTICED: Duration = Duration::from_secs(8);
/// Until all is quiet after a start.
const SETTLED: Duration = Duration::from_secs(40);

/// One VRID in both families; `six` goes into the IPv6 router.
fn conf(name: &str, six: &str) -> String {
    let priority = match name {
        OWNER => 200,
        NEXT => 150,
        _ => 100,
    };
    let instance = |name: &str, more: &str, addresses: &str| {
        format!(
            "vrrp_instance {name} {{\n state BACKUP\n interface eth0\n virtual_router_id 51\n version 3\n advert_int 1\n \
             priority {priority}\n{more} virtual_ipaddress {{\n{addresses} }}\n}}\n"
        )
    };
    let v4 = instance("VI_4", "", &format!("  {VIP}/24\n"));
    v4 + &instance("VI_6", six, &format!("  fe80::80/64\n  {VIP6}/64\n"))
}

/// A lab in which every host's link-local address is ready, and the client has a global one.
fn lab() -> Result<Lab> {
    let lab = Lab::new(Lifetime::Lab)?;
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
    let mut cluster = Cluster::launch_all(lab()?, &daemons, &|name| conf(name, ""))?;
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

/// Each takes over from the other, after a goodbye and after silence, and gives back.
fn beside(other: Daemon, conf: &dyn Fn(&str) -> String) -> Result<()> {
    let _alone = Lab::alone()?;
    for (owner, next) in [(Daemon::Plain, other), (other, Daemon::Plain)] {
        println!("owner {owner:?}, next {next:?}");
        let mut cluster = Cluster::launch_all(lab()?, &[(OWNER, owner), (NEXT, next)], conf)?;
        wait_owner(&mut cluster, OWNER, SETTLED)?;
        client_reaches(&cluster, OWNER)?;
        let watch = NeighbourWatch::start(cluster.lab_ref(), VIP6);
        clock::pass(MS(4500))?;
        let quiet = watch.finish()?;
        assert_eq!((quiet.owners(), quiet.dual()), (vec![OWNER], 0), "each hears the other");

        let watch = NeighbourWatch::start(cluster.lab_ref(), VIP6);
        clock::pass(MS(300))?;
        cluster.stop(OWNER)?;
        wait_owner(&mut cluster, NEXT, NOTICED)?;
        clock::pass(MS(300))?;
        let seen = watch.finish()?;
        assert_eq!(seen.owners(), [OWNER, NEXT]);
        // The next one waits (256 - 150) / 256 s after a goodbye.
        assert!((MS(300)..MS(900)).contains(&seen.gap()), "{:?}", seen.gap());
        client_reaches(&cluster, NEXT)?;
        cluster.wait_stopped(OWNER)?;
        cluster.restart(OWNER)?;
        wait_owner(&mut cluster, OWNER, NOTICED)?;

        let cable = Fault::Cable(OWNER.to_owned());
        let watch = NeighbourWatch::start(cluster.lab_ref(), VIP6);
        clock::pass(MS(300))?;
        cluster.lab().inject(cable.clone())?;
        clock::pass(MS(6000))?;
        let seen = watch.finish()?;
        assert_eq!(seen.owners(), [OWNER, NEXT]);
        assert!((MS(2300)..MS(4200)).contains(&seen.gap()), "{:?}", seen.gap());
        client_reaches(&cluster, NEXT)?;
        cluster.lab().heal(&cable)?;
        wait_owner(&mut cluster, OWNER, SETTLED)?;
        client_reaches(&cluster, OWNER)?;
    }
    Ok(())
}

#[test]
fn root_ipv6_beside_keepalived() -> Result<()> {
    beside(Daemon::Keepalived, &|name| conf(name, ""))
}

#[test]
fn root_ipv6_unicast_beside_keepalived() -> Result<()> {
    let unicast = |name: &str| {
        // As the kernel makes them of the hosts' MAC addresses.
        let address = |last: u8| format!("fe80::aff:fe01:1{last:02x}");
        let (own, peer) = if name == OWNER { (11, 12) } else { (12, 11) };
        let more = format!(" unicast_src_ip {}\n unicast_peer {{\n  {}\n }}\n", address(own), address(peer));
        conf(name, &more)
    };
    beside(Daemon::Keepalived, &unicast)
}

/// FRR's vrrpd with both routers, on a macvlan for each with the virtual MAC address, as its manual says.
struct Frr(Host);

impl Frr {
    fn prepare(host: &Host) -> Result<Frr> {
        for (device, mac, addresses) in [
            ("vrrp4-51", "00:00:5e:00:01:33", vec![format!("{VIP}/24")]),
            ("vrrp6-51", "00:00:5e:00:02:33", vec!["fe80::80/64".to_owned(), format!("{VIP6}/64")]),
        ] {
            host.run(&["ip", "link", "add", device, "link", "eth0", "type", "macvlan", "mode", "bridge"])?;
            host.run(&["ip", "link", "set", "dev", device, "address", mac, "addrgenmode", "random"])?;
            for address in addresses {
                let nodad: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
                host.run(&[&["ip", "address", "add", &address, "dev", device][..], nodad].concat())?;
            }
            host.run(&["ip", "link", "set", "dev", device, "up"])?;
        }
        Ok(Frr(host.clone()))
    }

    fn start(&self, priority: u8) -> Result<[Process; 2]> {
        let dir = self.0.dir.join("frr");
        fs::create_dir_all(&dir)?;
        let dir = dir.to_str().context("a path of text")?.to_owned();
        let lines = format!(
            "interface eth0\n vrrp 51 version 3\n vrrp 51 priority {priority}\n vrrp 51 advertisement-interval 1000\n \
             vrrp 51 ip {VIP}\n vrrp 51 ipv6 fe80::80\n vrrp 51 ipv6 {VIP6}\n"
        );
        fs::write(format!("{dir}/vrrpd.conf"), lines)?;
        fs::write(format!("{dir}/zebra.conf"), "")?;
        // It gives up being root, and wants its sockets to be its own group's.
        self.0.run(&["chown", "-R", "frr:frr", &dir])?;
        let daemon = |name: &str| -> Result<Process> {
            let program = format!("/usr/lib/frr/{name}");
            let (conf, pid) = (format!("{dir}/{name}.conf"), format!("{dir}/{name}.pid"));
            let zserv = format!("{dir}/zserv.api");
            let files = ["-f", &conf, "-i", &pid, "-z", &zserv, "--vty_socket", &dir];
            let rest = ["-A", "127.0.0.1", "-u", "frr", "-g", "frr", "--log", "stdout"];
            self.0.spawn(name, &[&[&*program][..], &files, &rest].concat())
        };
        let zebra = daemon("zebra")?;
        clock::wait_for("zebra's socket", NOTICED, || Ok(fs::exists(format!("{dir}/zserv.api"))?.then_some(())))?;
        Ok([zebra, daemon("vrrpd")?])
    }

    /// What both of its routers are, as it says.
    fn states(&self) -> Result<(String, String)> {
        let dir = self.0.dir.join("frr");
        let dir = dir.to_str().context("a path of text")?;
        let shown = self.0.run(&["vtysh", "--vty_socket", dir, "-c", "show vrrp json"])?;
        let routers: serde_json::Value = serde_json::from_str(&shown).with_context(|| shown.clone())?;
        let status = |family: &str| routers[0][family]["status"].as_str().unwrap_or("none").to_owned();
        Ok((status("v4"), status("v6")))
    }

    fn wait(&self, state: &str, processes: &mut [Process; 2]) -> Result<()> {
        let mut seen = None;
        let waited = clock::wait_for(&format!("FRR is {state} for both"), SETTLED, || {
            processes.iter_mut().try_for_each(Process::must_run)?;
            seen = self.states().ok();
            Ok(seen.as_ref().is_some_and(|(v4, v6)| v4 == state && v6 == state).then_some(()))
        });
        waited.with_context(|| format!("last seen: {seen:?}"))
    }
}

/// Version 3 of both families, whoever is worthier.
#[test]
fn root_version_3_of_both_families_beside_frr() -> Result<()> {
    let _alone = Lab::alone()?;
    let lab = lab()?;
    let frr = Frr::prepare(lab.host(OWNER))?;
    let mut cluster = Cluster::launch_all(lab, &[(NEXT, Daemon::Plain)], &|name| conf(name, ""))?;
    let ours = cluster.lab_ref().host(NEXT).clone();
    let has = |cluster: &mut Cluster, wanted: bool| {
        clock::wait_for(&format!("meshd serves both families: {wanted}"), SETTLED, || {
            cluster.must_run()?;
            let both = [VIP.to_string(), VIP6.to_string()].map(|address| ours.has_address(&address));
            let [v4, v6] = both;
            Ok((v4? == wanted && v6? == wanted).then_some(()))
        })
    };
    has(&mut cluster, true)?;

    // A worthier one takes over, and meshd hears it for as long as it is there.
    let mut processes = frr.start(200)?;
    frr.wait("Master", &mut processes)?;
    has(&mut cluster, false)?;
    clock::pass(MS(5000))?;
    has(&mut cluster, false)?;
    frr.wait("Master", &mut processes)?;
    drop(processes);
    has(&mut cluster, true)?;

    // A less worthy one hears meshd, and waits.
    let mut processes = frr.start(100)?;
    frr.wait("Backup", &mut processes)?;
    clock::pass(MS(5000))?;
    frr.wait("Backup", &mut processes)?;
    has(&mut cluster, true)?;
    cluster.kill(NEXT)?;
    frr.wait("Master", &mut processes)
}
