//! Moves back and forth, and how long each leaves clients without the address.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};
use mesh_lab::cluster::{Cluster, Daemon, active};
use mesh_lab::conf::meshd_toml;
use mesh_lab::{DIRECTORS, Judge, Lab, Lifetime, clock};

use crate::OWNER;

/// What `[mesh]` of a meshd.toml begins with for a move every tenth of a second.
const FAST_MOVES: &str = "[mesh]\nmoves_per_minute = 600\n";

/// Between two moves: the judge has to see who serves.
const PAUSE: Duration = Duration::from_millis(400);

/// What many moves cost.
#[derive(Debug)]
pub struct Moves {
    /// Longest time nobody answered the judge, move by move, sorted.
    pub gaps: Vec<Duration>,
    /// How long two answered.
    pub dual: Duration,
}

impl Moves {
    /// Half of them took no longer.
    pub fn median(&self) -> Duration {
        self.at(50)
    }

    /// The longest.
    pub fn worst(&self) -> Duration {
        self.at(100)
    }

    /// So many of a hundred took no longer.
    pub fn at(&self, percent: usize) -> Duration {
        let last = self.gaps.len().saturating_sub(1);
        self.gaps.get(last * percent / 100).copied().unwrap_or_default()
    }
}

impl fmt::Display for Moves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, max] = [50, 99, 100].map(|percent| self.at(percent).as_millis());
        let dual = self.dual.as_millis();
        write!(
            f,
            "{} moves: p50 {p50}, p99 {p99}, max {max} ms without the VIP, {dual} ms with two owners",
            self.gaps.len()
        )
    }
}

/// A mesh of three that may move something ten times a second; [`OWNER`] serves.
pub fn fast_mesh() -> Result<Cluster> {
    let conf = |name: &str| meshd_toml(name, "fast").replace("[mesh]\n", FAST_MOVES);
    let mesh = DIRECTORS.map(|(name, _)| (name, Daemon::Mesh));
    let mut cluster = Cluster::launch_all(Lab::new(Lifetime::Lab)?, &mesh, &conf)?;
    let names = DIRECTORS.map(|(name, _)| name);
    cluster.wait_status("the worthiest serves", Duration::from_secs(30), &names, |s| active(s) == Some(OWNER))?;
    Ok(cluster)
}

/// Moves the VIP from director to director, ordered on each of them in turn.
pub fn back_and_forth(cluster: &mut Cluster, times: usize) -> Result<Moves> {
    let judge = Judge::start(cluster.lab_ref())?;
    let mut windows = Vec::new();
    let names = DIRECTORS.map(|(name, _)| name);
    let mut on = names.iter().position(|name| *name == OWNER).unwrap_or_default();
    for turn in 0..times {
        let to = (on + 1 + turn % 2) % names.len();
        let begin = clock::now();
        let said = cluster.meshctl(names[turn % names.len()], &["move", "VI_1", names[to]])?;
        ensure!(said.starts_with(&format!("{} serves VI_1 (ordered by ", names[to])), "{said}");
        on = to;
        clock::pass(PAUSE)?;
        windows.push((begin, clock::now(), names[to]));
    }
    let seen = judge.finish()?;
    let mut gaps = Vec::new();
    for (from, to, owner) in windows {
        let window = seen.window(from, to);
        ensure!(window.owners().last() == Some(&owner), "{owner} does not serve: {window}");
        gaps.push(window.gap());
    }
    gaps.sort_unstable();
    Ok(Moves { gaps, dual: seen.dual() })
}
