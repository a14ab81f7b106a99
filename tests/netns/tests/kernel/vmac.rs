//! Virtual MAC addresses beside a real keepalived, in both directions, and routes and rules that both put in from
//! the same file.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::{Cluster, Daemon};
use mesh_lab::{CLIENT, Host, Lab, Lifetime, VIP, clock};
use mesh_netns::{NEXT, OWNER};
use nix::sys::signal::Signal;
use serde_json::Value;

const MS: fn(u64) -> Duration = Duration::from_millis;
/// Adverts every second: an owner that is gone is noticed after 3.6 s, and machines are busy.
const NOTICED: Duration = Duration::from_secs(10);
const MAC: &str = "00:00:5e:00:01:33";

fn conf(name: &str, more: &str) -> String {
    let priority = if name == OWNER { 200 } else { 150 };
    format!(
        "vrrp_instance VI_1 {{\n state BACKUP\n interface eth0\n virtual_router_id 51\n advert_int 1\n priority {priority}\n\
         {more} virtual_ipaddress {{\n  {VIP}/24\n }}\n}}\n"
    )
}

/// The port of the bridge that the virtual MAC address was seen on last.
fn port(cluster: &Cluster) -> Result<String> {
    let switch = cluster.lab_ref().switch();
    let output = std::process::Command::new("ip").args(["netns", "exec", &switch, "bridge", "fdb", "show"]).output()?;
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = shown.lines().find(|line| line.starts_with(MAC)).map(str::to_owned);
    line.with_context(|| format!("{MAC} was not seen: {shown}"))
}

/// The client's neighbour entry never changes, and leads to whoever serves as soon as the switch has learnt it
/// there: from an announcement or, at the latest, from an advert.
fn client_reaches(cluster: &Cluster) -> Result<()> {
    let client = cluster.lab_ref().host(CLIENT);
    clock::wait_for("the client gets an answer", MS(3000), || {
        let ping = client.output(&["ping", "-q", "-c", "1", "-W", "0.3", &VIP.to_string()])?;
        Ok(ping.status.success().then_some(()))
    })
}

fn wait_owner(cluster: &mut Cluster, name: &str) -> Result<()> {
    clock::wait_for(&format!("{name} has the address"), NOTICED, || {
        cluster.must_run()?;
        Ok((cluster.holders()? == [name]).then_some(()))
    })
}

fn captured(host: &Host, file: &str, fields: &[&str], filter: &str) -> Result<Vec<String>> {
    let mut command = vec!["tshark", "-r", file, "-Y", filter, "-T", "fields"];
    fields.iter().for_each(|field| command.extend(["-e", field]));
    Ok(host.run(&command)?.lines().map(str::to_owned).collect())
}

