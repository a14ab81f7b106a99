//! Sync groups, what is tracked, and how long changes are waited for.

use super::*;

/// A script, a file, a process and a session to track, in eleven lines; then an instance that tracks like this.
fn tracking(block: &str, line: &str) -> String {
    let objects = "vrrp_script s {\n script /bin/true\n}\ntrack_file f {\n file /run/f\n}\nvrrp_track_process p {\n process haproxy\n}\n";
    format!("{objects}bfd_instance b {{ neighbor_ip 10.0.0.9\n}}\n{}", with(&format!(" {block} {{\n  {line}\n }}")))
}

/// The sole instance's tracks, and what was found but that BFD is not there yet.
fn tracked(block: &str, line: &str) -> (Tracks, Vec<String>) {
    let (config, mut found) = read(&tracking(block, line));
    found.retain(|f| !f.contains("bfd_instance` is not supported yet"));
    (config.unwrap().routers.remove(0).track, found)
}

fn entry(name: &str, weight: Option<(i32, bool)>) -> Vec<Tracked> {
    vec![Tracked { name: name.into(), weight: weight.map(|(by, reverse)| Weight { by, reverse }) }]
}

#[test]
fn all_kinds_are_tracked_with_their_weights() {
    for (block, name, most) in [
        ("track_interface", "eth9", 253),
        ("track_script", "s", 253),
        ("track_file", "f", 254),
        ("track_process", "p", 254),
        ("track_bfd", "b", 253),
    ] {
        let list = |line: &str| {
            let (tracks, found) = tracked(block, line);
            let Tracks { interfaces, scripts, files, processes, bfds } = tracks;
            let lists = [
                ("track_interface", interfaces),
                ("track_script", scripts),
                ("track_file", files),
                ("track_process", processes),
                ("track_bfd", bfds),
            ];
            let (this, others): (Vec<_>, Vec<_>) = lists.into_iter().partition(|(kind, _)| *kind == block);
            assert!(others.iter().all(|(_, list)| list.is_empty()), "{block}");
            (this.into_iter().next().unwrap().1, found)
        };
        let clean = |line: &str| {
            let (list, found) = list(line);
            assert!(found.is_empty(), "{found:#?}");
            list
        };
        assert_eq!(clean(name), entry(name, None));
        assert_eq!(clean(&format!("{name} weight -5")), entry(name, Some((-5, false))));
        assert_eq!(clean(&format!("{name} weight {most} reverse")), entry(name, Some((most, true))));
        assert_eq!(clean(&format!("{name} weight 0 noreverse")), entry(name, Some((0, false))));
        if most == 253 {
            let (kept, found) = list(&format!("{name} weight -254"));
            assert_eq!(kept, entry(name, Some((-253, false))), "as keepalived 2.2.7 has it");
            assert!(found[0].ends_with("W -254 is out of range -253 to 253; -253 is used"), "{found:#?}");
        }
        for (rest, start) in [
            (" weight 255".into(), format!("expected a weight from -{most} to {most}; the object's own is used")),
            (" weight".into(), "expected a weight".into()),
            (" foo".into(), "`foo` is no option of what is tracked (weight); skipped".into()),
            (" weight 1 foo".into(), "`foo` is no option of a weight: expected reverse or noreverse; skipped".into()),
            (format!("\n  {name}"), format!("`{name}` is already tracked; skipped")),
        ] {
            let (list, found) = list(&format!("{name}{rest}"));
            assert_eq!(list.len(), 1, "{block} {rest}");
            assert!(found.len() == 1 && found[0].contains(&start), "{found:#?}, not {start}");
        }
    }
}

#[test]
fn another_weight_is_reversed_as_the_object_is() {
    for (block, name, object) in [
        ("track_script", "s", "script /bin/true\n"),
        ("track_file", "f", "file /run/f\n"),
        ("track_process", "p", "process haproxy\n"),
        ("track_bfd", "b", "neighbor_ip 10.0.0.9\n"),
    ] {
        for (rest, reverse) in [("", true), (" reverse", true), (" noreverse", false), (" no_reverse", false)] {
            let text = tracking(block, &format!("{name} weight -5{rest}"));
            let text = text.replace(object, &format!("{object} weight -7 reverse\n"));
            let Tracks { scripts, files, processes, bfds, .. } = read(&text).0.unwrap().routers.remove(0).track;
            let tracked = [scripts, files, processes, bfds].concat();
            assert_eq!(tracked, entry(name, Some((-5, reverse))), "{block}{rest}");
        }
    }
}

