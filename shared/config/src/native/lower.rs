//! The keys of meshd.toml to the model.

mod conduct;
mod notify;
mod placement;
mod process;
mod router;
mod routing;
mod server;
mod settings;
mod telemetry;
mod track;
mod vmac;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;

use super::schema::{File, Mesh, ProfileName, QuorumLossName, Script, Scripts};
use super::text::Time;
use super::{Source, bfd};
use crate::model::{CheckScope, Config, LeaseTime, MeshSettings, Policy, QuorumLoss, ScriptSecurity, TrackScript};

/// Lowers a whole file.
pub(super) fn lower(source: &mut Source<'_>, file: File) -> Config {
    let (statics, members) = routing::statics(source, file.host);
    let mut config = Config {
        router_id: file.router_id,
        mesh: mesh(source, file.mesh),
        telemetry: telemetry::telemetry(source, file.telemetry),
        vrrp: conduct::vrrp(source, file.vrrp),
        scripts: scripts(source, file.scripts),
        statics,
        vmac_names: vmac::names(source, file.vmac),
        ..Config::default()
    };
    for script in file.script {
        config.track_scripts.extend(track_script(source, script));
    }
    config.track_files = settings::track_files(source, file.track_file);
    config.track_processes = track::processes(source, file.track_process);
    config.bfd_instances = bfd::sessions(source, file.bfd);
    let mut apart = Vec::new();
    for mut router in file.router {
        let wanted = std::mem::take(&mut router.keep_apart);
        let router = router::lower(source, &config, router);
        config.routers.extend(router.inspect(|r| apart.push((r.name.clone(), wanted))));
    }
    vmac::unique(source, &config);
    routing::known_members(source, &config, &members);
    placement::keep_apart(source, &mut config, apart);
    config.sync_groups = track::sync_groups(source, &config, file.sync_group);
    config.delays = track::delays(source, file.delays);
    config.dynamic_interfaces = file.dynamic_interfaces;
    config.mail = settings::mail(source, file.mail);
    config.notify = notify::settings(source, file.notify);
    config.process = process::lower(source, file.process, file.dumps);
    let scope = file.lvs.check_scope.map_or_else(CheckScope::default, server::scope);
    config.lvs = settings::lvs(source, file.lvs, settings::tls(file.tls), &config.routers);
    let fifos = [&config.notify.fifo, &config.notify.router_fifo, &config.lvs.notify_fifo];
    notify::own_fifos(source, fifos.into_iter().flatten());
    let mut names = server::Names {
        files: config.track_files.iter().map(|file| (file.name.as_str(), file)).collect(),
        sessions: config.bfd_instances.iter().filter(|b| b.for_services).map(|b| b.name.as_str()).collect(),
        log_all_failures: config.lvs.log_all_failures,
        scope,
        taken: BTreeMap::new(),
        names: BTreeSet::new(),
    };
    config.virtual_servers =
        file.virtual_server.into_iter().map(|server| server::lower(source, &mut names, server)).collect();
    config
}

/// A number within a range, else an error and `None`.
fn within(source: &mut Source<'_>, value: &Spanned<i64>, range: RangeInclusive<i64>) -> Option<i64> {
    let number = *value.get_ref();
    if range.contains(&number) {
        return Some(number);
    }
    source.error(value.span(), format!("{number} is out of range; expected {} to {}", range.start(), range.end()));
    None
}

/// The same for an optional number of the type at hand.
pub(super) fn number<T: TryFrom<i64>>(
    source: &mut Source<'_>,
    value: Option<&Spanned<i64>>,
    range: RangeInclusive<i64>,
    default: T,
) -> T {
    value.and_then(|v| within(source, v, range)).and_then(|n| T::try_from(n).ok()).unwrap_or(default)
}

/// The same for durations.
pub(super) fn time(
    source: &mut Source<'_>,
    value: Option<&Spanned<Time>>,
    range: RangeInclusive<Duration>,
    default: Duration,
) -> Duration {
    let Some(value) = value else { return default };
    let time = value.get_ref().0;
    if !range.contains(&time) {
        source.error(
            value.span(),
            format!("{time:?} is out of range; expected {:?} to {:?}", range.start(), range.end()),
        );
    }
    time
}

fn mesh(source: &mut Source<'_>, mesh: Mesh) -> MeshSettings {
    let placement = placement::lower(source, &mesh);
    let lease = lease_time(source, mesh.profile, mesh.lease);
    let replace_after = mesh
        .replace_after
        .map(|after| time(source, Some(&after), Duration::from_secs(1)..=Duration::from_secs(86_400), Duration::ZERO));
    let name = mesh.name.map(|name| filled(source, name));
    let policy = policy(source, mesh.on_quorum_loss, mesh.quorum_loss_delay, mesh.trusted_neighbours);
    let realtime = mesh.realtime.unwrap_or(true);
    let damping = placement::damping(source, mesh.flap_damping);
    MeshSettings { name, listen: mesh.listen, lease, realtime, policy, replace_after, placement, damping }
}

