//! What ip_vs does with a change: for simulated kernels, and to know what one holds without asking.

use std::collections::btree_map::Entry;

use super::{Change, Pool, Table};

/// Why a change was not possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// To be added, and there already.
    #[error("it exists already")]
    Exists,
    /// To be edited or deleted, or to get or lose a destination.
    #[error("there is no such service")]
    NoService,
    /// To be edited or deleted.
    #[error("the service has no such destination")]
    NoDestination,
}

/// Brings one change about. Timeouts and synchronisation have no part in a table and leave it as it is.
pub fn apply(table: &mut Table, change: &Change) -> Result<(), Refused> {
    match change {
        Change::AddService { key, service } => match table.entry(*key) {
            Entry::Occupied(_) => return Err(Refused::Exists),
            Entry::Vacant(place) => {
                place.insert(Pool { service: service.clone(), destinations: Default::default() });
            }
        },
        Change::EditService { key, service } => {
            table.get_mut(key).ok_or(Refused::NoService)?.service = service.clone();
        }
        Change::DeleteService { key } => {
            table.remove(key).ok_or(Refused::NoService)?;
        }
        Change::AddDestination { service, key, destination } => {
            match table.get_mut(service).ok_or(Refused::NoService)?.destinations.entry(*key) {
                Entry::Occupied(_) => return Err(Refused::Exists),
                Entry::Vacant(place) => {
                    place.insert(*destination);
                }
            }
        }
        Change::EditDestination { service, key, destination } => {
            let pool = table.get_mut(service).ok_or(Refused::NoService)?;
            *pool.destinations.get_mut(key).ok_or(Refused::NoDestination)? = *destination;
        }
        Change::DeleteDestination { service, key } => {
            let pool = table.get_mut(service).ok_or(Refused::NoService)?;
            pool.destinations.remove(key).ok_or(Refused::NoDestination)?;
        }
        Change::SetTimeouts(_) | Change::StartSync(_) | Change::StopSync(_) => {}
    }
    Ok(())
}
