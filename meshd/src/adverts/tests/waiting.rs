//! What a late step finds in the sockets.

use super::*;

/// Takes what waits until so many are there: the kernel may be late itself.
fn take(adverts: &mut Adverts, wanted: usize) -> (Vec<Input>, bool) {
    let (mut all, mut complete) = adverts.waiting();
    let begin = crate::clock::now();
    while all.len() < wanted && crate::clock::now().since(begin) < LIMIT {
        let (more, complete_too) = adverts.waiting();
        all.extend(more);
        complete &= complete_too;
    }
    (all, complete)
}

#[test]
fn root_what_waits_is_taken_before_the_runtime_knows_of_it() {
    Lab::run(async |lab| {
        let (mut here, there) = lab.adverts();
        assert_eq!(here.waiting(), (Vec::new(), true));
        // More than the runtime lets a task read in one turn.
        for n in 0..250 {
            there.send("r0", THERE, GROUP, Envelope::default(), &[n; 20]).unwrap();
        }
        let (all, complete) = take(&mut here, 250);
        assert!(complete, "nothing was lost");
        assert_eq!(all.len(), 250);
        for (n, input) in (0..250).zip(all) {
            assert!(matches!(input, Input::Advertisement(d) if d.payload == [n; 20] && d.interface == "l0"), "{n}");
        }
        there.send("r0", THERE, GROUP, Envelope::default(), b"next").unwrap();
        assert_eq!(next(&mut here).await.payload, b"next", "the runtime goes on as ever");
    });
}

#[test]
fn root_what_did_not_fit_is_known_to_be_missing_and_asked_for_once() {
    Lab::run(async |lab| {
        let (mut here, there) = lab.adverts();
        for _ in 0..4000 {
            there.send("r0", THERE, GROUP, Envelope::default(), &[0; 1036]).unwrap();
        }
        let (all, complete) = take(&mut here, 200);
        assert!(!complete && (200..4000).contains(&all.len()), "{} {complete}", all.len());
        assert!(!here.lost_any());
        assert_eq!(here.waiting(), (Vec::new(), true));
    });
}
