//! Connections through what we program: NAT, direct routing and tunnels, to real web servers.
//!
//! ```text
//!   client .100 --- front 10.0.0.0/24, fd00::/64 --- director .1 --- back 10.1.0.0/24, fd01::/64 --- rs1 .11, rs2 .12
//!                        VIP 10.0.0.80, fd00::80
//! ```
//!
//! For direct routing and tunnels the servers are on the front, too, and answer there by themselves.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ::meshd::kernel::ipvs::Ipvs;
use anyhow::{Context, Result};
use mesh_core::ipvs::{
    Change, Destination, Forwarding, GueChecksum, Netmask, Persistence, Pool, Service, ServiceStatistics, Statistics,
    SyncRole, Table, Tunnel,
};
use mesh_ipvs::network::{Daemon, Host, Network, PATIENCE, ask};
use mesh_ipvs::values::{all_of, by, mark, pool, service, sync, tcp, to};
use mesh_ipvs::{inside, meshd};
use mesh_lab::clock;
use mesh_wire::mesh::Family;

const VIP: &str = "10.0.0.80:80";
const VIP6: &str = "[fd00::80]:80";

/// A client, a director and two web servers.
struct Bed {
    network: Network,
    client: Host,
    director: Host,
    servers: [Host; 2],
    web: Vec<Daemon>,
}

impl Bed {
    /// The servers are behind the director, which is their gateway.
    fn behind() -> Result<Bed> {
        let bed = Bed::new()?;
        for (server, last) in bed.servers.iter().zip([11, 12]) {
            let addresses = [format!("10.1.0.{last}/24"), format!("fd01::{last}/64")];
            bed.network.plug(server, "eth0", "back", &[&addresses[0], &addresses[1]])?;
            server.sh("ip route add default via 10.1.0.1; ip route add default via fd01::1")?;
        }
        Ok(bed)
    }

    /// The servers are beside the director, have the VIP themselves and do not tell anybody.
    fn beside() -> Result<Bed> {
        let bed = Bed::new()?;
        for (server, last) in bed.servers.iter().zip([11, 12]) {
            server.sh("cd /proc/sys/net/ipv4/conf/all; echo 1 > arp_ignore; echo 2 > arp_announce")?;
            server.sh("ip address add 10.0.0.80/32 dev lo; ip address add fd00::80/128 dev lo")?;
            let addresses = [format!("10.0.0.{last}/24"), format!("fd00::{last}/64")];
            bed.network.plug(server, "eth0", "front", &[&addresses[0], &addresses[1]])?;
        }
        Ok(bed)
    }

    fn new() -> Result<Bed> {
        let mut network = Network::new(&["front", "back"])?;
        let client = network.host("client")?;
        network.plug(&client, "eth0", "front", &["10.0.0.100/24", "fd00::100/64"])?;
        let director = director(&mut network, "director", 1)?;
        director.sh("ip address add 10.0.0.80/32 dev eth0; ip address add fd00::80/128 dev eth0")?;
        let servers = [network.host("rs1")?, network.host("rs2")?];
        let web = servers.iter().map(Host::serve_web).collect::<Result<_>>()?;
        Ok(Bed { network, client, director, servers, web })
    }

    fn program(&self, table: Table) -> Result<()> {
        program(&self.director, &all_of(&table))
    }

    /// Who answers how often.
    fn answers(&self, at: &str, requests: usize) -> Result<BTreeMap<String, usize>> {
        let mut answers = BTreeMap::new();
        for _ in 0..requests {
            *answers.entry(self.client.get(at)?).or_default() += 1;
        }
        Ok(answers)
    }
}

fn director(network: &mut Network, name: &str, last: u8) -> Result<Host> {
    let director = network.host(name)?;
    director.sh("echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")?;
    network.plug(&director, "eth0", "front", &[&format!("10.0.0.{last}/24"), &format!("fd00::{last}/64")])?;
    network.plug(&director, "eth1", "back", &[&format!("10.1.0.{last}/24"), &format!("fd01::{last}/64")])?;
    Ok(director)
}

