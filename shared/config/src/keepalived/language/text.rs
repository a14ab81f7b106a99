//! Bytes to text, and where its comments start.

use std::path::Path;

use crate::report::{Finding, Place, Severity, plural};

/// What bytes were read as.
pub(crate) struct Decoded {
    pub(crate) text: String,
    /// Line and column, from 1, of the first byte that is no UTF-8 and in no comment, and in how many further lines
    /// there are such.
    pub(crate) latin1: Option<(usize, usize, usize)>,
}

impl Decoded {
    /// What to say of it, at its first place.
    pub(crate) fn warning(&self, file: &Path) -> Option<Finding> {
        let (line, column, further) = self.latin1?;
        let further =
            if further > 0 { format!(", and so are {}", plural(further, "further line")) } else { String::new() };
        let message = format!("this is no UTF-8; it is read as Latin-1{further}");
        Some(Finding { place: Place { file: file.into(), line, column }, severity: Severity::Warning, message })
    }
}

/// Why bytes are no text: the line and the column, from 1, and what to say.
pub(crate) type Undecodable = (usize, usize, &'static str);

pub(crate) const NO_TEXT: &str = "this is no text; expected a configuration in UTF-8";
const NO_KEY: &str = "what is no UTF-8 would be other bytes in adverts; expected a password or a key in UTF-8";

/// UTF-8; bytes that are none are Latin-1, as in old files. Neither has control characters, so that what is no text
/// is found soon; a comment may have anything.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<Decoded, Undecodable> {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return Ok(Decoded { text, latin1: None }),
        Err(error) => error.into_bytes(),
    };
    let mut decoded = Decoded { text: String::with_capacity(bytes.len()), latin1: None };
    for (line, number) in bytes.split_inclusive(|b| *b == b'\n').zip(1..) {
        match std::str::from_utf8(line) {
            Ok(line) => decoded.text.push_str(line),
            Err(error) => decoded.line(number, line, error.valid_up_to())?,
        }
    }
    Ok(decoded)
}

impl Decoded {
    /// Adds a line of which the bytes from `bad` on are no UTF-8.
    fn line(&mut self, number: usize, line: &[u8], bad: usize) -> Result<(), Undecodable> {
        let mut read = String::with_capacity(line.len() + 8);
        for chunk in line.utf8_chunks() {
            read.push_str(chunk.valid());
            read.extend(chunk.invalid().iter().map(|byte| char::from(*byte)));
        }
        let code = code(&read);
        if bad < code.len() {
            let column = read[..bad].chars().count() + 1;
            if code.chars().any(|c| c.is_control() && !c.is_ascii_whitespace()) {
                return Err((number, column, NO_TEXT));
            }
            if code.split_whitespace().any(|word| matches!(word, "auth_pass" | "key")) {
                return Err((number, column, NO_KEY));
            }
            match &mut self.latin1 {
                Some((.., further)) => *further += 1,
                None => self.latin1 = Some((number, column, 0)),
            }
        }
        self.text.push_str(&read);
        Ok(())
    }
}

/// What stands before the comment of a line: `#` and `!` start one outside double quotes, unless
/// there is a `\` before it.
pub(super) fn code(line: &str) -> &str {
    let bytes = line.as_bytes();
    let mut quoted = false;
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' if matches!((quoted, bytes.get(i + 1)), (true, Some(b'"')) | (false, Some(b'#' | b'!'))) => i += 1,
            b'"' => quoted = !quoted,
            b'#' | b'!' if !quoted => return &line[..i],
            _ => {}
        }
        i += 1;
    }
    line
}

/// The first word of a line and the rest of it.
pub(super) fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()))
}

/// Blanks in place of everything before `rest`, which is the end of `line`: columns stay.
pub(super) fn blank_before(line: &str, rest: &str) -> String {
    let before = &line[..line.len() - rest.len()];
    let mut blanked = " ".repeat(before.chars().count());
    blanked.push_str(rest);
    blanked
}
