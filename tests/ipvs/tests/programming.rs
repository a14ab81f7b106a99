//! Every setting, written by us, and read by ipvsadm and by us.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use mesh_config::model::Protocol;
use mesh_core::ipvs::{
    Change, Destination, Forwarding, GueChecksum, Netmask, Persistence, Pool, SchedulerFlags, Service, SyncDaemon,
    SyncRole, Table, Timeouts, Tunnel, reconcile,
};
use mesh_ipvs::values::{all_of, by, key, mark, pool, service, sync, tcp, to, udp};
use mesh_ipvs::{inside, ipvsadm};
use mesh_wire::mesh::Family;
use meshd::kernel::ipvs::{Ipvs, IpvsError};

/// All of these come about.
fn apply(ipvs: &mut Ipvs, changes: &[Change]) -> Result<()> {
    let results = ipvs.apply(changes)?;
    ensure!(results.len() == changes.len(), "{} answers to {} changes", results.len(), changes.len());
    for (change, result) in changes.iter().zip(results) {
        result.with_context(|| format!("{change:?}"))?;
    }
    Ok(())
}

/// One change that does not, and what is said about it.
fn refused(ipvs: &mut Ipvs, change: Change) -> Result<String> {
    match ipvs.apply(&[change])?.pop() {
        Some(Err(refusal)) => Ok(refusal.to_string()),
        other => bail!("{other:?} instead of a refusal"),
    }
}

/// Makes a table, and wants ipvsadm to show exactly these commands, and us to find what was made.
fn shows(table: Table, commands: &[&str]) -> Result<()> {
    let mut ipvs = Ipvs::open()?;
    apply(&mut ipvs, &all_of(&table))?;
    let mut commands: Vec<_> = commands.to_vec();
    commands.sort_unstable();
    assert_eq!(ipvsadm::sorted()?, commands);
    assert_eq!(ipvs.table()?, table);
    Ok(())
}

/// Upper and lower threshold of a destination, which `-S` does not show.
fn thresholds(destination: &str) -> Result<Vec<String>> {
    let shown = ipvsadm::ipvsadm(&["-L", "-n", "--thresholds"])?;
    let line = shown.lines().find(|line| line.contains(destination)).with_context(|| format!("not there: {shown}"))?;
    Ok(line.split_whitespace().skip(2).take(2).map(str::to_owned).collect())
}

fn alone(service: Service) -> Pool {
    Pool { service, destinations: Default::default() }
}

fn persistent(scheduler: &str, timeout: u32, netmask: Netmask) -> Pool {
    alone(Service { persistence: Some(Persistence { timeout, netmask }), ..service(scheduler) })
}

#[test]
fn root_services_of_every_kind() -> Result<()> {
    inside(|| {
        let one_packet = Service { one_packet: true, ..service("rr") };
        let sip = Service {
            persistence: Some(Persistence { timeout: 60, netmask: Netmask::host(Family::Ipv4) }),
            persistence_engine: Some("sip".into()),
            ..service("rr")
        };
        let table = [
            (tcp("10.0.0.1:80"), alone(service("wrr"))),
            (udp("10.0.0.1:80"), alone(one_packet)),
            (key("10.0.0.1:80", Protocol::Sctp), alone(service("lc"))),
            (tcp("[2001:db8::1]:80"), alone(service("wlc"))),
            (mark(1, Family::Ipv4), alone(service("rr"))),
            (mark(1, Family::Ipv6), alone(service("rr"))),
            (mark(0x7000_0002, Family::Ipv4), alone(service("rr"))),
            (tcp("10.0.0.2:0"), persistent("rr", 300, Netmask::host(Family::Ipv4))),
            (tcp("10.0.0.3:80"), persistent("rr", 50, Netmask::Ipv4(Ipv4Addr::new(255, 255, 255, 0)))),
            (tcp("[2001:db8::3]:80"), persistent("rr", 3600, Netmask::Ipv6(64))),
            (tcp("[2001:db8::4]:80"), persistent("rr", 1, Netmask::Ipv6(128))),
            (udp("10.0.0.1:5060"), alone(sip)),
        ];
        shows(
            table.into(),
            &[
                "-A -t 10.0.0.1:80 -s wrr",
                "-A -u 10.0.0.1:80 -s rr -o",
                "-A --sctp-service 10.0.0.1:80 -s lc",
                "-A -t [2001:db8::1]:80 -s wlc",
                "-A -f 1 -s rr",
                "-A -f 1 -6 -s rr",
                "-A -f 1879048194 -s rr",
                "-A -t 10.0.0.2:0 -s rr -p 300",
                "-A -t 10.0.0.3:80 -s rr -p 50 -M 255.255.255.0",
                "-A -t [2001:db8::3]:80 -s rr -p 3600 -M 64",
                "-A -t [2001:db8::4]:80 -s rr -p 1",
                "-A -u 10.0.0.1:5060 -s rr -p 60 --pe sip",
            ],
        )
    })
}

