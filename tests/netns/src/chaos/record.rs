//! A run on disk, to be understood and replayed: `target/chaos/SEED/`.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use mesh_lab::clock;
use mesh_lab::judge::watch::LOOKS_EVERY;

use super::judgement::{Evidence, Verdict};

/// Overlaps less far apart are told in one line.
const STRETCH: Duration = Duration::from_millis(50);

/// Writes schedule, violations, what was done and seen, and the hosts' logs and configurations; never their keys.
pub(super) fn save(evidence: &Evidence<'_>, verdict: &Verdict, lab: &Path) -> Result<PathBuf> {
    let schedule = evidence.schedule;
    let dir = place()?.join(format!("{}-{}", schedule.seed, schedule.shape));
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| dir.display().to_string())?;
    }
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let violations: Vec<_> = verdict.violations.iter().map(ToString::to_string).collect();
    let again = format!("again: cargo chaos --replay {}\n", dir.join("schedule").display());
    fs::write(dir.join("schedule"), schedule.to_string())?;
    fs::write(dir.join("violations"), format!("{}\n\n{}\n\n{again}", violations.join("\n"), verdict.summary))?;
    fs::write(dir.join("observed"), observed(evidence))?;
    for host in fs::read_dir(lab).with_context(|| lab.display().to_string())? {
        copy_logs(&host?.path(), &dir)?;
    }
    Ok(dir)
}

// Beside the build, wherever that is.
fn place() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let target = this.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists());
    Ok(target.map_or_else(std::env::temp_dir, Path::to_path_buf).join("chaos"))
}

fn copy_logs(host: &Path, to: &Path) -> Result<()> {
    let (true, Some(name)) = (host.is_dir(), host.file_name()) else { return Ok(()) };
    for file in fs::read_dir(host)?.flatten().map(|entry| entry.path()) {
        if file.extension().is_some_and(|kind| kind == "log" || kind == "conf") {
            let target =
                format!("{}-{}", name.to_string_lossy(), file.file_name().unwrap_or_default().to_string_lossy());
            fs::copy(&file, to.join(target)).with_context(|| file.display().to_string())?;
        }
    }
    Ok(())
}

// One line for every thing done or seen, in order: seconds since the schedule began, and the logs' time of day (UTC).
fn observed(evidence: &Evidence<'_>) -> String {
    let (sightings, deeds) = (&evidence.sightings, &evidence.deeds);
    let mut lines: Vec<(Duration, String)> = Vec::new();
    for (index, began, ended) in &deeds.done {
        let fault = &evidence.schedule.faults[*index];
        lines.push((*began, format!("fault {index} begins: {fault}")));
        lines.push((*ended, format!("fault {index} ended:  {fault}")));
    }
    lines.extend(deeds.healed.map(|at| (at, "all is healed".into())));
    lines.extend(
        sightings
            .blind(LOOKS_EVERY)
            .iter()
            .map(|gap| (gap.start, format!("the judge misses {:?}", gap.end - gap.start))),
    );
    for (vip, address) in sightings.vips.iter().enumerate() {
        for stay in sightings.stays(vip) {
            let name = &sightings.names[stay.host];
            lines.push((stay.from, format!("{address} served by {name} for {:?}", stay.to - stay.from)));
        }
        for outage in sightings.outages(vip) {
            lines.push((outage.start, format!("{address} served by nobody for {:?}", outage.end - outage.start)));
        }
        for stretch in sightings.overlaps(vip).chunk_by(|a, b| b.at - a.at < STRETCH) {
            let (first, last) = (stretch[0], stretch[stretch.len() - 1]);
            let (host, between) = (&sightings.names[first.host], &sightings.names[first.between]);
            let lasts = last.at - first.at;
            lines
                .push((first.at, format!("{address} TWO AT ONCE: {host} between two answers of {between}, {lasts:?}")));
        }
    }
    lines.sort();
    let wall = clock::wall_offset();
    lines.iter().fold(String::new(), |mut text, (at, line)| {
        let since = at.as_secs_f64() - deeds.base.as_secs_f64();
        writeln!(text, "{since:9.3} {} {line}", time_of_day(*at + wall)).expect("writing to a String can not fail");
        text
    })
}

fn time_of_day(unix: Duration) -> String {
    let seconds = unix.as_secs() % 86_400;
    format!("{:02}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60, unix.subsec_millis())
}
