//! Which connections outlive a planned move from director to director: by scheduler, by forwarding, with the
//! connections told to the other director (`lvs_sync_daemon`) and without.
//!
//! ```text
//!   client .100 to .103 ---+--- front 10.0.0.0/24 ---+--- lb1 .1, lb2 .2, witness .3 ---+--- back 10.1.0.0/24
//!                          |    VIPs .80 .81 .82     |        gateway 10.1.0.254        |
//!                          +--- rs1 .11, rs2 .12 (DR)                                   +--- in1 .11, in2 .12 (NAT)
//! ```
//!
//! A director that was told nothing of a connection knows it by the first packet it sees of it, which is not
//! the one that opens it. By default the kernel then does not choose a real server: the packet is for the
//! director itself, which has no such connection and resets it. With the kernel's setting
//! `net.ipv4.vs.sloppy_tcp` it chooses, and where the choice follows from the client's address alone it is the
//! one that the other director made: for `mh` with the same real servers, for `sh` with the same ones in the same
//! order, as here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_ipvs::network::{Daemon, Host, Network, ask};
use mesh_ipvs::{inside, meshd};
use mesh_lab::clock;
use socket2::{Domain, Socket, Type};

/// One VIP for each scheduler.
const SCHEDULERS: [(&str, &str); 3] = [("rr", "10.0.0.80"), ("mh", "10.0.0.81"), ("sh", "10.0.0.82")];
/// One port for each way of forwarding, and where the real servers are for it.
const FORWARDING: [(&str, u16, &str); 2] = [("DR", 80, "10.0.0"), ("NAT", 8080, "10.1.0")];
/// The client's addresses, one connection from each.
const CLIENTS: [u8; 4] = [100, 101, 102, 103];
/// A mesh on a slow kernel.
const SOON: Duration = Duration::from_secs(30);

/// The two sides move together. The synchronisation daemon has a line of its own, which may be left out.
fn configuration(priority: u8, sync: &str) -> String {
    let router = |name: &str, id: u8, interface: &str, addresses: &str| {
        format!(
            "vrrp_instance {name} {{\n interface {interface}\n virtual_router_id {id}\n priority {priority}\n \
             virtual_ipaddress {{\n{addresses}\n }}\n}}\n"
        )
    };
    let vips = SCHEDULERS.map(|(_, vip)| vip).join("\n");
    let mut text = format!("global_defs {{\n{sync}\n}}\nvrrp_sync_group G {{\n group {{\n front\n back\n }}\n}}\n");
    text += &(router("front", 51, "eth0", &vips) + &router("back", 52, "eth1", "10.1.0.254"));
    for (scheduler, vip) in SCHEDULERS {
        for (forwarding, port, subnet) in FORWARDING {
            let servers = [11, 12].map(|last| format!(" real_server {subnet}.{last} 80 {{\n weight 1\n }}\n")).concat();
            text += &format!(
                "virtual_server {vip} {port} {{\n lb_algo {scheduler}\n lb_kind {forwarding}\n protocol TCP\n{servers}}}\n"
            );
        }
    }
    text
}

/// A mesh of two directors and a witness, with web servers for both ways of forwarding. lb1 serves.
struct Site {
    client: Host,
    directors: [Host; 2],
    daemons: Vec<Daemon>,
    _others: Vec<Daemon>,
    _network: Network,
}

