//! A model to meshd.toml: what differs from the defaults, so that reading it gives the model again.
//!
//! Every struct of the model is taken apart by its whole list of fields: a new one that nobody writes
//! does not compile.

mod conduct;
mod notify;
mod scheduling;
mod service;
mod text;
mod track;

use std::time::Duration;

use self::text::{Writer, list, string, time, words};
use crate::model::{
    BfdInstance, Check, CheckKind, Config, Connect, Dumps, FlapDamping, LeaseTime, Mail, MeshSettings, Placement,
    Policy, Process, QuorumLoss, Scope, ScriptSecurity, SyncGroup, TelemetrySettings, TrackFile, TrackScript, Version,
    VirtualAddress, VirtualRouter,
};

/// The text, and what of the model it cannot say.
pub fn write(config: &Config) -> (String, Vec<String>) {
    let Config {
        router_id,
        scripts,
        track_scripts,
        routers,
        sync_groups,
        virtual_servers,
        track_files,
        track_processes,
        delays,
        dynamic_interfaces,
        lvs,
        vrrp,
        statics,
        vmac_names,
        bfd_instances,
        mail,
        notify,
        process,
        telemetry,
        mesh,
    } = config;
    let mut writer = Writer::default();
    writer.some("router_id", router_id.as_ref().map(string));
    writer.unless(*dynamic_interfaces, false, "dynamic_interfaces");
    self::mesh(&mut writer, mesh);
    self::telemetry(&mut writer, telemetry);
    conduct::settings(&mut writer, vrrp);
    track::statics(&mut writer, statics);
    track::vmac_names(&mut writer, vmac_names);
    track::delays(&mut writer, delays);
    self::scripts(&mut writer, scripts);
    track_scripts.iter().for_each(|script| track_script(&mut writer, script));
    routers.iter().for_each(|router| self::router(&mut writer, router));
    sync_groups.iter().for_each(|group| sync_group(&mut writer, group));
    bfd_instances.iter().for_each(|session| bfd(&mut writer, session));
    self::mail(&mut writer, mail);
    notify::settings(&mut writer, notify);
    self::process(&mut writer, process);
    service::settings(&mut writer, lvs, routers);
    track_files.iter().for_each(|file| track_file(&mut writer, file));
    track_processes.iter().for_each(|process| track::process(&mut writer, process));
    virtual_servers.iter().for_each(|server| service::server(&mut writer, lvs, track_files, server));
    writer.finish()
}

/// Whether two configurations do the same. Checks that wait for news (files, BFD) have no times, and
/// those and programs connect to nothing: what they took over from around them decides nothing. Nor do
/// settings of unicast for adverts that are multicast.
pub fn same(one: &Config, other: &Config) -> bool {
    meant(one) == meant(other)
}

fn meant(config: &Config) -> Config {
    let mut config = config.clone();
    config.routers.iter_mut().for_each(conduct::drop_unused);
    let reals = config.virtual_servers.iter_mut().flat_map(|server| &mut server.real_servers);
    for check in reals.flat_map(|real| &mut real.checks) {
        let to = check.connect.to;
        match check.kind {
            CheckKind::File { .. } | CheckKind::Bfd { .. } => {
                *check = Check { alpha: check.alpha, ..Check::new(check.kind.clone(), to) };
            }
            CheckKind::Misc { .. } => check.connect = Connect::new(to),
            _ => {}
        }
    }
    config
}

fn mesh(writer: &mut Writer, mesh: &MeshSettings) {
    let MeshSettings { name, listen, lease, realtime, policy, replace_after, placement, damping } = mesh;
    let Placement { spread, capacity, moves_per_minute, rebalance_after } = placement;
    let default = Placement::default();
    writer.table("[mesh]");
    writer.some("name", name.as_ref().map(string));
    writer.some("listen", listen.map(|listen| string(listen.to_string())));
    match lease {
        LeaseTime::Compat => writer.key("profile", "\"compat\""),
        LeaseTime::Fast => {}
        LeaseTime::Aggressive => writer.key("profile", "\"aggressive\""),
        LeaseTime::Fixed(lease) => writer.key("lease", time(*lease)),
    }
    writer.unless(*realtime, true, "realtime");
    self::policy(writer, policy);
    writer.some("replace_after", replace_after.map(time));
    writer.unless(*spread, default.spread, "spread");
    writer.unless(*capacity, default.capacity, "capacity");
    writer.unless(*moves_per_minute, default.moves_per_minute, "moves_per_minute");
    writer.unless_time(*rebalance_after, default.rebalance_after, "rebalance_after");
    self::damping(writer, *damping);
}

