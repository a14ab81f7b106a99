use mesh_config::model::{Fifo, NotifySettings};

use super::*;
use crate::fixture::{key, ms, router, vip};

fn script(name: &str) -> Option<Script> {
    Some(Script { command: vec![name.to_owned()], user: None })
}

/// Scripts for everything, under these names.
fn all(prefix: &str) -> Notify {
    let script = |name: &str| script(&format!("{prefix}-{name}"));
    Notify {
        active: script("active"),
        backup: script("backup"),
        fault: script("fault"),
        stop: script("stop"),
        deleted: OnDelete::Deleted(script("deleted")),
        any: script("any"),
        lower_priority: script("lower"),
        priority_changes: None,
        mail: Some(true),
    }
}

/// `VI_1` with scripts for everything, `VI_2` with none, both in group `G`.
fn config() -> Config {
    let second =
        VirtualRouter { name: "VI_2".into(), key: key(52), addresses: vec![vip("10.1.1.81/24")], ..router(100) };
    Config {
        routers: vec![VirtualRouter { notify: all("1"), ..router(200) }, second],
        notify: NotifySettings { router_fifo: Some(Fifo::new("/fifo")), ..NotifySettings::default() },
        ..Config::default()
    }
}

fn grouped() -> Config {
    let group = SyncGroup { notify: all("G"), ..SyncGroup::new("G", vec!["VI_1".into(), "VI_2".into()]) };
    Config { sync_groups: vec![group], ..config() }
}

fn herald(config: &Config) -> Herald {
    let mut herald = Herald::default();
    herald.configure(config, "lb1");
    herald
}

/// What was said, one thing in a line.
fn said(herald: &mut Herald) -> Vec<String> {
    let one = |notice| match notice {
        Notice::Run { key, script, .. } => format!("{key}: {}", script.command.join(" ")),
        Notice::WriteFifo { path, line } => format!("{}: {line}", path.display()),
        Notice::Mail { subject, body } => format!("mail: {subject}: {}", body.trim_end()),
    };
    herald.take().into_iter().map(one).collect()
}

#[test]
fn a_change_is_a_script_then_the_generic_one_a_line_and_mail() {
    let config = config();
    let [one, two] = &config.routers[..] else { panic!() };
    let mut herald = herald(&config);
    for (state, word, name, owns) in [
        (State::Backup, "BACKUP", "backup", "no longer"),
        (State::Active, "MASTER", "active", "now"),
        (State::Fault, "FAULT", "fault", "no longer"),
    ] {
        herald.router(one, state, 200);
        herald.router(one, state, 200);
        let expected = [
            format!("INSTANCE VI_1: 1-{name}"),
            format!("INSTANCE VI_1: 1-any INSTANCE VI_1 {word} 200"),
            format!("/fifo: INSTANCE \"VI_1\" {word} 200"),
            format!(
                "mail: [lb1] VRRP Instance VI_1 - Entering {word} state: => VRRP Instance is {owns} owning VRRP VIPs <="
            ),
        ];
        assert_eq!(said(&mut herald), expected, "each is told once");
    }
    herald.router(two, State::Backup, 100);
    assert_eq!(said(&mut herald), ["/fifo: INSTANCE \"VI_2\" BACKUP 100"]);
    herald.stop();
    herald.stop();
    let expected = [
        "INSTANCE VI_1: 1-stop",
        "INSTANCE VI_1: 1-any INSTANCE VI_1 STOP 200",
        "/fifo: INSTANCE \"VI_1\" STOP 200",
        "/fifo: INSTANCE \"VI_2\" STOP 100",
    ];
    assert_eq!(said(&mut herald), expected, "no mail at the end");
}

#[test]
fn a_group_is_told_once_all_its_members_agree_and_begins_at_the_start() {
    let config = grouped();
    let [one, two] = &config.routers[..] else { panic!() };
    let mut herald = herald(&config);
    let lines = |herald: &mut Herald| {
        let lines = said(herald).into_iter().filter_map(|l| l.strip_prefix("/fifo: ").map(str::to_owned));
        lines.collect::<Vec<_>>()
    };
    herald.router(one, State::Backup, 200);
    herald.router(two, State::Backup, 100);
    let start = ["GROUP \"G\" BACKUP 0", "INSTANCE \"VI_1\" BACKUP 200", "INSTANCE \"VI_2\" BACKUP 100"];
    assert_eq!(lines(&mut herald), start);
    herald.router(two, State::Active, 100);
    assert_eq!(lines(&mut herald), ["INSTANCE \"VI_2\" MASTER 100"]);
    herald.router(one, State::Active, 200);
    assert_eq!(
        said(&mut herald)[3..],
        [
            "mail: [lb1] VRRP Instance VI_1 - Entering MASTER state: => VRRP Instance is now owning VRRP VIPs <=",
            "GROUP G: G-active",
            "GROUP G: G-any GROUP G MASTER 0",
            "/fifo: GROUP \"G\" MASTER 0",
            "mail: [lb1] VRRP Group G - Entering MASTER state: => All VRRP group instances are now in MASTER state <=",
        ]
    );
    herald.router(one, State::Fault, 200);
    herald.router(two, State::Fault, 100);
    herald.stop();
    let rest = [
        "INSTANCE \"VI_1\" FAULT 200",
        "INSTANCE \"VI_2\" FAULT 100",
        "GROUP \"G\" FAULT 0",
        "INSTANCE \"VI_1\" STOP 200",
        "INSTANCE \"VI_2\" STOP 100",
        "GROUP \"G\" STOP 0",
    ];
    assert_eq!(lines(&mut herald), rest);
}

