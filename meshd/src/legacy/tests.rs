use std::os::unix::fs::PermissionsExt;

use mesh_core::Instant;
use mesh_wire::mesh::Family;
use mesh_wire::mesh::lease::Release;

use super::*;

const KEY: RouterKey = RouterKey { family: Family::Ipv4, vrid: 51, segment: 0 };

fn legacy(dir: &Path) -> Legacy {
    Legacy::new(dir, NodeId(1)).expect("/proc tells")
}

fn will() -> Will {
    Will {
        addresses: vec![("eth0".to_owned(), "10.1.1.80/24".parse().expect("a network"))],
        releases: vec![Release { router: KEY, epoch: 7, seq: Release::LAST, successor: None }],
        voters: vec![(NodeId(2), "10.1.1.12:7946".parse().expect("an address"))],
        ..Will::default()
    }
}

fn left() -> Vec<Adopted> {
    let addresses = vec![("eth0".to_owned(), "10.1.1.80".parse().expect("an address"))];
    vec![Adopted { router: KEY, epochs: Some((3, 7)), until: Instant::from_nanos(5), addresses, digest: 9 }]
}

#[test]
fn what_is_kept_is_read_by_its_owner_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let legacy = legacy(dir.path());
    assert!(legacy.will().expect("nothing is no error").is_none());
    legacy.keep_will(&Will::default()).expect("written");
    legacy.keep_will(&will()).expect("replaced");
    assert_eq!(legacy.will().expect("it is ours"), Some(will()));
    let mode = fs::metadata(dir.path().join(WILL.name)).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn nothing_is_adopted_twice() {
    let dir = tempfile::tempdir().expect("a directory");
    let legacy = legacy(dir.path());
    legacy.leave_behind(&left()).expect("written");
    assert_eq!(legacy.take_adopted(), left());
    assert_eq!(legacy.take_adopted(), []);

    legacy.leave_behind(&left()).expect("written");
    fs::write(dir.path().join(ADOPT.name), b"something else").expect("written");
    assert_eq!(legacy.take_adopted(), []);
    assert!(!dir.path().join(ADOPT.name).exists(), "also what cannot be read is gone");
}

#[test]
fn what_fell_is_known_to_every_run_of_this_node() {
    let dir = tempfile::tempdir().expect("a directory");
    let legacy = legacy(dir.path());
    assert_eq!(legacy.holds(), []);
    let mut damper = Damper::default();
    let settings = mesh_config::model::FlapDamping { falls: 1, ..Default::default() };
    for (second, seen) in [(1, Some(200)), (2, None), (3, Some(200))] {
        let now = Instant::from_nanos(second * 1_000_000_000);
        damper.see(now, &settings, seen, Some("eth1 has no link"), false);
    }
    assert!(damper.hold().is_some(), "it is held back");
    let resume = |damper: &Damper| damper.clone().resume(Instant::from_nanos(0), &settings);
    legacy.keep_holds(&[(KEY, damper.clone())]).expect("written");
    // What was seen is of its run alone.
    let read = || legacy.holds().iter().map(|(key, damper)| (*key, resume(damper))).collect::<Vec<_>>();
    let kept = vec![(KEY, resume(&damper))];
    assert_eq!((read(), read()), (kept.clone(), kept), "more than once");
    assert_eq!(Legacy::new(dir.path(), NodeId(2)).expect("/proc tells").holds(), []);
    fs::write(dir.path().join(HOLDS.name), b"something else").expect("written");
    assert_eq!(legacy.holds(), []);
}

#[test]
fn what_the_guard_acted_on_is_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let legacy = legacy(dir.path());
    for _ in 0..2 {
        Legacy::forget_adopted(dir.path()).expect("gone, or never there");
        Legacy::forget_will(dir.path()).expect("gone, or never there");
        assert_eq!(legacy.take_adopted(), []);
        assert!(legacy.will().expect("nothing is no error").is_none());
        legacy.keep_will(&will()).expect("written");
        legacy.leave_behind(&left()).expect("written");
    }
}

