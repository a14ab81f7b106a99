//! Many virtual routers on one director: what they cost while nothing happens, and how long all of them take to move.
//! With `--nocapture` these tests tell the figures; those of a build without optimisation have wider limits.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::{Cluster, Daemon};
use mesh_lab::process::processor_time;
use mesh_lab::{DIRECTORS, Lab, clock};
use mesh_netns::{NEXT, OWNER, settled};
use nix::sys::signal::Signal;

/// The limit, times eight where nothing is optimised.
const SLOWNESS: u32 = if cfg!(debug_assertions) { 8 } else { 1 };

/// `keepalived.conf` of a director with so many routers, with so many addresses in all.
fn conf(name: &str, routers: usize, addresses: usize) -> String {
    let index = DIRECTORS.iter().position(|(known, _)| *known == name).expect("a director's name");
    let priority = [200, 150, 100][index];
    let mut text = format!("global_defs {{\n    router_id {name}\n}}\n");
    for vrid in 1..=routers {
        let own = (vrid..=addresses).step_by(routers).map(|n| format!("        10.7.{}.{}/32\n", n / 250, n % 250 + 1));
        write!(
            text,
            "vrrp_instance VI_{vrid} {{\n    interface eth0\n    virtual_router_id {vrid}\n    priority {priority}\n    \
             advert_int 1\n    virtual_ipaddress {{\n{}    }}\n}}\n",
            own.collect::<String>()
        )
        .expect("writing to a String can not fail");
    }
    text
}

fn with_routers(routers: usize, addresses: usize, test: impl FnOnce(&mut Cluster) -> Result<()>) -> Result<()> {
    let _alone = Lab::alone()?;
    let mut cluster = settled(Daemon::Mesh)?;
    let run = |cluster: &mut Cluster| {
        for (name, _) in DIRECTORS {
            let file = cluster.lab_ref().host(name).dir.join("keepalived.conf");
            fs::write(&file, conf(name, routers, addresses)).with_context(|| file.display().to_string())?;
            cluster.signal(name, Signal::SIGHUP)?;
        }
        cluster.wait_status("the owner serves all of them", Duration::from_secs(60), &[OWNER], |status| {
            let all = status["routers"].as_array().into_iter().flatten();
            all.filter(|router| router["active"] == OWNER).count() == routers
        })?;
        // What the change itself set off is over.
        clock::pass(Duration::from_secs(6))?;
        test(cluster)
    };
    run(&mut cluster).inspect_err(|_| cluster.lab_ref().save_logs())
}

#[test]
fn root_a_thousand_addresses_of_255_routers_cost_little() -> Result<()> {
    with_routers(255, 1000, |cluster| {
        let span = Duration::from_secs(10);
        let share = |time: Duration| time.as_secs_f64() / span.as_secs_f64() * 100.0;
        let pid = cluster.daemon_pid(OWNER)?;
        let before = processor_time(pid)?;
        clock::pass(span)?;
        let after = processor_time(pid)?;
        let (user, kernel) = (share(after.0 - before.0), share(after.1 - before.1));
        println!("255 routers, 1,000 addresses: {user:.1} % user, {kernel:.1} % kernel of one core");
        ensure!(user + kernel < 5.0 * f64::from(SLOWNESS), "{user:.1} % user, {kernel:.1} % kernel");
        let host = cluster.lab_ref().host(OWNER);
        let held = host.run(&["ip", "-4", "-o", "addr", "show", "dev", "eth0"])?.matches(" 10.7.").count();
        ensure!(held == 1000, "the owner has {held} of the addresses");
        Ok(())
    })
}

#[test]
fn root_200_routers_of_a_dead_owner_move_together() -> Result<()> {
    with_routers(200, 200, |cluster| {
        let next = cluster.lab_ref().host(NEXT).clone();
        let held = || -> Result<usize> {
            Ok(next.run(&["ip", "-4", "-o", "addr", "show", "dev", "eth0"])?.matches(" 10.7.").count())
        };
        ensure!(held()? == 0, "the next one serves already");
        cluster.kill(OWNER)?;
        let (killed, mut first, mut looked) = (clock::now(), None, clock::now());
        let last = loop {
            // The first was there at some time after the look that did not see it.
            let before = looked;
            looked = clock::now();
            match held()? {
                200 => break clock::now(),
                0 => {}
                _ => drop(first.get_or_insert(before)),
            }
            ensure!(looked - killed < Duration::from_secs(20), "{} of 200 after 20 s", held()?);
            clock::pass(Duration::from_millis(2))?;
        };
        let spread = last - first.unwrap_or(looked);
        println!("200 routers: all taken over {:?} after the kill, {spread:?} after the first", last - killed);
        ensure!(spread < Duration::from_millis(300) * SLOWNESS, "{spread:?} after the first");
        ensure!(last - killed < Duration::from_millis(1200 + 300) * SLOWNESS, "{:?} after the kill", last - killed);
        Ok(())
    })
}

/// More than one value of gossip holds: a director that has no such router knows all of it.
#[test]
fn root_a_router_with_a_thousand_addresses_is_known_to_all_with_each_of_them() -> Result<()> {
    let _turn = Lab::beside()?;
    let mut cluster = settled(Daemon::Mesh)?;
    let run = |cluster: &mut Cluster| -> Result<()> {
        let others = [OWNER, NEXT];
        for name in others {
            let file = cluster.lab_ref().host(name).dir.join("keepalived.conf");
            fs::write(&file, conf(name, 1, 1000)).with_context(|| file.display().to_string())?;
            cluster.signal(name, Signal::SIGHUP)?;
        }
        let third =
            DIRECTORS.iter().map(|(name, _)| *name).find(|name| !others.contains(name)).expect("there are three");
        cluster.wait_status("all addresses, and who has them", Duration::from_secs(30), &[third], |status| {
            let mut routers = status["routers"].as_array().into_iter().flatten();
            routers.any(|router| {
                let known = router["vips"].as_array().into_iter().flatten().filter_map(|vip| vip.as_str());
                let known: std::collections::BTreeSet<&str> = known.collect();
                router["vrid"] == 1 && router["here"] == "none" && router["active"] == OWNER && known.len() == 1000
            })
        })?;
        let explained = cluster.meshctl(third, &["explain", "10.7.4.1"])?;
        ensure!(explained.contains("VI_1") && explained.contains("VRID 1 "), "the last of them is found: {explained}");
        Ok(())
    };
    run(&mut cluster).inspect_err(|_| cluster.lab_ref().save_logs())
}
