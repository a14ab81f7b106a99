//! Three directors in a mesh, and what else happens on a host: others touch our rules and addresses, scripts fail,
//! configurations change, junk arrives.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::{Cluster, Daemon, active};
use mesh_lab::conf::{Style, keepalived_conf};
use mesh_lab::{Judge, Lab, Lifetime, VIP, clock};
use mesh_netns::{NEXT, OWNER, settled};
use nix::sys::signal::Signal;

/// What the mesh promises for repairs, and what looking costs: each look starts a process.
const REPAIRED_WITHIN: Duration = Duration::from_millis(100 + 200);

/// A status shows a change within a second, and the change itself takes a moment.
const SHOWN_WITHIN: Duration = Duration::from_secs(3);

/// Runs a test on a settled mesh, and keeps the logs when it fails.
fn on_a_mesh(test: impl FnOnce(&mut Cluster) -> Result<()>) -> Result<()> {
    let _turn = Lab::beside()?;
    let mut cluster = settled(Daemon::Mesh)?;
    test(&mut cluster).inspect_err(|_| cluster.lab_ref().save_logs())
}

/// Writes a director's configuration again and has it read.
fn reload(cluster: &mut Cluster, name: &str, text: &str) -> Result<()> {
    let file = cluster.lab_ref().host(name).dir.join("keepalived.conf");
    fs::write(&file, text).with_context(|| file.display().to_string())?;
    cluster.signal_guard(name, Signal::SIGHUP)
}

fn counter(status: &serde_json::Value, kind: &str, containing: &str) -> u64 {
    let counters = status[kind].as_object().into_iter().flatten();
    counters.filter(|(name, _)| name.contains(containing)).filter_map(|(_, count)| count.as_u64()).sum()
}

#[test]
fn root_what_others_remove_is_put_back() -> Result<()> {
    on_a_mesh(|cluster| {
        let judge = Judge::start(cluster.lab_ref())?;
        for name in [OWNER, NEXT] {
            let host = cluster.lab_ref().host(name).clone();
            host.run(&["nft", "flush", "ruleset"])?;
            clock::wait_for(&format!("the fence of {name} is back"), REPAIRED_WITHIN, || {
                let tables = host.run(&["nft", "list", "tables"])?;
                Ok((tables.contains("ip meshd") && tables.contains("arp meshd")).then_some(()))
            })?;
        }
        let owner = cluster.lab_ref().host(OWNER).clone();
        owner.run(&["ip", "address", "del", &format!("{VIP}/24"), "dev", "eth0"])?;
        clock::wait_for("the VIP is back", REPAIRED_WITHIN, || Ok(owner.has_address(&VIP.to_string())?.then_some(())))?;
        cluster.wait_status("the owner stayed", SHOWN_WITHIN, &[OWNER, NEXT], |s| active(s) == Some(OWNER))?;
        let report = judge.finish()?;
        ensure!(report.dual().is_zero(), "two served: {report}");
        ensure!(report.gap() <= Duration::from_millis(100), "too long without the VIP: {report}");
        Ok(())
    })
}

#[test]
fn root_a_crashed_daemon_leaves_nothing_behind() -> Result<()> {
    on_a_mesh(|cluster| {
        let owner = cluster.lab_ref().host(OWNER).clone();
        cluster.kill(OWNER)?;
        ensure!(owner.has_address(&VIP.to_string())?, "the kernel removes the address later, not at once");
        let file = owner.dir.join("keepalived.conf");
        let text = keepalived_conf(OWNER, Style::V2).replace("10.1.1.80", "10.1.1.81");
        fs::write(&file, text).with_context(|| file.display().to_string())?;
        cluster.restart(OWNER)?;
        // The kernel would take two seconds more: this is the new daemon's doing.
        clock::wait_for("what an earlier run had left is gone", Duration::from_secs(1), || {
            Ok((!owner.has_address(&VIP.to_string())?).then_some(()))
        })
    })
}