/// Each takes over from the other, after a goodbye, and gives back.
fn beside(owner: Daemon, next: Daemon) -> Result<()> {
    let _turn = Lab::beside()?;
    let daemons = [(OWNER, owner), (NEXT, next)];
    let lab = Lab::new(Lifetime::Lab)?;
    let client = lab.host(CLIENT).clone();
    let file = client.dir.join("capture.pcap").to_str().context("a path of text")?.to_owned();
    fs::File::create(&file)?;
    let filter = "ip proto 112 or igmp or arp";
    let mut tcpdump = client
        .spawn("tcpdump", &["tcpdump", "-Z", "root", "-U", "--immediate-mode", "-i", "eth0", "-w", &file, filter])?;
    client.run(&["ip", "neigh", "replace", &VIP.to_string(), "lladdr", MAC, "dev", "eth0", "nud", "permanent"])?;
    let mut cluster = Cluster::launch_all(lab, &daemons, &|name| conf(name, " use_vmac\n"))?;
    wait_owner(&mut cluster, OWNER)?;
    client_reaches(&cluster)?;
    let before = port(&cluster)?;
    let on = |cluster: &Cluster, name: &str| {
        cluster.lab_ref().host(name).run(&["ip", "-d", "link", "show", "dev", "vrrp.51"])
    };
    for name in [OWNER, NEXT] {
        let shown = on(&cluster, name)?;
        ensure!(shown.contains(MAC) && shown.contains("macvlan mode private"), "{name}: {shown}");
    }
    cluster.stop(OWNER)?;
    wait_owner(&mut cluster, NEXT)?;
    client_reaches(&cluster)?;
    let after = port(&cluster)?;
    ensure!(before != after, "the switch sends it where it was: {after}");
    cluster.wait_stopped(OWNER)?;
    ensure!(on(&cluster, OWNER).is_err(), "its interface is left");
    cluster.restart(OWNER)?;
    wait_owner(&mut cluster, OWNER)?;
    client_reaches(&cluster)?;
    ensure!(port(&cluster)? == before, "{before}");
    // What was told last, as well; it ends without asking the kernel for what it has not read yet.
    clock::pass(MS(300))?;
    tcpdump.signal(Signal::SIGTERM)?;
    tcpdump.wait(MS(5000))?;

    let from = |filter: &str| captured(&client, &file, &["eth.src"], filter);
    let adverts = from("vrrp && vrrp.prio > 0")?;
    ensure!(adverts.len() >= 3 && adverts.iter().all(|mac| mac == MAC), "{adverts:?}");
    let goodbyes = from("vrrp.prio == 0")?;
    ensure!(!goodbyes.is_empty() && goodbyes.iter().all(|mac| mac == MAC), "{goodbyes:?}");
    let announced = from(&format!("arp.src.proto_ipv4 == {VIP} && arp.dst.proto_ipv4 == {VIP}"))?;
    ensure!(announced.len() >= 15 && announced.iter().all(|mac| mac == MAC), "{announced:?}");
    let reports = from("igmp")?;
    ensure!(!reports.is_empty() && !reports.iter().any(|mac| mac == MAC), "{reports:?}");
    Ok(())
}

#[test]
fn root_virtual_mac_moves_from_meshd_to_keepalived_and_back() -> Result<()> {
    beside(Daemon::Plain, Daemon::Keepalived)
}

#[test]
fn root_virtual_mac_moves_from_keepalived_to_meshd_and_back() -> Result<()> {
    beside(Daemon::Keepalived, Daemon::Plain)
}

/// Three directors with leases: the fence holds what is sent to and from the virtual MAC address as well.
#[test]
fn root_virtual_mac_in_a_mesh_outlives_a_killed_daemon() -> Result<()> {
    let _turn = Lab::beside()?;
    let daemons = mesh_lab::DIRECTORS.map(|(name, _)| (name, Daemon::Mesh));
    let forwards = "vrrp_instance VI_2 {\n state BACKUP\n interface eth0\n virtual_router_id 52\n advert_int 1\n \
                    use_vmac\n no_accept\n virtual_ipaddress {\n  10.1.1.81/24\n }\n}\n";
    let both = |name: &str| conf(name, " use_vmac\n") + forwards;
    let mut cluster = Cluster::launch_all(Lab::new(Lifetime::Lab)?, &daemons, &both)?;
    wait_owner(&mut cluster, OWNER)?;
    let names = cluster.mesh();
    cluster.wait_status("leases", Duration::from_secs(40), &names, |status| {
        mesh_lab::cluster::voters(status) == 3 && status["routers"][0]["protection"] == "lease"
    })?;
    let client = cluster.lab_ref().host(CLIENT).clone();
    client.run(&["ip", "neigh", "replace", &VIP.to_string(), "lladdr", MAC, "dev", "eth0", "nud", "permanent"])?;
    client_reaches(&cluster)?;
    // An address that only forwards is there for who asks where it is, and takes nothing.
    clock::wait_for("somebody answers for the other address", NOTICED, || {
        let ping = client.output(&["ping", "-q", "-c", "1", "-W", "0.3", "10.1.1.81"])?;
        ensure!(!ping.status.success(), "it takes packets");
        Ok(client.run(&["ip", "neigh", "show", "10.1.1.81"])?.contains("00:00:5e:00:01:34").then_some(()))
    })?;
    let dropped = cluster.lab_ref().host(OWNER).run(&["nft", "list", "set", "ip", "meshd_accept", "unaccepted"])?;
    ensure!(dropped.contains("elements = { 10.1.1.81 }"), "{dropped}");
    let fenced =
        |name: &str| cluster.lab_ref().host(name).run(&["nft", "list", "set", "netdev", "meshd", "leased_macs"]);
    ensure!(fenced(OWNER)?.contains(MAC), "{}", fenced(OWNER)?);
    ensure!(!fenced(NEXT)?.contains(MAC), "{}", fenced(NEXT)?);
    cluster.signal_daemon(OWNER, Signal::SIGKILL)?;
    clock::wait_for("another director has the address", NOTICED, || {
        Ok(cluster.holders()?.iter().any(|name| *name != OWNER).then_some(()))
    })?;
    client_reaches(&cluster)?;
    // Started again by its guard, it gets the address back with its interface as it was.
    wait_owner(&mut cluster, OWNER)?;
    client_reaches(&cluster)
}

