//! A schedule as a value and as text, one line a fault:
//!
//! ```text
//! shape 3
//! seed 7
//! seconds 60
//! 1.250 +2.100 cut mesh lb1>lb2,lb3
//! 2.000 +0.800 late 20-500 all lb1<>lb2
//! 3.125 +4.000 stall lb2
//! ```
//!
//! When in seconds, for how long, what, and whom it hits.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mesh_lab::Channel;

use super::shape::{Shape, VIPS};

/// Faults and when they come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Of which cluster.
    pub shape: Shape,
    /// What it was made from.
    pub seed: u64,
    /// When the last fault has ended.
    pub length: Duration,
    /// In order of time.
    pub faults: Vec<Fault>,
}

/// One fault; times are whole milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// When it begins.
    pub at: Duration,
    /// How long until it is healed.
    pub lasts: Duration,
    /// What it is.
    pub what: What,
}

/// What goes wrong. Hosts are indices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// On the way from some hosts to others.
    Wires {
        /// What happens there.
        trouble: WireTrouble,
        /// To which traffic.
        channel: Channel,
        /// Who sends.
        from: Vec<usize>,
        /// Who would receive.
        to: Vec<usize>,
        /// Whether the way back is hit too.
        both: bool,
    },
    /// On these hosts, at the same moment.
    Hosts {
        /// What happens there.
        trouble: HostTrouble,
        /// Where.
        hosts: Vec<usize>,
    },
    /// `ip addr del` of a virtual address (an index) on a host, if it is there.
    Unaddress {
        /// Where.
        host: usize,
        /// Which.
        vip: usize,
    },
    /// The machine's processors are busy.
    Burn,
}

/// What happens to frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireTrouble {
    /// All are lost.
    Cut,
    /// This many percent are lost.
    Lose(u8),
    /// They take between the one and the other number of milliseconds, and overtake each other.
    Late(u64, u64),
    /// They arrive, and a second time this much later.
    Repeat(u64, u64),
}

/// What happens to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostTrouble {
    /// SIGSTOP to its daemon, SIGCONT at the end.
    Stall,
    /// Its daemon runs a fifth of the time, 20 ms in each 100.
    Starve,
    /// `kill -9` of its daemon, started again at the end.
    Kill,
    /// An orderly stop of its daemon, started again at the end.
    Stop,
    /// Power off, with everything that is not on its disk; on again at the end.
    Reboot,
    /// Its cable is pulled.
    Cable,
    /// Its link goes up and down every 250 ms.
    Flap,
    /// `nft flush ruleset`, once.
    Flush,
}

/// Names in the text.
const HOST_TROUBLES: [(&str, HostTrouble); 8] = [
    ("stall", HostTrouble::Stall),
    ("starve", HostTrouble::Starve),
    ("kill", HostTrouble::Kill),
    ("stop", HostTrouble::Stop),
    ("reboot", HostTrouble::Reboot),
    ("cable", HostTrouble::Cable),
    ("flap", HostTrouble::Flap),
    ("flush", HostTrouble::Flush),
];

impl What {
    /// Its kind, for statistics.
    pub fn kind(&self) -> String {
        match self {
            What::Wires { trouble, channel, both, .. } => {
                let name = match trouble {
                    WireTrouble::Cut => "cut",
                    WireTrouble::Lose(_) => "loss",
                    WireTrouble::Late(..) => "late",
                    WireTrouble::Repeat(..) => "repeat",
                };
                format!("{name} {channel}{}", if *both { "" } else { " one-way" })
            }
            What::Hosts { trouble, .. } => trouble.to_string(),
            What::Unaddress { .. } => "unaddress".into(),
            What::Burn => "burn".into(),
        }
    }

    /// Ordered pairs of hosts whose wire it hits.
    pub fn wires(&self) -> Vec<(usize, usize)> {
        let What::Wires { from, to, both, .. } = self else { return Vec::new() };
        let ways = from.iter().flat_map(|a| to.iter().map(move |b| (*a, *b))).filter(|(a, b)| a != b);
        ways.flat_map(|(a, b)| if *both { vec![(a, b), (b, a)] } else { vec![(a, b)] }).collect()
    }
}

impl fmt::Display for HostTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HOST_TROUBLES.iter().find(|(_, trouble)| trouble == self).expect("all are named").0)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} +{:.3} ", self.at.as_secs_f64(), self.lasts.as_secs_f64())?;
        match &self.what {
            What::Wires { trouble, channel, from, to, both } => {
                match trouble {
                    WireTrouble::Cut => write!(f, "cut")?,
                    WireTrouble::Lose(percent) => write!(f, "lose {percent}")?,
                    WireTrouble::Late(least, most) => write!(f, "late {least}-{most}")?,
                    WireTrouble::Repeat(least, most) => write!(f, "repeat {least}-{most}")?,
                }
                write!(f, " {channel} {}{}{}", names(from), if *both { "<>" } else { ">" }, names(to))
            }
            What::Hosts { trouble, hosts } => write!(f, "{trouble} {}", names(hosts)),
            What::Unaddress { host, vip } => write!(f, "unaddress {} {}", names(&[*host]), VIPS[*vip]),
            What::Burn => write!(f, "burn"),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "shape {}\nseed {}\nseconds {:.3}", self.shape, self.seed, self.length.as_secs_f64())?;
        self.faults.iter().try_for_each(|fault| writeln!(f, "{fault}"))
    }
}