#[test]
fn what_does_not_exist_is_not_tracked() {
    for (block, what) in [
        ("track_script", "vrrp_script"),
        ("track_file", "track_file"),
        ("track_process", "vrrp_track_process"),
        ("track_bfd", "bfd_instance"),
    ] {
        let (tracks, found) = tracked(block, "nope");
        assert_eq!(tracks, Tracks::default());
        assert!(found[0].starts_with(&format!("16:3 W there is no `{what} nope`; not tracked")), "{found:#?}");
    }
    let (config, report) = parse(Path::new("f"), &tracking("track_interface", "eth9"), &Host::none());
    assert!(config.is_some());
    let missing = report.places.missing_interfaces(&["eth0".into()], false);
    let missing: Vec<_> = missing.iter().map(|f| (f.place.line, f.place.column, f.message.as_str())).collect();
    assert_eq!(missing, [(16, 3, "`A` needs interface `eth9`, which does not exist on this host")]);
}

#[test]
fn an_owner_tracks_without_weights() {
    for (block, line, kept) in [
        ("track_script", "s", 1),
        ("track_script", "s weight 5", 0),
        // Its own weight is 1, which becomes 0.
        ("track_file", "f", 1),
        ("track_file", "f weight 2", 0),
        ("track_file", "f weight 0", 1),
        ("track_process", "p", 1),
        ("track_process", "p weight 1", 0),
        ("track_interface", "eth9", 1),
    ] {
        let text = tracking(block, line).replace(" interface eth0", " priority 255\n interface eth0");
        let (config, found) = read(&text);
        let Tracks { interfaces, scripts, files, processes, .. } = config.unwrap().routers.remove(0).track;
        assert_eq!(interfaces.len() + scripts.len() + files.len() + processes.len(), kept, "{block} {line}");
        let told = kept == 0 || line == "f";
        assert_eq!(found.iter().any(|f| f.contains("an owner's priority stays 255")), told, "{found:#?}");
        assert!(line != "f" || files[0].weight == Some(Weight::default()));
    }
}

#[test]
fn processes_reach_the_model() {
    let text = "vrrp_track_process p {\n process \"/bin/a b\" x \"y z\"\n param_match initial\n weight -7 reverse\n quorum 2\n quorum_max 3\n delay 1.5\n terminate_delay 3\n full_command\n}\nvrrp_track_process q {\n process sleep\n quorum_max 0\n}\n";
    let config = assert_clean(&format!("{text}{}", with("")));
    let first = TrackProcess {
        name: "p".into(),
        command: ["/bin/a b", "x", "y z"].map(String::from).to_vec(),
        parameters: ParameterMatch::Initial,
        full_command: true,
        weight: Weight { by: -7, reverse: true },
        quorum: 2,
        quorum_max: Some(3),
        fork_delay: Duration::from_millis(1500),
        terminate_delay: Duration::from_secs(3),
    };
    let second = TrackProcess {
        name: "q".into(),
        command: vec!["sleep".into()],
        parameters: ParameterMatch::Given,
        full_command: false,
        weight: Weight::default(),
        quorum: 0,
        quorum_max: Some(0),
        fork_delay: Duration::ZERO,
        terminate_delay: Duration::ZERO,
    };
    assert_eq!(config.track_processes, [first, second]);
}

#[test]
fn process_findings() {
    for (lines, start) in [
        (" weight 255", "3:9 W `255` is no value for `weight`: expected a number from -254 to 254; skipped"),
        (" quorum 0", "3:9 W `0` is no value for `quorum`: expected a number from 1 to 65535; skipped"),
        (" quorum_max 65536", "3:13 W `65536` is no value for `quorum_max`"),
        (" quorum 3\n quorum_max 2", "1:20 W `quorum_max` 2 is less than `quorum` 3; not used"),
        (" fork_delay 5000", "3:13 W `5000` is no value for `fork_delay`: expected seconds above 0, at most 3600"),
        (" delay 0", "3:8 W `0` is no value for `delay`"),
        (" param_match foo", "3:14 W `foo` is no value for `param_match`: expected initial or partial"),
        (" foo", "3:2 W unknown keyword `foo` in `vrrp_track_process`"),
    ] {
        let text = format!("vrrp_track_process p {{\n process sleep\n{lines}\n}}\n{}", with(""));
        assert_eq!(assert_found(&text, start).unwrap().track_processes.len(), 1);
    }
    let text = format!("vrrp_track_process p {{\n weight 1\n}}\n{}", with(""));
    assert!(
        assert_found(&text, "1:20 W `vrrp_track_process p` has no `process`; left out")
            .unwrap()
            .track_processes
            .is_empty()
    );
    let two = format!("vrrp_track_process p {{\n process a\n}}\nvrrp_track_process p {{\n process b\n}}\n{}", with(""));
    assert_eq!(assert_found(&two, "4:20 W a second `vrrp_track_process p`").unwrap().track_processes[0].command, ["a"]);
}