/// What a host has forwarded, of both families.
fn forwarded(host: &Host) -> Result<[String; 2]> {
    let ip = host.run(&["awk", "/^Ip: [0-9]/ { print $7 }", "/proc/net/snmp"])?;
    let ip6 = host.run(&["awk", "/^Ip6OutForwDatagrams/ { print $2 }", "/proc/net/snmp6"])?;
    Ok([ip, ip6].map(|count| count.trim().to_owned()))
}

/// RFC 9568 sections 8.1.2, 8.2.2, 8.3.1 and 6.4.3 (RFC 3768 sections 8.2 and 8.4): nobody told the client where the
/// addresses are, so that what it knows is what it was answered.
#[test]
fn root_a_virtual_mac_answers_those_who_ask_and_what_is_for_the_addresses_is_not_forwarded() -> Result<()> {
    let _turn = Lab::beside()?;
    let lab = super::ipv6::lab(1)?;
    lab.host(OWNER).run(&["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])?;
    let both = |name: &str| {
        conf(name, " use_vmac\n")
            + "vrrp_instance VI_6 {\n state BACKUP\n interface eth0\n virtual_router_id 51\n version 3\n priority 200\n use_vmac\n \
               virtual_ipaddress {\n  fe80::80/64\n  fd77::80/64\n }\n}\n"
    };
    let mut cluster = Cluster::launch_all(lab, &[(OWNER, Daemon::Plain)], &both)?;
    wait_owner(&mut cluster, OWNER)?;
    let (client, owner) = (cluster.lab_ref().host(CLIENT).clone(), cluster.lab_ref().host(OWNER).clone());
    let vip = VIP.to_string();
    for (family, address, mac) in [("-4", vip.as_str(), MAC), ("-6", "fd77::80", "00:00:5e:00:02:33")] {
        clock::wait_for("the client gets an answer", NOTICED, || {
            client.run(&["ip", family, "neigh", "flush", "dev", "eth0"])?;
            let ping = client.output(&["ping", "-q", "-c", "1", "-W", "0.5", address])?;
            Ok(ping.status.success().then_some(()))
        })?;
        let known = client.run(&["ip", family, "neigh", "show", address])?;
        ensure!(known.contains(mac), "{known}");
        ensure!(family == "-4" || known.contains(" router "), "the answer has no router flag: {known}");
        let before = forwarded(&owner)?;
        client.run(&["ping", "-q", "-c", "5", "-i", "0.05", "-W", "1", address])?;
        // A port where nobody listens: refused here, and not passed on.
        ensure!(forwarded(&owner)? == before, "{before:?}, and then {:?}", forwarded(&owner)?);
    }
    Ok(())
}

const ROUTING: &str = " virtual_routes {
  src 10.77.9.1 to 10.20.1.0/24 dev eth0
  10.20.3.0/24 dev eth0 metric 7 mtu lock 1400 advmss 1300
  blackhole 10.20.6.0/24
  unreachable 10.20.7.0/24 table 100
  10.20.10.0/24 nexthop dev eth0 weight 1 nexthop dev lo weight 2
  10.20.18.0/24 dev eth0 congctl cubic rto_min 250 quickack 1
  fd21::/64 dev eth0 metric 33 mtu 1400
  blackhole fd22::/64
 }
 virtual_rules {
  from 10.9.3.0/24 to 10.9.4.0/26 table 7 iif eth0 oif lo tos 16 fwmark 24/12 priority 39 realms 30/20
  from 10.9.6.0/24 goto 40 priority 38
  from 10.9.6.0/24 blackhole priority 40
  from 10.9.1.0/24 table 1
  not from 10.9.9.0/24 table main suppress_prefixlength 0 priority 84
  to fd03::/64 ipproto udp sport 10-20 dport 20-30 uidrange 10-19 table 12
 }
 virtual_ipaddress_excluded {
  10.77.9.1/32
 }
";

/// What `ip -j` shows, but for who put it there, how long it took, and what the kernel has anyway.
fn routing(host: &Host) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for command in [
        &["-4", "route", "show", "table", "all"][..],
        &["-6", "route", "show", "table", "all"],
        &["-4", "rule"],
        &["-6", "rule"],
    ] {
        let shown = host.run(&[&["ip", "-j", "-d"][..], command].concat())?;
        for mut entry in serde_json::from_str::<Vec<Value>>(&shown).context("ip -j")? {
            let kernel = entry["protocol"] == "kernel" || entry["table"] == "local";
            if let Some(entry) = entry.as_object_mut().filter(|_| !kernel) {
                entry.remove("protocol");
                all.push(serde_json::to_string(entry)?);
            }
        }
    }
    all.sort_unstable();
    Ok(all)
}

