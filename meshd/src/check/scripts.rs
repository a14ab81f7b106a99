//! Scripts on this host: do they exist, who runs them, who could change them. All of a configuration's programs go
//! through the one check, each with its place.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use mesh_config::model::{CheckKind, Config, Notify, Script, ScriptSecurity};
use mesh_config::report::{Finding, Place, Report, Severity};
use nix::unistd::{Group, User};

use crate::probes::security;

/// keepalived's default user for scripts, where it exists.
const DEFAULT_USER: &str = "keepalived_script";
/// Where programs are looked for when the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Removes the scripts that cannot or must not run, with a warning for each, and tells whether
/// scripts remain that run without `enable_script_security`.
pub(super) fn apply(config: &mut Config, report: &mut Report) -> bool {
    let mut judged = Judged { security: &config.scripts, found: Vec::new(), unprotected: None };
    let mut untracked = BTreeSet::new();
    for script in &config.track_scripts {
        let Some(place) = report.places.scripts.get(&script.name) else { continue };
        let program = Script { command: script.command.clone(), user: script.user.clone() };
        if !judged.take(&program, place, Severity::Warning, &format!("script `{}` is not tracked", script.name)) {
            untracked.insert(script.name.clone());
        }
    }
    let mut refused = BTreeSet::new();
    for (program, place) in &report.places.programs {
        // Exit codes are keepalived's: a notification, or a check, whose program is missing is no fault of a file.
        if !judged.take(program, place, Severity::Ignored, "it is not run") {
            refused.insert(program.clone());
        }
    }
    let Judged { mut found, unprotected, .. } = judged;
    config.track_scripts.retain(|s| !untracked.contains(&s.name));
    for router in &mut config.routers {
        router.track.scripts.retain(|s| !untracked.contains(&s.name));
    }
    for group in &mut config.sync_groups {
        group.track.scripts.retain(|s| !untracked.contains(&s.name));
    }
    if !refused.is_empty() {
        forget(config, &refused);
    }
    let off = unprotected.is_some();
    found.extend(unprotected.map(security_off));
    found.extend(unknown_user(config, report));
    report.add(found);
    off
}

/// What was found of scripts so far.
struct Judged<'c> {
    security: &'c ScriptSecurity,
    found: Vec<Finding>,
    /// The first that runs without script security.
    unprotected: Option<Place>,
}

impl Judged<'_> {
    /// Whether it runs; `instead` is what happens where it does not, `severity` how much that matters.
    fn take(&mut self, script: &Script, place: &Place, severity: Severity, instead: &str) -> bool {
        let mut say = |(severity, message)| self.found.push(Finding { place: place.clone(), severity, message });
        let user = match user(self.security, script) {
            Ok(user) => user,
            Err(why) => {
                say((Severity::Warning, format!("{why}; {instead}")));
                return false;
            }
        };
        match judge(self.security, script, &user) {
            Ok(remarks) => {
                remarks.into_iter().for_each(say);
                if !self.security.enable {
                    self.unprotected.get_or_insert_with(|| place.clone());
                }
                true
            }
            Err(why) => {
                say((severity, format!("{why}; {instead}")));
                false
            }
        }
    }
}

/// Takes scripts out of a configuration, and checks that would run them: as in keepalived, the rest stays.
fn forget(config: &mut Config, refused: &BTreeSet<Script>) {
    let forget = |script: &mut Option<Script>| {
        script.take_if(|script| refused.contains(script));
    };
    let notifies = config.routers.iter_mut().map(|r| &mut r.notify);
    let notifies = notifies.chain(config.sync_groups.iter_mut().map(|g| &mut g.notify));
    notifies.flat_map(Notify::scripts_mut).for_each(forget);
    forget(&mut config.notify.startup);
    forget(&mut config.notify.shutdown);
    let fifos = [&mut config.notify.fifo, &mut config.notify.router_fifo, &mut config.lvs.notify_fifo];
    fifos.into_iter().flatten().for_each(|fifo| forget(&mut fifo.script));
    for server in &mut config.virtual_servers {
        forget(&mut server.quorum_up);
        forget(&mut server.quorum_down);
        for real in &mut server.real_servers {
            forget(&mut real.notify_up);
            forget(&mut real.notify_down);
            real.checks
                .retain(|check| !matches!(&check.kind, CheckKind::Misc { script, .. } if refused.contains(script)));
        }
    }
}

fn security_off(place: Place) -> Finding {
    let message = "scripts run, and script security is off: set `enable_script_security` in `global_defs` \
                   (meshd.toml: `security = true` in `[scripts]`)";
    Finding { place, severity: Severity::Warning, message: message.into() }
}

/// Also reported when no script runs as that user yet.
fn unknown_user(config: &Config, report: &Report) -> Option<Finding> {
    let (user, group) = config.scripts.user.as_ref()?;
    let message = match group.as_ref().filter(|group| !is_group(group)) {
        _ if !exists(user) => format!("there is no user `{user}`"),
        Some(group) => format!("there is no group `{group}`"),
        None => return None,
    };
    Some(Finding { place: report.places.script_user.clone()?, severity: Severity::Warning, message })
}

/// What there is to say of a script that runs, or why it does not.
fn judge(security: &ScriptSecurity, script: &Script, user: &User) -> Result<Vec<(Severity, String)>, String> {
    let program = script.command.first().map(String::as_str).unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from(DEFAULT_PATH));
    let file = |path: PathBuf| fs::metadata(&path).ok().filter(fs::Metadata::is_file).map(|m| (path, m));
    let Some((file, metadata)) = security::locate(program, &path).and_then(file) else {
        return Err(format!("`{program}` does not exist or is no file"));
    };
    let mut remarks = Vec::new();
    if !executable(&metadata, user) {
        let message = format!("`{}` is not executable for user `{}`: every run will fail", file.display(), user.name);
        remarks.push((Severity::Ignored, message));
    }
    if user.uid.is_root()
        && let Err(weak) = security::only_root_writes(program, &path, security.symlink_paths)
    {
        if security.enable {
            return Err(weak);
        }
        remarks.push((Severity::Warning, weak));
    }
    Ok(remarks)
}

/// Whom the script runs as. Without any word on it, root; with script security, nobody.
fn user(security: &ScriptSecurity, script: &Script) -> Result<User, String> {
    let (name, group) = match script.user.as_ref().or(security.user.as_ref()) {
        Some((name, group)) => (name.as_str(), group.as_deref()),
        None if security.enable || exists(DEFAULT_USER) => (DEFAULT_USER, None),
        None => ("root", None),
    };
    if let Some(group) = group
        && !is_group(group)
    {
        return Err(format!("there is no group `{group}`"));
    }
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user),
        Ok(None) | Err(_) => Err(format!("there is no user `{name}`")),
    }
}

fn is_group(group: &str) -> bool {
    matches!(Group::from_name(group), Ok(Some(_)))
}

fn exists(user: &str) -> bool {
    matches!(User::from_name(user), Ok(Some(_)))
}

/// By the mode bits; supplementary groups of the user are not looked at.
fn executable(metadata: &fs::Metadata, user: &User) -> bool {
    let mode = metadata.mode();
    if user.uid.is_root() {
        return mode & 0o111 != 0;
    }
    let bit = match (metadata.uid() == user.uid.as_raw(), metadata.gid() == user.gid.as_raw()) {
        (true, _) => 0o100,
        (false, true) => 0o010,
        (false, false) => 0o001,
    };
    mode & bit != 0
}
