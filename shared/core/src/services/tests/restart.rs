//! A daemon that finds in ip_vs what an earlier run made of checks that set weights.

use mesh_config::model::TrackFile;

use super::*;

const FIRST: &str = "10.0.0.11:80";

/// A real server whose weight a script sets, and one that is only connected to.
fn scripted(dynamic: bool) -> Config {
    let mut server = web(2);
    let kind = CheckKind::Misc { script: script("load"), timeout: Duration::from_secs(1), dynamic };
    let check = &mut server.real_servers[0].checks[0];
    *check = Check { warmup: check.warmup, delay_loop: check.delay_loop, ..Check::new(kind, address(FIRST)) };
    config(vec![server])
}

/// Started anew on what this host left in its kernel.
fn restarted(config: &Config, host: &Host) -> Host {
    let mut next = Host::with(config, host.kernel.clone());
    next.give(Input::Timeout);
    next
}

#[test]
fn a_weight_from_a_script_is_kept_until_the_script_says_it_again() {
    let config = scripted(true);
    let mut host = Host::start(&config);
    assert_eq!(host.pool(), ["10.0.0.11:80 1", "10.0.0.12:80 1"], "as configured: nothing was there");
    host.weights.insert(address(FIRST), 7);
    host.run(Duration::from_secs(11));
    assert_eq!(host.pool(), ["10.0.0.11:80 7", "10.0.0.12:80 1"]);

    let mut next = restarted(&config, &host);
    assert_eq!(next.told(), [""; 0], "nothing is changed");
    assert_eq!(next.pool(), ["10.0.0.11:80 7", "10.0.0.12:80 1"]);
    // A reload in between knows no more.
    next.give(Input::Configure(Box::new(config.clone())));
    assert_eq!(next.pool(), ["10.0.0.11:80 7", "10.0.0.12:80 1"]);
    next.weights.insert(address(FIRST), 3);
    next.run(Duration::from_secs(11));
    assert_eq!(next.pool(), ["10.0.0.11:80 3", "10.0.0.12:80 1"]);

    // The same weight as configured is news, too, where another one was there.
    let mut last = restarted(&config, &next);
    last.run(Duration::from_secs(11));
    assert_eq!(last.pool(), ["10.0.0.11:80 1", "10.0.0.12:80 1"]);
}

#[test]
fn a_script_that_fails_after_a_restart_takes_its_server_out() {
    let config = scripted(true);
    let mut host = Host::start(&config);
    host.weights.insert(address(FIRST), 7);
    host.run(Duration::from_secs(11));
    let mut next = restarted(&config, &host);
    next.dead.insert(address(FIRST));
    next.run(Duration::from_secs(13));
    assert_eq!(next.pool(), ["10.0.0.12:80 1"]);
    next.dead.clear();
    next.run(Duration::from_secs(11));
    assert_eq!(next.pool(), ["10.0.0.11:80 1", "10.0.0.12:80 1"], "back with the weight it is configured with");
}

#[test]
fn a_server_that_a_script_drains_stays_and_goes_on_draining() {
    let config = scripted(true);
    let mut host = Host::start(&config);
    host.weights.insert(address(FIRST), 0);
    host.run(Duration::from_secs(11));
    assert_eq!(host.pool(), ["10.0.0.11:80 0", "10.0.0.12:80 1"]);
    let mut next = restarted(&config, &host);
    assert_eq!(next.told(), [""; 0], "its connections are not cut off");
    assert_eq!(next.pool(), ["10.0.0.11:80 0", "10.0.0.12:80 1"]);
}

#[test]
fn a_weight_that_no_check_sets_is_the_configured_one_at_once() {
    let mut host = Host::start(&scripted(false));
    host.run(Duration::from_secs(11));
    let mut config = scripted(false);
    config.virtual_servers[0].real_servers[0].weight = 5;
    config.virtual_servers[0].real_servers[1].weight = 6;
    assert_eq!(restarted(&config, &host).pool(), ["10.0.0.11:80 5", "10.0.0.12:80 6"]);
}

#[test]
fn a_weight_from_a_file_is_kept_until_the_file_is_read() {
    let kind = CheckKind::File { file: "load".to_owned(), weight: 10, reverse: false, dynamic: true };
    let mut server = web(1);
    server.real_servers[0].checks = vec![Check::new(kind, address(FIRST))];
    let mut config = config(vec![server]);
    let load = TrackFile { name: "load".to_owned(), path: "/load".into(), weight: 1, reverse: false, init: None };
    config.track_files = vec![load];
    let says = |value| Input::File { name: "load".to_owned(), value };
    let mut host = Host::start(&config);
    host.give(says(Some(4)));
    assert_eq!(host.pool(), ["10.0.0.11:80 41"]);

    let mut next = restarted(&config, &host);
    assert_eq!(next.pool(), ["10.0.0.11:80 41"]);
    next.give(says(None));
    assert_eq!(next.pool(), ["10.0.0.11:80 1"], "there is no number in it any more");
}
