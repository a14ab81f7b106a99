use std::path::Path;

use super::*;

fn config(text: &str) -> Config {
    crate::keepalived::parse(Path::new("f"), text, &crate::host::Host::none()).0.expect("usable")
}

fn router(lines: &str) -> Config {
    config(&format!(
        "vrrp_instance A {{\n virtual_router_id 51\n interface eth0\n virtual_ipaddress {{\n 10.0.0.1\n }}\n{lines}\n}}\n\
         vrrp_instance B {{\n virtual_router_id 52\n interface eth0\n virtual_ipaddress {{\n 10.0.0.2\n }}\n}}\n"
    ))
}

/// What is set otherwise in the first of two routers, or in the virtual server: word, value, value.
fn differences<'s>(subject: &str, one: &'s Settings, other: &'s Settings) -> Vec<(&'s str, &'s str, &'s str)> {
    let (one, other) = (&one.subjects[subject].settings, &other.subjects[subject].settings);
    let words = one.keys().chain(other.keys().filter(|word| !one.contains_key(*word)));
    let value = |list: &'s List, word| list.get(word).map_or("-", |setting| setting.value.as_str());
    let pairs = words.map(|word| (word.as_str(), value(one, word), value(other, word)));
    pairs.filter(|(_, one, other)| one != other).collect()
}

#[test]
fn every_setting_of_a_router_has_its_word_and_its_value() {
    let plain = router("").settings();
    let key = "x".repeat(32);
    let hmac = |more: &str| format!("version 3\nauth_hmac {{\nkey 1 {key}\nactive_key 1\n{more}\n}}");
    let table = [
        ("version 3".to_owned(), vec![("version", "2", "3")]),
        ("advert_int 2".to_owned(), vec![("advert_int", "1 s", "2 s")]),
        ("version 3\nadvert_int 0.25".to_owned(), vec![("advert_int", "1 s", "0.25 s"), ("version", "2", "3")]),
        ("authentication {\nauth_type PASS\nauth_pass x\n}".to_owned(), vec![("auth_type", "none", "PASS")]),
        ("authentication {\nauth_type AH\nauth_pass x\n}".to_owned(), vec![("auth_type", "none", "AH")]),
        (hmac(""), vec![("auth_hmac", "none", "anti_replay time"), ("version", "2", "3")]),
        (hmac("anti_replay monotonic"), vec![("auth_hmac", "none", "anti_replay monotonic"), ("version", "2", "3")]),
        ("mcast_dst_ip 224.0.0.20".to_owned(), vec![("adverts to", "224.0.0.18", "224.0.0.20")]),
        ("unicast_peer {\n10.0.0.9\n}".to_owned(), vec![("adverts to", "224.0.0.18", "unicast peers")]),
        ("down_timer_adverts 2".to_owned(), vec![("down_timer_adverts", "3", "2")]),
        ("use_vmac".to_owned(), vec![("use_vmac", "no", "00:00:5e:00:01:33")]),
        ("virtual_ipaddress {\n10.0.0.3\n}".to_owned(), vec![("virtual_ipaddress", "10.0.0.1", "10.0.0.1 10.0.0.3")]),
        (
            "virtual_ipaddress_excluded {\n10.0.0.4/24\n}".to_owned(),
            vec![("virtual_ipaddress_excluded", "none", "10.0.0.4")],
        ),
    ];
    for (lines, expected) in &table {
        assert_eq!(differences("4.51", &plain, &router(lines).settings()), *expected, "{lines}");
    }
    assert_eq!(plain.subjects["4.51"].name, "A");
}

#[test]
fn a_place_in_the_mesh_is_a_setting() {
    let text = |mesh: &str, more: &str| {
        let router = |name, vrid, more| {
            format!(
                "[[router]]\nname = \"{name}\"\ninterface = \"eth0\"\nvrid = {vrid}\naddresses = [\"10.0.0.{vrid}\"]\n{more}\n"
            )
        };
        let text = format!("{mesh}\n{}{}", router("A", 51, more), router("B", 52, ""));
        crate::native::parse(Path::new("f"), &text, &crate::host::Host::none()).0.expect("usable").settings()
    };
    let plain = text("", "");
    let differs = |other: Settings| {
        let all = differences("4.51", &plain, &other);
        all.into_iter().map(|(word, one, other)| format!("{word}: {one}, {other}")).collect::<Vec<_>>()
    };
    assert_eq!(differs(text("", "spread = true")), ["spread: no, yes"]);
    assert_eq!(differs(text("[mesh]\nspread = true", "")), ["spread: no, yes"]);
    assert_eq!(differs(text("", "keep_apart = [\"B\"]")), ["keep_apart: none, 4.52"]);
    let group = config(&format!("{}vrrp_sync_group G {{\n group {{\n A\n B\n }}\n}}\n", two()));
    let alone = config(&two());
    assert_eq!(differences("4.52", &alone.settings(), &group.settings()), [("vrrp_sync_group", "none", "4.51")]);
}

/// Two routers.
fn two() -> String {
    let router = |name, vrid| {
        format!(
            "vrrp_instance {name} {{\n virtual_router_id {vrid}\n interface eth0\n virtual_ipaddress {{\n 10.0.0.{vrid}\n }}\n}}\n"
        )
    };
    router("A", 51) + &router("B", 52)
}

