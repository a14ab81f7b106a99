//! One node without a mesh: what keepalived does.

use mesh_config::model::{Fifo, FlushOnStop, SorryServer};

use super::*;

const DOWN_MAIL: &str = "mail [lb1] Realserver [10.0.0.11]:tcp:80 of virtual server [10.0.0.1]:tcp:80 - DOWN: \
                         => TCP CHECK failed on service <=";

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn without_virtual_servers_ip_vs_is_not_touched() {
    let mut host = Host::start(&Config::default());
    host.run(secs(100));
    assert_eq!(host.log, []);
    assert_eq!(host.services.deadline(), None);
}

#[test]
fn real_servers_are_up_at_the_start_and_scripts_hear_of_the_quorum() {
    let mut server = web(2);
    server.quorum_up = Some(script("gained"));
    let mut config = config(vec![server]);
    config.lvs.notify_fifo = Some(Fifo::new("/run/fifo"));
    let mut host = Host::start(&config);
    assert_eq!(host.pool(), ["10.0.0.11:80 1", "10.0.0.12:80 1"]);
    assert_eq!(host.told(), ["apply", "run gained", "VS [10.0.0.1]:tcp:80 UP"]);
    assert_eq!(host.checks, [], "checks come within warmup");
    host.run(secs(10));
    assert_eq!(host.checks.len(), 2);
    assert_eq!(host.told(), [""; 0], "nothing new");
}

#[test]
fn with_rs_init_notifies_scripts_hear_of_real_servers_first() {
    let mut server = web(1);
    server.real_servers[0].notify_up = Some(script("up"));
    let mut config = config(vec![server]);
    config.lvs.notify_fifo = Some(Fifo::new("/run/fifo"));
    config.lvs.init_notifies = true;
    let expected = ["apply", "run up", "RS [10.0.0.11]:tcp:80 [10.0.0.1]:tcp:80 UP", "VS [10.0.0.1]:tcp:80 UP"];
    assert_eq!(Host::start(&config).told(), expected);
}

#[test]
fn a_dead_server_goes_after_its_retry_and_comes_back_with_one_success() {
    let mut server = web(2);
    server.real_servers[0].notify_up = Some(script("up"));
    server.real_servers[0].notify_down = Some(script("down"));
    let mut host = Host::start(&config(vec![server]));
    host.run(secs(10));
    host.told();
    let first = host.checks.iter().find(|(_, to)| *to == address("10.0.0.11:80")).unwrap().0;
    host.dead.insert(address("10.0.0.11:80"));
    host.run((first + secs(10)).since(host.now));
    assert_eq!(host.pool().len(), 2, "one failure is none");
    host.run(secs(1));
    assert_eq!(host.pool(), ["10.0.0.12:80 1"]);
    assert_eq!(host.told(), ["apply", "run down", DOWN_MAIL]);
    host.dead.clear();
    host.run(secs(11));
    assert_eq!(host.pool(), ["10.0.0.11:80 1", "10.0.0.12:80 1"]);
    let mail = DOWN_MAIL.replace("DOWN", "UP").replace("failed", "succeed");
    assert_eq!(host.told(), ["apply", "run up", &mail]);
}

#[test]
fn an_alpha_server_is_down_until_it_is_checked_and_hears_of_a_first_failure() {
    let mut server = web(2);
    for real in &mut server.real_servers {
        real.checks[0].alpha = true;
        real.notify_down = Some(script("down"));
    }
    let mut config = config(vec![server]);
    config.lvs.notify_fifo = Some(Fifo::new("/run/fifo"));
    let mut host = Host::new(&config);
    host.dead.insert(address("10.0.0.11:80"));
    host.give(Input::Timeout);
    assert_eq!(host.pool(), [""; 0]);
    host.run(secs(10));
    assert_eq!(host.pool(), ["10.0.0.12:80 1"]);
    let told = host.told();
    let down = "RS [10.0.0.11]:tcp:80 [10.0.0.1]:tcp:80 DOWN".to_owned();
    assert!(told.contains(&"run down".to_owned()) && told.contains(&down), "{told:?}");
}

