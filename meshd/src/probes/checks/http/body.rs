//! The body of an answer, piece by piece: where it ends, its digest, and as much of it as a regex sees.

use std::fmt::Write;

use httparse::{EMPTY_HEADER, Status};
use md5::{Digest, Md5};

use super::answer::Answer;

/// A regex sees this much.
pub(super) const MOST_KEPT: usize = 4 << 20;
/// Longer bodies are no answer to a health check.
pub(super) const MOST_BODY: u64 = 64 << 20;
/// Size of a chunk with its extensions; the trailers after the last one.
const MOST_LINE: usize = 16 << 10;

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After this many bytes.
    Length(u64),
    /// After the last chunk.
    Chunks,
    /// With the connection.
    Close,
}

/// A body being received.
#[derive(Debug)]
pub(super) struct Body {
    framing: Framing,
    received: u64,
    /// Of all bytes as they come.
    raw: Option<Md5>,
    /// Of what is in the chunks.
    inner: Option<Md5>,
    kept: Option<Vec<u8>>,
    cut: bool,
    chunk: Chunk,
    /// A line that is not complete yet.
    line: Vec<u8>,
}

/// Where in a chunk the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Size,
    Data(u64),
    /// The line end after the data.
    Gap,
    /// After the last one.
    Trailers,
}

impl Body {
    pub(super) fn new(framing: Framing, digest: bool, regex: bool) -> Body {
        Body {
            framing,
            received: 0,
            raw: digest.then(Md5::new),
            inner: (digest && framing == Framing::Chunks).then(Md5::new),
            kept: regex.then(Vec::new),
            cut: false,
            chunk: Chunk::Size,
            line: Vec::new(),
        }
    }

    /// The next bytes; whether the body is complete. What comes after its end is not looked at.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<bool, String> {
        let before = self.received;
        self.received += bytes.len() as u64;
        let done = match self.framing {
            Framing::Length(length) => {
                let left = usize::try_from(length.saturating_sub(before)).unwrap_or(usize::MAX);
                let bytes = &bytes[..bytes.len().min(left)];
                self.hash(bytes);
                self.keep(bytes);
                self.received >= length
            }
            Framing::Close => {
                self.hash(bytes);
                self.keep(bytes);
                false
            }
            Framing::Chunks => self.chunks(bytes)?,
        };
        if !done && self.received > MOST_BODY {
            return Err(format!("body of more than {} MiB", MOST_BODY >> 20));
        }
        Ok(done)
    }

    /// What was received until now.
    pub(super) fn end(self) -> Answer {
        let digests = self.raw.into_iter().chain(self.inner).map(|digest| hexadecimal(&digest.finalize())).collect();
        Answer { digests, kept: self.kept.unwrap_or_default(), cut: self.cut }
    }

    fn hash(&mut self, bytes: &[u8]) {
        if let Some(raw) = &mut self.raw {
            raw.update(bytes);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if let Some(kept) = &mut self.kept {
            let room = MOST_KEPT - kept.len();
            kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
            self.cut |= bytes.len() > room;
        }
    }

    fn chunks(&mut self, mut bytes: &[u8]) -> Result<bool, String> {
        while !bytes.is_empty() {
            if let Chunk::Data(left) = self.chunk {
                let here = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let (data, rest) = bytes.split_at(here);
                self.hash(data);
                if let Some(inner) = &mut self.inner {
                    inner.update(data);
                }
                self.keep(data);
                let left = left - here as u64;
                self.chunk = if left == 0 { Chunk::Gap } else { Chunk::Data(left) };
                bytes = rest;
                continue;
            }
            let pending = self.line.len();
            self.line.extend_from_slice(&bytes[..bytes.len().min(MOST_LINE)]);
            let Some((length, next)) = after_line(self.chunk, &self.line)? else {
                if self.line.len() >= MOST_LINE {
                    return Err("chunk header without end".to_owned());
                }
                self.hash(bytes);
                return Ok(false);
            };
            self.line.clear();
            let (line, rest) = bytes.split_at(length - pending);
            self.hash(line);
            bytes = rest;
            match next {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(true),
            }
        }
        Ok(false)
    }
}

/// Length of the complete line, or trailers, that `line` begins with, and what comes then; nothing at the end.
fn after_line(chunk: Chunk, line: &[u8]) -> Result<Option<(usize, Option<Chunk>)>, String> {
    let bad = || "broken chunk".to_owned();
    Ok(match chunk {
        Chunk::Size | Chunk::Data(_) => match httparse::parse_chunk_size(line).map_err(|_| bad())? {
            Status::Complete((length, 0)) => Some((length, Some(Chunk::Trailers))),
            Status::Complete((length, size)) => Some((length, Some(Chunk::Data(size)))),
            Status::Partial => None,
        },
        Chunk::Gap => match line {
            [b'\r', b'\n', ..] => Some((2, Some(Chunk::Size))),
            [b'\n', ..] => Some((1, Some(Chunk::Size))),
            [b'\r'] => None,
            _ => return Err(bad()),
        },
        Chunk::Trailers => {
            let mut headers = [EMPTY_HEADER; 32];
            match httparse::parse_headers(line, &mut headers).map_err(|_| bad())? {
                Status::Complete((length, _)) => Some((length, None)),
                Status::Partial => None,
            }
        }
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
