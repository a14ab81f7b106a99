//! A host and its decisions, look by look: the host here does what it is asked, as a kernel does.

use mesh_wire::mesh::gossip::{Forwarding, PortState, Protocol};

use super::*;

const LB1: NodeId = NodeId(1);
const LB2: NodeId = NodeId(2);
const VIP: &str = "10.1.1.80";
const ARP: [(&str, u32); 4] = [
    ("net.ipv4.conf.all.arp_announce", 2),
    ("net.ipv4.conf.all.arp_ignore", 1),
    ("net.ipv4.conf.lo.arp_announce", 2),
    ("net.ipv4.conf.lo.arp_ignore", 1),
];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn address(interface: &str, address: &str, ours: bool) -> Address {
    Address { interface: interface.to_owned(), address: ip(address), ours }
}

/// 10.1.1.21 on eth0, and the kernel's defaults.
fn web1() -> Host {
    let addresses = [address("lo", "127.0.0.1", false), address("lo", "::1", false)];
    let eth0 = [address("eth0", "10.1.1.21", false), address("eth0", "2001:db8::21", false)];
    let settings = ARP.map(|(setting, _)| (setting.to_owned(), 0));
    Host { addresses: addresses.into_iter().chain(eth0).collect(), settings: settings.into(), devices: BTreeMap::new() }
}

/// A virtual server on port 80, behind which these stand.
fn served(vip: &str, real_servers: &[(&str, Forwarding)]) -> Served {
    Served {
        name: format!("{vip}/tcp"),
        endpoints: vec![at(vip)],
        protocol: Protocol::Tcp,
        real_servers: real_servers.iter().map(|(real, how)| (at(real), *how)).collect(),
    }
}

fn web(how: Forwarding) -> Served {
    served("10.1.1.80:80", &[("10.1.1.21:80", how), ("10.1.1.22:80", how)])
}

fn tell(server: &mut Server, node: NodeId, revision: u64, virtual_servers: &[Served]) {
    let report = ServesReport { revision, parts: 1, virtual_servers: virtual_servers.to_vec() };
    server.gossip(node, "serves/0", Some(&serde_json::to_string(&report).unwrap()));
}

/// A server that lb1 told this.
fn told(virtual_servers: &[Served]) -> Server {
    let mut server = Server::new(Memory::default());
    tell(&mut server, LB1, 1, virtual_servers);
    server
}

fn changes(actions: &[Action]) -> Vec<String> {
    let of = |action: &Action| match action {
        Action::Change(change) => Some(change.to_string()),
        _ => None,
    };
    actions.iter().filter_map(of).collect()
}

fn warnings(actions: &[Action]) -> Vec<&str> {
    let mut found = Vec::new();
    for action in actions {
        if let Action::Warn(text) = action {
            found.push(text.as_str());
        }
    }
    found
}

/// What is said about readiness.
fn said(actions: &[Action]) -> Vec<(bool, Vec<(SocketAddr, PortState)>)> {
    let of = |action: &Action| match action {
        Action::Publish { value: Some(value), .. } => {
            let report: ServerReport = serde_json::from_str(value).unwrap();
            Some((report.ready, report.ports.into_iter().collect()))
        }
        _ => None,
    };
    actions.iter().filter_map(of).collect()
}

/// Does to the host what the kernel would.
fn carry_out(host: &mut Host, actions: &[Action]) {
    for action in actions {
        let Action::Change(change) = action else { continue };
        match change {
            Change::Set { setting, value } => {
                let before = host.settings.insert(setting.clone(), *value);
                assert!(before.is_some(), "{setting} does not exist");
            }
            Change::Up(device) => {
                host.devices.insert(*device, true);
                host.settings.entry(format!("net.ipv4.conf.{}.rp_filter", device.name())).or_insert(1);
            }
            Change::Down(device) => drop(host.devices.insert(*device, false)),
            Change::Add(vip) => assert!(host.addresses.insert(address("lo", &vip.to_string(), true)), "{vip} twice"),
            Change::Remove(vip) => assert!(host.addresses.remove(&address("lo", &vip.to_string(), true)), "no {vip}"),
        }
    }
}

