//! keepalived.data: what its process for VRRP writes.

use std::fmt::Write;
use std::time::Duration;

use mesh_config::model::{Config, SyncGroup, Transport, Version, Weight};
use mesh_core::Dump;
use mesh_core::engine::dump::{RouterDump, ScriptDump};
use mesh_core::input::Interface;
use mesh_core::vrrp::State;
use mesh_wire::mesh::Family;

use super::json::password;
use super::words::{self, on};
use super::{global, notify};

/// The file.
pub(super) fn text(config: &Config, dump: &Dump) -> String {
    let mut text = global::text(config);
    text.push_str("------< VRRP Topology >------\n");
    for router in &dump.routers {
        instance(&mut text, config, dump, router);
    }
    if !config.sync_groups.is_empty() {
        text.push_str("------< VRRP Sync groups >------\n");
        config.sync_groups.iter().for_each(|group| sync_group(&mut text, config, group, dump));
    }
    if !dump.scripts.is_empty() {
        text.push_str("------< VRRP Scripts >------\n");
        dump.scripts.iter().for_each(|script| tracked_script(&mut text, config, script, dump));
    }
    text.push_str("------< Interfaces >------\n");
    for interface in &dump.interfaces {
        self::interface(&mut text, interface, dump);
    }
    text
}

fn instance(text: &mut String, config: &Config, dump: &Dump, router: &RouterDump) {
    let declared = &router.config;
    let state = words::state(router.state);
    let active = matches!(router.state, State::Active { .. });
    let version = match declared.version {
        Version::V2 => 2,
        Version::V3 => 3,
    };
    let _ = writeln!(text, " VRRP Instance = {}\n   VRRP Version = {version}", declared.name);
    if declared.key.family == Family::Ipv6 {
        text.push_str("   Using Native IPv6\n");
    }
    if let Some(group) = config.sync_groups.iter().find(|group| group.routers.contains(&declared.name)) {
        let _ = writeln!(text, "   Sync group = {}", group.name);
    }
    let _ = writeln!(text, "   State = {state}");
    if let Some(heard) = router.heard {
        let _ = writeln!(text, "   Master router = {}\n   Master priority = {}", heard.source, heard.priority);
    }
    match &declared.transport {
        Transport::Unicast { .. } => text.push_str("   Flags:\n     Using unicast\n"),
        Transport::Multicast { .. } => text.push_str("   Flags: none\n"),
    }
    let faults = u8::from(router.fault.is_some());
    let due = router.due.map_or("DISABLED".to_owned(), words::moment);
    let _ = writeln!(
        text,
        "   Wantstate = {state}
   Number of config faults = 0
   Number of interface and track script faults = {faults}
   Number of track scripts init = 0
   Last transition = {}
   Read timeout = {due}
   Master down timer = {} usecs
   Interface = {}",
        words::moment(router.changed),
        router.down_interval.as_micros(),
        declared.interface,
    );
    sender(text, router);
    timing(text, router);
    authentication(text, router);
    addresses(text, router, active);
    if let Transport::Unicast { peers, .. } = &declared.transport {
        let ttl = declared.conduct.unicast_ttl;
        let checks = if declared.conduct.check_source { "yes" } else { "no" };
        let _ = writeln!(text, "   Unicast TTL = {ttl}\n   Check unicast src : {checks}\n   Unicast Peer :");
        for peer in peers {
            let (least, most) = declared.conduct.peer_ttls.get(peer).cloned().unwrap_or(0..=255).into_inner();
            let _ = writeln!(text, "     {peer} min_ttl {least} max_ttl {most}");
        }
    }
    tracked(text, router, dump);
    notify::router(text, config, &declared.notify);
}

/// How it sends, and to whom.
fn sender(text: &mut String, router: &RouterDump) {
    let declared = &router.config;
    if declared.strict {
        text.push_str("   Enforcing strict VRRP compliance\n");
    }
    if declared.skip_check_adv_addr {
        text.push_str("   Skip checking advert IP addresses\n");
    }
    let (Transport::Multicast { source } | Transport::Unicast { source, .. }) = &declared.transport;
    if let Some(address) = router.source {
        let _ = writeln!(text, "   Using src_ip = {address}{}", on(source.is_some(), " (from configuration)", ""));
    }
    if matches!(declared.transport, Transport::Multicast { .. }) {
        let _ = writeln!(text, "   Multicast address {}", declared.group());
    }
}

fn timing(text: &mut String, router: &RouterDump) {
    let declared = &router.config;
    let (garp, interval, conduct) = (declared.garp, declared.advert_interval, &declared.conduct);
    let interval = match declared.version {
        Version::V2 => format!("{} sec", interval.as_secs()),
        Version::V3 => format!("{} milli-sec", interval.as_millis()),
    };
    let _ = writeln!(
        text,
        "   Gratuitous ARP delay = {}
   Gratuitous ARP repeat = {}
   Gratuitous ARP refresh = {}
   Gratuitous ARP refresh repeat = {}
   Gratuitous ARP lower priority delay = {}
   Gratuitous ARP lower priority repeat = {}
   Down timer adverts = {}
   Send advert after receive lower priority advert = {}
   Send advert after receive higher priority advert = {}
   Virtual Router ID = {}
   Priority = {}
   Effective priority = {}
   Total priority = {}
   Advert interval = {interval}
   Accept = {}
   Preempt = {}",
        garp.delay.as_secs(),
        garp.repeat,
        garp.refresh.as_secs(),
        garp.refresh_repeat,
        garp.lower_prio_delay.as_secs(),
        garp.lower_prio_repeat,
        conduct.down_timer_adverts,
        !conduct.lower_prio_no_advert,
        conduct.higher_prio_send_advert,
        declared.key.vrid,
        declared.priority,
        router.priority,
        router.priority,
        on(declared.accepts(), "enabled", "disabled"),
        on(declared.preempt, "enabled", "disabled"),
    );
    if declared.preempt_delay > Duration::ZERO {
        let _ = writeln!(text, "   Preempt delay = {} secs", declared.preempt_delay.as_secs_f64());
    }
    let promotes = on(conduct.promote_secondaries, "enabled", "disabled");
    let _ = writeln!(text, "   Promote_secondaries = {promotes}");
}

