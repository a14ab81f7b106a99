//! Wanted minus present: the changes that make a kernel hold what it should.
//!
//! Only what differs is changed, so that a restart or a reload disturbs no connection. Services of
//! others are left alone. One that is wanted and there already, whoever made it, is adopted.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Destination, DestinationKey, Pool, ServiceKey, SyncDaemon, SyncRole, Table};

/// The changes from `present` to `wanted`, in order. Services that are in neither `wanted` nor
/// `ours`, those this daemon made and answers for, are somebody else's.
///
/// Services come before those that go. In a service, destinations come before those that go, and
/// weights rise before others fall, so that one that can serve before and after can serve at every
/// moment between.
pub fn table(wanted: &Table, present: &Table, ours: &BTreeSet<ServiceKey>) -> Vec<Change> {
    let mut changes = Vec::new();
    for (key, wanted) in wanted {
        match present.get(key) {
            Some(present) => pool(*key, wanted, present, &mut changes),
            None => {
                changes.push(Change::AddService { key: *key, service: wanted.service.clone() });
                destinations(*key, &wanted.destinations, &BTreeMap::new(), &mut changes);
            }
        }
    }
    let gone = ours.iter().filter(|key| present.contains_key(key) && !wanted.contains_key(key));
    changes.extend(gone.map(|key| Change::DeleteService { key: *key }));
    changes
}

fn pool(key: ServiceKey, wanted: &Pool, present: &Pool, changes: &mut Vec<Change>) {
    if wanted.service != present.service {
        changes.push(Change::EditService { key, service: wanted.service.clone() });
    }
    destinations(key, &wanted.destinations, &present.destinations, changes);
}

fn destinations(
    service: ServiceKey,
    wanted: &BTreeMap<DestinationKey, Destination>,
    present: &BTreeMap<DestinationKey, Destination>,
    changes: &mut Vec<Change>,
) {
    let (mut edits, mut falls) = (Vec::new(), Vec::new());
    for (&key, &destination) in wanted {
        match present.get(&key) {
            None => changes.push(Change::AddDestination { service, key, destination }),
            Some(present) if *present == destination => {}
            Some(present) => {
                let edits = if destination.weight < present.weight { &mut falls } else { &mut edits };
                edits.push(Change::EditDestination { service, key, destination });
            }
        }
    }
    changes.append(&mut edits);
    changes.append(&mut falls);
    let gone = present.keys().filter(|key| !wanted.contains_key(key));
    changes.extend(gone.map(|key| Change::DeleteDestination { service, key: *key }));
}

/// The changes from the synchronisation daemons that run to those that are wanted. One that runs
/// and is not wanted is stopped if its role is in `ours`, else it is somebody else's. One cannot be
/// changed: it is stopped and started again.
pub fn sync(
    wanted: &BTreeMap<SyncRole, SyncDaemon>,
    running: &BTreeMap<SyncRole, SyncDaemon>,
    ours: &BTreeSet<SyncRole>,
) -> Vec<Change> {
    let stop = running.iter().filter(|(role, running)| match wanted.get(role) {
        Some(wanted) => !wanted.is_met_by(running),
        None => ours.contains(role),
    });
    let start = wanted.iter().filter(|(role, wanted)| !running.get(role).is_some_and(|r| wanted.is_met_by(r)));
    stop.map(|(role, _)| Change::StopSync(*role))
        .chain(start.map(|(_, daemon)| Change::StartSync(daemon.clone())))
        .collect()
}