fn program(director: &Host, changes: &[Change]) -> Result<()> {
    director.enter(|| {
        for (change, result) in changes.iter().zip(Ipvs::open()?.apply(changes)?) {
            result.with_context(|| format!("{change:?}"))?;
        }
        Ok(())
    })
}

/// What went through the VIP once so many connections are counted: the kernel sums up every two seconds.
fn counted(director: &Host, connections: u64) -> Result<ServiceStatistics> {
    clock::wait_for("the kernel's counters", PATIENCE, || {
        let mut statistics = director.enter(|| Ok(Ipvs::open()?.statistics()?))?;
        let service = statistics.remove(&tcp(VIP)).context("no such service")?;
        Ok((service.through.connections >= connections).then_some(service))
    })
}

fn evenly(each: usize) -> BTreeMap<String, usize> {
    [("rs1".to_owned(), each), ("rs2".to_owned(), each)].into()
}

fn only(name: &str, requests: usize) -> BTreeMap<String, usize> {
    [(name.to_owned(), requests)].into()
}

#[test]
fn root_nat_reaches_both_servers_and_is_counted() -> Result<()> {
    inside(|| {
        let bed = Bed::behind()?;
        let nat = by(Forwarding::Nat);
        bed.program(
            [
                (tcp(VIP), pool("rr", nat, &["10.1.0.11:80", "10.1.0.12:80"])),
                (tcp(VIP6), pool("rr", nat, &["[fd01::11]:80", "[fd01::12]:80"])),
            ]
            .into(),
        )?;
        assert_eq!(bed.answers(VIP, 6)?, evenly(3));
        assert_eq!(bed.answers(VIP6, 6)?, evenly(3));

        let service = &counted(&bed.director, 6)?;
        let sum = |of: fn(&Statistics) -> u64| service.destinations.values().map(|d| of(&d.through)).sum::<u64>();
        assert_eq!(service.through.connections, 6);
        assert_eq!(service.destinations[&to("10.1.0.11:80")].through.connections, 3);
        assert!(service.through.packets_in >= 6 * 4, "a handshake, a request and an end each: {service:?}");
        assert!(service.through.packets_out >= 6 * 3, "NAT sees the answers: {service:?}");
        assert!(service.through.bytes_in > service.through.packets_in * 40, "{service:?}");
        assert_eq!(sum(|s| s.packets_in), service.through.packets_in);
        assert_eq!(sum(|s| s.bytes_out), service.through.bytes_out);
        let busy: u32 = service.destinations.values().map(|d| d.active_connections + d.inactive_connections).sum();
        assert_eq!(busy, 6, "each is remembered for a while after its end");
        Ok(())
    })
}

#[test]
fn root_direct_routing_reaches_both_servers() -> Result<()> {
    inside(|| {
        let bed = Bed::beside()?;
        let direct = by(Forwarding::DirectRouting);
        bed.program(
            [
                (tcp(VIP), pool("rr", direct, &["10.0.0.11:80", "10.0.0.12:80"])),
                (tcp(VIP6), pool("rr", direct, &["[fd00::11]:80", "[fd00::12]:80"])),
            ]
            .into(),
        )?;
        assert_eq!(bed.answers(VIP, 6)?, evenly(3));
        assert_eq!(bed.answers(VIP6, 6)?, evenly(3));
        let through = counted(&bed.director, 6)?.through;
        assert_eq!((through.connections, through.packets_out), (6, 0), "answers do not come this way");
        Ok(())
    })
}

