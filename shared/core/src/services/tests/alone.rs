//! One node without a mesh: what keepalived does.

use super::*;

#[test]
fn without_virtual_servers_ip_vs_is_not_touched() {
    let mut host = Host::start(&Config::default());
    host.run(Duration::from_secs(100));
    assert_eq!(host.log, []);
    assert_eq!(host.services.deadline(), None);
}

#[test]
fn real_servers_are_up_at_the_start_and_scripts_hear_of_the_quorum() {
    let mut server = web(2);
    server.quorum_up = Some(script("gained"));
    let mut config = config(vec![server]);
    config.lvs.notify_fifo = Some("/run/fifo".into());
    let mut host = Host::start(&config);
    assert_eq!(host.pool(), ["10.0.0.11:80 1", "10.0.0.12:80 1"]);
    assert_eq!(host.told(), ["apply", "run gained", "VS [10.0.0.1]:tcp:80 UP"]);
}
