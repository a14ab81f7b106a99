//! How instances behave and authenticate, beyond the everyday keywords.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use super::*;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn only(text: &str) -> VirtualRouter {
    assert_clean(text).routers.remove(0)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[track_caller]
fn warned(more: &str, start: &str) -> VirtualRouter {
    assert_found(&with(more), start).expect("usable").routers.remove(0)
}

#[test]
fn choices_are_those_of_the_instance_then_the_global_ones() {
    let defaults = global(
        " vrrp_lower_prio_no_advert\n vrrp_higher_prio_send_advert on\n vrrp_down_timer_adverts 5\n \
         vrrp_owner_ignore_adverts\n v3_checksum_as_v2\n vrrp_check_unicast_src\n vrrp_mcast_group4 224.0.0.20\n \
         vrrp_mcast_group6 ff02::20\n vrrp_garp_lower_prio_repeat 0\n vrrp_garp_lower_prio_delay 3\n \
         vrrp_garp_extra_if all 30\n vrrp_garp_interval 0.001\n vrrp_gna_interval 0.000002\n log_unknown_vrids",
    );
    let config = assert_clean(&defaults);
    let expected = Conduct {
        lower_prio_no_advert: true,
        higher_prio_send_advert: true,
        down_timer_adverts: 5,
        owner_ignore_adverts: true,
        checksum: ChecksumChoice::Message,
        group: Some(ip("224.0.0.20")),
        ..Conduct::default()
    };
    assert_eq!(config.routers[0].conduct, expected);
    let garp = config.routers[0].garp;
    assert_eq!((garp.lower_prio_repeat, garp.lower_prio_delay), (0, Duration::from_secs(3)));
    assert_eq!((garp.extra, garp.extra_all), (Duration::from_secs(30), true));
    let pace = Pace { garp: Duration::from_millis(1), gna: Duration::from_micros(2) };
    assert_eq!(config.vrrp, VrrpSettings { log_unknown_vrids: true, pace, garp_groups: Vec::new() });

    let own = defaults.replace(
        " virtual_router_id 51\n",
        " virtual_router_id 51\n lower_prio_no_advert off\n higher_prio_send_advert off\n down_timer_adverts 2\n \
         owner_ignore_adverts off\n v3_checksum_as_v2 off\n mcast_dst_ip 224.0.0.21\n garp_lower_prio_repeat 7\n \
         garp_extra_if 40\n promote_secondaries\n no_accept\n nopreempt\n timer_expired_backup 200\n",
    );
    let router = only(&own);
    let expected = Conduct {
        down_timer_adverts: 2,
        late_rival: Some(200),
        group: Some(ip("224.0.0.21")),
        promote_secondaries: true,
        accept: false,
        ..Conduct::default()
    };
    assert_eq!(router.conduct, expected);
    let unicast = " unicast_ttl 7\n old_unicast_checksum never\n check_unicast_src\n unicast_peer {\n  10.0.0.8\n }";
    let expected =
        Conduct { unicast_ttl: 7, old_unicast_checksum: OldUnicast::Never, check_source: true, ..Conduct::default() };
    assert_eq!(only(&with(unicast)).conduct, expected);
    assert_eq!((router.garp.lower_prio_repeat, router.garp.extra), (7, Duration::from_secs(40)));
    assert_eq!(router.group(), ip("224.0.0.21"));
    assert!(!router.accepts());
    assert!(only(&with(" no_accept\n priority 255")).accepts(), "an owner always does");
}

#[test]
fn less_worthy_adverts_are_answered_as_a_new_active_router_is_announced() {
    let answers = |defaults: &str, own: &str| {
        let garp = only(&format!("global_defs {{\n{defaults}\n}}\n{}", with(own))).garp;
        (garp.lower_prio_repeat, garp.lower_prio_delay.as_secs())
    };
    assert_eq!(answers("", ""), (5, 5));
    // The global bursts count, an instance's own do not.
    assert_eq!(answers(" vrrp_garp_master_repeat 3\n vrrp_garp_master_delay 9", " garp_master_repeat 2"), (3, 9));
    assert_eq!(answers(" vrrp_garp_lower_prio_delay 0\n vrrp_garp_master_delay 9", ""), (5, 0));
    assert_eq!(answers(" vrrp_min_garp", ""), (1, 0));
    assert_eq!(answers(" vrrp_strict", ""), (0, 0));
}