#[test]
fn priorities_are_told_where_that_is_wanted() {
    for (own, group, global, wanted) in [
        (None, None, false, false),
        (None, None, true, true),
        (None, Some(true), false, true),
        (Some(false), Some(true), true, false),
        (Some(true), None, false, true),
    ] {
        let mut config = grouped();
        config.notify.priority_changes = global;
        config.routers[0].notify.priority_changes = own;
        config.sync_groups[0].notify.priority_changes = group;
        let one = &config.routers[0];
        let mut herald = herald(&config);
        herald.priority(one, 190);
        assert_eq!(said(&mut herald), [""; 0], "nothing was told before");
        let mut seen = Vec::new();
        for (state, priority) in [(State::Backup, 180), (State::Active, 170), (State::Fault, 160)] {
            herald.router(one, state, 200);
            said(&mut herald);
            herald.priority(one, 200);
            herald.priority(one, priority);
            seen.extend(said(&mut herald));
        }
        let expected = [
            "/fifo: INSTANCE \"VI_1\" BACKUP_PRIORITY 180",
            "/fifo: INSTANCE \"VI_1\" MASTER_PRIORITY 170",
            "/fifo: INSTANCE \"VI_1\" BACKUP_PRIORITY 160",
        ];
        assert_eq!(seen, if wanted { &expected[..] } else { &[] }, "{own:?} {group:?} {global}");
    }
}

#[test]
fn a_lower_priority_is_told_at_a_bounded_rate_and_while_active() {
    let config = config();
    let one = &config.routers[0];
    let mut herald = herald(&config);
    herald.router(one, State::Backup, 200);
    said(&mut herald);
    herald.lower_priority(ms(0), one);
    assert_eq!(said(&mut herald), [""; 0]);
    herald.router(one, State::Active, 200);
    said(&mut herald);
    let once = ["INSTANCE VI_1: 1-lower", "/fifo: INSTANCE \"VI_1\" MASTER_RX_LOWER_PRI 200"];
    herald.lower_priority(ms(1000), one);
    herald.lower_priority(ms(1499), one);
    assert_eq!(said(&mut herald), once);
    // The next one came a little early.
    herald.lower_priority(ms(1990), one);
    assert_eq!(said(&mut herald), once);
}

#[test]
fn a_reload_tells_what_went_and_states_where_that_is_wanted() {
    let before = config();
    let mut herald = herald(&before);
    herald.router(&before.routers[0], State::Active, 200);
    herald.router(&before.routers[1], State::Backup, 100);
    said(&mut herald);
    herald.configure(&before, "lb1");
    assert_eq!(said(&mut herald), [""; 0]);
    let mut after = before.clone();
    after.notify.states_on_reload = true;
    herald.configure(&after, "lb1");
    assert_eq!(said(&mut herald), ["/fifo: INSTANCE \"VI_1\" MASTER 200", "/fifo: INSTANCE \"VI_2\" BACKUP 100"]);
    after.notify.states_on_reload = false;
    let gone = after.routers.remove(0);
    herald.configure(&after, "lb1");
    herald.router(&gone, State::Backup, 200);
    let expected = [
        "INSTANCE VI_1: 1-deleted",
        "INSTANCE VI_1: 1-any INSTANCE VI_1 DELETED 200",
        "/fifo: INSTANCE \"VI_1\" DELETED 200",
    ];
    assert_eq!(said(&mut herald), expected, "and no state after it");
    after.routers[0].notify = Notify { any: script("any"), fault: script("fault"), ..Notify::default() };
    herald.configure(&after, "lb1");
    after.routers.clear();
    herald.configure(&after, "lb1");
    let expected = ["INSTANCE VI_2: any INSTANCE VI_2 FAULT 100", "/fifo: INSTANCE \"VI_2\" FAULT 100"];
    assert_eq!(said(&mut herald), expected, "without notify_deleted");
}

#[test]
fn mail_goes_where_it_is_wanted() {
    for (own, vrrp, global, wanted) in [
        (None, None, None, false),
        (None, None, Some(true), true),
        (None, Some(false), Some(true), false),
        (Some(true), Some(false), None, true),
        (Some(false), Some(true), Some(true), false),
    ] {
        let mut config = config();
        config.mail = Mail { alert: global, alert_vrrp: vrrp, no_faults: true, ..Mail::default() };
        config.router_id = Some("RID".into());
        config.routers[1].notify.mail = own;
        let two = &config.routers[1];
        let mut herald = herald(&config);
        herald.router(two, State::Backup, 100);
        herald.router(two, State::Fault, 100);
        let mails: Vec<String> = said(&mut herald).into_iter().filter(|line| line.starts_with("mail")).collect();
        let mail =
            "mail: [RID] VRRP Instance VI_2 - Entering BACKUP state: => VRRP Instance is no longer owning VRRP VIPs <=";
        assert_eq!(mails, if wanted { vec![mail] } else { vec![] }, "no_email_faults keeps the other back");
    }
}