#[test]
fn root_a_failing_script_moves_the_vip() -> Result<()> {
    on_a_mesh(|cluster| {
        let dir = cluster.lab_ref().host(OWNER).dir.clone();
        let (script, healthy) = (dir.join("check.sh"), dir.join("healthy"));
        fs::write(&healthy, "")?;
        fs::write(&script, format!("#!/bin/sh\ntest -e {}\n", healthy.display()))?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        let tracked = |weight: &str| {
            let block = format!(
                "vrrp_script check {{\n    script \"{}\"\n    interval 1\n    fall 2\n    rise 2\n    {weight}\n    user root\n}}\n\n",
                script.display()
            );
            let plain = keepalived_conf(OWNER, Style::V2);
            let plain =
                plain.replace("    advert_int 1\n", "    advert_int 1\n    track_script {\n        check\n    }\n");
            plain.replace("vrrp_instance", &format!("{block}vrrp_instance"))
        };
        for (weight, priority) in [("weight -60", 140), ("", 0)] {
            reload(cluster, OWNER, &tracked(weight))?;
            let healthy_again = Duration::from_secs(20);
            cluster.wait_status("the owner serves with its script", healthy_again, &[OWNER, NEXT], |s| {
                active(s) == Some(OWNER) && s["routers"][0]["priority"][OWNER] == 200
            })?;
            fs::remove_file(&healthy)?;
            cluster.wait_status("the VIP moved", Duration::from_secs(10), &[OWNER, NEXT], |s| {
                active(s) == Some(NEXT) && s["routers"][0]["priority"][OWNER] == priority
            })?;
            fs::write(&healthy, "")?;
        }
        cluster.wait_holder(OWNER)
    })
}

const SECOND: &str = "10.1.1.82";
const ROUTE: &str = "10.82.0.0/16";

#[test]
fn root_reload_changes_what_changed() -> Result<()> {
    on_a_mesh(|cluster| {
        let judge = Judge::start(cluster.lab_ref())?;
        let good = keepalived_conf(OWNER, Style::V2);
        let log = |cluster: &Cluster| -> Result<String> {
            let log = cluster.lab_ref().dir().join(OWNER);
            let mut text = String::new();
            for entry in fs::read_dir(&log).with_context(|| log.display().to_string())? {
                let path = entry?.path();
                if path.extension().is_some_and(|e| e == "log") {
                    text += &fs::read_to_string(path)?;
                }
            }
            Ok(text)
        };
        let told = |cluster: &Cluster, text: &str| -> Result<()> {
            clock::wait_for(&format!("the log says {text:?}"), SHOWN_WITHIN, || {
                Ok(log(cluster)?.contains(text).then_some(()))
            })
        };
        reload(cluster, OWNER, good.trim_end().trim_end_matches('}'))?;
        told(cluster, "configuration not changed")?;
        reload(cluster, OWNER, "global_defs {\n    router_id lb1\n}\n")?;
        told(cluster, "nothing to serve is left in it")?;
        reload(cluster, OWNER, &good)?;
        told(cluster, "configuration read again")?;
        // A router that changes goes on: it gets what is new, and keeps what stays.
        let host = cluster.lab_ref().host(OWNER).clone();
        let shown = |what: &str, wanted: &str| -> Result<bool> { Ok(host.run(&["ip", "-4", what])?.contains(wanted)) };
        let more = good.replace("priority 200", "priority 210").replace(
            &format!("        {VIP}/24\n    }}\n"),
            &format!("        {VIP}/24\n        {SECOND}/24\n    }}\n    virtual_routes {{\n        {ROUTE} dev eth0\n    }}\n"),
        );
        reload(cluster, OWNER, &more)?;
        clock::wait_for("the new address and the new route are there", SHOWN_WITHIN, || {
            Ok((shown("address", SECOND)? && shown("route", ROUTE)?).then_some(()))
        })?;
        cluster.lab_ref().host("client").run(&["ping", "-c", "1", "-W", "1", SECOND])?;
        reload(cluster, OWNER, &good)?;
        clock::wait_for("they are gone", SHOWN_WITHIN, || {
            Ok((!shown("address", SECOND)? && !shown("route", ROUTE)?).then_some(()))
        })?;
        cluster.wait_status("the owner stayed", SHOWN_WITHIN, &[OWNER, NEXT], |s| active(s) == Some(OWNER))?;
        let report = judge.finish()?;
        ensure!(report.owners() == [OWNER] && report.gap().is_zero(), "a reload was felt: {report}");
        Ok(())
    })
}

