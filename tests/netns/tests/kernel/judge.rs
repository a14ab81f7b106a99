//! The judge is proven on keepalived, whose behaviour is known: it sees a clean failover, it sees two owners, and it
//! does not see what is not there.

use std::time::Duration;

use anyhow::Result;
use mesh_lab::cluster::Daemon;
use mesh_lab::{CLIENT, Fault, Judge, Lab, Lifetime, VIP, clock, web};
use mesh_netns::{FAULT_LASTS, NEXT, OWNER, Scenario, settled, trial};

const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn root_a_clean_failover_is_a_gap_and_not_two_owners() -> Result<()> {
    let _alone = Lab::alone()?;
    let mut cluster = settled(Daemon::Keepalived)?;

    let stop = trial(&mut cluster, Scenario::OrderlyStop)?;
    println!("orderly stop: {}", stop.whole);
    assert_eq!(stop.whole.owners(), [OWNER, NEXT, OWNER]);
    assert_eq!(stop.faulty.dual(), Duration::ZERO);
    // Priority 150 waits (256 - 150) / 256 s after the goodbye: RFC 3768 section 6.1, Skew_Time.
    assert!((MS(380)..MS(520)).contains(&stop.faulty.gap()), "{}", stop.faulty);
    assert!((MS(380)..MS(570)).contains(&stop.faulty.client_gap()), "{}", stop.faulty);

    let pulled = trial(&mut cluster, Scenario::CablePulled)?;
    println!("cable pulled: {}", pulled.whole);
    // 3 s and the skew after the last advert, which was up to a second before the fault.
    assert!((MS(2300)..MS(3700)).contains(&pulled.faulty.gap()), "{}", pulled.faulty);
    assert_eq!(pulled.faulty.dual(), Duration::ZERO);
    Ok(())
}

/// Two owners are seen for as long as they last.
fn two_owners(scenarios: [Scenario; 2]) -> Result<()> {
    let _turn = Lab::beside()?;
    let mut cluster = settled(Daemon::Keepalived)?;
    for scenario in scenarios {
        let outcome = trial(&mut cluster, scenario)?;
        println!("{}: fault: {}", scenario.title(), outcome.faulty);
        println!("{}: healed: {}", scenario.title(), outcome.healed);
        // From the takeover, at most 3.5 s after the fault, until the fault is healed.
        let expected = FAULT_LASTS - MS(3700);
        assert!(outcome.faulty.dual() > expected, "{}: {}", scenario.title(), outcome.faulty);
        assert!(outcome.faulty.served(OWNER).iter().any(|interval| interval.to - interval.from > MS(4800)));
        assert!(!outcome.faulty.served(NEXT).is_empty());
        assert!(outcome.faulty.gap() < MS(50), "the old owner answers all the time: {}", outcome.faulty);
    }
    Ok(())
}

#[test]
fn root_two_owners_where_the_daemon_does_not_let_go() -> Result<()> {
    two_owners([Scenario::Killed, Scenario::Frozen])
}

#[test]
fn root_two_owners_where_the_network_parts_them() -> Result<()> {
    two_owners([Scenario::VrrpFiltered, Scenario::CutFromAll])
}

#[test]
fn root_an_address_that_comes_and_goes_is_timed() -> Result<()> {
    let _alone = Lab::alone()?;
    let mut lab = Lab::new(Lifetime::Lab)?;
    let address = format!("{VIP}/24");
    let set = |lab: &Lab, host: &str, verb: &str| {
        lab.host(host).run(&["ip", "addr", verb, &address, "dev", "eth0"]).map(|_| clock::now())
    };
    set(&lab, "lb1", "add")?;
    let judge = Judge::start(&lab)?;
    clock::pass(MS(300))?;
    let both = set(&lab, "lb3", "add")?;
    clock::pass(MS(700))?;
    let one = set(&lab, "lb1", "del")?;
    clock::pass(MS(300))?;
    let none = set(&lab, "lb3", "del")?;
    clock::pass(MS(400))?;
    let again = set(&lab, "lb2", "add")?;
    clock::pass(MS(300))?;
    // Where the fault is one-way towards directors, the judge still reaches both.
    lab.inject(Fault::Mute("lb2".into()))?;
    clock::pass(MS(200))?;
    let seen = judge.finish()?;
    println!("{seen}");
    assert_eq!(seen.owners(), ["lb1", "lb3", "lb2"]);
    close(seen.dual(), one - both);
    close(seen.gap(), again - none);
    assert!(seen.late() < MS(50), "late by {:?}", seen.late());
    assert!(seen.share_later_than(MS(20)) < 0.01, "{seen}");
    Ok(())
}

// The commands that change an address take some milliseconds themselves.
fn close(seen: Duration, done: Duration) {
    assert!(seen.abs_diff(done) < MS(40), "seen {seen:?}, done {done:?}");
}

#[test]
fn root_the_client_reaches_the_web_server_through_the_vip() -> Result<()> {
    let _alone = Lab::alone()?;
    let lab = Lab::new(Lifetime::Lab)?;
    lab.host("lb2").run(&["ip", "addr", "add", &format!("{VIP}/24"), "dev", "eth0"])?;
    let server = lab.host("lb2").clone();
    std::thread::spawn(move || server.enter().and_then(|()| web::serve("lb2")));
    let answer =
        clock::wait_for("the web server answers", Duration::from_secs(5), || Ok(web::get(lab.host(CLIENT), VIP).ok()))?;
    assert_eq!(answer, "lb2");
    Ok(())
}
