//! A BFD control packet: any bytes are refused, or mean the same once written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_wire::bfd::{Control, LENGTH};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(control) = Control::parse(bytes) {
        let emitted = control.emit();
        assert_eq!(Control::parse(&emitted), Ok(control));
        assert_eq!((&emitted[..3], &emitted[4..]), (&bytes[..3], &bytes[4..LENGTH]));
    }
});