#[test]
fn a_late_timer_is_that_of_the_highest_other_priority() {
    for (line, expected) in [
        (" timer_expired_backup", Some(254)),
        (" thread_timer_expired 7", Some(7)),
        (" timer_expired_backup 255", None),
        (" timer_expired_backup 0", None),
        (" timer_expired_backup x", None),
    ] {
        let (config, found) = read(&with(line));
        assert_eq!(config.unwrap().routers[0].conduct.late_rival, expected, "{line}");
        let wrong = found.iter().any(|f| f.starts_with("4:23 W") && f.contains("expected a priority from 1 to 254"));
        assert_eq!(wrong, expected.is_none(), "{found:#?}");
    }
}

#[test]
fn values_out_of_range_are_placed_and_skipped() {
    assert_found(&global("vmac_garp_intvl all"), "2:1 W `vmac_garp_intvl` has no time");
    let config = assert_clean(&global("vmac_garp_intvl all 30"));
    assert_eq!((config.routers[0].garp.extra, config.routers[0].garp.extra_all), (Duration::from_secs(30), true));
    for (line, start) in [
        (" unicast_ttl 0", "4:14 W `0` is no value for `unicast_ttl`: expected a number from 1 to 255"),
        (" unicast_ttl 256", "4:14 W `256` is no value"),
        (
            " down_timer_adverts 101",
            "4:21 W `101` is no value for `down_timer_adverts`: expected a number from 1 to 100",
        ),
        (" mcast_dst_ip 10.0.0.1", "4:15 W `10.0.0.1` is no value for `mcast_dst_ip`: expected a multicast address"),
        (" mcast_dst_ip ff02::12", "4:2 W ff02::12 is IPv6, and this instance is IPv4"),
        (" old_unicast_checksum x", "4:23 W `x` is no value for `old_unicast_checksum`"),
        (" garp_extra_if 86401", "4:16 W `86401` is no value for `garp_extra_if`"),
        (" garp_extra_if all", "4:2 W `garp_extra_if` has no time"),
        (" garp_lower_prio_repeat 1001", "4:25 W `garp_lower_prio_repeat` is out of range 0 to 1000; 1000 is used"),
        (" higher_prio_send_advert x", "4:26 W `x` is no value for `higher_prio_send_advert`"),
        (
            " unicast_peer {\n  10.0.0.8 min_ttl 256\n }",
            "5:20 W `256` is no value for `min_ttl`: expected a number from 0",
        ),
        (" unicast_peer {\n  10.0.0.8 max_ttl\n }", "5:12 W `max_ttl` has no value"),
        (" unicast_peer {\n  10.0.0.8 ttl 5\n }", "5:12 W `ttl` is no option of a peer"),
        (" unicast_peer {\n  10.0.0.8 min_ttl 9 max_ttl 8\n }", "5:12 W min_ttl 9 is above max_ttl 8"),
        (
            " unicast_peer {\n  10.0.0.8\n }\n mcast_dst_ip 224.0.0.20",
            "7:2 W `mcast_dst_ip` has no meaning with unicast",
        ),
    ] {
        let (config, found) = read(&with(line));
        assert!(found.iter().any(|f| f.starts_with(start)), "{found:#?} instead of {start}");
        let conduct = &config.expect("usable").routers[0].conduct;
        assert_eq!((conduct.unicast_ttl, conduct.down_timer_adverts, conduct.group), (255, 3, None), "{line}");
    }
}