#[test]
fn root_tunnels_reach_both_servers() -> Result<()> {
    inside(|| {
        let bed = Bed::beside()?;
        let gue = |checksum| Tunnel::Gue { port: 6080, checksum };
        let far_ends = [
            (Tunnel::Ipip, "ip link add t0 type ipip remote 10.9.9.9; ip link set tunl0 up"),
            (Tunnel::Gre { checksum: false }, "ip link add t1 type gre remote 10.9.9.9; ip link set gre0 up"),
            // A device takes packets either with or without: this one is found before `gre0`.
            (Tunnel::Gre { checksum: true }, "ip link add t2 type gre local LOCAL csum; ip link set t2 up"),
            // What was in UDP is ipip again, for `tunl0`. ip_vs leaves the remote checksum to whoever gets it.
            (gue(GueChecksum::None), "/run/modules/modprobe fou; ip fou add port 6080 gue"),
            (gue(GueChecksum::Full), "true"),
            (gue(GueChecksum::Remote), "true"),
        ];
        let mut ours = Vec::new();
        for (tunnel, far_end) in far_ends {
            for (server, last) in bed.servers.iter().zip([11, 12]) {
                server.sh(&far_end.replace("LOCAL", &format!("10.0.0.{last}")))?;
                // What comes out of a tunnel does not come from where the answer goes.
                server.sh("for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done")?;
            }
            let wanted: Table =
                [(tcp(VIP), pool("rr", by(Forwarding::Tunnel(tunnel)), &["10.0.0.11:80", "10.0.0.12:80"]))].into();
            let changes = bed.director.enter(|| {
                Ok(mesh_core::ipvs::reconcile::table(&wanted, &Ipvs::open()?.table()?, &Default::default()))
            })?;
            program(&bed.director, &changes)?;
            let answers = bed.answers(VIP, 4).with_context(|| format!("{tunnel:?}"))?;
            assert_eq!(answers, evenly(2), "{tunnel:?}");
            ours.push(changes.len());
        }
        assert_eq!(ours, [3, 2, 2, 2, 2, 2], "made once, and edited for each other tunnel");
        Ok(())
    })
}

#[test]
fn root_marked_packets_are_one_service_for_all_ports() -> Result<()> {
    inside(|| {
        let bed = Bed::behind()?;
        // By tc: this kernel's nftables has no chains of the ip family.
        bed.director.sh("tc qdisc add dev eth0 ingress; tc filter add dev eth0 parent ffff: protocol ip u32 \
             match ip dst 10.0.0.80/32 match ip dport 8000 0xfffe action skbedit mark 7")?;
        let nat = by(Forwarding::Nat);
        bed.program([(mark(7, Family::Ipv4), pool("rr", nat, &["10.1.0.11:80", "10.1.0.12:80"]))].into())?;
        assert_eq!(bed.answers("10.0.0.80:8000", 4)?, evenly(2));
        assert_eq!(bed.answers("10.0.0.80:8001", 4)?, evenly(2));
        assert!(bed.client.get(VIP).is_err(), "an unmarked packet is nobody's");
        Ok(())
    })
}

#[test]
fn root_a_client_stays_where_it_was_and_so_do_its_neighbours() -> Result<()> {
    inside(|| {
        let bed = Bed::behind()?;
        let netmask = Netmask::Ipv4([255, 255, 255, 0].into());
        let persistent = Service { persistence: Some(Persistence { timeout: 60, netmask }), ..service("rr") };
        let pool = Pool { service: persistent, ..pool("rr", by(Forwarding::Nat), &["10.1.0.11:80", "10.1.0.12:80"]) };
        bed.program([(tcp(VIP), pool)].into())?;
        let first = bed.client.get(VIP)?;
        assert_eq!(bed.answers(VIP, 4)?, only(&first, 4));
        bed.client.sh("ip address del 10.0.0.100/24 dev eth0; ip address add 10.0.0.101/24 dev eth0")?;
        assert_eq!(bed.answers(VIP, 4)?, only(&first, 4), "of the same /24");
        let statistics = bed.director.enter(|| Ok(Ipvs::open()?.statistics()?))?;
        let bound: u32 = statistics[&tcp(VIP)].destinations.values().map(|d| d.persistent_connections).sum();
        assert_eq!(bound, 1, "one template for all of them");
        Ok(())
    })
}

