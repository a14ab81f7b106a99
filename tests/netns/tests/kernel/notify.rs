//! What keepalived 2.2.7 and meshd tell of the same life, line by line: scripts, FIFO lines, the scripts of the start
//! and the end. They run side by side, each with a VRID of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use mesh_lab::cluster::{Cluster, Daemon};
use mesh_lab::{CLIENT, Host, Lab, Lifetime, Process, clock};
use mesh_wire::vrrp::{Advertisement, Authentication, ChecksumForm, GROUP, IP_PROTOCOL, Interval, TTL, Version, emit};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

const THEIRS: &str = "lb1";
const OURS: &str = "lb2";
const BOTH: [&str; 2] = [THEIRS, OURS];

/// Three adverts, the skew, and a busy machine.
const SOON: Duration = Duration::from_secs(15);

fn vrid(name: &str) -> u8 {
    if name == THEIRS { 61 } else { 62 }
}

fn vip(name: &str) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, 1, vrid(name))
}

/// What a host's scripts and FIFO have said.
struct Record {
    host: Host,
    _readers: Vec<Process>,
}

impl Record {
    fn file(&self, name: &str) -> PathBuf {
        self.host.dir.join(name)
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.file(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn conf(host: &Host) -> String {
    let (dir, vrid, vip) = (host.dir.display(), vrid(&host.name), vip(&host.name));
    format!(
        "global_defs {{\n script_user root\n vrrp_notify_fifo {dir}/fifo\n notify_fifo {dir}/all daemon daemon\n \
         notify_fifo_script \"{dir}/follow to {dir}/followed\"\n vrrp_notify_priority_changes on\n \
         startup_script \"{dir}/said startup\"\n shutdown_script \"{dir}/said shutdown\"\n}}\n\
         vrrp_script up {{\n script \"/usr/bin/test ! -e {dir}/down\"\n interval 1\n weight -10\n}}\n\
         vrrp_instance VI_1 {{\n interface eth0\n state BACKUP\n virtual_router_id {vrid}\n priority 150\n \
         virtual_ipaddress {{\n  {vip}/24\n }}\n track_script {{\n  up\n }}\n notify \"{dir}/said any it\"\n \
         notify_master \"{dir}/said master\"\n notify_backup \"{dir}/said backup\"\n notify_fault \"{dir}/said fault\"\n \
         notify_stop \"{dir}/said stop\"\n notify_deleted \"{dir}/said deleted\"\n \
         notify_master_rx_lower_pri \"{dir}/said lower\"\n}}\n"
    )
}

/// The scripts of a host, and who reads its FIFO.
fn prepare(host: &Host) -> Result<Record> {
    let dir = host.dir.display();
    let install = |name: &str, text: String| -> Result<()> {
        fs::write(host.dir.join(name), text)?;
        Ok(fs::set_permissions(host.dir.join(name), fs::Permissions::from_mode(0o755))?)
    };
    install("said", format!("#!/bin/sh\necho \"$*\" >> {dir}/scripts\n"))?;
    install("follow", "#!/bin/sh\nexec cat \"$3\" >> \"$2\"\n".to_owned())?;
    // A FIFO that is not there yet is waited for; one that is done is read no more.
    let read = format!("until test -p {dir}/fifo; do sleep 0.01; done; exec cat {dir}/fifo >> {dir}/lines");
    let reader = host.spawn("reader", &["/bin/sh", "-c", &read])?;
    Ok(Record { host: host.clone(), _readers: vec![reader] })
}

/// One advert of a lower priority for each of them.
fn send_lower(host: &Host) -> Result<()> {
    let host = host.clone();
    let thread = std::thread::spawn(move || -> Result<()> {
        host.enter()?;
        for name in BOTH {
            let packet = Advertisement {
                vrid: vrid(name),
                priority: 50,
                interval: Interval::new(Version::V2, Duration::from_secs(1)).context("a second is an interval")?,
                addresses: vec![vip(name).into()],
                auth: Authentication::None,
            };
            let payload = emit(&packet, host.address, GROUP, ChecksumForm::Message);
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(i32::from(IP_PROTOCOL))))?;
            socket.set_multicast_ttl_v4(TTL.into())?;
            socket.set_multicast_if_v4(&host.address)?;
            let sent = socket.send_to(&payload, &SockAddr::from(SocketAddrV4::new(GROUP, 0)))?;
            ensure!(sent == payload.len(), "cut short");
        }
        Ok(())
    });
    thread.join().map_err(|_| anyhow!("the sender panicked"))?
}

/// Waits until both have said this line, and gives what each has said to it; scripts of keepalived run at the same
/// time, so that those of one moment are put in order.
fn said(records: &[Record; 2], file: &str, last: &str) -> Result<()> {
    for record in records {
        let what = format!("{} says {last}", record.host.name);
        let told = || Ok(record.lines(file).iter().any(|line| line == last).then_some(()));
        clock::wait_for(&what, SOON, told).with_context(|| format!("{:?}", record.lines(file)))?;
    }
    Ok(())
}

#[test]
fn root_notifications_are_keepalived_s_line_by_line() -> Result<()> {
    let _turn = Lab::beside()?;
    let lab = Lab::with_directors(Lifetime::Lab, 2)?;
    let records = [prepare(lab.host(THEIRS))?, prepare(lab.host(OURS))?];
    let confs = BOTH.map(|name| (name, conf(lab.host(name))));
    let text = |name: &str| confs.iter().find(|(known, _)| *known == name).map_or_else(String::new, |(_, t)| t.clone());
    let daemons = [(THEIRS, Daemon::Keepalived), (OURS, Daemon::Plain)];
    let mut cluster = Cluster::launch_all(lab, &daemons, &text)?;
    let lived = live(&mut cluster, &records);
    lived.inspect_err(|_| cluster.lab_ref().save_logs())
}

fn live(cluster: &mut Cluster, records: &[Record; 2]) -> Result<()> {
    let link = |state: &str| -> Result<()> {
        let set = |record: &Record| record.host.run(&["ip", "link", "set", "eth0", state]).map(drop);
        records.iter().try_for_each(set)
    };
    let line = |what: &str| format!("INSTANCE \"VI_1\" {what}");
    // How many there are once each moment is over.
    let mut moments: Vec<Vec<usize>> = Vec::new();
    let mut moment = |script: &str| -> Result<()> {
        said(records, "scripts", script)?;
        clock::pass(Duration::from_millis(300))?;
        moments.push(records.iter().map(|record| record.lines("scripts").len()).collect());
        Ok(())
    };
    moment("any it INSTANCE VI_1 BACKUP 150")?;
    moment("any it INSTANCE VI_1 MASTER 150")?;
    send_lower(cluster.lab_ref().host(CLIENT))?;
    moment("lower")?;
    records.iter().try_for_each(|record| fs::write(record.file("down"), ""))?;
    said(records, "lines", &line("MASTER_PRIORITY 140"))?;
    link("down")?;
    moment("any it INSTANCE VI_1 FAULT 140")?;
    link("up")?;
    moment("any it INSTANCE VI_1 BACKUP 140")?;
    moment("any it INSTANCE VI_1 MASTER 140")?;
    records.iter().try_for_each(|record| fs::remove_file(record.file("down")))?;
    let again = line("MASTER_PRIORITY 150");
    said(records, "lines", &again)?;
    for name in BOTH {
        cluster.stop(name)?;
    }
    moment("shutdown")?;

    let [theirs, ours] = records;
    let lines = [
        "BACKUP 150",
        "MASTER 150",
        "MASTER_RX_LOWER_PRI 150",
        "MASTER_PRIORITY 140",
        "FAULT 140",
        "BACKUP 140",
        "MASTER 140",
        "MASTER_PRIORITY 150",
        "STOP 150",
    ]
    .map(line);
    ensure!(theirs.lines("lines") == lines, "keepalived: {:?}", theirs.lines("lines"));
    ensure!(ours.lines("lines") == lines, "meshd: {:?}", ours.lines("lines"));
    // keepalived ends its reader as it stops; ours reads to the end.
    ensure!(ours.lines("followed") == lines, "followed: {:?}", ours.lines("followed"));
    let followed = theirs.lines("followed");
    ensure!(lines.starts_with(&followed) && followed.len() >= lines.len() - 1, "keepalived: {followed:?}");

    let scripts = [
        "startup",
        "backup",
        "any it INSTANCE VI_1 BACKUP 150",
        "master",
        "any it INSTANCE VI_1 MASTER 150",
        "lower",
        "fault",
        "any it INSTANCE VI_1 FAULT 140",
        "backup",
        "any it INSTANCE VI_1 BACKUP 140",
        "master",
        "any it INSTANCE VI_1 MASTER 140",
        "stop",
        "any it INSTANCE VI_1 STOP 150",
        "shutdown",
    ];
    ensure!(ours.lines("scripts") == scripts, "meshd: {:?}", ours.lines("scripts"));
    // The generic one comes last, and keepalived waits for neither: those of one moment in any order.
    let in_order = |record: &Record, place: usize| {
        let all = record.lines("scripts");
        let mut start = 0;
        let mut sorted = Vec::new();
        for counts in &moments {
            let mut part = all[start..counts[place]].to_vec();
            part.sort();
            sorted.extend(part);
            start = counts[place];
        }
        sorted
    };
    ensure!(in_order(theirs, 0) == in_order(ours, 1), "keepalived: {:?}", theirs.lines("scripts"));
    for record in records {
        ensure!(!record.file("fifo").exists() && !record.file("all").exists(), "FIFOs of {} stay", record.host.name);
    }
    Ok(())
}

/// The same two, each with a group of two routers, of which the group alone tells.
fn group_conf(host: &Host) -> String {
    let (dir, vrid, vip) = (host.dir.display(), vrid(&host.name), vip(&host.name).octets());
    let instance = |name: &str, more: u8| {
        format!(
            "vrrp_instance {name} {{\n interface eth0\n state BACKUP\n virtual_router_id {}\n priority 150\n \
             virtual_ipaddress {{\n  10.1.1.{}/24\n }}\n}}\n",
            vrid + more,
            vip[3] + more
        )
    };
    format!(
        "global_defs {{\n script_user root\n vrrp_notify_fifo {dir}/fifo\n}}\n{}{}\
         vrrp_sync_group G {{\n group {{\n  VI_1\n  VI_2\n }}\n notify \"{dir}/said any\"\n \
         notify_master \"{dir}/said master\"\n notify_backup \"{dir}/said backup\"\n \
         notify_fault \"{dir}/said fault\"\n notify_stop \"{dir}/said stop\"\n}}\n",
        instance("VI_1", 0),
        instance("VI_2", 2)
    )
}

#[test]
fn root_notifications_of_a_group_are_keepalived_s_line_by_line() -> Result<()> {
    let _turn = Lab::beside()?;
    let lab = Lab::with_directors(Lifetime::Lab, 2)?;
    let records = [prepare(lab.host(THEIRS))?, prepare(lab.host(OURS))?];
    let confs = BOTH.map(|name| (name, group_conf(lab.host(name))));
    let text = |name: &str| confs.iter().find(|(known, _)| *known == name).map_or_else(String::new, |(_, t)| t.clone());
    let daemons = [(THEIRS, Daemon::Keepalived), (OURS, Daemon::Plain)];
    let mut cluster = Cluster::launch_all(lab, &daemons, &text)?;
    let lived = live_as_a_group(&mut cluster, &records);
    lived.inspect_err(|_| cluster.lab_ref().save_logs())
}

fn live_as_a_group(cluster: &mut Cluster, records: &[Record; 2]) -> Result<()> {
    let link = |state: &str| -> Result<()> {
        records.iter().try_for_each(|record| record.host.run(&["ip", "link", "set", "eth0", state]).map(drop))
    };
    // Every script and line of one state, before the next begins.
    let times = |state: &str, count: usize| {
        let line = format!("any GROUP G {state} 0");
        for record in records {
            let told = || Ok((record.lines("scripts").iter().filter(|l| **l == line).count() == count).then_some(()));
            clock::wait_for(&format!("{} says {line}", record.host.name), SOON, told)
                .with_context(|| format!("{:?}", record.lines("scripts")))?;
        }
        clock::pass(Duration::from_millis(300))
    };
    times("MASTER", 1)?;
    link("down")?;
    times("FAULT", 1)?;
    link("up")?;
    times("MASTER", 2)?;
    for name in BOTH {
        cluster.stop(name)?;
    }
    times("STOP", 1)?;
    // Of one moment, keepalived waits for none of its scripts.
    let paired = |record: &Record| {
        let mut lines = record.lines("scripts");
        lines.chunks_mut(2).for_each(<[String]>::sort);
        lines
    };
    let [theirs, ours] = records;
    ensure!(paired(theirs) == paired(ours), "{:#?}\nmeshd: {:#?}", theirs.lines("scripts"), ours.lines("scripts"));
    let of_groups = |record: &Record| -> Vec<String> {
        record.lines("lines").into_iter().filter(|line| line.starts_with("GROUP")).collect()
    };
    ensure!(of_groups(theirs) == of_groups(ours), "{:#?}\nmeshd: {:#?}", of_groups(theirs), of_groups(ours));
    ensure!(of_groups(ours).len() >= 5, "{:?}", of_groups(ours));
    Ok(())
}