impl FromStr for Schedule {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Schedule> {
        let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.split('#').next().unwrap_or("").trim()));
        let mut lines = lines.filter(|(_, line)| !line.is_empty());
        let mut header = |key: &str| -> Result<String> {
            let (number, line) = lines.next().with_context(|| format!("no line `{key} …`"))?;
            let value = line.strip_prefix(key).with_context(|| format!("line {number}: expected `{key} …`"))?;
            Ok(value.trim().to_string())
        };
        let (shape, seed, length) = (header("shape")?, header("seed")?, header("seconds")?);
        let shape: Shape = shape.parse()?;
        let mut faults = Vec::new();
        for (number, line) in lines {
            let fault = parse_fault(shape, line).with_context(|| format!("line {number}: {line}"))?;
            ensure!(
                faults.last().is_none_or(|last: &Fault| last.at <= fault.at),
                "line {number}: before the one above"
            );
            faults.push(fault);
        }
        let length = seconds(&length)?;
        let late = faults.iter().find(|fault| fault.at + fault.lasts > length);
        ensure!(late.is_none(), "`{}` ends after the {length:?} of the schedule", late.expect("one is"));
        Ok(Schedule { shape, seed: seed.parse().context("seed")?, length, faults })
    }
}

fn parse_fault(shape: Shape, line: &str) -> Result<Fault> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [at, lasts, kind, rest @ ..] = words.as_slice() else { bail!("expected when, +how long, what") };
    let lasts = lasts.strip_prefix('+').context("how long: expected +SECONDS")?;
    let what = match (*kind, rest) {
        ("burn", []) => What::Burn,
        ("cut", [channel, way]) => wires(shape, WireTrouble::Cut, channel, way)?,
        ("lose", [percent, channel, way]) => {
            let percent = percent.parse().ok().filter(|p| (1..=100).contains(p)).context("percent: 1 to 100")?;
            wires(shape, WireTrouble::Lose(percent), channel, way)?
        }
        ("late", [range, channel, way]) => {
            let (least, most) = range_of(range)?;
            wires(shape, WireTrouble::Late(least, most), channel, way)?
        }
        ("repeat", [range, channel, way]) => {
            let (least, most) = range_of(range)?;
            wires(shape, WireTrouble::Repeat(least, most), channel, way)?
        }
        ("unaddress", [host, vip]) => {
            let host = shape.index(host).with_context(|| format!("no host {host}"))?;
            let vip = VIPS.iter().position(|v| v.to_string() == **vip).with_context(|| format!("no address {vip}"))?;
            What::Unaddress { host, vip }
        }
        (kind, [hosts]) => {
            let (_, trouble) =
                HOST_TROUBLES.iter().find(|(name, _)| *name == kind).with_context(|| format!("no fault {kind}"))?;
            What::Hosts { trouble: *trouble, hosts: hosts_of(shape, hosts)? }
        }
        _ => bail!("no fault {kind} with {} words after it", rest.len()),
    };
    Ok(Fault { at: seconds(at)?, lasts: seconds(lasts)?, what })
}

fn wires(shape: Shape, trouble: WireTrouble, channel: &str, way: &str) -> Result<What> {
    let (from, to, both) = match way.split_once("<>") {
        Some((from, to)) => (from, to, true),
        None => way.split_once('>').map(|(from, to)| (from, to, false)).context("from whom to whom: A>B or A<>B")?,
    };
    let (from, to) = (hosts_of(shape, from)?, hosts_of(shape, to)?);
    Ok(What::Wires { trouble, channel: channel.parse()?, from, to, both })
}

fn hosts_of(shape: Shape, list: &str) -> Result<Vec<usize>> {
    list.split(',').map(|name| shape.index(name).with_context(|| format!("no host {name}"))).collect()
}

fn range_of(text: &str) -> Result<(u64, u64)> {
    let (least, most) = text.split_once('-').context("milliseconds: expected LEAST-MOST")?;
    let (least, most) = (least.parse()?, most.parse()?);
    ensure!(least <= most && most <= 60_000, "milliseconds: {least} to {most}");
    Ok((least, most))
}

fn seconds(text: &str) -> Result<Duration> {
    let value: f64 = text.parse().with_context(|| format!("{text} is no number of seconds"))?;
    ensure!((0.0..=86_400.0).contains(&value), "{text} seconds");
    Ok(Duration::from_millis((value * 1000.0).round() as u64))
}

fn names(hosts: &[usize]) -> String {
    hosts.iter().map(|host| format!("lb{}", host + 1)).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
