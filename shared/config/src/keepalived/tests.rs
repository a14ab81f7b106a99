//! Every group of keywords, and every kind of finding with its exact place.

mod bfd;
mod conduct;
mod instance;
mod notify;
mod process;
mod server;
mod track;
mod vmac;

use super::*;
use crate::model::*;
use crate::report::{Finding, Severity};
use std::time::Duration;

/// A text and what is found in it, one finding in a line: `line:column severity message`.
fn read(text: &str) -> (Option<Config>, Vec<String>) {
    let (config, report) = parse(Path::new("f"), text, &Host::none());
    let short = |f: &Finding| {
        let severity = match f.severity {
            Severity::Ignored => "I",
            Severity::Warning => "W",
            Severity::Error => "E",
        };
        format!("{}:{} {severity} {}", f.place.line, f.place.column, f.message)
    };
    (config, report.findings.iter().map(short).collect())
}

/// Exactly one finding, which begins as given.
#[track_caller]
fn assert_found(text: &str, start: &str) -> Option<Config> {
    let (config, found) = read(text);
    assert_eq!(found.len(), 1, "{found:#?}\nin\n{text}");
    assert!(found[0].starts_with(start), "{}\nin\n{text}", found[0]);
    assert_eq!(config.is_none(), found[0].contains(" E "));
    config
}

/// Nothing to say.
#[track_caller]
fn assert_clean(text: &str) -> Config {
    let (config, found) = read(text);
    assert!(found.is_empty(), "{found:#?}\nin\n{text}");
    config.expect("usable")
}

/// A sound instance on lines 1 to 7, `more` from line 4 on.
fn with(more: &str) -> String {
    format!(
        "vrrp_instance A {{\n interface eth0\n virtual_router_id 51\n{more}\n virtual_ipaddress {{\n  10.0.0.1\n }}\n}}\n"
    )
}

/// A sound instance with `lines` in `global_defs`, from line 2 on.
fn global(lines: &str) -> String {
    format!("global_defs {{\n{lines}\n}}\n{}", with(""))
}

/// A sound instance, and a script with `lines` from line 2 on.
fn script(lines: &str) -> String {
    format!("vrrp_script s {{\n{lines}\n}}\n{}", with(" track_script {\n  s\n }"))
}

#[test]
fn an_empty_file_is_usable() {
    assert_eq!(assert_clean("\n# nothing\n"), Config::default());
}

#[test]
fn global_settings_reach_the_model() {
    let text = global(
        " router_id lb1\n script_user ops staff\n enable_script_security\n vrrp_version 3\n vrrp_skip_check_adv_addr\n \
         vrrp_garp_master_delay 2\n vrrp_garp_master_repeat 3\n vrrp_garp_master_refresh 60\n vrrp_garp_master_refresh_repeat 2",
    );
    let config = assert_clean(&text);
    assert_eq!(config.router_id.as_deref(), Some("lb1"));
    assert_eq!(
        config.scripts,
        ScriptSecurity { user: Some(("ops".into(), Some("staff".into()))), enable: true, ..ScriptSecurity::default() }
    );
    let router = &config.routers[0];
    assert_eq!(router.version, Version::V3);
    assert!(router.skip_check_adv_addr && !router.strict);
    let seconds = Duration::from_secs;
    assert_eq!(
        router.garp,
        GratuitousArp {
            repeat: 3,
            delay: seconds(2),
            refresh: seconds(60),
            refresh_repeat: 2,
            lower_prio_repeat: 3,
            lower_prio_delay: seconds(2),
            ..GratuitousArp::default()
        }
    );
}

#[test]
fn global_settings_hold_for_instances_above_them() {
    let config = assert_clean(&format!("{}global_defs {{\n vrrp_version 3\n}}\n", with("")));
    assert_eq!(config.routers[0].version, Version::V3);
}

