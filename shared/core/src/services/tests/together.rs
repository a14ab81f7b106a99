//! Several directors that tell each other what they see.

use mesh_config::model::{CheckScope, SorryServer};
use mesh_wire::mesh::gossip::{PortState, ServerReport, ServiceReport};
use mesh_wire::mesh::roster::Role;

use super::super::input::Member;
use super::*;

/// Directors lb1, lb2... and a gossip that takes no time.
struct Cluster {
    hosts: Vec<Host>,
    alive: Vec<bool>,
    /// Who serves 10.0.0.1.
    owner: Option<usize>,
    /// The real server `web1`, once it is a member.
    server: Option<bool>,
}

const SERVER: NodeId = NodeId(100);

impl Cluster {
    fn new(count: u64, config: &Config) -> Cluster {
        let host = |n: u64| {
            let mut host = Host::new(config);
            host.services = Services::new(setup(n), config, host.now);
            host
        };
        let hosts: Vec<Host> = (1..=count).map(host).collect();
        let alive = vec![true; hosts.len()];
        let mut cluster = Cluster { hosts, alive, owner: Some(0), server: None };
        for i in 0..cluster.hosts.len() {
            cluster.hosts[i].give(Input::Timeout);
        }
        cluster.surround();
        // Everybody has checked everything.
        cluster.run(secs(10));
        for host in &mut cluster.hosts {
            host.checks.clear();
            host.log.clear();
        }
        cluster
    }

    /// Tells everybody who is there.
    fn surround(&mut self) {
        let director = |(i, alive): (usize, &bool)| {
            let name = format!("lb{}", i + 1);
            (NodeId(i as u64 + 1), Member { name, role: Role::Director, alive: *alive })
        };
        let mut members: BTreeMap<_, _> = self.alive.iter().enumerate().map(director).collect();
        if let Some(alive) = self.server {
            members.insert(SERVER, Member { name: "web1".to_owned(), role: Role::Server, alive });
        }
        let vip = address("10.0.0.1:80").ip();
        let owners = self.owner.map(|owner| (vip, NodeId(owner as u64 + 1))).into_iter().collect();
        let around = Surroundings { members, owners, active_here: BTreeSet::new() };
        for i in self.living() {
            self.hosts[i].give(Input::Surroundings(around.clone()));
        }
        self.gossip();
    }

    fn living(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|&i| self.alive[i]).collect()
    }

    /// Carries values until nobody has news.
    fn gossip(&mut self) {
        loop {
            let mut news = Vec::new();
            for i in self.living() {
                for action in &self.hosts[i].log {
                    if let Action::Publish { key, value } = action {
                        assert!(
                            value.as_ref().is_none_or(|v| v.len() <= 8192),
                            "{} bytes",
                            value.as_ref().unwrap().len()
                        );
                        news.push((i, key.clone(), value.clone()));
                    }
                }
                self.hosts[i].log.retain(|action| !matches!(action, Action::Publish { .. }));
            }
            if news.is_empty() {
                return;
            }
            for (from, key, value) in news {
                for to in self.living().into_iter().filter(|&to| to != from) {
                    let node = NodeId(from as u64 + 1);
                    self.hosts[to].give(Input::Gossip { node, key: key.clone(), value: value.clone() });
                }
            }
        }
    }

    fn says(&mut self, report: &ServerReport) {
        let value = Some(serde_json::to_string(report).unwrap());
        for i in self.living() {
            self.hosts[i].give(Input::Gossip { node: SERVER, key: "server/0".to_owned(), value: value.clone() });
        }
        self.gossip();
    }

    fn run(&mut self, time: Duration) {
        let until = self.hosts[0].now + time;
        loop {
            let due = self.living().into_iter().filter_map(|i| Some((self.hosts[i].services.deadline()?, i))).min();
            let Some((due, i)) = due.filter(|(due, _)| *due <= until) else { break };
            for host in &mut self.hosts {
                host.now = host.now.max(due);
            }
            self.hosts[i].give(Input::Timeout);
            self.gossip();
        }
        for host in &mut self.hosts {
            host.now = until;
        }
    }

    /// The first host, which serves, says that somebody else should.
    fn until_unfit(&mut self) {
        for _ in 0..20 {
            if !self.unfit(0).is_empty() {
                return;
            }
            self.run(secs(1));
        }
        panic!("it serves on");
    }

    /// Nobody reaches it.
    fn kill(&mut self, real: &str) {
        for host in &mut self.hosts {
            host.dead.insert(address(real));
        }
    }

    fn cut(&mut self, host: usize, reals: &[&str]) {
        self.hosts[host].dead = reals.iter().map(|real| address(real)).collect();
    }

    fn pools(&self) -> Vec<usize> {
        self.hosts.iter().map(|host| host.pool().len()).collect()
    }

    fn unfit(&self, host: usize) -> Vec<&str> {
        self.hosts[host].services.unfit.values().map(String::as_str).collect()
    }

    fn status(&self, host: usize) -> mesh_control::Service {
        self.hosts[host].services.status().remove(0)
    }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