fn authentication(text: &mut String, router: &RouterDump) {
    let declared = &router.config;
    if declared.auth_hmac.is_some() {
        return text.push_str("   Authentication type = HMAC\n");
    }
    match (&declared.auth_pass, declared.version) {
        // What is not sent in clear is not in files that others may read.
        (Some(_), _) if declared.auth_header => text.push_str("   Authentication type = IPSEC_AH\n"),
        (Some(bytes), _) => {
            let _ = writeln!(text, "   Authentication type = SIMPLE_PASSWORD\n   Password = {}", password(bytes));
        }
        (None, Version::V2) => text.push_str("   Authentication type = none\n"),
        (None, Version::V3) => {}
    }
}

fn addresses(text: &mut String, router: &RouterDump, set: bool) {
    let declared = &router.config;
    let _ = writeln!(text, "   Virtual IP ({}):", declared.addresses.len());
    for address in &declared.addresses {
        let _ = writeln!(text, "     {}", words::address(declared, address, set));
    }
    if !declared.excluded_addresses.is_empty() {
        text.push_str("   Virtual IP Excluded :\n");
        for address in &declared.excluded_addresses {
            let _ = writeln!(text, "     {}", words::address(declared, address, set));
        }
    }
}

fn tracked(text: &mut String, router: &RouterDump, dump: &Dump) {
    if router.config.track.scripts.is_empty() {
        return;
    }
    text.push_str("   Tracked scripts :\n");
    for tracked in &router.config.track.scripts {
        let own = dump.scripts.iter().find(|script| script.config.name == tracked.name);
        let weight = tracked.weight.or(own.map(|script| script.config.own_weight())).unwrap_or_default();
        let _ = writeln!(text, "     {} weight {}", tracked.name, weighed(weight));
    }
}

/// A weight as keepalived writes it.
fn weighed(weight: Weight) -> String {
    format!("{}{}", weight.by, if weight.reverse { " reverse" } else { "" })
}

fn sync_group(text: &mut String, config: &Config, group: &SyncGroup, dump: &Dump) {
    let members = || dump.routers.iter().filter(|router| group.routers.contains(&router.config.name));
    let faulty = members().filter(|router| router.state == State::Initialize).count();
    let active = members().all(|router| matches!(router.state, State::Active { .. }));
    let state = if faulty > 0 { "FAULT" } else { on(active, "MASTER", "BACKUP") };
    let _ = writeln!(
        text,
        " VRRP Sync Group = {}, {state}\n   Num member fault {faulty}, num member init 0\n   VRRP member instances :",
        group.name
    );
    for name in &group.routers {
        let _ = writeln!(text, "     {name}");
    }
    notify::group(text, config, &group.notify);
}

fn tracked_script(text: &mut String, config: &Config, script: &ScriptDump, dump: &Dump) {
    let ScriptDump { config: declared, up, against } = script;
    // Of keepalived's count: below `rise` is bad, from there on good.
    let result = if *up { declared.rise + declared.fall - 1 - against } else { *against };
    let _ = writeln!(
        text,
        " VRRP Script = {}
   Command = {}
   Interval = {} sec
   Timeout = {} sec
   Weight = {}
   Rise = {}
   Fall = {}
   Result = {result}
   Insecure = no
   Status = {}",
        declared.name,
        words::command(&declared.command),
        declared.interval.as_secs_f64(),
        declared.timeout.as_secs_f64(),
        declared.weight,
        declared.rise,
        declared.fall,
        on(*up, "GOOD", "BAD"),
    );
    if let Some((user, group)) = declared.user.as_ref().or(config.scripts.user.as_ref()) {
        let _ = writeln!(text, "   Script user:group = {user}:{}", group.as_deref().unwrap_or(user));
    }
    text.push_str("   Tracking instances :\n");
    for router in &dump.routers {
        for tracked in router.config.track.scripts.iter().filter(|tracked| tracked.name == declared.name) {
            let weight = weighed(tracked.weight.unwrap_or(declared.own_weight()));
            let _ = writeln!(text, "     {}, weight {weight}", router.config.name);
        }
    }
    text.push_str("   State = idle\n");
}

fn interface(text: &mut String, interface: &Interface, dump: &Dump) {
    let first = |ipv4: bool| {
        let address = interface.addresses.iter().find(|net| net.addr().is_ipv4() == ipv4);
        address.map_or("(none)".to_owned(), |net| net.addr().to_string())
    };
    let _ = writeln!(
        text,
        " Name = {}\n   IPv4 address = {}\n   IPv6 address = {}\n   State = {}",
        interface.name,
        first(true),
        first(false),
        on(interface.running, "UP, RUNNING", "not running"),
    );
    let mut on_it = dump.routers.iter().filter(|router| router.config.interface == interface.name).peekable();
    if on_it.peek().is_some() {
        text.push_str("   Tracking VRRP instances :\n");
        for router in on_it {
            let _ = writeln!(text, "     {}, weight 0", router.config.name);
        }
    }
}