#[test]
fn root_destinations_of_every_kind() -> Result<()> {
    inside(|| {
        let tunnel = |tunnel| by(Forwarding::Tunnel(tunnel));
        let gue = |checksum| tunnel(Tunnel::Gue { port: 6080, checksum });
        let limited = Destination { weight: 65535, upper_threshold: 20, lower_threshold: 10, ..by(Forwarding::Nat) };
        let destinations = [
            (to("10.1.0.1:8080"), by(Forwarding::Nat)),
            (to("10.1.0.2:80"), by(Forwarding::DirectRouting)),
            (to("10.1.0.3:80"), tunnel(Tunnel::Ipip)),
            (to("10.1.0.4:80"), gue(GueChecksum::None)),
            (to("10.1.0.5:80"), gue(GueChecksum::Full)),
            (to("10.1.0.6:80"), gue(GueChecksum::Remote)),
            (to("10.1.0.7:80"), tunnel(Tunnel::Gre { checksum: false })),
            (to("10.1.0.8:80"), tunnel(Tunnel::Gre { checksum: true })),
            (to("10.1.0.9:80"), limited),
            (to("10.1.0.10:80"), Destination { weight: 0, ..by(Forwarding::DirectRouting) }),
            (to("[2001:db8::9]:80"), tunnel(Tunnel::Ipip)),
        ];
        let six = [(to("[2001:db8::2]:8080"), by(Forwarding::Nat)), (to("10.1.0.3:80"), tunnel(Tunnel::Ipip))];
        let table = [
            (tcp("10.0.0.1:80"), Pool { service: service("wrr"), destinations: destinations.into() }),
            (tcp("[2001:db8::1]:80"), Pool { service: service("rr"), destinations: six.into() }),
            (mark(3, Family::Ipv4), pool("rr", by(Forwarding::DirectRouting), &["10.1.0.1:0"])),
        ];
        shows(
            table.into(),
            &[
                "-A -t 10.0.0.1:80 -s wrr",
                "-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 1",
                "-a -t 10.0.0.1:80 -r 10.1.0.2:80 -g -w 1",
                "-a -t 10.0.0.1:80 -r 10.1.0.3:80 -i -w 1 --tun-type ipip",
                "-a -t 10.0.0.1:80 -r 10.1.0.4:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum",
                "-a -t 10.0.0.1:80 -r 10.1.0.5:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum",
                "-a -t 10.0.0.1:80 -r 10.1.0.6:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-remcsum",
                "-a -t 10.0.0.1:80 -r 10.1.0.7:80 -i -w 1 --tun-type gre --tun-nocsum",
                "-a -t 10.0.0.1:80 -r 10.1.0.8:80 -i -w 1 --tun-type gre --tun-csum",
                "-a -t 10.0.0.1:80 -r 10.1.0.9:80 -m -w 65535",
                "-a -t 10.0.0.1:80 -r 10.1.0.10:80 -g -w 0",
                "-a -t 10.0.0.1:80 -r [2001:db8::9]:80 -i -w 1 --tun-type ipip",
                "-A -t [2001:db8::1]:80 -s rr",
                "-a -t [2001:db8::1]:80 -r [2001:db8::2]:8080 -m -w 1",
                "-a -t [2001:db8::1]:80 -r 10.1.0.3:80 -i -w 1 --tun-type ipip",
                "-A -f 3 -s rr",
                "-a -f 3 -r 10.1.0.1:0 -g -w 1",
            ],
        )?;
        assert_eq!(thresholds("10.1.0.9:80")?, ["20", "10"]);
        Ok(())
    })
}

