//! Tracked objects: from what was seen of them to up and down, from there to priority and fault.

use std::collections::BTreeMap;
use std::fmt;

use mesh_config::model::{
    Config, SyncGroup, TrackFile, TrackProcess, TrackScript, Tracked, Tracks, VirtualRouter, Weight,
};

use crate::input::ScriptOutcome;
use crate::vrrp::OWNER_PRIORITY;

/// Beyond what a priority can take away: the product of a file's number and its weight is a fault then.
const LEAST: i64 = -253;

/// State of all tracked objects but interfaces.
#[derive(Clone, Debug, Default)]
pub struct Tracking {
    scripts: BTreeMap<String, Script>,
    files: BTreeMap<String, (TrackFile, Option<i64>)>,
    processes: BTreeMap<String, (TrackProcess, Option<bool>)>,
    /// Weights of BFD sessions.
    sessions: BTreeMap<String, Weight>,
    /// Those that were told of, and whether they are up.
    bfds: BTreeMap<String, bool>,
}

#[derive(Clone, Debug)]
struct Script {
    config: TrackScript,
    /// Not known before its first result, which counts alone: `fall` and `rise` are for changes.
    up: Option<bool>,
    /// Results in a row that contradict `up`.
    against: u32,
}

/// What kind of thing was looked at from outside ([`crate::Input::Tracked`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `track_file`: the value is the number in it, 0 where there is none.
    File,
    /// `vrrp_track_process`: the value is 1 while enough of them run, and not too many, for as long as its delays
    /// say; else 0.
    Process,
    /// `bfd_instance`: the value is 1 while the session is up, else 0. A session nobody has told of is down.
    Bfd,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::File => "file",
            Kind::Process => "process",
            Kind::Bfd => "BFD session",
        })
    }
}

/// What tracking makes of a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It may run with this priority.
    Priority(u8),
    /// So it may, where it runs already; to begin, it has to be known first how this stands.
    Awaits(u8, String),
    /// It must not run.
    Fault(String),
}