#[test]
fn peers_have_their_ttls() {
    let text = with(" unicast_peer {\n  10.0.0.8 min_ttl 250 max_ttl 254\n  10.0.0.9 min_ttl 3\n  10.0.0.10\n }");
    let Conduct { peer_ttls: ttls, check_source, .. } = only(&text).conduct;
    assert!(check_source, "limits of a peer ask for it");
    let plain = with(" unicast_peer {\n  10.0.0.8\n }");
    assert!(!only(&plain).conduct.check_source);
    assert!(only(&format!("global_defs {{\n vrrp_check_unicast_src\n}}\n{plain}")).conduct.check_source);
    assert_eq!(ttls.into_iter().collect::<Vec<_>>(), [(ip("10.0.0.8"), 250..=254), (ip("10.0.0.9"), 3..=255)]);
}

#[test]
fn without_peers_it_is_multicast_or_a_fault() {
    let none =
        warned(" unicast_fault_no_peer", "4:2 W unicast without a peer in `unicast_peer`; the instance is in fault");
    assert_eq!(none.transport, Transport::Unicast { source: None, peers: Vec::new() });
}

#[test]
fn an_election_without_addresses() {
    let text = with(" no_virtual_ipaddress").replace("  10.0.0.1\n", "");
    assert!(only(&text).addresses.is_empty());
    let strict = text.replace(" no_virtual", " strict_mode\n no_virtual");
    let (config, found) = read(&strict);
    assert!(found[0].contains("has no address to serve") || found[1].contains("has no address to serve"), "{found:#?}");
    assert!(found.iter().any(|f| f.contains("strict mode wants an address")), "{found:#?}");
    assert!(config.unwrap().routers.is_empty());
}

#[test]
fn strict_mode_is_the_letter_of_vrrp() {
    let strict = only(&with(" strict_mode"));
    let expected = Conduct { accept: false, lower_prio_no_advert: true, ..Conduct::default() };
    assert_eq!((strict.conduct, strict.garp.lower_prio_repeat), (expected.clone(), 0));
    assert!(only(&with(" strict_mode\n priority 255")).conduct.accept, "an owner accepts");
    assert!(only(&with(" strict_mode\n version 3\n accept")).conduct.accept, "version 3 leaves it open");
    for (line, start) in [
        (" strict_mode\n accept", "5:2 W strict mode has no `accept` of version 2"),
        (" strict_mode\n lower_prio_no_advert off", "5:2 W strict mode has no `lower_prio_no_advert off`"),
        (" strict_mode\n higher_prio_send_advert", "5:2 W strict mode has no `higher_prio_send_advert`"),
        (" strict_mode\n down_timer_adverts 4", "5:2 W strict mode has no `down_timer_adverts`; 3 are used"),
    ] {
        assert_eq!(warned(line, start).conduct, expected, "{line}");
    }
    let unicast = with(" strict_mode\n unicast_peer {\n  10.0.0.8\n }");
    let served = assert_found(&unicast, "5:2 W `A`: strict VRRP has no unicast peers; adverts go to them").unwrap();
    let transport = Transport::Unicast { source: None, peers: vec![ip("10.0.0.8")] };
    assert_eq!((&served.routers[0].transport, served.routers[0].strict), (&transport, true));
    let global = assert_clean(&global(" vrrp_strict\n vrrp_higher_prio_send_advert\n vrrp_down_timer_adverts 9"));
    assert_eq!(global.routers[0].conduct, expected, "what is global gives way without a word");
}

#[test]
fn one_announcement_is_enough_for_modern_switches() {
    let garp = |lines: &str| assert_clean(&global(lines)).routers[0].garp;
    let (repeat, delay) = (1, Duration::ZERO);
    let least =
        GratuitousArp { repeat, delay, lower_prio_repeat: repeat, lower_prio_delay: delay, ..GratuitousArp::default() };
    assert_eq!(garp(" vrrp_min_garp"), least);
    assert_eq!(garp(" vrrp_min_garp off"), GratuitousArp::default());
    assert_eq!(
        garp(" vrrp_garp_master_repeat 3\n vrrp_min_garp"),
        GratuitousArp { repeat: 3, lower_prio_repeat: 3, ..least }
    );
}

