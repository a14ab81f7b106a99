//! Every state with every event.

use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Startup,
    Shutdown,
    Early,
    Due,
    Resigned,
    Lower,
    EqualLowerAddress,
    EqualHigherAddress,
    Higher,
}
use Event::*;

const EVENTS: [Event; 9] =
    [Startup, Shutdown, Early, Due, Resigned, Lower, EqualLowerAddress, EqualHigherAddress, Higher];

/// Applies an event at 1000 ms to a machine that was made at 0; its adverts are due every second,
/// its down timer at 3609.375 ms.
fn apply(machine: &mut Router, event: Event) -> Verdict {
    let at = ms(500);
    match event {
        Startup => machine.startup(at),
        Shutdown => {
            machine.shutdown();
            Verdict::Stay
        }
        Early => machine.timeout(at),
        Due => machine.timeout(ms(3700)),
        Resigned => machine.receive(at, heard(0, LOWER), OWN),
        Lower => machine.receive(at, heard(99, HIGHER), OWN),
        EqualLowerAddress => machine.receive(at, heard(100, LOWER), OWN),
        EqualHigherAddress => machine.receive(at, heard(100, HIGHER), OWN),
        Higher => machine.receive(at, heard(101, LOWER), OWN),
    }
}

/// What becomes of the state, and of its timer in milliseconds after the machine was made.
#[derive(Clone, Copy, Debug, PartialEq)]
enum After {
    Initialize,
    /// With the down timer at so many microseconds.
    Backup(u64),
    /// With the advertisement timer at so many microseconds.
    Active(u64),
}

fn after(machine: &Router) -> After {
    match machine.state() {
        State::Initialize => After::Initialize,
        State::Backup { down_at } => After::Backup(down_at.as_nanos() / 1000),
        State::Active { advert_at } => After::Active(advert_at.as_nanos() / 1000),
    }
}

const YIELD: Verdict = Verdict::Yield("a router with a higher priority is active");
const CLAIM: Verdict = Verdict::Claim("no advertisement for the whole down interval");

fn check_table(version: Version, start: fn(Version, Instant) -> Router, table: &[(Event, Verdict, After)]) {
    assert_eq!(table.iter().map(|(event, ..)| *event).collect::<Vec<_>>(), EVENTS, "every event once");
    for (event, verdict, expected) in table {
        let mut machine = start(version, Instant::default());
        assert_eq!(apply(&mut machine, *event), *verdict, "{version:?} {event:?}");
        assert_eq!(after(&machine), *expected, "{version:?} {event:?}");
    }
}

/// Section 6.4.1: nothing but Startup is looked at.
#[test]
fn initialize() {
    let table: Vec<_> = EVENTS
        .iter()
        .map(|e| {
            (*e, Verdict::Stay, if *e == Startup { After::Backup(500_000 + 3_609_375) } else { After::Initialize })
        })
        .collect();
    for version in [Version::V2, Version::V3] {
        check_table(version, |v, _| machine(v), &table);
    }
}

/// Section 6.4.2. With equal intervals of one second both versions do the same.
#[test]
fn backup_with_preemption() {
    for version in [Version::V2, Version::V3] {
        check_table(
            version,
            backup,
            &[
                (Startup, Verdict::Stay, After::Backup(4_109_375)),
                (Shutdown, Verdict::Stay, After::Initialize),
                (Early, Verdict::Stay, After::Backup(3_609_375)),
                (Due, CLAIM, After::Backup(3_700_000 + 3_609_375)),
                // The skew alone.
                (Resigned, Verdict::Stay, After::Backup(500_000 + 609_375)),
                (Lower, Verdict::Stay, After::Backup(3_609_375)),
                (EqualLowerAddress, Verdict::Defer, After::Backup(4_109_375)),
                (EqualHigherAddress, Verdict::Defer, After::Backup(4_109_375)),
                (Higher, Verdict::Defer, After::Backup(4_109_375)),
            ],
        );
    }
}

#[test]
fn backup_without_preemption_respects_a_lower_router() {
    for version in [Version::V2, Version::V3] {
        let mut machine = Router::new(&VirtualRouter { version, preempt: false, ..router(100) });
        machine.startup(ms(0));
        assert_eq!(machine.receive(ms(500), heard(1, LOWER), OWN), Verdict::Defer);
        assert_eq!(after(&machine), After::Backup(4_109_375));
        assert_eq!(machine.receive(ms(600), heard(0, LOWER), OWN), Verdict::Stay, "giving up is always heeded");
        assert_eq!(after(&machine), After::Backup(600_000 + 609_375));
    }
}