fn damping(writer: &mut Writer, damping: Option<FlapDamping>) {
    let Some(FlapDamping { falls, within, hold, max }) = damping else { return writer.key("flap_damping", false) };
    if damping != Some(FlapDamping::default()) {
        let [within, hold, max] = [within, hold, max].map(time);
        let table = format!("{{ falls = {falls}, within = {within}, hold = {hold}, max = {max} }}");
        writer.key("flap_damping", table);
    }
}

fn policy(writer: &mut Writer, policy: &Policy) {
    let Policy { on_quorum_loss, quorum_loss_delay, trusted_neighbours } = policy;
    let loss = on_quorum_loss.map(|loss| match loss {
        QuorumLoss::Fence => "\"fence\"",
        QuorumLoss::Vrrp => "\"vrrp\"",
    });
    writer.some("on_quorum_loss", loss);
    writer.some("quorum_loss_delay", quorum_loss_delay.map(time));
    writer.some(
        "trusted_neighbours",
        trusted_neighbours.as_ref().map(|nets| list(nets.iter().map(|net| string(net.to_string())))),
    );
}

fn user(writer: &mut Writer, user: Option<&(String, Option<String>)>) {
    let Some((user, group)) = user else { return };
    writer.key("user", string(user));
    writer.some("group", group.as_ref().map(string));
}

fn scripts(writer: &mut Writer, scripts: &ScriptSecurity) {
    let ScriptSecurity { user, enable, symlink_paths, supplementary_groups } = scripts;
    writer.table("[scripts]");
    self::user(writer, user.as_ref());
    writer.unless(*enable, false, "security");
    writer.unless(*symlink_paths, false, "symlink_paths");
    writer.unless(*supplementary_groups, false, "supplementary_groups");
}

fn track_script(writer: &mut Writer, script: &TrackScript) {
    let TrackScript { name, command, interval, timeout, weight, reverse, rise, fall, init_fail, user } = script;
    writer.item("[[script]]");
    writer.key("name", string(name));
    writer.key("command", words(command));
    writer.unless_time(*interval, Duration::from_secs(1), "interval");
    writer.unless_time(*timeout, *interval, "timeout");
    writer.unless(*weight, 0, "weight");
    writer.unless(*reverse, false, "reverse");
    writer.unless(*rise, 1, "rise");
    writer.unless(*fall, 1, "fall");
    writer.unless(*init_fail, false, "init_fail");
    self::user(writer, user.as_ref());
}

fn router(writer: &mut Writer, router: &VirtualRouter) {
    let VirtualRouter {
        name,
        key,
        interface,
        initial_active,
        priority,
        version,
        advert_interval,
        preempt,
        preempt_delay,
        auth_pass,
        auth_header,
        auth_hmac,
        transport,
        addresses,
        excluded_addresses,
        track,
        dont_track_primary,
        track_source,
        routes,
        rules,
        vmac: _, // with what belongs to it
        vmac_transmit_base: _,
        vmac_addresses: _,
        address_vmacs: _, // follow from the addresses
        garp,
        strict,
        skip_check_adv_addr,
        conduct,
        policy,
        notify,
        spread,
        keep_apart,
    } = router;
    let default = VirtualRouter::new("", *key, "");
    writer.item("[[router]]");
    writer.key("name", string(name));
    writer.key("interface", string(interface));
    writer.key("vrid", key.vrid);
    if *initial_active != (*priority == 255) {
        writer.key("state", if *initial_active { "\"active\"" } else { "\"backup\"" });
    }
    writer.unless(*priority, default.priority, "priority");
    if *version != default.version {
        writer.key("version", if *version == Version::V2 { 2 } else { 3 });
    }
    writer.unless_time(*advert_interval, default.advert_interval, "advert_interval");
    writer.unless(*preempt, true, "preempt");
    writer.unless_time(*preempt_delay, Duration::ZERO, "preempt_delay");
    let declared = (auth_pass.as_ref(), *auth_header, auth_hmac.as_ref());
    conduct::authentication(writer, router, declared);
    conduct::conduct(writer, router, transport, conduct);
    writer.unless(addresses.is_empty(), false, "no_addresses");
    writer.key("addresses", list(addresses.iter().map(address)));
    if !excluded_addresses.is_empty() {
        writer.key("excluded_addresses", list(excluded_addresses.iter().map(address)));
    }
    track::tracks(writer, track);
    writer.unless(!*dont_track_primary, true, "track_own_interface");
    writer.unless(*track_source, false, "track_source");
    track::vmac(writer, router);
    track::routing(writer, &format!("router `{name}`"), routes, rules);
    conduct::garp(writer, *strict, garp);
    writer.unless(*strict, false, "strict");
    writer.unless(*skip_check_adv_addr, false, "skip_address_check");
    self::policy(writer, policy);
    writer.some("spread", *spread);
    if !keep_apart.is_empty() {
        writer.key("keep_apart", list(keep_apart.iter().map(string)));
    }
    notify::one(writer, notify);
}

