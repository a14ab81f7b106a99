//! Virtual services on a kernel without ip_vs, where real servers are judged all the same: OpenSMTPD and dnsmasq as
//! real servers, and a director that alone does not reach its own.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::{Cluster, Daemon, active};
use mesh_lab::conf::{Style, keepalived_conf};
use mesh_lab::{CLIENT, DIRECTORS, Host, JUDGE, Lab, Lifetime, Process, VIP, clock};
use mesh_netns::{NEXT, OWNER};
use serde_json::Value;

/// Some rounds of checks, on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// A mesh, and then everybody's first checks.
const SETTLE: Duration = Duration::from_secs(40);
/// Unfit for ten seconds at least, then back with the next checks.
const BACK: Duration = Duration::from_secs(40);

/// What is asked of the real servers: questions that have an answer, one whose answer is empty, which is an answer,
/// and two that are refused.
const QUESTIONS: [(&str, &str); 4] =
    [("A", "www.example.net"), ("AAAA", "www.example.net"), ("A", "missing.example.net"), ("A", "www.elsewhere.test")];

/// A virtual server for each check, of a server on 10.1.1.12.
fn debian_conf(_: &str) -> String {
    let service = |port: usize, real: u16, protocol: &str, check: &str| {
        format!(
            "virtual_server 10.1.1.100 {port} {{\n delay_loop 1\n lb_algo rr\n lb_kind NAT\n protocol {protocol}\n \
             real_server 10.1.1.12 {real} {{\n{check}\n }}\n}}\n"
        )
    };
    let patience = "retry 1\n delay_before_retry 1\n connect_timeout 2";
    let smtp = service(25, 25, "TCP", &format!("SMTP_CHECK {{\n helo_name lb1.example.net\n {patience}\n}}"));
    let dns = QUESTIONS.iter().enumerate().map(|(index, (kind, name))| {
        service(53 + index, 53, "UDP", &format!("DNS_CHECK {{\n type {kind}\n name {name}\n {patience}\n}}"))
    });
    smtp + &dns.collect::<String>()
}

/// Its socket and its queue are the machine's: it gets a /run and a spool of its own. Nobody answers its own
/// questions about who connects.
const SMTPD: &str = "mount -t tmpfs tmpfs /run
mount -t tmpfs -o mode=711 tmpfs /var/spool/smtpd
echo nameserver 127.0.0.1 >/run/resolv.conf
mount --bind /run/resolv.conf /etc/resolv.conf
cat >/run/smtpd.conf <<END
listen on 10.1.1.12 port 25 hostname mail.example.net
action none relay
match from any for local action none
END
exec smtpd -d -T smtp -f /run/smtpd.conf";

fn smtpd(host: &Host) -> Result<Process> {
    host.spawn("smtpd", &["sh", "-ec", SMTPD])
}

fn dnsmasq(host: &Host) -> Result<Process> {
    let quiet =
        ["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--pid-file"];
    let there = ["--log-facility=-", "--bind-interfaces", "--listen-address=10.1.1.12"];
    let knows = ["--host-record=www.example.net,10.1.1.80", "--local=/example.net/"];
    host.spawn("dnsmasq", &[&["dnsmasq"][..], &quiet, &there, &knows].concat())
}

/// Health of each service's first real server, and what this director says of it.
fn judged(status: &Value, name: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let services = status["services"].as_array().into_iter().flatten();
    let real = services.map(|service| &service["real_servers"][0]);
    real.map(|real| (text(&real["health"]), text(&real["reasons"][name]))).collect()
}

/// Waits until the real servers are like that, each for one of these reasons.
fn wait(cluster: &mut Cluster, expected: [(&str, &str); 5]) -> Result<()> {
    let mut last = Vec::new();
    let waited = clock::wait_for(&format!("{expected:?}"), SOON, || {
        cluster.must_run()?;
        last = judged(&cluster.status(OWNER).unwrap_or_default(), OWNER);
        let fits = last.len() == expected.len()
            && last.iter().zip(expected).all(|((health, why), (wanted, because))| {
                health == wanted && because.split('|').any(|b| why.contains(b) && why.is_empty() == b.is_empty())
            });
        Ok(fits.then_some(()))
    });
    waited.with_context(|| format!("last seen: {last:?}"))
}

#[test]
fn root_smtp_and_dns_servers_of_debian_come_and_go() -> Result<()> {
    let _turn = Lab::beside()?;
    let lab = Lab::new(Lifetime::Lab)?;
    let host = lab.host(NEXT).clone();
    let mut cluster = Cluster::launch_all(lab, &[(OWNER, Daemon::Plain)], &debian_conf)?;
    // A kernel refuses only so many packets a second.
    let refused = ("down", "refused|no answer in 2 s");
    wait(&mut cluster, [refused; 5])?;

    let (smtp, dns) = (smtpd(&host)?, dnsmasq(&host)?);
    let up = ("up", "");
    let denied = [("down", "NXDOMAIN (error 3)"), ("down", "REFUSED (error 5)")];
    wait(&mut cluster, [up, up, up, denied[0], denied[1]])?;
    let said = std::fs::read_to_string(smtp.log())?;
    ensure!(said.contains("<<< HELO lb1.example.net"), "the configured name: {said}");

    drop(smtp);
    wait(&mut cluster, [refused, up, up, denied[0], denied[1]])?;
    let smtp = smtpd(&host)?;
    drop(dns);
    wait(&mut cluster, [up, refused, refused, refused, refused])?;
    let _dns = dnsmasq(&host)?;
    wait(&mut cluster, [up, up, up, denied[0], denied[1]])?;
    smtp.signal(nix::sys::signal::Signal::SIGTERM)?;
    wait(&mut cluster, [refused, up, up, denied[0], denied[1]])
}

