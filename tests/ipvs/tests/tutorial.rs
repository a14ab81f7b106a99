//! The steps of an LVS tutorial, on real directors and web servers: a pair with one virtual address and
//! direct routing; one web server stops and comes back; the first director loses power.
//!
//! ```text
//!   client .100 ---+--- 10.0.0.0/24 ---+--- lb1 .1, lb2 .2     VIP 10.0.0.80
//!                                      +--- rs1 .11, rs2 .12
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_core::ipvs::{DestinationKey, Table};
use mesh_ipvs::network::{Daemon, Host, Network};
use mesh_ipvs::values::{tcp, to};
use mesh_ipvs::{inside, meshd};
use mesh_lab::clock;

const VIP: &str = "10.0.0.80:80";
const BOTH: [(&str, u32); 2] = [("10.0.0.11:80", 1), ("10.0.0.12:80", 2)];

/// A takeover without a mesh takes more than three seconds, and the kernel inside is slow.
const SOON: Duration = Duration::from_secs(30);

/// As tutorials have it; only the priority differs between the two.
fn configuration(state: &str, priority: u8) -> String {
    format!(
        "vrrp_instance VI_1 {{
    state {state}
    interface eth0
    virtual_router_id 51
    priority {priority}
    advert_int 1
    authentication {{
        auth_type PASS
        auth_pass 1111
    }}
    virtual_ipaddress {{
        10.0.0.80
    }}
}}
virtual_server 10.0.0.80 80 {{
    delay_loop 1
    lb_algo wrr
    lb_kind DR
    protocol TCP
    real_server 10.0.0.11 80 {{
        weight 1
        TCP_CHECK {{
            connect_timeout 1
            retry 1
            delay_before_retry 1
        }}
    }}
    real_server 10.0.0.12 80 {{
        weight 2
        TCP_CHECK {{
            connect_timeout 1
            nb_get_retry 1
            delay_before_retry 1
        }}
    }}
}}
"
    )
}

/// The hosts; web servers run, directors do not yet.
struct Site {
    _network: Network,
    client: Host,
    directors: [Host; 2],
    servers: [Host; 2],
    web: Vec<Daemon>,
}

impl Site {
    fn new() -> Result<Site> {
        let mut network = Network::new(&["lan"])?;
        let mut host = |name: &str, last: u8| -> Result<Host> {
            let host = network.host(name)?;
            network.plug(&host, "eth0", "lan", &[&format!("10.0.0.{last}/24")])?;
            Ok(host)
        };
        let client = host("client", 100)?;
        let directors = [host("lb1", 1)?, host("lb2", 2)?];
        let servers = [host("rs1", 11)?, host("rs2", 12)?];
        for (director, (state, priority)) in directors.iter().zip([("MASTER", 100), ("BACKUP", 80)]) {
            std::fs::write(director.dir.join("keepalived.conf"), configuration(state, priority))?;
        }
        let web = servers.iter().map(Host::serve_web).collect::<Result<_>>()?;
        Ok(Site { _network: network, client, directors, servers, web })
    }

    /// Waits until ip_vs of both directors holds just these real servers.
    fn wait_tables(&self, what: &str, wanted: &[(&str, u32)]) -> Result<()> {
        let wanted: BTreeMap<DestinationKey, u32> = wanted.iter().map(|(at, weight)| (to(at), *weight)).collect();
        for director in &self.directors {
            let found = || -> Result<_> {
                let table: Table = director.enter(|| Ok(::meshd::kernel::ipvs::Ipvs::open()?.table()?))?;
                let pool = table.get(&tcp(VIP));
                let weights = pool.into_iter().flat_map(|pool| &pool.destinations);
                Ok(weights.map(|(key, destination)| (*key, destination.weight)).collect::<BTreeMap<_, _>>())
            };
            clock::wait_for(&format!("{what} on {}", director.name), SOON, || Ok((found()? == wanted).then_some(())))?;
        }
        Ok(())
    }

    fn wait_holder(&self, holder: &Host) -> Result<()> {
        clock::wait_for(&format!("the address on {}", holder.name), SOON, || {
            let has =
                |host: &Host| Ok::<_, anyhow::Error>(host.sh("ip -o -4 address show dev eth0")?.contains("10.0.0.80/"));
            let others = self.directors.iter().filter(|d| d.name != holder.name);
            let alone = others.map(has).collect::<Result<Vec<_>>>()?.iter().all(|has| !has);
            Ok((has(holder)? && alone).then_some(()))
        })
    }

    /// Who answers how often, of thirty requests.
    fn answers(&self) -> Result<BTreeMap<String, usize>> {
        let mut answers = BTreeMap::new();
        for _ in 0..30 {
            *answers.entry(self.client.get(VIP)?).or_default() += 1;
        }
        Ok(answers)
    }