#[test]
fn root_every_scheduler_with_its_flags() -> Result<()> {
    inside(|| {
        let flags = |flag1, flag2, flag3| SchedulerFlags { flag1, flag2, flag3 };
        let with = |scheduler: &str, scheduler_flags| Service { scheduler_flags, ..service(scheduler) };
        let services = [
            (service("rr"), "rr"),
            (service("wrr"), "wrr"),
            (service("lc"), "lc"),
            (service("wlc"), "wlc"),
            (service("lblc"), "lblc"),
            (service("lblcr"), "lblcr"),
            (service("dh"), "dh"),
            (service("sh"), "sh"),
            (service("sed"), "sed"),
            (service("nq"), "nq"),
            (service("fo"), "fo"),
            (service("ovf"), "ovf"),
            (service("mh"), "mh"),
            (with("sh", flags(true, false, false)), "sh -b sh-fallback"),
            (with("sh", flags(true, true, false)), "sh -b sh-fallback,sh-port"),
            (with("mh", flags(false, true, false)), "mh -b mh-port"),
            (with("mh", flags(true, true, false)), "mh -b mh-fallback,mh-port"),
            (with("rr", flags(true, false, true)), "rr -b flag-1,flag-3"),
        ];
        // Made anew, each at an address of its own.
        let at = |index: usize| format!("10.0.{index}.1:80");
        let nat = by(Forwarding::Nat);
        let each = services.iter().enumerate();
        let table: Table = each
            .clone()
            .map(|(index, (service, _))| {
                let pool = Pool { service: service.clone(), ..pool("rr", nat, &["10.1.0.1:80", "10.1.0.2:80"]) };
                (tcp(&at(index)), pool)
            })
            .collect();
        let commands = each.flat_map(|(index, (_, words))| {
            let at = at(index);
            let destination = |last| format!("-a -t {at} -r 10.1.0.{last}:80 -m -w 1");
            [format!("-A -t {at} -s {words}"), destination(1), destination(2)]
        });
        let commands: Vec<_> = commands.collect();
        shows(table, &commands.iter().map(String::as_str).collect::<Vec<_>>())?;

        // One service that changes from each to the next; its destinations stay.
        let mut ipvs = Ipvs::open()?;
        for (service, words) in &services {
            apply(&mut ipvs, &[Change::EditService { key: tcp(&at(0)), service: service.clone() }])?;
            let expected = [
                format!("-A -t {} -s {words}", at(0)),
                format!("-a -t {} -r 10.1.0.1:80 -m -w 1", at(0)),
                format!("-a -t {} -r 10.1.0.2:80 -m -w 1", at(0)),
            ];
            let shown: Vec<_> = ipvsadm::sorted()?.into_iter().filter(|line| line.contains(&at(0))).collect();
            assert_eq!(shown, expected);
        }
        Ok(())
    })
}

#[test]
fn root_edits_reach_every_setting() -> Result<()> {
    inside(|| {
        let (key, server) = (tcp("10.0.0.1:80"), to("10.1.0.1:80"));
        let mut ipvs = Ipvs::open()?;
        let before: Table = [(key, pool("rr", by(Forwarding::Nat), &["10.1.0.1:80"]))].into();
        apply(&mut ipvs, &all_of(&before))?;

        let netmask = Netmask::Ipv4(Ipv4Addr::new(255, 255, 0, 0));
        let changed = Service { persistence: Some(Persistence { timeout: 9, netmask }), ..service("wlc") };
        let tunnel = Forwarding::Tunnel(Tunnel::Gue { port: 1, checksum: GueChecksum::Full });
        let destination = Destination { weight: 7, forwarding: tunnel, upper_threshold: 3, lower_threshold: 2 };
        let after: Table = [(key, Pool { service: changed, destinations: [(server, destination)].into() })].into();
        let there = reconcile::table(&after, &ipvs.table()?, &BTreeSet::new());
        assert_eq!(there.len(), 2, "an edit of each: {there:?}");
        apply(&mut ipvs, &there)?;
        assert_eq!(ipvs.table()?, after);
        assert_eq!(
            ipvsadm::save()?,
            [
                "-A -t 10.0.0.1:80 -s wlc -p 9 -M 255.255.0.0",
                "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -i -w 7 --tun-type gue --tun-port 1 --tun-csum"
            ]
        );

        assert_eq!(thresholds("10.1.0.1:80")?, ["3", "2"]);

        let back = reconcile::table(&before, &ipvs.table()?, &BTreeSet::new());
        apply(&mut ipvs, &back)?;
        assert_eq!(ipvs.table()?, before);
        assert_eq!(ipvsadm::save()?, ["-A -t 10.0.0.1:80 -s rr", "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1"]);
        Ok(())
    })
}