/// A and B, and this further down.
fn pair(more: &str) -> String {
    let second = with("").replace(" A ", " B ").replace("51", "52").replace("10.0.0.1", "10.0.0.2");
    format!("{}{second}{more}", with(""))
}

#[test]
fn groups_reach_the_model() {
    let text = pair(
        "vrrp_sync_group G {\n group {\n  A\n  B\n }\n track_interface {\n  eth0 weight -20\n }\n sync_group_tracking_weight\n}\n",
    );
    let track = Tracks { interfaces: entry("eth0", Some((-20, false))), ..Tracks::default() };
    let group = SyncGroup { track, member_weights: true, ..SyncGroup::new("G", vec!["A".into(), "B".into()]) };
    assert_eq!(assert_clean(&text).sync_groups, [group]);
    // Wherever it stands, and however the names are laid out.
    let first = format!("vrrp_sync_group G {{\n group {{\n  A B\n }}\n}}\n{}", pair(""));
    assert_eq!(assert_clean(&first).sync_groups, [SyncGroup::new("G", vec!["A".into(), "B".into()])]);
}

#[test]
fn group_findings() {
    let end = pair("").lines().count();
    let group = |members: &str| format!("vrrp_sync_group G {{\n group {{\n{members}\n }}\n}}\n");
    for (more, line, start, kept) in [
        (group("  A\n  Z\n  B"), 4, "3 W there is no `vrrp_instance Z`; left out of `G`", 2),
        (group("  A\n  A"), 4, "3 W `A` is already in `vrrp_sync_group G`; left out of `G`", 1),
        (group("  A"), 1, "17 W `vrrp_sync_group G` has one instance alone", 1),
        (group("  Z"), 1, "17 W `vrrp_sync_group G` has no instance in `group`; left out", 0),
        ("vrrp_sync_group G {\n}\n".into(), 1, "17 W `vrrp_sync_group G` has no instance in `group`; left out", 0),
        (group("  A\n  B").replace(" G ", " "), 1, "1 W `vrrp_sync_group` has no name", 0),
        (format!("{}{}", group("  A\n  B"), group("  A\n  B")), 7, "17 W a second `vrrp_sync_group G`", 2),
        (
            format!("{}{}", group("  A\n  B"), group("  A").replace('G', "H")),
            9,
            "3 W `A` is already in `vrrp_sync_group G`",
            2,
        ),
        (
            format!(
                "bfd_instance b {{\n neighbor_ip 10.0.0.9\n checker\n}}\n{}",
                group("  A\n  B").replace("group {\n ", "track_bfd {\n b\n }\n group {\n ")
            ),
            7,
            "2 W there is no `bfd_instance b`; not tracked",
            2,
        ),
        (
            group("  A\n  B").replace("group {\n ", "grup x\n group {\n "),
            2,
            "2 W unknown keyword `grup`; skipped (did you mean `group`?)",
            2,
        ),
        (
            group("  A\n  B").replace("group {\n ", "global_tracking\n group {\n "),
            2,
            "2 I `global_tracking` is obsolete",
            2,
        ),
    ] {
        let (config, found) = read(&pair(&more));
        let start = format!("{}:{start}", end + line);
        assert!(found.iter().any(|f| f.starts_with(&start)), "{found:#?}, not {start}");
        assert_eq!(config.unwrap().sync_groups.first().map_or(0, |g| g.routers.len()), kept, "{more}");
    }
    let (config, found) = read(&pair("vrrp_sync_group G {\n group\n}\n"));
    assert!(config.is_none() && found[1].starts_with(&format!("{}:2 E `group` has no block", end + 2)), "{found:#?}");
}

