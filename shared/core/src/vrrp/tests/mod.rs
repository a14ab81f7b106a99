//! The state machine against RFC 9568 section 6.4 and RFC 3768 section 6.4.

mod authenticate;
mod check;
mod table;
mod timers;

use std::net::Ipv4Addr;

use super::*;
use crate::fixture::{ms, router};
use mesh_config::model::Version;

const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 1, 11));
const LOWER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 1, 10));
const HIGHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 1, 12));

/// A router of priority 100 with adverts every second.
fn config(version: Version) -> VirtualRouter {
    VirtualRouter { version, ..router(100) }
}

fn machine(version: Version) -> Router {
    Router::new(&config(version))
}

fn backup(version: Version, now: Instant) -> Router {
    let mut machine = machine(version);
    assert_eq!(machine.startup(now), Verdict::Stay);
    machine
}

fn active(version: Version, now: Instant) -> Router {
    let mut machine = backup(version, now);
    machine.activate(now);
    machine
}

fn heard(priority: u8, source: IpAddr) -> Heard {
    Heard { source, priority, interval: Duration::from_secs(1) }
}

fn down_at(machine: &Router) -> Instant {
    match machine.state() {
        State::Backup { down_at } => down_at,
        other => panic!("{other:?} instead of Backup"),
    }
}

fn advert_at(machine: &Router) -> Instant {
    match machine.state() {
        State::Active { advert_at } => advert_at,
        other => panic!("{other:?} instead of Active"),
    }
}