#[test]
fn another_boot_network_or_node_is_foreign() {
    let about = About { boot_id: "b".to_owned(), network: 1, node: NodeId(1) };
    let bytes = seal(ADOPT, &about, &left());
    assert_eq!(unseal::<Vec<Adopted>>(ADOPT, &about, &bytes).expect("it is the same"), left());
    for other in [
        About { boot_id: "c".to_owned(), ..about.clone() },
        About { network: 2, ..about.clone() },
        About { node: NodeId(2), ..about.clone() },
    ] {
        assert!(matches!(unseal::<Vec<Adopted>>(ADOPT, &other, &bytes), Err(Unusable::Foreign)), "{other:?}");
    }
}

#[test]
fn no_byte_can_be_flipped_or_missing() {
    let about = About { boot_id: "b".to_owned(), network: 1, node: NodeId(1) };
    let bytes = seal(ADOPT, &about, &left());
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        assert!(matches!(unseal::<Vec<Adopted>>(ADOPT, &about, &flipped), Err(Unusable::Damaged)), "flipped at {at}");
        assert!(matches!(unseal::<Vec<Adopted>>(ADOPT, &about, &bytes[..at]), Err(Unusable::Damaged)), "cut at {at}");
    }
    assert!(matches!(unseal::<Vec<Adopted>>(ADOPT, &about, &[bytes, vec![0]].concat()), Err(Unusable::Damaged)));
}

/// The checksum is right, the content is not what was asked for.
#[test]
fn a_will_is_no_adoption() {
    let about = About { boot_id: "b".to_owned(), network: 1, node: NodeId(1) };
    let bytes = seal(ADOPT, &about, &will());
    assert!(matches!(unseal::<Vec<Adopted>>(ADOPT, &about, &bytes), Err(Unusable::Damaged)));
}

#[test]
fn a_will_that_cannot_be_replaced_is_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let legacy = legacy(dir.path());
    legacy.keep_will(&will()).expect("written");
    fs::create_dir(dir.path().join("will.new")).expect("something in its way");
    assert!(legacy.keep_will(&Will::default()).is_err());
    assert_eq!(legacy.will().expect("nothing is no error"), None);
}

#[test]
fn what_a_server_has_to_put_back_is_kept_until_there_is_nothing() {
    use mesh_core::server::Device;
    use mesh_wire::mesh::gossip::{Forwarding, Protocol, Served};
    let dir = tempfile::tempdir().expect("a directory");
    let legacy = legacy(dir.path());
    assert_eq!(legacy.server().expect("nothing is no error"), Memory::default());
    let (vip, real) = ("10.1.1.80:80".parse().expect("a socket"), "[2001:db8::21]:80".parse().expect("a socket"));
    let served = Served {
        name: "web".to_owned(),
        endpoints: vec![vip],
        protocol: Protocol::Tcp,
        real_servers: [(real, Forwarding::Tun)].into(),
    };
    let memory = Memory {
        told: [(NodeId(2), vec![served])].into(),
        settings: [("net.ipv4.conf.all.arp_ignore".to_owned(), (0, 1))].into(),
        devices: [Device::Ip6tnl0].into(),
        addresses: [vip.ip()].into(),
    };
    legacy.keep_server(&memory).expect("written");
    assert_eq!(legacy.server().expect("it is ours"), memory);
    let other = Legacy::new(dir.path(), NodeId(9)).expect("/proc tells");
    assert!(matches!(other.server(), Err(Unusable::Foreign)), "another node's");
    legacy.keep_server(&Memory::default()).expect("removed");
    assert!(!dir.path().join(SERVER.name).exists());
    legacy.keep_server(&Memory::default()).expect("removed already");
}

/// A will of another version is not misread, and other files change without it.
#[test]
fn each_kind_has_a_version_of_its_own() {
    let about = About { boot_id: "b".to_owned(), network: 1, node: NodeId(1) };
    let next = Kind { version: WILL_VERSION + 1, ..WILL };
    let bytes = seal(next, &about, &will());
    assert_eq!(unseal::<Will>(next, &about, &bytes).expect("by who wrote it"), will());
    assert!(matches!(unseal::<Will>(WILL, &about, &bytes), Err(Unusable::Damaged)));
    assert_eq!(seal(WILL, &about, &will())[..8], *b"meshd\0w\x03");
}