#[test]
fn an_instance_without_an_interface_has_the_default_one() {
    let text = global(" default_interface eth7").replace(" interface eth0\n", "");
    assert_eq!(only(&text).interface, "eth7");
}

#[test]
fn groups_of_interfaces_have_their_pace() {
    let group = |lines: &str| format!("garp_group {{\n{lines}\n}}\n{}", with(""));
    let config =
        assert_clean(&group(" garp_interval 0.5\n gna_interval 0\n interface eth0\n interfaces {\n  eth1 eth2\n }"));
    let expected = GarpGroup {
        interfaces: ["eth0", "eth1", "eth2"].map(str::to_owned).to_vec(),
        pace: Pace { garp: Duration::from_millis(500), gna: Duration::ZERO },
    };
    assert_eq!(config.vrrp.garp_groups, [expected]);
    for (lines, start) in [
        (" garp_interval 0.5", "1:1 W `garp_group` has no interface"),
        (" interface eth0", "1:1 W `garp_group` has no interval"),
        (" garp_interval x\n interface eth0", "2:16 W `x` is no value for `garp_interval`"),
        (" garp_interval 1\n interface eth0\n interface eth0", "4:12 W `eth0` is already in a `garp_group`"),
        (" garp_interval 1\n interface eth0\n pace 3", "4:2 W unknown keyword `pace`"),
    ] {
        assert_found(&group(lines), start);
    }
}

/// One file, with one content.
struct OneFile(&'static str, Vec<u8>);

impl crate::host::Files for OneFile {
    fn read(&self, path: &Path, _: u64) -> io::Result<Vec<u8>> {
        if path == Path::new(self.0) { Ok(self.1.clone()) } else { Err(io::ErrorKind::NotFound.into()) }
    }
    fn names(&self, _: &Path) -> io::Result<Vec<std::ffi::OsString>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn one_name(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_path_buf())
    }
}

fn hmac(lines: &str) -> String {
    with(&format!(" auth_hmac {{\n{lines}\n }}"))
}

#[test]
fn signatures_have_keys_and_a_window() {
    let router = only(&hmac(&format!("  key 1 hex:{KEY}\n  key 2 {}\n  active_key 2", "x".repeat(32))));
    let hmac_of = |text: &str| only(text).auth_hmac.unwrap();
    let expected = AuthHmac {
        keys: [(1, HmacKey::read(&format!("hex:{KEY}")).unwrap()), (2, HmacKey::read(&"x".repeat(32)).unwrap())].into(),
        active: 2,
        anti_replay: AntiReplay::Time(Duration::from_secs(5)),
        mode: HmacMode::Enforce,
    };
    assert_eq!(router.auth_hmac.as_ref(), Some(&expected));
    assert_eq!(expected.keys[&1].reveal()[..3], [0, 1, 2]);
    let shown = format!("{router:?}");
    assert!(!shown.contains("xxxx") && !shown.contains("0001"), "{shown}");
    let lines = format!("  key 1 hex:{KEY}\n  active_key 1");
    let window = hmac_of(&hmac(&lines).replace("}\n virtual_ip", "}\n advert_int 40\n virtual_ip")).anti_replay;
    assert_eq!(window, AntiReplay::Time(Duration::from_secs(120)));
    let other = hmac_of(&hmac(&format!("{lines}\n  time_window 9\n  mode receive-only")));
    assert_eq!((other.anti_replay, other.mode), (AntiReplay::Time(Duration::from_secs(9)), HmacMode::ReceiveOnly));
    let other = hmac_of(&hmac(&format!("{lines}\n  anti_replay monotonic\n  mode permissive")));
    assert_eq!((other.anti_replay, other.mode), (AntiReplay::Monotonic, HmacMode::Permissive));
}