#[test]
fn a_restart_puts_no_dead_server_back_and_empties_nothing() {
    let mut host = Host::start(&config(vec![web(3)]));
    host.run(secs(10));
    host.dead.insert(address("10.0.0.12:80"));
    host.run(secs(12));
    let before = host.kernel.clone();
    assert_eq!(host.pool(), ["10.0.0.11:80 1", "10.0.0.13:80 1"]);

    let mut next = Host::with(&config(vec![web(3)]), before.clone());
    next.dead = host.dead.clone();
    next.give(Input::Timeout);
    assert_eq!(next.told(), [""; 0], "nothing differs");
    next.run(secs(1));
    assert_eq!(next.checks.iter().map(|c| c.1).filter(|c| next.dead.contains(c)).count(), 1, "checked at once");
    assert_eq!(next.kernel, before);
    next.dead.clear();
    next.run(secs(12));
    assert_eq!(next.pool(), ["10.0.0.11:80 1", "10.0.0.12:80 1", "10.0.0.13:80 1"]);
}

#[test]
fn foreign_services_are_left_alone_unless_lvs_flush_says_otherwise() {
    let foreign = Host::start(&config(vec![{
        let mut other = web(1);
        other.endpoints = vec![Endpoint::Address(address("10.0.0.2:80"))];
        other
    }]))
    .kernel;
    let mut config = config(vec![web(1)]);
    let mut host = Host::with(&config, foreign.clone());
    host.give(Input::Timeout);
    assert_eq!(host.kernel.table.len(), 2);
    host.give(Input::Shutdown { keep: false });
    assert_eq!(host.kernel, foreign);
    config.lvs.flush = true;
    let mut host = Host::with(&config, foreign);
    host.give(Input::Timeout);
    assert_eq!(host.kernel.table.len(), 1);
    assert_eq!(host.pool(), ["10.0.0.11:80 1"]);
}

#[test]
fn what_others_change_of_ours_is_repaired_and_told_once() {
    let mut host = Host::start(&config(vec![web(2)]));
    host.run(secs(10));
    host.told();
    let meddle = |host: &mut Host| {
        let pool = host.kernel.table.values_mut().next().unwrap();
        pool.destinations.remove(&destination("10.0.0.11:80"));
    };
    meddle(&mut host);
    host.run(secs(10));
    assert_eq!(host.pool().len(), 2);
    let what = "repaired service 10.0.0.1:80/tcp was changed: 1 real servers were gone, 0 added, the rest edited";
    assert_eq!(host.told(), [what, "apply"]);
    meddle(&mut host);
    host.run(secs(10));
    assert_eq!(host.told(), ["apply"], "somebody insists, and so do we");
    assert_eq!(host.services.kernel.repairs, 2);
}

#[test]
fn a_kernel_without_ip_vs_is_told_once_and_asked_again() {
    let mut host = Host::new(&config(vec![web(1)]));
    host.absent = Some("this kernel has no ip_vs".to_owned());
    host.give(Input::Timeout);
    host.run(secs(60));
    assert_eq!(host.told(), ["warning no virtual service is programmed: this kernel has no ip_vs"]);
    let status = &host.services.status()[0];
    assert_eq!(status.not_programmed_because.as_deref(), Some("this kernel has no ip_vs"));
    assert_eq!((status.on.len(), status.real_servers[0].health.as_str()), (0, "up"), "checks go on");
    host.absent = None;
    host.run(secs(10));
    assert_eq!(host.pool(), ["10.0.0.11:80 1"]);
    assert_eq!(host.services.status()[0].on, ["lb1"]);
}

#[test]
fn a_refused_scheduler_concerns_its_service_only() {
    let mut other = web(1);
    (other.name, other.scheduler) = ("10.0.0.2:80/tcp".to_owned(), "fo".to_owned());
    other.endpoints = vec![Endpoint::Address(address("10.0.0.2:80"))];
    let mut host = Host::new(&config(vec![web(1), other]));
    host.refuses = |change| match change {
        Change::AddService { service, .. } if service.scheduler == "fo" => Some("no such scheduler".to_owned()),
        Change::AddDestination { service, .. } if service.to_string() == "10.0.0.2:80/tcp" => Some("gone".to_owned()),
        _ => None,
    };
    host.give(Input::Timeout);
    assert_eq!(host.pool(), ["10.0.0.11:80 1"]);
    host.told();
    host.run(secs(100));
    let applied = host.told().iter().filter(|line| *line == "apply").count();
    assert_eq!(applied, 10, "asked for again every 10 s, and told no more");
    let status = host.services.status();
    assert_eq!(status[0].not_programmed_because, None);
    let why = "ip_vs refuses service 10.0.0.2:80/tcp: no such scheduler";
    assert_eq!(status[1].not_programmed_because.as_deref(), Some(why));
    host.refuses = |_| None;
    host.run(secs(10));
    assert_eq!(host.pool(), ["10.0.0.11:80 1", "10.0.0.11:80 1"]);
}