/// What keepalived 2.2.7 did with each of these in a group without `sync_group_tracking_weight`.
#[test]
fn of_the_weights_of_members_those_of_interfaces_and_processes_count_and_that_is_said() {
    let defined = "vrrp_script s {\n script /bin/true\n weight 10\n}\ntrack_file f {\n file /run/f\n}\n\
                   track_file g {\n file /run/g\n weight -1\n}\nbfd_instance b {\n neighbor_ip 10.0.0.9\n}\n\
                   vrrp_track_process p {\n process sleep\n}\n";
    let text = |block: &str, line: &str, more: &str| {
        let group = format!("vrrp_sync_group G {{\n group {{\n  A\n  B\n }}\n{more}}}\n");
        let tracks = format!(" track_{block} {{\n  {line}\n }}\n interface eth0");
        format!("{defined}{}", pair(&group).replacen(" interface eth0", &tracks, 1))
    };
    let (left_out, fault, counts) =
        ("not tracked, as with keepalived", "any number but 0 is a fault", "with a weight, which counts in `G`");
    for (block, line, said, kept, counting) in [
        ("script", "s", left_out, None, false),
        ("script", "s weight 0", "", Some(Some((0, false))), false),
        ("file", "f", fault, Some(Some((0, false))), false),
        ("file", "f weight 1 reverse", fault, Some(Some((0, true))), false),
        ("file", "f weight 2", left_out, None, false),
        ("file", "g", left_out, None, false),
        ("bfd", "b weight -20", left_out, None, false),
        ("bfd", "b", "", Some(None), false),
        ("process", "p weight 20", counts, Some(Some((20, false))), true),
        ("process", "p", "", Some(None), false),
        ("interface", "eth9 weight -20", counts, Some(Some((-20, false))), true),
    ] {
        let (config, found) = read(&text(block, line, ""));
        let config = config.unwrap();
        let Tracks { interfaces, scripts, files, processes, bfds } = config.routers[0].track.clone();
        let tracked = [interfaces, scripts, files, processes, bfds].concat();
        let expected = kept.map(|weight| entry(line.split(' ').next().unwrap(), weight)).unwrap_or_default();
        assert_eq!(tracked, expected, "{block} {line}");
        assert_eq!(config.sync_groups[0].member_weights, counting, "{block} {line}");
        assert_eq!(found.len(), usize::from(!said.is_empty()), "{block} {line}: {found:#?}");
        assert!(found.iter().all(|f| f.contains("W `A` tracks `") && f.contains(said)), "{block} {line}: {found:#?}");
        let line = text(block, line, " sync_group_tracking_weight\n");
        assert!(assert_clean(&line).sync_groups[0].member_weights);
    }
}

#[test]
fn delays_and_dynamic_interfaces() {
    let globals =
        "global_defs {\n vrrp_startup_delay 5.5\n vrrp_delay_after_boot 30\n dynamic_interfaces allow_if_changes\n}\n";
    let config = assert_clean(&format!("{globals}interface_up_down_delays {{\n eth0 1 2\n eth1 0.5\n}}\n{}", with("")));
    assert_eq!(
        (config.delays.startup, config.delays.after_boot),
        (Duration::from_millis(5500), Duration::from_secs(30))
    );
    let delay = |down, up| LinkDelay { down: Duration::from_millis(down), up: Duration::from_millis(up) };
    assert_eq!(config.delays.links, [("eth0".into(), delay(1000, 2000)), ("eth1".into(), delay(500, 500))].into());
    assert!(config.dynamic_interfaces);
    for (text, start) in [
        ("global_defs {\n vrrp_startup_delay x\n}\n", "2:21 W `x` is no value for `vrrp_startup_delay`"),
        ("global_defs {\n dynamic_interfaces foo\n}\n", "2:21 W `foo` is no option of `dynamic_interfaces`"),
        (
            "interface_up_down_delays {\n eth0 256\n}\n",
            "2:7 W `256` is no value for `eth0`: expected seconds from 0 to 255",
        ),
        (
            "interface_up_down_delays {\n eth0 1 x\n}\n",
            "2:9 W `x` is no delay: expected seconds from 0 to 255; 1s is used",
        ),
        ("interface_up_down_delays {\n eth0 1 2 3\n}\n", "2:11 W `3` is a word too many after `eth0`"),
        ("interface_up_down_delays {\n eth0\n}\n", "2:2 E `eth0` has no value"),
    ] {
        assert_found(&format!("{text}{}", with("")), start);
    }
}

#[test]
fn the_own_interface_need_not_count() {
    let router = assert_clean(&with(" dont_track_primary\n track_src_ip")).routers.remove(0);
    assert!(router.dont_track_primary && router.track_source);
}

/// Members are compared by what they are, not by what they are called.
#[test]
fn directors_have_to_agree_on_groups() {
    let group = "vrrp_sync_group G {\n group {\n  A\n  B\n }\n}\n";
    let digest = |text: &str| assert_clean(text).digest();
    let renamed = pair(group).replace(" A ", " C ").replace("  A\n", "  C\n").replace('G', "H");
    assert_eq!(digest(&pair(group)), digest(&renamed));
    assert_ne!(digest(&pair(group)), digest(&pair("")));
}