#[test]
fn root_services_of_others_stay_and_wanted_ones_are_adopted() -> Result<()> {
    inside(|| {
        ipvsadm::restore(
            "-A -t 10.0.0.9:80 -s lc\n-a -t 10.0.0.9:80 -r 10.1.0.9:80 -m -w 9\n\
             -A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1\n-a -t 10.0.0.1:80 -r 10.1.0.3:80 -m -w 1\n",
        )?;
        let mut ipvs = Ipvs::open()?;
        let nat = by(Forwarding::Nat);
        let mut wanted: Table = [
            (tcp("10.0.0.1:80"), pool("rr", nat, &["10.1.0.1:80", "10.1.0.2:80"])),
            (tcp("10.0.0.2:80"), pool("rr", nat, &["10.1.0.1:80"])),
        ]
        .into();
        let ours: BTreeSet<_> = wanted.keys().copied().collect();
        let changes = reconcile::table(&wanted, &ipvs.table()?, &ours);
        assert_eq!(changes.len(), 4, "what was there already is kept: {changes:?}");
        apply(&mut ipvs, &changes)?;
        let foreign = ["-A -t 10.0.0.9:80 -s lc", "-a -t 10.0.0.9:80 -r 10.1.0.9:80 -m -w 9"];
        let expected = [
            "-A -t 10.0.0.1:80 -s rr",
            "-A -t 10.0.0.2:80 -s rr",
            foreign[0],
            "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1",
            "-a -t 10.0.0.1:80 -r 10.1.0.2:80 -m -w 1",
            "-a -t 10.0.0.2:80 -r 10.1.0.1:80 -m -w 1",
            foreign[1],
        ];
        assert_eq!(ipvsadm::sorted()?, expected);
        assert_eq!(reconcile::table(&wanted, &ipvs.table()?, &ours), []);

        wanted.clear();
        let changes = reconcile::table(&wanted, &ipvs.table()?, &ours);
        apply(&mut ipvs, &changes)?;
        assert_eq!(ipvsadm::save()?, foreign);
        Ok(())
    })
}

#[test]
fn root_refusals_are_clear_and_stop_nothing() -> Result<()> {
    inside(|| {
        let mut ipvs = Ipvs::open()?;
        let key = tcp("10.0.0.1:80");
        let add = |scheduler: &str| Change::AddService { key, service: service(scheduler) };
        let destination = |at: &str, destination| Change::AddDestination { service: key, key: to(at), destination };
        let nat = by(Forwarding::Nat);

        // In one batch: what is refused neither stops the rest nor is taken for it.
        let results = ipvs.apply(&[
            destination("10.1.0.1:80", nat),
            add("xx"),
            add("rr"),
            add("rr"),
            destination("10.1.0.1:80", nat),
            destination("10.1.0.1:80", nat),
            add("a-name-of-16-byt"),
            destination("10.1.0.2:80", nat),
        ])?;
        let results: Vec<_> = results.into_iter().map(|r| r.map_err(|refusal| refusal.to_string())).collect();
        let no = |text: &str| Err(text.to_owned());
        let expected = [
            no("there is no service 10.0.0.1:80/tcp"),
            no("the kernel has no scheduler `xx`"),
            Ok(()),
            no("there is a service 10.0.0.1:80/tcp already"),
            Ok(()),
            no("the service has a destination 10.1.0.1:80 already"),
            no("`a-name-of-16-byt` names no scheduler: 1 to 15 bytes, none of them zero"),
            Ok(()),
        ];
        assert_eq!(results, expected);
        assert_eq!(ipvs.table()?, [(key, pool("rr", nat, &["10.1.0.1:80", "10.1.0.2:80"]))].into());

        assert_eq!(
            refused(&mut ipvs, Change::DeleteDestination { service: key, key: to("10.1.0.9:80") })?,
            "the service has no destination 10.1.0.9:80"
        );
        let delete = Change::DeleteService { key: tcp("10.0.0.2:80") };
        assert_eq!(refused(&mut ipvs, delete)?, "there is no service 10.0.0.2:80/tcp");
        let thresholds = Destination { upper_threshold: 1, lower_threshold: 2, ..nat };
        assert_eq!(
            refused(&mut ipvs, destination("10.1.0.3:80", thresholds))?,
            "weight or thresholds out of range: the lower threshold may not be above the upper one"
        );
        let group = refused(&mut ipvs, destination("224.0.0.1:80", nat))?;
        assert!(group.starts_with("the kernel does not take 224.0.0.1:80 as a destination"), "{group}");
        let engine = Service { persistence_engine: Some("yy".into()), ..service("rr") };
        assert_eq!(
            refused(&mut ipvs, Change::EditService { key, service: engine })?,
            "the kernel has no scheduler `rr` or no persistence engine `yy`"
        );
        assert_eq!(ipvs.table()?.len(), 1);
        Ok(())
    })
}

