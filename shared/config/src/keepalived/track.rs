//! What instances and groups track: `track_interface`, `track_script`, `track_file`, `track_process`, `track_bfd`.

use std::collections::BTreeSet;

use super::lower::Lower;
use super::tree::{At, Block, Statement};
use super::values;
use crate::model::{Config, Tracked, Tracks, Weight};

/// One of these blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    block: &'static str,
    /// The block that defines its objects, as it is called in messages; interfaces have none.
    defined_by: Option<&'static str>,
    /// Weights are from minus this to this.
    most: i32,
}

const KINDS: [Kind; 5] = [
    Kind { block: "track_interface", defined_by: None, most: 253 },
    Kind { block: "track_script", defined_by: Some("vrrp_script"), most: 253 },
    Kind { block: "track_file", defined_by: Some("track_file"), most: 254 },
    Kind { block: "track_process", defined_by: Some("vrrp_track_process"), most: 254 },
    Kind { block: "track_bfd", defined_by: Some("bfd_instance"), most: 253 },
];

/// One tracked object, as it was declared.
#[derive(Debug)]
struct Declared {
    tracked: Tracked,
    at: At,
    /// Nothing is said of `reverse`: with another weight, too, it is as the object itself has it.
    inherits: bool,
}

/// What was declared, in the order of [`KINDS`].
#[derive(Debug, Default)]
pub(super) struct Tracking {
    lists: [Vec<Declared>; KINDS.len()],
}

/// Whether this keyword has a list of tracked objects as its block.
pub(super) fn is_block(keyword: &str) -> bool {
    KINDS.iter().any(|kind| kind.block == keyword)
}

impl Tracking {
    /// Reads one of the blocks.
    pub(super) fn read(&mut self, lower: &mut Lower<'_>, keyword: &str, block: &Block<'_>) {
        let Some(index) = KINDS.iter().position(|kind| kind.block == keyword) else { return };
        for statement in &block.statements {
            if lower.language(statement) {
                continue;
            }
            lower.no_block(statement);
            let word = &statement.words[0];
            let weight = weight(lower, statement, KINDS[index].most);
            let said = statement.parameters().get(2).map(|word| &*word.text);
            let inherits = !matches!(said, Some("reverse" | "noreverse" | "no_reverse"));
            let tracked = Tracked { name: word.text.to_string(), weight };
            self.lists[index].push(Declared { tracked, at: word.at, inherits });
        }
    }

    /// A router's own interface is tracked anyway, or not at all with `dont_track_primary`.
    pub(super) fn without_own(&mut self, lower: &mut Lower<'_>, own: &str) {
        self.lists[0].retain(|Declared { tracked, at, .. }| {
            if tracked.name == own {
                lower.warning(*at, format!("`{own}` is the instance's own interface; not tracked once more"));
            }
            tracked.name != own
        });
    }

    /// Interfaces that are tracked, for checks that need the host.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = (&str, At)> {
        self.lists[0].iter().map(|declared| (declared.tracked.name.as_str(), declared.at))
    }

    /// Leaves out what is tracked twice, what does not exist, and weights that cannot have an effect.
    pub(super) fn resolve(self, lower: &mut Lower<'_>, config: &Config, owner: bool) -> Tracks {
        let mut lists = KINDS.into_iter().zip(self.lists).map(|(kind, list)| kind.resolve(lower, config, list, owner));
        let mut next = || lists.next().unwrap_or_default();
        Tracks { interfaces: next(), scripts: next(), files: next(), processes: next(), bfds: next() }
    }
}

impl Kind {
    fn resolve(self, lower: &mut Lower<'_>, config: &Config, list: Vec<Declared>, owner: bool) -> Vec<Tracked> {
        let mut seen = BTreeSet::new();
        let mut kept = Vec::new();
        for Declared { mut tracked, at, inherits } in list {
            if let Some(block) = self.defined_by {
                let Some(defined) = lower.defined(block, &tracked.name) else {
                    lower.warning(at, format!("there is no `{block} {}`; not tracked", tracked.name));
                    continue;
                };
                if block == "vrrp_script" && defined > at {
                    let message =
                        format!("`{block} {}` stands further down: keepalived would not track it", tracked.name);
                    lower.warning(at, message);
                }
            }
            if !seen.insert(tracked.name.clone()) {
                lower.warning(at, format!("`{}` is already tracked; skipped", tracked.name));
                continue;
            }
            if let Some(weight) = tracked.weight.as_mut().filter(|_| inherits) {
                weight.reverse = self.own(config, &tracked.name).is_some_and(|own| own.reverse);
            }
            if owner && self.without_weight(config, &mut tracked) {
                let message = format!(
                    "`{}` has weight 1, and an owner's priority stays 255: any number but 0 is a fault, as with \
                     keepalived; expected weight 0",
                    tracked.name
                );
                lower.warning(at, message);
            }
            if owner && self.weight(config, &tracked).by != 0 {
                let message =
                    format!("`{}` has a weight, and an owner's priority stays 255; not tracked", tracked.name);
                lower.warning(at, message);
                continue;
            }
            kept.push(tracked);
        }
        kept
    }