#[test]
fn root_routes_and_rules_are_those_of_keepalived_and_go_as_well() -> Result<()> {
    let _turn = Lab::beside()?;
    let daemons = [(OWNER, Daemon::Plain), (NEXT, Daemon::Keepalived)];
    let lab = Lab::new(Lifetime::Lab)?;
    let before = routing(lab.host(OWNER))?;
    // Two segments of their own, so that both serve.
    let text = |name: &str| {
        conf(name, ROUTING).replace("router_id 51", if name == OWNER { "router_id 51" } else { "router_id 52" })
    };
    let text = |name: &str| if name == OWNER { text(name) } else { text(name).replace(&VIP.to_string(), "10.77.8.1") };
    let mut cluster = Cluster::launch_all(lab, &daemons, &text)?;
    let told = |cluster: &Cluster, name: &str| routing(cluster.lab_ref().host(name));
    clock::wait_for("both have put theirs in", NOTICED, || {
        cluster.must_run()?;
        Ok((told(&cluster, OWNER)?.len() > 12 && told(&cluster, NEXT)?.len() > 12).then_some(()))
    })?;
    let (ours, theirs) = (told(&cluster, OWNER)?, told(&cluster, NEXT)?);
    assert_eq!(ours, theirs);
    // What somebody removes is put back, without an interface of its own, too; keepalived lets go and comes back for
    // the first and the last of these, and leaves the second one gone.
    let since =
        |cluster: &Cluster| Ok::<_, anyhow::Error>(cluster.status(OWNER)?["routers"][0]["last_transition"].clone());
    let served = since(&cluster)?;
    ensure!(served["at"].is_string(), "when it was taken over is told: {served}");
    for gone in ["route del 10.20.3.0/24", "route del unreachable 10.20.7.0/24 table 100", "rule del priority 39"] {
        let words: Vec<&str> = ["ip"].into_iter().chain(gone.split(' ')).collect();
        cluster.lab_ref().host(OWNER).run(&words)?;
    }
    clock::wait_for("all are put back", MS(3000), || Ok((told(&cluster, OWNER)? == ours).then_some(())))?;
    assert_eq!(since(&cluster)?, served, "it served all the time");
    cluster.stop(OWNER)?;
    cluster.wait_stopped(OWNER)?;
    assert_eq!(told(&cluster, OWNER)?, before);
    Ok(())
}

