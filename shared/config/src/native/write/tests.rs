use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::host::Host;
use crate::model::Password;
use crate::report::Severity;

/// What reading the written text gives.
fn again(config: &Config) -> Config {
    let (text, lost) = write(config);
    assert_eq!(lost, Vec::<String>::new());
    let (read, report) = crate::native::parse(Path::new("w"), &text, &Host::none());
    let said: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    read.unwrap_or_else(|| panic!("{said:#?} in\n{text}"))
}

fn carried(text: &str) {
    let (config, report) = crate::parse(Path::new("f"), text, &Host::none());
    let said: Vec<String> =
        report.findings.iter().filter(|f| f.severity == Severity::Error).map(ToString::to_string).collect();
    let config = config.unwrap_or_else(|| panic!("{said:#?} in\n{text}"));
    assert_eq!(meant(&again(&config)), meant(&config), "{}", write(&config).0);
}

#[test]
fn every_key_of_the_example_is_written() {
    carried(include_str!("../../../../../deploy/examples/meshd.toml"));
}

#[test]
fn what_decides_nothing_makes_no_difference() {
    let text = "virtual_server 10.0.0.1 80 {\n protocol TCP\n lb_algo rr\n lb_kind NAT\n delay_loop 7\n \
                real_server 10.0.0.2 80 {\n MISC_CHECK {\n misc_path /bin/x\n }\n }\n}\n";
    let one = crate::parse(Path::new("f"), text, &Host::none()).0.unwrap();
    let mut other = one.clone();
    other.virtual_servers[0].real_servers[0].checks[0].connect.timeout = Duration::from_secs(9);
    assert!(one != other && same(&one, &other));
    other.virtual_servers[0].real_servers[0].checks[0].retry = 9;
    assert!(!same(&one, &other));
}

#[test]
fn both_languages_twins_are_carried() {
    carried(include_str!("../../../fixtures/director.conf"));
    carried(include_str!("../../../fixtures/director.toml"));
    carried(include_str!("../../../fixtures/as-found.conf"));
}

#[test]
fn what_adverts_list_twice_is_carried() {
    let text = "vrrp_instance A {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress {\n 10.0.0.1\n \
                10.0.0.2\n 10.0.0.1\n }\n}\n";
    carried(text);
}

#[test]
fn nothing_but_what_differs_is_written() {
    assert_eq!(write(&Config::default()), (String::new(), Vec::new()));
    let text = "vrrp_instance A {\n interface eth0\n virtual_router_id 7\n virtual_ipaddress {\n  10.0.0.1/24\n }\n}\n";
    let config = crate::parse(Path::new("f"), text, &Host::none()).0.unwrap();
    let expected = "[[router]]\nname = \"A\"\ninterface = \"eth0\"\nvrid = 7\naddresses = [\"10.0.0.1/24\"]\n";
    assert_eq!(write(&config).0, expected);
}

#[test]
fn what_has_no_words_is_told() {
    let text = "vrrp_instance A {\n interface eth0\n virtual_router_id 7\n virtual_ipaddress {\n  10.0.0.1\n }\n}\n";
    let mut config = crate::parse(Path::new("f"), text, &Host::none()).0.unwrap();
    config.routers[0].auth_pass = Some(Password([0xff; 8]));
    assert_eq!(write(&config).1, ["router `A`: the password is no text"]);
}

#[test]
fn choices_and_keys_are_carried_in_each_mode() {
    let block = |more: &str, addresses: &str| {
        format!("vrrp_instance A {{\n interface eth0\n virtual_router_id 7\n{more}\n {addresses}\n}}\n")
    };
    let served = "virtual_ipaddress {\n 10.0.0.1\n }";
    let hmac = |more: &str| {
        let (text, hex) = ("k".repeat(40), "00ff".repeat(16));
        format!(" auth_hmac {{\n key 1 {text}\n key 200 hex:{hex}\n active_key 200\n {more}\n }}")
    };
    let header = " authentication {\n auth_type AH\n auth_pass secret\n }";
    let peers = " unicast_src_ip 10.0.0.9\n unicast_ttl 9\n old_unicast_checksum never\n check_unicast_src\n unicast_peer {\n \
                 10.0.0.8 min_ttl 3\n 10.0.0.7\n }";
    let bodies = [
        format!("{header}\n no_accept\n higher_prio_send_advert\n lower_prio_no_advert\n owner_ignore_adverts"),
        format!("{}\n{peers}", hmac("anti_replay monotonic\n mode permissive")),
        hmac("time_window 60\n mode receive-only"),
        " version 3\n v3_checksum_as_v2\n promote_secondaries\n down_timer_adverts 9\n mcast_dst_ip 224.0.0.99".into(),
        " garp_lower_prio_repeat 0\n garp_lower_prio_delay 7\n garp_extra_if all 60\n garp_master_delay 2".into(),
        " unicast_ttl 9\n old_unicast_checksum".into(),
        " unicast_fault_no_peer\n unicast_src_ip 10.0.0.9\n unicast_peer {\n }".into(),
        " nopreempt\n timer_expired_backup 9".into(),
        " timer_expired_backup".into(),
        " priority 255\n no_accept".into(),
    ];
    for strict in ["", " strict_mode\n"] {
        for body in &bodies {
            let globals = "global_defs {\n log_unknown_vrids\n vrrp_garp_interval 0.01\n vrrp_gna_interval 2\n}\n\
                           garp_group {\n garp_interval 0.5\n interfaces {\n eth0\n eth1\n }\n}\n";
            carried(&format!("{globals}{}", block(&format!("{body}\n{strict}"), served)));
        }
    }
    carried(&block(" unicast_src_ip fd00::1\n", "no_virtual_ipaddress"));
}