#[test]
fn real_servers_come_and_go_where_a_new_scheduler_is_refused() {
    let mut server = web(2);
    let mut host = Host::start(&config(vec![server.clone()]));
    host.refuses = |change| matches!(change, Change::EditService { .. }).then(|| "no such scheduler".to_owned());
    server.scheduler = "fo".to_owned();
    host.give(Input::Configure(Box::new(config(vec![server]))));
    host.dead.insert(address("10.0.0.11:80"));
    while host.services.services[0].members[0].live {
        host.run(Duration::from_millis(1));
        assert!(host.now < at(60_000));
    }
    assert_eq!(host.pool(), ["10.0.0.12:80 1"], "at once");
}

#[test]
fn a_check_without_an_answer_is_a_failure_and_a_late_answer_is_none() {
    let mut services = Services::new(setup(1), &config(vec![web(1)]), at(0));
    services.step(at(0), Input::Timeout);
    services.step(at(0), Input::Kernel(Ok(Held::default())));
    services.step(at(0), Input::Applied { failed: Vec::new() });
    let first = run_of(&services.step(at(10_000), Input::Timeout))[0];
    assert_eq!(run_of(&services.step(at(11_000), Input::Timeout)), [], "one at a time");
    // Two timeouts of 5 s, and 5 s more.
    services.step(at(24_999), Input::Timeout);
    assert!(services.services[0].members[0].live);
    services.step(at(25_000), Input::Timeout);
    assert!(!services.services[0].members[0].live);
    let reasons = &services.status()[0].real_servers[0].reasons;
    assert_eq!(reasons["lb1"], "no answer in 15 s");
    services.step(at(26_000), Input::Checked { run: first, outcome: Outcome::Success });
    assert!(!services.services[0].members[0].live);
    let second = run_of(&services.step(at(36_000), Input::Timeout))[0];
    assert_eq!((second.check, second.number), (first.check, first.number + 1));
    services.step(at(36_001), Input::Checked { run: second, outcome: Outcome::Success });
    assert!(services.services[0].members[0].live);
}

#[test]
fn without_an_address_here_nothing_is_checked_with_ha_suspend() {
    let mut server = web(1);
    server.ha_suspend = true;
    let mut host = Host::start(&config(vec![server]));
    host.run(secs(60));
    assert_eq!(host.checks, []);
    host.give(Input::Addresses([address("10.0.0.1:80").ip()].into()));
    host.dead.insert(address("10.0.0.11:80"));
    host.run(secs(10));
    assert_eq!(host.checks.len(), 1);
    assert_eq!(host.pool(), [""; 0]);
    host.give(Input::Addresses(BTreeSet::new()));
    host.run(secs(60));
    assert_eq!((host.checks.len(), host.pool().len()), (1, 0), "the state is kept");
}

#[test]
fn files_and_bfd_sessions_are_told() {
    let mut server = web(1);
    let to = server.real_servers[0].address;
    let file = CheckKind::File { file: "load".to_owned(), weight: 10, reverse: false, dynamic: true };
    let bfd = CheckKind::Bfd { instance: "peer".to_owned() };
    server.real_servers[0].checks = [file, bfd].map(|kind| Check::new(kind, to)).to_vec();
    let mut config = config(vec![server]);
    let load = TrackFile { name: "load".to_owned(), path: "/load".into(), weight: 1, reverse: false, init: None };
    config.track_files = vec![load.clone(), TrackFile { name: "other".to_owned(), ..load.clone() }];
    let mut host = Host::start(&config);
    assert_eq!(host.log[0], Action::WatchFiles(vec![load]));
    assert_eq!(host.pool(), ["10.0.0.11:80 1"]);
    host.give(Input::File { name: "load".to_owned(), value: Some(4) });
    assert_eq!(host.pool(), ["10.0.0.11:80 41"]);
    host.give(Input::File { name: "load".to_owned(), value: Some(-4) });
    assert_eq!(host.pool(), ["10.0.0.11:80 0"], "not below 0");
    host.give(Input::File { name: "load".to_owned(), value: None });
    assert_eq!(host.pool(), ["10.0.0.11:80 1"]);
    host.give(Input::Bfd { name: "peer".to_owned(), up: false });
    assert_eq!(host.pool(), [""; 0]);
    host.give(Input::Bfd { name: "peer".to_owned(), up: true });
    assert_eq!(host.pool(), ["10.0.0.11:80 1"]);
}