const WEBS: [&str; 4] = ["10.0.0.11:80", "10.0.0.12:80", "10.0.0.13:80", "10.0.0.14:80"];

#[test]
fn three_of_five_directors_check_each_real_server_the_owner_among_them() {
    let mut cluster = Cluster::new(5, &config(vec![web(40)]));
    let status = cluster.status(0);
    let mut load = BTreeMap::new();
    for (n, real) in status.real_servers.iter().enumerate() {
        assert_eq!((real.checked_by.len(), real.checked_by[0].as_str()), (3, "lb1"));
        real.checked_by.iter().for_each(|name| *load.entry(name.clone()).or_insert(0) += 1);
        for host in 1..5 {
            assert_eq!(cluster.status(host).real_servers[n].checked_by, real.checked_by);
        }
        let all_up = real.seen_by.values().all(|state| state == "up");
        assert_eq!((real.seen_by.len(), all_up), (3, true), "{real:?}");
    }
    assert_eq!(load.remove("lb1"), Some(40));
    assert!(load.values().all(|n| (10..=30).contains(n)), "{load:?}");
    cluster.run(secs(10));
    let checks: Vec<usize> = cluster.hosts.iter().map(|host| host.checks.len()).collect();
    assert_eq!((checks[0], checks.iter().sum()), (40, 120), "{checks:?}");
    assert_eq!(status.on, ["lb1", "lb2", "lb3", "lb4", "lb5"]);
}

#[test]
fn a_dead_real_server_goes_everywhere_soon_after_the_first_has_noticed() {
    let mut slow = web(4);
    for real in &mut slow.real_servers {
        real.checks[0].delay_loop = secs(60);
    }
    let mut cluster = Cluster::new(4, &config(vec![slow]));
    cluster.kill(WEBS[2]);
    let mut first = None;
    for _ in 0..700 {
        cluster.run(Duration::from_millis(100));
        let down = |host: usize| cluster.status(host).real_servers[2].seen_by.values().any(|s| s == "down");
        if first.is_none() && (0..4).any(down) {
            first = Some(cluster.hosts[0].now);
        }
        if cluster.pools() == [3; 4] {
            break;
        }
    }
    assert_eq!(cluster.pools(), [3; 4]);
    // Half a second until they check, and a retry after one second.
    let took = cluster.hosts[0].now.since(first.unwrap());
    assert!(took <= Duration::from_millis(1700), "{took:?}");
    for host in &mut cluster.hosts {
        let applied = host.told().iter().filter(|line| *line == "apply").count();
        assert_eq!(applied, 1, "once");
    }
    assert_eq!(cluster.unfit(0), [""; 0]);
    let reasons = cluster.status(3).real_servers.remove(2).reasons;
    assert!(reasons.values().all(|reason| reason == "connection refused") && reasons.len() >= 2, "{reasons:?}");
    cluster.hosts.iter_mut().for_each(|host| host.dead.clear());
    cluster.run(secs(61));
    assert_eq!(cluster.pools(), [4; 4]);
}