/// How one tracked object stands.
enum Standing {
    Up,
    Down(&'static str),
    Number(i64),
    /// Nobody knows yet: it changes nothing.
    Unknown(&'static str),
}

/// Something tracked: its kind, its name, the weight that counts, how it stands.
type Object<'a> = (&'static str, &'a str, Weight, Standing);

impl Tracking {
    /// Takes over a configuration; what looks at the same thing as before keeps its state.
    pub fn configure(&mut self, config: &Config) {
        let mut old = std::mem::take(&mut self.scripts);
        for config in &config.track_scripts {
            let known = old.remove(&config.name).filter(|s| s.config.command == config.command);
            let (up, against) = known.map_or((None, 0), |s| (s.up, s.against));
            self.scripts.insert(config.name.clone(), Script { config: config.clone(), up, against });
        }
        let mut old = std::mem::take(&mut self.files);
        for file in &config.track_files {
            let known = old.remove(&file.name).filter(|(known, _)| known.path == file.path);
            self.files.insert(file.name.clone(), (file.clone(), known.and_then(|(_, value)| value)));
        }
        let mut old = std::mem::take(&mut self.processes);
        for process in &config.track_processes {
            let known = old.remove(&process.name).filter(|(known, _)| known == process);
            self.processes.insert(process.name.clone(), (process.clone(), known.and_then(|(_, up)| up)));
        }
        self.sessions = config.bfd_instances.iter().map(|b| (b.name.clone(), b.own_weight())).collect();
        let tracked = |name: &String| all_tracks(config).any(|tracks| tracks.bfds.iter().any(|t| t.name == *name));
        self.bfds.retain(|name, _| tracked(name));
    }

    /// A run ended. Returns the script's new state, when it changed, and why.
    pub fn result(&mut self, name: &str, outcome: ScriptOutcome) -> Option<(bool, String)> {
        let script = self.scripts.get_mut(name)?;
        let success = outcome == ScriptOutcome::Success;
        if script.up == Some(success) {
            script.against = 0;
            return None;
        }
        script.against += 1;
        let needed = if success { script.config.rise } else { script.config.fall };
        if script.up.is_some() && script.against < needed.max(1) {
            return None;
        }
        let first = script.up.replace(success).is_none();
        script.against = 0;
        let how = match outcome {
            ScriptOutcome::Success => "exit status 0".to_owned(),
            ScriptOutcome::Exit(code) => format!("exit status {code}"),
            ScriptOutcome::Signal(signal) => format!("killed by signal {signal}"),
            ScriptOutcome::TimedOut => format!("no answer within {:?}", script.config.timeout),
            ScriptOutcome::NotStarted => "it cannot be started".to_owned(),
        };
        Some((success, if first { format!("{how}, at its first run") } else { format!("{how}, {needed} in a row") }))
    }

    /// Whether a script counts as up, and how many results in a row say the contrary.
    pub fn standing(&self, name: &str) -> Option<(bool, u32)> {
        self.scripts.get(name).map(|s| (s.up.unwrap_or(!s.config.init_fail), s.against))
    }

    /// Something was seen. Returns how it stands now, in words, when that changed.
    pub fn observe(&mut self, kind: Kind, name: &str, value: i64) -> Option<String> {
        let up = value != 0;
        let changed = match kind {
            Kind::File => {
                let (_, known) = self.files.get_mut(name)?;
                known.replace(value) != Some(value)
            }
            Kind::Process => {
                let (_, known) = self.processes.get_mut(name)?;
                known.replace(up) != Some(up)
            }
            Kind::Bfd => self.bfds.insert(name.to_owned(), up) != Some(up),
        };
        let words = || match kind {
            Kind::File => format!("holds {value}"),
            Kind::Process | Kind::Bfd => if up { "is up" } else { "is down" }.to_owned(),
        };
        changed.then(words)
    }

    /// Effective priority: the configured one plus all weights, kept within 1 to 254; or the first fault. The
    /// owner of the addresses ignores weights. What a group tracks holds for each of its members; what a
    /// member tracks with a weight only counts where the group says so. `link` is whether an interface is up.
    /// What nobody has told of yet holds up a beginning; for a router that `goes_on` as the run before left it, it is
    /// up.
    pub fn effect(
        &self,
        router: &VirtualRouter,
        group: Option<&SyncGroup>,
        link: &dyn Fn(&str) -> bool,
        goes_on: bool,
    ) -> Effect {
        let (mut priority, mut awaits) = (i64::from(router.priority), None);
        for (what, name, weight, standing) in self.counting(router, group, link, goes_on) {
            match change(weight, &standing) {
                Some(by) => priority += by,
                None => return Effect::Fault(fault(what, name, &standing)),
            }
            if weight.by == 0 && matches!(standing, Standing::Unknown(_)) {
                awaits = awaits.or_else(|| Some(fault(what, name, &standing)));
            }
        }
        let own = router.priority == OWNER_PRIORITY;
        let priority = if own { OWNER_PRIORITY } else { u8::try_from(priority.clamp(1, 254)).expect("1..=254") };
        awaits.map_or(Effect::Priority(priority), |awaits| Effect::Awaits(priority, awaits))
    }

    /// What keeps a priority lower than it could be, in words; none where nothing does. Arguments as in
    /// [`Tracking::effect`].
    pub fn lowers(
        &self,
        router: &VirtualRouter,
        group: Option<&SyncGroup>,
        link: &dyn Fn(&str) -> bool,
        goes_on: bool,
    ) -> Option<String> {
        let counting =
            if router.priority == OWNER_PRIORITY { Vec::new() } else { self.counting(router, group, link, goes_on) };
        let lower = |(what, name, weight, standing): &Object<'_>| match (change(*weight, standing)?, best(*weight)) {
            (by @ ..0, _) => Some(format!("{} less: {}", -by, fault(what, name, standing))),
            (0, best @ 1..) if matches!(standing, Standing::Up | Standing::Down(_)) => {
                Some(format!("{best} not added: {}", fault(what, name, standing)))
            }
            _ => None,
        };
        let lines: Vec<String> = counting.iter().filter_map(lower).collect();
        (!lines.is_empty()).then(|| lines.join(", "))
    }

    /// What counts for a router, of its own and of its group.
    fn counting<'a>(
        &self,
        router: &'a VirtualRouter,
        group: Option<&'a SyncGroup>,
        link: &dyn Fn(&str) -> bool,
        goes_on: bool,
    ) -> Vec<Object<'a>> {
        let mut objects = self.objects(&router.track, link, goes_on);
        if group.is_some_and(|group| !group.member_weights) {
            objects.retain(|(_, _, weight, _)| weight.by == 0);
        }
        if let Some(group) = group {
            objects.extend(self.objects(&group.track, link, goes_on));
        }
        objects
    }

    /// What is tracked. What is not defined has no effect.
    fn objects<'a>(&self, tracks: &'a Tracks, link: &dyn Fn(&str) -> bool, goes_on: bool) -> Vec<Object<'a>> {
        let mut objects = Vec::new();
        let mut add = |what, tracked: &'a Tracked, own: Weight, standing| {
            objects.push((what, tracked.name.as_str(), tracked.weight.unwrap_or(own), standing));
        };
        let standing = |up| if up { Standing::Up } else { Standing::Down("is down") };
        // With `reverse` down is what does no harm.
        let unknown = |tracked: &Tracked, own: Weight, words| {
            let harmless = goes_on && !tracked.weight.unwrap_or(own).reverse;
            if harmless { Standing::Up } else { Standing::Down(words) }
        };
        for tracked in &tracks.interfaces {
            let standing = if link(&tracked.name) { Standing::Up } else { Standing::Down("has no link") };
            add("interface", tracked, Weight::default(), standing);
        }
        for (tracked, script) in tracks.scripts.iter().filter_map(|t| Some((t, self.scripts.get(&t.name)?))) {
            let own = script.config.own_weight();
            let standing = match script.up.or(script.config.init_fail.then_some(false)) {
                Some(up) => standing(up),
                None if goes_on => unknown(tracked, own, ""),
                None => Standing::Unknown("has not ended yet"),
            };
            add("script", tracked, own, standing);
        }
        for (tracked, (file, value)) in tracks.files.iter().filter_map(|t| Some((t, self.files.get(&t.name)?))) {
            let standing = match value.or(goes_on.then_some(0)) {
                Some(number) => Standing::Number(number),
                None => Standing::Unknown("has not been read yet"),
            };
            add("file", tracked, file.own_weight(), standing);
        }
        for (tracked, (process, up)) in tracks.processes.iter().filter_map(|t| Some((t, self.processes.get(&t.name)?)))
        {
            let unknown = || unknown(tracked, process.weight, "has not been looked at yet");
            let standing = up.map_or_else(unknown, standing);
            add("process", tracked, process.weight, standing);
        }
        for tracked in &tracks.bfds {
            let own = self.sessions.get(&tracked.name).copied().unwrap_or_default();
            let up = self.bfds.get(&tracked.name).copied();
            let standing = up.map_or_else(|| unknown(tracked, own, "is down"), standing);
            add("BFD session", tracked, own, standing);
        }
        objects
    }
}

