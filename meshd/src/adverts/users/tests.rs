use super::*;

/// A frame to a MAC address ending in `to`, from one ending in 9.
fn frame(kind: [u8; 2], target_at: usize, target: IpAddr) -> Vec<u8> {
    let target = match target {
        IpAddr::V4(target) => target.octets().to_vec(),
        IpAddr::V6(target) => target.octets().to_vec(),
    };
    let mut frame = vec![0; 60];
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
    frame[12..14].copy_from_slice(&kind);
    frame[target_at..target_at + target.len()].copy_from_slice(&target);
    frame
}

/// What a filter makes of a frame: an interpreter of the five kinds of steps it is made of.
fn passes(wanted: &[IpAddr], frame: &[u8], kind: u32, interface: u32) -> bool {
    let program = filter(&wanted.iter().copied().collect());
    let (mut at, mut value) = (0, 0);
    loop {
        let (code, yes, no, k) = program[at];
        let bytes = |from: usize, count: usize| frame[from..from + count].iter().fold(0, |v, b| v << 8 | u32::from(*b));
        at += 1;
        match code {
            0x20 if k == 0xffff_f004 => value = kind,
            0x20 if k == 0xffff_f008 => value = interface,
            0x20 => value = bytes(k as usize, 4),
            0x28 => value = bytes(k as usize, 2),
            0x15 => at += usize::from(if value == k { yes } else { no }),
            0x05 => at += k as usize,
            0x06 => return k > 0,
            other => panic!("no such step: {other:#x}"),
        }
    }
}

#[test]
fn packets_and_arp_for_the_addresses_to_this_host_pass_and_nothing_else() {
    let all: Vec<IpAddr> = (1..=MOST as u8).map(|n| Ipv4Addr::new(10, 0, 0, n).into()).collect();
    let other = IpAddr::from([10, 0, 0, 200]);
    for wanted in [&all[..1], &all[..2], &all[..]] {
        for address in wanted {
            assert!(passes(wanted, &frame([8, 0], 30, *address), 0, 2), "{address}");
            assert!(passes(wanted, &frame([8, 6], 38, *address), 0, 2), "{address}");
        }
        let first = wanted[0];
        assert!(!passes(wanted, &frame([8, 0], 30, other), 0, 2));
        assert!(!passes(wanted, &frame([8, 6], 38, other), 0, 2));
        assert!(!passes(wanted, &frame([8, 0], 38, first), 0, 2), "of IPv4 only the destination counts");
        assert!(!passes(wanted, &frame([0x86, 0xdd], 30, first), 0, 2));
        assert!(!passes(wanted, &frame([8, 0], 30, first), 1, 2), "broadcast shows nothing");
        assert!(!passes(wanted, &frame([8, 0], 30, first), 3, 2), "another host's");
        assert!(!passes(wanted, &frame([8, 0], 30, first), 0, LOOPBACK));
    }
}

#[test]
fn packets_of_ipv6_pass_too() {
    let all: Vec<IpAddr> =
        (1..=MOST as u16).map(|n| if n % 2 == 0 { IpAddr::from([10, 0, 0, n as u8]) } else { v6(n) }).collect();
    const IPV6: [u8; 2] = [0x86, 0xdd];
    for wanted in [&all[..1], &all[..2], &all[..]] {
        for address in wanted {
            let (kind, at) = if address.is_ipv6() { (IPV6, 38) } else { ([8, 0], 30) };
            assert!(passes(wanted, &frame(kind, at, *address), 0, 2), "{address}");
            assert!(!passes(wanted, &frame(kind, at, *address), 2, 2), "multicast shows nothing");
        }
        assert!(!passes(wanted, &frame(IPV6, 38, v6(200)), 0, 2));
        assert!(!passes(wanted, &frame(IPV6, 22, wanted[0]), 0, 2), "the source is not who it is for");
    }
    assert_eq!(user(&frame(IPV6, 38, v6(1))), Some(User { address: v6(1), mac: [2, 0, 0, 0, 0, 9] }));
    assert_eq!(user(&frame(IPV6, 38, v6(1))[..53]), None);
}

fn v6(n: u16) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n).into()
}

#[test]
fn the_sender_is_the_user() {
    let address = IpAddr::from([10, 0, 0, 1]);
    let expected = Some(User { address, mac: [2, 0, 0, 0, 0, 9] });
    assert_eq!(user(&frame([8, 0], 30, address)), expected);
    assert_eq!(user(&frame([8, 6], 38, address)), expected);
    assert_eq!(user(&frame([0x88, 0xcc], 30, address)), None);
    assert_eq!(user(&frame([8, 0], 30, address)[..33]), None);
}