fn address(address: &VirtualAddress) -> String {
    let VirtualAddress {
        net,
        interface,
        label,
        scope,
        broadcast,
        vmac,
        peer,
        dad,
        home,
        manage_temporary,
        no_prefix_route,
        autojoin,
        preferred_s,
        track,
    } = address;
    let net = string(net.to_string());
    let mut rest = String::new();
    let mut add = |key: &str, value: Option<String>| {
        rest.extend(value.map(|value| format!(", {key} = {value}")));
    };
    add("interface", interface.as_ref().map(string));
    add("label", label.as_ref().map(string));
    let scope = match scope {
        Scope::Global => None,
        Scope::Site => Some("site"),
        Scope::Link => Some("link"),
        Scope::Host => Some("host"),
        Scope::Nowhere => Some("nowhere"),
    };
    add("scope", scope.map(string));
    add("broadcast", broadcast.map(|broadcast| string(broadcast.to_string())));
    add("peer", peer.map(|peer| string(format!("{peer}/{}", address.net.prefix_len()))));
    let switches = [
        ("vmac", *vmac),
        ("dad", *dad),
        ("home", *home),
        ("manage_temporary", *manage_temporary),
        ("no_prefix_route", *no_prefix_route),
        ("autojoin", *autojoin),
    ];
    for (key, on) in switches {
        add(key, on.then(|| "true".to_owned()));
    }
    add("preferred", preferred_s.map(|seconds| format!("\"{seconds}s\"")));
    add("track", (!track).then(|| "false".to_owned()));
    if rest.is_empty() { net } else { format!("{{ address = {net}{rest} }}") }
}

fn sync_group(writer: &mut Writer, group: &SyncGroup) {
    let SyncGroup { name, routers, track, member_weights, notify } = group;
    writer.item("[[sync_group]]");
    writer.key("name", string(name));
    writer.key("routers", list(routers.iter().map(string)));
    track::tracks(writer, track);
    writer.unless(*member_weights, false, "member_weights");
    notify::one(writer, notify);
}

fn bfd(writer: &mut Writer, session: &BfdInstance) {
    let BfdInstance {
        name,
        neighbour,
        source,
        interface,
        min_rx,
        min_tx,
        idle_tx,
        multiplier,
        passive,
        ttl,
        max_hops,
        multihop,
        weight,
        reverse,
        for_routers,
        for_services,
    } = session;
    let default = BfdInstance::new("", *neighbour);
    writer.item("[[bfd]]");
    writer.key("name", string(name));
    writer.key("neighbour", string(neighbour.to_string()));
    writer.some("source", source.map(|source| string(source.to_string())));
    writer.some("interface", interface.as_ref().map(string));
    writer.unless_time(*min_rx, default.min_rx, "min_rx");
    writer.unless_time(*min_tx, default.min_tx, "min_tx");
    writer.unless_time(*idle_tx, default.idle_tx, "idle_tx");
    writer.unless(*multiplier, default.multiplier, "multiplier");
    writer.unless(*passive, default.passive, "passive");
    writer.unless(*ttl, default.ttl, "ttl");
    writer.unless(*max_hops, default.max_hops, "max_hops");
    writer.unless(*multihop, default.multihop, "multihop");
    writer.unless(*weight, default.weight, "weight");
    writer.unless(*reverse, default.reverse, "reverse");
    match (for_routers, for_services) {
        (true, false) => writer.key("used_by", "\"routers\""),
        (false, true) => writer.key("used_by", "\"services\""),
        _ => {}
    }
}

