//! Any bytes as an advert, as one behind an authentication header, and as a signed one. The first bytes choose
//! the addresses; a second look has checksum, digest and signature right, so that what follows is reached.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use mesh_wire::vrrp::header::{self, Around};
use mesh_wire::vrrp::signature::{self, Signature};
use mesh_wire::vrrp::{self, ChecksumForm};

const KEY: [u8; 8] = *b"secret\0\0";
const PEER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

fuzz_target!(|data: &[u8]| {
    let Some((&[kind, a, b, ttl], packet)) = data.split_first_chunk::<4>() else { return };
    let v4 = Ipv4Addr::new(10, 77, a, b);
    let (source, destination): (IpAddr, IpAddr) = match kind % 3 {
        0 => (v4.into(), vrrp::GROUP.into()),
        1 => (v4.into(), PEER.into()),
        _ => (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, a.into(), b.into()).into(), vrrp::GROUP_V6.into()),
    };
    any(packet, source, destination);

    // The same with its checksum right in one of the forms it may have.
    let mut summed = packet.to_vec();
    if let Some(sum) = summed.get_mut(6..8) {
        sum.fill(0);
        let words = summed.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0)));
        let sum = words.fold(0, |sum, word| (sum + word) % 0xffff);
        summed[6..8].copy_from_slice(&(!(sum as u16)).to_be_bytes());
        any(&summed, source, destination);
    }

    let around = Around { source: v4, destination: vrrp::GROUP, ttl, identification: u16::from_be_bytes([a, b]) };
    let _ = header::open(&KEY, &around, packet);
    if packet.len() < 60_000 {
        let sealed = header::seal(&KEY, &around, u32::from(ttl), packet);
        assert_eq!(header::open(&KEY, &around, &sealed), Ok((ttl.into(), packet)));
    }
});

/// What parses, parses again from what it is emitted as.
fn any(packet: &[u8], source: IpAddr, destination: IpAddr) {
    let _ = header::vrid(packet);
    let _ = signature::verify(packet, source, &KEY);
    let Ok(received) = vrrp::parse_signed(packet, source, destination) else { return };
    let advert = received.advertisement;
    let emitted = vrrp::emit(&advert, source, destination, received.form);
    let (again, _) = vrrp::parse(&emitted, source, destination).expect("what is emitted parses");
    assert_eq!(
        (again.vrid, again.priority, again.addresses.len()),
        (advert.vrid, advert.priority, advert.addresses.len())
    );
    let made = Signature { key: 1, sequence: 7 };
    let signed = signature::sign(&advert, source, destination, ChecksumForm::Message, (made, &KEY));
    assert!(signature::verify(&signed, source, &KEY));
    let found = vrrp::parse_signed(&signed, source, destination).expect("what is signed parses");
    assert_eq!(found.signature, Some(made));
}
