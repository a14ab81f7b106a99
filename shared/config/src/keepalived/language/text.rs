//! Bytes to text, and where its comments start.

/// UTF-8, or bytes of any kind in comments, where they are replaced. The error is the line and the
/// column, from 1, of the first byte elsewhere that is no text.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<String, (usize, usize)> {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error.into_bytes(),
    };
    for (line, number) in bytes.split(|b| *b == b'\n').zip(1..) {
        let Err(error) = std::str::from_utf8(line) else { continue };
        let good = std::str::from_utf8(&line[..error.valid_up_to()]).unwrap_or_default();
        if code(good).len() == good.len() {
            return Err((number, good.chars().count() + 1));
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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
