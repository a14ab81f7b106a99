//! What keepalived keeps, and leaves out, of what an instance says twice or of two families.

use super::*;

/// Checked with keepalived 2.2.7, and its sample `keepalived.conf.vrrp` has it: adverts list what the file lists.
#[test]
fn an_address_listed_twice_is_in_adverts_twice_and_served_once() {
    // `with` adds 10.0.0.1 once more.
    let twice = "8:3 W 10.0.0.1 is already an address of this instance; adverts list it twice, as it is here";
    let router = warned(" virtual_ipaddress {\n  10.0.0.1/24\n }", twice);
    let of = |list: &mut dyn Iterator<Item = &VirtualAddress>| list.map(|a| a.net.to_string()).collect::<Vec<_>>();
    assert_eq!(of(&mut router.addresses.iter()), ["10.0.0.1/24", "10.0.0.1/32"]);
    assert_eq!(of(&mut router.served()), ["10.0.0.1/24"]);
    let excluded =
        " virtual_ipaddress {\n  10.0.0.1\n  10.0.0.2\n }\n virtual_ipaddress_excluded {\n  10.0.0.2\n  10.0.0.3\n }";
    let (config, found) = read(&with(excluded));
    assert_eq!(
        found,
        [
            "9:3 W 10.0.0.2 is already an address of this instance; left out".to_owned(),
            twice.replacen("8:3", "13:3", 1),
        ]
    );
    let router = &config.unwrap().routers[0];
    assert_eq!(of(&mut router.addresses.iter()), ["10.0.0.1/32", "10.0.0.2/32", "10.0.0.1/32"]);
    assert_eq!(of(&mut router.served()), ["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32"]);
    // Where another instance has the same ones, each is told at its own line.
    let text = with(excluded);
    let (_, found) = read(&format!("{text}{}", text.replace(" A ", " B ").replace(" 51", " 52")));
    let lines: Vec<&str> = found.iter().filter(|f| f.contains(" E ")).map(|f| f.split(' ').next().unwrap()).collect();
    assert_eq!(lines, ["20:3", "21:3", "25:3"]);
}

#[test]
fn what_is_listed_twice_counts_for_what_an_advert_holds() {
    let lines: String = (0..254).map(|i| format!("  10.1.{}.{}\n", i / 200, i % 200 + 1)).collect();
    let (config, found) = read(&with(&format!(" virtual_ipaddress {{\n{lines}  10.1.0.1\n  10.1.0.2\n }}")));
    let rest: Vec<&str> = found.iter().map(|f| &f[..25]).collect();
    assert_eq!(rest, ["259:3 W 10.1.0.1 is alrea", "260:3 W 10.1.0.2 is alrea", "260:3 W 257 addresses are"]);
    let router = &config.unwrap().routers[0];
    assert_eq!((router.addresses.len(), router.served().count()), (255, 255));
    assert_eq!(router.excluded_addresses.len(), 1, "10.0.0.1, and not once more what adverts have");
}

/// As keepalived 2.2.7 does: the first address in the text decides, wherever it stands.
#[test]
fn what_is_not_of_the_first_family_is_left_out() {
    let after = |lines: &str| with_ipv6("").replace(" }\n}", &format!(" }}\n{lines}\n}}"));
    let multicast = Transport::Multicast { source: None };
    let peer = Transport::Unicast { source: None, peers: vec!["fe80::8".parse().unwrap()] };
    for (lines, at, then, transport) in [
        (" unicast_src_ip 10.0.0.7\n unicast_peer {\n  fe80::8\n }", "9:17", "skipped", &peer),
        (" unicast_peer {\n  fe80::8\n  10.0.0.8\n }", "11:3", "left out", &peer),
        (" mcast_src_ip 10.0.0.7", "9:15", "skipped", &multicast),
    ] {
        let (config, found) = read(&after(lines));
        let said = format!("is IPv4, and `A` is IPv6; expected an address of that family; {then}");
        assert!(found.len() == 1 && found[0].starts_with(&format!("{at} W 10.0.0")), "{found:#?}");
        assert!(found[0].ends_with(&said), "{found:#?}");
        assert_eq!(&config.unwrap().routers[0].transport, transport);
    }
    let (config, found) = read(&with(" mcast_src_ip fe80::7"));
    let begins = ["1:15 W `A` has no virtual address: an election", "6:3 W 10.0.0.1 is IPv4"];
    assert!(found.iter().zip(begins).all(|(found, begin)| found.starts_with(begin)), "{found:#?}");
    assert!(config.unwrap().routers[0].addresses.is_empty());
    let (_, found) = read(&with(" unicast_peer {\n  fe80::8\n }"));
    assert!(
        found.iter().any(|f| f.starts_with("8:3 W 10.0.0.1 is IPv4, and `A` is IPv6; expected one in")),
        "{found:#?}"
    );
}

#[test]
fn what_asks_for_unicast_without_peers_is_told() {
    for (line, start) in [
        (" check_unicast_src", "4:2 W unicast without a peer in `unicast_peer`; adverts are multicast"),
        (" old_unicast_checksum", "4:2 W unicast without a peer in `unicast_peer`; adverts are multicast"),
        (" old_unicast_checksum never", "4:2 W unicast without a peer in `unicast_peer`; adverts are multicast"),
        (" unicast_ttl 5", "4:2 W `unicast_ttl` has no meaning without unicast peers; not used"),
    ] {
        let router = warned(line, start);
        assert_eq!(router.transport, Transport::Multicast { source: None });
        assert_eq!(router.conduct.unicast_ttl, Conduct::default().unicast_ttl);
    }
}

#[test]
fn routes_that_keepalived_would_not_track_are_told() {
    let routes = |line: &str| format!(" virtual_routes {{\n  {line}\n }}");
    for line in ["10.1.0.0/16 via 10.0.0.2", "blackhole 10.1.0.0/16", "10.1.0.0/16 nexthop via 10.0.0.2 dev eth0"] {
        let said = "5:3 W without `dev` keepalived would not track the route; here it is put back all the same";
        assert!(warned(&routes(line), said).routes[0].track);
    }
    for line in ["10.1.0.0/16 via 10.0.0.2 no_track", "10.1.0.0/16 via 10.0.0.2 dev eth0"] {
        assert_eq!(only(&with(&routes(line))).routes.len(), 1);
    }
}

#[test]
fn of_two_versions_the_first_stays() {
    let two = "5:2 W another `version` than in line 4; the first one stays";
    assert_eq!(warned(" version 2\n version 3", two).version, Version::V2);
    assert_eq!(warned(" version 3\n version 2", two).version, Version::V3);
    assert_eq!(only(&with(" version 3\n version 3")).version, Version::V3);
    assert_eq!(warned(" version 4\n version 3", "4:10 W `4` is no value").version, Version::V3);
    let global = format!("global_defs {{\n vrrp_version 2\n}}\n{}", with(" version 3"));
    assert_eq!(only(&global).version, Version::V3);
}
