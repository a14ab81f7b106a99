//! Every kind of VRRP that keepalived speaks, on one segment with a real keepalived, judged from the clients' side; all
//! that was said is decoded by tshark.
//!
//! Each [kind](Kind) is a virtual router of its own. In one test meshd owns all of them and keepalived is next, in the
//! other it is the reverse; the owner loses its cable and gets it back, says goodbye and comes back. FRR is in
//! [`super::frr`], a sync group that loses one of its networks in [`super::groups`], what a virtual MAC address does
//! to switches in [`super::vmac`].

mod seen;

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::Cluster;
use mesh_lab::cluster::Daemon::{self, Keepalived, Plain};
use mesh_lab::conf::Style;
use mesh_lab::{CLIENT, Fault, Host, Lab, Process, clock};
use mesh_netns::{NEXT, OWNER, Scenario, settled_with, trial};
use nix::sys::signal::Signal;

use super::ipv6;
use seen::Watching;

const MS: fn(u64) -> Duration = Duration::from_millis;
/// Adverts every second: an owner that is gone is noticed after 3.6 s, and machines are busy.
const NOTICED: Duration = Duration::from_secs(12);

/// One way to speak VRRP.
struct Kind {
    vrid: u8,
    /// In words, for whoever reads that it failed.
    title: &'static str,
    /// Version 2 has whole seconds; version 3 is quicker, so that it shows.
    version: u8,
    six: bool,
    /// More lines of the instance; unicast ones are made for each host.
    lines: &'static str,
    unicast: bool,
}

const PASS: &str = " authentication {\n  auth_type PASS\n  auth_pass secret12\n }\n";
const HEADER: &str = " authentication {\n  auth_type AH\n  auth_pass secret12\n }\n";

#[rustfmt::skip]
const KINDS: [Kind; 11] = [
    kind(81, "version 2, multicast, no password", 2, false, "", false),
    kind(82, "version 2, multicast, password", 2, false, PASS, false),
    kind(83, "version 2, multicast, authentication header", 2, false, HEADER, false),
    kind(84, "version 2, unicast, password", 2, false, PASS, true),
    kind(85, "version 2, virtual MAC address", 2, false, " use_vmac\n", false),
    kind(86, "version 3, multicast", 3, false, "", false),
    kind(88, "version 3, unicast", 3, false, "", true),
    kind(89, "version 3, one of a sync group", 3, false, "", false),
    kind(90, "version 3, the other one of it", 3, false, "", false),
    kind(91, "IPv6, multicast", 3, true, "", false),
    kind(92, "IPv6, unicast", 3, true, "", true),
];
const GROUP: &str = "vrrp_sync_group PAIR {\n group {\n  K89\n  K90\n }\n}\n";

const fn kind(vrid: u8, title: &'static str, version: u8, six: bool, lines: &'static str, unicast: bool) -> Kind {
    Kind { vrid, title, version, six, lines, unicast }
}

impl Kind {
    /// The address that is watched; the last number is the VRID's.
    fn v4(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 1, 1, self.vrid)
    }

    fn v6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, self.vrid.into())
    }

    fn address(&self) -> String {
        if self.six { self.v6().to_string() } else { self.v4().to_string() }
    }

    fn interval(&self) -> Duration {
        if self.version == 2 { MS(1000) } else { MS(300) }
    }

    /// How long the next one waits after a goodbye: priority 150.
    fn skew(&self) -> Duration {
        self.interval() * (256 - 150) / 256
    }

    fn instance(&self, name: &str) -> String {
        let Kind { vrid, version, lines, .. } = self;
        let (priority, interval) = (if name == OWNER { 200 } else { 150 }, self.interval().as_secs_f64());
        let addresses =
            if self.six { format!("  fe80::{vrid}/64\n  {}/64\n", self.v6()) } else { format!("  {}\n", self.v4()) };
        format!(
            "vrrp_instance K{vrid} {{\n state BACKUP\n interface eth0\n virtual_router_id {vrid}\n version {version}\n \
             advert_int {interval}\n priority {priority}\n{lines}{} virtual_ipaddress {{\n{addresses} }}\n}}\n",
            self.peers(name)
        )
    }

    fn peers(&self, name: &str) -> String {
        let (own, peer) = if name == OWNER { (11, 12) } else { (12, 11) };
        let address = |last: u8| match self.six {
            // As the kernel makes them of the hosts' MAC addresses.
            true => format!("fe80::aff:fe01:1{last:02x}"),
            false => format!("10.1.1.{last}"),
        };
        let lines = || format!(" unicast_src_ip {}\n unicast_peer {{\n  {}\n }}\n", address(own), address(peer));
        if self.unicast { lines() } else { String::new() }
    }
}

