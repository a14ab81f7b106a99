//! The virtual routers of a node, and which of them a step has to look at.
//!
//! With hundreds of routers that advertise ten times a second there are thousands of steps a second, and each concerns
//! a few routers. So whoever changes a router is noted, and what a router waits for is kept in an index: a step
//! costs as much as what happens in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, Deref};

use mesh_wire::mesh::RouterKey;

use crate::engine::TimerKind;
use crate::instance::Instance;
use crate::time::Instant;

/// All routers, by name. Reading goes through [`Deref`]; every way to change one notes it.
#[derive(Debug, Default)]
pub(crate) struct Instances {
    routers: BTreeMap<RouterKey, Instance>,
    /// Those that may have changed since [`Instances::take_changed`].
    changed: BTreeSet<RouterKey>,
    /// Those to be looked at: changed, but not by their own look.
    open: BTreeSet<RouterKey>,
    /// Whose look it is.
    looked_at: Option<RouterKey>,
    /// Whose change was noted last: changes of one router come in a row.
    noted: Option<RouterKey>,
    index: Index,
}

/// What a router waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    /// Its first timer.
    pub(crate) first: Option<(Instant, TimerKind)>,
    /// The end of the lease it holds.
    pub(crate) lease_end: Option<Instant>,
    /// It serves without a lease, in a mesh.
    pub(crate) without_lease: bool,
    /// For something that has no timer: it is looked at in every step.
    pub(crate) restless: bool,
}

#[derive(Debug, Default)]
struct Index {
    waits: BTreeMap<RouterKey, Waits>,
    timers: BTreeSet<(Instant, TimerKind, RouterKey)>,
    lease_ends: BTreeSet<(Instant, RouterKey)>,
    without_lease: BTreeSet<RouterKey>,
    restless: BTreeSet<RouterKey>,
}

impl Deref for Instances {
    type Target = BTreeMap<RouterKey, Instance>;

    fn deref(&self) -> &Self::Target {
        &self.routers
    }
}

impl Instances {
    /// A router, to be changed.
    pub(crate) fn get_mut(&mut self, key: &RouterKey) -> Option<&mut Instance> {
        let instance = self.routers.get_mut(key)?;
        if self.noted.replace(*key) != Some(*key) {
            note(&mut self.changed, &mut self.open, self.looked_at, *key);
        }
        Some(instance)
    }

    /// All routers, to be changed.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Instance> {
        self.touch_all();
        self.routers.values_mut()
    }

    /// A new router.
    pub(crate) fn insert(&mut self, instance: Instance) {
        let key = instance.config.key;
        note(&mut self.changed, &mut self.open, self.looked_at, key);
        self.routers.insert(key, instance);
    }

    /// A router that is no more.
    pub(crate) fn remove(&mut self, key: &RouterKey) -> Option<Instance> {
        self.changed.insert(*key);
        self.routers.remove(key)
    }

    /// Something has happened that may concern any router.
    pub(crate) fn touch_all(&mut self) {
        for key in self.routers.keys() {
            note(&mut self.changed, &mut self.open, self.looked_at, *key);
        }
    }

    /// Those whose timers have run out are to be looked at, too, and those that wait for something else.
    pub(crate) fn open_due(&mut self, now: Instant) {
        self.open.extend(self.index.due(now));
        self.open.extend(&self.index.restless);
    }

    /// The next router to be looked at behind `last`. The look is over with the next call.
    pub(crate) fn look_after(&mut self, last: Option<RouterKey>) -> Option<RouterKey> {
        self.noted = None;
        let behind = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.looked_at = self.open.range((behind, Bound::Unbounded)).next().copied();
        if let Some(key) = self.looked_at {
            self.open.remove(&key);
        }
        self.looked_at
    }

    /// Those that may have changed, also such as are gone.
    pub(crate) fn changed(&self) -> &BTreeSet<RouterKey> {
        &self.changed
    }

    /// The same, from now on anew.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<RouterKey> {
        self.noted = None;
        std::mem::take(&mut self.changed)
    }

    /// Notes what a router waits for now.
    pub(crate) fn put_in_index(&mut self, key: RouterKey, waits: Option<Waits>) {
        self.index.put(key, waits);
    }

    /// What was noted last.
    pub(crate) fn waits_of(&self, key: &RouterKey) -> Option<Waits> {
        self.index.waits.get(key).copied()
    }

    /// Routers with a timer that has run out.
    pub(crate) fn due(&self, now: Instant) -> impl Iterator<Item = RouterKey> {
        self.index.due(now)
    }

    /// The first timer of all.
    pub(crate) fn first_timer(&self) -> Option<(Instant, TimerKind)> {
        self.index.timers.first().map(|(at, kind, _)| (*at, *kind))
    }

    /// When the first lease ends.
    pub(crate) fn first_lease_end(&self) -> Option<Instant> {
        self.index.lease_ends.first().map(|(at, _)| *at)
    }

    /// Whether any is served without a lease, in a mesh.
    pub(crate) fn any_without_lease(&self) -> bool {
        !self.index.without_lease.is_empty()
    }
}

/// A change by a router's own look is none that it has to be looked at for again.
fn note(
    changed: &mut BTreeSet<RouterKey>,
    open: &mut BTreeSet<RouterKey>,
    looked_at: Option<RouterKey>,
    key: RouterKey,
) {
    changed.insert(key);
    if looked_at != Some(key) {
        open.insert(key);
    }
}

impl Index {
    fn due(&self, now: Instant) -> impl Iterator<Item = RouterKey> {
        self.timers.iter().take_while(move |(at, ..)| *at <= now).map(|(.., key)| *key)
    }

    fn put(&mut self, key: RouterKey, waits: Option<Waits>) {
        let before = match waits {
            Some(waits) => self.waits.insert(key, waits),
            None => self.waits.remove(&key),
        };
        let (before, after) = (before.unwrap_or_default(), waits.unwrap_or_default());
        if before == after {
            return;
        }
        let timer = |waits: Waits| waits.first.map(|(at, kind)| (at, kind, key));
        replace(&mut self.timers, timer(before), timer(after));
        let end = |waits: Waits| waits.lease_end.map(|at| (at, key));
        replace(&mut self.lease_ends, end(before), end(after));
        let key_if = |is: bool| is.then_some(key);
        replace(&mut self.without_lease, key_if(before.without_lease), key_if(after.without_lease));
        replace(&mut self.restless, key_if(before.restless), key_if(after.restless));
    }
}

fn replace<T: Ord>(set: &mut BTreeSet<T>, before: Option<T>, after: Option<T>) {
    if before != after {
        before.map(|before| set.remove(&before));
        set.extend(after);
    }
}

#[cfg(test)]
mod tests;
