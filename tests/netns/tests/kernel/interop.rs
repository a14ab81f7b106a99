//! meshd without a mesh beside a real keepalived: each takes over from the other, and gives back.

use std::time::Duration;

use anyhow::Result;
use mesh_lab::Lab;
use mesh_lab::cluster::Daemon::{self, Keepalived, Plain};
use mesh_lab::conf::Style;
use mesh_netns::{NEXT, OWNER, Scenario, settled_with, trial};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// meshd's address taken over by keepalived, and keepalived's by meshd; each owner gets it back.
const BOTH: [Daemon; 2] = [Plain, Keepalived];

fn taken_over(owner: Daemon, style: Style, scenarios: &[Scenario]) -> Result<()> {
    let _turn = Lab::beside()?;
    let next = if owner == Plain { Keepalived } else { Plain };
    let mut cluster = settled_with(&[(OWNER, owner), (NEXT, next)], style)?;
    for scenario in scenarios {
        let seen = trial(&mut cluster, *scenario)?;
        println!("{style:?}, owner {owner:?}, {}: {}", scenario.title(), seen.faulty);
        println!("{style:?}, owner {owner:?}, healed: {}", seen.healed);
        takes_over(&seen.faulty, owner, *scenario);
        assert_eq!(seen.whole.owners().last(), Some(&OWNER), "no preemption: {}", seen.whole);
    }
    Ok(())
}

fn takes_over(seen: &mesh_lab::Report, owner: Daemon, scenario: Scenario) {
    let context = format!("owner {owner:?}, {}: {seen}", scenario.title());
    let served = seen.served(NEXT);
    let served = served.first().unwrap_or_else(|| panic!("never taken over: {context}"));
    match scenario {
        // The next one waits (256 - 150) / 256 s after a goodbye.
        Scenario::OrderlyStop => {
            assert!((MS(380)..MS(520)).contains(&seen.gap()), "{context}");
            assert_eq!(seen.dual(), Duration::ZERO, "{context}");
        }
        // Three adverts and the skew after the last advert. Whoever was killed may leave its address behind: without a
        // mesh nobody takes it away, so two owners are keepalived's own behaviour here.
        _ => {
            let took = served.from - seen.begins();
            assert!((MS(2300)..MS(3700)).contains(&took), "after {took:?}: {context}");
        }
    }
}

#[test]
fn root_version_2_multicast_with_password_from_meshd() -> Result<()> {
    taken_over(Plain, Style::V2, &[Scenario::OrderlyStop, Scenario::Killed])
}

#[test]
fn root_version_2_multicast_with_password_from_keepalived() -> Result<()> {
    taken_over(Keepalived, Style::V2, &[Scenario::OrderlyStop, Scenario::Killed])
}

#[test]
fn root_version_3_multicast() -> Result<()> {
    BOTH.into_iter().try_for_each(|owner| taken_over(owner, Style::V3, &[Scenario::Killed]))
}

#[test]
fn root_unicast() -> Result<()> {
    BOTH.into_iter().try_for_each(|owner| taken_over(owner, Style::Unicast, &[Scenario::Killed]))
}
