//! What is on the wire, in the eyes of others: tshark, and a client of an address that only forwards.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::{Cluster, Daemon};
use mesh_lab::{CLIENT, Host, Lab, Lifetime, Process, VIP, clock};
use mesh_netns::OWNER;
use nix::sys::signal::Signal;

const MS: fn(u64) -> Duration = Duration::from_millis;
const SETTLED: Duration = Duration::from_secs(20);

fn instance(name: &str, vrid: u8, priority: u8, more: &str, address: &str) -> String {
    format!(
        "vrrp_instance {name} {{\n state BACKUP\n interface eth0\n virtual_router_id {vrid}\n advert_int 1\n priority \
         {priority}\n{more} virtual_ipaddress {{\n  {address}\n }}\n}}\n"
    )
}

fn capture(host: &Host) -> Result<(Process, String)> {
    let file = host.dir.join("wire.pcap").to_str().context("a path of text")?.to_owned();
    fs::File::create(&file)?;
    let filter = "ip proto 112 or ip proto 51 or ip6 proto 112";
    let process = host.spawn("tcpdump", &["tcpdump", "-Z", "root", "-U", "-i", "eth0", "-w", &file, filter])?;
    clock::pass(MS(500))?;
    Ok((process, file))
}

/// `rfc`: version 3 over IPv4 has the checksum of RFC 9568, otherwise that of keepalived.
fn shown(host: &Host, file: &str, rfc: bool, filter: &str) -> Result<Vec<String>> {
    let form = format!("vrrp.v3_checksum_as_in_v2:{}", if rfc { "TRUE" } else { "FALSE" });
    let shown = host.run(&["tshark", "-r", file, "-o", &form, "-Y", filter])?;
    Ok(shown.lines().map(str::to_owned).collect())
}

/// The client's ping gets no answer, though the address is there and ARP is answered; nor does it over IPv6, where
/// neighbour discovery is.
#[test]
fn root_an_address_that_only_forwards_answers_nobody() -> Result<()> {
    let _turn = Lab::beside()?;
    let lab = Lab::new(Lifetime::Lab)?;
    lab.host(CLIENT).run(&["ip", "address", "add", "fd77::50/64", "dev", "eth0", "nodad"])?;
    let conf = |_: &str| {
        instance("SHUT", 51, 200, " version 3\n no_accept\n", &format!("{VIP}/24"))
            + &instance("SHUT6", 51, 200, " no_accept\n", "fe80::80/64\n  fd77::80/64")
            + &instance("OPEN", 52, 200, " version 3\n", "10.1.1.81/24")
    };
    let cluster = Cluster::launch_all(lab, &[(OWNER, Daemon::Plain)], &conf)?;
    let owner = cluster.lab_ref().host(OWNER).clone();
    clock::wait_for("all addresses", SETTLED, || {
        let all = [VIP.to_string(), "fd77::80".to_owned(), "10.1.1.81".to_owned()];
        let there: Vec<bool> = all.iter().map(|address| owner.has_address(address)).collect::<Result<_>>()?;
        Ok(there.iter().all(|there| *there).then_some(()))
    })?;
    let client = cluster.lab_ref().host(CLIENT);
    let answers = |address: &str| {
        Ok::<bool, anyhow::Error>(
            client.output(&["ping", "-q", "-c", "2", "-i", "0.2", "-W", "1", address])?.status.success(),
        )
    };
    ensure!(answers("10.1.1.81")?, "the other address takes packets");
    ensure!(!answers(&VIP.to_string())?, "an address without accept takes none");
    ensure!(!answers("fd77::80")?, "nor over IPv6");
    for address in [VIP.to_string(), "fd77::80".to_owned()] {
        let known = client.run(&["ip", "neigh", "show", &address])?;
        ensure!(known.contains(&owner.mac.to_string()), "{address} is resolved all the same: {known}");
    }
    // Somebody takes the rules away: they are put back.
    owner.run(&["nft", "delete", "table", "ip", "meshd_accept"])?;
    clock::wait_for("the rules are put back", MS(2000), || {
        Ok(owner.output(&["nft", "list", "table", "ip", "meshd_accept"])?.status.success().then_some(()))
    })?;
    ensure!(!answers(&VIP.to_string())?, "put back");
    Ok(())
}

/// All that can be sent at once, decoded by another program without a complaint.
#[test]
fn root_tshark_has_nothing_to_complain_about() -> Result<()> {
    let _turn = Lab::beside()?;
    let conf = |_: &str| {
        let pass = |kind: &str| format!(" authentication {{\n  auth_type {kind}\n  auth_pass secret12\n }}\n");
        let unicast = " version 3\n unicast_peer {\n  10.1.1.50\n }\n unicast_ttl 64\n";
        instance("V2", 51, 200, "", "10.1.1.81/24")
            + &instance("PASS", 52, 200, &pass("PASS"), "10.1.1.82/24")
            + &instance("HEADER", 53, 200, &pass("AH"), "10.1.1.83/24")
            + &instance("V3", 54, 200, " version 3\n v3_checksum_as_v2\n", "10.1.1.84/24")
            + &instance("V3P", 55, 200, " version 3\n", "10.1.1.85/24")
            + &instance("UNICAST", 56, 200, unicast, "10.1.1.86/24")
            + &instance("SIX", 57, 200, "", "fe80::80/64\n  fd77::80/64")
    };
    let lab = Lab::new(Lifetime::Lab)?;
    let (tcpdump, file) = capture(lab.host(OWNER))?;
    let cluster = Cluster::launch_all(lab, &[(OWNER, Daemon::Plain)], &conf)?;
    let owner = cluster.lab_ref().host(OWNER).clone();
    clock::wait_for("the last address", SETTLED, || Ok(owner.has_address("fd77::80")?.then_some(())))?;
    clock::pass(MS(2500))?;
    tcpdump.signal(Signal::SIGTERM)?;
    clock::pass(MS(300))?;
    for vrid in 51..=57 {
        let seen = shown(&owner, &file, false, &format!("vrrp.virt_rtr_id == {vrid}"))?;
        ensure!(seen.len() >= 2, "VRID {vrid}: {seen:#?}");
    }
    let headers = shown(&owner, &file, false, "ah && vrrp.virt_rtr_id == 53")?;
    ensure!(headers.len() >= 2, "behind an authentication header: {headers:#?}");
    // Everything above chat. A good checksum of one form is a bad one to who expects the other.
    const COMPLAINT: &str = "(_ws.expert.severity > 0x00200000 || _ws.malformed)";
    for (rfc, which) in [(false, "vrrp.virt_rtr_id != 54"), (true, "vrrp.virt_rtr_id == 54")] {
        let complaints = shown(&owner, &file, rfc, &format!("{COMPLAINT} && {which}"))?;
        ensure!(complaints.is_empty(), "{which}: {complaints:#?}");
    }
    let wrong = shown(&owner, &file, false, &format!("{COMPLAINT} && vrrp.virt_rtr_id == 54"))?;
    ensure!(wrong.len() >= 2, "tshark looks at checksums: {wrong:#?}");
    Ok(())
}
