//! Version 3 of both families beside FRR's vrrpd, whoever is worthier, judged from the client's side.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv6Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::{Cluster, Daemon};
use mesh_lab::{CLIENT, Fault, Host, Judge, Lab, NeighbourWatch, Process, VIP, clock};
use mesh_netns::{NEXT, OWNER};
use nix::sys::signal::Signal;

use super::ipv6;

const MS: fn(u64) -> Duration = Duration::from_millis;
const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x80);
/// The virtual MAC addresses of VRID 51, which FRR answers with.
const MAC_V4: &str = "00:00:5e:00:01:33";
const MAC_V6: &str = "00:00:5e:00:02:33";
/// Adverts every 300 ms: an owner that is gone is noticed after 1.1 s, and machines are busy.
const NOTICED: Duration = Duration::from_secs(8);
/// Until FRR has read its configuration and seen its interfaces.
const SETTLED: Duration = Duration::from_secs(20);
/// One for each of its routers.
const DEVICES: [&str; 2] = ["vrrp4-51", "vrrp6-51"];
/// Where meshd is, and FRR.
const OURS: &str = NEXT;
const FRR: &str = OWNER;

fn conf(_: &str) -> String {
    let instance = |name: &str, addresses: &str| {
        format!(
            "vrrp_instance {name} {{\n state BACKUP\n interface eth0\n virtual_router_id 51\n version 3\n advert_int 0.3\n \
             priority 150\n virtual_ipaddress {{\n{addresses} }}\n}}\n"
        )
    };
    instance("VI_4", &format!("  {VIP}/24\n")) + &instance("VI_6", &format!("  fe80::80/64\n  {VIP6}/64\n"))
}

/// vrrpd with both routers, on a macvlan for each with the virtual MAC address, as its manual says.
struct Frr {
    host: Host,
    processes: Vec<Process>,
}

impl Frr {
    fn new(host: &Host) -> Result<Frr> {
        // Only the interface that has an address answers for it and speaks from it: they are there while their router
        // is no master, and answers to clients leave by eth0.
        host.run(&["sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2"])?;
        Ok(Frr { host: host.clone(), processes: Vec::new() })
    }

    /// Nobody answers before vrrpd says so.
    fn interfaces(&self) -> Result<()> {
        for (device, mac, addresses) in [
            (DEVICES[0], MAC_V4, vec![format!("{VIP}/24")]),
            (DEVICES[1], MAC_V6, vec!["fe80::80/64".to_owned(), format!("{VIP6}/64")]),
        ] {
            self.host.run(&["ip", "link", "add", device, "link", "eth0", "type", "macvlan", "mode", "bridge"])?;
            self.host.run(&["ip", "link", "set", "dev", device, "protodown", "on"])?;
            self.host.run(&["ip", "link", "set", "dev", device, "address", mac, "addrgenmode", "random"])?;
            for address in addresses {
                let nodad: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
                self.host.run(&[&["ip", "address", "add", &address, "dev", device][..], nodad].concat())?;
            }
            self.host.run(&["ip", "link", "set", "dev", device, "up"])?;
        }
        Ok(())
    }

    fn start(&mut self, priority: u8) -> Result<()> {
        self.interfaces()?;
        let dir = self.host.dir.join("frr");
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        let dir = dir.to_str().context("a path of text")?.to_owned();
        let lines = format!(
            "interface eth0\n vrrp 51 version 3\n vrrp 51 priority {priority}\n vrrp 51 advertisement-interval 300\n \
             vrrp 51 ip {VIP}\n vrrp 51 ipv6 fe80::80\n vrrp 51 ipv6 {VIP6}\n"
        );
        fs::write(format!("{dir}/vrrpd.conf"), lines)?;
        fs::write(format!("{dir}/zebra.conf"), "")?;
        // It gives up being root, and wants its sockets to be its own group's.
        self.host.run(&["chown", "-R", "frr:frr", &dir])?;
        let daemon = |name: &str| -> Result<Process> {
            let program = format!("/usr/lib/frr/{name}");
            let (conf, pid) = (format!("{dir}/{name}.conf"), format!("{dir}/{name}.pid"));
            let zserv = format!("{dir}/zserv.api");
            let files = ["-f", &conf, "-i", &pid, "-z", &zserv, "--vty_socket", &dir];
            let rest = ["-A", "127.0.0.1", "-u", "frr", "-g", "frr", "--log", "stdout"];
            self.host.spawn(name, &[&[&*program][..], &files, &rest].concat())
        };
        let zebra = daemon("zebra")?;
        clock::wait_for("zebra's socket", NOTICED, || Ok(fs::exists(format!("{dir}/zserv.api"))?.then_some(())))?;
        self.processes = vec![daemon("vrrpd")?, zebra];
        Ok(())
    }

