//! Many services, against `ipvsadm --restore` of the same ones.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Result, bail};
use mesh_core::ipvs::{Change, Forwarding, Table};
use mesh_ipvs::values::{all_of, by, pool, tcp};
use mesh_ipvs::{inside, ipvsadm, network};
use mesh_lab::clock;
use meshd::kernel::ipvs::Ipvs;

const SERVICES: usize = 1000;
const DESTINATIONS: usize = 10;
const ATTEMPTS: usize = 3;

fn many() -> Table {
    let destinations: Vec<String> = (1..=DESTINATIONS).map(|last| format!("10.1.0.{last}:80")).collect();
    let destinations: Vec<&str> = destinations.iter().map(String::as_str).collect();
    let at = |index: usize| tcp(&format!("10.0.{}.{}:80", index / 250, index % 250 + 1));
    (0..SERVICES).map(|index| (at(index), pool("wrr", by(Forwarding::DirectRouting), &destinations))).collect()
}

/// The same table for ipvsadm.
fn commands(table: &Table) -> String {
    let mut text = String::new();
    for (key, pool) in table {
        let at = key.to_string();
        let at = at.trim_end_matches("/tcp");
        writeln!(text, "-A -t {at} -s wrr").expect("a string takes everything");
        for destination in pool.destinations.keys() {
            writeln!(text, "-a -t {at} -r {destination} -g -w 1").expect("a string takes everything");
        }
    }
    text
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let start = clock::now();
    work()?;
    Ok(clock::now() - start)
}

fn all_ok(ipvs: &mut Ipvs, changes: &[Change]) -> Result<()> {
    for result in ipvs.apply(changes)? {
        result?;
    }
    Ok(())
}

/// How long it took, how long to read it back, and how long to delete it; in a network of its own, because
/// destinations that were deleted linger, and each new one is looked for among them.
fn measured(table: &Table, program: impl FnOnce(&mut Ipvs) -> Result<()> + Send) -> Result<[Duration; 3]> {
    network::alone(|| {
        let mut ipvs = Ipvs::open()?;
        let programmed = timed(|| program(&mut ipvs))?;
        let mut found = Table::new();
        let read = timed(|| {
            found = ipvs.table()?;
            Ok(())
        })?;
        assert_eq!(&found, table);
        let delete: Vec<_> = table.keys().map(|key| Change::DeleteService { key: *key }).collect();
        let deleted = timed(|| all_ok(&mut ipvs, &delete))?;
        Ok([programmed, read, deleted])
    })
}

#[test]
fn root_a_thousand_services_are_programmed_as_fast_as_ipvsadm_restores_them() -> Result<()> {
    inside(|| {
        let table = many();
        let (changes, commands) = (all_of(&table), commands(&table));
        // Something else may have had the processor: only what comes out the same again and again counts.
        for _ in 0..ATTEMPTS {
            let [theirs, ..] = measured(&table, |_| ipvsadm::restore(&commands))?;
            let [ours, read, deleted] = measured(&table, |ipvs| all_ok(ipvs, &changes))?;
            let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
            println!(
                "{SERVICES} services with {DESTINATIONS} destinations: programmed in {ours:?}, by ipvsadm --restore in \
                 {theirs:?} ({ratio:.2} of it); read in {read:?}, deleted in {deleted:?}"
            );
            if ours <= theirs {
                return Ok(());
            }
        }
        bail!("slower than ipvsadm --restore {ATTEMPTS} times, see above")
    })
}
