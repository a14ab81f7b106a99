use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// Two hosts, and what the network between them does.
struct Pair {
    hosts: [Sessions; 2],
    now: Instant,
    /// When, to whom, what.
    flying: Vec<(Instant, usize, Vec<u8>)>,
    /// Who is heard.
    open: [bool; 2],
    /// Parts of a thousand that are lost.
    loss: u32,
    rng: StdRng,
    /// When each host told what.
    news: Vec<(Instant, usize, bool)>,
    sent: [u64; 2],
}

impl Pair {
    fn new(seed: u64, settings: [BfdInstance; 2]) -> Pair {
        let mut pair = Pair {
            hosts: [Sessions::new(seed, Duration::ZERO), Sessions::new(seed + 1, Duration::ZERO)],
            now: at(0),
            flying: Vec::new(),
            open: [true; 2],
            loss: 0,
            rng: StdRng::seed_from_u64(seed),
            news: Vec::new(),
            sent: [0; 2],
        };
        for (host, instance) in settings.into_iter().enumerate() {
            pair.give(host, Input::Configure(vec![instance]));
        }
        pair
    }

    fn give(&mut self, host: usize, input: Input) {
        for action in self.hosts[host].step(self.now, input) {
            match action {
                Action::Send { payload, .. } => {
                    self.sent[host] += 1;
                    let arrives = self.rng.random_range(0..1000) >= self.loss;
                    if self.open[host] && arrives {
                        self.flying.push((self.now + MS(1), 1 - host, payload.to_vec()));
                    }
                }
                Action::Told(told) => self.news.extend(told.routers.get("peer").map(|up| (self.now, host, *up))),
                Action::Open(_) | Action::Close { .. } | Action::Record(_) => {}
            }
        }
    }

    fn until(&mut self, end: Instant) {
        loop {
            let arrival = self.flying.iter().map(|(at, ..)| *at).min();
            let timers = self.hosts.iter().filter_map(Sessions::deadline).min();
            let Some(next) = arrival.into_iter().chain(timers).min().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if let Some(i) = self.flying.iter().position(|(at, ..)| *at <= self.now) {
                let (_, to, payload) = self.flying.remove(i);
                let source = ip(if to == 0 { 2 } else { 1 });
                let datagram = Datagram { interface: "eth0".to_owned(), source, ttl: 255, multihop: false, payload };
                self.give(to, Input::Received(datagram));
                continue;
            }
            for host in 0..2 {
                if self.hosts[host].deadline().is_some_and(|due| due <= self.now) {
                    self.give(host, Input::Timeout);
                }
            }
        }
        self.now = end;
    }

    fn states(&self) -> [String; 2] {
        [0, 1].map(|host| self.hosts[host].status()[0].state.clone())
    }
}

fn both(settings: impl Fn(BfdInstance) -> BfdInstance) -> [BfdInstance; 2] {
    [2, 1].map(|neighbour| settings(BfdInstance::new("peer", ip(neighbour))))
}

#[test]
fn come_up_in_moments_and_stay() {
    for seed in 0..50 {
        let mut pair = Pair::new(seed, both(|i| i));
        pair.until(at(250));
        assert_eq!(pair.states(), ["up", "up"], "seed {seed}");
        let before = pair.sent;
        pair.until(at(60_250));
        assert_eq!(pair.news.len(), 2, "seed {seed}: each told once: {:?}", pair.news);
        for (after, before) in pair.sent.iter().zip(before) {
            let rate = (after - before) / 60;
            assert!((100..=134).contains(&rate), "{rate} a second");
        }
    }
}

#[test]
fn a_cut_is_noticed_within_the_detection_time_and_heals() {
    for seed in 0..50 {
        for cut in [[false, false], [false, true], [true, false]] {
            let mut pair = Pair::new(seed, both(|i| BfdInstance { multiplier: 3, ..i }));
            pair.until(at(1000 + seed));
            pair.news.clear();
            pair.open = cut;
            let began = pair.now;
            pair.until(began + MS(200));
            // Whoever does not hear notices; the other one is told, or notices as well. 1 ms on the way.
            assert_eq!(pair.news.len(), 2, "seed {seed}, {cut:?}: {:?}", pair.news);
            for (at, host, up) in &pair.news {
                let took = at.since(began);
                assert!(!up && (MS(20)..=MS(33)).contains(&took), "seed {seed}, {cut:?}: host {host} after {took:?}");
            }
            assert!(pair.states().iter().all(|state| state != "up"), "seed {seed}, {cut:?}");
            pair.open = [true; 2];
            pair.until(began + MS(1500));
            assert_eq!(pair.states(), ["up", "up"], "seed {seed}, {cut:?}");
        }
    }
}

#[test]
fn an_operator_s_stop_is_known_at_once() {
    let mut pair = Pair::new(3, both(|i| i));
    pair.until(at(1000));
    pair.news.clear();
    pair.give(0, Input::Shutdown);
    pair.until(at(1002));
    assert_eq!(pair.news, [(at(1001), 1, false)]);
    assert_eq!(pair.hosts[1].status()[0].reason.as_deref(), Some("the neighbour holds the session down"));
}

#[test]
fn passive_hosts_wait_for_each_other_for_ever_and_one_of_them_does_not() {
    let mut pair = Pair::new(4, both(|i| BfdInstance { passive: true, ..i }));
    pair.until(at(60_000));
    assert_eq!((pair.states(), pair.sent), (["down".to_owned(), "down".to_owned()], [0, 0]));
    let [active, passive] = both(|i| i);
    let mut pair = Pair::new(4, [active, BfdInstance { passive: true, ..passive }]);
    pair.until(at(250));
    assert_eq!(pair.states(), ["up", "up"]);
}

/// Each side's own intervals, agreed upon as section 6.8.2 and 6.8.4 have it.
#[test]
fn intervals_are_negotiated_each_way() {
    let [one, other] = both(|i| i);
    let one = BfdInstance { min_tx: MS(20), min_rx: MS(100), multiplier: 4, ..one };
    let other = BfdInstance { min_tx: MS(50), min_rx: MS(30), multiplier: 2, ..other };
    let mut pair = Pair::new(5, [one, other]);
    pair.until(at(3000));
    let shown = |host: usize| {
        let status = pair.hosts[host].status().remove(0);
        (status.state, status.tx_interval_ms, status.detection_ms)
    };
    assert_eq!(shown(0), ("up".to_owned(), 30.0, 200.0));
    assert_eq!(shown(1), ("up".to_owned(), 100.0, 120.0));
}

#[test]
fn some_loss_is_survived_as_the_multiplier_says() {
    // One in fifty: five in a row are lost once in three hundred million packets.
    let mut pair = Pair::new(6, both(|i| i));
    pair.loss = 20;
    pair.until(at(100_000));
    assert_eq!(pair.states(), ["up", "up"]);
    assert_eq!(pair.news.len(), 2, "{:?}", pair.news);

    // Two of three: never for long, but it comes back again and again.
    let mut pair = Pair::new(7, both(|i| BfdInstance { multiplier: 2, ..i }));
    pair.loss = 667;
    pair.until(at(60_000));
    assert!(pair.news.iter().filter(|(_, host, up)| *host == 0 && *up).count() > 3, "{:?}", pair.news);
    pair.loss = 0;
    pair.until(at(63_000));
    assert_eq!(pair.states(), ["up", "up"]);
}