    /// vrrpd says goodbye; whoever started it takes the interfaces away.
    fn stop(&mut self) -> Result<()> {
        for mut process in self.processes.drain(..) {
            process.signal(Signal::SIGTERM)?;
            process.wait(NOTICED)?;
        }
        self.no_interfaces()
    }

    /// As if its host had lost its power. With its cable out it stays master, and does not tell clients when it is
    /// back.
    fn die(&mut self) -> Result<()> {
        // Killed as it is dropped.
        self.processes.clear();
        self.no_interfaces()
    }

    fn no_interfaces(&self) -> Result<()> {
        DEVICES.iter().try_for_each(|device| self.host.run(&["ip", "link", "delete", device]).map(drop))
    }

    /// What both of its routers are, as it says.
    fn states(&self) -> Result<(String, String)> {
        let dir = self.host.dir.join("frr");
        let dir = dir.to_str().context("a path of text")?;
        let shown = self.host.run(&["vtysh", "--vty_socket", dir, "-c", "show vrrp json"])?;
        let routers: serde_json::Value = serde_json::from_str(&shown).with_context(|| shown.clone())?;
        let status = |family: &str| routers[0][family]["status"].as_str().unwrap_or("none").to_owned();
        Ok((status("v4"), status("v6")))
    }

    fn wait(&mut self, state: &str) -> Result<()> {
        let mut seen = None;
        let waited = clock::wait_for(&format!("FRR is {state} for both"), SETTLED, || {
            self.processes.iter_mut().try_for_each(Process::must_run)?;
            seen = self.states().ok();
            Ok(seen.as_ref().is_some_and(|(v4, v6)| v4 == state && v6 == state).then_some(()))
        });
        waited.with_context(|| format!("last seen: {seen:?}"))
    }
}

/// Both of them, and who looks.
struct Segment {
    cluster: Cluster,
    frr: Frr,
}

impl Segment {
    /// meshd has both addresses, or none.
    fn ours(&mut self, wanted: bool) -> Result<()> {
        let host = self.cluster.lab_ref().host(OURS).clone();
        clock::wait_for(&format!("meshd serves both families: {wanted}"), NOTICED, || {
            self.cluster.must_run()?;
            let [v4, v6] = [VIP.to_string(), VIP6.to_string()].map(|address| host.has_address(&address));
            Ok((v4? == wanted && v6? == wanted).then_some(()))
        })
    }

    /// The client's kernel finds this one behind both addresses, and gets answers.
    fn client_reaches(&self, name: &str) -> Result<()> {
        let client = self.cluster.lab_ref().host(CLIENT);
        let mac = self.cluster.lab_ref().host(name).mac.to_string();
        for (address, of_frr) in [(VIP.to_string(), MAC_V4), (VIP6.to_string(), MAC_V6)] {
            let expected = if name == FRR { of_frr } else { &mac };
            clock::wait_for(&format!("{name} answers the client for {address}"), MS(3000), || {
                let ping = client.output(&["ping", "-q", "-c", "1", "-W", "0.3", &address])?;
                let known = client.run(&["ip", "neigh", "show", &address])?;
                Ok((ping.status.success() && known.contains(expected)).then_some(()))
            })?;
        }
        Ok(())
    }

    /// Something happens, and the other one serves; never two at once but for an advert's way from one to the other.
    fn moves(
        &mut self,
        what: &str,
        (from, to): (&str, &str),
        longest: Duration,
        happens: impl FnOnce(&mut Segment) -> Result<()>,
    ) -> Result<()> {
        let lab = self.cluster.lab_ref();
        let (four, six) = (Judge::start(lab)?, NeighbourWatch::knowing(lab, VIP6, &[([0, 0, 0x5e, 0, 2, 0x33], FRR)]));
        clock::pass(MS(300))?;
        happens(self)?;
        if to == FRR {
            self.frr.wait("Master")?;
        }
        self.ours(to == OURS)?;
        self.client_reaches(to)?;
        clock::pass(MS(300))?;
        let (four, six) = (four.finish()?, six.finish()?);
        println!("{what}: {:?} without an answer over IPv4, {:?} over IPv6", four.client_gap(), six.gap());
        let (begin, end) = (six.owners().first().copied(), six.owners().last().copied());
        ensure!((begin, end) == (Some(from), Some(to)), "{what}: {:?}", six.owners());
        // FRR's first advert over IPv6 is lost with the interface that it has just taken up: the second one counts.
        let dual = if to == FRR { 40 } else { 20 };
        ensure!(six.dual() <= dual, "{what}: {} double answers", six.dual());
        let gap = four.client_gap().max(six.gap());
        ensure!(gap <= longest, "{what}: {gap:?}, {four}");
        Ok(())
    }
}