impl Site {
    fn new() -> Result<Site> {
        let mut network = Network::new(&["front", "back"])?;
        let client = network.host("client")?;
        let addresses = CLIENTS.map(|last| format!("10.0.0.{last}/24"));
        network.plug(&client, "eth0", "front", &addresses.each_ref().map(String::as_str))?;
        let directors = [network.host("lb1")?, network.host("lb2")?];
        for (director, (last, priority)) in directors.iter().zip([(1, 150), (2, 100)]) {
            director.sh("echo 1 > /proc/sys/net/ipv4/ip_forward")?;
            network.plug(director, "eth0", "front", &[&format!("10.0.0.{last}/24")])?;
            network.plug(director, "eth1", "back", &[&format!("10.1.0.{last}/24")])?;
            std::fs::write(director.dir.join("keepalived.conf"), configuration(priority, ""))?;
        }
        let witness = network.host("witness")?;
        network.plug(&witness, "eth0", "front", &["10.0.0.3/24"])?;
        let mut others = real_servers(&mut network)?;
        let first = meshd::found(&directors[0], "10.0.0.1")?;
        let second = meshd::join(&directors[0], "10.0.0.1", &directors[1], &[])?;
        others.push(meshd::join(&directors[0], "10.0.0.1", &witness, &["--witness"])?);
        let daemons = vec![first, second];
        let site = Site { client, directors, daemons, _others: others, _network: network };
        clock::wait_for("three voters", SOON, || {
            Ok(meshd::meshctl(&site.directors[0], "status")?.contains("quorum 3/3").then_some(()))
        })?;
        site.wait_holder(0)?;
        Ok(site)
    }

    /// Waits until a director has the addresses of both sides and the other one has neither.
    fn wait_holder(&self, holder: usize) -> Result<()> {
        clock::wait_for(&format!("the addresses on {}", self.directors[holder].name), SOON, || {
            let held = |director: &Host| -> Result<usize> {
                let shown = director.sh("ip -o -4 address show")?;
                Ok(["10.0.0.80/", "10.1.0.254/"].iter().filter(|address| shown.contains(**address)).count())
            };
            let (here, there) = (held(&self.directors[holder])?, held(&self.directors[1 - holder])?);
            Ok((here == 2 && there == 0).then_some(()))
        })
    }

    /// Opens a connection from each of the client's addresses to each service, and asks on each once.
    fn connect(&self) -> Result<Vec<Held>> {
        let mut held = Vec::new();
        for (scheduler, vip) in SCHEDULERS {
            for (forwarding, port, _) in FORWARDING {
                let at = SocketAddr::new(vip.parse()?, port);
                let connections = CLIENTS.map(|last| self.client.enter(|| open(last, at)));
                let connections = connections.into_iter().collect::<Result<_>>();
                let connections = connections.with_context(|| format!("{scheduler} {forwarding}"))?;
                held.push(Held { scheduler, forwarding, connections });
            }
        }
        Ok(held)
    }

    /// Has the addresses moved by this order to a director. On a slow kernel it may not be ready in time: then they
    /// stay where they are, with all connections, and it is ordered again.
    fn order(&self, from: usize, order: &str) -> Result<()> {
        let mut said = String::new();
        let done = clock::wait_for(order, SOON, || match meshd::meshctl(&self.directors[from], order) {
            Ok(_) => Ok(Some(())),
            Err(error) => {
                said = format!("{error:#}");
                clock::pass(Duration::from_secs(1))?;
                Ok(None)
            }
        });
        done.with_context(|| said.clone())?;
        self.wait_holder(1 - from)
    }

    fn sloppy(&self) -> Result<()> {
        let set = |director: &Host| director.sh("echo 1 > /proc/sys/net/ipv4/vs/sloppy_tcp");
        self.directors.iter().try_for_each(|director| set(director).map(drop))
    }

    /// Has each director tell the other one of its connections while it serves.
    fn synchronise(&self) -> Result<()> {
        for (director, (daemon, priority)) in self.directors.iter().zip(self.daemons.iter().zip([150, 100])) {
            let text = configuration(priority, "lvs_sync_daemon eth1 front");
            std::fs::write(director.dir.join("keepalived.conf"), text)?;
            daemon.reload()?;
        }
        for (director, role) in self.directors.iter().zip(["Master", "Backup"]) {
            clock::wait_for(&format!("{role} on {}", director.name), SOON, || {
                Ok(director.sh("ipvsadm -Ln --daemon")?.to_lowercase().contains(&role.to_lowercase()).then_some(()))
            })?;
        }
        Ok(())
    }
}