fn stop(how: FlushOnStop, omega: bool) -> (Vec<String>, Host) {
    let mut server = web(1);
    server.omega = omega;
    server.quorum_down = Some(script("lost"));
    server.real_servers[0].notify_down = Some(script("down"));
    let mut config = config(vec![server]);
    config.lvs.flush_on_stop = how;
    let mut host = Host::start(&config);
    let mut foreign = host.kernel.table.values().next().unwrap().clone();
    foreign.destinations.clear();
    host.kernel.table.insert(ServiceKey::Fwmark { mark: 1, family: mesh_wire::mesh::Family::Ipv4 }, foreign);
    host.told();
    host.give(Input::Shutdown { keep: false });
    (host.told(), host)
}

#[test]
fn the_end_takes_out_what_lvs_flush_on_stop_says() {
    let (told, host) = stop(FlushOnStop::Own, false);
    assert_eq!((told, host.kernel.table.len()), (vec!["apply".to_owned(), "stopped".to_owned()], 1));
    let (told, host) = stop(FlushOnStop::VirtualServers, false);
    assert_eq!((told, host.kernel.table.len()), (vec!["apply".to_owned(), "stopped".to_owned()], 1));
    let (told, host) = stop(FlushOnStop::All, false);
    assert_eq!((told, host.kernel.table.len()), (vec!["apply".to_owned(), "stopped".to_owned()], 0));
}

#[test]
fn omega_runs_the_scripts_at_the_end() {
    let down = DOWN_MAIL.replace("TCP CHECK failed on service", "Shutting down");
    let (told, _) = stop(FlushOnStop::Own, true);
    assert_eq!(told, ["run down", &down, "run lost", "apply", "stopped"]);
    let (told, _) = stop(FlushOnStop::VirtualServers, true);
    assert_eq!(told, ["run lost", "apply", "stopped"]);
}

#[test]
fn an_end_before_the_first_reading_takes_out_what_an_earlier_run_left() {
    let config = config(vec![web(1)]);
    let earlier = Host::start(&config).kernel;
    let pool = earlier.table.values().next().unwrap().clone();
    // At once, and while ip_vs is being read.
    for reading in [false, true] {
        let mut held = earlier.clone();
        held.table.insert(ServiceKey::Fwmark { mark: 1, family: mesh_wire::mesh::Family::Ipv4 }, pool.clone());
        let mut host = Host::with(&config, held);
        if reading {
            assert!(host.services.step(host.now, Input::Timeout).contains(&Action::ReadKernel));
            assert_eq!(host.services.step(host.now, Input::Shutdown { keep: false }), []);
            host.give(Input::Kernel(Ok(host.kernel.clone())));
        } else {
            host.give(Input::Shutdown { keep: false });
        }
        assert_eq!(host.told(), ["apply", "stopped"]);
        let left: Vec<_> = host.kernel.table.keys().collect();
        assert!(matches!(left[..], [ServiceKey::Fwmark { .. }]), "{left:?}");
    }
}

#[test]
fn the_end_with_keep_leaves_everything() {
    let mut host = Host::start(&config(vec![web(2)]));
    host.told();
    host.give(Input::Shutdown { keep: true });
    assert_eq!(host.told(), ["stopped"]);
    assert_eq!(host.pool().len(), 2);
}

#[test]
fn the_end_does_not_wait_for_ever() {
    let mut services = Services::new(setup(1), &config(vec![web(1)]), at(0));
    assert!(services.step(at(0), Input::Timeout).contains(&Action::ReadKernel));
    assert_eq!(services.step(at(0), Input::Shutdown { keep: false }), []);
    // The first reading's own limit.
    assert_eq!(services.deadline(), Some(at(3000)));
    assert_eq!(services.step(at(3000), Input::Timeout).last(), Some(&Action::Stopped));
}