/// Nobody's advert is malformed, or has a checksum that is wrong in both forms: meshd has a pseudo header until it
/// hears somebody who has not.
fn decoded(host: &Host, file: &str) -> Result<()> {
    let tshark = |form: &str, filter: &str| -> Result<BTreeSet<String>> {
        let form = format!("vrrp.v3_checksum_as_in_v2:{form}");
        let shown = host.run(&["tshark", "-r", file, "-o", &form, "-Y", filter])?;
        Ok(shown.lines().map(str::to_owned).collect())
    };
    let complaint = "(_ws.malformed || _ws.expert.severity > 0x00200000) && (vrrp || icmpv6)";
    let both = &tshark("TRUE", complaint)? & &tshark("FALSE", complaint)?;
    ensure!(both.is_empty(), "{both:#?}");
    for (family, sources) in [("ip", ["10.1.1.11", "10.1.1.12"]), ("ipv6", ["fe80::80", "fe80::aff:fe01:10c"])] {
        for source in sources {
            for rank in ["vrrp.prio > 0", "vrrp.prio == 0"] {
                let said = tshark("TRUE", &format!("vrrp && {family}.src == {source} && {rank}"))?;
                ensure!(!said.is_empty(), "nothing from {source} with {rank}");
            }
        }
    }
    Ok(())
}

#[test]
fn root_version_3_of_both_families_beside_frr() -> Result<()> {
    let _turn = Lab::beside()?;
    let lab = ipv6::lab(2)?;
    let frr = Frr::new(lab.host(FRR))?;
    let file = lab.host(OURS).dir.join("frr.pcap").to_str().context("a path of text")?.to_owned();
    fs::File::create(&file)?;
    let filter = "ip proto 112 or ip6 proto 112 or icmp6";
    let command = ["tcpdump", "-Z", "root", "-U", "--immediate-mode", "-i", "eth0", "-w", &file, filter];
    let mut tcpdump = lab.host(OURS).spawn("tcpdump", &command)?;
    let cluster = Cluster::launch_all(lab, &[(OURS, Daemon::Plain)], &conf)?;
    let mut segment = Segment { cluster, frr };
    let tried = both_ways(&mut segment);
    tcpdump.signal(Signal::SIGTERM)?;
    tcpdump.wait(MS(5000))?;
    let judged = tried.and_then(|()| decoded(segment.cluster.lab_ref().host(OURS), &file));
    judged.inspect_err(|_| segment.cluster.lab_ref().save_logs())
}

fn both_ways(segment: &mut Segment) -> Result<()> {
    let (silence, goodbye, preempted) = (MS(1600), MS(700), MS(400));
    let pull = |name: &str| Fault::Cable(name.to_owned());
    segment.ours(true)?;
    segment.client_reaches(OURS)?;
    // A worthier one, that dies and comes back, and says goodbye.
    let there = (OURS, FRR);
    let back = (FRR, OURS);
    segment.moves("FRR is worthier", there, preempted, |s| s.frr.start(200))?;
    segment.moves("FRR dies", back, silence, |s| s.frr.die())?;
    segment.moves("FRR comes back", there, preempted, |s| s.frr.start(200))?;
    segment.moves("FRR stops", back, goodbye, |s| s.frr.stop())?;
    // A less worthy one hears meshd, and waits.
    segment.frr.start(100)?;
    segment.frr.wait("Backup")?;
    clock::pass(MS(1500))?;
    segment.frr.wait("Backup")?;
    segment.ours(true)?;
    segment.client_reaches(OURS)?;
    segment.moves("meshd's cable out", there, silence, |s| s.cluster.lab().inject(pull(OURS)))?;
    segment.moves("meshd's cable in", back, preempted, |s| s.cluster.lab().heal(&pull(OURS)))?;
    segment.moves("meshd stops", there, goodbye, |s| {
        s.cluster.stop(OURS)?;
        s.cluster.wait_stopped(OURS)
    })?;
    segment.moves("meshd starts", back, preempted, |s| s.cluster.restart(OURS))
}
