//! Tracked scripts on this host: do they exist, who runs them, who could change them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use mesh_config::model::{Config, TrackScript};
use mesh_config::report::{Finding, Place, Report, Severity};
use nix::unistd::{Group, User};

/// keepalived's default user for scripts, where it exists.
const DEFAULT_USER: &str = "keepalived_script";
/// Where programs are looked for when the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Removes the scripts that cannot or must not run, with a warning for each, and tells whether
/// scripts remain that run without `enable_script_security`.
pub(super) fn apply(config: &mut Config, report: &mut Report) -> bool {
    let mut found = Vec::new();
    let mut dropped = BTreeSet::new();
    let mut unprotected = None;
    for script in &config.track_scripts {
        let Some(place) = report.places.scripts.get(&script.name) else { continue };
        let mut say = |severity, message| found.push(Finding { place: place.clone(), severity, message });
        match judge(config, script) {
            Verdict::Runs { remarks } => {
                remarks.into_iter().for_each(|remark| say(Severity::Warning, remark));
                if !config.scripts.enable {
                    unprotected.get_or_insert_with(|| place.clone());
                }
            }
            Verdict::Refused(why) => {
                say(Severity::Warning, format!("{why}; script `{}` is not tracked", script.name));
                dropped.insert(script.name.clone());
            }
        }
    }
    config.track_scripts.retain(|s| !dropped.contains(&s.name));
    for router in &mut config.routers {
        router.track.scripts.retain(|s| !dropped.contains(&s.name));
    }
    for group in &mut config.sync_groups {
        group.track.scripts.retain(|s| !dropped.contains(&s.name));
    }
    let off = unprotected.is_some();
    found.extend(unprotected.map(security_off));
    found.extend(unknown_user(config, report));
    report.add(found);
    off
}

fn security_off(place: Place) -> Finding {
    let message = "scripts run, and script security is off: set `enable_script_security` in `global_defs` \
                   (meshd.toml: `security = true` in `[scripts]`)";
    Finding { place, severity: Severity::Warning, message: message.into() }
}

/// Also reported when no script runs as that user yet.
fn unknown_user(config: &Config, report: &Report) -> Option<Finding> {
    let (user, _) = config.scripts.user.as_ref().filter(|(user, _)| !exists(user))?;
    let place = report.places.script_user.clone()?;
    Some(Finding { place, severity: Severity::Warning, message: format!("there is no user `{user}`") })
}

enum Verdict {
    Runs { remarks: Vec<String> },
    Refused(String),
}

fn judge(config: &Config, script: &TrackScript) -> Verdict {
    let user = match user(config, script) {
        Ok(user) => user,
        Err(why) => return Verdict::Refused(why),
    };
    let program = script.command.first().map(String::as_str).unwrap_or_default();
    let Some((path, metadata)) = find(program) else {
        return Verdict::Refused(format!("`{program}` does not exist or is no file"));
    };
    let mut remarks = Vec::new();
    if !executable(&metadata, &user) {
        remarks.push(format!("`{}` is not executable for user `{}`: every run will fail", path.display(), user.name));
    }
    if user.uid.is_root()
        && let Some(weak) = writable_by_others(&path)
    {
        let what = format!("root would run `{program}`, and others can change `{}`", weak.display());
        if config.scripts.enable {
            return Verdict::Refused(what);
        }
        remarks.push(what);
    }
    Verdict::Runs { remarks }
}

/// Whom the script runs as. Without any word on it, root; with script security, nobody.
fn user(config: &Config, script: &TrackScript) -> Result<User, String> {
    let (name, group) = match script.user.as_ref().or(config.scripts.user.as_ref()) {
        Some((name, group)) => (name.as_str(), group.as_deref()),
        None if config.scripts.enable || exists(DEFAULT_USER) => (DEFAULT_USER, None),
        None => ("root", None),
    };
    if let Some(group) = group
        && !matches!(Group::from_name(group), Ok(Some(_)))
    {
        return Err(format!("there is no group `{group}`"));
    }
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user),
        Ok(None) | Err(_) => Err(format!("there is no user `{name}`")),
    }
}

fn exists(user: &str) -> bool {
    matches!(User::from_name(user), Ok(Some(_)))
}

/// A path as it is, a bare name in PATH.
fn find(program: &str) -> Option<(PathBuf, fs::Metadata)> {
    let file = |path: PathBuf| fs::metadata(&path).ok().filter(fs::Metadata::is_file).map(|m| (path, m));
    if program.contains('/') {
        return file(program.into());
    }
    let path = std::env::var("PATH").unwrap_or_else(|_| DEFAULT_PATH.into());
    path.split(':').filter(|d| d.starts_with('/')).find_map(|directory| file(Path::new(directory).join(program)))
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

/// The first part of the path (links followed) that somebody else than root can change.
fn writable_by_others(path: &Path) -> Option<PathBuf> {
    let real = fs::canonicalize(path).ok()?;
    let weak = |part: &Path| match fs::metadata(part) {
        Ok(m) => m.uid() != 0 || m.mode() & 0o002 != 0 || (m.mode() & 0o020 != 0 && m.gid() != 0),
        Err(_) => true,
    };
    real.ancestors().filter(|part| weak(part)).last().map(Path::to_path_buf)
}