#[test]
fn root_a_missing_privilege_is_named() -> Result<()> {
    const UNPRIVILEGED: &str = "MESH_UNPRIVILEGED";
    if std::env::var_os(UNPRIVILEGED).is_some() {
        return match Ipvs::open() {
            Err(error @ IpvsError::NotPermitted) => {
                assert_eq!(error.to_string(), "not permitted: virtual services need CAP_NET_ADMIN");
                Ok(())
            }
            other => bail!("{:?} instead of a refusal", other.err()),
        };
    }
    inside(|| {
        Ipvs::open()?;
        let status = Command::new("setpriv")
            .args(["--reuid", "nobody", "--clear-groups"])
            .arg(std::env::current_exe()?)
            .args(["--exact", "root_a_missing_privilege_is_named"])
            .env(UNPRIVILEGED, "1")
            .status()?;
        ensure!(status.success(), "without privileges: {status}");
        Ok(())
    })
}

#[test]
fn root_timeouts() -> Result<()> {
    inside(|| {
        let mut ipvs = Ipvs::open()?;
        assert_eq!(ipvs.timeouts()?, Timeouts { tcp: 900, tcp_fin: 120, udp: 300 }, "the kernel's defaults");
        apply(&mut ipvs, &[Change::SetTimeouts(Timeouts { tcp: 100, tcp_fin: 20, udp: 3 })])?;
        assert_eq!(ipvsadm::ipvsadm(&["-L", "--timeout"])?, "Timeout (tcp tcpfin udp): 100 20 3\n");
        apply(&mut ipvs, &[Change::SetTimeouts(Timeouts { tcp: 0, tcp_fin: 30, udp: 0 })])?;
        assert_eq!(ipvs.timeouts()?, Timeouts { tcp: 100, tcp_fin: 30, udp: 3 }, "zero leaves one as it is");
        Ok(())
    })
}

#[test]
fn root_synchronisation_daemons_start_and_stop() -> Result<()> {
    inside(|| {
        let status = Command::new("sh")
            .args(["-ec", "ip link add eth0 type veth peer name eth1; ip addr add 10.9.0.1/24 dev eth0; ip link set eth0 up; ip link set eth1 up"])
            .status()?;
        ensure!(status.success(), "veth: {status}");
        let mut ipvs = Ipvs::open()?;
        assert_eq!(ipvs.sync_daemons()?, [].into());
        let master = sync(SyncRole::Master, "eth0");
        let backup = SyncDaemon {
            id: 7,
            maxlen: Some(1400),
            group: Some(Ipv4Addr::new(224, 0, 0, 90).into()),
            port: Some(8850),
            ttl: Some(3),
            ..sync(SyncRole::Backup, "eth0")
        };
        let wanted = [(SyncRole::Master, master.clone()), (SyncRole::Backup, backup.clone())].into();
        let ours = [SyncRole::Master, SyncRole::Backup].into();
        let start = reconcile::sync(&wanted, &ipvs.sync_daemons()?, &ours);
        apply(&mut ipvs, &start)?;
        assert_eq!(
            ipvsadm::ipvsadm(&["-L", "--daemon"])?,
            "master sync daemon (mcast=eth0, syncid=51, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)\n\
             backup sync daemon (mcast=eth0, syncid=7, maxlen=1400, group=224.0.0.90, port=8850, ttl=3)\n"
        );
        let running = ipvs.sync_daemons()?;
        assert!(master.is_met_by(&running[&SyncRole::Master]), "{running:?}");
        assert_eq!(running[&SyncRole::Backup], backup);
        assert_eq!(reconcile::sync(&wanted, &running, &ours), []);

        assert_eq!(refused(&mut ipvs, Change::StartSync(master))?, "a synchronisation master runs already");
        let stop = reconcile::sync(&[].into(), &running, &[SyncRole::Backup].into());
        apply(&mut ipvs, &stop)?;
        assert_eq!(ipvs.sync_daemons()?.into_keys().collect::<Vec<_>>(), [SyncRole::Master]);
        assert_eq!(refused(&mut ipvs, Change::StopSync(SyncRole::Backup))?, "no synchronisation backup runs");
        let nowhere = Change::StartSync(sync(SyncRole::Backup, "eth9"));
        assert_eq!(refused(&mut ipvs, nowhere)?, "there is no interface eth9");
        apply(&mut ipvs, &[Change::StopSync(SyncRole::Master)])?;
        assert_eq!(ipvsadm::ipvsadm(&["-L", "--daemon"])?, "");
        Ok(())
    })
}