#[test]
fn global_findings() {
    for (line, start) in [
        (" router_id", "2:2 W `router_id` has no value"),
        (" script_user", "2:2 W `script_user` has no value"),
        (" vrrp_version 4", "2:15 W `4` is no value for `vrrp_version`: expected 2 or 3"),
        (" vrrp_version", "2:2 E `vrrp_version` has no value"),
        (" vrrp_garp_interval 0", "2:21 W `0` is no value"),
        (" vrrp_gna_interval x", "2:20 W `x` is no value"),
        (" vrrp_garp_interval 10.1", "2:21 W `10.1` is no value for `vrrp_garp_interval`: expected seconds above 0"),
        (" vrrp_mcast_group4 10.0.0.1", "2:20 W `10.0.0.1` is no value for `vrrp_mcast_group4`: expected a multicast"),
        (" vrrp_mcast_group6 ff05::12", "2:20 W `ff05::12` is no value for `vrrp_mcast_group6`"),
        (
            " vrrp_down_timer_adverts 0",
            "2:26 W `0` is no value for `vrrp_down_timer_adverts`: expected a number from 1",
        ),
        (" vrrp_lower_prio_no_advert x", "2:28 W `x` is no value for"),
        (" vrrp_min_garp x", "2:16 W `x` is no value for `vrrp_min_garp`"),
        (" default_interface", "2:2 E `default_interface` has no value"),
        (" vrrp_iptables A B", "2:2 W `vrrp_iptables` is obsolete"),
        (" vrrp_garp_master_repeat 0", "2:26 W `vrrp_garp_master_repeat` is out of range 1 to 1000; 1 is used"),
        (" vrrp_garp_master_repeat 4000000000", "2:26 W `vrrp_garp_master_repeat` is out of range 1 to 1000; 1000"),
        (" smtp_server foo", "2:14 W `foo` is no mail server"),
        (" smtp_server 10.0.0.1 x", "2:14 W `10.0.0.1` is no mail server"),
        (" smtp_connect_timeout 0", "2:23 W `0` is no value"),
        (" notification_email a@b", "2:2 E `notification_email` has no block"),
        (" notification_email {\n }", "2:21 W `notification_email` is empty"),
        (" notification_email_from", "2:2 W `notification_email_from` has no value"),
        (" smtp_alert_vrrp maybe", "2:18 W `maybe` is no value for `smtp_alert_vrrp`"),
        (" smtp_alert maybe", "2:13 W `maybe` is no value for `smtp_alert`"),
        (" vrrp_netlink_cmd_rcv_bufs 1000", "2:2 I `vrrp_netlink_cmd_rcv_bufs`"),
        (" router_idd x", "2:2 W unknown keyword `router_idd`; skipped (did you mean `router_id`?)"),
        (" -----", "2:2 W unknown keyword `-----` in `global_defs`; skipped"),
        (" state MASTER", "2:2 W `state` belongs in `vrrp_instance`, not in `global_defs`"),
    ] {
        assert_found(&global(line), start);
    }
}

#[test]
fn top_level_findings() {
    for (line, start) in [
        ("foo bar", "1:1 W unknown keyword `foo` in the top level; skipped"),
        (
            "vrrp_instanze B {\n priority 1\n}",
            "1:1 W unknown keyword `vrrp_instanze`; skipped (did you mean `vrrp_instance`?)",
        ),
        ("net_namespace_ipvs a/b", "1:20 W `a/b` is no value for `net_namespace_ipvs`: expected a name without `/`"),
        ("static_routes", "1:1 E `static_routes` has no block"),
        ("static_rules {\n table 5\n}", "2:2 W the rule has no `priority`"),
        ("static_ipaddress {\n 10.0.0.9/24\n}", "2:2 W 10.0.0.9/24 names no interface"),
        ("static_routes {\n 10.0.0.0/8 dev a track_group G\n}", "2:31 W there is no `track_group G`; nothing follows"),
        ("static_routes {\n 10.0.0.0/8 dev a track_group\n}", "2:19 W `track_group` has no value"),
        ("track_group G\n", "1:1 E `track_group` has no block"),
        ("track_group {\n}\n", "1:1 W `track_group` has no name"),
        ("track_group G {\n group {\n  VI_A\n }\n}\n", "3:3 W there is no `vrrp_instance VI_A`; left out"),
        ("track_group G {\n grup {\n }\n}\n", "2:2 W unknown keyword `grup`"),
        ("track_group G {\n}\ntrack_group G {\n}\n", "3:13 W a second `track_group G`; the first one stays"),
        ("vrrp_script s", "1:1 E `vrrp_script` has no block"),
        ("vrrp_instance B", "1:1 E `vrrp_instance` has no block"),
        ("vrrp_instance {\n}", "1:1 E `vrrp_instance` has no name"),
        ("vrrp_script {\n}", "1:1 E `vrrp_script` has no name"),
    ] {
        assert_found(&format!("{line}\n{}", with("")), start);
    }
}