/// Looks until nothing more is to be done; what was asked for by each look.
fn settle(server: &mut Server, host: &mut Host) -> Vec<Vec<String>> {
    let mut asked = Vec::new();
    for _ in 0..10 {
        let actions = server.look(host);
        if changes(&actions).is_empty() {
            return asked;
        }
        asked.push(changes(&actions));
        carry_out(host, &actions);
    }
    panic!("never done: {asked:#?}");
}

fn silence() -> Vec<String> {
    ARP.map(|(setting, value)| format!("{setting} = {value}")).to_vec()
}

fn arp_is_back() -> Vec<String> {
    ARP.map(|(setting, _)| format!("{setting} = 0")).to_vec()
}

#[test]
fn an_address_goes_on_lo_once_the_network_cannot_learn_of_it() {
    let (mut server, mut host) = (told(&[web(Forwarding::Dr)]), web1());
    assert_eq!(settle(&mut server, &mut host), [silence(), vec!["10.1.1.80 on lo".to_owned()]]);
    assert!(host.addresses.contains(&address("lo", VIP, true)));
}

#[test]
fn what_was_there_is_written_down_before_it_is_changed() {
    let (mut server, mut host) = (told(&[web(Forwarding::Dr)]), web1());
    host.settings.insert("net.ipv4.conf.all.arp_ignore".to_owned(), 8);
    let actions = server.look(&host);
    let Action::Remember(memory) = &actions[0] else { panic!("{actions:#?}") };
    assert_eq!(memory.settings["net.ipv4.conf.all.arp_announce"], (0, 2));
    assert!(!memory.settings.contains_key("net.ipv4.conf.all.arp_ignore"), "8 answers nothing at all");
    assert_eq!(memory.told[&LB1], [web(Forwarding::Dr)]);
}

#[test]
fn leaving_takes_the_addresses_first_and_puts_everything_back() {
    let (mut server, mut host) = (told(&[web(Forwarding::Dr)]), web1());
    host.settings.insert("net.ipv4.conf.all.arp_announce".to_owned(), 1);
    let before = host.clone();
    settle(&mut server, &mut host);
    assert_eq!(said(&server.leave()), [(false, Vec::new())]);
    assert!(!server.has_left());
    let mut back = arp_is_back();
    back[0] = "net.ipv4.conf.all.arp_announce = 1".to_owned();
    assert_eq!(settle(&mut server, &mut host), [vec!["10.1.1.80 off lo".to_owned()], back]);
    assert_eq!(host, before);
    assert!(server.has_left());
    assert_eq!(server.memory, Memory::default(), "nothing is left to put back");
}

#[test]
fn what_somebody_else_set_meanwhile_stays() {
    let (mut server, mut host) = (told(&[web(Forwarding::Dr)]), web1());
    settle(&mut server, &mut host);
    server.leave();
    host.settings.insert("net.ipv4.conf.all.arp_ignore".to_owned(), 8);
    settle(&mut server, &mut host);
    assert_eq!(host.settings["net.ipv4.conf.all.arp_ignore"], 8);
    assert_eq!(host.settings["net.ipv4.conf.all.arp_announce"], 0);
}

#[test]
fn a_run_that_follows_a_crash_goes_on_and_puts_back_what_was_before_the_first() {
    let (mut server, mut host) = (told(&[web(Forwarding::Dr)]), web1());
    let before = host.clone();
    let mut kept = Memory::default();
    for _ in 0..3 {
        let actions = server.look(&host);
        for action in &actions {
            if let Action::Remember(memory) = action {
                kept = memory.clone();
            }
        }
        carry_out(&mut host, &actions);
    }
    let mut next = Server::new(kept);
    let actions = next.look(&host);
    assert_eq!(changes(&actions), [""; 0], "nobody has told it anything yet");
    assert_eq!(said(&actions), [(true, Vec::new())]);
    next.leave();
    settle(&mut next, &mut host);
    assert_eq!(host, before);
}

#[test]
fn without_any_memory_what_is_there_stays_until_a_director_is_heard() {
    let mut host = web1();
    host.addresses.insert(address("lo", VIP, true));
    let mut server = Server::new(Memory::default());
    assert_eq!(server.look(&host), []);
    tell(&mut server, LB1, 1, &[]);
    assert_eq!(settle(&mut server, &mut host), [["10.1.1.80 off lo"]]);
}

