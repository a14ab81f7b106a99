use super::*;
use mesh_wire::mesh::Family;

/// A group from line 2 on, and a service that uses it.
fn group(entries: &str, service: &str) -> String {
    format!(
        "virtual_server_group g {{\n{entries}\n}}\nvirtual_server group g {{\n lb_algo rr\n lb_kind NAT\n protocol TCP\n{service}\n real_server 10.0.0.2 80 {{\n }}\n}}\n"
    )
}

fn endpoints(server: &VirtualServer) -> Vec<String> {
    let name = |endpoint: &Endpoint| match endpoint {
        Endpoint::Address(address) => address.to_string(),
        Endpoint::Fwmark(mark, Family::Ipv4) => format!("{mark}/4"),
        Endpoint::Fwmark(mark, Family::Ipv6) => format!("{mark}/6"),
    };
    server.endpoints.iter().map(name).collect()
}

#[test]
fn groups_reach_the_model() {
    for (entries, expected) in [
        ("10.0.0.1 80", "10.0.0.1:80"),
        ("10.0.0.1-3 80", "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80"),
        ("10.0.0.254-10.0.1.1 80", "10.0.0.254:80 10.0.0.255:80 10.0.1.0:80 10.0.1.1:80"),
        ("10.0.0.8/30 80", "10.0.0.8:80 10.0.0.9:80 10.0.0.10:80 10.0.0.11:80"),
        ("10.0.0.8/32 80\n10.0.0.1-10.0.0.1 81", "10.0.0.8:80 10.0.0.1:81"),
        ("10.0.0.8 80\nfwmark 7\nfwmark 8 inet", "10.0.0.8:80 7/4 8/4"),
    ] {
        let server = clean(&group(entries, ""));
        assert_eq!((server.name.as_str(), server.protocol), ("g", Protocol::Tcp));
        assert_eq!(endpoints(&server).join(" "), expected);
    }
    for (entries, expected) in [
        ("fe80::fe-101 80", "[fe80::fe]:80 [fe80::ff]:80 [fe80::100]:80 [fe80::101]:80"),
        ("fe80::ffff-fe80::1:0 80", "[fe80::ffff]:80 [fe80::1:0]:80"),
        ("fe80::10/127 80", "[fe80::10]:80 [fe80::11]:80"),
    ] {
        let server = clean(&group(entries, "").replace("10.0.0.2", "fe80::2"));
        assert_eq!((endpoints(&server).join(" "), server.family), (expected.into(), Family::Ipv6));
    }
}

#[test]
fn a_group_may_stand_further_down_and_be_used_twice() {
    let text = group("10.0.0.1 80", "");
    let (first, second) = text.split_at(text.find("virtual_server group").unwrap());
    assert_eq!(clean(&format!("{second}{first}")).name, "g");
    let config = assert_clean(&format!("{text}{}", second.replace("TCP", "UDP")));
    let names: Vec<&str> = config.virtual_servers.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["g/tcp", "g/udp"]);
    let marks = group("fwmark 5", "").replace(" protocol TCP\n", "");
    assert_eq!(endpoints(&clean(&marks)), ["5/4"]);
}

#[test]
fn both_families_need_tunnels_and_marks_that_say_theirs() {
    let mixed = group("10.0.0.1 80\nfe80::1 80\nfwmark 5 inet6", "");
    assert_eq!(warned(&mixed, "6:1 W `virtual_server_group g` is of two families, which needs tunnels"), None);
    let tunnelled = mixed.replace("NAT", "TUN");
    assert_eq!(endpoints(&clean(&tunnelled)), ["10.0.0.1:80", "[fe80::1]:80", "5/6"]);
    let unclear = tunnelled.replace(" inet6", "");
    assert_eq!(warned(&unclear, "6:1 W `virtual_server_group g` is of two families, and a mark"), None);
}

#[test]
fn group_findings() {
    let sound = "10.0.0.1 80";
    for (line, start) in [
        ("10.0.0.1 80", "3:1 W this is already in the group"),
        ("10.0.0.0-1 80", "3:1 W this is already in the group"),
        ("foo 80", "3:1 W `foo` is no IP address; expected one, or a range"),
        ("10.0.0.9 99999", "3:10 W `99999` is no port"),
        ("10.0.0.9 80 81", "3:13 W `81` is a word too many"),
        ("10.0.0.9-8 80", "3:1 W `10.0.0.9-8` ends before it begins"),
        ("10.0.0.9-300 80", "3:1 W `10.0.0.9-300` is no IP address"),
        ("10.0.0.9-fe80::1 80", "3:1 W `10.0.0.9-fe80::1` ends in the other family"),
        ("10.0.0.9/29 80", "3:1 W `10.0.0.9/29` has bits behind its prefix"),
        ("10.0.0.8/33 80", "3:1 W `10.0.0.8/33` is no IP address"),
        ("10.0.0.0/8 80", "3:1 E `10.0.0.0/8` has more than 65536 addresses"),
        ("fe80::/64 80", "3:1 E `fe80::/64` has more than 65536 addresses"),
        ("fwmark 0", "3:8 W `0` is no value for `fwmark`"),
        ("fwmark 5 ipx", "3:10 W `ipx` is no family: expected inet or inet6"),
        ("fwmark", "3:1 E `fwmark` has no value"),
        ("10.0.0.9 80 {\n}", "3:13 E `10.0.0.9` takes no block"),
        ("include x", "3:9 I there is no file `x`"),
    ] {
        warned(&group(&format!("{sound}\n{line}"), ""), start);
    }
    let (_, found) = found(&group("", ""));
    assert!(found[0].starts_with("1:22 W `virtual_server_group g` has no entry"), "{found:#?}");
    assert!(found[1].starts_with("4:22 W there is no `virtual_server_group g`"), "{found:#?}");
    let text = format!("{}virtual_server_group g {{\n 10.0.0.5 80\n}}\n", group(sound, ""));
    let server = warned(&text, "12:22 W a second `virtual_server_group g`; the first one stays").unwrap();
    assert_eq!(endpoints(&server), ["10.0.0.1:80"]);
    warned(&group("10.0.0.1", ""), "4:1 W a service of all ports").unwrap();
    warned(&group("10.0.0.1 81", "").replace("NAT", "DR"), "9:2 W port 80 is not that of all addresses of the group")
        .unwrap();
}
