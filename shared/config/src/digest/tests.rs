use std::path::Path;

use super::*;

fn config(text: &str) -> Config {
    crate::keepalived::parse(Path::new("f"), text, &crate::host::Host::none()).0.expect("usable")
}

fn instance(name: &str, more: &str, addresses: &str) -> String {
    format!(
        "vrrp_instance {name} {{\n virtual_router_id 51\n interface eth0\n{more}\n virtual_ipaddress {{\n{addresses}\n}}\n}}\n"
    )
}

fn digest(more: &str, addresses: &str) -> String {
    config(&instance("A", more, addresses)).digest()
}

#[test]
fn it_is_stable_over_versions_of_this_program() {
    assert_eq!(Config::default().digest(), "cbf29ce484222325");
    // 4.51;advert_int=1 s;version=2;virtual_ipaddress=10.0.0.1
    assert_eq!(digest("", "10.0.0.1"), "c51ebc62b1b2ec7a");
}

#[test]
fn what_may_differ_does_not_change_it() {
    let one = digest("priority 100\nstate BACKUP", "10.0.0.1\n10.0.0.2");
    assert_eq!(digest("priority 150\nstate MASTER\ninterface eth9", "10.0.0.2/24 dev eth1\n10.0.0.1/24"), one);
    assert_eq!(config(&instance("B", "", "10.0.0.1\n10.0.0.2")).digest(), one);
}

#[test]
fn how_often_adverts_list_an_address_shows() {
    assert_ne!(digest("", "10.0.0.1"), digest("", "10.0.0.1\n10.0.0.1"));
    assert_eq!(digest("", "10.0.0.1\n10.0.0.1\n10.0.0.2"), digest("", "10.0.0.2\n10.0.0.1/24\n10.0.0.1"));
}

/// A virtual server on the fixed address, with lines of its own and a second real server's.
fn service(lines: &str, real: &str) -> String {
    let text = format!(
        "virtual_server 10.0.0.1 80 {{\n protocol TCP\n lb_algo rr\n lb_kind NAT\n{lines}\n real_server 10.0.0.2 80 {{\n }}\n \
         real_server 10.0.0.3 80 {{\n{real}\n }}\n}}\n"
    );
    config(&text).digest()
}

#[test]
fn drift_of_services_shows() {
    let one = service("", "");
    let others = [
        Config::default().digest(),
        service("lb_algo wrr", ""),
        service("lb_algo sh\nsh-port", ""),
        service("lb_algo sh\nsh-fallback", ""),
        service("lb_algo sh", ""),
        service("flag-3", ""),
        service("protocol UDP", ""),
        service("protocol UDP\nops", ""),
        service("persistence_timeout 50", ""),
        service("persistence_timeout 50\npersistence_granularity 255.255.255.0", ""),
        service("persistence_timeout 50\npersistence_engine sip", ""),
        service("quorum 2", ""),
        service("quorum 2\nhysteresis 1", ""),
        service("sorry_server 10.0.0.9 80", ""),
        service("sorry_server 10.0.0.9 81", ""),
        service("real_server 10.0.0.4 80 {\n}", ""),
        service("", "weight 2"),
        service("", "uthreshold 2"),
        service("", "lthreshold 2"),
        service("", "lvs_method DR"),
        service("", "lvs_method TUN"),
        service("", "lvs_method TUN type gre"),
        service("", "lvs_method TUN type gre csum"),
        service("", "lvs_method TUN type gue port 5"),
        service("", "lvs_method TUN type gue port 6"),
    ];
    let distinct: std::collections::BTreeSet<&String> = others.iter().chain([&one]).collect();
    assert_eq!(distinct.len(), others.len() + 1);
}

#[test]
fn checks_scripts_and_order_of_services_do_not_change_it() {
    let one = service("", "");
    assert_eq!(service("quorum_up /bin/x\ndelay_loop 5", "TCP_CHECK {\n}"), one);
    assert_eq!(service("real_server 10.0.0.3 80 {\n}\nreal_server 10.0.0.2 80 {\n}", ""), one);
}

#[test]
fn the_order_of_instances_does_not_change_it() {
    let a = instance("A", "", "10.0.0.1");
    let b = instance("B", "virtual_router_id 52", "10.0.0.2");
    assert_eq!(config(&format!("{a}{b}")).digest(), config(&format!("{b}{a}")).digest());
}

#[test]
fn what_has_to_agree_changes_it() {
    let one = digest("", "10.0.0.1");
    let others = [
        digest("virtual_router_id 52", "10.0.0.1"),
        digest("version 3", "10.0.0.1"),
        digest("advert_int 2", "10.0.0.1"),
        digest("authentication {\nauth_type PASS\nauth_pass x\n}", "10.0.0.1"),
        digest("authentication {\nauth_type AH\nauth_pass x\n}", "10.0.0.1"),
        digest(&format!("auth_hmac {{\nkey 1 {}\nactive_key 1\n}}", "x".repeat(32)), "10.0.0.1"),
        digest("mcast_dst_ip 224.0.0.20", "10.0.0.1"),
        digest("unicast_peer {\n10.0.0.9\n}", "10.0.0.1"),
        digest("down_timer_adverts 2", "10.0.0.1"),
        digest("", "10.0.0.1\n10.0.0.2"),
        digest("", "10.0.0.2"),
        digest("virtual_ipaddress_excluded {\n10.0.0.2\n}", "10.0.0.1"),
    ];
    let distinct: std::collections::BTreeSet<&String> = others.iter().chain([&one]).collect();
    assert_eq!(distinct.len(), others.len() + 1);
}

#[test]
fn what_is_spread_or_kept_apart_is_agreed_on() {
    let router = |name: &str, vrid, more| {
        format!(
            "[[router]]\nname = \"{name}\"\ninterface = \"eth0\"\nvrid = {vrid}\naddresses = [\"10.0.0.{vrid}\"]\n{more}\n"
        )
    };
    let digest = |mesh: &str, more| {
        let text = format!("{mesh}{}{}", router("A", 1, more), router("B", 2, ""));
        crate::native::parse(Path::new("f"), &text, &crate::host::Host::none()).0.expect("usable").digest()
    };
    let plain = digest("", "");
    assert_eq!(digest("[mesh]\ncapacity = 7\nmoves_per_minute = 9\n", "spread = false"), plain);
    let others =
        [digest("", "spread = true"), digest("[mesh]\nspread = true\n", ""), digest("", "keep_apart = [\"B\"]")];
    for (n, other) in others.iter().enumerate() {
        assert!(*other != plain && !others[..n].contains(other), "{n}");
    }
}