/// Everything a configuration's routers and groups track.
pub fn all_tracks(config: &Config) -> impl Iterator<Item = &Tracks> {
    config.routers.iter().map(|r| &r.track).chain(config.sync_groups.iter().map(|g| &g.track))
}

/// Files and processes somebody has to look at.
pub fn watched(config: &Config) -> (Vec<TrackFile>, Vec<TrackProcess>) {
    let named =
        |of: fn(&Tracks) -> &Vec<Tracked>, name: &str| all_tracks(config).any(|t| of(t).iter().any(|t| t.name == name));
    let files = config.track_files.iter().filter(|f| named(|t| &t.files, &f.name)).cloned().collect();
    let processes = config.track_processes.iter().filter(|p| named(|t| &t.processes, &p.name)).cloned().collect();
    (files, processes)
}

/// What an object adds to the priority; `None` is a fault.
fn change(weight: Weight, standing: &Standing) -> Option<i64> {
    let sign = if weight.reverse { -1 } else { 1 };
    let by = i64::from(weight.by);
    match standing {
        Standing::Unknown(_) => Some(0),
        // A number that means a failure, and one that does not.
        Standing::Number(number) if by == 0 => ((*number == 0) != weight.reverse).then_some(0),
        Standing::Number(number) => {
            Some(number.saturating_mul(by).saturating_mul(sign).min(254)).filter(|n| *n >= LEAST)
        }
        Standing::Up if by == 0 => (!weight.reverse).then_some(0),
        Standing::Down(_) if by == 0 => weight.reverse.then_some(0),
        Standing::Up => Some(if by > 0 { by * sign } else { 0 }),
        Standing::Down(_) => Some(if by < 0 { by * sign } else { 0 }),
    }
}

/// The most that an object can add that is up or down.
fn best(weight: Weight) -> i64 {
    let by = |standing| change(weight, &standing).unwrap_or(0);
    by(Standing::Up).max(by(Standing::Down("")))
}

fn fault(what: &str, name: &str, standing: &Standing) -> String {
    match standing {
        Standing::Up => format!("{what} {name} is up"),
        Standing::Down(how) | Standing::Unknown(how) => format!("{what} {name} {how}"),
        Standing::Number(number) => format!("{what} {name} holds {number}"),
    }
}

#[cfg(test)]
mod tests;