fn real_servers(network: &mut Network) -> Result<Vec<Daemon>> {
    let mut web = Vec::new();
    for (name, last) in [("rs1", 11), ("rs2", 12)] {
        let server = network.host(name)?;
        server.sh("cd /proc/sys/net/ipv4/conf/all; echo 1 > arp_ignore; echo 2 > arp_announce")?;
        for (_, vip) in SCHEDULERS {
            server.sh(&format!("ip address add {vip}/32 dev lo"))?;
        }
        network.plug(&server, "eth0", "front", &[&format!("10.0.0.{last}/24")])?;
        web.push(server.serve_web()?);
    }
    for (name, last) in [("in1", 11), ("in2", 12)] {
        let server = network.host(name)?;
        network.plug(&server, "eth0", "back", &[&format!("10.1.0.{last}/24")])?;
        server.sh("ip route add default via 10.1.0.254")?;
        web.push(server.serve_web()?);
    }
    Ok(web)
}

/// Connections to one service, each with the name of the real server that answers it.
struct Held {
    scheduler: &'static str,
    forwarding: &'static str,
    connections: Vec<(TcpStream, String)>,
}

impl Held {
    /// How many are still answered by the same server.
    fn kept(&mut self) -> usize {
        // Round robin begins anew on the other director: in another order than that of their beginning half of
        // them come to the server they had.
        let [first, second, third, fourth] = &mut self.connections[..] else { panic!("one for each address") };
        let asked = [first, third, second, fourth].map(|(stream, name)| ask(stream).is_ok_and(|said| said == *name));
        asked.iter().filter(|same| **same).count()
    }

    fn servers(&self) -> usize {
        self.connections.iter().map(|(_, name)| name).collect::<BTreeSet<_>>().len()
    }
}

fn open(last: u8, at: SocketAddr) -> Result<(TcpStream, String)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(Ipv4Addr::new(10, 0, 0, last).into(), 0).into())?;
    socket.connect_timeout(&at.into(), Duration::from_secs(2))?;
    let mut stream = TcpStream::from(socket);
    let name = ask(&mut stream)?;
    Ok((stream, name))
}

/// Cell by cell: how many of four connections outlived it.
fn kept(held: &mut [Held]) -> BTreeMap<(&'static str, &'static str), usize> {
    held.iter_mut().map(|held| ((held.scheduler, held.forwarding), held.kept())).collect()
}

/// The same for both ways of forwarding.
fn table(rr: usize, mh: usize, sh: usize) -> BTreeMap<(&'static str, &'static str), usize> {
    let cells = [("rr", rr), ("mh", mh), ("sh", sh)];
    cells.iter().flat_map(|(scheduler, kept)| FORWARDING.map(|(f, ..)| ((*scheduler, f), *kept))).collect()
}

#[test]
fn root_planned_moves_keep_these_connections() -> Result<()> {
    inside(|| {
        let mut site = Site::new()?;
        // Nothing is told and the kernel is as it comes: none.
        let mut held = site.connect()?;
        ensure!(held.iter().all(|held| held.servers() == 2), "each service uses both servers");
        site.order(0, "move front lb2")?;
        let alone = kept(&mut held);
        println!("without sync: {alone:?}");
        assert_eq!(alone, table(0, 0, 0));

        // With `sloppy_tcp` a choice by the client's address is made again.
        site.sloppy()?;
        let mut held = site.connect()?;
        site.order(1, "move front --back")?;
        let sloppy = kept(&mut held);
        println!("without sync, with sloppy_tcp: {sloppy:?}");
        assert_eq!(sloppy, table(2, 4, 4));

        // Told, all of them; here by an orderly stop.
        site.synchronise()?;
        for director in &site.directors {
            director.sh("echo 0 > /proc/sys/net/ipv4/vs/sloppy_tcp")?;
        }
        let mut held = site.connect()?;
        clock::wait_for("the connections on the other director", SOON, || {
            let known = site.directors[1].sh("grep -c 'ESTABLISHED.*SYNC' /proc/net/ip_vs_conn_sync || true")?;
            Ok((known.trim().parse::<usize>()? >= held.len() * CLIENTS.len()).then_some(()))
        })?;
        site.order(0, "stop")?;
        let synchronised = kept(&mut held);
        println!("with sync: {synchronised:?}");
        assert_eq!(synchronised, table(4, 4, 4));
        site.daemons.remove(0).wait()
    })
}
