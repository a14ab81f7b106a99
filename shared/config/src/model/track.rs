//! What virtual routers and their groups track, and how long a change has to last to count.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{BfdInstance, Config, TrackFile, TrackScript};

/// What makes of an object's state a change of priority, or a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Added to the priority: a positive one while the object is up, a negative one while it is down. The
    /// number in a file is multiplied by it. Zero: down, or a number other than 0, is a fault.
    pub by: i32,
    /// `reverse`: subtracted instead; with a weight of zero, up is the fault.
    pub reverse: bool,
}

/// One tracked object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// Its name.
    pub name: String,
    /// Overrides the object's own weight.
    pub weight: Option<Weight>,
}

impl Tracked {
    /// With the object's own weight.
    pub fn new(name: impl Into<String>) -> Self {
        Tracked { name: name.into(), weight: None }
    }
}

/// All that a router or a group tracks. In each list a name is there once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracks {
    /// `track_interface`: names of interfaces; the weight is 0 unless given.
    pub interfaces: Vec<Tracked>,
    /// `track_script`: names of [`super::TrackScript`].
    pub scripts: Vec<Tracked>,
    /// `track_file`: names of [`super::TrackFile`].
    pub files: Vec<Tracked>,
    /// `track_process`: names of [`TrackProcess`].
    pub processes: Vec<Tracked>,
    /// `track_bfd`: names of `bfd_instance` blocks; the weight is 0 unless given.
    pub bfds: Vec<Tracked>,
}

/// `vrrp_track_process`: programs that have to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackProcess {
    /// Unique name.
    pub name: String,
    /// `process`: the program, and its parameters where these count.
    pub command: Vec<String>,
    /// How many of the parameters have to be the same.
    pub parameters: ParameterMatch,
    /// `full_command`: the program is what the process was called by, not its name in the kernel.
    pub full_command: bool,
    /// `weight`: default 0, whatever the manual of keepalived says: its version 2.2.7 does that.
    pub weight: Weight,
    /// `quorum`: at least so many; default 1.
    pub quorum: u32,
    /// `quorum_max`: at most so many.
    pub quorum_max: Option<u32>,
    /// `fork_delay`: how long enough of them have to be there.
    pub fork_delay: Duration,
    /// `terminate_delay`: how long too few of them have to be there.
    pub terminate_delay: Duration,
}

/// `param_match`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ParameterMatch {
    /// Where there are none, any; else exactly these.
    #[default]
    Given,
    /// Exactly these, also where there are none.
    Exact,
    /// The first ones are these.
    Partial,
    /// The first ones are these, but the last of them may go on.
    Initial,
}

/// How long what changes has to last before it counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    /// `vrrp_startup_delay`: after the start, before routers take part; up to 1000 s.
    pub startup: Duration,
    /// `vrrp_delay_after_boot`: the same, counted from the boot of the host; up to 1000 s.
    pub after_boot: Duration,
    /// `interface_up_down_delays`, by interface.
    pub links: BTreeMap<String, LinkDelay>,
}

/// How long a link has to be down or up before it counts as that; up to 255 s each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkDelay {
    /// Down.
    pub down: Duration,
    /// Up.
    pub up: Duration,
}

impl Tracks {
    /// All that is tracked, with the weights that count: the entry's own, else the object's.
    pub fn with_weights<'a>(&'a self, config: &'a Config) -> impl Iterator<Item = (&'a str, Weight)> {
        let script = |name: &str| config.track_scripts.iter().find(|s| s.name == name).map(TrackScript::own_weight);
        let file = |name: &str| config.track_files.iter().find(|f| f.name == name).map(TrackFile::own_weight);
        let process = |name: &str| config.track_processes.iter().find(|p| p.name == name).map(|p| p.weight);
        let bfd = |name: &str| config.bfd_instances.iter().find(|b| b.name == name).map(BfdInstance::own_weight);
        weighted(&self.interfaces, |_| None)
            .chain(weighted(&self.scripts, script))
            .chain(weighted(&self.files, file))
            .chain(weighted(&self.processes, process))
            .chain(weighted(&self.bfds, bfd))
            .filter(|(_, weight)| weight.by != 0)
    }
}

fn weighted<'a>(
    list: &'a [Tracked],
    own: impl Fn(&str) -> Option<Weight> + 'a,
) -> impl Iterator<Item = (&'a str, Weight)> {
    list.iter().map(move |t| (t.name.as_str(), t.weight.or_else(|| own(&t.name)).unwrap_or_default()))
}