fn conf(name: &str) -> String {
    KINDS.iter().map(|kind| kind.instance(name)).collect::<String>() + GROUP
}

/// How many of the addresses a host has.
fn count(host: &Host) -> Result<usize> {
    let listed = host.run(&["ip", "-o", "address", "show"])?;
    let has = |address: &str| listed.split_whitespace().any(|word| word.split('/').next() == Some(address));
    Ok(KINDS.iter().filter(|kind| has(&kind.address())).count())
}

/// Waits until this director has all addresses, and the other none.
fn wait_owner(cluster: &mut Cluster, name: &str) -> Result<()> {
    let mut last = Vec::new();
    let waited = clock::wait_for(&format!("{name} has all addresses"), NOTICED, || {
        cluster.must_run()?;
        last = cluster
            .lab_ref()
            .directors()
            .iter()
            .map(|host| Ok((host.name.clone(), count(host)?)))
            .collect::<Result<_>>()?;
        Ok(last.iter().all(|(host, held)| *held == if host == name { KINDS.len() } else { 0 }).then_some(()))
    });
    waited.with_context(|| format!("last seen: {last:?}"))
}

/// The client's own kernel resolves each address, and gets an answer.
fn client_reaches(cluster: &Cluster) -> Result<()> {
    let client = cluster.lab_ref().host(CLIENT);
    let all: Vec<String> = KINDS.iter().map(Kind::address).collect();
    let each = all.iter().map(|address| format!("ping -q -c 3 -i 0.2 -w 3 {address} >/dev/null || echo {address} & "));
    let silent = client.run(&["sh", "-c", &(each.collect::<String>() + "wait")])?;
    ensure!(silent.is_empty(), "no answer to the client: {silent}");
    Ok(())
}

/// What the next one sends and hears.
fn capture(host: &Host) -> Result<(Process, String)> {
    let file = host.dir.join("interop.pcap").to_str().context("a path of text")?.to_owned();
    fs::File::create(&file)?;
    let announced = "arp[14:4] = arp[24:4]";
    let filter = format!("ip proto 112 or ip proto 51 or ip6 proto 112 or igmp or icmp6 or {announced}");
    let command = ["tcpdump", "-Z", "root", "-U", "--immediate-mode", "-i", "eth0", "-w", &file, &filter];
    Ok((host.spawn("tcpdump", &command)?, file))
}

/// Every kind moves and comes back, twice.
fn beside(owner: Daemon, next: Daemon) -> Result<()> {
    let _turn = Lab::beside()?;
    let lab = ipv6::lab(2)?;
    let (mut tcpdump, file) = capture(lab.host(NEXT))?;
    let mut cluster = Cluster::launch_all(lab, &[(OWNER, owner), (NEXT, next)], &conf)?;
    let tried = moved(&mut cluster).inspect_err(|_| cluster.lab_ref().save_logs())?;
    tcpdump.signal(Signal::SIGTERM)?;
    tcpdump.wait(MS(5000))?;
    let checked = tried.check(&KINDS).and_then(|()| decoded(cluster.lab_ref().host(NEXT), &file));
    checked.inspect_err(|_| cluster.lab_ref().save_logs())
}