#[test]
fn a_director_that_is_gone_or_restarts_takes_nothing_away() {
    let (mut server, mut host) = (told(&[web(Forwarding::Dr)]), web1());
    settle(&mut server, &mut host);
    server.gossip(LB1, "serves/0", None);
    assert_eq!(settle(&mut server, &mut host), [[""; 0]; 0]);
    tell(&mut server, LB1, 1, &[web(Forwarding::Dr)]);
    assert_eq!(settle(&mut server, &mut host), [[""; 0]; 0]);
}

#[test]
fn an_address_stays_as_long_as_one_director_says_so() {
    let (mut server, mut host) = (told(&[web(Forwarding::Dr)]), web1());
    tell(&mut server, LB2, 9, &[web(Forwarding::Dr)]);
    settle(&mut server, &mut host);
    tell(&mut server, LB1, 2, &[]);
    assert_eq!(settle(&mut server, &mut host), [[""; 0]; 0]);
    server.directors(&BTreeSet::from([LB1]));
    assert_eq!(settle(&mut server, &mut host), [vec!["10.1.1.80 off lo".to_owned()], arp_is_back()]);
}

#[test]
fn a_list_counts_once_all_its_parts_are_there() {
    let mut server = Server::new(Memory::default());
    let parts = [web(Forwarding::Dr), served("10.1.1.81:80", &[("10.1.1.21:80", Forwarding::Dr)])];
    let part = |revision, n: usize| {
        let report = ServesReport { revision, parts: 2, virtual_servers: vec![parts[n].clone()] };
        serde_json::to_string(&report).unwrap()
    };
    server.gossip(LB1, "serves/1", Some(&part(1, 1)));
    assert_eq!(server.memory.told, BTreeMap::new());
    server.gossip(LB1, "serves/0", Some(&part(2, 0)));
    assert_eq!(server.memory.told, BTreeMap::new(), "of another list");
    server.gossip(LB1, "serves/1", Some(&part(2, 1)));
    assert_eq!(server.memory.told[&LB1], parts);
    for (key, value) in [("serves/0", "no JSON"), ("serves/x", "{}"), ("router/4.51", "{}")] {
        server.gossip(LB1, key, Some(value));
        assert_eq!(server.memory.told[&LB1], parts);
    }
}

#[test]
fn masqueraded_and_other_hosts_packets_need_nothing() {
    for served in [web(Forwarding::Nat), served("10.1.1.80:80", &[("10.1.1.22:80", Forwarding::Dr)])] {
        let (mut server, mut host) = (told(&[served]), web1());
        assert_eq!(settle(&mut server, &mut host), [[""; 0]; 0]);
    }
    // Every host has 127.0.0.1, and a virtual address of ours is no address of this host.
    let mut host = web1();
    host.addresses.insert(address("lo", VIP, true));
    let local = served("10.1.1.90:80", &[("127.0.0.1:80", Forwarding::Dr), ("10.1.1.80:80", Forwarding::Dr)]);
    let mut server = told(&[local, web(Forwarding::Dr)]);
    assert_eq!(settle(&mut server, &mut host), [silence()]);
}

#[test]
fn ipv6_needs_no_settings() {
    let vs = served("[2001:db8::80]:80", &[("[2001:db8::21]:80", Forwarding::Dr)]);
    let (mut server, mut host) = (told(&[vs]), web1());
    let before = host.clone();
    assert_eq!(settle(&mut server, &mut host), [["2001:db8::80 on lo"]]);
    server.leave();
    assert_eq!(settle(&mut server, &mut host), [["2001:db8::80 off lo"]]);
    assert_eq!(host, before);
}

#[test]
fn a_tunnel_has_a_device_that_is_up_and_takes_what_comes_from_elsewhere() {
    let vs = served("10.1.1.80:80", &[("10.1.1.21:80", Forwarding::Tun)]);
    let (mut server, mut host) = (told(&[vs]), web1());
    host.devices.insert(Device::Tunl0, false);
    host.settings.insert("net.ipv4.conf.tunl0.rp_filter".to_owned(), 1);
    let before = host.clone();
    let mut first = silence();
    first.extend(["net.ipv4.conf.tunl0.rp_filter = 2".to_owned(), "tunl0 up".to_owned()]);
    assert_eq!(settle(&mut server, &mut host), [first, vec!["10.1.1.80 on lo".to_owned()]]);
    server.leave();
    settle(&mut server, &mut host);
    assert_eq!(host, before);
}