#[test]
fn what_is_static_can_be_what_a_router_needs() {
    let group = "track_group G {\n group {\n  A\n }\n}\n";
    let things = "static_ipaddress {\n 10.9.0.1/24 dev eth0 track_group G\n 10.9.0.2/24 dev eth0\n}\n\
                  static_routes {\n 10.8.0.0/16 dev eth0 track_group G\n}\n\
                  static_rules {\n track_group G from 10.9.0.0/24 iif eth0 table 7 priority 9\n}\n";
    let statics = assert_clean(&format!("{things}{group}{}", with(""))).statics;
    let [found] = &statics.track_groups[..] else { panic!("{:?}", statics.track_groups) };
    assert_eq!((found.name.as_str(), &found.routers[..]), ("G", &["A".to_owned()][..]));
    let titles: Vec<String> = found.titles().collect();
    let rule = "rule from 10.9.0.0/24 iif eth0 table 7 priority 9";
    assert_eq!(titles, ["static address 10.9.0.1/24 on eth0", "route 10.8.0.0/16 dev eth0", rule]);
    assert_eq!((statics.addresses.len(), statics.routes.len(), statics.rules.len()), (1, 0, 0));
    assert_eq!(statics.addresses().count(), 2);
    for block in ["virtual_ipaddress", "virtual_routes", "virtual_rules"] {
        let thing = if block == "virtual_ipaddress" { "10.0.0.9" } else { "10.8.0.0/16 dev eth0 table 7 priority 3" };
        let thing = if block == "virtual_rules" { "from 10.8.0.0/16 table 7 priority 3" } else { thing };
        let text = with(&format!(" {block} {{\n  track_group G {thing}\n }}"));
        let (_, found) = read(&text);
        assert!(found.iter().any(|f| f.starts_with("5:3 W `track_group` is for what is static alone")), "{found:#?}");
    }
}

/// keepalived goes by an interface's number, and knows one of each name.
#[test]
fn what_a_group_follows_is_one_of_its_kind() {
    let group = format!("{}track_group G {{\n group {{\n  A\n }}\n}}\n", with(""));
    let at = |line: usize| group.lines().count() + line;
    let found = |text: &str| read(&format!("{group}{text}")).1;
    assert_eq!(
        found("track_group G {\n group {\n  A\n }\n}\n"),
        [format!("{}:13 W a second `track_group G`; the first one stays", at(1))]
    );
    let routes = "static_routes {\n 10.8.0.0/16 dev eth0 track_group G\n 10.8.0.0/16 via 10.0.0.9 dev eth0\n \
                  10.8.0.0/16 dev eth0 metric 5\n 10.7.0.0/16 via 10.0.0.9 track_group G\n}\n";
    let one_of = "the kernel keeps one of this and `route 10.8.0.0/16 dev eth0`: expected another metric or table";
    let not_there = |without: &str| {
        format!("W without `{without}` keepalived would not have the group follow it; here the group does")
    };
    let expected = [format!("{}:2 W {one_of}; left out", at(3)), format!("{}:27 {}", at(5), not_there("dev"))];
    assert_eq!(found(routes), expected);
    let rules = "static_rules {\n from 10.9.0.0/24 table 7 priority 9 track_group G\n \
                 from 10.9.0.0/24 table 7 priority 9\n from 10.6.0.0/24 table 7 priority 9\n}\n";
    let second = "a second `rule from 10.9.0.0/24 table 7 priority 9`; left out";
    assert_eq!(found(rules), [format!("{}:38 {}", at(2), not_there("iif")), format!("{}:2 W {second}", at(3))]);
    let addresses = "static_ipaddress {\n 10.9.0.1/24 dev eth0 track_group G\n 10.9.0.1/24 dev eth0\n \
                     10.9.0.1/24 dev eth1\n}\n";
    let second = "a second static address 10.9.0.1/24 on eth0; left out";
    assert_eq!(found(addresses), [format!("{}:2 W {second}", at(3))]);
}

#[test]
fn the_own_interface_is_not_tracked_twice() {
    let config = assert_found(
        &with(" track_interface {\n  eth0 weight 10\n  eth9\n }"),
        "5:3 W `eth0` is the instance's own interface; not tracked once more",
    );
    let names: Vec<String> = config.unwrap().routers[0].track.interfaces.iter().map(|t| t.name.clone()).collect();
    assert_eq!(names, ["eth9"]);
}