#[test]
fn timeouts_are_set_and_given_back() {
    let mut with = config(vec![web(1)]);
    with.lvs.timeouts = Some((100, 0, 30));
    let before = Timeouts { tcp: 900, tcp_fin: 120, udp: 300 };
    let mut host = Host::with(&with, Held { timeouts: before, ..Held::default() });
    host.give(Input::Timeout);
    let applied = |host: &mut Host| {
        let changes = host.log.drain(..).filter_map(|action| match action {
            Action::Apply(changes) => Some(changes),
            _ => None,
        });
        changes.flatten().filter(|c| matches!(c, Change::SetTimeouts(_))).collect::<Vec<_>>()
    };
    assert_eq!(applied(&mut host), [Change::SetTimeouts(Timeouts { tcp: 100, tcp_fin: 0, udp: 30 })]);
    assert_eq!(host.kernel.timeouts, Timeouts { tcp: 100, tcp_fin: 120, udp: 30 });
    host.run(secs(30));
    assert_eq!(applied(&mut host), []);
    host.give(Input::Configure(Box::new(config(vec![web(1)]))));
    assert_eq!(applied(&mut host), [Change::SetTimeouts(before)]);
}

#[test]
fn the_sync_daemon_follows_its_router() {
    let mut config = config(vec![web(1)]);
    let sync = mesh_config::model::SyncDaemon {
        interface: "eth0".to_owned(),
        router: Some("VI_1".to_owned()),
        id: 51,
        max_length: 0,
        port: 0,
        group: None,
        ttl: 0,
    };
    config.lvs.sync = Some(sync);
    let mut host = Host::start(&config);
    let roles = |host: &Host| host.kernel.sync.keys().copied().collect::<Vec<_>>();
    assert_eq!(roles(&host), [SyncRole::Backup]);
    let active_here = BTreeSet::from(["VI_1".to_owned()]);
    host.give(Input::Surroundings(Surroundings { active_here, ..Surroundings::default() }));
    assert_eq!(roles(&host), [SyncRole::Master]);
    config.lvs.sync.as_mut().unwrap().router = None;
    host.give(Input::Configure(Box::new(config)));
    assert_eq!(roles(&host), [SyncRole::Master, SyncRole::Backup]);
    host.give(Input::Shutdown { keep: false });
    assert_eq!(roles(&host), []);
}

#[test]
fn a_reload_keeps_the_state_of_what_did_not_change() {
    let mut server = web(2);
    let mut host = Host::start(&config(vec![server.clone()]));
    host.run(secs(10));
    host.dead.insert(address("10.0.0.11:80"));
    host.run(secs(12));
    assert_eq!(host.pool(), ["10.0.0.12:80 1"]);
    host.told();
    server.scheduler = "rr".to_owned();
    server.real_servers[0].checks[0].delay_loop = secs(3);
    server.real_servers[1].weight = 7;
    host.give(Input::Configure(Box::new(config(vec![server.clone()]))));
    assert_eq!(host.pool(), ["10.0.0.12:80 7"], "a dead server stays out");
    assert_eq!(host.told(), ["apply"]);
    host.dead.clear();
    host.run(secs(3));
    assert_eq!(host.pool(), ["10.0.0.11:80 1", "10.0.0.12:80 7"]);
}

#[test]
fn what_leaves_the_configuration_is_told_and_taken_out() {
    let mut host = Host::start(&config(vec![web(2)]));
    host.told();
    let mut fifo = config(vec![web(1)]);
    fifo.lvs.notify_fifo = Some(Fifo::new("/run/fifo"));
    host.give(Input::Configure(Box::new(fifo.clone())));
    let removed = "mail [lb1] Realserver [10.0.0.12]:tcp:80 of virtual server [10.0.0.1]:tcp:80 - DOWN: => Removing <=";
    assert_eq!(host.told(), ["RS [10.0.0.12]:tcp:80 [10.0.0.1]:tcp:80 DOWN", removed, "apply"]);
    assert_eq!(host.pool(), ["10.0.0.11:80 1"]);
    fifo.virtual_servers.clear();
    host.give(Input::Configure(Box::new(fifo)));
    assert_eq!(host.kernel.table.len(), 0);
    let told = host.told();
    assert_eq!(told[0], "RS [10.0.0.11]:tcp:80 [10.0.0.1]:tcp:80 DOWN");
    assert_eq!(told[2..], ["VS [10.0.0.1]:tcp:80 DOWN", "apply"]);
}

