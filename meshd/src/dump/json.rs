//! keepalived.json: numbers where keepalived has numbers, also for what is true or false.

use mesh_config::model::{Config, Password, Version};
use mesh_core::engine::dump::{RouterDump, ScriptDump};
use mesh_core::vrrp::State;
use mesh_core::{Counters, Dump};
use serde::Serialize;

use super::{notify, words};

/// All routers: a list, or an object that has this list in version 2 of the form.
pub(super) fn text(config: &Config, dump: &Dump) -> serde_json::Result<String> {
    let vrrp: Vec<Router> = dump.routers.iter().map(|router| Router::new(config, dump, router)).collect();
    if config.process.dumps.json_version == 1 {
        return serde_json::to_string(&vrrp);
    }
    serde_json::to_string(&Whole { vrrp, track_script: dump.scripts.iter().map(Script::new).collect() })
}

#[derive(Serialize)]
struct Whole {
    vrrp: Vec<Router>,
    track_script: Vec<Script>,
}

#[derive(Serialize)]
struct Script {
    name: String,
    status: &'static str,
    weight: i16,
}

impl Script {
    fn new(script: &ScriptDump) -> Script {
        let status = words::on(script.up, "GOOD", "BAD");
        Script { name: script.config.name.clone(), status, weight: script.config.weight }
    }
}

#[derive(Serialize)]
struct Router {
    data: Data,
    stats: Stats,
}

/// The members in keepalived's order.
#[derive(Serialize)]
struct Data {
    iname: String,
    dont_track_primary: u8,
    skip_check_adv_addr: u8,
    strict_mode: u8,
    vmac_ifname: &'static str,
    ifp_ifname: String,
    master_priority: u8,
    last_transition: f64,
    garp_delay: u64,
    garp_refresh: u64,
    garp_rep: u32,
    garp_refresh_rep: u32,
    garp_lower_prio_delay: u64,
    garp_lower_prio_rep: u32,
    lower_prio_no_advert: u8,
    higher_prio_send_advert: u8,
    vrid: u8,
    base_priority: u8,
    effective_priority: u8,
    vipset: bool,
    promote_secondaries: bool,
    adver_int: Number,
    master_adver_int: Number,
    accept: u8,
    nopreempt: bool,
    preempt_delay: u64,
    state: u8,
    wantstate: u8,
    version: u8,
    smtp_alert: bool,
    notify_deleted: bool,
    #[serde(flatten)]
    scripts: notify::Scripts,
    vips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    track_script: Vec<String>,
    auth_type: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_data: Option<String>,
}

/// Seconds: whole ones without a point.
#[derive(Serialize)]
#[serde(untagged)]
enum Number {
    Whole(u64),
    Parts(f64),
}

impl Number {
    fn new(time: std::time::Duration) -> Number {
        if time.subsec_nanos() == 0 { Number::Whole(time.as_secs()) } else { Number::Parts(time.as_secs_f64()) }
    }
}

impl Router {
    fn new(config: &Config, dump: &Dump, router: &RouterDump) -> Router {
        Router { data: Data::new(config, dump, router), stats: Stats::from(router.counters) }
    }
}

impl Data {
    fn new(config: &Config, dump: &Dump, router: &RouterDump) -> Data {
        let RouterDump { config: declared, state, heard, .. } = router;
        let set = matches!(state, State::Active { .. });
        let list = |addresses: &[mesh_config::model::VirtualAddress]| {
            addresses.iter().map(|address| words::address(declared, address, set)).collect()
        };
        let scripts = declared.track.scripts.iter().filter_map(|tracked| {
            let script = dump.scripts.iter().find(|script| script.config.name == tracked.name)?;
            Some(words::command(&script.config.command))
        });
        let state = match state {
            State::Initialize => 3,
            State::Backup { .. } => 1,
            State::Active { .. } => 2,
        };
        let garp = declared.garp;
        Data {
            iname: declared.name.clone(),
            dont_track_primary: 0,
            skip_check_adv_addr: declared.skip_check_adv_addr.into(),
            strict_mode: declared.strict.into(),
            vmac_ifname: "",
            ifp_ifname: declared.interface.clone(),
            master_priority: heard.map_or(0, |heard| heard.priority),
            last_transition: (router.changed.as_secs_f64() * 1e6).round() / 1e6,
            garp_delay: garp.delay.as_secs(),
            garp_refresh: garp.refresh.as_secs(),
            garp_rep: garp.repeat,
            garp_refresh_rep: garp.refresh_repeat,
            garp_lower_prio_delay: garp.lower_prio_delay.as_secs(),
            garp_lower_prio_rep: garp.lower_prio_repeat,
            lower_prio_no_advert: declared.conduct.lower_prio_no_advert.into(),
            higher_prio_send_advert: declared.conduct.higher_prio_send_advert.into(),
            vrid: declared.key.vrid,
            base_priority: declared.priority,
            effective_priority: router.priority,
            vipset: set,
            promote_secondaries: declared.conduct.promote_secondaries,
            adver_int: Number::new(declared.advert_interval),
            master_adver_int: Number::new(heard.map_or(declared.advert_interval, |heard| heard.interval)),
            accept: declared.accepts().into(),
            nopreempt: !declared.preempt,
            preempt_delay: declared.preempt_delay.as_secs(),
            state,
            wantstate: state,
            version: match declared.version {
                Version::V2 => 2,
                Version::V3 => 3,
            },
            smtp_alert: notify::mails(config, &declared.notify),
            notify_deleted: notify::tells_deletion(&declared.notify),
            scripts: notify::Scripts::new(&declared.notify),
            vips: list(&declared.addresses),
            evips: list(&declared.excluded_addresses),
            track_script: scripts.collect(),
            auth_type: declared.auth_pass.map_or(0, |_| if declared.auth_header { 2 } else { 1 }),
            // What is not sent in clear is not in files that others may read.
            auth_data: declared.auth_pass.as_ref().filter(|_| !declared.auth_header).map(password),
        }
    }
}

/// Without what it is filled up with.
pub(super) fn password(Password(bytes): &Password) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

#[derive(Serialize)]
struct Stats {
    advert_rcvd: u64,
    advert_sent: u64,
    become_master: u64,
    release_master: u64,
    packet_len_err: u64,
    advert_interval_err: u64,
    ip_ttl_err: u64,
    invalid_type_rcvd: u64,
    addr_list_err: u64,
    invalid_authtype: u64,
    authtype_mismatch: u64,
    auth_failure: u64,
    pri_zero_rcvd: u64,
    pri_zero_sent: u64,
}

impl From<Counters> for Stats {
    fn from(counters: Counters) -> Stats {
        Stats {
            advert_rcvd: counters.received,
            advert_sent: counters.sent,
            become_master: counters.became_active,
            release_master: counters.released_active,
            packet_len_err: counters.length_errors,
            advert_interval_err: counters.interval_errors,
            ip_ttl_err: counters.ttl_errors,
            invalid_type_rcvd: counters.invalid_types,
            addr_list_err: counters.address_list_errors,
            invalid_authtype: counters.invalid_authentications,
            authtype_mismatch: counters.authentication_mismatches,
            auth_failure: counters.authentication_failures,
            pri_zero_rcvd: counters.resignations_received,
            pri_zero_sent: counters.resignations_sent,
        }
    }
}