#[test]
fn root_a_server_at_weight_zero_keeps_its_connections() -> Result<()> {
    inside(|| {
        let bed = Bed::behind()?;
        let nat = by(Forwarding::Nat);
        let (key, server) = (tcp(VIP), to("10.1.0.11:80"));
        bed.program([(key, pool("rr", nat, &["10.1.0.11:80"]))].into())?;
        let at: SocketAddr = VIP.parse()?;
        let mut held = bed.client.enter(|| Ok(TcpStream::connect_timeout(&at, Duration::from_secs(2))?))?;
        assert_eq!(ask(&mut held)?, "rs1");

        let drain = Destination { weight: 0, ..nat };
        program(
            &bed.director,
            &[
                Change::AddDestination { service: key, key: to("10.1.0.12:80"), destination: nat },
                Change::EditDestination { service: key, key: server, destination: drain },
            ],
        )?;
        assert_eq!(bed.answers(VIP, 4)?, only("rs2", 4), "new connections go elsewhere");
        assert_eq!(ask(&mut held)?, "rs1", "the one it has stays");

        // Deleted, what it had is cut off, and is served again once it is back.
        program(&bed.director, &[Change::DeleteDestination { service: key, key: server }])?;
        assert!(ask(&mut held).is_err(), "a deleted one answers nobody");
        Ok(())
    })
}

#[test]
fn root_a_failover_with_synchronisation_keeps_connections() -> Result<()> {
    inside(|| {
        let mut bed = Bed::beside()?;
        let second = director(&mut bed.network, "second", 2)?;
        let table: Table =
            [(tcp(VIP), pool("rr", by(Forwarding::DirectRouting), &["10.0.0.11:80", "10.0.0.12:80"]))].into();
        for (director, role) in [(&bed.director, SyncRole::Master), (&second, SyncRole::Backup)] {
            // Every packet tells of its connection.
            director.enter(|| Ipvs::open().map(drop).map_err(Into::into))?;
            director.sh("echo '0 1' > /proc/sys/net/ipv4/vs/sync_threshold")?;
            let mut changes = all_of(&table);
            changes.push(Change::StartSync(sync(role, "eth1")));
            program(director, &changes)?;
        }
        let at: SocketAddr = VIP.parse()?;
        let mut held: Vec<(TcpStream, String)> = bed.client.enter(|| {
            let connect = |_| {
                let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(2))?;
                let name = ask(&mut stream)?;
                Ok((stream, name))
            };
            (0..2).map(connect).collect()
        })?;
        assert_ne!(held[0].1, held[1].1, "one on each server");
        clock::wait_for("the connections on the second director", PATIENCE, || {
            Ok((second.sh("grep -c ESTABLISHED /proc/net/ip_vs_conn || true")?.trim() == "2").then_some(()))
        })?;

        // The address moves; the first director is cut off.
        bed.director.sh("ip link set eth0 down")?;
        second.sh("ip address add 10.0.0.80/32 dev eth0")?;
        bed.client.sh("ip neighbour flush all")?;
        for (stream, name) in &mut held {
            assert_eq!(&ask(stream)?, name, "the same server as before");
        }
        clock::wait_for("packets by way of the second director", PATIENCE, || {
            let through = second.enter(|| Ok(Ipvs::open()?.statistics()?))?[&tcp(VIP)].through;
            Ok((through.packets_in >= 2).then_some(()))
        })
    })
}

const CHECKED: &str = "
virtual_server 10.0.0.80 80 {
    delay_loop 1
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 10.1.0.11 80 {
        weight 2
        TCP_CHECK {
            connect_timeout 1
            retry 0
        }
    }
    real_server 10.1.0.12 80 {
        weight 3
        TCP_CHECK {
            connect_timeout 1
            retry 0
        }
    }
}
";