#[test]
fn root_junk_is_counted_and_changes_nothing() -> Result<()> {
    on_a_mesh(|cluster| {
        let judge = Judge::start(cluster.lab_ref())?;
        let client = cluster.lab_ref().host("client").clone();
        let owner = cluster.lab_ref().host(OWNER).address;
        let sent = std::thread::spawn(move || -> Result<()> {
            client.enter()?;
            let mesh = UdpSocket::bind("0.0.0.0:0")?;
            let vrrp =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::RAW, Some(socket2::Protocol::from(112)))?;
            vrrp.set_multicast_ttl_v4(255)?;
            vrrp.set_multicast_if_v4(&client.address)?;
            let group = std::net::SocketAddr::from(([224, 0, 0, 18], 0)).into();
            for round in 0..200_u8 {
                let junk: Vec<u8> = (0..64).map(|i: u8| i.wrapping_mul(31).wrapping_add(round)).collect();
                mesh.send_to(&junk, (owner, 7946))?;
                vrrp.send_to(&junk, &group)?;
            }
            Ok(())
        });
        sent.join().expect("the sender does not panic")?;
        cluster.wait_status("junk is counted", SHOWN_WITHIN, &[OWNER], |s| {
            counter(s, "drops", "malformed:") >= 100 && counter(s, "counters", "mesh_") > 0
        })?;
        cluster.wait_status("the owner stayed", SHOWN_WITHIN, &[OWNER, NEXT], |s| active(s) == Some(OWNER))?;
        let report = judge.finish()?;
        ensure!(report.owners() == [OWNER], "junk moved the VIP: {report}");
        Ok(())
    })
}

#[test]
fn root_meshctl_without_a_daemon() -> Result<()> {
    let _turn = Lab::beside()?;
    let lab = Lab::new(Lifetime::Lab)?;
    let meshctl = mesh_lab::cluster::binary("meshctl")?;
    let command = [meshctl.to_str().context("a path in UTF-8")?, "--socket", "/nonexistent/meshd.sock", "status"];
    let output = lab.host(OWNER).output(&command)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(3), "exit status {}", output.status);
    ensure!(said.contains("/nonexistent/meshd.sock") && said.contains("running"), "no hint: {said}");
    Ok(())
}

/// Nobody is heard where no socket can be opened: a router there takes nothing over, and tries again by itself.
#[test]
fn root_a_router_that_cannot_listen_waits_until_it_can() -> Result<()> {
    let _turn = Lab::beside()?;
    let conf = |_: &str| {
        "global_defs {\n dynamic_interfaces\n vrrp_version 3\n}\n\
         vrrp_instance LATE {\n interface late0\n virtual_router_id 60\n priority 100\n advert_int 0.1\n \
         virtual_ipaddress {\n  10.99.0.80/24\n }\n}\n"
            .to_owned()
    };
    let mut cluster = Cluster::launch_all(Lab::new(Lifetime::Lab)?, &[(OWNER, Daemon::Plain)], &conf)?;
    let host = cluster.lab_ref().host(OWNER).clone();
    let daemon = cluster.daemon_pid(OWNER)?.to_string();
    // It raises its limit as it starts.
    cluster.wait_status("it has started", SHOWN_WITHIN, &[OWNER], |_| true)?;
    let open_files = |most: &str| host.run(&["prlimit", "--pid", &daemon, &format!("--nofile={most}:")]);
    open_files("3")?;
    host.run(&["ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1"])?;
    host.run(&["ip", "address", "add", "10.99.0.1/24", "dev", "late0"])?;
    host.run(&["ip", "link", "set", "late1", "up"])?;
    host.run(&["ip", "link", "set", "late0", "up"])?;
    // Three times as long as it would wait for others.
    clock::pass(Duration::from_millis(1200))?;
    ensure!(!host.has_address("10.99.0.80")?, "it took an address over without having listened");
    open_files("1024")?;
    clock::wait_for("it listens, and serves", SHOWN_WITHIN, || Ok(host.has_address("10.99.0.80")?.then_some(())))?;
    let log = fs::read_to_string(host.dir.join("meshd.log")).unwrap_or_default();
    ensure!(log.contains("VRRP cannot be heard on interface late0"), "the reason is told");
    cluster.must_run()
}