/// An uplink whose route is tracked takes its director out, and lets it back in.
#[test]
fn root_the_link_below_a_tracked_route_counts_as_with_keepalived() -> Result<()> {
    let routes =
        " virtual_routes {\n  10.50.0.0/16 via 10.88.0.2 dev up0\n  10.51.0.0/16 via 10.88.0.2 dev up0 no_track\n }\n";
    goes_with_its_uplink(&|name| conf(name, routes), None)
}

/// So does one whose static route is in a `track_group`; the route alone is put back, and nothing moves.
#[test]
fn root_the_link_below_a_static_route_of_a_track_group_counts_as_with_keepalived() -> Result<()> {
    let statics = "track_group UP {\n group {\n  VI_1\n }\n}\nstatic_routes {\n 10.50.0.0/16 via 10.88.0.2 dev up0 \
                   track_group UP\n}\n";
    goes_with_its_uplink(&|name| format!("{statics}{}", conf(name, "")), Some("10.50.0.0/16"))
}

/// meshd and keepalived both serve, let go when the uplink has no link, and serve again when it has; somebody who
/// removes this route before changes nothing.
fn goes_with_its_uplink(conf: &dyn Fn(&str) -> String, removed: Option<&str>) -> Result<()> {
    let _turn = Lab::beside()?;
    let daemons = [(OWNER, Daemon::Plain), (NEXT, Daemon::Keepalived)];
    let lab = Lab::new(Lifetime::Lab)?;
    for (name, _) in daemons {
        let host = lab.host(name);
        host.run(&["ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1"])?;
        host.run(&["ip", "link", "set", "up1", "up"])?;
        host.run(&["ip", "link", "set", "up0", "up"])?;
        host.run(&["ip", "address", "add", "10.88.0.1/24", "dev", "up0"])?;
    }
    // Two segments of their own, so that both serve.
    let text = |name: &str| match name {
        OWNER => conf(name),
        _ => conf(name).replace("router_id 51", "router_id 52").replace(&VIP.to_string(), "10.77.8.1"),
    };
    let mut cluster = Cluster::launch_all(lab, &daemons, &text)?;
    let vips = [(OWNER, VIP.to_string()), (NEXT, "10.77.8.1".to_owned())];
    let held = |cluster: &Cluster| -> Result<Vec<bool>> {
        vips.iter().map(|(name, vip)| cluster.lab_ref().host(name).has_address(vip)).collect()
    };
    let serve = |cluster: &Cluster, what: &str, wanted: bool| {
        clock::wait_for(what, NOTICED, || Ok((held(cluster)? == [wanted; 2]).then_some(())))
    };
    serve(&cluster, "both serve", true)?;
    let hosts = vips.clone().map(|(name, _)| cluster.lab_ref().host(name).clone());
    if let Some(route) = removed {
        hosts.iter().try_for_each(|host| host.run(&["ip", "route", "del", route]).map(drop))?;
        clock::wait_for("both have put it back", NOTICED, || {
            ensure!(held(&cluster)? == [true; 2], "one let go");
            let there = hosts.iter().map(|host| Ok(!host.run(&["ip", "route", "show", route])?.is_empty()));
            Ok(there.collect::<Result<Vec<bool>>>()?.into_iter().all(|there| there).then_some(()))
        })?;
    }
    hosts.iter().try_for_each(|host| host.run(&["ip", "link", "set", "up0", "down"]).map(drop))?;
    serve(&cluster, "both have let go", false)?;
    hosts.iter().try_for_each(|host| host.run(&["ip", "link", "set", "up0", "up"]).map(drop))?;
    serve(&cluster, "both serve again", true)?;
    cluster.must_run()
}