/// A profile or a duration: a file with both would leave open which one its author relies on.
fn lease_time(
    source: &mut Source<'_>,
    profile: Option<Spanned<ProfileName>>,
    lease: Option<Spanned<Time>>,
) -> LeaseTime {
    let Some(lease) = lease else {
        return match profile.map(Spanned::into_inner) {
            Some(ProfileName::Compat) => LeaseTime::Compat,
            Some(ProfileName::Fast) | None => LeaseTime::Fast,
            Some(ProfileName::Aggressive) => LeaseTime::Aggressive,
        };
    };
    if profile.is_some() {
        source.error(lease.span(), "`lease` beside `profile`; expected one of the two".into());
    }
    LeaseTime::Fixed(time(source, Some(&lease), Duration::from_millis(300)..=Duration::from_secs(3), Duration::ZERO))
}

/// The three keys that `[mesh]` and every router have.
fn policy(
    source: &mut Source<'_>,
    on_quorum_loss: Option<QuorumLossName>,
    quorum_loss_delay: Option<Spanned<Time>>,
    trusted_neighbours: Option<Vec<Spanned<String>>>,
) -> Policy {
    let longest = Duration::from_secs(300);
    let delay = quorum_loss_delay.map(|d| time(source, Some(&d), Duration::ZERO..=longest, Duration::ZERO));
    let neighbours =
        trusted_neighbours.map(|list| list.iter().filter_map(|entry| neighbour(source, entry)).collect::<Vec<_>>());
    let on_quorum_loss = on_quorum_loss.map(|name| match name {
        QuorumLossName::Fence => QuorumLoss::Fence,
        QuorumLossName::Vrrp => QuorumLoss::Vrrp,
    });
    Policy { on_quorum_loss, quorum_loss_delay: delay, trusted_neighbours: neighbours }
}

/// An address or a network.
fn neighbour(source: &mut Source<'_>, entry: &Spanned<String>) -> Option<IpNet> {
    let text = entry.get_ref();
    let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    if net.is_none() {
        let message = format!("`{text}` is no address; expected one such as \"10.0.0.9\" or \"10.0.0.0/24\"");
        source.error(entry.span(), message);
    }
    net
}

/// A name that is not empty.
pub(super) fn filled(source: &mut Source<'_>, name: Spanned<String>) -> String {
    if name.get_ref().trim().is_empty() {
        source.error(name.span(), "an empty name; expected some text".into());
    }
    name.into_inner()
}

fn scripts(source: &mut Source<'_>, scripts: Scripts) -> ScriptSecurity {
    source.report.places.script_user = scripts.user.as_ref().map(|u| source.place(u.span()));
    let user = user(source, scripts.user.map(Spanned::into_inner), scripts.group);
    let Scripts { security: enable, symlink_paths, supplementary_groups, .. } = scripts;
    ScriptSecurity { user, enable, symlink_paths, supplementary_groups }
}

fn user(
    source: &mut Source<'_>,
    user: Option<String>,
    group: Option<Spanned<String>>,
) -> Option<(String, Option<String>)> {
    match (user, group) {
        (Some(user), group) => Some((user, group.map(Spanned::into_inner))),
        (None, Some(group)) => {
            source.error(group.span(), "`group` without `user`; expected both".into());
            None
        }
        (None, None) => None,
    }
}

fn track_script(source: &mut Source<'_>, script: Script) -> Option<TrackScript> {
    let longest = Duration::from_secs(4294);
    let times = Duration::from_millis(10)..=longest;
    let place = source.place(script.command.span());
    let span = script.name.span();
    let name = filled(source, script.name);
    if script.command.get_ref().0.first().is_none_or(String::is_empty) {
        source.error(script.command.span(), "an empty command; expected a program".into());
    }
    if source.report.places.scripts.insert(name.clone(), place).is_some() {
        source.error(span, format!("a second script `{name}`; expected a name of its own"));
        return None;
    }
    let interval = time(source, script.interval.as_ref(), times.clone(), Duration::from_secs(1));
    Some(TrackScript {
        name,
        command: script.command.into_inner().0,
        interval,
        timeout: time(source, script.timeout.as_ref(), times, interval),
        weight: number(source, script.weight.as_ref(), -253..=253, 0),
        reverse: script.reverse,
        rise: number(source, script.rise.as_ref(), 1..=i64::from(i32::MAX), 1),
        fall: number(source, script.fall.as_ref(), 1..=i64::from(i32::MAX), 1),
        init_fail: script.init_fail,
        user: user(source, script.user, script.group),
    })
}