#[test]
fn root_meshd_takes_a_stopped_server_out_and_puts_it_back() -> Result<()> {
    inside(|| {
        let mut bed = Bed::behind()?;
        let file = bed.director.dir.join("keepalived.conf");
        std::fs::write(&file, CHECKED)?;
        let arguments = meshd::arguments(&file.display().to_string(), &bed.director.dir.display().to_string());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let program = meshd::program()?.display().to_string();
        let start = || bed.director.start(&program, &arguments);
        let director = bed.director.clone();
        let weights = || -> Result<BTreeMap<_, u32>> {
            let table = director.enter(|| Ok(Ipvs::open()?.table()?))?;
            let pool = table.get(&tcp(VIP));
            let weights = pool.into_iter().flat_map(|pool| &pool.destinations);
            Ok(weights.map(|(key, destination)| (*key, destination.weight)).collect::<BTreeMap<_, _>>())
        };
        let wait = |what: &str, wanted: &[(&str, u32)]| {
            let wanted: BTreeMap<_, _> = wanted.iter().map(|(at, weight)| (to(at), *weight)).collect();
            clock::wait_for(what, PATIENCE, || Ok((weights()? == wanted).then_some(())))
        };
        let both = [("10.1.0.11:80", 2), ("10.1.0.12:80", 3)];

        let daemon = start()?;
        wait("both servers", &both).with_context(|| daemon.written().unwrap_or_default())?;
        assert_eq!(bed.answers(VIP, 4)?, evenly(2));
        bed.web.remove(0).stop()?;
        wait("the stopped one to go", &both[1..])?;
        assert_eq!(bed.answers(VIP, 4)?, only("rs2", 4));
        bed.web.push(bed.servers[0].serve_web()?);
        wait("it to come back with its weight", &both)?;
        assert_eq!(bed.answers(VIP, 4)?, evenly(2));

        // Killed with all its children, it leaves everything; started again, it adopts it.
        drop(daemon);
        assert_eq!(bed.answers(VIP, 4)?, evenly(2));
        let daemon = start()?;
        assert_eq!(bed.answers(VIP, 4)?, evenly(2));
        let through = counted(&bed.director, 20)?.through;
        assert_eq!(through.connections, 20, "the service was never made anew: {through:?}");
        wait("both servers still", &both)?;
        // A program that has hardly begun does not know SIGTERM yet.
        let running = || Ok(daemon.written()?.contains("started").then_some(()));
        clock::wait_for("the daemon to run", PATIENCE, running)?;
        daemon.stop()?;
        wait("nothing to be left after an orderly end", &[])
    })
}

/// `net_namespace_ipvs`: traffic goes through one network, checks come from another.
#[test]
fn root_services_are_in_a_namespace_and_checks_come_from_elsewhere() -> Result<()> {
    inside(|| {
        let mut bed = Bed::behind()?;
        let checker = bed.network.host("checker")?;
        bed.network.plug(&checker, "eth0", "back", &["10.1.0.9/24"])?;
        let text = format!("net_namespace_ipvs {}\n{CHECKED}", bed.director.netns());
        std::fs::write(checker.dir.join("keepalived.conf"), text)?;
        let daemon = meshd::start(&checker, &["run"])?;
        let servers = |host: &Host| -> Result<usize> {
            let table = host.enter(|| Ok(Ipvs::open()?.table()?))?;
            Ok(table.values().map(|pool| pool.destinations.len()).sum())
        };
        let wait = |what: &str, count: usize| {
            clock::wait_for(what, PATIENCE, || Ok((servers(&bed.director)? == count).then_some(())))
                .with_context(|| daemon.written().unwrap_or_default())
        };
        wait("both servers", 2)?;
        assert_eq!(bed.answers(VIP, 4)?, evenly(2));
        bed.web.remove(0).stop()?;
        wait("the stopped one to go", 1)?;
        assert_eq!(bed.answers(VIP, 2)?, only("rs2", 2));
        assert_eq!(servers(&checker)?, 0, "nothing is where the checks come from");
        Ok(())
    })
}