#[test]
fn a_device_that_is_made_gets_its_setting_afterwards() {
    let vs = served("10.1.1.80:80", &[("[2001:db8::21]:80", Forwarding::Tun)]);
    let (mut server, mut host) = (told(&[vs]), web1());
    let asked = settle(&mut server, &mut host);
    assert_eq!(asked[0].last().map(String::as_str), Some("ip6tnl0 up"));
    assert_eq!(asked[1], ["net.ipv4.conf.ip6tnl0.rp_filter = 2", "10.1.1.80 on lo"]);
    let inside_ipv4 = served("[2001:db8::80]:80", &[("10.1.1.21:80", Forwarding::Tun)]);
    let (mut server, mut host) = (told(&[inside_ipv4]), web1());
    assert_eq!(settle(&mut server, &mut host), [["sit0 up", "2001:db8::80 on lo"]]);
}

#[test]
fn what_others_change_is_repaired() {
    let (mut server, mut host) = (told(&[web(Forwarding::Dr)]), web1());
    let before = host.clone();
    settle(&mut server, &mut host);
    host.addresses.remove(&address("lo", VIP, true));
    host.settings.insert("net.ipv4.conf.all.arp_ignore".to_owned(), 3);
    let asked = settle(&mut server, &mut host);
    assert_eq!(asked, [["net.ipv4.conf.all.arp_ignore = 1"], ["10.1.1.80 on lo"]]);
    server.leave();
    settle(&mut server, &mut host);
    assert_eq!(host, before, "what was before the first change counts");
}

#[test]
fn an_address_that_somebody_else_put_on_lo_is_left_alone() {
    let (mut server, mut host) = (told(&[web(Forwarding::Dr)]), web1());
    host.addresses.insert(address("lo", VIP, false));
    let before = host.clone();
    assert_eq!(settle(&mut server, &mut host), [silence()]);
    server.leave();
    settle(&mut server, &mut host);
    assert_eq!(host, before);
}

#[test]
fn an_old_kernel_keeps_no_mark_and_the_address_is_known_all_the_same() {
    let (mut server, mut host) = (told(&[web(Forwarding::Dr)]), web1());
    let before = host.clone();
    settle(&mut server, &mut host);
    assert!(host.addresses.remove(&address("lo", VIP, true)));
    host.addresses.insert(address("lo", VIP, false));
    server.leave();
    let actions = server.look(&host);
    assert_eq!(changes(&actions), ["10.1.1.80 off lo"]);
    assert!(host.addresses.remove(&address("lo", VIP, false)));
    settle(&mut server, &mut host);
    assert_eq!((host, server.memory), (before, Memory::default()));
}

#[test]
fn what_cannot_be_done_here_is_told_once() {
    let mut marks = served("10.1.1.80:80", &[("10.1.1.21:80", Forwarding::Dr)]);
    (marks.endpoints, marks.name) = (Vec::new(), "fwmark 7".to_owned());
    let gre = served("10.1.1.81:80", &[("10.1.1.21:80", Forwarding::Gre)]);
    let mut host = web1();
    host.addresses.insert(address("eth0", "10.1.1.82", false));
    let mut server = told(&[marks, gre, served("10.1.1.82:80", &[("10.1.1.21:80", Forwarding::Dr)])]);
    let actions = server.look(&host);
    let all = warnings(&actions);
    assert_eq!(all.len(), 3, "{all:#?}");
    assert!(all[0].starts_with("10.1.1.81:80/tcp forwards by GUE or GRE"), "{}", all[0]);
    assert!(all[1].starts_with("10.1.1.82 of 10.1.1.82:80/tcp is on eth0"), "{}", all[1]);
    assert!(all[2].starts_with("fwmark 7 is known by a firewall mark only"), "{}", all[2]);
    assert_eq!(warnings(&server.look(&host)), [""; 0]);
}