#[test]
fn an_owner_that_alone_is_cut_off_says_that_others_should_serve() {
    let mut cluster = Cluster::new(3, &config(vec![web(4)]));
    cluster.cut(0, &WEBS[..3]);
    cluster.until_unfit();
    assert_eq!(cluster.pools(), [4; 3], "the servers are alive");
    assert_eq!((cluster.unfit(1), cluster.unfit(2)), (vec![], vec![]));
    assert!(cluster.status(0).unfit_because.is_some());
    // Somebody else takes over; the cause goes on.
    cluster.owner = Some(1);
    cluster.surround();
    cluster.run(secs(30));
    assert_eq!(cluster.unfit(0), ["lb1 does not reach 3 of 4 real servers of 10.0.0.1:80/tcp; lb2 does"]);
    assert_eq!((cluster.unfit(0).len(), cluster.pools()), (1, vec![4; 3]));
    cluster.cut(0, &[]);
    cluster.run(secs(11));
    assert_eq!(cluster.unfit(0).len(), 1, "not before ten seconds have passed");
    cluster.run(secs(15));
    assert_eq!(cluster.unfit(0), [""; 0]);
}

#[test]
fn a_cut_off_owner_that_nobody_takes_over_from_serves_with_what_it_reaches() {
    let mut cluster = Cluster::new(3, &config(vec![web(4)]));
    cluster.cut(0, &WEBS[..3]);
    cluster.run(secs(25));
    assert_eq!((cluster.pools(), cluster.unfit(0).len()), (vec![1, 4, 4], 1));
    // Until it is rid of it, or reaches them again.
    cluster.owner = Some(1);
    cluster.surround();
    assert_eq!(cluster.pools(), [4; 3]);
    cluster.owner = Some(0);
    cluster.surround();
    cluster.run(secs(9));
    assert_eq!(cluster.pools(), [4; 3], "there is another chance to hand it over");
    cluster.run(secs(2));
    assert_eq!(cluster.pools(), [1, 4, 4]);
    cluster.cut(0, &[]);
    cluster.run(secs(25));
    assert_eq!((cluster.pools(), cluster.unfit(0)), (vec![4; 3], vec![]));
}

#[test]
fn what_no_member_serves_is_not_handed_over() {
    let mut cluster = Cluster::new(3, &config(vec![web(4)]));
    cluster.owner = None;
    cluster.surround();
    cluster.cut(0, &WEBS[..3]);
    cluster.run(secs(25));
    assert_eq!((cluster.pools(), cluster.unfit(0)), (vec![1, 4, 4], vec![]));

    // What was one's own a moment ago is on its way to somebody, and everybody's pool stays whole; not for ever.
    let mut cluster = Cluster::new(3, &config(vec![web(4)]));
    cluster.cut(0, &WEBS[..3]);
    cluster.until_unfit();
    cluster.owner = None;
    cluster.surround();
    cluster.run(secs(9));
    assert_eq!(cluster.pools(), [4; 3]);
    cluster.run(secs(25));
    assert_eq!((cluster.pools(), cluster.unfit(0)), (vec![1, 4, 4], vec![]));
}

#[test]
fn whoever_is_unfit_stays_so_though_others_check_now() {
    for successor in 1..5 {
        let mut cluster = Cluster::new(5, &config(vec![web(4)]));
        cluster.cut(0, &WEBS[..3]);
        cluster.until_unfit();
        cluster.owner = Some(successor);
        cluster.surround();
        cluster.run(secs(60));
        assert_eq!((cluster.unfit(0).len(), cluster.pools()), (1, vec![4; 5]), "lb{}", successor + 1);
        cluster.cut(0, &[]);
        cluster.run(secs(25));
        assert_eq!(cluster.unfit(0), [""; 0]);
        let members = &cluster.hosts[0].services.services[0].members;
        assert!(members.iter().all(|m| m.mine == m.assigned.contains(&NodeId(1))), "not longer than needed");
    }
}

#[test]
fn what_only_the_owner_does_not_reach_goes_there_if_it_is_little() {
    let mut cluster = Cluster::new(3, &config(vec![web(4)]));
    cluster.cut(0, &WEBS[..1]);
    cluster.run(secs(20));
    assert_eq!((cluster.pools(), cluster.unfit(0)), (vec![3, 4, 4], vec![]));
    let reasons = &cluster.status(0).real_servers[0].reasons;
    assert_eq!(reasons["lb1"], "connection refused; reached by lb2 and lb3");
}

