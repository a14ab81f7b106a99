use super::*;

fn rules(faults: &[Fault]) -> Vec<String> {
    let directors = ["lb1", "lb2", "lb3"].map(String::from);
    let text = ruleset(&faults.iter().cloned().collect(), &directors);
    text.lines().map(str::trim).filter(|line| line.ends_with("drop")).map(String::from).collect()
}

#[test]
fn a_healed_network_drops_nothing() {
    assert_eq!(rules(&[]), Vec::<String>::new());
    assert_eq!(rules(&[Fault::Cable("lb1".into())]), Vec::<String>::new(), "a cable is a link, not a rule");
}

#[test]
fn isolation_is_both_ways_and_spares_clients() {
    assert_eq!(
        rules(&[Fault::Isolate("lb2".into())]),
        [r#"iifname "lb2" oifname { "lb1", "lb3" } drop"#, r#"oifname "lb2" iifname { "lb1", "lb3" } drop"#]
    );
}

#[test]
fn a_mute_host_still_hears() {
    assert_eq!(rules(&[Fault::Mute("lb1".into())]), [r#"iifname "lb1" oifname { "lb2", "lb3" } drop"#]);
}

#[test]
fn faults_add_up() {
    assert_eq!(
        rules(&[Fault::Cut("lb1".into(), "lb3".into()), Fault::VrrpFrom("lb2".into())]),
        [
            r#"iifname "lb1" oifname "lb3" drop"#,
            r#"iifname "lb3" oifname "lb1" drop"#,
            r#"iifname "lb2" ip protocol 112 drop"#,
            r#"iifname "lb2" ip6 nexthdr 112 drop"#
        ]
    );
}

#[test]
fn votes_and_adverts_are_lost_apart() {
    assert_eq!(rules(&[Fault::Mesh]), ["ip protocol udp udp dport 7946 drop"]);
    assert_eq!(rules(&[Fault::Vrrp]), ["ip protocol 112 drop", "ip6 nexthdr 112 drop"]);
}

#[test]
fn a_wire_loses_one_way_what_it_names() {
    let wire =
        |channel, loss| rules(&[Fault::Wire(Wire { from: "lb1".into(), to: "lb3".into(), channel, loss, id: 0 })]);
    assert_eq!(wire(Channel::All, 100), [r#"iifname "lb1" oifname "lb3" drop"#]);
    assert_eq!(wire(Channel::Vrrp, 100), [r#"iifname "lb1" oifname "lb3" ip protocol 112 drop"#]);
    assert_eq!(
        wire(Channel::Mesh, 30),
        [
            r#"iifname "lb1" oifname "lb3" udp dport 7946 numgen random mod 100 < 30 drop"#,
            r#"iifname "lb1" oifname "lb3" udp sport 7946 udp dport != 7946 numgen random mod 100 < 30 drop"#
        ]
    );
}

#[test]
fn the_same_trouble_twice_is_healed_one_at_a_time() {
    let wire = |id| Fault::Wire(Wire { from: "lb1".into(), to: "lb3".into(), channel: Channel::All, loss: 50, id });
    assert_eq!(rules(&[wire(1), wire(2)]).len(), 2);
}