/// An IPv4 address that the network could learn of is worse than none.
#[test]
fn where_the_settings_cannot_be_changed_no_address_is_put_there() {
    let (mut server, host) = (told(&[web(Forwarding::Dr)]), web1());
    let mut asked = Vec::new();
    for _ in 0..3 {
        let actions = server.look(&host);
        assert_eq!(changes(&actions), silence());
        assert_eq!(server.ready, Some(false));
        for action in &actions {
            if let Action::Change(change) = action {
                asked.extend(server.failed(change, "Permission denied".to_owned()));
            }
        }
    }
    assert_eq!(asked.len(), 4, "each is told once: {asked:#?}");
    assert_eq!(warnings(&asked)[1], "net.ipv4.conf.all.arp_ignore = 1: Permission denied");
    let mut blind = host.clone();
    blind.settings.clear();
    assert_eq!(changes(&server.look(&blind)), silence(), "the kernel says why");
}

#[test]
fn what_cannot_be_written_down_is_asked_for_again() {
    let (mut server, host) = (told(&[web(Forwarding::Dr)]), web1());
    let first = server.look(&host);
    assert!(matches!(first[0], Action::Remember(_)));
    assert!(server.forgot("disk full".to_owned()).is_some());
    assert!(server.forgot("disk full".to_owned()).is_none(), "told once");
    let second = server.look(&host);
    assert_eq!((&second[0], changes(&second)), (&first[0], silence()));
}

#[test]
fn readiness_and_ports_are_told_as_they_change() {
    let (mut server, mut host) = (told(&[web(Forwarding::Dr)]), web1());
    let first = server.look(&host);
    assert_eq!(said(&first), [(false, Vec::new())]);
    carry_out(&mut host, &first);
    settle(&mut server, &mut host);
    let http = at("10.1.1.21:80");
    assert_eq!(server.ports(), [http]);
    let tries = [
        (Try::Silent, None),
        (Try::Accepted, Some(PortState::Up)),
        (Try::Accepted, None),
        (Try::Silent, None),
        (Try::Silent, None),
        (Try::Accepted, None),
        (Try::Refused, Some(PortState::Down)),
        (Try::Accepted, Some(PortState::Up)),
        (Try::Silent, None),
        (Try::Silent, None),
        (Try::Silent, Some(PortState::Down)),
        (Try::Silent, None),
    ];
    for (n, (how, state)) in tries.into_iter().enumerate() {
        let expected: Vec<_> = state.into_iter().map(|state| (true, vec![(http, state)])).collect();
        let actions = server.tried(http, how);
        assert_eq!(said(&actions), expected, "try {n}");
        assert_eq!(actions.iter().filter(|a| matches!(a, Action::Tell(_))).count(), expected.len());
    }
    assert_eq!(server.tried(at("10.1.1.21:81"), Try::Refused), [], "nobody asked for it");
    assert_eq!(said(&server.leave()), [(false, vec![(http, PortState::Down)])]);
    assert_eq!(said(&server.look(&host)), [], "the last word stands: it names the ports that are gone");
}

#[test]
fn a_port_is_that_of_the_endpoint_where_the_real_server_names_none_and_only_tcp_is_tried() {
    let mut group = served("10.1.1.80:80", &[("10.1.1.21:0", Forwarding::Nat)]);
    group.endpoints.extend([at("10.1.1.80:443"), at("10.1.1.80:0")]);
    let dns = Served { protocol: Protocol::Udp, ..served("10.1.1.80:53", &[("10.1.1.21:53", Forwarding::Nat)]) };
    let mut server = told(&[group, dns]);
    server.look(&web1());
    assert_eq!(server.ports(), [at("10.1.1.21:80"), at("10.1.1.21:443")]);
}

#[test]
fn many_ports_are_told_in_parts() {
    let real: Vec<String> = (0..300).map(|n| format!("10.1.1.21:{}", 1000 + n)).collect();
    let real: Vec<(&str, Forwarding)> = real.iter().map(|r| (r.as_str(), Forwarding::Nat)).collect();
    let mut server = told(&[served("10.1.1.80:80", &real)]);
    server.look(&web1());
    for port in server.ports() {
        server.tried(port, Try::Accepted);
    }
    assert_eq!(server.published.keys().map(String::as_str).collect::<Vec<_>>(), ["server/0", "server/1", "server/2"]);
    assert!(server.published.values().all(|value| value.len() < 8192));
    tell(&mut server, LB1, 2, &[]);
    let actions = server.look(&web1());
    let gone = actions.iter().filter(|a| matches!(a, Action::Publish { value: None, .. })).count();
    assert_eq!((gone, said(&actions)), (2, vec![(true, Vec::new())]));
}
