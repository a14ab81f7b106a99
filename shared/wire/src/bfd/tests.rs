use super::*;
use proptest::prelude::*;

/// keepalived 2.2.7's first packet of a session that comes up, and tshark's reading of it.
#[rustfmt::skip]
const KEEPALIVED_UP: [u8; LENGTH] = [
    0x20, 0xe0, 5, 24,      // version 1, no diagnostic, Up and Poll
    0xf1, 0x39, 0x7f, 0xc7, // my discriminator
    0xf1, 0x39, 0x7f, 0xc7, // your discriminator
    0, 0, 0x27, 0x10,       // 10 ms
    0, 0, 0x27, 0x10,       // 10 ms
    0, 0, 0, 0,
];

fn up() -> Control {
    Control {
        diagnostic: Diagnostic::NONE,
        state: State::Up,
        poll: true,
        answers_poll: false,
        control_plane_independent: false,
        demand: false,
        detect_multiplier: NonZeroU8::new(5).unwrap(),
        my_discriminator: NonZeroU32::new(0xf139_7fc7).unwrap(),
        your_discriminator: NonZeroU32::new(0xf139_7fc7),
        desired_min_tx: 10_000,
        required_min_rx: 10_000,
        required_min_echo_rx: 0,
    }
}

#[test]
fn reads_and_writes_what_keepalived_does() {
    assert_eq!(Control::parse(&KEEPALIVED_UP), Ok(up()));
    assert_eq!(up().emit(), KEEPALIVED_UP);
}

#[test]
fn every_bit_has_its_field() {
    let read = |at: usize, value: u8| {
        let mut bytes = KEEPALIVED_UP;
        bytes[at] = value;
        Control::parse(&bytes)
    };
    let quiet = Control { poll: false, ..up() };
    assert_eq!(read(1, 0xc0), Ok(quiet));
    assert_eq!(read(1, 0xd0), Ok(Control { answers_poll: true, ..quiet }));
    assert_eq!(read(1, 0xc8), Ok(Control { control_plane_independent: true, ..quiet }));
    assert_eq!(read(1, 0xc2), Ok(Control { demand: true, ..quiet }));
    for (bits, state) in [(0x00, State::AdminDown), (0x40, State::Down), (0x80, State::Init)] {
        assert_eq!(read(1, bits), Ok(Control { state, ..quiet }));
    }
    assert_eq!(read(0, 0x21), Ok(Control { diagnostic: Diagnostic::EXPIRED, ..up() }));
    assert_eq!(read(0, 0x3f).map(|control| control.diagnostic.code()), Ok(31));
    assert_eq!(read(23, 9), Ok(Control { required_min_echo_rx: 9, ..up() }));
}

/// RFC 5880 section 6.8.6, one rule after the other.
#[test]
fn discards_what_the_rfc_says() {
    let with = |changes: &[(usize, u8)]| {
        let mut bytes = KEEPALIVED_UP.to_vec();
        for (at, value) in changes {
            bytes[*at] = *value;
        }
        bytes
    };
    let cases: &[(&[(usize, u8)], Malformed)] = &[
        (&[(0, 0x00)], Malformed::Version),
        (&[(0, 0x40)], Malformed::Version),
        (&[(3, 23)], Malformed::LengthTooSmall),
        (&[(3, 0)], Malformed::LengthTooSmall),
        (&[(1, 0xe4), (3, 25)], Malformed::LengthTooSmall),
        (&[(3, 25)], Malformed::LengthBeyond),
        (&[(1, 0xe4), (3, 26)], Malformed::LengthBeyond),
        (&[(2, 0)], Malformed::Multiplier),
        (&[(1, 0xe1)], Malformed::Multipoint),
        (&[(4, 0), (5, 0), (6, 0), (7, 0)], Malformed::MyDiscriminator),
        (&[(8, 0), (9, 0), (10, 0), (11, 0)], Malformed::YourDiscriminator),
        (&[(1, 0x80), (8, 0), (9, 0), (10, 0), (11, 0)], Malformed::YourDiscriminator),
        // The first rule counts.
        (&[(0, 0x00), (2, 0), (3, 0)], Malformed::Version),
        (&[(2, 0), (3, 0)], Malformed::LengthTooSmall),
        (&[(1, 0xe1), (2, 0)], Malformed::Multiplier),
    ];
    for (changes, expected) in cases {
        assert_eq!(Control::parse(&with(changes)), Err(*expected), "{changes:?}");
    }
    let mut authenticated = with(&[(1, 0xe4), (3, 26)]);
    authenticated.extend([1, 2]);
    assert_eq!(Control::parse(&authenticated), Err(Malformed::Authenticated));
    for length in 0..LENGTH {
        assert_eq!(Control::parse(&KEEPALIVED_UP[..length]), Err(Malformed::Short), "{length} bytes");
    }
    assert_eq!(Control::parse(&[0x40]), Err(Malformed::Version));
}

#[test]
fn knows_no_discriminator_of_ours_only_while_down() {
    for (bits, state) in [(0x00, State::AdminDown), (0x40, State::Down)] {
        let mut bytes = KEEPALIVED_UP;
        bytes[1] = bits;
        bytes[8..12].fill(0);
        let expected = Control { state, poll: false, your_discriminator: None, ..up() };
        assert_eq!(Control::parse(&bytes), Ok(expected));
    }
}

#[test]
fn what_follows_the_packet_is_passed_over() {
    let mut long = KEEPALIVED_UP.to_vec();
    long.extend([0xff; 200]);
    assert_eq!(Control::parse(&long), Ok(up()));
    long[3] = 224;
    assert_eq!(Control::parse(&long), Ok(up()));
    long[3] = 225;
    assert_eq!(Control::parse(&long), Err(Malformed::LengthBeyond));
}

#[test]
fn an_interval_is_whole_microseconds() {
    assert_eq!(micros(Duration::from_nanos(3_312_999)), 3_312);
    assert_eq!(micros(Duration::from_secs(4294)), 4_294_000_000);
    assert_eq!(micros(Duration::from_secs(4295)), u32::MAX);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_and_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(control) = Control::parse(&bytes) {
            let emitted = control.emit();
            prop_assert_eq!(Control::parse(&emitted), Ok(control));
            // Only the length can differ: what follows 24 bytes is not kept.
            prop_assert_eq!(&emitted[..3], &bytes[..3]);
            prop_assert_eq!(&emitted[4..], &bytes[4..LENGTH]);
        }
    }

    #[test]
    fn most_packets_with_sound_fields_are_read(
        mut bytes in any::<[u8; LENGTH]>(), flags in any::<u8>(), multiplier in 1..=u8::MAX,
    ) {
        (bytes[0], bytes[1], bytes[2], bytes[3]) = (0x20 | bytes[0] & 0x1f, flags & 0xfa, multiplier, 24);
        (bytes[4], bytes[8]) = (bytes[4] | 1, bytes[8] | 1);
        prop_assert_eq!(Control::parse(&bytes).map(|control| control.emit()), Ok(bytes));
    }
}