/// Section 6.4.3. A worthier router ends it; the address decides between equals, as an unsigned
/// number; everything else is answered at once, off the grid.
#[test]
fn active_router() {
    for version in [Version::V2, Version::V3] {
        check_table(
            version,
            active,
            &[
                (Startup, Verdict::Stay, After::Backup(4_109_375)),
                (Shutdown, Verdict::Stay, After::Initialize),
                (Early, Verdict::Stay, After::Active(1_000_000)),
                (Due, Verdict::Advertise, After::Active(4_700_000)),
                (Resigned, Verdict::Advertise, After::Active(1_500_000)),
                (Lower, Verdict::Advertise, After::Active(1_000_000)),
                (EqualLowerAddress, Verdict::Advertise, After::Active(1_000_000)),
                (EqualHigherAddress, YIELD, After::Active(1_000_000)),
                (Higher, YIELD, After::Active(1_000_000)),
            ],
        );
    }
}

#[test]
fn between_equals_addresses_compare_as_unsigned() {
    let low = IpAddr::from([10, 0, 0, 1]);
    let high = IpAddr::from([200, 0, 0, 1]);
    let mut machine = active(Version::V3, ms(0));
    assert_eq!(machine.receive(ms(1), heard(100, high), low), YIELD);
    let mut machine = active(Version::V3, ms(0));
    assert_eq!(machine.receive(ms(1), heard(100, low), high), Verdict::Advertise);
}

#[test]
fn the_address_owner_claims_at_once() {
    let mut machine = Router::new(&router(OWNER_PRIORITY));
    assert_eq!(machine.startup(ms(0)), Verdict::Claim("owner of the addresses started"));
    assert!(machine.is_backup(), "until the claim is granted");
}

#[test]
fn an_active_owner_yields_only_to_another_owner_with_a_higher_address() {
    let mut machine = Router::new(&router(OWNER_PRIORITY));
    machine.startup(ms(0));
    machine.activate(ms(0));
    assert_eq!(machine.receive(ms(1), heard(254, HIGHER), OWN), Verdict::Advertise);
    assert_eq!(machine.receive(ms(1), heard(255, LOWER), OWN), Verdict::Advertise);
    assert_eq!(machine.receive(ms(1), heard(255, HIGHER), OWN), YIELD);
}

#[test]
fn after_it_yields_the_whole_down_interval_passes() {
    let mut machine = active(Version::V3, ms(0));
    let slow = Heard { interval: Duration::from_secs(2), ..heard(200, LOWER) };
    assert_eq!(machine.receive(ms(100), slow, OWN), YIELD);
    machine.back_up(ms(100));
    // 3 x 2 s and a skew of 2 s x 156/256, both after the new active router's interval.
    assert_eq!(after(&machine), After::Backup(100_000 + 6_000_000 + 1_218_750));
}

#[test]
fn a_claim_says_what_was_heard() {
    let claim = |adverts: &[u8]| {
        let mut machine = backup(Version::V3, Instant::default());
        for priority in adverts {
            machine.receive(ms(500), heard(*priority, LOWER), OWN);
        }
        let due = machine.deadline().unwrap();
        let first = machine.timeout(due);
        assert_eq!(machine.timeout(machine.deadline().unwrap()), CLAIM, "nothing was heard since");
        first
    };
    assert_eq!(claim(&[0]), Verdict::Claim("the active router resigned"));
    assert_eq!(claim(&[99]), Verdict::Claim("the active router's priority is lower"));
    assert_eq!(claim(&[99, 0]), Verdict::Claim("the active router resigned"));
    assert_eq!(claim(&[99, 200]), CLAIM, "the last one is worthier, and silent since");
}

/// keepalived: `state BACKUP` with priority 255.
#[test]
fn an_owner_that_begins_as_a_backup_waits() {
    let config = VirtualRouter { initial_active: false, ..router(OWNER_PRIORITY) };
    let mut machine = Router::new(&config);
    assert_eq!(machine.startup(ms(0)), Verdict::Stay);
    let down = machine.deadline().unwrap();
    assert_eq!(machine.timeout(down), Verdict::Claim("no advertisement for the whole down interval"));
}
