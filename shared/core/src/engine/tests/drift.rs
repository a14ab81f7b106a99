//! What is foreseen about adverts is what becomes of them.

use mesh_config::model::{AntiReplay, AuthHmac, HmacKey, HmacMode, OldUnicast, Password, Transport, Version};

use super::*;
use crate::drift::{Description, Loss, Sender, compare, foresee};
use crate::input::Datagram;

const SECOND: Duration = Duration::from_secs(1);

fn version_2(change: impl FnOnce(&mut VirtualRouter)) -> VirtualRouter {
    let mut router = VirtualRouter { version: Version::V2, ..router(200) };
    change(&mut router);
    router
}

fn version_3(change: impl FnOnce(&mut VirtualRouter)) -> VirtualRouter {
    let mut router = router(200);
    change(&mut router);
    router
}

fn signs(key: u8, text: &str, mode: HmacMode) -> VirtualRouter {
    let keys = [(key, HmacKey::read(&text.repeat(32)).unwrap())].into();
    let hmac = AuthHmac { keys, active: key, anti_replay: AntiReplay::Monotonic, mode };
    version_3(|r| r.auth_hmac = Some(hmac))
}

/// With these peers, version 3.
fn unicast(peers: &[NodeId], change: impl FnOnce(&mut VirtualRouter)) -> VirtualRouter {
    version_3(|r| {
        r.transport = Transport::Unicast { source: None, peers: peers.iter().map(|peer| source(*peer)).collect() };
        change(r);
    })
}

/// What lb1 sends, as it arrives at lb2; nothing where it sends nothing there.
fn sent(router: &VirtualRouter) -> Option<Input> {
    let mut engine = started(LB1, vec![router.clone()], None);
    let late = Instant::default() + Duration::from_secs(30);
    let mut actions = Vec::new();
    while actions.is_empty() && engine.work_due().is_some_and(|(at, _)| at < late) {
        let (at, _) = engine.work_due().unwrap();
        actions = engine.step(at, Input::Timeout);
        actions.retain(|a| {
            matches!(a, Action::SendAdvertisement { destination, .. }
            if destination.is_multicast() || *destination == source(LB2))
        });
    }
    let Action::SendAdvertisement { interface, source, destination, envelope, payload } = actions.into_iter().next()?
    else {
        unreachable!("others were sorted out")
    };
    let datagram = Datagram { interface, source, destination, ttl: envelope.ttl, payload };
    Some(match envelope.sealed {
        Some(identification) => Input::SealedAdvertisement { datagram, identification },
        None => Input::Advertisement(datagram),
    })
}

/// Why lb2 drops what lb1 sends.
fn dropped(from: &VirtualRouter, to: &VirtualRouter) -> Option<Result<(), String>> {
    let advert = sent(from)?;
    let mut engine = started(LB2, vec![to.clone()], None);
    let told = engine.step(ms(100), advert).into_iter().find_map(|action| match action {
        Action::Record(Decision::Dropped { reason, .. }) => Some(reason),
        _ => None,
    });
    Some(told.map_or(Ok(()), Err))
}

fn foreseen(from: &VirtualRouter, to: &VirtualRouter) -> Option<Loss> {
    let (sends, takes) = (config(vec![from.clone()]), config(vec![to.clone()]));
    let (here, there) = (sends.settings(), takes.settings());
    let told = Description { settings: there.clone(), secrets: takes.secrets([7; 32]) };
    let compared = compare("lb2", (&here, &sends.secrets([7; 32])), &told);
    let side = |name, of: &'_ mesh_config::settings::Settings| (name, of.subjects["4.51"].adverts.clone().unwrap());
    let ((from, sends), (to, takes)) = (side("lb1", &here), side("lb2", &there));
    let from = Sender { name: from, adverts: &sends, source: Some(source(LB1)) };
    let to = Sender { name: to, adverts: &takes, source: Some(source(LB2)) };
    foresee(from, to, &compared.routers["4.51"].keys)
}