#[test]
fn a_new_real_server_is_used_at_once_and_checked_with_retries() {
    let mut host = Host::start(&config(vec![web(1)]));
    host.run(secs(10));
    host.dead.insert(address("10.0.0.12:80"));
    host.give(Input::Configure(Box::new(config(vec![web(2)]))));
    assert_eq!(host.pool().len(), 2);
    host.run(secs(12));
    assert_eq!(host.pool(), ["10.0.0.11:80 1"]);
}

#[test]
fn the_last_real_server_goes_and_the_sorry_server_comes_in_one_change() {
    let mut server = web(1);
    server.sorry_server =
        Some(SorryServer { address: address("10.0.0.99:80"), forwarding: Forwarding::Nat, inhibit: false });
    let mut host = Host::start(&config(vec![server]));
    host.run(secs(10));
    host.log.clear();
    host.dead.insert(address("10.0.0.11:80"));
    host.run(secs(12));
    let Some(Action::Apply(changes)) = host.log.first() else { panic!("{:?}", host.log) };
    assert!(matches!(changes[..], [Change::AddDestination { .. }, Change::DeleteDestination { .. }]));
    assert_eq!(host.pool(), ["10.0.0.99:80 1"]);
    assert_eq!(host.services.status()[0].sorry_server.as_deref(), Some("10.0.0.99:80"));
}

/// Mail of a node whose only real server is found dead.
fn mail_of_a_loss(config: &Config) -> Vec<String> {
    let mut host = Host::new(config);
    host.dead.insert(address("10.0.0.11:80"));
    host.give(Input::Timeout);
    host.run(secs(30));
    host.told().into_iter().filter(|line| line.starts_with("mail")).collect()
}

#[test]
fn mail_follows_the_global_settings() {
    let quorum = |how: &str| format!("mail [lb1] Virtualserver [10.0.0.1]:tcp:80 - {how} <=");
    let gained = quorum("UP: => Starting with quorum up 1+0=1 <= 1");
    let lost = quorum("DOWN: => Lost quorum 1+0=1 <= 0");
    let (gained, lost) = (gained.as_str(), lost.as_str());
    let mut config = config(vec![web(1)]);
    assert_eq!(mail_of_a_loss(&config), [DOWN_MAIL]);
    config.mail.alert = Some(true);
    assert_eq!(mail_of_a_loss(&config), [gained, lost, DOWN_MAIL]);
    config.mail.alert_checker = Some(false);
    assert_eq!(mail_of_a_loss(&config), [""; 0]);
    config.virtual_servers[0].smtp_alert = Some(true);
    assert_eq!(mail_of_a_loss(&config), [gained, lost]);
    config.virtual_servers[0].real_servers[0].smtp_alert = Some(true);
    assert_eq!(mail_of_a_loss(&config), [gained, lost, DOWN_MAIL]);
}

#[test]
fn without_mail_of_each_check_there_is_one_for_each_change() {
    let mut server = web(1);
    let mut second = tcp(address("10.0.0.11:80"));
    second.retry = 3;
    server.real_servers[0].checks.push(second);
    let mut config = config(vec![server]);
    assert_eq!(mail_of_a_loss(&config), [DOWN_MAIL, DOWN_MAIL], "each check");
    config.mail.no_checker = true;
    assert_eq!(mail_of_a_loss(&config), [DOWN_MAIL]);
}

#[test]
fn checks_begin_though_ip_vs_never_answers() {
    let mut services = Services::new(setup(1), &config(vec![web(1)]), at(1000));
    assert_eq!(services.step(at(1000), Input::Timeout), [Action::ReadKernel]);
    assert_eq!(services.deadline(), Some(at(4000)));
    let warning = |action: &Action| {
        matches!(action, Action::Record(Decision::Warning { text })
        if text == "no virtual service is programmed: ip_vs gives no answer in 3 s")
    };
    assert!(services.step(at(4000), Input::Timeout).iter().any(warning));
    assert_eq!(services.status()[0].not_programmed_because.as_deref(), Some("ip_vs gives no answer in 3 s"));
    let checked = std::iter::from_fn(|| services.deadline().map(|due| (due, services.step(due, Input::Timeout))));
    let (first, _) = checked.take(10).find(|(_, actions)| !run_of(actions).is_empty()).unwrap();
    assert!(first <= at(4000) + Duration::from_secs(10), "the first check comes at {first:?}");
}
