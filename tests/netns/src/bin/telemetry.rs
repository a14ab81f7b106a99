//! What telemetry costs: processor time of two directors with 255 routers, of which one tells a collector and the other
//! nobody, side by side, then the other way round. As root; takes about two minutes.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use mesh_lab::cluster::{Cluster, Daemon};
use mesh_lab::process::processor_time;
use mesh_lab::{DIRECTORS, Fault, Lab, Lifetime, clock};
use mesh_netns::rotel::{self, ENDPOINT};
use mesh_netns::{FAULT_LASTS, NEXT, OWNER};

const ROUTERS: usize = 255;

/// Measures what telemetry costs.
#[derive(Debug, Parser)]
struct Args {
    /// Seconds of each of the two measurements.
    #[arg(default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// In the middle of each the owner's cable is pulled for five seconds: all routers move, there and back.
    #[arg(long)]
    failover: bool,
}

/// All routers, adverts every second; the owner is worthiest for all.
fn conf(name: &str, tells: &str) -> String {
    let index = DIRECTORS.iter().position(|(known, _)| *known == name).expect("a director's name");
    let mut text = String::new();
    if name == tells {
        let _ = write!(text, "[telemetry]\nendpoint = \"http://{ENDPOINT}\"\n\n");
    }
    for vrid in 1..=ROUTERS {
        let _ = write!(
            text,
            "[[router]]\nname = \"VI_{vrid}\"\ninterface = \"eth0\"\nvrid = {vrid}\nversion = 3\npriority = {}\n\
             addresses = [\"10.7.0.{vrid}/32\"]\n",
            [200, 150, 100][index]
        );
    }
    text
}

/// Processor time of a process so far, in either mode.
fn spent(pid: u32) -> Result<Duration> {
    processor_time(pid).map(|(user, kernel)| user + kernel)
}

/// Processor time of the director that tells, and of the one that does not.
fn measure(tells: &str, silent: &str, args: &Args) -> Result<(Duration, Duration)> {
    let lab = Lab::new(Lifetime::Lab)?;
    let (receiver, _) = rotel::start(&lab)?;
    let mut cluster =
        Cluster::launch_all(lab, &DIRECTORS.map(|(name, _)| (name, Daemon::Mesh)), &|name| conf(name, tells))?;
    cluster.adopt(receiver);
    cluster.wait_status("the owner serves all", Duration::from_secs(60), &[tells, silent], |status| {
        let all = status["routers"].as_array().into_iter().flatten();
        all.filter(|router| router["active"] == OWNER).count() == ROUTERS
    })?;
    clock::pass(Duration::from_secs(6))?;
    let pids = (cluster.daemon_pid(tells)?, cluster.daemon_pid(silent)?);
    let before = (spent(pids.0)?, spent(pids.1)?);
    clock::pass(Duration::from_secs(args.seconds) / 2)?;
    if args.failover {
        let cable = Fault::Cable(OWNER.to_owned());
        cluster.lab().inject(cable.clone())?;
        clock::pass(FAULT_LASTS)?;
        cluster.lab().heal(&cable)?;
    }
    clock::pass(Duration::from_secs(args.seconds) / 2)?;
    let after = (spent(pids.0)?, spent(pids.1)?);
    Ok((after.0 - before.0, after.1 - before.1))
}

fn main() -> Result<()> {
    let args = Args::parse();
    let _alone = Lab::alone()?;
    let one = measure(NEXT, "lb3", &args)?;
    let other = measure("lb3", NEXT, &args)?;
    let (on, off) = (one.0 + other.0, one.1 + other.1);
    ensure!(!off.is_zero(), "no processor time at all");
    let faulty = if args.failover { FAULT_LASTS } else { Duration::ZERO };
    let span = 2.0 * (Duration::from_secs(args.seconds) + faulty).as_secs_f64();
    let percent = |time: Duration| time.as_secs_f64() / span * 100.0;
    println!("{ROUTERS} routers: {:.2} % of a core with telemetry, {:.2} % without", percent(on), percent(off));
    println!("with to without: {:.3}", on.as_secs_f64() / off.as_secs_f64());
    Ok(())
}