#[test]
fn when_nobody_reaches_them_the_pool_is_emptied() {
    let mut server = web(4);
    server.sorry_server =
        Some(SorryServer { address: address("10.0.0.99:80"), forwarding: Forwarding::Nat, inhibit: false });
    let mut cluster = Cluster::new(3, &config(vec![server]));
    WEBS.iter().for_each(|real| cluster.kill(real));
    cluster.run(secs(20));
    for host in &cluster.hosts {
        assert_eq!(host.pool(), ["10.0.0.99:80 1"]);
    }
    assert_eq!(cluster.unfit(0), [""; 0]);
}

#[test]
fn directors_that_reach_halves_move_nothing() {
    let mut cluster = Cluster::new(2, &config(vec![web(4)]));
    cluster.cut(0, &WEBS[..2]);
    cluster.cut(1, &WEBS[2..]);
    cluster.run(secs(40));
    assert_eq!((cluster.unfit(0), cluster.unfit(1)), (vec![], vec![]));
    assert_eq!(cluster.pools(), [2, 4], "the owner serves with what it reaches");
}

#[test]
fn a_new_owner_checks_all_at_once_and_keeps_what_was_known_until_then() {
    let mut slow = web(4);
    for real in &mut slow.real_servers {
        real.checks[0].delay_loop = secs(60);
        real.checks[0].warmup = secs(5);
    }
    let mut cluster = Cluster::new(5, &config(vec![slow]));
    cluster.kill(WEBS[0]);
    cluster.run(secs(70));
    assert_eq!(cluster.pools(), [3; 5]);
    for host in &mut cluster.hosts {
        host.checks.clear();
        host.log.clear();
    }
    cluster.owner = Some(4);
    cluster.surround();
    assert_eq!(cluster.pools(), [3; 5]);
    cluster.run(Duration::from_millis(500));
    let checked: BTreeSet<SocketAddr> = cluster.hosts[4].checks.iter().map(|c| c.1).collect();
    assert_eq!(checked, WEBS.map(address).into());
    assert_eq!(cluster.pools(), [3; 5]);
    assert!(cluster.hosts.iter_mut().all(|host| !host.told().contains(&"apply".to_owned())));
}

#[test]
fn without_others_and_with_local_scope_only_own_checks_count() {
    let mut local = web(4);
    local.check_scope = CheckScope::Local;
    let mut cluster = Cluster::new(3, &config(vec![local]));
    cluster.cut(0, &WEBS[..3]);
    cluster.run(secs(20));
    assert_eq!((cluster.pools(), cluster.unfit(0)), (vec![1, 4, 4], vec![]));
    assert_eq!(cluster.status(1).real_servers[0].seen_by.len(), 3, "views are shown all the same");

    let mut cluster = Cluster::new(3, &config(vec![web(4)]));
    cluster.alive = vec![true, false, false];
    cluster.surround();
    cluster.cut(0, &WEBS[..3]);
    cluster.run(secs(25));
    assert_eq!(cluster.pools()[0], 1);
}

#[test]
fn the_dead_are_replaced_as_checkers() {
    let mut cluster = Cluster::new(4, &config(vec![web(4)]));
    cluster.alive[0] = false;
    cluster.owner = Some(1);
    cluster.surround();
    for real in cluster.status(1).real_servers {
        assert_eq!(real.checked_by, ["lb2", "lb3", "lb4"]);
        assert!(!real.seen_by.contains_key("lb1"));
    }
    cluster.kill(WEBS[1]);
    cluster.run(secs(20));
    assert_eq!(cluster.pools()[1..], [3; 3]);
}

#[test]
fn a_real_server_s_own_word_counts_when_it_is_down_only() {
    let mut cluster = Cluster::new(3, &config(vec![web(4)]));
    cluster.server = Some(true);
    cluster.surround();
    let says = |ready, state| ServerReport { ready, ports: [(address(WEBS[0]), state)].into() };
    cluster.says(&says(true, PortState::Down));
    assert_eq!(cluster.pools(), [3; 3]);
    cluster.says(&says(true, PortState::Up));
    assert_eq!(cluster.pools(), [4; 3]);
    cluster.says(&says(false, PortState::Up));
    assert_eq!(cluster.pools(), [3; 3], "it is leaving");
    cluster.says(&says(true, PortState::Up));
    cluster.kill(WEBS[0]);
    cluster.run(secs(20));
    assert_eq!(cluster.pools(), [3; 3], "its word alone does not bring it back");
}