#[test]
fn a_key_may_be_in_a_file_of_its_own() {
    let text = hmac("  key 1 file:/etc/keys/vrrp51\n  active_key 1");
    let with_file = |content: &[u8]| {
        let files = OneFile("/etc/keys/vrrp51", content.to_vec());
        parse(Path::new("f"), &text, &Host { files: &files, ..Host::none() })
    };
    let (config, report) = with_file(format!("hex:{KEY}\n").as_bytes());
    assert_eq!(report.findings, []);
    assert_eq!(config.unwrap().routers[0].auth_hmac.as_ref().unwrap().keys[&1].reveal().len(), 32);
    for (content, why) in [
        (b"short\n".to_vec(), "/etc/keys/vrrp51: the key has 5 bytes; expected 32 to 64"),
        (vec![b'x'; 200], "/etc/keys/vrrp51 is longer than any key"),
        (vec![0xff; 40], "/etc/keys/vrrp51 holds no text"),
    ] {
        let (config, report) = with_file(&content);
        assert!(config.is_none() && report.findings.iter().any(|f| f.message.contains(why)), "{report:#?}");
    }
}

#[test]
fn signatures_that_cannot_be_are_placed() {
    let good = format!("  key 1 hex:{KEY}\n  active_key 1");
    for (lines, starts) in [
        ("  active_key 1", vec!["4:2 E `auth_hmac` has no usable key 1"]),
        ("", vec!["4:2 E `auth_hmac` has no `active_key`"]),
        (
            "  key 1 hex:00\n  active_key 1",
            vec!["4:2 E `auth_hmac` has no usable key", "5:9 W key 1: the key has 1 bytes"],
        ),
        ("  key 1 hex:0g\n  active_key 1", vec!["4:2 E", "5:9 W key 1: the key behind `hex:`"]),
        ("  key 1 file:/none\n  active_key 1", vec!["4:2 E", "5:9 W key 1: /none cannot be read"]),
        (&format!("{good}\n  key 256 x"), vec!["7:7 W `key` has no number from 1 to 255"]),
        (&format!("{good}\n  key 2"), vec!["7:7 W key 2 has no value"]),
        (&format!("{good}\n  key"), vec!["7:3 E `key` has no value"]),
        (&format!("{good}\n  key 1 hex:{KEY}"), vec!["7:9 W a second key 1"]),
        (&format!("{good}\n  active_key 0"), vec!["7:14 W `0` is no value for `active_key`"]),
        (&format!("{good}\n  time_window 301"), vec!["7:15 W `301` is no value for `time_window`"]),
        (&format!("{good}\n  anti_replay x"), vec!["7:15 W `x` is no value for `anti_replay`"]),
        (&format!("{good}\n  mode x"), vec!["7:8 W `x` is no value for `mode`"]),
        (&format!("{good}\n  anti_replay monotonic\n  time_window 5"), vec!["8:3 I `time_window` has no meaning"]),
        (&format!("{good}\n  kee 1"), vec!["7:3 W unknown keyword in `auth_hmac`; skipped (did you mean `key`?)"]),
    ] {
        let (_, found) = read(&hmac(lines));
        assert_eq!(found.len(), starts.len(), "{found:#?}");
        assert!(found.iter().zip(&starts).all(|(f, start)| f.starts_with(start)), "{found:#?} instead of {starts:#?}");
        assert!(found.iter().all(|f| !f.contains("0001")), "{found:#?}");
    }
    let both = with(&format!(" authentication {{\n  auth_type PASS\n  auth_pass x\n }}\n auth_hmac {{\n{good}\n }}"));
    let router =
        assert_found(&both, "4:2 W `authentication` has no place beside `auth_hmac`").unwrap().routers.remove(0);
    assert!(router.auth_pass.is_none() && router.auth_hmac.is_some());
    let strict = hmac(&format!("{good}\n  mode permissive")).replace(" auth_hmac", " strict_mode\n auth_hmac");
    let router = assert_found(&strict, "5:2 W strict mode wants `mode enforce`").unwrap().routers.remove(0);
    assert_eq!(router.auth_hmac.unwrap().mode, HmacMode::Enforce);
}
