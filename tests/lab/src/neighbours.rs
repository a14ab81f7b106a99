//! Who answers for an IPv6 address: every 10 ms the judge's host asks all neighbours, as duplicate address detection
//! does, and notes which directors say that they have it.

use std::io::Read;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use mesh_wire::ndisc;
use pnet_base::MacAddr;
use socket2::{SockAddr, Socket};

use crate::clock;
use crate::lab::{JUDGE, Lab};
use crate::packet;

/// Between two questions.
pub const ASKED_EVERY: Duration = Duration::from_millis(10);

/// Asks until it is told to stop.
#[derive(Debug)]
pub struct NeighbourWatch {
    stop: Arc<AtomicBool>,
    asker: JoinHandle<Result<Answers>>,
}

/// When it was asked, and the directors that answered before the next question.
#[derive(Debug, Default)]
pub struct Answers(pub Vec<(Duration, Vec<String>)>);

impl NeighbourWatch {
    /// Begins to ask.
    pub fn start(lab: &Lab, address: Ipv6Addr) -> NeighbourWatch {
        NeighbourWatch::knowing(lab, address, &[])
    }

    /// The same, where these names answer with MAC addresses of their own, too.
    pub fn knowing(lab: &Lab, address: Ipv6Addr, others: &[([u8; 6], &str)]) -> NeighbourWatch {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, judge) = (stop.clone(), lab.host(JUDGE).clone());
        let directors = lab.directors().iter().map(|host| (host.mac, host.name.clone()));
        let directors: Vec<_> =
            directors.chain(others.iter().map(|(mac, name)| (MacAddr::from(*mac), (*name).to_owned()))).collect();
        let asker = thread::spawn(move || {
            judge.enter()?;
            let socket = packet::socket()?;
            let interface = packet::bind(&socket, "eth0")?;
            let mut answers = Answers::default();
            while !stopped.load(Ordering::Relaxed) && !clock::interrupted() {
                let at = clock::now();
                let macs = ask(&socket, &interface, judge.mac, address)?;
                let named = |mac| directors.iter().find(|(known, _)| *known == mac).map(|(_, name)| name.clone());
                answers.0.push((at, macs.into_iter().filter_map(named).collect()));
            }
            Ok(answers)
        });
        NeighbourWatch { stop, asker }
    }

    /// What was answered so far.
    pub fn finish(self) -> Result<Answers> {
        self.stop.store(true, Ordering::Relaxed);
        let answers = self.asker.join().map_err(|_| anyhow!("the asker panicked"))??;
        ensure!(!answers.0.is_empty(), "nothing was asked");
        Ok(answers)
    }
}

/// One question, and who answers it, each once.
fn ask(mut socket: &Socket, interface: &SockAddr, own: MacAddr, address: Ipv6Addr) -> Result<Vec<MacAddr>> {
    let asked = clock::now();
    // With the cable out nothing can be sent, and nobody answers.
    let _ = socket.send_to(&ndisc::probe(own.octets(), address), interface);
    let mut found = Vec::new();
    let mut buffer = vec![0; packet::LONGEST];
    while clock::now() < asked + ASKED_EVERY {
        let Ok(length) = socket.read(&mut buffer) else {
            thread::park_timeout(Duration::from_millis(1));
            continue;
        };
        let answer = ndisc::conflict(&buffer[..length], own.octets(), &[address]);
        let mac = answer.map(|(_, [a, b, c, d, e, f])| MacAddr::new(a, b, c, d, e, f));
        found.extend(mac.filter(|mac| !found.contains(mac)));
    }
    Ok(found)
}

impl Answers {
    /// Who answered, one after the other.
    pub fn owners(&self) -> Vec<&str> {
        let mut owners: Vec<&str> = self.0.iter().flat_map(|(_, names)| names).map(String::as_str).collect();
        owners.dedup();
        owners
    }

    /// The longest time without any answer.
    pub fn gap(&self) -> Duration {
        let answered: Vec<Duration> = self.0.iter().filter(|(_, names)| !names.is_empty()).map(|(at, _)| *at).collect();
        let longest = answered.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(Duration::MAX);
        longest.saturating_sub(ASKED_EVERY)
    }

    /// How often two or more answered both of two questions that follow each other: one alone is a handover that
    /// took less than 10 ms.
    pub fn dual(&self) -> usize {
        self.0.windows(2).filter(|pair| pair.iter().all(|(_, names)| names.len() > 1)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_owners_and_double_answers_are_counted() {
        let rounds = [(0, "a"), (10, "a"), (20, ""), (30, ""), (40, "b"), (50, "ab"), (60, "ba"), (70, "a")];
        let round = |(ms, names): (u64, &str)| (Duration::from_millis(ms), names.chars().map(String::from).collect());
        let answers = Answers(rounds.map(round).to_vec());
        assert_eq!(answers.owners(), ["a", "b", "a", "b", "a"]);
        assert_eq!(answers.gap(), Duration::from_millis(20));
        assert_eq!(answers.dual(), 1);
        assert!(Answers::default().gap() > Duration::from_secs(1000), "nobody ever answered");
    }
}