#[test]
fn what_the_language_left_over_is_found_everywhere() {
    for (text, start) in [
        (with(" @^a @^b priority 100"), "4:6 W `@^b`: a line takes one condition; the line is skipped"),
        (with(" priority ${PRIO}"), "4:11 E `${PRIO}` is not defined; expected `$NAME=value` in an earlier line"),
        (with(" priority ${PRIO"), "4:11 E `${` begins no variable; expected quotes around it, or `${NAME}`"),
        (with(" include"), "4:2 W `include` has no file name; skipped"),
        (with(" virtual_ipaddress {\n  include # x\n }"), "5:3 W `include` has no file name"),
        (with(" track_script {\n  include\n }"), "5:3 W `include`"),
        (with(" unicast_peer {\n  10.0.0.9\n  @^a @b 10.0.0.8\n }"), "6:7 W `@b`: a line takes one condition"),
        (global(" $1A=b"), "2:2 W `$1A=b` defines nothing: expected `$NAME=value`"),
        (global(" $A=b\n router_id $AA"), "3:12 W `$AA` is not defined (did you mean `$A`?); taken as it is"),
        (script(" script /bin/true\n interval ${I}"), "3:11 E `${I}` is not defined"),
        (script(" script /bin/true\n rise 3 \\"), "3:9 W `\\` joins lines in definitions (`$X=`) only; taken as it is"),
    ] {
        assert_found(&text, start);
    }
    assert_clean(&script(" script \"/bin/sh -c 'echo ${X:-y} ${X} $X'\""));
    assert_clean(&global(" router_id $X"));
}

#[test]
fn a_brace_too_many_is_skipped_where_nothing_follows() {
    let config = assert_found(&format!("{}}}\n", with("")), "9:1 W `}` closes nothing").unwrap();
    assert_eq!(config.routers.len(), 1);
    let text = format!("{}\n}}\nglobal_defs {{\n router_id x\n}}\n", with(""));
    assert_found(&text, "10:1 W `}` closes nothing");
}

#[test]
fn a_brace_too_many_that_takes_a_block_from_its_keywords_is_an_error() {
    let text = "vrrp_instance A {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress {\n  10.0.0.1\n }\n }\n priority 9\n}\n";
    let (config, found) = read(text);
    assert!(config.is_none());
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("8:2 W `priority` belongs in `vrrp_instance`, not in the top level"), "{}", found[0]);
    assert!(
        found[1].starts_with("9:1 E `}` closes nothing: its block ended before `priority` in line 8"),
        "{}",
        found[1]
    );
}

#[test]
fn a_broken_structure_is_the_only_finding() {
    assert_found("foo\nvrrp_instance A {\n", "2:17 E the block `vrrp_instance` opened here is not closed");
    assert_found("foo\nbar \"x\n", "2:5 E the quote opened here is not closed");
}

#[test]
fn scripts_reach_the_model() {
    let text = script(
        " script \"/bin/check -a 'b c'\"\n interval 2\n timeout 0.5\n weight -20\n rise 2\n fall 3\n init_fail\n user ops",
    );
    let script = TrackScript {
        name: "s".into(),
        command: ["/bin/check", "-a", "b c"].map(String::from).to_vec(),
        interval: Duration::from_secs(2),
        timeout: Duration::from_millis(500),
        weight: -20,
        reverse: false,
        rise: 2,
        fall: 3,
        init_fail: true,
        user: Some(("ops".into(), None)),
    };
    assert_eq!(assert_clean(&text).track_scripts, [script]);
}