/// A keepalived.conf of everything that has a number, a word or a switch.
fn drawn() -> impl Strategy<Value = String> {
    let instance = (1_u8..=255, 1_u8..=254, 1_u32..200, any::<[bool; 6]>(), "[a-zA-Z0-9.$'#-]{1,8}", 0_u32..999);
    let real = (0_u32..400, any::<[bool; 4]>(), 1_u32..90, 0_u32..9, "/[a-z0-9.]{0,9}", 100_u16..500);
    (instance, prop::collection::vec(real, 1..4), any::<[bool; 5]>(), 0_u32..0o777).prop_map(
        |(instance, reals, on, mask)| {
            let (vrid, priority, interval, [v3, no_preempt, unicast, strict, label, script], pass, delay) = instance;
            let keyword = |on: bool, text: &str| if on { format!(" {text}\n") } else { String::new() };
            let mut text = format!("global_defs {{\n router_id r\n umask 0{mask:o}\n");
            text += &keyword(on[0], "smtp_alert_checker on");
            text += &keyword(on[1], "lvs_timeouts tcp 9 udp 8");
            text += &keyword(on[2], "data_use_instance");
            text += &format!(
                "}}\nvrrp_script s {{\n script \"/bin/x 'a b' c\"\n weight -{priority}\n interval 0.{interval}\n}}\n"
            );
            text += &format!("vrrp_instance A {{\n interface eth0\n virtual_router_id {vrid}\n priority {priority}\n");
            text += &if v3 {
                format!(" version 3\n advert_int 0.{interval:02}\n")
            } else {
                format!(" advert_int {interval}\n")
            };
            text += &keyword(no_preempt, "nopreempt");
            text += &keyword(!no_preempt && !strict, &format!("preempt_delay {delay}"));
            text += &keyword(unicast, "unicast_src_ip 10.0.0.9\n unicast_peer {\n 10.0.0.8\n }");
            text += &keyword(strict, "strict_mode");
            text +=
                &keyword(!v3 && !strict, &format!("authentication {{\n auth_type PASS\n auth_pass \"{pass}\"\n }}"));
            text += &keyword(script, "track_script {\n s weight 3\n }");
            let label = if label { "dev eth1 label eth1:7 scope link brd 10.0.0.255" } else { "" };
            text += &format!(" virtual_ipaddress {{\n 10.0.0.1/24 {label}\n 10.0.0.2\n }}\n}}\n");
            text += "virtual_server 10.0.0.1 80 {\n lb_algo sh\n lb_kind NAT\n protocol TCP\n";
            text += &keyword(on[3], "alpha");
            text += &keyword(on[4], "persistence_timeout 9");
            for (i, (weight, [inhibit, http, notify, dynamic], delay_loop, retry, path, status)) in
                reals.iter().enumerate()
            {
                text += &format!(" real_server 10.0.1.{i} 80 {{\n weight {weight}\n");
                text += &keyword(*inhibit, "inhibit_on_failure");
                text += &keyword(*notify, "notify_up \"/bin/up x\" root");
                let common = format!("delay_loop {delay_loop}\n retry {retry}\n");
                text += &keyword(
                    *http,
                    &format!("HTTP_GET {{\n {common} url {{\n path {path}\n status_code {status}\n }}\n }}"),
                );
                text +=
                    &keyword(*dynamic, &format!("MISC_CHECK {{\n {common} misc_path \"/bin/y\"\n misc_dynamic\n }}"));
                text += &format!(" TCP_CHECK {{\n {common} connect_port 8{i}\n bindto 10.0.0.7\n }}\n }}\n");
            }
            text + "}\n"
        },
    )
}

proptest! {
    #[test]
    fn drawn_configurations_are_carried(text in drawn()) {
        carried(&text);
    }

    #[test]
    fn times_are_carried(micros in 0_u64..10_000_000_000) {
        let config = Config { mail: Mail { connect_timeout: Duration::from_micros(1_000_000 + micros % 4_293_000_000), ..Mail::default() }, ..Config::default() };
        prop_assert_eq!(again(&config), config);
    }
}

#[test]
fn how_threads_run_is_carried() {
    let served = "vrrp_instance A {\n interface eth0\n virtual_router_id 7\n virtual_ipaddress {\n  10.0.0.1\n }\n}\n";
    let globals = "vrrp_priority -5\n vrrp_rt_priority 3\n checker_rlimit_rttime 20000001\n vrrp_no_swap\n \
                   bfd_cpu_affinity 0 2\n max_auto_priority 7\n min_auto_priority_delay 500001\n process_names\n \
                   reload_check_config /a\n reload_time_file /b\n reload_repeat\n config_save_dir /c";
    carried(&format!("global_defs {{\n {globals}\n}}\n{served}"));
    let group = "track_group G {\n group {\n A\n }\n}\nstatic_rules {\n from 10.9.0.0/24 table 7 track_group G\n}\n\
                 static_routes {\n 10.9.0.0/24 dev eth0 track_group G\n 10.8.0.0/24 dev eth0\n}\n";
    carried(&format!("{group}{served}"));
    carried(&served.replace("virtual_router", "use_ipvlan 10.0.0.7/24 private\n virtual_router"));
    carried(&format!("net_namespace_ipvs\n{served}"));
}
