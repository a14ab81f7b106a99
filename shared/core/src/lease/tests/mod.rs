//! One test for each rule of a voter and of a ballot, and random sequences.

mod ballot;
mod memory;
mod pace;
mod random;
mod voter;

use mesh_wire::mesh::NodeId;

use super::*;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

#[test]
fn constants_fit_each_other() {
    assert_eq!(worth(Duration::from_secs(1)), Duration::from_millis(996), "1 - 2 x 0.2 %");
    assert_eq!(QUARANTINE, Duration::from_millis(3062), "longest lease x (1 + 2 x 0.2 %) + 50 ms");
    assert!(worth(FIRST_LEASE) > CLAIM_TIMEOUT + GUARD, "a claim granted at the last moment still serves");
}

#[test]
fn lease_durations() {
    let of = |setting| {
        [10, 100, 200, 330, 334, 1000, 40_950].map(|ms| lease_time(setting, Duration::from_millis(ms)).as_millis())
    };
    assert_eq!(of(LeaseTime::Compat), [300, 300, 600, 990, 1002, 3000, 3000]);
    assert_eq!(of(LeaseTime::Fast), [300, 300, 600, 990, 1000, 1000, 1000]);
    assert_eq!(of(LeaseTime::Aggressive), [300, 300, 500, 500, 500, 500, 500]);
    assert_eq!(of(LeaseTime::Fixed(Duration::from_millis(700))), [700; 7]);
    assert_eq!(of(LeaseTime::default()), of(LeaseTime::Fast));
    let renewed = [500, 1000, 3000].map(|ms| renew_period(Duration::from_millis(ms)).as_millis());
    assert_eq!(renewed, [125, 250, 750]);
}