    /// Where weights do not count, a file of weight 1, which is the default, gets weight 0.
    fn without_weight(self, config: &Config, tracked: &mut Tracked) -> bool {
        let weight = self.weight(config, tracked);
        let is = self.block == "track_file" && weight.by == 1;
        if is {
            tracked.weight = Some(Weight { by: 0, ..weight });
        }
        is
    }

    /// The weight that counts.
    fn weight(self, config: &Config, tracked: &Tracked) -> Weight {
        tracked.weight.or_else(|| self.own(config, &tracked.name)).unwrap_or_default()
    }

    /// That of the object itself.
    fn own(self, config: &Config, name: &str) -> Option<Weight> {
        match self.block {
            "track_script" => config.track_scripts.iter().find(|s| s.name == name).map(|s| s.own_weight()),
            "track_file" => config.track_files.iter().find(|f| f.name == name).map(|f| f.own_weight()),
            "track_process" => config.track_processes.iter().find(|p| p.name == name).map(|p| p.weight),
            "track_bfd" => config.bfd_instances.iter().find(|b| b.name == name).map(|b| b.own_weight()),
            _ => None,
        }
    }
}

/// What becomes of the weights of a group's member without `sync_group_tracking_weight`.
#[derive(Debug, Default)]
pub(super) struct Weightless {
    /// Not tracked any more.
    pub(super) left_out: Vec<String>,
    /// Files in which any number but 0 is a fault now.
    pub(super) faults: Vec<String>,
    /// What has its weight all the same.
    pub(super) counting: Vec<String>,
}

/// Makes of a member's tracks what keepalived 2.2.7 makes of them in a group: it says that it ignores the weights of
/// interfaces, and counts them; of processes it counts them, too. A file of weight 1, which is the default, gets
/// weight 0. Everything else that has a weight is left out.
pub(super) fn weightless(config: &Config, tracks: &mut Tracks) -> Weightless {
    let [interface, script, file, process, bfd] = KINDS;
    let mut found = Weightless::default();
    for (kind, list) in [(interface, &tracks.interfaces), (process, &tracks.processes)] {
        let weighted = list.iter().filter(|tracked| kind.weight(config, tracked).by != 0);
        found.counting.extend(weighted.map(|tracked| tracked.name.clone()));
    }
    for tracked in &mut tracks.files {
        if file.without_weight(config, tracked) {
            found.faults.push(tracked.name.clone());
        }
    }
    for (kind, list) in [(script, &mut tracks.scripts), (file, &mut tracks.files), (bfd, &mut tracks.bfds)] {
        let (kept, left): (Vec<_>, Vec<_>) =
            std::mem::take(list).into_iter().partition(|tracked| kind.weight(config, tracked).by == 0);
        *list = kept;
        found.left_out.extend(left.into_iter().map(|tracked| tracked.name));
    }
    found
}

/// `NAME [weight NUMBER [reverse|noreverse]]`.
fn weight(lower: &mut Lower<'_>, statement: &Statement<'_>, most: i32) -> Option<Weight> {
    let (option, rest) = statement.parameters().split_first()?;
    if option.text != "weight" {
        lower.warning(option.at, format!("`{}` is no option of what is tracked (weight); skipped", option.text));
        return None;
    }
    // keepalived reads all alike, and brings what is then one too far to where it may be.
    let widest = KINDS.map(|kind| kind.most).into_iter().max().unwrap_or(most);
    let read = |word: &str| {
        values::signed(word).and_then(|n| i32::try_from(n).ok()).filter(|n| (-widest..=widest).contains(n))
    };
    let Some(declared) = rest.first().and_then(|word| read(&word.text)) else {
        let at = rest.first().map_or(option.at, |word| word.at);
        lower.warning(at, format!("expected a weight from -{most} to {most}; the object's own is used"));
        return None;
    };
    let by = declared.clamp(-most, most);
    if by != declared {
        let message = format!("{declared} is out of range -{most} to {most}; {by} is used");
        lower.warning(rest.first().map_or(option.at, |word| word.at), message);
    }
    Some(Weight { by, reverse: reverse(lower, statement, 2) })
}

/// `reverse` behind a weight.
pub(super) fn reverse(lower: &mut Lower<'_>, statement: &Statement<'_>, after: usize) -> bool {
    match statement.parameters().get(after).map(|word| (word.at, &*word.text)) {
        None | Some((_, "noreverse" | "no_reverse")) => false,
        Some((_, "reverse")) => true,
        Some((at, other)) => {
            lower.warning(at, format!("`{other}` is no option of a weight: expected reverse or noreverse; skipped"));
            false
        }
    }
}