#[test]
fn what_is_foreseen_is_what_happens() {
    let password = |text: &[u8]| Some(Password::new(text));
    let all = [
        version_2(|_| ()),
        version_2(|r| r.advert_interval = 2 * SECOND),
        version_2(|r| r.auth_pass = password(b"a")),
        version_2(|r| r.auth_pass = password(b"b")),
        version_2(|r| (r.auth_pass, r.auth_header) = (password(b"a"), true)),
        version_2(|r| (r.auth_pass, r.auth_header) = (password(b"b"), true)),
        version_2(|r| r.conduct.group = Some("224.0.0.20".parse().unwrap())),
        version_2(|r| r.addresses.clear()),
        version_2(|r| r.addresses.push(vip("10.1.1.81/24"))),
        version_3(|_| ()),
        version_3(|r| r.advert_interval = 2 * SECOND),
        version_3(|r| r.conduct.checksum = mesh_config::model::ChecksumChoice::Message),
        signs(1, "a", HmacMode::Enforce),
        signs(1, "b", HmacMode::Enforce),
        signs(2, "a", HmacMode::Enforce),
        signs(1, "a", HmacMode::Permissive),
        signs(1, "a", HmacMode::ReceiveOnly),
        unicast(&[LB1, LB2], |_| ()),
        unicast(&[LB3], |_| ()),
        unicast(&[LB3], |r| r.conduct.check_source = true),
        unicast(&[LB1, LB2], |r| r.conduct.unicast_ttl = 9),
        unicast(&[LB1, LB2], |r| r.conduct.peer_ttls.extend([(source(LB1), 250..=255)])),
        unicast(&[LB1, LB2], |r| r.conduct.old_unicast_checksum = OldUnicast::Always),
        unicast(&[LB1, LB2], |r| r.conduct.old_unicast_checksum = OldUnicast::Never),
    ];
    let (mut lost, mut wrong) = (0, Vec::new());
    for (nth, from) in all.iter().enumerate() {
        for (other, to) in all.iter().enumerate() {
            let (foreseen, dropped) = (foreseen(from, to), dropped(from, to));
            let right = matches!(
                (&foreseen, &dropped),
                (None, Some(Ok(()))) | (Some(Loss::Dropped(_)), Some(Err(_))) | (Some(Loss::NotSent(_)), None)
            );
            lost += usize::from(foreseen.is_some());
            if !right {
                wrong.push(format!("{nth} to {other}: {foreseen:?}, but {dropped:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(lost > all.len() && lost < all.len() * all.len(), "{lost}");
}

#[test]
fn a_sender_that_is_no_peer_is_heard_and_told_of() {
    let advert = sent(&unicast(&[LB2], |_| ())).unwrap();
    let mut engine = started(LB2, vec![unicast(&[LB3], |_| ())], None);
    let mut told = |millis| {
        let warning = |action| match action {
            Action::Record(Decision::Warning { text }) => Some(text),
            _ => None,
        };
        engine.step(ms(millis), advert.clone()).into_iter().filter_map(warning).collect::<Vec<_>>()
    };
    let taken = "it is no unicast peer, and its adverts are taken; `check_unicast_src` drops them";
    assert_eq!(told(100), [format!("10.1.1.11: VI_1: {taken}")]);
    assert_eq!(told(1100), Vec::<String>::new(), "at a bounded rate");
    assert_eq!(engine.instances[&KEY].heard.map(|heard| heard.source), Some(source(LB1)));
}

#[test]
fn what_is_foreseen_names_both_values() {
    let because = |from: &VirtualRouter, to: &VirtualRouter| match foreseen(from, to).unwrap() {
        Loss::Dropped(why) | Loss::NotSent(why) => why,
    };
    let plain = version_2(|_| ());
    let slow = version_2(|r| r.advert_interval = 2 * SECOND);
    assert_eq!(because(&plain, &slow), "advert_int 1 s at lb1, 2 s at lb2");
    let (one, other) = (
        version_2(|r| r.auth_pass = Some(Password::new(b"secret"))),
        version_2(|r| r.auth_pass = Some(Password::new(b"other"))),
    );
    assert_eq!(because(&one, &other), "auth_pass differs");
    assert_eq!(because(&one, &plain), "auth_type PASS at lb1, none at lb2");
    let (signed, third) = (signs(1, "a", HmacMode::Enforce), version_3(|_| ()));
    assert_eq!(because(&third, &plain), "version 3 at lb1, 2 at lb2");
    assert_eq!(because(&third, &signed), "they are not signed, and lb2 takes no others");
    assert_eq!(because(&signed, &third), "they are signed, and lb2 has no auth_hmac");
    assert_eq!(
        because(&signs(2, "a", HmacMode::Enforce), &signed),
        "they are signed with key 2, which lb2 does not have"
    );
    let peers = unicast(&[LB2], |_| ());
    let checks = unicast(&[LB3], |r| r.conduct.check_source = true);
    assert_eq!(because(&peers, &checks), "10.1.1.11 is no unicast_peer at lb2");
    assert_eq!(because(&unicast(&[LB3], |_| ()), &peers), "10.1.1.12 is no unicast_peer at lb1");
}
