//! `use_ipvlan` on a kernel that has it, beside keepalived 2.2.7, in both directions.
//!
//! ```text
//!   client .100 ---+--- 10.0.0.0/24 ---+--- lb1 .1: meshd, ipvlan .201       VIP 10.0.0.80
//!                                      +--- lb2 .2: keepalived, ipvlan .202
//! ```

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_ipvs::network::{Daemon, Host, Network};
use mesh_ipvs::{inside, meshd};
use mesh_lab::clock;

/// A takeover takes more than three seconds, and the kernel inside is slow.
const SOON: Duration = Duration::from_secs(30);

fn configuration(priority: u8, own: &str) -> String {
    format!(
        "vrrp_instance A {{\n state BACKUP\n interface eth0\n virtual_router_id 51\n priority {priority}\n \
         use_ipvlan gw 10.0.0.{own}\n virtual_ipaddress {{\n  10.0.0.80/32\n }}\n}}\n"
    )
}

fn addresses(host: &Host, interface: &str) -> Result<String> {
    host.sh(&format!("ip -o -4 address show dev {interface}"))
}

fn keepalived(host: &Host) -> Result<Daemon> {
    let place = |name: &str| host.dir.join(name).display().to_string();
    let (conf, pid, child) = (place("keepalived.conf"), place("pid"), place("child"));
    host.start("keepalived", &["-n", "-l", "-D", "-P", "-f", &conf, "-p", &pid, "-r", &child])
}

/// It has the address, below its ipvlan, and the client reaches it there.
fn serves(client: &Host, host: &Host, other: &Host) -> Result<()> {
    clock::wait_for(&format!("{} serves", host.name), SOON, || {
        let has = |host: &Host| Ok::<_, anyhow::Error>(addresses(host, "eth0")?.contains("10.0.0.80/32"));
        let alone = has(host)? && !has(other)?;
        Ok((alone && client.sh("ping -q -c 1 -W 1 10.0.0.80").is_ok()).then_some(()))
    })
}

/// Another mode and another address by a reload: the old address goes, what others put there stays.
fn reloaded(daemon: &Daemon, host: &Host) -> Result<()> {
    let index = || host.sh("cat /sys/class/net/gw/ifindex");
    let before = index()?;
    host.sh("ip address add 10.7.0.1/24 dev gw")?;
    std::fs::write(host.dir.join("keepalived.conf"), configuration(200, "203/25 private"))?;
    daemon.reload()?;
    clock::wait_for("its new address", SOON, || Ok(addresses(host, "gw")?.contains("10.0.0.203/25").then_some(())))?;
    let shown = addresses(host, "gw")?;
    ensure!(!shown.contains("10.0.0.201") && shown.contains("10.7.0.1/24"), "{shown}");
    let shown = host.sh("ip -d link show dev gw")?;
    ensure!(shown.contains("mode l2 private") && index()? == before, "{shown}");
    Ok(())
}

#[test]
fn root_an_ipvlan_beside_keepalived() -> Result<()> {
    inside(|| {
        let mut network = Network::new(&["lan"])?;
        let mut host = |name: &str, last: u8| -> Result<Host> {
            let host = network.host(name)?;
            network.plug(&host, "eth0", "lan", &[&format!("10.0.0.{last}/24")])?;
            Ok(host)
        };
        let (client, lb1, lb2) = (host("client", 100)?, host("lb1", 1)?, host("lb2", 2)?);
        std::fs::write(lb1.dir.join("keepalived.conf"), configuration(200, "201/24"))?;
        std::fs::write(lb2.dir.join("keepalived.conf"), configuration(100, "202/24"))?;
        let other = keepalived(&lb2)?;
        let first = meshd::start(&lb1, &["run"])?;
        serves(&client, &lb1, &lb2).with_context(|| first.written().unwrap_or_default())?;
        let shown = lb1.sh("ip -d link show dev gw")?;
        ensure!(shown.contains("gw@eth0") && shown.contains("mode l2 bridge"), "{shown}");
        lb1.sh("ip address del 10.0.0.201/24 dev gw")?;
        clock::wait_for("its own address again", SOON, || {
            Ok(addresses(&lb1, "gw")?.contains("10.0.0.201/24").then_some(()))
        })?;
        serves(&client, &lb1, &lb2)?;
        reloaded(&first, &lb1)?;
        serves(&client, &lb1, &lb2)?;
        first.stop()?;
        ensure!(lb1.sh("ip link show dev gw").is_err(), "its interface is left");
        serves(&client, &lb2, &lb1).with_context(|| other.written().unwrap_or_default())?;
        let first = meshd::start(&lb1, &["run"])?;
        serves(&client, &lb1, &lb2).with_context(|| first.written().unwrap_or_default())
    })
}