fn telemetry(writer: &mut Writer, telemetry: &TelemetrySettings) {
    let TelemetrySettings { listen, endpoint, headers_file, service_name, sampling } = telemetry;
    writer.table("[telemetry]");
    writer.some("listen", listen.map(|listen| string(listen.to_string())));
    writer.some("endpoint", endpoint.as_ref().map(string));
    writer.path("headers_file", headers_file.as_deref());
    writer.some("service_name", service_name.as_ref().map(string));
    writer.unless(*sampling, true, "sampling");
}

fn mail(writer: &mut Writer, mail: &Mail) {
    let Mail { to, from, server, helo_name, connect_timeout, alert, alert_vrrp, alert_checker, no_faults, no_checker } =
        mail;
    writer.table("[mail]");
    if !to.is_empty() {
        writer.key("to", list(to.iter().map(string)));
    }
    writer.some("from", from.as_ref().map(string));
    let server = server.as_ref().map(|(host, port)| match host.parse::<std::net::IpAddr>() {
        Ok(address) => string(std::net::SocketAddr::new(address, *port).to_string()),
        Err(_) => string(format!("{host}:{port}")),
    });
    writer.some("server", server);
    writer.some("helo_name", helo_name.as_ref().map(string));
    writer.unless_time(*connect_timeout, Mail::default().connect_timeout, "connect_timeout");
    writer.some("alert", *alert);
    writer.some("alert_routers", *alert_vrrp);
    writer.some("alert_servers", *alert_checker);
    writer.unless(*no_faults, false, "no_faults");
    writer.unless(*no_checker, false, "changes_only");
}

fn process(writer: &mut Writer, process: &Process) {
    let Process {
        instance,
        net_namespace,
        ipvs_namespace,
        use_pid_dir,
        umask,
        reload_file,
        reload_log,
        reload_time_file,
        reload_repeat,
        save_directory,
        name,
        threads,
        dumps,
    } = process;
    writer.table("[process]");
    writer.some("instance", instance.as_ref().map(string));
    writer.some("net_namespace", net_namespace.as_ref().map(string));
    writer.some("net_namespace_ipvs", ipvs_namespace.as_ref().map(string));
    writer.unless(*use_pid_dir, false, "use_pid_dir");
    writer.some("umask", umask.map(|mask| string(format!("0{mask:o}"))));
    writer.path("reload_file", reload_file.as_deref());
    writer.path("reload_log", reload_log.as_deref());
    writer.path("reload_time_file", reload_time_file.as_deref());
    writer.unless(*reload_repeat, false, "reload_repeat");
    writer.path("save_directory", save_directory.as_deref());
    writer.some("name", name.as_ref().map(string));
    scheduling::threads(writer, threads);
    let Dumps { state, stats, json, json_version, use_instance } = dumps;
    writer.table("[dumps]");
    writer.path("state", state.as_deref());
    writer.path("stats", stats.as_deref());
    writer.path("json", json.as_deref());
    writer.unless(*json_version, 1, "json_version");
    writer.unless(*use_instance, false, "use_instance");
}

fn track_file(writer: &mut Writer, file: &TrackFile) {
    let TrackFile { name, path, weight, reverse, init } = file;
    writer.item("[[track_file]]");
    writer.key("name", string(name));
    writer.path("path", Some(path));
    writer.unless(*weight, 1, "weight");
    writer.unless(*reverse, false, "reverse");
    writer.some("init", init.map(|(value, overwrite)| format!("{{ value = {value}, overwrite = {overwrite} }}")));
}

#[cfg(test)]
mod tests;