/// Real servers on the client and on the judge, checked every second.
fn pool_conf(name: &str) -> String {
    let real = |last: u8| {
        format!(
            " real_server 10.1.1.{last} 8080 {{\n  TCP_CHECK {{\n   connect_timeout 1\n   retry 1\n   \
             delay_before_retry 1\n  }}\n }}\n"
        )
    };
    let pool = format!("delay_loop 1\n lb_algo rr\n lb_kind DR\n protocol TCP\n{}{}", real(50), real(51));
    format!("{}\nvirtual_server {VIP} 8080 {{\n {pool}}}\n", keepalived_conf(name, Style::V2))
}

/// How many real servers a director uses.
fn used(status: &Value) -> usize {
    let real = status["services"][0]["real_servers"].as_array();
    real.into_iter().flatten().filter(|real| real["health"] == "up").count()
}

#[test]
fn root_a_director_that_alone_reaches_no_real_server_hands_over() -> Result<()> {
    let _turn = Lab::beside()?;
    let lab = Lab::new(Lifetime::Lab)?;
    let owner = lab.host(OWNER).clone();
    let serve = |name: &str| lab.host(name).spawn("http", &["python3", "-m", "http.server", "8080"]);
    let web = [serve(CLIENT)?, serve(JUDGE)?];
    let mut cluster = Cluster::launch_all(lab, &DIRECTORS.map(|(name, _)| (name, Daemon::Mesh)), &pool_conf)?;
    web.into_iter().for_each(|server| cluster.adopt(server));
    let hands_over = hands_over(&mut cluster, &owner);
    hands_over.inspect_err(|_| cluster.lab_ref().save_logs())
}

fn hands_over(cluster: &mut Cluster, owner: &Host) -> Result<()> {
    let all = DIRECTORS.map(|(name, _)| name);
    // Everybody has seen both, and knows that the others have.
    cluster.wait_status("the worthiest serves, and all reach both", SETTLE, &all, |status| {
        let real = status["services"][0]["real_servers"].as_array();
        let seen = |real: &Value| all.iter().all(|name| real["seen_by"][*name] == "up");
        active(status) == Some(OWNER) && real.is_some_and(|real| real.len() == 2 && real.iter().all(seen))
    })?;

    let begin = clock::now();
    for last in [50, 51] {
        owner.run(&["ip", "route", "add", "unreachable", &format!("10.1.1.{last}/32")])?;
    }
    let mut fewest = 2;
    clock::wait_for("the next one serves", SOON, || {
        cluster.must_run()?;
        let seen = all.map(|name| cluster.status(name));
        for status in seen.iter().flatten() {
            fewest = fewest.min(used(status));
        }
        Ok(seen.iter().all(|status| status.as_ref().is_ok_and(|s| active(s) == Some(NEXT))).then_some(()))
    })?;
    println!("handed over after {:?}", clock::now() - begin);
    ensure!(cluster.holders()? == [NEXT], "the address is where the map says: {:?}", cluster.holders()?);
    ensure!(fewest == 2, "somebody's pool shrank to {fewest}");

    // One of them may have been enough.
    let events = cluster.meshctl(OWNER, &["events"])?;
    let why = events.lines().find_map(|line| line.split_once(&format!("VI_1: backup: handed over to {NEXT}: ")));
    let (_, why) = why.with_context(|| events.clone())?;
    ensure!(why.starts_with(&format!("{OWNER} does not reach ")), "{why}");
    ensure!(why.contains(&format!(" of 2 real servers of {VIP}:8080/tcp; ")), "{why}");
    // It stays so, with everybody's pool.
    clock::pass(Duration::from_secs(3))?;
    let services = cluster.meshctl(OWNER, &["services"])?;
    let why = format!("better served elsewhere: {OWNER} does not reach 2 of 2 real servers of {VIP}:8080/tcp; ");
    ensure!(services.contains(&why), "{services}");
    for name in all {
        let status = cluster.status(name)?;
        ensure!(active(&status) == Some(NEXT) && used(&status) == 2, "{name}: {status}");
    }

    for last in [50, 51] {
        owner.run(&["ip", "route", "del", "unreachable", &format!("10.1.1.{last}/32")])?;
    }
    cluster.wait_status("it is back", BACK, &all, |status| active(status) == Some(OWNER) && used(status) == 2)
}