    /// All that the tutorial shows, once the directors run. `lost` takes the first director's power.
    fn steps(&mut self, lost: impl FnOnce() -> Result<()>) -> Result<()> {
        self.wait_tables("both servers", &BOTH)?;
        self.wait_holder(&self.directors[0])?;
        ensure!(self.answers()? == share(10, 20), "by weight: {:?}", self.answers()?);

        self.web.remove(0).stop()?;
        self.wait_tables("the stopped one to go", &BOTH[1..])?;
        ensure!(self.answers()? == share(0, 30), "the other one: {:?}", self.answers()?);
        self.web.push(self.servers[0].serve_web()?);
        self.wait_tables("it to come back", &BOTH)?;

        self.directors[0].sh("ip link set eth0 down")?;
        lost()?;
        let second = self.directors[1].clone();
        clock::wait_for("the address on lb2", SOON, || {
            Ok(second.sh("ip -o -4 address show dev eth0")?.contains("10.0.0.80/").then_some(()))
        })?;
        ensure!(self.answers()? == share(10, 20), "by way of the second director: {:?}", self.answers()?);
        Ok(())
    }
}

fn share(first: usize, second: usize) -> BTreeMap<String, usize> {
    [("rs1".to_owned(), first), ("rs2".to_owned(), second)].into_iter().filter(|(_, n)| *n > 0).collect()
}

#[test]
fn root_the_pair_of_the_tutorials() -> Result<()> {
    inside(|| {
        let mut site = Site::new()?;
        for server in &site.servers {
            // What realserver.sh does.
            server.sh("cd /proc/sys/net/ipv4/conf/all; echo 1 > arp_ignore; echo 2 > arp_announce")?;
            server.sh("ip address add 10.0.0.80/32 dev lo")?;
        }
        let first = meshd::start(&site.directors[0], &["run"])?;
        let second = meshd::start(&site.directors[1], &["run"])?;
        let done = site.steps(|| {
            drop(first);
            Ok(())
        });
        done.with_context(|| second.written().unwrap_or_default())?;
        second.stop()?;
        let left = site.directors[1].enter(|| Ok(::meshd::kernel::ipvs::Ipvs::open()?.table()?))?;
        ensure!(left.is_empty(), "an orderly end leaves nothing: {left:?}");
        Ok(())
    })
}

/// The same with a mesh: two directors and two web servers that joined, four voters, nothing configured
/// on the web servers.
#[test]
fn root_two_directors_and_their_servers_are_a_mesh() -> Result<()> {
    inside(|| {
        let mut site = Site::new()?;
        let lb1 = site.directors[0].clone();
        let first = meshd::found(&lb1, "10.0.0.1")?;
        let meshctl = |arguments: &str| meshd::meshctl(&lb1, arguments);
        let joining = [(&site.directors[1], "director"), (&site.servers[0], "server"), (&site.servers[1], "server")];
        let mut joined = Vec::new();
        for (host, role) in joining {
            joined.push(meshd::join(&lb1, "10.0.0.1", host, &["--role", role])?);
        }
        clock::wait_for("four voters", SOON, || Ok(meshctl("status")?.contains("quorum 4/4").then_some(())))?;
        for server in &site.servers {
            clock::wait_for("the virtual address on a web server", SOON, || {
                Ok(server.sh("ip -o -4 address show dev lo")?.contains("10.0.0.80/32").then_some(()))
            })?;
        }
        let done = site.steps(|| {
            drop(first);
            Ok(())
        });
        done.with_context(|| format!("lb2: {}", joined[0].written().unwrap_or_default()))?;
        // Three of four voters decide: the first director comes back before a web server leaves. That one is taken
        // out before its address goes, and puts everything back.
        lb1.sh("ip link set eth0 up")?;
        let _first = meshd::start(&lb1, &["run"])?;
        clock::wait_for("all voters again", SOON, || {
            Ok(meshctl("status").is_ok_and(|status| status.contains("quorum 4/4")).then_some(()))
        })?;
        site.wait_tables("both servers", &BOTH)?;
        joined.remove(1).stop()?;
        let found = site.servers[0].sh("ip -o -4 address show dev lo; cat /proc/sys/net/ipv4/conf/all/arp_ignore")?;
        ensure!(!found.contains("10.0.0.80") && found.trim_end().ends_with('0'), "left behind: {found}");
        site.wait_tables("the one that left to go", &BOTH[1..])?;
        ensure!(site.answers()? == share(0, 30), "the one that is left answers");
        Ok(())
    })
}