/// It took the virtual address with it, which checks of its port cannot see; with NAT it needs none.
#[test]
fn a_real_server_that_left_stays_out_until_it_is_back() {
    for (forwarding, pool) in [(Forwarding::DirectRouting, 3), (Forwarding::Nat, 4)] {
        let mut service = web(4);
        service.real_servers.iter_mut().for_each(|real| real.forwarding = forwarding);
        let mut cluster = Cluster::new(3, &config(vec![service]));
        cluster.server = Some(true);
        cluster.surround();
        let says = |ready| ServerReport { ready, ports: [(address(WEBS[0]), PortState::Up)].into() };
        cluster.says(&says(false));
        cluster.server = Some(false);
        cluster.surround();
        cluster.run(secs(20));
        assert_eq!(cluster.pools(), [pool; 3], "{forwarding:?}");
        cluster.server = Some(true);
        cluster.surround();
        cluster.says(&says(true));
        cluster.run(secs(20));
        assert_eq!(cluster.pools(), [4; 3], "{forwarding:?}");
    }
}

#[test]
fn when_a_real_server_vanishes_it_is_checked_at_once() {
    let mut slow = web(4);
    for real in &mut slow.real_servers {
        real.checks[0].delay_loop = secs(60);
        real.checks[0].warmup = secs(5);
    }
    let mut cluster = Cluster::new(3, &config(vec![slow]));
    cluster.server = Some(true);
    cluster.surround();
    cluster.says(&ServerReport { ready: true, ports: [(address(WEBS[0]), PortState::Up)].into() });
    cluster.run(secs(31));
    cluster.hosts.iter_mut().for_each(|host| host.checks.clear());
    cluster.kill(WEBS[0]);
    cluster.server = Some(false);
    cluster.surround();
    cluster.run(Duration::from_millis(1500));
    assert_eq!(cluster.pools(), [3; 3]);
}

#[test]
fn a_long_list_is_told_in_parts() {
    let mut long = web(0);
    for n in 0..500_u16 {
        let to = SocketAddr::from(([10, 1, (n / 250) as u8, (n % 250) as u8], 80));
        let mut real = RealServer::new(to, Forwarding::Nat);
        real.checks.push(tcp(to));
        long.real_servers.push(real);
    }
    let all: Vec<SocketAddr> = long.real_servers.iter().map(|real| real.address).collect();
    let mut cluster = Cluster::new(2, &config(vec![long.clone()]));
    cluster.hosts[1].dead.extend(all);
    cluster.run(secs(25));
    let parts = cluster.hosts[1].services.published.len();
    assert!(parts > 8, "{parts}");
    assert!(cluster.status(0).real_servers.iter().all(|real| real.seen_by["lb2"] == "down"));
    long.real_servers.truncate(3);
    for i in 0..2 {
        cluster.hosts[i].give(Input::Configure(Box::new(config(vec![long.clone()]))));
    }
    cluster.gossip();
    assert_eq!(cluster.hosts[1].services.published.len(), 1);
    assert_eq!(cluster.hosts[0].services.peers[&NodeId(2)].services.len(), 1);
}

#[test]
fn nonsense_is_told_once() {
    let mut cluster = Cluster::new(2, &config(vec![web(1)]));
    for value in ["{", "[]"] {
        let value = Some(value.to_owned());
        let input = Input::Gossip { node: NodeId(2), key: "service/10.0.0.1:80/tcp".to_owned(), value };
        cluster.hosts[0].give(input);
    }
    let told = cluster.hosts[0].told();
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("warning lb2 gossips service/10.0.0.1:80/tcp, which makes no sense here"), "{told:?}");
}

#[test]
fn a_report_is_readable_json() {
    let cluster = Cluster::new(2, &config(vec![web(1)]));
    let value = &cluster.hosts[0].services.published["service/10.0.0.1:80/tcp"];
    let report: ServiceReport = serde_json::from_str(value).unwrap();
    assert_eq!((report.name.as_str(), report.programmed), ("10.0.0.1:80/tcp", true));
    assert!(value.contains(r#""10.0.0.11:80":{"state":"up","since_unix_ms":100000"#), "{value}");
}
