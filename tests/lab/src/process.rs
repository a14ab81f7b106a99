//! What a process costs its host.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Processor time of a process so far, in user and kernel mode.
pub fn processor_time(pid: u32) -> Result<(Duration, Duration)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(')').context("no name in stat")?;
    // After the name comes field 3; 14 and 15 are clock ticks, 100 a second.
    let ticks = |field: usize| -> Result<Duration> {
        let text = rest.split_whitespace().nth(field - 3).context("a short stat")?;
        Ok(Duration::from_millis(text.parse::<u64>()? * 10))
    };
    Ok((ticks(14)?, ticks(15)?))
}

/// Its resident memory, in bytes.
pub fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in status")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
