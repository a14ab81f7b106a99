//! The number in a file.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc::O_NONBLOCK;

/// More than any number has.
const ROOM: u64 = 64;

/// The number in a file; why there is none, where there is a file.
pub(super) fn read(path: &Path) -> Result<Option<i64>, String> {
    // Opening a FIFO would wait for somebody to write to it.
    let file = match OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error.to_string()),
    };
    if !file.metadata().map_err(|error| error.to_string())?.is_file() {
        return Err("it is no plain file".to_owned());
    }
    let mut text = Vec::new();
    file.take(ROOM).read_to_end(&mut text).map_err(|error| error.to_string())?;
    parse(&text).map(Some).ok_or_else(|| "there is no number in it".to_owned())
}

/// As strtol(3) with base 0: blanks, a sign, `0x` or `0` or neither, digits.
pub(super) fn parse(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii_start();
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (radix, digits) = match text {
        [b'0', b'x' | b'X', rest @ ..] if rest.first().is_some_and(u8::is_ascii_hexdigit) => (16, rest),
        [b'0', ..] => (8, text),
        _ => (10, text),
    };
    let mut number: Option<i64> = None;
    for digit in digits.iter().map_while(|byte| char::from(*byte).to_digit(radix)) {
        let digit = if negative { -i64::from(digit) } else { i64::from(digit) };
        number = Some(number.unwrap_or(0).checked_mul(i64::from(radix))?.checked_add(digit)?);
    }
    number
}
