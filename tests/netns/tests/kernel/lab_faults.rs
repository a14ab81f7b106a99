//! The lab's lossy, slow and repeating wires, and hosts without power, do what they say.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::fault::bad_cable::{BadCable, Spec};
use mesh_lab::{Channel, Fault, Host, Lab, Lifetime, Wire, clock};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn wire(from: &str, to: &str, channel: Channel, loss: u8) -> Fault {
    Fault::Wire(Wire { from: from.into(), to: to.into(), channel, loss, id: 0 })
}

/// What `ping` says about this many echo requests from one host to another.
fn ping(from: &Host, to: &Host, count: u32) -> Result<String> {
    let (count, to) = (count.to_string(), to.address.to_string());
    let output = from.output(&["ping", "-c", &count, "-i", "0.02", "-W", "1", &to])?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn received(said: &str) -> Result<u32> {
    let words: Vec<_> = said.split_whitespace().collect();
    let at = words.iter().position(|word| word.starts_with("received")).with_context(|| said.to_string())?;
    Ok(words[at - 1].parse()?)
}

#[test]
fn root_a_lossy_wire_loses_its_share() -> Result<()> {
    let _alone = Lab::alone()?;
    let mut lab = Lab::new(Lifetime::Lab)?;
    let lossy = wire("lb1", "lb2", Channel::All, 40);
    lab.inject(lossy.clone())?;
    let said = ping(lab.host("lb1"), lab.host("lb2"), 100)?;
    let got = received(&said)?;
    // Six standard deviations around 60, and some for the neighbour that has to be found first.
    ensure!((28..=90).contains(&got), "{said}");
    ensure!(received(&ping(lab.host("lb1"), lab.host("lb3"), 5)?)? == 5, "another wire is hit");
    lab.heal(&lossy)?;
    ensure!(received(&ping(lab.host("lb1"), lab.host("lb2"), 5)?)? == 5, "not healed");

    // What is neither the mesh nor VRRP passes a wire that loses only those.
    lab.inject(wire("lb1", "lb2", Channel::Mesh, 100))?;
    lab.inject(wire("lb1", "lb2", Channel::Vrrp, 100))?;
    ensure!(received(&ping(lab.host("lb1"), lab.host("lb2"), 5)?)? == 5, "a ping is hit");
    Ok(())
}

#[test]
fn root_a_bad_cable_delays_and_repeats() -> Result<()> {
    let _alone = Lab::alone()?;
    let mut lab = Lab::new(Lifetime::Lab)?;
    ensure!(received(&ping(lab.host("lb1"), lab.host("lb2"), 5)?)? == 5, "nothing is wrong yet");
    let spec = Spec { from: "lb1".into(), to: vec!["lb2".into()], channel: Channel::All, delay: (MS(80), MS(120)) };
    let mut cable = BadCable::start(&lab, &spec)?;
    let said = ping(lab.host("lb1"), lab.host("lb2"), 10)?;
    ensure!(said.contains("DUP!"), "copies come on top: {said}");

    lab.inject(wire("lb1", "lb2", Channel::All, 100))?;
    let said = ping(lab.host("lb1"), lab.host("lb2"), 20)?;
    ensure!(received(&said)? == 20 && !said.contains("DUP!"), "copies are all there is: {said}");
    let times: Vec<f64> =
        said.split("time=").skip(1).filter_map(|rest| rest.split_whitespace().next()?.parse().ok()).collect();
    ensure!(times.len() == 20 && times.iter().all(|time| (80.0..200.0).contains(time)), "{said}");
    let order: Vec<u32> =
        said.split("icmp_seq=").skip(1).filter_map(|rest| rest.split_whitespace().next()?.parse().ok()).collect();
    ensure!(!order.is_sorted(), "40 ms of chance at 20 ms between two: some overtake: {said}");
    ensure!(received(&ping(lab.host("lb3"), lab.host("lb2"), 5)?)? == 5, "another wire is hit");
    cable.end()?;
    ensure!(received(&ping(lab.host("lb1"), lab.host("lb2"), 3)?)? == 0, "nothing carries it any more");
    Ok(())
}

#[test]
fn root_a_bad_cable_keeps_segments_and_checksums_right() -> Result<()> {
    let _alone = Lab::alone()?;
    let mut lab = Lab::new(Lifetime::Lab)?;
    let spec = Spec { from: "lb1".into(), to: vec!["lb2".into()], channel: Channel::All, delay: (MS(1), MS(1)) };
    lab.inject(wire("lb1", "lb2", Channel::All, 100))?;
    let _cable = BadCable::start(&lab, &spec)?;
    // The sender's kernel leaves sums to the card, and 60 kB to be cut into frames.
    let bytes = vec![0x5a; 60_000];
    let (to, address) = (lab.host("lb2").clone(), lab.host("lb2").address);
    let listener = std::thread::spawn(move || -> Result<std::net::TcpListener> {
        to.enter()?;
        Ok(std::net::TcpListener::bind((address, 4000))?)
    });
    let listener = listener.join().expect("no panic")?;
    let (from, sent) = (lab.host("lb1").clone(), bytes.clone());
    let sender = std::thread::spawn(move || -> Result<()> {
        use std::io::Write;
        from.enter()?;
        let mut stream = std::net::TcpStream::connect_timeout(&(address, 4000).into(), MS(5000))?;
        stream.set_write_timeout(Some(MS(5000)))?;
        Ok(stream.write_all(&sent)?)
    });
    sender.join().expect("no panic")?;
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(MS(5000)))?;
    let mut got = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut got)?;
    ensure!(got == bytes, "{} of {} bytes", got.len(), bytes.len());
    Ok(())
}

#[test]
fn root_a_host_without_power_keeps_its_disk_and_nothing_else() -> Result<()> {
    let _alone = Lab::alone()?;
    let lab = Lab::with_directors(Lifetime::Lab, 5)?;
    let host = lab.host("lb5").clone();
    host.run(&["ip", "addr", "add", "10.1.1.80/24", "dev", "eth0"])?;
    host.run(&["nft", "add", "table", "ip", "mine"])?;
    std::fs::create_dir_all(host.dir.join("run"))?;
    std::fs::write(host.dir.join("disk"), "")?;
    let mut process = host.spawn("sleep", &["sleep", "1000"])?;
    // A process that is still on its way into the namespace is not on the host yet.
    clock::wait_for("it runs on the host", MS(5000), || {
        let pids = std::process::Command::new("ip").args(["netns", "pids", &host.netns]).output()?;
        Ok((!pids.stdout.is_empty()).then_some(()))
    })?;
    lab.power_off("lb5")?;
    process.wait(MS(5000))?;
    ensure!(received(&ping(lab.host("lb1"), &host, 2)?)? == 0, "it answers");
    lab.power_on("lb5")?;
    ensure!(received(&ping(lab.host("lb1"), &host, 5)?)? > 0, "it does not answer");
    ensure!(!host.has_address("10.1.1.80")? && !host.run(&["nft", "list", "tables"])?.contains("mine"));
    ensure!(host.dir.join("disk").exists() && !host.dir.join("run").exists());
    Ok(())
}