const SERVICE: &str = "10.0.0.1:80/tcp";

/// A virtual server on the fixed address, with lines of its own and a second real server's.
fn service(lines: &str, real: &str) -> Settings {
    config(&format!(
        "virtual_server 10.0.0.1 80 {{\n protocol TCP\n lb_algo rr\n lb_kind NAT\n{lines}\n real_server 10.0.0.2 80 {{\n }}\n \
         real_server 10.0.0.3 80 {{\n{real}\n }}\n}}\n"
    ))
    .settings()
}

#[test]
fn every_setting_of_a_virtual_server_has_its_word_and_its_value() {
    let plain = service("", "");
    let real = "real_server 10.0.0.3:80";
    let table = [
        (("lb_algo wrr", ""), vec![("lvs_sched", "rr", "wrr")]),
        (("lb_algo sh\nsh-fallback", ""), vec![("flag-1", "no", "yes"), ("lvs_sched", "rr", "sh")]),
        (("lb_algo sh\nsh-port", ""), vec![("flag-2", "no", "yes"), ("lvs_sched", "rr", "sh")]),
        (("flag-3", ""), vec![("flag-3", "no", "yes")]),
        (("persistence_timeout 50", ""), vec![("persistence_timeout", "none", "50")]),
        (
            ("persistence_timeout 50\npersistence_granularity 255.255.255.0", ""),
            vec![("persistence_granularity", "none", "24"), ("persistence_timeout", "none", "50")],
        ),
        (
            ("persistence_timeout 50\npersistence_engine sip", ""),
            vec![("persistence_engine", "none", "sip"), ("persistence_timeout", "none", "50")],
        ),
        (("quorum 2", ""), vec![("quorum", "1", "2")]),
        (("quorum 2\nhysteresis 1", ""), vec![("hysteresis", "0", "1"), ("quorum", "1", "2")]),
        (("sorry_server 10.0.0.9 81", ""), vec![("sorry_server", "none", "10.0.0.9:81 nat")]),
        (("real_server 10.0.0.4 80 {\n}", ""), vec![("real_server 10.0.0.4:80", "-", "nat weight 1")]),
        (("", "weight 2"), vec![(real, "nat weight 1", "nat weight 2")]),
        (("", "uthreshold 2"), vec![(real, "nat weight 1", "nat weight 1 lthreshold 0 uthreshold 2")]),
        (("", "lvs_method DR"), vec![(real, "nat weight 1", "dr weight 1")]),
        (("", "lvs_method TUN"), vec![(real, "nat weight 1", "tun weight 1")]),
        (("", "lvs_method TUN type gre csum"), vec![(real, "nat weight 1", "gre csum weight 1")]),
        (("", "lvs_method TUN type gue port 5"), vec![(real, "nat weight 1", "gue port 5 weight 1")]),
    ];
    for ((lines, of), expected) in table {
        assert_eq!(differences(SERVICE, &plain, &service(lines, of)), expected, "{lines} {of}");
    }
    let datagrams = service("protocol UDP\nops", "");
    assert_eq!(datagrams.subjects.keys().collect::<Vec<_>>(), ["10.0.0.1:80/udp"]);
    assert_eq!(datagrams.subjects["10.0.0.1:80/udp"].settings["ops"], Setting { value: "yes".into(), usual: false });
}

#[test]
fn keys_show_only_whether_they_are_equal() {
    let nonce = [7; 32];
    let password =
        |word: &str| router(&format!("authentication {{\nauth_type PASS\nauth_pass {word}\n}}")).secrets(nonce);
    let (one, same, other) = (password("hunter2"), password("hunter2"), password("hunter3"));
    assert_eq!(one, same);
    assert_ne!(one.password("4.51"), other.password("4.51"));
    assert_eq!((one.password("4.52"), one.tags.len()), (None, 1));
    let key = |number, text: &str| {
        let key = text.repeat(32);
        router(&format!("version 3\nauth_hmac {{\nkey {number} {key}\nactive_key {number}\n}}"))
    };
    let tags = |config: Config| config.secrets(nonce).key("4.51", 1).map(str::to_owned);
    assert_eq!(tags(key(1, "a")), tags(key(1, "a")));
    assert!(tags(key(1, "a")) != tags(key(1, "b")) && tags(key(2, "a")).is_none());
    // Nowhere else, and anew for every nonce.
    let secret = router("authentication {\nauth_type PASS\nauth_pass hunter2\n}");
    assert_ne!(secret.secrets([8; 32]).password("4.51"), one.password("4.51"));
    assert_eq!(secret.digest(), router("authentication {\nauth_type PASS\nauth_pass x\n}").digest());
    let told = format!("{:?} {:?} {}", secret.settings(), secret.secrets(nonce), secret.digest());
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn what_has_to_fit_is_asked_for_though_digests_are_equal() {
    assert!(!router("").settings().has_to_fit());
    for lines in ["authentication {\nauth_type PASS\nauth_pass x\n}", "unicast_peer {\n10.0.0.9\n}"] {
        assert!(router(lines).settings().has_to_fit(), "{lines}");
    }
}