fn moved(cluster: &mut Cluster) -> Result<seen::Tried> {
    wait_owner(cluster, OWNER)?;
    client_reaches(cluster)?;
    let watching = Watching::start(cluster.lab_ref(), &KINDS)?;
    // A second owner that did not believe what it hears would serve by now.
    clock::pass(MS(1500))?;
    let cable = Fault::Cable(OWNER.to_owned());
    let silent = clock::now();
    cluster.lab().inject(cable.clone())?;
    wait_owner(cluster, NEXT)?;
    client_reaches(cluster)?;
    let healed = clock::now();
    cluster.lab().heal(&cable)?;
    wait_owner(cluster, OWNER)?;
    client_reaches(cluster)?;
    let goodbye = clock::now();
    cluster.stop(OWNER)?;
    wait_owner(cluster, NEXT)?;
    client_reaches(cluster)?;
    cluster.wait_stopped(OWNER)?;
    let back = clock::now();
    cluster.restart(OWNER)?;
    wait_owner(cluster, OWNER)?;
    client_reaches(cluster)?;
    watching.finish([silent, healed, goodbye, back])
}

/// tshark knows all of it, and has nothing to complain about.
fn decoded(host: &Host, file: &str) -> Result<()> {
    let tshark = |filter: &str, fields: &[&str]| -> Result<Vec<String>> {
        let mut command = vec!["tshark", "-r", file, "-o", "vrrp.v3_checksum_as_in_v2:FALSE", "-Y", filter];
        if !fields.is_empty() {
            command.extend(["-T", "fields"]);
        }
        fields.iter().for_each(|field| command.extend(["-e", field]));
        Ok(host.run(&command)?.lines().map(str::to_owned).collect())
    };
    // Everything above chat.
    let complaint = "(_ws.malformed || _ws.expert.severity > 0x00200000) && (vrrp || ah || icmpv6 || igmp)";
    let complaints = tshark(complaint, &[])?;
    ensure!(complaints.is_empty(), "{complaints:#?}");
    let said = tshark("vrrp", &["vrrp.virt_rtr_id", "vrrp.prio"])?;
    for kind in &KINDS {
        for priority in [200, 150, 0] {
            let line = format!("{}\t{priority}", kind.vrid);
            let heard = said.iter().filter(|said| **said == line).count();
            let least = if priority == 0 { 1 } else { 4 };
            ensure!(heard >= least, "{}: {heard} adverts with priority {priority}", kind.title);
        }
    }
    Ok(())
}

#[test]
fn root_every_kind_moves_from_meshd_to_keepalived_and_back() -> Result<()> {
    beside(Plain, Keepalived)
}

#[test]
fn root_every_kind_moves_from_keepalived_to_meshd_and_back() -> Result<()> {
    beside(Keepalived, Plain)
}

/// Three adverts and the skew after the last advert of a daemon that was killed. It leaves its address behind: without
/// a mesh nobody takes it away, so two owners are keepalived's own behaviour here.
#[test]
fn root_a_killed_daemon_is_replaced_as_late_as_by_keepalived() -> Result<()> {
    for owner in [Plain, Keepalived] {
        let _turn = Lab::beside()?;
        let next = if owner == Plain { Keepalived } else { Plain };
        let mut cluster = settled_with(&[(OWNER, owner), (NEXT, next)], Style::V2)?;
        let seen = trial(&mut cluster, Scenario::Killed)?;
        let context = format!("owner {owner:?}: {}", seen.faulty);
        let served = seen.faulty.served(NEXT);
        let took = served.first().with_context(|| format!("never taken over: {context}"))?.from - seen.faulty.begins();
        ensure!((MS(2300)..MS(3700)).contains(&took), "after {took:?}: {context}");
        ensure!(seen.whole.owners().last() == Some(&OWNER), "no preemption: {}", seen.whole);
    }
    Ok(())
}