#[test]
fn scripts_have_defaults() {
    let config = assert_clean(&script(" script /bin/check -a 'b c'\n interval 3"));
    let quoted = assert_clean(&script(" script '/bin/check -a \"b c\"'\n interval 3"));
    let script = &config.track_scripts[0];
    assert_eq!(script.command, ["/bin/check", "-a", "b c"]);
    assert_eq!(quoted.track_scripts[0], *script, "quotes of either kind");
    assert_eq!((script.weight, script.rise, script.fall, script.init_fail), (0, 1, 1, false));
    assert_eq!((script.interval, script.timeout), (Duration::from_secs(3), Duration::from_secs(3)));
}

#[test]
fn script_findings() {
    for (line, start) in [
        (" interval 0", "3:11 W `interval` must be above 0; 1 is used"),
        (" interval 1s", "3:11 W `1s` is no value for `interval`"),
        (" interval 4295", "3:11 W `4295` is no value for `interval`"),
        (" timeout x", "3:10 W `x` is no value for `timeout`"),
        (" weight 300", "3:9 W `300` is no value for `weight`: expected a number from -253 to 253; skipped"),
        (" weight 5 foo", "3:11 W `foo` is no option of a weight: expected reverse or noreverse"),
        (" rise 0", "3:7 W `0` is no value for `rise`"),
        (" fall -1", "3:7 W `-1` is no value for `fall`"),
        (" user", "3:2 W `user` has no value"),
        (" interval", "3:2 E `interval` has no value"),
        (" script \"'open\"", "3:9 W this command is empty or has an open quote; expected a program; left out"),
        (" intervall 3", "3:2 W unknown keyword `intervall`; skipped (did you mean `interval`?)"),
        (" rise 3 {\n }", "3:9 E `rise` takes no block"),
    ] {
        assert_found(&script(&format!(" script /bin/true\n{line}")), start);
    }
}

#[test]
fn a_script_without_command_is_left_out() {
    let (config, found) = read(&script(" interval 2"));
    assert!(found[0].starts_with("1:13 W `vrrp_script s` has no `script`; left out"), "{found:#?}");
    assert!(found[1].starts_with("8:3 W there is no `vrrp_script s`; not tracked"), "{found:#?}");
    let (open, found) = read(&script(" script '/bin/check -a"));
    assert_eq!(open.map(|config| config.track_scripts), Some(Vec::new()));
    let begins: Vec<&str> = found.iter().map(|f| &f[..20]).collect();
    assert_eq!(begins, ["1:13 W `vrrp_script ", "2:9 W this command i", "8:3 W there is no `v"]);
    let config = config.unwrap();
    assert!(config.track_scripts.is_empty() && config.routers[0].track.scripts.is_empty());
}

#[test]
fn a_second_script_of_a_name_is_left_out() {
    let text = format!("vrrp_script s {{\n script /bin/a\n}}\n{}", script(" script /bin/b"));
    let config = assert_found(&text, "4:13 W a second `vrrp_script s`").unwrap();
    assert_eq!(config.track_scripts.len(), 1);
    assert_eq!(config.track_scripts[0].command, ["/bin/a"]);
}

#[test]
fn a_script_may_stand_further_down() {
    let text = format!("{}vrrp_script s {{\n script /bin/a\n}}\n", with(" track_script {\n  s\n }"));
    let config = assert_found(&text, "5:3 W `vrrp_script s` stands further down").unwrap();
    assert_eq!(config.routers[0].track.scripts.len(), 1);
}

#[test]
fn every_keyword_acted_upon_is_known_to_its_block() {
    use keywords::*;
    for (context, text) in [(&GLOBAL, global as fn(&str) -> String), (&INSTANCE, with), (&SCRIPT, script)] {
        for keyword in context.acted {
            let (_, found) = read(&text(&format!(" {keyword} 1")));
            let odd =
                found.iter().find(|f| f.contains("unknown") || f.contains("not read here") || f.contains("belongs"));
            assert_eq!(odd, None, "{keyword}");
        }
    }
}
